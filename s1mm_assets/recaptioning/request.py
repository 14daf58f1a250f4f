"""What is sent to a model's server for one figure: the chat request, its key, the image at its model size.

Nothing here knows where a server is; the key of a request does not depend on it either.
"""

from __future__ import annotations

import hashlib
import json
import re
import warnings
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

    from s1mm_assets.recaptioning.prompt import PromptText

PIXELS_PER_TOKEN = 32 * 32  # of Qwen3-VL: patches of 16 pixels, merged two by two
PATCH_PX = 32
MAX_ASPECT = 200  # longer and thinner images the model's own processor refuses
PNG_LEVEL = 1  # sent once over a fast link: time counts, not size
JPEG_QUALITY = 92
IMAGE_VERSION = "1"  # raised when `model_image_url` gives other bytes: they were asked about with these
MAX_IMAGE_PIXELS = 100_000_000  # what the extraction lets through is far below
_IMAGE_MARK = "data:,"  # stands in the JSON where the image goes
_MIME = {"PNG": "image/png", "JPEG": "image/jpeg"}
_END = {"PNG": b"IEND\xaeB`\x82", "JPEG": b"\xff\xd9"}
_ADDRESS = re.compile(r" object at 0x[0-9a-fA-F]+")


class ImageRefused(ValueError):  # noqa: N818 - says what is the matter
    """An image that cannot be sent; the message is evidence for its row."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How the model picks its words, at one attempt."""

    temperature: float
    top_p: float
    repetition_penalty: float
    max_tokens: int
    seed: int

    def as_json(self) -> str:
        """All but the seed, which has a column of its own."""
        return json.dumps({name: value for name, value in asdict(self).items() if name != "seed"})

    def at_attempt(self, attempt: int) -> Sampling:
        """What is asked with after an answer that cannot be used: another seed, a little warmer each time."""
        if attempt == 0:
            return self
        warmer = round(min(1.0, self.temperature + 0.3 * attempt), 3)
        return Sampling(**{**asdict(self), "temperature": warmer, "seed": self.seed + attempt})


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelImage:
    """Between how many tokens an image has as the model sees it."""

    min_tokens: int
    max_tokens: int


def messages(text: PromptText, image_url: str) -> list[dict[str, Any]]:
    """Return the chat: system, the paper, the image, the figure."""
    content = [
        {"type": "text", "text": text.paper},
        {"type": "image_url", "image_url": {"url": image_url}},
        {"type": "text", "text": text.figure},
    ]
    return [{"role": "system", "content": text.system}, {"role": "user", "content": content}]


def body(model: str, text: PromptText, sampling: Sampling, image_url: str) -> dict[str, Any]:
    """Return the JSON of a chat completion request, as vLLM's OpenAI-compatible server takes it."""
    return {"model": model, "messages": messages(text, image_url), **asdict(sampling)}


def body_bytes(model: str, text: PromptText, sampling: Sampling, image_url: bytes) -> bytes:
    """Return the same as text. The image, megabytes of it, is not looked through for signs to escape."""
    whole = json.dumps(body(model, text, sampling, _IMAGE_MARK), ensure_ascii=False)
    before, found, after = whole.rpartition(f'{{"url": "{_IMAGE_MARK}"}}')
    if not found:
        raise AssertionError("the request has no image")
    return b"".join((before.encode(), b'{"url": "', image_url, b'"}', after.encode()))


def request_key(
    model: str,
    text: PromptText,
    sampling: Sampling,
    *,
    revision: str,
    image_sha256: str,
    image: ModelImage,
    variant: Mapping[str, Any],
) -> str:
    """Return the SHA-256 of all that shapes an answer.

    Args:
        model: As the servers call it.
        text: What is asked.
        sampling: How the words are picked.
        revision: The commit of the weights.
        image_sha256: Of the image as it is stored.
        image: The window of sizes that it is sent in.
        variant: With what else the weights are served; JSON values. Not sent.
    """
    asked = {
        **body(model, text, sampling, f"sha256:{image_sha256}"),
        "revision": revision,
        "variant": dict(variant),
        "image": {**asdict(image), "version": IMAGE_VERSION},
    }
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def model_image_url(image: bytes, window: ModelImage) -> bytes:
    """Return an image as a data URL, no larger than the model looks at it.

    An image within the window goes as it is stored; others are resized to the nearest multiple of a patch within
    it, as the model's own processor would do on the server.

    Raises:
        ImageRefused: It is not one whole PNG or JPEG image, or is too long and thin for the model.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of what is refused below
        try:
            mime, image = _at_model_size(image, window)
        except ImageRefused:
            raise
        except Exception as error:  # decoders of untrusted bytes raise almost anything
            reason = _ADDRESS.sub("", f"{type(error).__name__}: {error}")
            raise ImageRefused(f"the image cannot be sent: {reason}"[:300]) from error
    return b"data:%b;base64,%b" % (mime.encode(), b64encode(image))


def _at_model_size(image: bytes, window: ModelImage) -> tuple[str, bytes]:
    """Return an image's media type, and its bytes within the window."""
    from PIL import Image

    with Image.open(BytesIO(image), formats=tuple(_MIME)) as opened:
        kind = str(opened.format)
        if kind not in _MIME or getattr(opened, "is_animated", False):
            raise ImageRefused("the image cannot be sent: it holds several pictures")
        if not image.endswith(_END[kind]):
            raise ImageRefused("the image cannot be sent: it is cut off")
        target = model_size(opened.size, window)
        return _MIME[kind], image if target == opened.size else _resized(opened, target)


def model_size(size_px: tuple[int, int], window: ModelImage) -> tuple[int, int]:
    """Return width and height within the window; those given where they are.

    Raises:
        ImageRefused: One side is more than 200 times the other, which the model's processor refuses.
    """
    width, height = size_px
    if width * height > MAX_IMAGE_PIXELS or max(size_px) > MAX_ASPECT * min(size_px):
        raise ImageRefused(f"the image cannot be sent: it has {width} x {height} pixels")
    least, most = window.min_tokens * PIXELS_PER_TOKEN, window.max_tokens * PIXELS_PER_TOKEN
    if least <= width * height <= most:
        return size_px
    scale = ((most if width * height > most else least) / (width * height)) ** 0.5
    rounded = -(-width * scale // PATCH_PX) if scale > 1 else width * scale // PATCH_PX
    columns = max(1, int(rounded))
    rounded = -(-height * scale // PATCH_PX) if scale > 1 else height * scale // PATCH_PX
    rows = max(1, int(rounded))
    longest = MAX_ASPECT * min(columns, rows)  # rounding must not make it thinner than may be sent
    return min(columns, longest) * PATCH_PX, min(rows, longest) * PATCH_PX


def _resized(opened: Image.Image, target: tuple[int, int]) -> bytes:
    """Return the image at another size, in its own format."""
    from PIL import Image

    is_jpeg = opened.format == "JPEG"
    if is_jpeg:
        opened.draft(None, target)  # decodes at a half or a quarter where that is still larger
    drawn = _on_white(opened).resize(target, Image.Resampling.BICUBIC, reducing_gap=2.0)
    file = BytesIO()
    if is_jpeg:
        drawn.save(file, "JPEG", quality=JPEG_QUALITY)
    else:
        drawn.save(file, "PNG", compress_level=PNG_LEVEL)
    return file.getvalue()


def _on_white(image: Image.Image) -> Image.Image:
    """Return an image in grey or RGB; what shines through it is white, as on paper."""
    from PIL import Image

    if image.mode == "I;16":
        import numpy as np

        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))  # convert() would clip
    if image.has_transparency_data:
        page = Image.new("RGBA", image.size, "white")
        page.alpha_composite(image.convert("RGBA"))
        return page.convert("RGB")
    if image.mode in ("L", "RGB"):
        return image
    return image.convert("L" if image.mode == "1" else "RGB")
