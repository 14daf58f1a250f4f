"""PDFs read with layout detectors that answer as told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from s1mm_assets.extraction.pdf import PdfFigure, PdfPaper, PdfSettings, read_pdf
from s1mm_assets.extraction.pdf.document import opened, pages_of
from s1mm_assets.extraction.pdf.layout import BBox, LayoutBox, PageView
from s1mm_assets.extraction.pdf.lines import TextLine, lines_of
from s1mm_assets.extraction.raster import RasterSettings

SMALL = RasterSettings(max_side_px=48)  # where nobody looks at the pictures
ANY_SURENESS = PdfSettings(min_confidence=0.0)


@dataclass
class Told:
    """A layout detector that sees on each page what it was told is there, and remembers what it was shown."""

    pages: Mapping[int, Sequence[LayoutBox]] = field(default_factory=dict)
    component: str = "told"
    shown: list[int] = field(default_factory=list)  # numbers of pages
    turns: list[int] = field(default_factory=list)  # of the same

    def __call__(self, name: str, data: bytes, pages: Sequence[PageView]) -> list[tuple[LayoutBox, ...]]:  # noqa: ARG002
        self.shown += [page.number for page in pages]
        self.turns += [page.turn for page in pages]
        return [tuple(self.pages.get(page.number, ())) for page in pages]


def never() -> Callable[[], bool]:
    """A stopwatch whose time is never up."""
    return lambda: False


def stopwatches(*answers: bool) -> Callable[[], Callable[[], bool]]:
    """Stopwatches that are up at once or never, one after the other; the last answer holds on."""
    left = list(answers)

    def start() -> Callable[[], bool]:
        is_up = left.pop(0) if len(left) > 1 else left[0]
        return lambda: is_up

    return start


def figure_box(*sides: float, score: float = 0.95) -> LayoutBox:
    return LayoutBox(BBox(*sides), "figure", score)


def read(
    data: bytes,
    detector: Told | None = None,
    *,
    stopwatch: Callable[[], Callable[[], bool]] = never,
    settings: PdfSettings | None = None,
    raster: RasterSettings = SMALL,
) -> PdfPaper:
    """Read a PDF without a detector, without limits of time, and with small pictures, unless told otherwise."""
    return read_pdf(
        data,
        name="paper",
        detector=detector or Told(),
        stopwatch=stopwatch,
        settings=settings or PdfSettings(),
        raster=raster,
    )


def only_figure(paper: PdfPaper) -> PdfFigure:
    """The figure of a paper that has one."""
    assert paper.rejection is None, paper.evidence
    (figure,) = paper.figures
    return figure


def paired(paper: PdfPaper) -> dict[str, PdfFigure]:
    """The figures that have a picture, by number."""
    assert paper.rejection is None, paper.evidence
    return {each.figure_number: each for each in paper.figures if each.rejection is None}


def iou(one: Sequence[float], other: Sequence[float]) -> float:
    """Intersection over union of two boxes."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    both = max(0.0, width) * max(0.0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return both / (sum(areas) - both)


def extent(mask: NDArray[np.bool_]) -> tuple[int, int, int, int]:
    """The first and last row, and the first and last column, that hold anything."""
    rows, columns = np.nonzero(mask)
    return int(rows.min()), int(rows.max()), int(columns.min()), int(columns.max())


def lines_by_page(data: bytes) -> list[list[TextLine]]:
    """The lines of each page of a PDF."""
    with opened(data) as document:
        return [lines_of(page.characters()) for page in pages_of(document)]


def lines_on(data: bytes) -> list[TextLine]:
    """The lines of a PDF that has one page."""
    (lines,) = lines_by_page(data)
    return lines
