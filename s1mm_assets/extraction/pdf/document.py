"""A PDF, opened within limits: its pages as characters, as pixels, and as placed objects.

What pdfium gives in its own coordinates is given here in points of the page as displayed, origin top-left.
"""

import ctypes
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pypdfium2 as pdfium
import pypdfium2.raw as pdfium_c
from numpy.typing import NDArray
from PIL import Image

from s1mm_assets.extraction.pdf.layout import BBox
from s1mm_assets.extraction.pdf.lines import BLANKS, Characters
from s1mm_assets.extraction.raster import draw

MAX_PAGE_CHARACTERS = 200_000
_FONT_NAME_BYTES = 256
_NOWHERE = (0.0, 0.0, 0.0, 0.0)
MAX_SIDE_PT = 14_400.0  # the PDF specification's own limit (ISO 32000-1, annex C)


@dataclass(frozen=True, slots=True)
class Frame:
    """How a page's own coordinates become those of the page as displayed."""

    left: float
    bottom: float
    right: float
    top: float
    rotation: int  # degrees clockwise: 0, 90, 180, 270

    @property
    def size_pt(self) -> tuple[float, float]:
        """Width and height as displayed."""
        width, height = self.right - self.left, self.top - self.bottom
        return (height, width) if self.rotation in (90, 270) else (width, height)

    def displayed(self, boxes: NDArray[np.float64]) -> NDArray[np.float64]:
        """Turn boxes (n, 4) of left, bottom, right, top into x0, y0, x1, y1 with the origin top-left."""
        left, bottom, right, top = boxes.T
        if self.rotation == 90:
            sides = (bottom - self.bottom, left - self.left, top - self.bottom, right - self.left)
        elif self.rotation == 180:
            sides = (self.right - right, bottom - self.bottom, self.right - left, top - self.bottom)
        elif self.rotation == 270:
            sides = (self.top - top, self.right - right, self.top - bottom, self.right - left)
        else:
            sides = (left - self.left, self.top - top, right - self.left, self.top - bottom)
        return np.stack(sides, axis=1)


def as_displayed(box: BBox, turn: int, size_pt: tuple[float, float]) -> BBox:
    """Return a box of a turned page in points of the page as displayed.

    Args:
        box: On the turned page.
        turn: Degrees clockwise: 0, 90 or 270.
        size_pt: Width and height of the turned page.
    """
    width, height = size_pt
    if turn == 90:
        return BBox(box.y0, width - box.x1, box.y1, width - box.x0)
    if turn == 270:
        return BBox(height - box.y1, box.x0, height - box.y0, box.x1)
    return box


class Page:
    """One page while its document is open."""

    def __init__(self, page: pdfium.PdfPage, number: int) -> None:
        self.number = number  # 0-based
        self._page = page
        self.turn = 0  # degrees clockwise, beyond how it is displayed
        left, bottom, right, top = page.get_bbox()
        self.frame = Frame(left, bottom, right, top, page.get_rotation())

    @property
    def size_pt(self) -> tuple[float, float]:
        """Width and height in points, as displayed."""
        return self.frame.size_pt

    def turn_by(self, degrees: int) -> None:
        """Turn the page clockwise: text, sizes and pictures are then as after that."""
        self.turn = degrees
        rotation = (self.frame.rotation + degrees) % 360
        self._page.set_rotation(rotation)
        self.frame = replace(self.frame, rotation=rotation)

    def close(self) -> None:
        """Give back what pdfium holds of it, the page as it was."""
        if self.turn:
            self._page.set_rotation((self.frame.rotation - self.turn) % 360)
        self._page.close()

    def characters(self) -> Characters:
        """Return the text layer; empty where there is none."""
        text = pdfium_c.FPDFText_LoadPage(self._page)
        try:
            return self._read(text)
        finally:
            pdfium_c.FPDFText_ClosePage(text)

    def _read(self, text: object) -> Characters:
        n_there = max(0, pdfium_c.FPDFText_CountChars(text))
        count = min(n_there, MAX_PAGE_CHARACTERS)
        codes: list[int] = []
        boxes: list[tuple[float, float, float, float]] = []
        styles: list[tuple[float, int]] = []
        names: dict[bytes, int] = {}
        left, right, bottom, top = (ctypes.c_double() for _ in range(4))
        read_box, read_code = pdfium_c.FPDFText_GetCharBox, pdfium_c.FPDFText_GetUnicode
        style, is_inside = (0.0, 0), False
        for index in range(count):
            code = read_code(text, index)
            if code in BLANKS or not read_box(text, index, left, right, bottom, top):
                box, is_inside = _NOWHERE, False
            else:
                box = (left.value, bottom.value, right.value, top.value)
                if not is_inside:  # size and font are asked for once a word: they cost as much as ten boxes
                    size, name = _size_and_font(text, index)
                    style, is_inside = (size, names.setdefault(name, len(names))), True
            if _is_low_half(code) and codes and _is_high_half(codes[-1]):
                # pdfium counts in UTF-16; the second half of a letter of a formula shows nothing of its own
                codes[-1], code = 0x10000 + ((codes[-1] - 0xD800) << 10) + (code - 0xDC00), 0
            codes.append(code)
            boxes.append(box)
            styles.append(style)
        places = self.frame.displayed(np.array(boxes, dtype=np.float64).reshape(-1, 4)).tolist()
        return Characters(codes, places, styles, n_there - count)

    def draw(
        self, px_per_pt: float, is_time_up: Callable[[], bool], window: BBox | None = None
    ) -> Image.Image | None:
        """Return the page, or a window of it, in RGB on white; None if time was up.

        Raises:
            pdfium.PdfiumError: It cannot be drawn.
        """
        width, height = self.size_pt
        x0, y0, x1, y1 = window or BBox(0, 0, width, height)
        offset = math.floor(x0 * px_per_pt), math.floor(y0 * px_per_pt)
        size = math.ceil(x1 * px_per_pt) - offset[0], math.ceil(y1 * px_per_pt) - offset[1]
        whole = math.ceil(width * px_per_pt), math.ceil(height * px_per_pt)
        return draw(
            self._page,
            (max(1, size[0]), max(1, size[1])),
            is_time_up,
            page_px=whole,
            offset_px=offset,
            with_annotations=False,
        )

    def drawn_at(self, dpi: float) -> NDArray[np.uint8]:
        """Return the page as (height, width, 3) RGB, however long it takes."""
        return np.asarray(self.draw(dpi / 72, lambda: False))


def _is_high_half(code: int) -> bool:
    return 0xD800 <= code < 0xDC00


def _is_low_half(code: int) -> bool:
    return 0xDC00 <= code < 0xE000


def _size_and_font(text: object, index: int) -> tuple[float, bytes]:
    """Return a character's size in points, as its matrix scales it, and its font's name."""
    matrix = pdfium_c.FS_MATRIX()
    pdfium_c.FPDFText_GetMatrix(text, index, matrix)
    scale = math.hypot(matrix.c, matrix.d)
    size = pdfium_c.FPDFText_GetFontSize(text, index) * (scale or 1.0)
    name, flags = ctypes.create_string_buffer(_FONT_NAME_BYTES), ctypes.c_int()
    pdfium_c.FPDFText_GetFontInfo(text, index, name, _FONT_NAME_BYTES, flags)
    return (max(size, 1.0) if math.isfinite(size) else 1.0), name.value


@contextmanager
def opened(data: bytes) -> Iterator[pdfium.PdfDocument]:
    """Open a PDF; pdfium.PdfiumError where it cannot be."""
    document = pdfium.PdfDocument(data)
    try:
        yield document
    finally:
        document.close()


def pages_of(document: pdfium.PdfDocument) -> Iterator[Page]:
    """Yield the pages one at a time, each open until the next is asked for; those that cannot be loaded are not."""
    for number in range(len(document)):
        try:
            page = Page(document[number], number)
        except pdfium.PdfiumError:
            continue
        try:
            yield page
        finally:
            page.close()
