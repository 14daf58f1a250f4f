"""Where pictures are on a page: patches of ink and the detector's boxes, fused.

What is running text, caption, table, equation or furniture is taken out first; what is left is drawn.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from s1mm_assets.extraction.pdf.blocks import Block, Columns, around, fills_column, starts_at_column
from s1mm_assets.extraction.pdf.captions import Caption
from s1mm_assets.extraction.pdf.ink import Ink, Patch
from s1mm_assets.extraction.pdf.layout import BBox, LayoutBox
from s1mm_assets.extraction.pdf.lines import TextLine
from s1mm_assets.extraction.pdf.running_text import is_heading_text

_TABLE_LABEL = re.compile(r"(?:supplementary |extended data )?tab(?:le|\.)\s+[A-Z]{0,2}\.?\d", re.IGNORECASE)
MAX_PATCHES = 1_500  # of a page, those with most ink
MAX_REGIONS = 80  # of a page
_SURE = 0.5  # a detector's score from which its word counts
_FIGURE_SCORE = 0.25
_LIKELY = 0.3
_NEARLY_ALL = 0.75
_EDGE_SHARE = 0.1  # of the page's height
_LOOSE_REACH_PT = 14.0
_RULE_PT = 3.0
_MIN_SIDE_PT = 12.0  # of something drawn that the detector did not see; less is dust
_TEXT_ONLY = 0.85


@dataclass(frozen=True, slots=True)
class Region:
    """Something drawn on a page."""

    page: int  # 0-based
    bbox: BBox
    score: float  # of the detector's figure box that it comes from; 0 without one
    n_ink: float  # square points
    is_text_only: bool
    patches: tuple[Patch, ...] = ()

    @property
    def area(self) -> float:
        """Square points."""
        return area(self.bbox)


@dataclass(frozen=True, slots=True, kw_only=True)
class PageEvidence:
    """What is known of one page before anything is paired."""

    page: int
    size_pt: tuple[float, float]
    ink: Ink  # without what stands on many pages
    lines: tuple[TextLine, ...]  # all of them
    furniture: frozenset[int]  # `order` of lines
    blocks: tuple[Block, ...]  # upright text without furniture
    captions: tuple[Caption, ...]  # that stand on this page
    layout: tuple[LayoutBox, ...]


def area(box: BBox) -> float:
    """Square points."""
    return max(0.0, box.x1 - box.x0) * max(0.0, box.y1 - box.y0)


def shared(one: BBox, other: BBox) -> float:
    """Return the area that two boxes share, in square points."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return max(0.0, width) * max(0.0, height)


def gap(one: BBox, other: BBox) -> float:
    """Return how far two boxes are apart, in points along the axis where they are farther; 0 if they touch."""
    across = max(one.x0, other.x0) - min(one.x1, other.x1)
    down = max(one.y0, other.y0) - min(one.y1, other.y1)
    return max(0.0, across, down)


def prose_of(page: PageEvidence, body: float, columns: Columns) -> list[Block]:
    """Return the blocks of running text, headings and lists, in the order of the content stream."""
    captions = {line.order for each in page.captions for _, block in each.blocks for line in block.lines}
    fonts = Counter(line.font for block in page.blocks for line in block.lines if fills_column(line, columns))
    return [
        block
        for block in page.blocks
        if block.lines[0].order not in captions and _is_prose(block, page.layout, body, columns, fonts)
    ]


def obstacles_of(page: PageEvidence, prose: Sequence[Block]) -> list[BBox]:
    """Return the boxes of what is no part of any figure: text, captions, furniture, tables, equations."""
    boxes = [box for caption in page.captions for box in caption.boxes_on(page.page)]
    boxes += [line.bbox for line in page.lines if line.order in page.furniture]
    boxes += [block.bbox for block in prose]
    figures = [box for box in page.layout if box.kind == "figure"]
    for box in page.layout:
        is_at_edge = min(box.bbox.y1, page.size_pt[1] - box.bbox.y0) < _EDGE_SHARE * page.size_pt[1]
        is_aside = box.kind == "furniture" and box.score >= _SURE and is_at_edge
        if is_aside or (box.kind in ("table", "equation") and box.score >= _LIKELY):
            stronger = [figure.bbox for figure in figures if figure.score >= box.score]
            if not _is_within(box.bbox, stronger):
                boxes.append(box.bbox)
    return boxes


def _is_within(box: BBox, outer: Iterable[BBox], least: float = 0.8) -> bool:
    return any(shared(box, each) >= least * area(box) for each in outer)


def _is_prose(
    block: Block, layout: Sequence[LayoutBox], body: float, columns: Columns, fonts: Counter[int]
) -> bool:
    """Whether a block is running text, a heading, or a list: by the detector, by its look, or by both."""
    box = block.bbox
    if block.n_characters < 4:
        return False  # a panel's letter, a number at an axis
    mean_chars = block.n_characters / len(block.lines)
    is_at_column = starts_at_column(block.lines[0], columns)
    is_in_font = not fonts or fonts[block.lines[0].font] > 0
    is_body_size = abs(block.size - body) <= 0.12 * body and (is_in_font or is_at_column)
    looks = is_body_size and len(block.lines) >= 2 and mean_chars >= 25
    is_in_place = is_body_size or is_at_column
    looks = looks or (is_in_place and len(block.lines) >= 3 and mean_chars >= 40)
    is_long = is_body_size and len(block.lines) >= 4 and mean_chars >= 35
    in_figure = _is_within(
        box, (each.bbox for each in layout if each.kind == "figure" and each.score >= _SURE)
    )
    is_column = is_body_size and any(
        len(line.text) > 25 and fills_column(line, columns) for line in block.lines
    )
    if in_figure:
        return is_long or is_column
    text_kinds = ("text", "title", "furniture")
    seen = _is_within(box, (e.bbox for e in layout if e.kind in text_kinds and e.score >= _SURE), 0.6)
    is_title = is_at_column and block.size > 0.93 * body and is_heading_text(block)
    is_table_label = bool(_TABLE_LABEL.match(block.lines[0].text))
    return looks or (seen and is_in_place) or is_column or is_title or is_table_label


def regions_on(page: PageEvidence, obstacles: Sequence[BBox]) -> list[Region]:
    """Return what is drawn on a page, from top to bottom; panels of one figure may be regions of their own."""
    patches = page.ink.without(obstacles).patches(line.bbox for line in page.lines)
    if len(patches) > MAX_PATCHES:
        patches = sorted(patches, key=lambda patch: -patch.n_ink)[:MAX_PATCHES]
    boxes = [box for box in page.layout if box.kind == "figure" and box.score >= _FIGURE_SCORE]
    groups: list[tuple[float, list[Patch]]] = [(box.score, []) for box in boxes]
    loose: list[Patch] = []
    for patch in patches:
        home = _home(patch, boxes)
        if home is None and not _is_rule(patch):
            loose.append(patch)
        elif home is not None:
            groups[home][1].append(patch)
    kept = [(score, inner) for score, members in groups if (inner := _without_outer_rules(members))]
    kept = _with_loose(kept, loose, obstacles)
    regions = [region_of(page.page, score, members) for score, members in kept]
    regions = [region for region in regions if region.score > 0 or _side(region.bbox) >= _MIN_SIDE_PT]
    regions = sorted(regions, key=lambda region: (-region.score, -region.area))[:MAX_REGIONS]
    return sorted(regions, key=lambda region: (region.bbox.y0, region.bbox.x0))


def _side(box: BBox) -> float:
    return max(box.x1 - box.x0, box.y1 - box.y0)


def _home(patch: Patch, boxes: Sequence[LayoutBox]) -> int | None:
    """Return the figure box that a patch is in: the surest of those that hold nearly all, else who has most."""
    whole = max(area(patch.bbox), 1.0)
    held = [shared(patch.bbox, box.bbox) / whole for box in boxes]
    inside = [index for index, part in enumerate(held) if part >= _NEARLY_ALL]
    if inside:
        return max(inside, key=lambda index: (boxes[index].score, -index))
    return next((index for index, part in enumerate(held) if part > 0.5 and part == max(held)), None)


def _is_rule(patch: Patch) -> bool:
    """Whether a patch is a line that parts text."""
    width, height = patch.bbox.x1 - patch.bbox.x0, patch.bbox.y1 - patch.bbox.y0
    return min(width, height) <= _RULE_PT and max(width, height) >= 20 * _RULE_PT


def _without_outer_rules(patches: list[Patch]) -> list[Patch]:
    """Leave out lines that stand clear of everything else: those under running heads, over footnotes."""
    drawn = [patch for patch in patches if not _is_rule(patch)]
    if not drawn:
        return []
    inside = around([patch.bbox for patch in drawn])
    return [patch for patch in patches if shared(patch.bbox, inside) > 0 or not _is_rule(patch)]


Group = tuple[float, list[Patch]]


def _with_loose(groups: list[Group], loose: list[Patch], obstacles: Sequence[BBox]) -> list[Group]:
    """Give to each group the patches at its edge; let those far from all groups be groups of their own."""
    waiting = loose
    boxes = [around([patch.bbox for patch in members]) for _, members in groups]
    while True:
        left = []
        for patch in waiting:
            near = [
                (gap(patch.bbox, box), index)
                for index, box in enumerate(boxes)
                if gap(patch.bbox, box) <= _LOOSE_REACH_PT and not _is_blocked(box, patch.bbox, obstacles)
            ]
            if near:
                index = min(near)[1]
                groups[index][1].append(patch)
                boxes[index] = around([boxes[index], patch.bbox])
            else:
                left.append(patch)
        if len(left) == len(waiting):
            break
        waiting = left
    return groups + [(0.0, members) for members in _clusters(waiting, obstacles)]


def _clusters(patches: Sequence[Patch], obstacles: Sequence[BBox]) -> Iterator[list[Patch]]:
    """Put together patches that are near one another with no obstacle between."""
    if not patches:
        return
    boxes = np.array([patch.bbox for patch in patches])
    across = np.maximum(boxes[:, None, 0], boxes[None, :, 0]) - np.minimum(
        boxes[:, None, 2], boxes[None, :, 2]
    )
    down = np.maximum(boxes[:, None, 1], boxes[None, :, 1]) - np.minimum(boxes[:, None, 3], boxes[None, :, 3])
    near = np.argwhere(np.triu(np.maximum(across, down) <= _LOOSE_REACH_PT, k=1))
    joined = [
        (one, other)
        for one, other in near.tolist()
        if not _is_blocked(patches[one].bbox, patches[other].bbox, obstacles)
    ]
    rows, columns = np.array(joined, dtype=int).reshape(-1, 2).T
    links = coo_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(patches), len(patches)))
    count, labels = connected_components(links, directed=False)
    for label in range(count):
        yield [patches[index] for index in np.flatnonzero(labels == label).tolist()]


def _is_blocked(one: BBox, other: BBox, obstacles: Sequence[BBox]) -> bool:
    """Whether the box round two boxes takes in an obstacle that neither of them touches."""
    if not obstacles:
        return False
    boxes = np.asarray(obstacles)
    whole = np.maximum(_areas(boxes), 1e-9)
    touched = _shared_with(boxes, one) + _shared_with(boxes, other)
    taken = _shared_with(boxes, around([one, other])) > 0.15 * whole
    return bool((taken & (touched < 0.05 * whole)).any())


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    areas: NDArray[np.float64] = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    return areas


def _shared_with(boxes: NDArray[np.float64], box: BBox) -> NDArray[np.float64]:
    """Return the area that each of some boxes shares with one, in square points."""
    width = np.minimum(boxes[:, 2], box.x1) - np.maximum(boxes[:, 0], box.x0)
    height = np.minimum(boxes[:, 3], box.y1) - np.maximum(boxes[:, 1], box.y0)
    areas: NDArray[np.float64] = np.clip(width, 0, None) * np.clip(height, 0, None)
    return areas


def region_of(page: int, score: float, patches: Sequence[Patch]) -> Region:
    """Return the region that some patches make up."""
    n_ink, n_text = sum(each.n_ink for each in patches), sum(each.n_text for each in patches)
    box = around([patch.bbox for patch in patches])
    return Region(page, box, score, n_ink, n_text > _TEXT_ONLY * n_ink, tuple(patches))
