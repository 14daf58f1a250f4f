"""What a thumbnail shows besides tables and machine codes: large letters, a licence badge, photographic tones.

Belongs here: looks of pixels. What is read in an image is text_look.py; what the paper says of it, paper_words.py.
Wrongly calling a figure a logo costs a good figure, so an emblem without letters, or few letters far apart,
scores nothing: the stimuli, schematics and silhouettes of papers look the same.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops
from scipy import ndimage

INK_CONTRAST = 48  # grey levels that ink differs from its ground by
MIN_PART_PX = 8  # smaller parts of a thumbnail are specks
MAX_PARTS = 40  # more are a plot or a diagram
MAX_LETTER_GAP = 0.7  # of the letters' height, from one to the next
MIN_LETTERS = 4  # panels of a figure stand in lines of two and three
FLAT_COLOURS, MIN_FLAT_SHARE = (
    4,
    0.75,
)  # a logo is flat: this share of it in so many colours; its edges are not
BADGE_SIZE = (88, 31)  # pixels of the Creative Commons button, as their web page serves it

Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Part:
    """A connected part of the ink: its box and its area, in pixels."""

    left: int
    top: int
    right: int
    bottom: int
    area: int

    @property
    def width(self) -> int:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> int:
        """Pixels from top to bottom."""
        return self.bottom - self.top


def tone_bits(thumbnail: Image.Image) -> float:
    """Return the entropy of the grey levels: 0 (one tone) to 6 bits; drawings lie below 3, photographs above 4."""
    counts = np.array(thumbnail.convert("L").histogram()).reshape(64, 4).sum(axis=1)
    shares = counts[counts > 0] / counts.sum()
    return round(float(-(shares * np.log2(shares)).sum()), 4) + 0.0


def logo_score(thumbnail: Image.Image) -> float:
    """Return how much of a picture of few parts its largest line of letters takes, from 0 to 1.

    The letters' height over that of the content, times their widths together over its width; letters may also be
    left blank in a solid disc or box.
    """
    levels = _levels(thumbnail)
    ink = _ink(thumbnail, levels)
    if not ink.any():
        return 0.0
    box = _cropped(ink)
    commonest = np.sort(np.bincount(levels[box].ravel()))[-FLAT_COLOURS:].sum() / levels[box].size
    if commonest < MIN_FLAT_SHARE:
        return 0.0
    content = ink[box]
    return round(max(_wordmark(content, content.shape), _wordmark(_blanks(content), content.shape)), 4)


def _levels(thumbnail: Image.Image) -> NDArray[np.int64]:
    """Each pixel's colour at 16 levels a channel, as one number below 4,096."""
    coarse = np.asarray(thumbnail).astype(np.int64) >> 4
    return (coarse[..., 0] << 8) | (coarse[..., 1] << 4) | coarse[..., 2]


def _ink(thumbnail: Image.Image, levels: NDArray[np.int64]) -> Bits:
    """What differs from the commonest colour along the border."""
    border = np.concatenate([levels[0], levels[-1], levels[:, 0], levels[:, -1]])
    ground = int(np.bincount(border).argmax())
    colour = tuple((ground >> shift & 15) * 16 + 8 for shift in (8, 4, 0))
    red, green, blue = ImageChops.difference(thumbnail, Image.new("RGB", thumbnail.size, colour)).split()
    return np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue)) > INK_CONTRAST


def _cropped(ink: Bits) -> tuple[slice, slice]:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return slice(int(rows[0]), int(rows[-1]) + 1), slice(int(columns[0]), int(columns[-1]) + 1)


def _blanks(content: Bits) -> Bits:
    """What one solid shape that takes most of the content leaves blank inside; nothing where there is no such shape."""
    if content.mean() < 0.5:
        return np.zeros_like(content)
    filled: Bits = ndimage.binary_fill_holes(content)
    return filled & ~content


def _wordmark(ink: Bits, shape: tuple[int, ...]) -> float:
    """The largest product of height and width shares of any line of letters, in content of a shape."""
    parts = _parts(ink)
    if not MIN_LETTERS <= len(parts) <= MAX_PARTS:
        return 0.0
    best = 0.0
    for first in parts:
        line = _line_of(first, parts)
        if _reads_like_letters(line):
            height, width = first.height, sum(part.width for part in line)
            best = max(best, min(1.0, height / shape[0]) * min(1.0, width / shape[1]))
    return best


def _reads_like_letters(line: list[Part]) -> bool:
    """Letters are of varied width and fill their boxes neither wholly nor hardly; panels, bars and boxes are not so."""
    if len(line) < MIN_LETTERS:
        return False
    widths = np.array([part.width for part in line])
    fills = np.array([part.area / (part.width * part.height) for part in line])
    return bool(widths.std() > 0.12 * widths.mean() and 0.3 < np.median(fills) < 0.8 and fills.std() > 0.04)


def _parts(ink: Bits) -> list[Part]:
    labels, _ = ndimage.label(ink, structure=np.ones((3, 3), dtype=np.int8))
    areas = np.bincount(labels.ravel())[1:]
    return [
        Part(columns.start, rows.start, columns.stop, rows.stop, int(area))
        for (rows, columns), area in zip(ndimage.find_objects(labels), areas, strict=True)
        if area >= MIN_PART_PX
    ]


def _line_of(first: Part, parts: list[Part]) -> list[Part]:
    """The letters that stand on one line with the first, from it to the right, without a wide gap."""
    height = first.height
    line = [first]
    for part in sorted(parts, key=lambda part: part.left):
        is_alike = 0.5 * height < part.height < 1.6 * height and part.width < 1.8 * height
        stands_on_it = abs(part.bottom - first.bottom) <= max(1.0, 0.12 * height)
        gap = part.left - line[-1].right
        if part is not first and part.left >= first.left and is_alike and stands_on_it:
            if gap > MAX_LETTER_GAP * height:
                break
            line.append(part)
    return line


def badge_score(thumbnail: Image.Image) -> float:
    """Return how well a picture matches the Creative Commons button where all its clauses agree: 0 to 1.

    Source:
        The button of 88 x 31 pixels of https://creativecommons.org/mission/downloads/: a black frame, grey above,
        a black bar below, and a white sign ringed in black at the left, over both.
    """
    grey = np.asarray(thumbnail.convert("L"))
    ink = grey < 224
    if not ink.any():
        return 0.0
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    box = (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)
    width, height = box[2] - box[0], box[3] - box[1]
    if not 2.4 <= width / height <= 3.4:
        return 0.0
    small = thumbnail.convert("L").resize(BADGE_SIZE, Image.Resampling.BOX, box=box)
    expected, is_common = _badge()
    seen, wanted = np.asarray(small, dtype=np.float64)[is_common], expected[is_common]
    if seen.std() == 0:
        return 0.0
    return round(max(0.0, float(np.corrcoef(seen, wanted)[0, 1])), 4)


def _badge() -> tuple[NDArray[np.float64], Bits]:
    """The button's grey levels, and where all its variants agree; shape (31, 88)."""
    width, height = BADGE_SIZE
    y, x = np.mgrid[:height, :width]
    radius = np.hypot(x - 14.5, y - 14.5)
    levels = np.where(y >= 22, 0.0, 172.0)
    levels = np.where(radius <= 11.5, 0.0, levels)
    levels = np.where(radius <= 9, 255.0, levels)
    is_letters = radius <= 7
    is_clause = (x >= 30) & (x < width - 2) & (((y >= 2) & (y < 21)) | ((y >= 23) & (y < 29)))
    is_edge = ((radius > 8) & (radius < 14)) | (abs(y - 21.5) <= 1)  # drawn a pixel here or there
    levels[[0, -1]] = levels[:, [0, -1]] = 0.0
    return levels, ~(is_letters | is_clause | is_edge)
