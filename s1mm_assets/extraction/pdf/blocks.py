"""Lines of a page → blocks of text: paragraphs, captions, headings, each in one column."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from s1mm_assets.extraction.pdf.layout import BBox
from s1mm_assets.extraction.pdf.lines import TextLine

MAX_PITCH = 2.7  # em: double spacing
COLUMN_STEP_PT = 2.0
_SAME_SIZE = 0.12
_SAME_PITCH = 0.28


@dataclass(frozen=True, slots=True)
class Block:
    """Lines that follow one another at one distance, in one size."""

    lines: tuple[TextLine, ...]

    @property
    def bbox(self) -> BBox:
        """Round all lines."""
        return around([line.bbox for line in self.lines])

    @property
    def size(self) -> float:
        """Points."""
        return self.lines[0].size

    @property
    def n_characters(self) -> int:
        """Blanks included."""
        return sum(len(line.text) for line in self.lines)


def around(boxes: Sequence[BBox]) -> BBox:
    """Return the smallest box that holds all of some."""
    return BBox(
        min(box.x0 for box in boxes),
        min(box.y0 for box in boxes),
        max(box.x1 for box in boxes),
        max(box.y1 for box in boxes),
    )


def blocks_of(lines: Sequence[TextLine], breaks: frozenset[int] = frozenset()) -> list[Block]:
    """Return the blocks, in the order in which their first lines stand in the content stream.

    Args:
        lines: Upright lines of one page.
        breaks: `order` of lines that begin a block whatever stands above them.
    """
    below = _followers(lines, breaks)
    steps = [lines[after].baseline - lines[before].baseline for before, after in below.items()]
    usual = float(np.median(steps)) if steps else 0.0
    has_above = set(below.values())
    blocks = []
    for start in range(len(lines)):
        if start in has_above:
            continue
        chain = [start]
        while chain[-1] in below:
            chain.append(below[chain[-1]])
        blocks.extend(_cut([lines[index] for index in chain], usual))
    return sorted(blocks, key=lambda block: block.lines[0].order)


def _cut(chain: list[TextLine], usual: float) -> list[Block]:
    """Cut a chain of lines where the distance is larger than the next one above or below."""
    steps = [after.baseline - before.baseline for before, after in pairwise(chain)]
    blocks, start = [], 0
    for index, step in enumerate(steps):
        beside = [steps[near] for near in (index - 1, index + 1) if 0 <= near < len(steps)]
        if step > (1 + _SAME_PITCH) * min(beside or [max(usual, 1.2 * chain[0].size)]):
            blocks.append(Block(tuple(chain[start : index + 1])))
            start = index + 1
    return [*blocks, Block(tuple(chain[start:]))]


def _followers(lines: Sequence[TextLine], breaks: frozenset[int]) -> dict[int, int]:
    """Return line → the line below it in the same block; each has at most one above it."""
    if not lines:
        return {}
    boxes = np.array([line.bbox for line in lines])
    sizes = np.array([line.size for line in lines])
    by_top = np.argsort(boxes[:, 1], kind="stable")
    tops = boxes[by_top, 1]
    best: dict[int, tuple[float, int]] = {}
    for above in range(len(lines)):
        if len(lines[above].text) <= 2:
            continue  # an index or a letter of a formula that stands apart
        x0, y0, x1, _ = boxes[above]
        size = sizes[above]
        low, high = np.searchsorted(tops, (y0 + 0.4 * size, y0 + MAX_PITCH * size))
        near = by_top[low:high]
        shared = np.minimum(boxes[near, 2], x1) - np.maximum(boxes[near, 0], x0)
        fits = (shared > 0.5 * np.minimum(boxes[near, 2] - boxes[near, 0], x1 - x0)) & (
            np.abs(sizes[near] - size) <= _SAME_SIZE * size
        )
        near = near[fits & (near != above)]
        if not len(near):
            continue
        follower = int(near[np.argmin(boxes[near, 1])])
        if lines[follower].order in breaks:
            continue
        distance = lines[follower].baseline - lines[above].baseline
        if follower not in best or distance < best[follower][0]:
            best[follower] = (distance, above)
    taken: dict[int, int] = {}
    for follower, (_, above) in best.items():
        if above not in taken or boxes[follower, 1] < boxes[taken[above], 1]:
            taken[above] = follower
    return taken


def body_size(pages: Sequence[Sequence[TextLine]]) -> float:
    """Return the size in which most of the document is set, to half a point; 10 without any text."""
    counts: Counter[float] = Counter()
    for lines in pages:
        for line in lines:
            if len(line.text) > 20:
                counts[round(line.size * 2) / 2] += len(line.text)
    return min(counts, key=lambda size: (-counts[size], size)) if counts else 10.0


Columns = frozenset[tuple[int, int]]


def columns_of(pages: Sequence[Sequence[TextLine]], body: float) -> Columns:
    """Return the columns that the document is set in: left and right edge in steps of `COLUMN_STEP_PT`."""
    counts: Counter[tuple[int, int]] = Counter()
    for lines in pages:
        for line in lines:
            if len(line.text) > 25 and abs(line.size - body) <= _SAME_SIZE * body:
                counts[_edges(line)] += 1
    least = max(8.0, 0.02 * counts.total())
    return frozenset(edges for edges, count in counts.items() if count >= least)


def fills_column(line: TextLine, columns: Columns) -> bool:
    """Whether a line reaches from one edge of a column to the other."""
    left, right = _edges(line)
    return any((left + a, right + b) in columns for a in (-1, 0, 1) for b in (-1, 0, 1))


def starts_at_column(line: TextLine, columns: Columns) -> bool:
    """Whether a line begins at the left edge of a column."""
    left, _ = _edges(line)
    return any(abs(left - edge) <= 1 for edge, _ in columns)


def _edges(line: TextLine) -> tuple[int, int]:
    return round(line.bbox.x0 / COLUMN_STEP_PT), round(line.bbox.x1 / COLUMN_STEP_PT)
