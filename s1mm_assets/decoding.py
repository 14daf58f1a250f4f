"""Decoding of released images: PNG and JPEG to plain colours, within a cap. What they show is for others to say."""

import warnings
from io import BytesIO

import numpy as np
from PIL import Image

MAX_PIXELS = 100_000_000
"""More is refused before it is decoded: 100 megapixels take 300 MB as RGB."""


class ImageTooLargeError(Exception):
    """The image says that it has more pixels than `MAX_PIXELS`."""


def open_rgb(image: bytes, *, shown_px: int | None = None) -> Image.Image:
    """Decode PNG or JPEG bytes to RGB, transparent parts on white.

    Args:
        image: Untrusted bytes.
        shown_px: If it is to be shown no larger: a JPEG may come reduced, its shorter side no less than that.

    Raises:
        ImageTooLargeError: It says that it has more than `MAX_PIXELS` pixels.
        Exception: Pillow refuses the bytes; damaged files make it raise many kinds.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # we have a cap of our own, and damaged EXIF data are no concern
        try:
            opened = Image.open(BytesIO(image), formats=("PNG", "JPEG"))
        except Image.DecompressionBombError as error:
            raise ImageTooLargeError(str(error)) from error
        if opened.width * opened.height > MAX_PIXELS:
            raise ImageTooLargeError(f"{opened.width} x {opened.height} pixels, more than {MAX_PIXELS}")
        if shown_px is not None:
            opened.draft("RGB", (shown_px, shown_px))
        opened.load()
        return _on_white(opened)


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit greyscale: Pillow would clip it
        return Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        layered = image.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        return Image.alpha_composite(white, layered).convert("RGB")
    return image.convert("RGB")
