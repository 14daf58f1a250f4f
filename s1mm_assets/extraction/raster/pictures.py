"""What goes into rasterizing and comes out: the picture, the refusal, the settings, what is handed in."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from s1mm_assets.tables import Rejection


@dataclass(frozen=True, slots=True)
class FigureFile:
    """A file that is to become a picture."""

    data: bytes
    name: str  # evidence only: the format is read from the bytes
    page: int | None = None  # of a PDF, 0-based; None is the first. Other formats give their first


@dataclass(frozen=True, slots=True)
class Picture:
    """An image as it is released."""

    image: bytes
    image_format: Literal["png", "jpeg"]
    width_px: int
    height_px: int
    renderer: Literal["none", "pillow", "pdfium", "poppler", "ghostscript", "resvg"]  # none: as it came


@dataclass(frozen=True, slots=True)
class Refused:
    """Why a figure file gives no picture. The evidence is the same on every run and every machine."""

    rejection: Rejection
    evidence: str


@dataclass(frozen=True, slots=True)
class Box:
    """A bounding box in PostScript's default user space: points, origin bottom-left."""

    left: float
    bottom: float
    right: float
    top: float

    @property
    def width_pt(self) -> float:
        """Width in points."""
        return self.right - self.left

    @property
    def height_pt(self) -> float:
        """Height in points."""
        return self.top - self.bottom


@dataclass(frozen=True, slots=True)
class Drawing:
    """A PostScript program, and what is wanted of it: its first page within a box."""

    code: bytes
    box: Box
    size_px: tuple[int, int]
    dpi: float


@dataclass(frozen=True, slots=True)
class Page:
    """A rendered PDF page: a PPM image, and the size that the page says it has."""

    ppm: bytes
    width_pt: float
    height_pt: float


class Renderers(Protocol):
    """The renderers that need a child process or a clock. Each call is bounded in time, memory and output."""

    def postscript(self, drawings: Sequence[Drawing]) -> Iterator[bytes | Refused]:
        """Yield for each drawing, in order, its page on white: a PPM image of exactly its size.

        What is drawn of one does not depend on the others.
        """

    def postscript_ink(self, data: bytes) -> Box | Refused:
        """Return the box around what the first page draws, for files that do not say."""

    def pdf_second_try(self, data: bytes, page: int, long_side_px: int) -> Page | Refused:
        """Render one page (0-based) that pdfium refused, its long side `long_side_px` pixels."""

    def svg(self, markup: bytes) -> bytes | Refused:
        """Draw SVG that names no other file, in the size that it states, on white; return a PNG image."""

    def stopwatch(self) -> Callable[[], bool]:
        """Start to count the CPU time of one figure; the function returned says whether it is used up."""
