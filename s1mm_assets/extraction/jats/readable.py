"""An element's content as the text that a reader sees, on one line.

Subscripts and superscripts stand in line, as in a PDF's text; maths is LaTeX between dollars; what is no running
text of its own (floats, footnotes, permissions, source data) is left out.
"""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from s1mm_assets.extraction.jats.mathml import formula
from s1mm_assets.extraction.jats.xml import Element, attribute, child, name_of

MAX_TEXT_CHARS = 20_000  # of one caption or paragraph

FLOATS = frozenset(
    ["fig", "fig-group", "table-wrap", "table-wrap-group", "boxed-text", "supplementary-material", "media"]
)
"""What stands apart from the text around it, wherever it is tagged."""

_LEFT_OUT = FLOATS | frozenset(
    """table graphic inline-graphic fn fn-group permissions attrib copyright-statement object-id alt-text long-desc
    index-term processing-meta ref-list sub-article response sec-meta kwd-group speaker-name contrib-id
    private-char inline-media textual-form label""".split()  # noqa: SIM905 - reads better as words
)
_BLOCKS = frozenset(
    """p title subtitle sec list list-item def-list def-item term def disp-quote verse-line statement disp-formula
    disp-formula-group break td th tr speech""".split()  # noqa: SIM905
)
_FORMULAE = frozenset(["inline-formula", "disp-formula", "tex-math", "math", "chem-struct"])
_SCRIPTS = frozenset(["sub", "sup"])
# The order of steps matters: indentation made by a pretty-printer goes before blanks become one.
_BEFORE_CLOSING = re.compile(r"\s*\n\s*(?=\x03*[,.;:)\]])")
_AFTER_OPENING = re.compile(r"(?<=[(\[])\s*\n\s*")
_BLANKS = re.compile(r"\s+")
_LINE_END = re.compile(r"\s*\n\s*\Z")
_RAISED = re.compile(r"(?:\d|[)\]]|(?<!\w)(?:\w|[cdkmnpµμ]m|min|Hz|kg|mg))\Z")  # "10⁶", "cm³", "R²"
_DOLLAR = re.compile(r"(?<!\\)\$")
_TAGS_AS_TEXT = re.compile(r"</?(?:i|b|em|strong|sub|sup|italic|bold)>", re.IGNORECASE)

# An xref that was asked for is set between these; XML cannot hold them, so nothing else looks like it.
_XREF_OPENS, _XREF_NAMED, _XREF_CLOSES = "\x01", "\x02", "\x03"
_MARKED = re.compile(r"\x01(\d+)\x02|\x03")


@dataclass(frozen=True, slots=True)
class Span:
    """Where a cross reference stands in a text."""

    start: int
    end: int
    xref: Element


@dataclass(slots=True)
class _Writing:
    """The pieces of one text, until there are enough."""

    pieces: list[str] = field(default_factory=list)
    n_chars: int = 0
    xrefs: list[Element] = field(default_factory=list)

    def add(self, text: str | None) -> None:
        if text:
            self.pieces.append(text)
            self.n_chars += len(text)

    @property
    def is_full(self) -> bool:
        return self.n_chars > 2 * MAX_TEXT_CHARS


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes the texts of one article."""

    numbers: Mapping[str, str] = field(default_factory=dict)  # id → what an empty reference to it shows

    def text(self, *elements: Element, without: Collection[str] = ()) -> str:
        """Return elements as one text, one after the other; empty where they hold none."""
        return self.marked(elements, frozenset(), without)[0]

    def marked(
        self, elements: Collection[Element], rids: Collection[str], without: Collection[str] = ()
    ) -> tuple[str, list[Span]]:
        """Return elements as text, and where in it references to any of `rids` stand."""
        out = _Writing()
        for element in elements:
            out.add(" ")
            self._inside(element, out, rids, frozenset(without))
        text = _AFTER_OPENING.sub("", _BEFORE_CLOSING.sub("", "".join(out.pieces)))
        text = _BLANKS.sub(" ", text).strip()[:MAX_TEXT_CHARS]
        return _unmarked(text, out.xrefs)

    def _inside(
        self, element: Element, out: _Writing, rids: Collection[str], without: Collection[str]
    ) -> None:
        out.add(element.text and _plain(element.text))
        is_list = name_of(element) == "list"
        item = 0
        for each in element:
            if out.is_full:
                return
            name = name_of(each)
            if name and name not in _LEFT_OUT and name not in without:
                if is_list and name == "list-item":
                    item += 1
                    out.add(f" {item_sign(element, each, item)}")
                self._one(each, name, out, rids, without)
            out.add(each.tail and _plain(each.tail))

    def _one(
        self, each: Element, name: str, out: _Writing, rids: Collection[str], without: Collection[str]
    ) -> None:
        if name in _FORMULAE:
            written = formula(each)
            if written:
                out.add(f" {written} " if name == "disp-formula" else written)
                return
        if name in _SCRIPTS:
            self._script(each, out, rids, without)
            return
        if name == "xref":
            self._xref(each, out, rids, without)
            return
        is_block = name in _BLOCKS
        out.add(" " if is_block else None)
        self._inside(each, out, rids, without)
        out.add(" " if is_block else None)

    def _script(self, each: Element, out: _Writing, rids: Collection[str], without: Collection[str]) -> None:
        """A script holds on to what it follows over a line's end, but where it begins a word: "and 14C"."""
        inner = _Writing(xrefs=out.xrefs)
        self._inside(each, inner, rids, without)
        written = "".join(inner.pieces).strip()
        may_begin = name_of(each) == "sup" and written.isdigit() and child(each, "xref") is None
        if written and out.pieces:
            before = _LINE_END.sub("", out.pieces[-1])
            if not may_begin or _RAISED.search(before):
                out.pieces[-1] = before
        out.add(written)

    def _xref(self, each: Element, out: _Writing, rids: Collection[str], without: Collection[str]) -> None:
        cited = attribute(each, "rid").split()
        inner = _Writing(xrefs=out.xrefs)
        self._inside(each, inner, rids, without)
        raw = "".join(inner.pieces)
        written = raw.strip() or "–".join(self.numbers[rid] for rid in cited if rid in self.numbers)
        out.add(raw[: len(raw) - len(raw.lstrip())])
        if rids and (attribute(each, "ref-type") == "fig" or any(rid in rids for rid in cited)):
            out.add(f"{_XREF_OPENS}{len(out.xrefs)}{_XREF_NAMED}{written}{_XREF_CLOSES}")
            out.xrefs.append(each)
        else:
            out.add(written)
        out.add(raw[len(raw.rstrip()) :] if raw.strip() else None)


def _plain(text: str) -> str:
    """Text as it stands; a literal dollar is told from maths by its backslash."""
    return _DOLLAR.sub(r"\\$", text)


def _unmarked(text: str, xrefs: list[Element]) -> tuple[str, list[Span]]:
    """Take the marks of references out of a text, and note where they were."""
    pieces: list[str] = []
    spans: list[Span] = []
    opened: list[tuple[int, int]] = []
    at = length = 0
    for match in _MARKED.finditer(text):
        pieces.append(text[at : match.start()])
        length += match.start() - at
        at = match.end()
        if match[1] is not None:
            opened.append((length, int(match[1])))
        elif opened:
            start, index = opened.pop()
            spans.append(Span(start, length, xrefs[index]))
    pieces.append(text[at:])
    return "".join(pieces), sorted(spans, key=lambda span: span.start)


def item_sign(parent: Element, item: Element, position: int) -> str:
    """What is printed before an item of a list, with a blank after it: "A. ", "2. ", or its own label."""
    label = child(item, "label")
    own = " ".join("".join(label.itertext()).split()) if label is not None else ""
    if own:
        return f"{own} "
    kind = attribute(parent, "list-type")
    letter = chr(ord("a") + position - 1) if position <= 26 else str(position)
    signs = {"order": str(position), "alpha-lower": letter, "alpha-upper": letter.upper()}
    signs |= {"roman-lower": roman(position), "roman-upper": roman(position).upper()}
    return f"{signs[kind]}. " if kind in signs else ""


def roman(number: int) -> str:
    """Return a number below 4000 as a small Roman numeral; larger ones as they are."""
    if number >= 4000:
        return str(number)
    signs = [(1000, "m"), (900, "cm"), (500, "d"), (400, "cd"), (100, "c"), (90, "xc"), (50, "l"), (40, "xl")]
    out = ""
    for value, sign in [*signs, (10, "x"), (9, "ix"), (5, "v"), (4, "iv"), (1, "i")]:
        out += sign * (number // value)
        number %= value
    return out


def without_tags(text: str) -> str:
    """Drop markup that was typed as text: titles from submission systems have it."""
    return _TAGS_AS_TEXT.sub("", text)
