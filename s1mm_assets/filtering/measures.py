"""What is seen in one image, before anything is decided: costly, so it is done once and kept.

Images are untrusted: any bytes give a `Measure`, with a rejection where they do not decode.
"""

import re
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageChops, UnidentifiedImageError

from s1mm_assets.decoding import ImageTooLargeError, open_rgb
from s1mm_assets.filtering.code_look import code_share
from s1mm_assets.filtering.perceptual_hash import detail_hash, perceptual_hash
from s1mm_assets.filtering.picture_look import badge_score, logo_score, tone_bits
from s1mm_assets.filtering.table_look import table_score
from s1mm_assets.tables import Measure, Rejection

BACKGROUND_TOLERANCE = 16  # JPEG noise and antialiasing of a plain ground stay within it
THUMBNAIL_SIDE_PX = 256


@dataclass(frozen=True, slots=True)
class MeasureJob:
    """One image to look at."""

    figure_id: str
    image: bytes | None


def measure(job: MeasureJob) -> Measure:
    """Return what is seen in one image; whatever the bytes are, a row comes back."""
    if job.image is None:
        return unmeasured(job.figure_id, Rejection.IMAGE_UNREADABLE, "no image")
    try:
        image = open_rgb(job.image)
    except ImageTooLargeError as error:
        return unmeasured(job.figure_id, Rejection.IMAGE_TOO_LARGE, str(error))
    except MemoryError:
        raise
    except UnidentifiedImageError:
        return unmeasured(job.figure_id, Rejection.IMAGE_UNREADABLE, "neither PNG nor JPEG")
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        return unmeasured(job.figure_id, Rejection.IMAGE_UNREADABLE, _evidence(error))
    grey, thumbnail = image.convert("L"), thumbnail_of(image)
    return Measure(
        figure_id=job.figure_id,
        perceptual_hash=perceptual_hash(grey),
        detail_hash=detail_hash(grey),
        ink_share=ink_share(image),
        n_colours=n_colours(thumbnail),
        table_score=table_score(image),
        rejection=None,
        evidence=None,
        logo_score=logo_score(thumbnail),
        badge_score=badge_score(thumbnail),
        code_share=code_share(grey),
        tone_bits=tone_bits(thumbnail),
    )


def measure_batch(jobs: list[MeasureJob]) -> list[Measure]:
    """Return one measure per image, in order: a task large enough to be worth sending to a worker."""
    return [measure(job) for job in jobs]


def unmeasured(figure_id: str, rejection: str, evidence: str | None) -> Measure:
    """Return the row of an image that could not be measured."""
    return Measure(
        figure_id=figure_id,
        perceptual_hash=None,
        detail_hash=None,
        ink_share=None,
        n_colours=None,
        table_score=None,
        rejection=rejection,
        evidence=evidence,
    )


def ink_share(image: Image.Image) -> float:
    """Return the share of pixels that differ from the background: the commonest colour along the border."""
    ground = Image.new("RGB", image.size, _border_colour(image))
    red, green, blue = ImageChops.difference(image, ground).split()
    differences = ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()
    return sum(differences[BACKGROUND_TOLERANCE + 1 :]) / (image.width * image.height)


def _border_colour(image: Image.Image) -> tuple[int, int, int]:
    pixels = np.asarray(image)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    colours, counts = np.unique(border, axis=0, return_counts=True)
    red, green, blue = (int(channel) for channel in colours[counts.argmax()])
    return red, green, blue


def thumbnail_of(image: Image.Image) -> Image.Image:
    """Return the image with no side above `THUMBNAIL_SIDE_PX`, its pixels averaged."""
    scale = THUMBNAIL_SIDE_PX / max(image.size)
    if scale >= 1:
        return image
    width, height = (max(1, round(side * scale)) for side in image.size)
    return image.resize((width, height), Image.Resampling.BOX)


def n_colours(thumbnail: Image.Image) -> int:
    """Return how many colours a thumbnail has, at 32 levels a channel."""
    levels = np.asarray(thumbnail).astype(np.uint32) >> 3
    return int(np.unique((levels[..., 0] << 10) | (levels[..., 1] << 5) | levels[..., 2]).size)


def _evidence(error: Exception) -> str:
    """The error in words that are the same on every run: without memory addresses."""
    return re.sub(r" at 0x[0-9a-fA-F]+", "", f"{type(error).__name__}: {error}")[:300]
