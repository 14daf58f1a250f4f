r"""Which paragraphs cite which figure.

A paragraph goes on until a blank line, \par or a heading; floats are lifted out of it first, lists and
displays do not break it. Captions of other floats count as paragraphs of their own.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field

from s1mm_assets.extraction.latex.commands import REFERENCES
from s1mm_assets.extraction.latex.expand import Collector
from s1mm_assets.extraction.latex.figures import fold
from s1mm_assets.extraction.latex.lexing import CONTROL, Work, group, options
from s1mm_assets.extraction.latex.readable import Writer

MAX_PARAGRAPH_CHARS = 20_000
MAX_MENTIONS = 200  # of one figure

Mention = dict[str, str | bool | None]
_BLANK_LINE = re.compile(r"\n[ \t]*\n\s*")
_TYPED = re.compile(
    r"\b(?:[Ff]ig(?:ure|\.)?s?|FIGS?\b\.?|FIGURES?)\b\.?[\s~\\]{0,9}(?:\\[a-zA-Z]+\s{0,9})?\(?([A-Z]?\.?\d{1,3})[a-h]{0,3}\b"
    r"((?:\s{0,9}[a-h]?\s{0,9}(?:,|and|&|\\&|--?|to)[\s~]{0,9}\d{1,3}[a-h]?\b){0,6})"
)
_ELSEWHERE = re.compile(
    r"[\s,~]{0,5}(?:of|in|from)[\s~]{1,5}(?:the\s{1,5})?(?:\\[a-zA-Z]*cite|Refs?\b|ref\.|references?\b|\[|their\b)"
)
_NUMBER = re.compile(r"(,|and|&|--?|to)[\s~]*(\d{1,3})")


@dataclass(slots=True)
class Body:
    """The running text, and where its paragraphs and sections begin."""

    text: str
    starts: list[int]
    headings: list[tuple[int, str]]
    cited: dict[str, list[int]] = field(default_factory=dict)  # label → paragraphs
    typed: dict[str, list[int]] | None = None
    written: dict[int, str] = field(default_factory=dict)
    titles: dict[int, str] = field(default_factory=dict)

    def paragraph(self, index: int) -> str:
        """TeX source of one paragraph."""
        end = self.starts[index + 1] if index + 1 < len(self.starts) else len(self.text)
        return self.text[self.starts[index] : min(end, self.starts[index] + MAX_PARAGRAPH_CHARS)]


def read_body(collected: Collector, work: Work) -> Body:
    """Cut the running text into paragraphs and note what each refers to."""
    text = "".join(collected.pieces)
    starts = {0}
    starts.update(match.end() for match in _BLANK_LINE.finditer(text))
    headings = []
    for mark in collected.marks:
        if mark.kind in ("heading", "break"):
            starts.add(mark.pos)
            if mark.kind == "heading":
                headings.append((mark.pos, mark.value))
    body = Body(text, sorted(starts), headings)
    for mark in collected.marks:
        if mark.kind == "ref":
            paragraph = bisect_right(body.starts, mark.pos) - 1
            for key in keys_at(text, mark.pos, work):
                found = body.cited.setdefault(key, [])
                if not found or found[-1] != paragraph:
                    found.append(paragraph)
    return body


def keys_at(text: str, pos: int, work: Work) -> list[str]:
    """Labels named by the reference command at `pos`."""
    match = CONTROL.match(text, pos)
    if match is None:
        return []
    name = match[1]
    given, after = options(text, match.end(), work)
    if name == "hyperref":
        return [fold(key) for key in given[:1]]
    got = group(text, after, work)
    if got is None:
        return []
    raw = [got[0]]
    if name.endswith("range"):
        second = group(text, got[1], work)
        raw += [second[0]] if second else []
    keys = []
    for part in raw:
        key = fold(part)
        keys.append(key)
        keys += [single.strip() for single in key.split(",")] if "," in key or key != key.strip() else []
    return list(dict.fromkeys(keys))


def keys_in(text: str, work: Work) -> set[str]:
    """Labels that a caption refers to."""
    if "ref" not in text:
        return set()
    found: set[str] = set()
    for match in CONTROL.finditer(text):
        if match[1] in REFERENCES:
            found.update(keys_at(text, match.start(), work))
    return found


def typed_numbers(body: Body) -> dict[str, list[int]]:
    """Paragraphs by the figure number that is typed in them: "Fig. 3", "Figs. 2 and 5", "Figures 1-4"."""
    if body.typed is None:
        body.typed = {}
        for match in _TYPED.finditer(body.text):
            if _ELSEWHERE.match(body.text, match.end()):
                continue  # a figure of another paper
            paragraph = bisect_right(body.starts, match.start()) - 1
            for number in _numbers(match[1], match[2]):
                found = body.typed.setdefault(number, [])
                if not found or found[-1] != paragraph:
                    found.append(paragraph)
    return body.typed


def _numbers(first: str, rest: str) -> list[str]:
    numbers = [first]
    for joint, number in _NUMBER.findall(rest):
        previous = numbers[-1]
        if (
            joint in ("-", "--", "to")
            and previous.isdigit()
            and int(previous) < int(number) <= int(previous) + 20
        ):
            numbers += [str(n) for n in range(int(previous) + 1, int(number))]
        numbers.append(number)
    return numbers


def abstract_sections(body: Body) -> list[str]:
    """TeX source of what stands under a heading "Abstract"."""
    ends = [pos for pos, _ in body.headings[1:]] + [len(body.text)]
    return [
        body.text[pos : min(end, pos + MAX_PARAGRAPH_CHARS)]
        for (pos, title), end in zip(body.headings, ends, strict=False)
        if title.strip().lower().rstrip(".:") == "abstract"
    ]


def section_at(body: Body, pos: int, writer: Writer) -> str | None:
    """Title of the section that a position stands in; None before the first."""
    index = bisect_right(body.headings, (pos, "\U0010ffff")) - 1
    if index < 0:
        return None
    if index not in body.titles:
        body.titles[index] = writer.text(body.headings[index][1])
    return body.titles[index] or None


def body_mentions(body: Body, paragraphs: Iterable[int], writer: Writer) -> list[Mention]:
    """Paragraphs as mentions, in order, each once."""
    found: list[Mention] = []
    for index in sorted(set(paragraphs))[:MAX_MENTIONS]:
        if index not in body.written:
            body.written[index] = writer.text(body.paragraph(index))
        section = section_at(body, body.starts[index], writer)
        found.append({"section": section, "text": body.written[index], "is_caption": False})
    return found
