"""What a layout detector says of a page, and how one is asked. No detector lives here.

Detectors are resources (`resources/layout_detector.py`); those whose answers are files are read by `mineru.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from s1mm_assets.tables import Rejection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BoxKind = Literal[
    "figure", "figure_caption", "table", "table_caption", "text", "title", "equation", "furniture", "other"
]
"""What a box holds. Furniture: running heads, feet, page numbers, marginal notes."""


class BBox(NamedTuple):
    """A rectangle in points of the page as displayed, origin top-left."""

    x0: float
    y0: float
    x1: float
    y1: float


@dataclass(frozen=True, slots=True)
class LayoutBox:
    """One region that a detector saw on a page."""

    bbox: BBox
    kind: BoxKind
    score: float  # 0 to 1; detectors without a score say 1


@dataclass(frozen=True, slots=True)
class PageView:
    """One page to look at."""

    number: int  # 0-based
    width_pt: float
    height_pt: float
    draw: Callable[[float], NDArray[np.uint8]]  # dots per inch → (height, width, 3) RGB, white behind
    turn: int = 0  # degrees clockwise that all this was turned to be read; who opens the PDF sees it unturned


class LayoutError(Exception):
    """A detector could not look at a document: it is missing, failed on it, or answered nonsense."""

    def __init__(self, rejection: Rejection, evidence: str) -> None:
        super().__init__(evidence)
        self.rejection = rejection
        self.evidence = evidence

    def __reduce__(self) -> tuple[type[LayoutError], tuple[Rejection, str]]:
        return LayoutError, (self.rejection, self.evidence)


class LayoutDetector(Protocol):
    """Says what lies where on the pages of one document; picklable, and made ready in the worker."""

    @property
    def component(self) -> str:
        """What the data depends on, as the stage's environment names it."""

    def __call__(self, name: str, data: bytes, pages: Sequence[PageView]) -> list[tuple[LayoutBox, ...]]:
        """Return the boxes of each page, in the order of `pages`.

        Args:
            name: The paper's id; detectors whose answers are files find them by it.
            data: The PDF, for engines that open it themselves.
            pages: What to look at; a detector that works on pixels draws each once.

        Raises:
            LayoutError: It cannot say; what it knows of other documents is not touched by that.
        """
