"""What goes into rasterizing and comes out: the picture, the refusal, the settings, what is handed in."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Literal, Protocol

from s1mm_assets.tables import Rejection

POINTS_PER_INCH = 72.0


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


@dataclass(frozen=True, slots=True, kw_only=True)
class RasterSettings:
    """What shapes the pictures; part of the stage's fingerprint.

    The resolution of drawings without pixels of their own is chosen for a vision encoder: Qwen3-VL advises
    256 to 1280 tokens of about 1024 pixels, so a long side of 1024 px (768 tokens at 4:3) loses nothing to
    it, and 2048 px leaves room for people and for cropping. Drawings smaller than that at `vector_dpi` are
    drawn finer, but not beyond `max_vector_dpi`: an icon stays small, and the filters see that it is one.
    """

    max_side_px: int = 2048  # no released picture is larger, whatever its source
    vector_dpi: float = 300.0  # of the size that the drawing says it has
    vector_side_px: int = 1024  # small drawings are drawn finer until their long side has this many pixels …
    max_vector_dpi: float = 600.0  # … or their resolution is this
    max_source_pixels: int = 90_000_000  # of one frame; making it smaller takes up to 13 bytes a pixel
    max_source_bytes: int = 128 * 2**20
    jpeg_quality: int = 92  # of JPEGs that cannot stay as they are
    png_level: int = 6  # against level 2, 12 % smaller for 40 ms more: paid once, saved at every download

    def dpi(self, width_pt: float, height_pt: float) -> float:
        """Return the resolution, in pixels per inch, at which a drawing of this size is rendered."""
        inches = max(width_pt, height_pt) / POINTS_PER_INCH
        finer = min(self.vector_side_px / inches, self.max_vector_dpi)
        return min(max(self.vector_dpi, finer), self.max_side_px / inches)

    def size_px(self, width_pt: float, height_pt: float) -> tuple[int, int]:
        """Return width and height in pixels at that resolution, each from 1 to `max_side_px`."""
        scale = self.dpi(width_pt, height_pt) / POINTS_PER_INCH
        width, height = (ceil(round(side * scale, 3)) for side in (width_pt, height_pt))
        return max(1, min(width, self.max_side_px)), max(1, min(height, self.max_side_px))


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
