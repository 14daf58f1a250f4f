"""The layout that MinerU (before 1.0: magic-pdf) writes to files, in the schemas of all its generations.

Which file it is is told from its content:

- `middle.json` of versions before 4: `pdf_info[]` with `page_size` in points, boxes in points.
- `middle.json` of version 4 (docvortex): `pages[]`, boxes as fractions of the page.
- `content_list.json` since version 2: one flat list, boxes in thousandths of the page.
- `model.json` of versions before 3: per page `layout_dets[]`, polygons in pixels of `page_info`.

Every box is measured from the top-left corner of the page. The files come from elsewhere and may hold
anything: what is not a box on a page of the document is passed over.
"""

import json
import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple

from s1mm_assets.extraction.pdf.layout import BBox, BoxKind, LayoutBox, LayoutError
from s1mm_assets.tables import Rejection

MAX_BYTES = 64 * 2**20  # version 4 keeps the pictures in it
MAX_VALUES = 4_000_000  # some 3000 per page were seen
MAX_BOXES_PER_PAGE = 1000

_FIGURE: BoxKind = "figure"
_KINDS: dict[str, BoxKind] = {
    **dict.fromkeys(("image", "image_body", "chart", "chart_body"), _FIGURE),
    **dict.fromkeys(("image_caption", "chart_caption"), "figure_caption"),
    **dict.fromkeys(("table", "table_body"), "table"),
    "table_caption": "table_caption",
    **dict.fromkeys(("text", "list", "index", "abstract", "ref_text"), "text"),
    **dict.fromkeys(("image_footnote", "chart_footnote", "table_footnote"), "text"),
    **dict.fromkeys(("title", "doc_title", "paragraph_title"), "title"),
    **dict.fromkeys(("equation", "interline_equation"), "equation"),
    **dict.fromkeys(("discarded", "header", "footer", "page_number"), "furniture"),
    **dict.fromkeys(("aside_text", "page_footnote"), "furniture"),
}
_CATEGORIES: dict[int, str] = {  # of model.json; the others are lines of text and formulas in them
    0: "title",
    1: "text",
    2: "discarded",
    3: "image",
    4: "image_caption",
    5: "table",
    6: "table_caption",
    7: "table_footnote",
    8: "equation",
    101: "image_footnote",
}
_PARTS = ("_body", "_caption", "_footnote")  # how the types of a figure's or table's parts end


class _Region(NamedTuple):
    """One region as a file states it."""

    type: object
    corners: object  # x0, y0, x1, y1 in some unit
    score: object = None


class _Page(NamedTuple):
    """What a file says of one page."""

    number: object  # 0-based
    size: object  # width, height of the page in the unit of its corners
    regions: list[_Region]


def boxes_of(
    document: bytes, sizes_pt: Mapping[int, tuple[float, float]]
) -> dict[int, tuple[LayoutBox, ...]]:
    """Return page (0-based) → its boxes in the order of the file, which is reading order.

    Args:
        document: One of MinerU's files.
        sizes_pt: Page → width and height as displayed. Pages of the file that are not among them, or have
            another shape than stated there, are left out.

    Raises:
        LayoutError: It is not one of these files, too large, or holds no box at all that fits `sizes_pt`
            although it states some.
    """
    found: dict[int, list[LayoutBox]] = {}
    n_stated = 0
    for page in _pages(_parsed(document)):
        if not isinstance(page.number, int) or isinstance(page.number, bool) or page.number not in sizes_pt:
            continue
        n_stated += len(page.regions)
        size_pt, unit = sizes_pt.get(page.number), _numbers(page.size, 2)
        if size_pt is None or unit is None or not _is_alike(size_pt, unit):
            continue
        boxes = found.setdefault(page.number, [])
        boxes += islice(_boxes(page.regions, size_pt, unit), MAX_BOXES_PER_PAGE - len(boxes))
    if n_stated and not any(found.values()):
        raise _unusable(
            "holds no box on a page of this document: it is of another one, or too old to say where"
        )
    return {number: tuple(boxes) for number, boxes in found.items()}


def _unusable(reason: str) -> LayoutError:
    return LayoutError(Rejection.UNDECODABLE, f"MinerU's file {reason}")


def _parsed(document: bytes) -> Any:
    """Return the values of a file, which take a bounded multiple of its bytes."""
    if len(document) > MAX_BYTES:
        raise _unusable(f"is larger than {MAX_BYTES // 2**20} MiB")
    if sum(map(document.count, (b",", b"[", b"{"))) > MAX_VALUES:
        raise _unusable(f"holds more than {MAX_VALUES} values")
    try:
        return json.loads(document)
    except (ValueError, RecursionError):  # also for a number of thousands of digits
        raise _unusable("is not JSON, or nested too deeply") from None


def _pages(parsed: Any) -> Iterator[_Page]:
    """Tell the schema, and yield its pages; one page may come several times."""
    if isinstance(parsed, dict) and isinstance(parsed.get("pdf_info"), list):
        for page in _objects(parsed["pdf_info"]):
            blocks = page.get("para_blocks") or page.get("preproc_blocks")
            regions = [*_regions(blocks, "blocks"), *_regions(page.get("discarded_blocks"), "blocks")]
            yield _Page(page.get("page_idx"), page.get("page_size"), regions)
    elif isinstance(parsed, dict) and isinstance(parsed.get("pages"), list):
        for page in _objects(parsed["pages"]):
            yield _Page(page.get("page_idx"), (1, 1), list(_regions(page.get("blocks"), "content")))
    elif isinstance(parsed, list) and any("layout_dets" in each for each in _objects(parsed)):
        for page in _objects(parsed):
            yield _model_page(page)
    elif isinstance(parsed, list):
        for entry in _objects(parsed):
            is_title = entry.get("type") == "text" and "text_level" in entry
            kind = "title" if is_title else entry.get("type")
            yield _Page(entry.get("page_idx"), (1000, 1000), [_Region(kind, entry.get("bbox"))])
    else:
        raise _unusable("is no middle.json, content_list.json or model.json")


def _regions(blocks: object, parts_key: str) -> Iterator[_Region]:
    """Yield the regions of a page's blocks; figures and tables by their parts, so that captions stand apart."""
    for block in _objects(blocks):
        parts = [part for part in _objects(block.get(parts_key)) if str(part.get("type")).endswith(_PARTS)]
        if not any(str(part.get("type")).endswith("_body") for part in parts):
            yield _Region(block.get("type"), block.get("bbox"))
        for part in parts:
            spans = [span for line in _objects(part.get("lines")) for span in _objects(line.get("spans"))]
            score = spans[0].get("score") if len(spans) == 1 else None  # a picture's own; lines of text say 1
            yield _Region(part.get("type"), part.get("bbox"), score)


def _model_page(page: Mapping[str, Any]) -> _Page:
    """Read one page of model.json; of a polygon's corners the first is top-left, the third bottom-right."""
    info = page.get("page_info")
    info = info if isinstance(info, dict) else {}
    regions = []
    for detected in _objects(page.get("layout_dets")):
        category, polygon = detected.get("category_id"), _numbers(detected.get("poly"), 8)
        if isinstance(category, int) and category in _CATEGORIES and polygon is not None:
            corners = (*polygon[0:2], *polygon[4:6])
            regions.append(_Region(_CATEGORIES[category], corners, detected.get("score")))
    return _Page(info.get("page_no"), (info.get("width"), info.get("height")), regions)


def _boxes(
    regions: list[_Region], size_pt: tuple[float, float], unit: tuple[float, ...]
) -> Iterator[LayoutBox]:
    """Yield the regions that are boxes, in points, cut off where the page ends."""
    scale = [to / of for to, of in zip(size_pt, unit, strict=True)] * 2
    for region in regions:
        corners = _numbers(region.corners, 4)
        if corners is None:
            continue
        scaled = (
            min(max(at * by, 0.0), most) for at, by, most in zip(corners, scale, size_pt * 2, strict=True)
        )
        bbox = BBox(*(round(at, 2) for at in scaled))
        if bbox.x0 < bbox.x1 and bbox.y0 < bbox.y1:
            kind = _KINDS.get(region.type, "other") if isinstance(region.type, str) else "other"
            yield LayoutBox(bbox, kind, _score(region.score))


def _score(stated: object) -> float:
    score = _numbers([stated], 1)
    return score[0] if score is not None and 0 <= score[0] <= 1 else 1.0


def _is_alike(size_pt: tuple[float, float], unit: tuple[float, ...]) -> bool:
    """Whether a page has the shape that a file states; units of (1, 1) and (1000, 1000) state none."""
    if min(unit) <= 0 or min(size_pt) <= 0:
        return False
    is_stated = unit[0] != unit[1] or unit[0] not in (1, 1000)
    return not is_stated or math.isclose(unit[0] / unit[1], size_pt[0] / size_pt[1], rel_tol=0.02)


def _numbers(value: object, count: int) -> tuple[float, ...] | None:
    """Return so many finite numbers of a sane size, or None if that is not what it is."""
    if not isinstance(value, (list, tuple)) or len(value) != count:
        return None
    if any(isinstance(each, bool) or not isinstance(each, (int, float)) for each in value):
        return None
    return tuple(map(float, value)) if all(abs(each) < 1e9 for each in value) else None


def _objects(value: object) -> list[dict[str, Any]]:
    """Return those members of a list that are objects."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
