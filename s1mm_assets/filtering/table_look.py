"""How much an image looks like a typeset table, from 0 to 1.

A table is dark text on a light ground: rows of equal height, parted by blank lines, whose words stand in
columns with gutters between, ruled across. A plot also has rules (its frame) and rows of text (its tick labels),
but most of its ink lies in curves, which fill no such rows. Wrongly calling a plot a table costs a good
figure, so whatever is in doubt scores low: pages of prose, listings and coloured tables do.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageChops

ANALYSED_SIZE_PX = (1200, 3600)  # width and height: larger images are reduced to fit
MIN_TEXT_ROWS = 3
MIN_RULES = 2  # one of them between rows: a listing too has one above and one below
MIN_RULES_OF_ROWS = 4  # fewer part a head from a body
SHORT_SPAN = 0.3  # rules of equal ends may be this short: beside or below them stands a caption
RULE_SPAN = 0.7  # share of the content's width or height that a ruling line covers
UNRULED_WEIGHT = 0.5  # rows and columns without rules may be a legend, an alignment or a matrix
MIN_ROW_COVER = (
    0.37  # share of the height that rows of text take; tick labels and annotated cells stand further apart
)
MIN_COLUMN_COVER = 0.2  # share of the width that columns of text take; tick labels of panels take a tenth
MAX_ROOM = 2.5  # height of ruled cells over that of their text: the boxes of a block diagram have more room
MAX_ROOM_OF_FEW, FEW_CELLS = 1.6, 20  # and fewer than so many cells are boxes sooner
MAX_COLOURED_INK = 0.25  # links and references in a table are coloured; curves are more so
MAX_INK_SHARE = 0.5  # more is a photograph or a heat map
DARK, LIGHT = 160, 225  # grey levels: text is darker than the one, the ground lighter than the other

Bits = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Run:
    """A stretch of consecutive positions, `stop` excluded."""

    start: int
    stop: int

    @property
    def length(self) -> int:
        """How many positions it covers."""
        return self.stop - self.start


def runs_of(mask: Bits | np.bool_) -> list[Run]:
    """Return the stretches where a one-dimensional mask is true, in order."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8)))
    return [Run(int(start), int(stop)) for start, stop in edges.reshape(-1, 2)]


def table_score(image: Image.Image) -> float:
    """Return how much an RGB image looks like a typeset table: 0 (not at all) to 1.

    The score is the share of ink that lies in rows of text, times the share of those rows that fill at
    least two columns; halved where fewer than two ruling lines cross the content or none does between rows; 0 where
    the ruled cells have the room of a diagram's boxes. Where rules part the rows, a row is what lies between two of
    them, as its cells may have several lines.
    """
    content = _content(image)
    if content is None:
        return 0.0
    rows_ruled, columns_ruled = _ruled(content), content.mean(axis=0) >= RULE_SPAN
    text = content & ~_widened(rows_ruled)[:, None] & ~_widened(columns_ruled)[None, :]
    n_ink = int(text.sum())
    between = [run for run in runs_of(~_widened(rows_ruled)) if text[run.start : run.stop].any()]
    if _are_boxes(text, between, runs_of(~_widened(columns_ruled))):
        return 0.0
    lines = _text_rows(text)
    if len(lines) < MIN_TEXT_ROWS or sum(line.length for line in lines) < MIN_ROW_COVER * text.shape[0]:
        return 0.0
    share_in_rows = sum(int(text[line.start : line.stop].sum()) for line in lines) / n_ink
    in_columns = _share_of_rows_in_columns(text, lines, lines)
    if len(runs_of(rows_ruled)) >= MIN_RULES_OF_ROWS:
        in_columns = max(in_columns, _share_of_rows_in_columns(text, lines, between))
    is_ruled = len(runs_of(rows_ruled)) >= MIN_RULES and len(between) >= 2
    ruled = 1.0 if is_ruled else UNRULED_WEIGHT
    return round(share_in_rows * in_columns * ruled, 4)


def _content(image: Image.Image) -> Bits | None:
    """The dark pixels of a light, colourless image, cropped to their bounding box; None where it is not so."""
    scale = min(limit / side for limit, side in zip(ANALYSED_SIZE_PX, image.size, strict=True))
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BOX)
    red, green, blue = image.split()
    brightest = np.asarray(ImageChops.lighter(ImageChops.lighter(red, green), blue))
    darkest = np.asarray(ImageChops.darker(ImageChops.darker(red, green), blue))
    ink: Bits = darkest < DARK
    if np.median(darkest) < LIGHT or not ink.any() or ink.mean() > MAX_INK_SHARE:
        return None
    is_coloured = (brightest - darkest)[darkest < LIGHT] > 64
    if is_coloured.mean() > MAX_COLOURED_INK:
        return None
    inked_rows, inked_columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    return ink[inked_rows[0] : inked_rows[-1] + 1, inked_columns[0] : inked_columns[-1] + 1]


def _ruled(content: Bits) -> Bits:
    """Rows that a ruling line crosses: most of the content, or where three lines have the same two ends, less."""
    height, width = content.shape
    is_long: Bits = content.mean(axis=1) >= RULE_SPAN
    candidates = np.flatnonzero((content.mean(axis=1) >= SHORT_SPAN) & ~is_long)
    ends: dict[tuple[int, int], list[int]] = {}
    for row in candidates.tolist():
        longest = _longest_run(content[row])
        if longest.length >= SHORT_SPAN * width:
            ends.setdefault((round(longest.start / 3), round(longest.stop / 3)), []).append(row)
    for rows in ends.values():
        lines = np.zeros(height, dtype=np.bool_)
        lines[rows] = True
        if len(runs_of(lines)) >= 3:
            is_long |= lines
    return is_long


def _are_boxes(text: Bits, rows: list[Run], columns: list[Run]) -> bool:
    """Whether what is ruled both ways has much room around its text, as the boxes of a diagram that touch have."""
    inked = [column for column in columns if text[:, column.start : column.stop].any()]
    if len(rows) < 2 or len(inked) < 2:
        return False
    inks = [np.flatnonzero(text[row.start : row.stop].any(axis=1)) for row in rows]
    room = float(
        np.median([row.length / (ink[-1] - ink[0] + 1) for row, ink in zip(rows, inks, strict=True)])
    )
    return room > (MAX_ROOM_OF_FEW if len(rows) * len(inked) < FEW_CELLS else MAX_ROOM)


def _longest_run(mask: Bits) -> Run:
    """The first of the longest stretches where the mask is true; it is true somewhere."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], mask, [False])).astype(np.int8))).reshape(-1, 2)
    start, stop = edges[np.argmax(edges[:, 1] - edges[:, 0])]
    return Run(int(start), int(stop))


def _widened(mask: Bits) -> Bits:
    """The mask and its neighbours: a rule's edge is grey where the image was resampled."""
    wider = mask.copy()
    wider[1:] |= mask[:-1]
    wider[:-1] |= mask[1:]
    return wider


def _text_rows(text: Bits) -> list[Run]:
    """The bands of rows that hold ink of about one height and that read like words."""
    bands = [band for band in runs_of(text.any(axis=1)) if band.length >= 4]
    if len(bands) < MIN_TEXT_ROWS:
        return []
    usual_height = float(np.median([band.length for band in bands]))
    return [
        band
        for band in bands
        if usual_height / 2 <= band.length <= usual_height * 2
        and _reads_like_words(text[band.start : band.stop])
    ]


def _reads_like_words(band: Bits) -> bool:
    """Glyphs are about as wide as high and of varied width; bars, curves and markers are not."""
    glyphs = [glyph.length for glyph in runs_of(band.any(axis=0))]
    if len(glyphs) < 3:
        return False
    widths = np.array(glyphs)
    share_narrow = widths[widths <= 3 * band.shape[0]].sum() / widths.sum()
    varied: bool = widths.std() > 0.15 * widths.mean()
    return bool(share_narrow > 0.8) and varied


def _share_of_rows_in_columns(text: Bits, lines: list[Run], rows: list[Run]) -> float:
    """The share of rows that fill at least two of the columns that all lines of text have in common."""
    is_taken = np.array([text[line.start : line.stop].any(axis=0) for line in lines])
    gutter_width = float(np.median([line.length for line in lines]))
    is_free = is_taken.mean(axis=0) <= 0.15  # a heading may span two columns
    if is_free.mean() > 1 - MIN_COLUMN_COVER:
        return 0.0
    gutters = [run for run in runs_of(is_free) if run.length >= gutter_width]
    edges = [0, *(gutter.start for gutter in gutters), text.shape[1]]
    columns = [Run(start, stop) for start, stop in pairwise(edges) if stop > start]
    occupied = np.array([text[row.start : row.stop].any(axis=0) for row in rows])
    filled = np.array([occupied[:, column.start : column.stop].any(axis=1) for column in columns]).sum(axis=0)
    return float((filled >= 2).mean())
