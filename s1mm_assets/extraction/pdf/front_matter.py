"""Title, abstract and DOI, as a paper's first pages have them; used where the source gives none."""

import re
from collections.abc import Sequence

from s1mm_assets.extraction.pdf.lines import TextLine
from s1mm_assets.extraction.pdf.running_text import Paragraph

_DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"<>,;]+[^\s\"<>,;.)\]]")
_ABSTRACT = re.compile(r"\s*(?:abstract|summary|a\s?b\s?s\s?t\s?r\s?a\s?c\s?t)\b[\s.:—–-]*", re.IGNORECASE)
_LOUD = re.compile(
    r"(?:article|research article|letters?|review|open access|original (?:article|paper))", re.IGNORECASE
)
_TITLE_CHARS = (12, 400)
_ABSTRACT_CHARS = 5_000


def doi_in(pages: Sequence[Sequence[TextLine]]) -> str | None:
    """Return the first DOI on the first two pages."""
    for lines in pages[:2]:
        for line in lines:
            found = _DOI.search(line.text)
            if found:
                return found.group()
    return None


def title_in(lines: Sequence[TextLine], height: float) -> str | None:
    """Return the largest text in the upper part of the first page."""
    upper = [
        line
        for line in lines
        if line.is_upright and line.bbox.y0 < 0.6 * height and sum(map(str.isalpha, line.text)) >= 4
    ]
    upper = [line for line in upper if not _LOUD.fullmatch(line.text.strip())]
    for size in sorted({round(line.size) for line in upper}, reverse=True):
        same = sorted((line for line in upper if round(line.size) == size), key=lambda each: each.bbox.y0)
        text = " ".join(line.text for line in same)
        if _TITLE_CHARS[0] <= len(text) <= _TITLE_CHARS[1] and len(same) <= 6 and " " in text:
            return text
    return None


def abstract_in(paragraphs: Sequence[Paragraph]) -> str | None:
    """Return the paragraphs under the heading "Abstract", or after that word at a paragraph's start."""
    under = [each for each in paragraphs[:60] if each.section and _ABSTRACT.fullmatch(each.section)]
    if under:
        return " ".join(each.text for each in under)[:_ABSTRACT_CHARS]
    for paragraph in paragraphs[:20]:
        start = _ABSTRACT.match(paragraph.text)
        if start and len(paragraph.text) - start.end() > 150:
            return paragraph.text[start.end() :][:_ABSTRACT_CHARS]
    return None
