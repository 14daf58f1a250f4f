"""Which caption belongs to which picture: one to one, by a cost, over the whole document."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from s1mm_assets.extraction.pdf.blocks import around
from s1mm_assets.extraction.pdf.captions import Caption, caption_box
from s1mm_assets.extraction.pdf.ink import Patch
from s1mm_assets.extraction.pdf.layout import BBox, LayoutBox
from s1mm_assets.extraction.pdf.regions import PageEvidence, Region, area, gap, region_of, shared

_FAR = 9.0  # a cost that no pair of one page is worth
_TAGGED = 0.2  # the cost of a picture that has the caption's number beside it
_NEAR = 1.5
_CLAIMED = 4.0  # less than this, and a region may be a panel of a caption's figure
_BEARABLE, _BEARABLE_TEXT = 2.5, 1.0  # more than this, and the whole is not the caption's figure
_PANEL_GAP_PT = 45.0
_TOUCHING_PT = 2.0
_CLEARLY_SEEN = 0.6
_WHOLE_PAGE_PT2 = 80_000.0  # a picture that leaves its caption no room on the page is larger
_MIN_REGION_PT2 = 40.0 * 40.0


@dataclass(frozen=True, slots=True)
class Pair:
    """A picture with its caption; either may be missing."""

    region: Region | None
    caption: Caption | None
    cost: float
    side: str  # where the caption stands: below, above, left, right, next_page, previous_page, elsewhere


def side_of(region: BBox, caption: BBox) -> str:
    """Say where a caption stands, seen from the picture."""
    down = max(caption.y0 - region.y1, region.y0 - caption.y1)
    across = max(caption.x0 - region.x1, region.x0 - caption.x1)
    if down >= min(across, -_TOUCHING_PT):
        return "below" if caption.y0 + caption.y1 > region.y0 + region.y1 else "above"
    return "right" if caption.x0 + caption.x1 > region.x0 + region.x1 else "left"


def cost_of(region: BBox, caption: BBox, obstacles: Sequence[BBox]) -> float:
    """Return how badly a caption suits a picture on the same page; 0 is right beneath it."""
    side = side_of(region, caption)
    if side in ("below", "above"):
        overlap = min(region.x1, caption.x1) - max(region.x0, caption.x0)
        width = min(region.x1 - region.x0, caption.x1 - caption.x0)
        aligned = max(0.0, overlap) / max(width, 1.0)
        penalty = 0.0 if side == "below" else 0.6
        apart = max(caption.y0 - region.y1, region.y0 - caption.y1)
        if overlap <= 0:  # a short caption at the margin, under a picture in the middle
            aligned = max(0.0, 0.75 + overlap / 300)
    else:
        overlap = min(region.y1, caption.y1) - max(region.y0, caption.y0)
        height = min(region.y1 - region.y0, caption.y1 - caption.y0)
        aligned = max(0.0, overlap) / max(height, 1.0)
        penalty = 0.5
        apart = max(caption.x0 - region.x1, region.x0 - caption.x1)
    between = _between(region, caption)
    n_blocking = sum(shared(between, box) > 0.25 * area(box) for box in obstacles if box != caption)
    return max(0.0, apart) / 60 + 2.0 * (1 - aligned) + penalty + 1.5 * n_blocking


def _between(one: BBox, other: BBox) -> BBox:
    """Return the box between two boxes, as wide as both where they are apart."""
    x0, x1 = sorted((one.x0, one.x1, other.x0, other.x1))[1:3]
    y0, y1 = sorted((one.y0, one.y1, other.y0, other.y1))[1:3]
    return BBox(x0, y0, x1, y1)


def pairs_on(page: PageEvidence, regions: Sequence[Region], obstacles: Sequence[BBox]) -> list[Pair]:
    """Pair the captions of one page with its pictures; panels that share a caption are united first.

    Returns:
        A pair per caption and per region; what found no partner stands alone.
    """
    captions = [caption for caption in page.captions if not caption.is_tag and caption.page == page.page]
    boxes = [box for caption in captions if (box := caption_box(caption, page.page)) is not None]
    parted = _parted(regions, boxes, obstacles)
    claims: list[list[tuple[float, Region]]] = [[] for _ in captions]
    alone: list[Region] = []
    for region in parted:
        costs = [cost_of(region.bbox, box, obstacles) for box in boxes]
        best = int(np.argmin(costs)) if costs else -1
        if best >= 0 and costs[best] < _CLAIMED:
            claims[best].append((costs[best], region))
        else:
            alone.append(region)
    united: list[Region | None] = []
    for box, claimed in zip(boxes, claims, strict=True):
        whole, left = _united(claimed, box, obstacles)
        united.append(whole)
        alone += left
    alone = _grown(united, alone, boxes, obstacles)
    pairs = []
    for caption, box, whole in zip(captions, boxes, united, strict=True):
        if whole is None:
            pairs.append(Pair(None, caption, _FAR, ""))
        else:
            region = _beyond(whole, box)
            cost = cost_of(region.bbox, box, obstacles)
            if cost > (_BEARABLE_TEXT if _is_loose_text(region) else _BEARABLE):
                pairs.append(Pair(None, caption, _FAR, ""))  # its picture may be on another page
                alone.append(region)
            else:
                pairs.append(Pair(region, caption, cost, side_of(region.bbox, box)))
    return pairs + [Pair(region, None, _FAR, "") for region in alone]


def _grown(
    united: list[Region | None], alone: list[Region], captions: Sequence[BBox], obstacles: Sequence[BBox]
) -> list[Region]:
    """Give panels that are far from the caption to the figure whose other panels they stand beside."""
    while True:
        best: tuple[float, int, int] | None = None
        for index, whole in enumerate(united):
            for at, region in enumerate(alone):
                if whole is None or _is_loose_text(region):
                    continue
                apart = gap(whole.bbox, region.bbox)
                if apart > _PANEL_GAP_PT or (best is not None and apart >= best[0]):
                    continue
                if _fits(whole, region, captions[index], obstacles):
                    best = (apart, index, at)
        if best is None:
            return alone
        _, index, at = best
        whole, region = united[index], alone[at]
        assert whole is not None  # noqa: S101 - chosen above
        united[index] = _joined(whole, region)
        alone = alone[:at] + alone[at + 1 :]


def _is_loose_text(region: Region) -> bool:
    """Whether a region is words that no detector took for a picture."""
    return region.is_text_only and region.score == 0


def _joined(one: Region, other: Region) -> Region:
    return region_of(one.page, max(one.score, other.score), (*one.patches, *other.patches))


def _parted(regions: Sequence[Region], captions: Sequence[BBox], obstacles: Sequence[BBox]) -> list[Region]:
    """Part regions in which the detector saw one figure where there is more than one caption for it."""
    parted = []
    for region in regions:
        near = [box for box in captions if _asks_for(box, region.bbox, obstacles)]
        shares: dict[int, list[Patch]] = {}
        for patch in region.patches if len(near) > 1 else ():
            costs = [cost_of(patch.bbox, box, obstacles) for box in near]
            shares.setdefault(int(np.argmin(costs)), []).append(patch)
        if len(shares) > 1:
            parted += [region_of(region.page, region.score, patches) for patches in shares.values()]
        else:
            parted.append(region)
    return parted


def _asks_for(caption: BBox, region: BBox, obstacles: Sequence[BBox]) -> bool:
    """Whether a caption stands right beneath a region, or within it."""
    if shared(region, caption) > 0.5 * area(caption):
        return True
    return side_of(region, caption) == "below" and cost_of(region, caption, obstacles) < _NEAR


def _united(
    claimed: Sequence[tuple[float, Region]], caption: BBox, obstacles: Sequence[BBox]
) -> tuple[Region | None, list[Region]]:
    """Unite the panels that a caption claims; those that obstacles part from the best one are left over."""
    drawn = [each for each in claimed if not _is_loose_text(each[1])]
    order = sorted(
        drawn or claimed, key=lambda each: (each[0] - min(2.0, each[1].area / 20_000), each[1].bbox)
    )
    rest = [each for each in claimed if each not in order]
    united: Region | None = None
    left: list[Region] = []
    for _, region in [*order, *sorted(rest, key=lambda each: each[0])]:
        if united is None:
            united = region
        elif _fits(united, region, caption, obstacles):
            united = _joined(united, region)
        else:
            left.append(region)
    return united, left


def _beyond(region: Region, caption: BBox) -> Region:
    """Return a region without what lies on the far side of its caption, such as the rule beneath it."""
    side = side_of(_bulk(region), caption)
    kept = [patch for patch in region.patches if _is_before(patch.bbox, caption, side)]
    n_ink = sum(patch.n_ink for patch in kept)
    return region_of(region.page, region.score, kept) if n_ink > 0.6 * region.n_ink else region


def _bulk(region: Region) -> BBox:
    """Return the box of a region's largest patch."""
    return max(region.patches, key=lambda patch: (patch.n_ink, patch.bbox)).bbox


def _is_before(box: BBox, caption: BBox, side: str) -> bool:
    slack = 3.0
    return {
        "below": box.y1 <= caption.y0 + slack,
        "above": box.y0 >= caption.y1 - slack,
        "right": box.x1 <= caption.x0 + slack,
        "left": box.x0 >= caption.x1 - slack,
    }[side]


def _fits(united: Region, region: Region, caption: BBox, obstacles: Sequence[BBox]) -> bool:
    """Whether the box round both takes in nothing that belongs to neither."""
    both = around([united.bbox, region.bbox])
    if _is_loose_text(region) and area(both) > 1.15 * area(united.bbox):
        return False
    return all(
        shared(both, box) <= shared(united.bbox, box) + shared(region.bbox, box) + 0.1 * area(box)
        for box in [*obstacles, caption]
    )


def across_pages(pairs: Sequence[Pair], tags: dict[int, list[str]]) -> list[Pair]:
    """Pair captions and pictures that stand on different pages: next to one another, or in lists.

    Args:
        pairs: Those of all pages.
        tags: Page → numbers that stand there as a label alone ("Fig. 3").
    """
    done = [pair for pair in pairs if pair.region is not None and pair.caption is not None]
    captions = [pair.caption for pair in pairs if pair.region is None and pair.caption is not None]
    regions = _whole_pages(
        [pair.region for pair in pairs if pair.caption is None and pair.region is not None], done
    )
    if not captions or not regions:
        return (
            done
            + [Pair(None, caption, _FAR, "") for caption in captions]
            + [Pair(region, None, _FAR, "") for region in regions]
        )
    first = min(caption.page for caption in captions)
    before = sum(region.page < first for region in regions)
    before = (
        before if len(regions) - before >= len(captions) else 0
    )  # a list of legends, and then the figures
    costs = np.array(
        [
            [_distance(caption, rank, region, at - before, tags) for at, region in enumerate(regions)]
            for rank, caption in enumerate(captions)
        ]
    )
    from scipy.optimize import linear_sum_assignment  # few documents need it, and importing it takes long

    rows, columns = linear_sum_assignment(costs)
    found = {
        int(row): int(column) for row, column in zip(rows, columns, strict=True) if costs[row, column] < _FAR
    }
    for row, caption in enumerate(captions):
        if row not in found:
            done.append(Pair(None, caption, _FAR, ""))
            continue
        region = regions[found[row]]
        step = caption.page - region.page
        side = {1: "next_page", -1: "previous_page"}.get(step, "elsewhere")
        done.append(Pair(region, caption, float(costs[row, found[row]]), side))
    taken = set(found.values())
    return done + [Pair(region, None, _FAR, "") for at, region in enumerate(regions) if at not in taken]


def _whole_pages(regions: Sequence[Region], done: Sequence[Pair]) -> list[Region]:
    """Unite what is drawn on pages where nothing has a caption."""
    busy = {pair.region.page for pair in done if pair.region is not None}
    by_page: dict[int, list[Region]] = {}
    for region in regions:
        if region.area >= _MIN_REGION_PT2 / 4:
            by_page.setdefault(region.page, []).append(region)
    whole = []
    for page, mine in sorted(by_page.items()):
        drawn = [each for each in mine if not _is_loose_text(each)]
        if page in busy or not drawn:
            whole += [each for each in drawn if each.area >= _MIN_REGION_PT2]
            continue
        patches = [patch for each in drawn for patch in each.patches]
        whole.append(region_of(page, max(each.score for each in drawn), patches))
    return whole


def _distance(caption: Caption, rank: int, region: Region, at: int, tags: dict[int, list[str]]) -> float:
    """Return how badly a caption suits a picture on another page."""
    here = tags.get(region.page, [])
    if here:
        return _TAGGED if caption.number in here else 6.0
    step = abs(caption.page - region.page)
    small = 1.0 if region.area < 15_000 else 0.0
    if step <= 1:
        return 0.6 + small
    return min(8.0, 3.0 + 0.5 * abs(rank - at) + 0.02 * step + small)


def confidence_of(pair: Pair, layout: Sequence[LayoutBox]) -> float:
    """Return how sure a pair is, 0 to 1: how well its parts suit each other, and whether the detector agrees.

    Args:
        pair: With both parts.
        layout: What the detector saw on the picture's page.
    """
    assert pair.region is not None  # noqa: S101 - as asked for
    assert pair.caption is not None  # noqa: S101
    suits = {"next_page": 0.88, "previous_page": 0.85, "elsewhere": 0.6}.get(pair.side)
    if suits is None:
        suits = 1 / (1 + (pair.cost / 1.6) ** 2)
    elif pair.cost <= _TAGGED:
        suits = 0.93
    elif pair.region.area < _WHOLE_PAGE_PT2:
        suits *= 0.8
    seen = _agreement(
        pair.region.bbox, [box.bbox for box in layout if box.kind == "figure" and box.score >= 0.3]
    )
    doubt = 1.0 if pair.caption.anchor.mark else 0.95
    if pair.region.is_text_only and pair.region.score < _CLEARLY_SEEN:
        doubt *= 0.5  # more often an equation than a figure
    return round(suits * (0.62 + 0.38 * seen) * doubt, 3)


def _agreement(region: BBox, boxes: Sequence[BBox]) -> float:
    """Return how much of a region the detector's boxes fill that lie within it, or how well one fits, 0 to 1."""
    whole = area(region)
    best = max(
        (shared(region, box) / (whole + area(box) - shared(region, box)) for box in boxes), default=0.0
    )
    within = [box for box in boxes if shared(region, box) >= 0.7 * area(box)]
    filled = shared(region, around(within)) / whole if within else 0.0
    return max(best, 0.9 * filled)
