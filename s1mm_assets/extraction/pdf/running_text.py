"""The running text of a paper: paragraphs in reading order with their section, and which figures they cite."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from s1mm_assets.extraction.pdf.blocks import Block
from s1mm_assets.extraction.pdf.captions import Caption, joined_lines
from s1mm_assets.extraction.pdf.lines import TextLine

MAX_PARAGRAPH_CHARS = 20_000
MAX_MENTIONS = 200  # of one figure

Mention = dict[str, str | bool | None]
_ONE = (
    r"(?:(?:[A-Z]{1,2}\.?\s?)?\d{1,3}(?:\.\d{1,3})?(?:\s?[A-Za-z](?![A-Za-z]))?"
    r"(?:\s?[—–-]\s?figure\s+supplements?\s+\d{1,2})?|[IVXL]{1,6}(?![A-Za-z]))"
)
_STEP = r"\s*(?:,\s*and|,|;|and|&|to|[-–—])\s*"
_CITED = re.compile(
    r"\b(?P<prefix>supp(?:l(?:ement(?:ary|al)?)?)?\.?\s+|supporting\s+|extended\s+data\s+|expanded\s+view\s+)?"
    r"(?P<kind>fig(?:ure|\.)?s?\.?|schemes?|charts?|plates?)\s*"
    rf"(?P<list>{_ONE}(?:{_STEP}(?:{_ONE}|[A-Za-z](?![A-Za-z])))*)",
    re.IGNORECASE,
)
_NUMBER = re.compile(
    r"(?P<roman>\b[IVXL]{1,6}(?![A-Za-z\d.]))"
    r"|(?P<letters>\b[A-Z]{1,2}\.?\s?)?(?P<digits>\d{1,3}(?:\.\d{1,3})?)[A-Za-z]?"
    r"(?P<supplement>\s?[—–-]\s?(?i:figure\s+supplements?)\s+\d{1,2})?"
)
_RANGE = re.compile(r"\s*(?:to|[-–—])\s*")
_ENDS = (".", "?", "!", ":", "”", '"', ")", "]")
_HEADING_CHARS = 90
_NUMBERED = re.compile(r"(?:\d{1,2}(?:\.\d{1,2}){0,3}\.?|[IVX]{1,5}\.|[A-Z]\.)\s+[A-Z]")
_KNOWN = re.compile(
    r"(?:\d{1,2}\.?\s*)?(?:abstract|summary|introduction|background|results?|discussion|methods?|"
    r"materials? and methods|conclusions?|references|acknowledge?ments?|data availability|related work)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Paragraph:
    """One paragraph, as read."""

    text: str
    section: str | None


def paragraphs_of(pages: Sequence[Sequence[Block]], body: float, vocabulary: Counter[str]) -> list[Paragraph]:
    """Return the paragraphs of a document in reading order.

    Args:
        pages: The blocks of running text of each page, in the order of its content stream.
        body: Size of the running text in points.
        vocabulary: How often each word occurs, for mending hyphens.
    """
    body_font = _usual_font(pages, body)
    section: str | None = None
    found: list[Paragraph] = []
    open_lines: list[TextLine] = []

    def close() -> None:
        if open_lines:
            text = joined_lines(open_lines, vocabulary)[:MAX_PARAGRAPH_CHARS]
            found.append(Paragraph(text, section))
            open_lines.clear()

    for blocks in pages:
        fonts = body_font.get(id(blocks), -1)
        for block in blocks:
            if is_heading(block, body, fonts):
                close()
                section = joined_lines(block.lines, vocabulary)
                continue
            for index, lines in enumerate(_cut_at_indents(block)):
                is_going_on = not index and open_lines and _goes_on(open_lines[-1], lines[0])
                if not is_going_on:
                    close()
                open_lines.extend(lines)
    close()
    return found


def _usual_font(pages: Sequence[Sequence[Block]], body: float) -> dict[int, int]:
    """Return, per page, the number of the font that most of its running text is set in."""
    usual = {}
    for blocks in pages:
        counts: Counter[int] = Counter()
        for block in blocks:
            for line in block.lines:
                if abs(line.size - body) <= 0.06 * body:
                    counts[line.font] += len(line.text)
        if counts:
            usual[id(blocks)] = min(counts, key=lambda font: (-counts[font], font))
    return usual


def is_heading(block: Block, body: float, body_font: int) -> bool:
    """Whether a block is a section's title: short, set apart by size, font, number or name."""
    text = " ".join(line.text for line in block.lines)
    if len(block.lines) > 3 or len(text) > _HEADING_CHARS or text.endswith((".", ",", ";")):
        return False
    if not any(c.isalpha() for c in text) or text[:1].islower():
        return False
    is_larger = block.size > 1.05 * body
    is_other_font = all(line.font != body_font for line in block.lines) and block.size > 0.93 * body
    is_named = is_heading_text(block)
    return is_named or ((is_larger or is_other_font) and len(text) > 3)


def is_heading_text(block: Block) -> bool:
    """Whether a block says what headings say: "Introduction", "2.1 Methods"."""
    text = " ".join(line.text for line in block.lines)
    if len(block.lines) > 2 or len(text) > _HEADING_CHARS:
        return False
    return bool(_KNOWN.fullmatch(text.strip(" .:")) or _NUMBERED.match(text))


def _cut_at_indents(block: Block) -> Iterator[list[TextLine]]:
    """Cut a block where a line is indented after one that ends a sentence."""
    left = min(line.bbox.x0 for line in block.lines)
    part: list[TextLine] = []
    for line in block.lines:
        is_indented = 0.7 * line.size < line.bbox.x0 - left < 4 * line.size
        if part and is_indented and part[-1].text.endswith(_ENDS):
            yield part
            part = []
        part.append(line)
    if part:
        yield part


def _goes_on(last: TextLine, first: TextLine) -> bool:
    """Whether a paragraph that a column's or page's end cut goes on with a line."""
    is_same_size = abs(last.size - first.size) < 0.06 * last.size
    return is_same_size and (not last.text.endswith(_ENDS) or first.text[:1].islower())


def cited(text: str) -> set[tuple[str, str]]:
    """Return the kinds and numbers of the figures that a text cites; ranges are filled, panels left out."""
    found: set[tuple[str, str]] = set()
    for match in _CITED.finditer(text):
        kind = match["kind"].lower()
        kind = "figure" if kind.startswith("fig") else kind.rstrip("s.")
        prefix = (match["prefix"] or "").lower()
        letters = "S" if prefix.startswith("supp") else "EV" if prefix.startswith("expanded") else ""
        data = "EXTENDEDDATA" if prefix.startswith("extended") else ""
        found |= {(kind, data + number) for number in _numbers(match["list"], letters)}
    return found


def _numbers(text: str, letters: str) -> Iterator[str]:
    """Yield the numbers of a list such as "2, 3b and S5–S7"; a range is also given as one number: "2-13"."""
    before: re.Match[str] | None = None
    for number in _NUMBER.finditer(text):
        if number["roman"]:
            yield normal(number["roman"])
            continue
        own = normal(number["letters"] or letters)
        if before is not None and _RANGE.fullmatch(text[before.end("digits") : number.start()].rstrip()):
            first, last = before["digits"], number["digits"]
            if first.isdigit() and last.isdigit():
                yield normal(f"{own}{first}-{last}")
                if 0 < int(last) - int(first) <= 30:
                    yield from (f"{own}{between}" for between in range(int(first) + 1, int(last)))
        yield own + normal(number["digits"] + (number["supplement"] or ""))
        before = number


def normal(number: str) -> str:
    """Return a figure's number as it is compared: "A.3" and "A 3" are one, as are all dashes."""
    plain = re.sub(r"[—–‐]", "-", re.sub(r"\s+", "", number)).upper()
    return re.sub(r"(?<=[A-Z])\.(?=\d)|\.$", "", plain).replace("SUPPLEMENTS", "SUPPLEMENT")


def mentions_of(
    captions: Sequence[Caption], paragraphs: Sequence[Paragraph]
) -> dict[tuple[str, str], list[Mention]]:
    """Return kind and `normal` number of a figure → the paragraphs and other captions that cite it, in order."""
    known = {_key(caption) for caption in captions}
    found: dict[tuple[str, str], list[Mention]] = {key: [] for key in known}
    for paragraph in paragraphs:
        for key in cited(paragraph.text) & known:
            found[key].append({"section": paragraph.section, "text": paragraph.text, "is_caption": False})
    for caption in captions:
        for key in (cited(caption.text) & known) - {_key(caption)}:
            found[key].append({"section": None, "text": caption.text, "is_caption": True})
    return {key: mentions[:MAX_MENTIONS] for key, mentions in found.items()}


def _key(caption: Caption) -> tuple[str, str]:
    return caption.anchor.kind, normal(caption.number)
