"""Set a small text file as pages: for the papers that come without source, and for the PDF of a package.

Such a text holds one block a line: `# title`, `@ authors`, `## section`, `! plate | caption` or a paragraph.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from draw import Drawing, text_width

PAGE_WIDTH, PAGE_HEIGHT = 612.0, 792.0  # US letter, in points
MARGIN = 72.0
PLATE_SCALE = 0.825


@dataclass(frozen=True, slots=True)
class Plate:
    """A figure or table as it was set."""

    page: int  # 0-based
    bbox: tuple[float, float, float, float]  # x0, y0, x1, y1 in points, origin at the top left
    drawing: Drawing  # what was scaled into the box
    caption: str  # with its label


def typeset(text: str, plates: Mapping[str, Callable[[], Drawing]]) -> "Column":
    """Set a paper; `sheets` of what is returned are its pages, `plates` what is shown where.

    Args:
        text: The paper, a block per line; empty lines count for nothing.
        plates: What draws each figure that the text names.
    """
    column = Column()
    for block in filter(None, text.splitlines()):
        mark, _, rest = block.partition(" ")
        if mark == "#":
            column.lines(rest, 16, 20)
        elif mark == "@":
            column.lines(rest, 11, 15)
        elif mark == "##":
            column.space(6)
            column.lines(rest, 13, 17)
        elif mark == "!":
            name, _, caption = rest.partition(" | ")
            column.plate(plates[name](), caption)
        else:
            column.lines(block, 10.5, 14)
            column.space(6)
    return column


class Column:
    """One column of text that runs over as many pages as it needs."""

    def __init__(self) -> None:
        self.sheets: list[Drawing] = []
        self.plates: list[Plate] = []
        self.y = 0.0

    def need(self, height: float) -> None:
        """Begin a new page where less than this height is left."""
        if not self.sheets or self.y - height < MARGIN:
            self.sheets.append(Drawing(PAGE_WIDTH, PAGE_HEIGHT))
            self.sheets[-1].text((PAGE_WIDTH / 2, 40), str(len(self.sheets)), 9, 0.5)
            self.y = PAGE_HEIGHT - MARGIN

    def space(self, height: float) -> None:
        """Leave white space."""
        self.y -= height

    def lines(self, text: str, size: float, leading: float) -> None:
        """Set a paragraph, flush left."""
        for line in wrapped(text, size, PAGE_WIDTH - 2 * MARGIN):
            self.need(leading)
            self.y -= leading
            self.sheets[-1].text((MARGIN, self.y), line, size)

    def plate(self, drawing: Drawing, caption: str) -> None:
        """Set a figure in the middle and its caption below it, on one page."""
        scale = min(PLATE_SCALE, (PAGE_WIDTH - 2 * MARGIN) / drawing.width)
        width, height = drawing.width * scale, drawing.height * scale
        self.space(12)
        self.need(height + 60)
        left, top = (PAGE_WIDTH - width) / 2, PAGE_HEIGHT - self.y
        self.y -= height
        self.sheets[-1].place(drawing, (left, self.y), scale)
        bbox = (left, top, left + width, top + height)
        self.plates.append(Plate(len(self.sheets) - 1, bbox, drawing, caption))
        self.lines(caption, 9.5, 12)
        self.space(12)


def wrapped(text: str, size: float, width: float) -> Iterator[str]:
    """Yield lines no wider than `width` points, as long as no word is."""
    line = ""
    for word in text.split():
        longer = f"{line} {word}".strip()
        if line and text_width(longer, size) > width:
            yield line
            line = word
        else:
            line = longer
    yield line
