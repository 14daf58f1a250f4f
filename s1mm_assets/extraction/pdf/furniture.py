"""What stands on pages without belonging to what they say: running heads, page and line numbers, banners."""

import re
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from s1mm_assets.extraction.pdf.captions import LABEL
from s1mm_assets.extraction.pdf.lines import TextLine

_DIGITS = re.compile(r"\d+")
_NUMBER = re.compile(r"\d{1,5}")
_EDGE_SHARE = 0.13  # of the page's height, above and below
_MARGIN_PT, _STAMP_CHARS = 40.0, 25
_VERY_EDGE_SHARE = 0.06
_MIN_LINE_NUMBERS = 6
_SLACK_PT = 6.0
_MIN_LETTERS = 4  # letters of panels stand at the top of many pages too


def furniture(pages: Sequence[Sequence[TextLine]], heights: Sequence[float]) -> list[frozenset[int]]:
    """Return, for each page, the `order` of the lines that are furniture."""
    repeated = _repeated(pages, heights)
    counted = _page_numbers(pages, heights)
    found = []
    for page, (lines, height) in enumerate(zip(pages, heights, strict=True)):
        heads = {line.order for line in lines if _key(line, height) in repeated}
        numbers = {line.order for line in lines if _count(line, page, height) in counted}
        found.append(frozenset(heads | numbers | _line_numbers(lines) | _lone_number(lines, height)))
    return found


def _page_numbers(pages: Sequence[Sequence[TextLine]], heights: Sequence[float]) -> set[tuple[int, int]]:
    """Return where numbers stand that grow by one from page to page."""
    counts: Counter[tuple[int, int]] = Counter()
    for page, (lines, height) in enumerate(zip(pages, heights, strict=True)):
        counts.update({count for line in lines if (count := _count(line, page, height)) is not None})
    return {count for count, times in counts.items() if times >= 3}


def _count(line: TextLine, page: int, height: float) -> tuple[int, int] | None:
    """Return a number's distance from the page's, and its height on the page; None inside the edges."""
    middle = (line.bbox.y0 + line.bbox.y1) / 2
    if not _NUMBER.fullmatch(line.text) or _EDGE_SHARE * height < middle < (1 - _EDGE_SHARE) * height:
        return None
    return int(line.text) - page, round(middle / _SLACK_PT)


def _key(line: TextLine, height: float) -> tuple[str, int] | None:
    """Return what makes a line the same on another page; None outside the edges."""
    if LABEL.match(line.text):
        return None  # "Fig. 3" in the corner of a page that is all figure
    if not line.is_upright:
        if line.bbox.x0 > _MARGIN_PT and len(line.text) < _STAMP_CHARS:
            return None  # the name of an axis
        return _DIGITS.sub("#", line.text), -round(line.bbox.x0 / _SLACK_PT)
    middle = (line.bbox.y0 + line.bbox.y1) / 2
    if _EDGE_SHARE * height < middle < (1 - _EDGE_SHARE) * height:
        return None
    return _DIGITS.sub("#", line.text), round(middle / _SLACK_PT)


def _repeated(pages: Sequence[Sequence[TextLine]], heights: Sequence[float]) -> set[tuple[str, int]]:
    counts: Counter[tuple[str, int]] = Counter()
    for lines, height in zip(pages, heights, strict=True):
        counts.update({key for line in lines if (key := _key(line, height)) is not None})
    least = 3 if len(pages) > 4 else 2
    near: set[tuple[str, int]] = set()
    for text, place in counts:
        together = sum(counts[text, place + step] for step in (-1, 0, 1))
        if together >= least and sum(map(str.isalpha, text)) >= _MIN_LETTERS:
            near.add((text, place))
    return near


def _line_numbers(lines: Sequence[TextLine]) -> set[int]:
    """Numbers one above the other at a margin, each higher than the last."""
    numbers = [line for line in lines if _NUMBER.fullmatch(line.text)]
    columns: list[list[TextLine]] = []
    for line in sorted(numbers, key=lambda each: each.bbox.x1):
        if columns and line.bbox.x1 - columns[-1][-1].bbox.x1 <= _SLACK_PT:
            columns[-1].append(line)
        else:
            columns.append([line])
    found: set[int] = set()
    leftmost = min((line.bbox.x0 for line in lines if len(line.text) > 30), default=0.0)
    rightmost = max((line.bbox.x1 for line in lines if len(line.text) > 30), default=0.0)
    for column in columns:
        column.sort(key=lambda line: line.bbox.y0)
        values = [int(line.text) for line in column]
        rises = sum(later > earlier for earlier, later in pairwise(values))
        is_outside = column[0].bbox.x1 < leftmost + 1 or column[0].bbox.x0 > rightmost - 1
        if len(column) >= _MIN_LINE_NUMBERS and rises >= 0.9 * (len(column) - 1) and is_outside:
            found |= {line.order for line in column}
    return found


def _lone_number(lines: Sequence[TextLine], height: float) -> set[int]:
    """A number at the very top or bottom."""
    edge = _VERY_EDGE_SHARE * height
    return {
        line.order
        for line in lines
        if _NUMBER.fullmatch(line.text) and (line.bbox.y1 < edge or line.bbox.y0 > height - edge)
    }
