"""What the text that was read in an image says of it: a table's cells, a licence's words, a publisher's.

Belongs here: formulas on `tables.TEXT_LINE` rows alone, without the image. Text is optional; what it adds to the looks
is decided in rules.py.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIN_CONFIDENCE = 0.5
MIN_ROWS = 3
MIN_CELLS = 8
MAX_BADGE_WORDS = 20
MAX_LOGO_LINES = 3
MIN_SHARE_NAMED = 0.7  # of the letters and digits: what is named is nearly all that is written

TextLines = Sequence[Mapping[str, Any]]
Floats = NDArray[np.float64]

_CLAUSES = r"(?:\W*\b(?:nc|nd|sa)\b)"
_LICENCE = re.compile(
    rf"\bcc\W{{0,3}}by\b{_CLAUSES}*|\bcc[\s-]*(?:zero\b|0\b(?![.,]\d))|\bcreative\s*commons\b|\bpublic\s+domain\b"
    rf"|\bby{_CLAUSES}+",
    re.IGNORECASE,
)
_LICENCE_FILLER = re.compile(
    r"\b(?:cc|by|attribution|non\W?commercial|no\W?deriv\w*|share\W?alike|licen[cs]ed?|international"
    r"|this work is|under|some|rights|reserved|[1-4]\.[05])\b",
    re.IGNORECASE,
)
_TICK = re.compile(r"[-+]?\d{2,}(?:\.\d+)?%?|0|0\.\d+|\d%")
_PUBLISHER = re.compile(
    r"check\s*for\s*updates|open\s*access|\bcrossmark\b|\borcid\b|\belsevier\b|\bspringer(?:\s*nature)?\b|\bmdpi\b"
    r"|\bwiley\b|nature\s*communications|\bpnas\b|\belife\b|taylor\s*&\s*francis|\biop\s*publishing\b",
    re.IGNORECASE,
)


def table_score_of_text(lines: TextLines, width_px: float, height_px: float) -> float:
    """Return how much the boxes of text stand as a table's cells do: 0 (not at all) to 1.

    Lines are taken together to rows and, between the gutters that hardly any row crosses, to columns. The score is
    the share of the grid's cells that are filled, times the share of rows that fill two columns or more, times
    the share of the picture's height from the first row to the last. Tick labels, legends and captions leave most of
    the grid blank. Flowcharts and annotated matrices do not: the look of the image has to tell them apart.

    Args:
        lines: Rows of `tables.TEXT_LINE`, in any order.
        width_px: Of the image that the boxes lie in.
        height_px: Likewise.
    """
    sure = [line for line in lines if line["confidence"] >= MIN_CONFIDENCE and line["x1"] > line["x0"]]
    if len(sure) < MIN_CELLS or width_px <= 0 or height_px <= 0:
        return 0.0
    boxes = np.array([[line[name] for name in ("x0", "y0", "x1", "y1")] for line in sure], dtype=np.float64)
    row_of = _rows(boxes)
    n_rows = int(row_of.max()) + 1
    if n_rows < MIN_ROWS:
        return 0.0
    column_of = _columns(boxes, row_of, width_px)
    filled = np.zeros((n_rows, int(column_of.max()) + 1), dtype=np.bool_)
    filled[row_of, column_of] = True
    if filled.shape[1] < 2:
        return 0.0
    is_row = filled.sum(axis=1) >= 2
    extent = min(1.0, float(boxes[:, 3].max() - boxes[:, 1].min()) / height_px)
    return round(float(filled[is_row].mean() if is_row.any() else 0.0) * float(is_row.mean()) * extent, 4)


def _rows(boxes: Floats) -> NDArray[np.int64]:
    """Number the rows from the top: a line joins the row whose last line's middle is within half a line's height."""
    middles = (boxes[:, 1] + boxes[:, 3]) / 2
    height = float(np.median(boxes[:, 3] - boxes[:, 1]))
    order = np.argsort(middles, kind="stable")
    is_next = np.diff(middles[order], prepend=middles[order][0]) > 0.5 * height
    row_of = np.empty(len(boxes), dtype=np.int64)
    row_of[order] = np.cumsum(is_next)
    return row_of


def _columns(boxes: Floats, row_of: NDArray[np.int64], width_px: float) -> NDArray[np.int64]:
    """Number the columns from the left: they are parted where at most one row in ten has text."""
    n_bins = 400
    scale = n_bins / width_px
    covered = np.zeros((int(row_of.max()) + 1, n_bins), dtype=np.bool_)
    for (left, _, right, _), row in zip(boxes, row_of, strict=True):
        covered[row, max(0, int(left * scale)) : max(0, min(n_bins, int(np.ceil(right * scale))))] = True
    is_text = covered.mean(axis=0) > 0.1
    starts = np.flatnonzero(np.diff(np.concatenate(([False], is_text)).astype(np.int8)) == 1)
    middles = (boxes[:, 0] + boxes[:, 2]) / 2 * scale
    return np.maximum(0, np.searchsorted(starts, middles, side="right") - 1)


def licence_words(lines: TextLines) -> bool:
    """Whether the few words that are written name a Creative Commons licence, and hardly anything else stands there."""
    words = _words(lines)
    if not 0 < len(words) <= MAX_BADGE_WORDS or any(_TICK.fullmatch(word) for word in words):
        return False  # a chart of licences has an axis
    written = " ".join(words)
    rest, n_named = _LICENCE.subn(" ", written)
    return n_named > 0 and _share_gone(written, _LICENCE_FILLER.sub(" ", rest)) >= MIN_SHARE_NAMED


def publisher_words(lines: TextLines) -> bool:
    """Whether hardly more is written than one publisher's or registry's own words: several are somebody's data."""
    sure = [line["text"] for line in lines if line["confidence"] >= MIN_CONFIDENCE]
    if not 0 < len(sure) <= MAX_LOGO_LINES:
        return False
    written = " ".join(sure)
    rest, n_named = _PUBLISHER.subn(" ", written)
    has_number = any(letter.isdigit() for letter in written)
    return n_named == 1 and not has_number and _share_gone(written, rest) >= MIN_SHARE_NAMED


def _share_gone(written: str, rest: str) -> float:
    """The share of letters and digits that the rest has no more."""
    n_written = sum(letter.isalnum() for letter in written)
    return 1 - sum(letter.isalnum() for letter in rest) / n_written if n_written else 0.0


def _words(lines: TextLines) -> list[str]:
    return [word for line in lines if line["confidence"] >= MIN_CONFIDENCE for word in line["text"].split()]
