"""The picture of a page → where ink is that is not running text, in connected patches."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from s1mm_assets.extraction.pdf.layout import BBox

_DARKER_BY = 8  # of 255, in any channel: lighter than that is JPEG haze
_REACH_PT = 2.0  # patches nearer than this are one, those farther than twice this are not
_SPECK_PT = 1.5
_MARGIN_PT = 0.8  # round characters that are erased
_REPEATS, _REPEATED_SHARE = 3, 0.3  # pages
_EDGE_DOWN, _EDGE_ACROSS = 0.1, 0.07  # of the page's height and width
_BLEED_PX = 2
_SHAPES = 4  # sizes of pages; documents with more are not set in pages
_WHITE = 240
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Patch:
    """Ink that hangs together."""

    bbox: BBox
    n_ink: float  # square points
    n_text: float  # of these, under characters of the text layer


@dataclass(frozen=True, slots=True)
class Ink:
    """Which pixels of a page differ from its ground."""

    mask: Mask  # (height, width)
    px_per_pt: float

    def halved(self) -> "Ink":
        """Return it at half the resolution: a pixel is ink where one of its four was."""
        height, width = self.mask.shape
        mask = np.pad(self.mask, ((0, height % 2), (0, width % 2)))
        quarters = mask[::2, ::2] | mask[1::2, ::2] | mask[::2, 1::2] | mask[1::2, 1::2]
        return Ink(quarters, self.px_per_pt / 2)

    def without(self, boxes: Iterable[BBox]) -> "Ink":
        """Return the ink outside some boxes."""
        left = self.mask.copy()
        for box in boxes:
            left[self._window(box, _MARGIN_PT)] = False
        return Ink(left, self.px_per_pt)

    def patches(self, characters: Iterable[BBox]) -> list[Patch]:
        """Return the connected patches from top to bottom.

        Args:
            characters: Where the text layer has text.
        """
        text = np.zeros_like(self.mask)
        for box in characters:
            text[self._window(box, _MARGIN_PT)] = True
        labels, count = self._labels()
        n_ink = np.bincount(labels.ravel(), minlength=count + 1)
        n_text = np.bincount(labels[text], minlength=count + 1)
        found = []
        for label, window in enumerate(ndimage.find_objects(labels, count), start=1):
            rows, columns = window
            sides = (columns.start, rows.start, columns.stop, rows.stop)
            box = BBox(*(side / self.px_per_pt for side in sides))
            if max(box.x1 - box.x0, box.y1 - box.y0) >= _SPECK_PT:
                unit = self.px_per_pt**2
                found.append(Patch(box, float(n_ink[label] / unit), float(n_text[label] / unit)))
        return sorted(found, key=lambda patch: (patch.bbox.y0, patch.bbox.x0))

    def _labels(self) -> tuple[NDArray[np.int32], int]:
        """Number the patches; found on a grid of cells, since it is cheaper there and bridges small gaps."""
        cell = max(1, round(_REACH_PT * self.px_per_pt))
        height, width = self.mask.shape
        padded = np.pad(self.mask, ((0, -height % cell), (0, -width % cell)))
        rows = np.logical_or.reduce([padded[start::cell] for start in range(cell)])
        cells = np.logical_or.reduce([rows[:, start::cell] for start in range(cell)])
        coarse, count = ndimage.label(cells, structure=np.ones((3, 3), dtype=bool))
        fine = coarse.astype(np.int32).repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width]
        return fine * self.mask, count

    def _window(self, box: BBox, margin_pt: float) -> tuple[slice, slice]:
        height, width = self.mask.shape
        x0, y0 = (max(0, int((side - margin_pt) * self.px_per_pt)) for side in (box.x0, box.y0))
        x1 = min(width, int(np.ceil((box.x1 + margin_pt) * self.px_per_pt)))
        y1 = min(height, int(np.ceil((box.y1 + margin_pt) * self.px_per_pt)))
        return slice(y0, max(y0, y1)), slice(x0, max(x0, x1))


def ink_of(picture: NDArray[np.uint8], px_per_pt: float) -> Ink:
    """Return where a page differs from its ground, which is the middle colour of its four edges.

    Args:
        picture: (height, width, 3) RGB.
        px_per_pt: Pixels per point of the page.
    """
    edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
    ground = np.median(edge, axis=0).astype(np.int16)
    if ground.min() > _WHITE:
        return Ink(_any_channel(picture < 256 - _DARKER_BY), px_per_pt)
    return Ink(_any_channel(np.abs(picture.astype(np.int16) - ground) > 2 * _DARKER_BY), px_per_pt)


def _any_channel(mask: Mask) -> Mask:
    return np.asarray(mask[:, :, 0] | mask[:, :, 1] | mask[:, :, 2])


class RepeatedInk:
    """Ink at the edges of pages that stands on the same spot of many: banners, rules, logos."""

    def __init__(self) -> None:
        self._counts: dict[tuple[int, ...], NDArray[np.uint16]] = {}
        self._pages: dict[tuple[int, ...], int] = {}

    def add(self, ink: Ink) -> None:
        """Count one page, without its text."""
        shape = ink.mask.shape
        if shape not in self._counts and len(self._counts) == _SHAPES:
            return
        counts = self._counts.setdefault(shape, np.zeros(shape, dtype=np.uint16))
        counts += ink.mask
        self._pages[shape] = self._pages.get(shape, 0) + 1

    def cleared(self, ink: Ink) -> Ink:
        """Return a page without it."""
        shape = ink.mask.shape
        if shape not in self._counts:
            return ink
        often = self._counts[shape] >= max(_REPEATS, _REPEATED_SHARE * self._pages[shape])
        down, across = int(_EDGE_DOWN * shape[0]), int(_EDGE_ACROSS * shape[1])
        often[down : shape[0] - down, across : shape[1] - across] = False
        return Ink(ink.mask & ~ndimage.maximum_filter(often, size=2 * _BLEED_PX + 1), ink.px_per_pt)
