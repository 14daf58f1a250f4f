"""Characters of a page → lines of text with their places, sizes and weights."""

import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from s1mm_assets.extraction.pdf.layout import BBox

LINE_ENDS = frozenset({0x0A, 0x0D})
_SPACES = frozenset({0x20, 0x09, 0xA0})
BLANKS = LINE_ENDS | _SPACES
_SOFT_HYPHEN = 0x02  # what pdfium answers for a hyphen at the end of a line
_NOTHING = frozenset({0x0000, 0xFFFE, 0xFFFF, 0xFEFF, 0x200B})
_WIDE_GAP = 1.6  # em: a wider white space separates columns, not words
_BACKWARDS = 0.8  # em
_STILL = 0.3  # em
_WORD_GAP = 0.15  # em
_LEVEL = 0.3  # of the lower one's height
_LINES_BACK = 6  # a formula's indices may come after the words behind it
_REACH = 0.45  # em: pieces of one line that pdfium took apart are nearer than this


@dataclass(frozen=True, slots=True)
class Characters:
    """The characters of a page in the order of its content stream; lists of one length."""

    codes: list[int]  # Unicode; blanks and line ends are put in by pdfium
    boxes: list[list[float]]  # x0, y0, x1, y1 in points as displayed, origin top-left
    styles: list[tuple[float, int]]  # size in points, and font: equal numbers, equal fonts on this page
    n_left_out: int = 0  # the last ones of a page that has too many


@dataclass(frozen=True, slots=True)
class TextLine:
    """A run of characters on one baseline, in one column."""

    text: str
    bbox: BBox
    baseline: float  # points from the page's top
    size: float  # points: of most of its characters
    font: int  # of most of its characters
    start_font: int  # of its first
    is_upright: bool  # reads from left to right
    climbs: bool  # of a line that is not upright: it reads from bottom to top
    order: int  # in the content stream


@dataclass(slots=True)
class _Run:
    """Characters between two jumps."""

    indices: list[int]
    x0: float
    y0: float
    x1: float
    y1: float
    em: float


def lines_of(characters: Characters) -> list[TextLine]:
    """Return the lines of a page in the order of its content stream."""
    lines: list[TextLine] = []
    for runs in _joined(_runs(characters)):
        line = _line(runs, characters, len(lines))
        if line is not None:
            lines.append(line)
    return lines


def _runs(characters: Characters) -> Iterator[_Run]:
    """Split the stream at line ends, at jumps and at white space that is wider than any between words."""
    codes, boxes, styles = characters.codes, characters.boxes, characters.styles
    run: list[int] = []
    last_x0 = last_y0 = last_x1 = last_y1 = 0.0
    for index, code in enumerate(codes):
        if code in BLANKS:
            if code in LINE_ENDS and run:
                yield _run(run, characters)
                run = []
            continue
        x0, y0, x1, y1 = boxes[index]
        if x1 <= x0:
            continue
        if run:
            em = styles[index][0]
            step = x0 - last_x0
            overlap = (y1 if y1 < last_y1 else last_y1) - (y0 if y0 > last_y0 else last_y0)
            is_below = -_STILL * em <= step <= _STILL * em and overlap <= 0  # as in vertical text
            is_jump = x0 - last_x1 > _WIDE_GAP * em or step < -_BACKWARDS * em or overlap < -0.5 * em
            if is_jump and not is_below:
                yield _run(run, characters)
                run = []
        run.append(index)
        last_x0, last_y0, last_x1, last_y1 = x0, y0, x1, y1
    if run:
        yield _run(run, characters)


def _run(indices: list[int], characters: Characters) -> _Run:
    left, top, right, bottom = zip(*[characters.boxes[index] for index in indices], strict=True)
    em = characters.styles[indices[0]][0]
    return _Run(indices, min(left), min(top), max(right), max(bottom), em)


def _joined(runs: Iterator[_Run]) -> list[list[_Run]]:
    """Put together what pdfium took apart: indices, exponents, words on one baseline, whatever their order."""
    joined: list[list[_Run]] = []
    extents: list[_Run] = []  # each line so far, as one run
    for run in runs:
        last = len(joined) - 1
        at = next(
            (at for at in range(last, max(last - _LINES_BACK, -1), -1) if _is_on(run, extents[at])), None
        )
        if at is None:
            joined.append([run])
            extents.append(_Run([], run.x0, run.y0, run.x1, run.y1, run.em))
            continue
        joined[at].append(run)
        line = extents[at]
        line.x0, line.y0 = min(run.x0, line.x0), min(run.y0, line.y0)
        line.x1, line.y1 = max(run.x1, line.x1), max(run.y1, line.y1)
        line.em = max(run.em, line.em)
    return joined


def _is_on(run: _Run, line: _Run) -> bool:
    """Whether a run stands on a line, or hangs on it as an index does."""
    shared = min(run.y1, line.y1) - max(run.y0, line.y0)
    if shared <= _LEVEL * min(run.y1 - run.y0, line.y1 - line.y0):
        return False
    reach = _REACH * max(run.em, line.em) + 0.2 * run.em
    return run.x0 - line.x1 < reach and line.x0 - run.x1 < reach


def _line(runs: list[_Run], characters: Characters, order: int) -> TextLine | None:
    """Compose one line."""
    if any(after.x0 < before.x1 - 0.5 * after.em for before, after in pairwise(runs)):
        words_of = [word for run in runs for word in _words(run.indices)]
        words_of.sort(key=lambda word: characters.boxes[word[0]][0])
        indices = [index for word in words_of for index in word]
    else:
        indices = [index for run in runs for index in run.indices]
    words = _text(indices, characters)
    if not words:
        return None
    styles = Counter(characters.styles[index] for index in indices)
    size, font = min(styles, key=lambda style: (-styles[style], style))
    box = BBox(
        min(run.x0 for run in runs),
        min(run.y0 for run in runs),
        max(run.x1 for run in runs),
        max(run.y1 for run in runs),
    )
    return TextLine(
        text=words,
        bbox=box,
        baseline=median(characters.boxes[index][3] for index in indices),
        size=size,
        font=font,
        start_font=characters.styles[indices[0]][1],
        is_upright=len(words) < 4 or (box.x1 - box.x0) > (box.y1 - box.y0),
        climbs=characters.boxes[indices[0]][1] > characters.boxes[indices[-1]][1],
        order=order,
    )


def _words(indices: Sequence[int]) -> Iterator[list[int]]:
    """Split a run where pdfium has a blank."""
    word = [indices[0]]
    for index in indices[1:]:
        if index != word[-1] + 1:
            yield word
            word = []
        word.append(index)
    yield word


def _text(indices: Sequence[int], characters: Characters) -> str:
    """Return what a line says; blanks are pdfium's, or stand for a gap where it left some out."""
    codes, boxes, styles = characters.codes, characters.boxes, characters.styles
    text: list[str] = []
    before = -1
    for index in indices:
        code = codes[index]
        if code in _NOTHING:
            continue
        if before >= 0 and index != before + 1:
            gap = boxes[index][0] - boxes[before][2]
            is_blank = index - before < 9 and any(
                codes[between] in _SPACES for between in range(before + 1, index)
            )
            if is_blank or gap > _WORD_GAP * styles[index][0]:
                text.append(" ")
        text.append("-" if code == _SOFT_HYPHEN else _plain(code))
        before = index
    return " ".join("".join(text).split())


def _plain(code: int) -> str:
    """Return a character as it is typed: ligatures taken apart, letters of formulas without their font."""
    if code < 0x20 or 0xD800 <= code < 0xE000 or code >= 0x110000:
        return "\ufffd"  # the font does not say what it shows
    if 0xFB00 <= code <= 0xFB06 or 0x1D400 <= code <= 0x1D7FF:
        return unicodedata.normalize("NFKC", chr(code))
    return chr(code)
