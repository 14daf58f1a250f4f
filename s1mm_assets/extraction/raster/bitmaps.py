"""Images that are pixels already: which may stay as they are, how others are made so, and the encoders."""

import re
import warnings
import zlib
from io import BytesIO
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

from s1mm_assets.extraction.raster.pictures import Picture, Refused
from s1mm_assets.extraction.settings import RasterSettings
from s1mm_assets.tables import Rejection

_EXIF_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_PNG_SIGNATURE_BYTES = 8
_SOUND_MODES = {"1", "L", "LA", "P", "RGB", "RGBA"}  # what every reader knows; alpha only if it is opaque
_SUMMARY_SIDE_PX = 64
_ADDRESS = re.compile(r" object at 0x[0-9a-fA-F]+")


def rasterize_bitmap(data: bytes, image_format: str, settings: RasterSettings) -> Picture | Refused:
    """Return a PNG or JPEG that is sound byte for byte, and anything else encoded anew.

    Of animations and files with several pages the first is taken.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is refused or mended below
        try:
            return _rasterize(data, image_format, settings)
        except Image.DecompressionBombError as error:
            return Refused(Rejection.IMAGE_TOO_LARGE, f"{image_format}: {error}")
        except MemoryError:
            return Refused(Rejection.OUT_OF_MEMORY, f"{image_format}: not enough memory to decode it")
        except Exception as error:  # decoders of untrusted bytes raise almost anything
            reason = _ADDRESS.sub("", f"{type(error).__name__}: {error}")
            return Refused(Rejection.IMAGE_UNREADABLE, f"{image_format}: {reason}"[:300])


def _rasterize(data: bytes, image_format: str, settings: RasterSettings) -> Picture | Refused:
    image: Image.Image = Image.open(BytesIO(data), formats=[image_format.upper()])
    width, height = image.size
    if width * height > settings.max_source_pixels:
        limit = settings.max_source_pixels
        return Refused(Rejection.IMAGE_TOO_LARGE, f"{width} x {height} pixels, more than {limit}")
    may_stay = max(image.size) <= settings.max_side_px and not getattr(image, "is_animated", False)
    if image_format == "jpeg":
        # The decoder halves for free; twice the size wanted leaves the filter below enough to work on.
        image.draft(None, (2 * settings.max_side_px, 2 * settings.max_side_px))
    image.load()
    turn = _TURNS.get(image.getexif().get(_EXIF_ORIENTATION, 1))  # of a TIFF gone by now: loading turned it
    may_stay = may_stay and turn is None and _is_whole(data, image_format)
    image = _shrunk(image, settings.max_side_px)  # first of all: what follows makes copies
    plain = _on_white(image)
    if may_stay and plain is image and image.mode in _SOUND_MODES:
        return Picture(data, "jpeg" if image_format == "jpeg" else "png", width, height, "none")
    plain = _eight_bit(plain)
    if turn is not None:
        plain = plain.transpose(turn)
    return encode(plain, "jpeg" if image_format == "jpeg" else "png", "pillow", settings)


def _is_whole(data: bytes, image_format: str) -> bool:
    """Say whether the container holds what it says it holds, and nothing beside it."""
    if image_format == "jpeg":
        return data.endswith(b"\xff\xd9")
    return image_format == "png" and _is_whole_png(data)


def _is_whole_png(data: bytes) -> bool:
    """Walk through the chunks: checksums right, at most 8 bits a sample, IEND at the very end."""
    at = _PNG_SIGNATURE_BYTES
    while at + 12 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data) or zlib.crc32(data[at + 4 : end - 4]).to_bytes(4, "big") != data[end - 4 : end]:
            return False
        if kind == b"IHDR" and length == 13 and data[at + 16] > 8:
            return False
        if kind == b"IEND":
            return end == len(data)
        at = end
    return False


def _on_white(image: Image.Image) -> Image.Image:
    """Return the image on white; the same object where no pixel is transparent."""
    if not image.has_transparency_data:
        return image
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return image
    white = Image.new("RGBA", image.size, "white")
    return Image.alpha_composite(white, layer).convert("RGB")


def _eight_bit(image: Image.Image) -> Image.Image:
    """Return mode L or RGB. Wide samples lose their low bits; those without a fixed range are stretched."""
    if image.mode in ("L", "RGB"):
        return image
    if image.mode == "1":
        return image.convert("L")
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        return Image.fromarray(_stretched(np.asarray(image, dtype=np.float64)))
    return image.convert("RGB")


def _stretched(samples: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Bring the finite samples to 0 to 255, the others to 0."""
    finite = np.isfinite(samples)
    low, high = (samples[finite].min(), samples[finite].max()) if finite.any() else (0.0, 0.0)
    share = (np.where(finite, samples, low) - low) / ((high - low) or 1.0)
    stretched: NDArray[np.uint8] = np.rint(share * 255).astype(np.uint8)
    return stretched


def encode_drawn(
    drawn: bytes,
    size_px: tuple[int, int],
    renderer: Literal["poppler", "ghostscript", "resvg"],
    settings: RasterSettings,
) -> Picture | Refused:
    """Encode the PPM or PNG image that a child process drew, brought to `size_px`."""
    try:
        image: Image.Image = Image.open(BytesIO(drawn), formats=["PPM", "PNG"])
        if max(image.size) > settings.max_side_px:
            evidence = f"{renderer}: drew {image.width} x {image.height} pixels"
            return Refused(Rejection.IMAGE_TOO_LARGE, evidence)
        image.load()
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return Refused(Rejection.IMAGE_UNREADABLE, f"{renderer}: drew nothing")
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    if image.size != size_px:
        image = image.resize(size_px, Image.Resampling.LANCZOS)
    return encode(image, "png", renderer, settings)


def encode(
    image: Image.Image,
    image_format: Literal["png", "jpeg"],
    renderer: Literal["pillow", "pdfium", "poppler", "ghostscript", "resvg"],
    settings: RasterSettings,
) -> Picture:
    """Encode an RGB or L image: no larger than the limit, grey where it is grey, and no metadata."""
    image = _shrunk(image, settings.max_side_px)
    if image.mode == "RGB" and _is_grey(image):
        image = image.getchannel(0)
    image.info = {}
    out = BytesIO()
    if image_format == "jpeg":
        image.save(out, "JPEG", quality=settings.jpeg_quality, subsampling=0)
    else:
        image.save(out, "PNG", compress_level=settings.png_level)
    return Picture(out.getvalue(), image_format, image.width, image.height, renderer)


def _shrunk(image: Image.Image, side_px: int) -> Image.Image:
    """Return the image with a long side of at most `side_px`; the same object where it has that already."""
    if max(image.size) <= side_px or image.mode.startswith("I;16"):  # Pillow has no filter for these
        return image
    if image.has_transparency_data:
        image = image.convert("RGBA")  # before a transparent colour mixes with its neighbours
    elif image.mode in ("1", "P"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    ratio = side_px / max(image.size)
    width, height = (max(1, round(side * ratio)) for side in image.size)
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _is_grey(image: Image.Image) -> bool:
    """Say whether red, green and blue are equal in every pixel; a few pixels answer for most images."""
    if not _has_equal_channels(image.resize((_SUMMARY_SIDE_PX, _SUMMARY_SIDE_PX), Image.Resampling.NEAREST)):
        return False
    return _has_equal_channels(image)


def _has_equal_channels(image: Image.Image) -> bool:
    red, green, blue = image.split()
    return not (ImageChops.difference(red, green).getbbox() or ImageChops.difference(red, blue).getbbox())
