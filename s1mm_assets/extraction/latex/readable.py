r"""TeX source of a caption or paragraph → the text that a reader sees.

Belongs here: accents, symbols, fonts, references, citations, maths. Maths is kept as LaTeX between dollars,
with the paper's own macros expanded so that it can be read alone; a literal dollar stays ``\$``.
Written for speed: one regular expression finds the tokens, and nothing is parsed twice.
"""

# ruff: noqa: ARG001, PLR0917, SIM905 - handlers share one signature; word lists read better as words

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from s1mm_assets.extraction.latex.conditionals import live_branches
from s1mm_assets.extraction.latex.lexing import (
    CONTROL,
    Work,
    argument,
    bracket_end,
    group,
    optional,
    options,
    skip_space,
)
from s1mm_assets.extraction.latex.macros import Macro, ends_in_control_word, read_arguments, substitute
from s1mm_assets.extraction.latex.symbols import ACCENTS, SYMBOLS, UNITS

MAX_SOURCE_CHARS = 40_000
MAX_DEPTH = 24
MAX_EXPANSIONS = 3_000  # in one text
MAX_EXPANDED_CHARS = 60_000  # in one text
MAX_EXPANDED_CHARS_OF_PAPER = 4_000_000

_TOKEN = re.compile(r"\\([a-zA-Z@]+|.)|(\$\$?)|[{}~]|``|''|---?|\?`|!`|\n[ \t]*\n", re.DOTALL)
_MATH_END = re.compile(r"\\.|\$\$?", re.DOTALL)
_LABEL = re.compile(r"\\(?:label|tag)\s*\{[^{}]*\}|\\(?:nonumber|notag|displaystyle|protect|xspace)\b\s*")
_NO_XSPACE = frozenset(["", *".,;:!?)'}]~-/\n"])
_DOLLAR = re.compile(r"(?<!\\)\$")
_SPACE = re.compile(r"\s+")
_MATH_ENVIRONMENTS = frozenset(
    """math displaymath equation eqnarray align gather multline alignat flalign dmath IEEEeqnarray""".split()
)
_SKIPPED_ENVIRONMENTS = frozenset("tikzpicture tabular pspicture picture comment".split())
_CITES = re.compile(r"(?:[a-zA-Z]*cite[a-zA-Z]*|onlinecite|shortcites?|bibentry)\Z")
_NOT_CITES = frozenset(["citename", "citestyle"])
# name → number of mandatory arguments that are no text
_DROPPED = {
    name: n
    for n, names in {
        1: """label index vspace hspace footnote footnotetext thanks pagestyle thispagestyle includegraphics
        epsfbox epsffile bibliographystyle bibliography cline hypertarget pagenumbering color definecolor
        setlength phantom hphantom vphantom marginpar marginnote sidenote todo vskip hskip input
        subfile include caption glsadd linewidth fontfamily fontseries fontshape nocite plotone
        epsfig psfig usepackage captionsetup glsreset phantomsection noalign pageref cpageref rule
        cellcolor rowcolor arraystretch epsscale usefont vref@ linespread pdfbookmark addtocounter@
        hyphenation rowcolors linethickness""",
        2: """setcounter addtocounter fontsize addtolength plottwo hypersetup@ renewcommand newcommand
        addcontentsline setlength markboth providecommand captionof""",
    }.items()
    for name in names.split()
}
# the text is in the last of n arguments
_TEXT_LAST = {
    "textcolor": 2,
    "colorbox": 2,
    "fcolorbox": 3,
    "href": 2,
    "scalebox": 2,
    "resizebox": 3,
    "rotatebox": 2,
    "raisebox": 2,
    "parbox": 2,
    "foreignlanguage": 2,
    "hyperlink": 2,
    "multicolumn": 3,
    "multirow": 3,
    "adjustbox": 2,
    "textrm@": 1,
    "pdftooltip@": 2,
    "makebox": 1,
    "framebox": 1,
    "mbox": 1,
    "hbox": 1,
    "acp": 1,
    "minipage@": 2,
    "hbox@": 1,
}
_TEXT_FIRST = {"texorpdfstring": 2, "pdftooltip": 2}
_KIND_WORDS = {"figure": "Figure", "table": "Table", "section": "Section", "equation": "Equation"}
_SHORT_WORDS = {"figure": "fig.", "table": "table", "section": "section", "equation": "eq."}


@dataclass(slots=True)
class Writer:
    """Turns TeX into text with one paper's macros and numbers."""

    macros: Mapping[str, Macro]
    work: Work
    numbers: Mapping[str, tuple[str, str]] = field(default_factory=dict)  # label → (kind, number)
    expansions: int = 0
    chars_left: int = 0  # that macros may still add to this text
    paper_chars_left: int = MAX_EXPANDED_CHARS_OF_PAPER
    cut_something: bool = False

    def text(self, raw: str) -> str:
        """Return readable text: white space folded, maths as ``$…$``, citations and footnotes gone."""
        self.expansions = 0
        self.chars_left = min(MAX_EXPANDED_CHARS, self.paper_chars_left)
        self.cut_something = False
        return self._tidy("".join(self.pieces(raw[:MAX_SOURCE_CHARS], 0)))

    def _may_add(self, body: str) -> bool:
        """Whether the replacement text of one more macro is within what one text and one paper may cost."""
        self.expansions += 1
        self.chars_left -= len(body)
        self.paper_chars_left -= len(body)
        return self.expansions <= MAX_EXPANSIONS and self.chars_left >= 0

    def _tidy(self, text: str) -> str:
        if self.cut_something or "  " in text:
            parts = _DOLLAR.split(text)
            for i in range(0, len(parts), 2):
                part = _SPACE.sub(" ", parts[i])
                if self.cut_something:
                    part = re.sub(r"\(\s*[,;]*\s*\)|\[\s*[,;]*\s*\]", "", part)
                    part = re.sub(r" +([.,;:)\]])", r"\1", part)
                parts[i] = part
            text = "$".join(parts)
        return unicodedata.normalize("NFC", _SPACE.sub(" ", text).strip())

    def pieces(self, text: str, depth: int) -> list[str]:
        """Turn TeX into pieces of text."""
        out: list[str] = []
        pos, length = 0, len(text)
        while pos < length:
            match = _TOKEN.search(text, pos)
            if match is None:
                out.append(text[pos:])
                break
            if match.start() > pos:
                out.append(text[pos : match.start()])
            name, dollars = match[1], match[2]
            pos = match.end()
            if dollars:
                pos = self._math(text, pos, dollars, out)
            elif name is None:
                out.append(_LIGATURES.get(match[0], " "))
            elif name.isalpha() or "@" in name:
                pos = self._word(name, text, pos, out, depth)
            else:
                pos = self._symbol(name, text, pos, out, depth)
        return out

    def _symbol(self, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
        if name in ACCENTS:
            return self._accent(name, text, pos, out, depth)
        if name in "([":
            closing = {"(": "\\)", "[": "\\]"}[name]
            end = text.find(closing, pos)
            if end >= 0:
                self.add_math(text[pos:end], out)
                return end + 2
            return pos
        if name == "\\":
            out.append(" ")
            after = pos + text.startswith("*", pos)
            if text.startswith("[", after):
                end = bracket_end(text, after, self.work)
                return end if 0 < end < after + 20 else pos
            return after
        out.append(
            {"$": "\\$", ",": " ", ";": " ", ":": " ", " ": " ", "\n": " "}.get(
                name, name if name in "%&#_{}" else ""
            )
        )
        return pos

    def _word(self, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
        called = self.macros.get(name)
        if called is not None and depth < MAX_DEPTH and self.chars_left > 0:
            got = read_arguments(called, text, pos, self.work)
            if got is not None:
                body = substitute(called.body, got[0])
                if self._may_add(body):
                    out.extend(self.pieces(body, depth + 1))
                after = got[1] if called.parameters else skip_space(text, got[1])
                if body.endswith("\\xspace") and text[after : after + 1] not in _NO_XSPACE:
                    out.append(" ")
                return after
        symbol = SYMBOLS.get(name)
        if symbol is not None:
            out.append(symbol)
            return skip_space(text, pos)
        if name in ACCENTS:
            return self._accent(name, text, pos, out, depth)
        handler = _HANDLERS.get(name)
        if handler is not None:
            return handler(self, name, text, pos, out, depth)
        if name in _DROPPED:
            return self._drop(name, text, pos)
        if name in _TEXT_LAST or name in _TEXT_FIRST:
            return self._one_of(name, text, pos, out, depth)
        if name.endswith(("ref", "refs")) or name in ("refrange", "crefrange", "Crefrange"):
            return self._reference(name, text, pos, out, depth)
        if "cite" in name and _CITES.match(name) and name not in _NOT_CITES:
            return self._cite(text, pos, out)
        if text.startswith("*", pos):
            pos += 1
        return skip_space(text, pos)

    def _drop(self, name: str, text: str, pos: int) -> int:
        _, pos = options(text, pos, self.work)
        for _ in range(_DROPPED[name]):
            got = group(text, pos, self.work)
            if got is None:
                break
            pos = got[1]
        if name in ("footnote", "thanks", "todo"):
            self.cut_something = True
        return pos

    def _one_of(self, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
        first = name in _TEXT_FIRST
        count = _TEXT_FIRST[name] if first else _TEXT_LAST[name]
        values = []
        for _ in range(count):
            _, pos = options(text, pos, self.work)
            got = group(text, pos, self.work)
            if got is None:
                break
            values.append(got[0])
            pos = got[1]
        if values and depth < MAX_DEPTH:
            out.extend(self.pieces(values[0 if first else -1], depth + 1))
        return pos

    def _accent(self, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
        got = argument(text, pos, self.work)
        if got is None:
            return pos
        base = got[0].strip()
        if base in ("\\i", "\\j"):
            base = base[1]
        elif base.startswith("\\") or len(base) > 1:
            base = "".join(self.pieces(base, depth + 1)) if depth < MAX_DEPTH else ""
        mark = ACCENTS[name]
        out.append(unicodedata.normalize("NFC", base[:1] + mark) + base[1:] if base else "")
        return got[1]

    def _math(self, text: str, pos: int, dollars: str, out: list[str]) -> int:
        for match in _MATH_END.finditer(text, pos):
            if match[0][0] == "$":
                if dollars == "$" and match[0] == "$$" and match.start() == pos:
                    return pos
                end = match.start()
                self.add_math(text[pos:end], out)
                return end + len(dollars)
        return pos

    def add_math(self, content: str, out: list[str]) -> None:
        """Append maths between dollars."""
        if "\\" in content:
            content = self.expanded(content)
            content = _LABEL.sub("", content)
            if "\\ifnum" in content:
                content = live_branches(content)
            if "\\ensuremath" in content:
                content = content.replace("\\ensuremath", "")
        content = _SPACE.sub(" ", content).strip().replace("$", "")
        if content:
            out.append("$" + content + (" $" if content.endswith("\\") else "$"))

    def expanded(self, content: str) -> str:
        """Expand the paper's macros in maths, a few levels deep."""
        for _ in range(6):
            pieces: list[str] = []
            pos = 0
            for match in CONTROL.finditer(content):
                called = self.macros.get(match[1])
                if called is None or match.start() < pos or self.chars_left <= 0:
                    continue
                got = read_arguments(called, content, match.end(), self.work)
                if got is None:
                    continue
                body = substitute(called.body, got[0])
                if not self._may_add(body):
                    return content
                if ends_in_control_word(body) and content[got[1] : got[1] + 1].isalpha():
                    body += " "
                pieces += [content[pos : match.start()], body]
                pos = got[1]
            if not pieces:
                return content
            expanded = "".join([*pieces, content[pos:]])
            if len(expanded) > MAX_SOURCE_CHARS:
                return content
            content = expanded
        return content

    def _cite(self, text: str, pos: int, out: list[str]) -> int:
        _, pos = options(text, pos, self.work)
        got = group(text, pos, self.work)
        while out and not out[-1].strip():
            out.pop()
        if out:
            out[-1] = out[-1].rstrip()
            if not text.startswith((".", ",", ";", ":", ")"), got[1] if got else pos):
                out.append(" ")
        self.cut_something = True
        return got[1] if got else pos

    def _reference(self, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
        is_starred = text.startswith("*", pos)
        _, pos = options(text, pos, self.work)
        got = group(text, pos, self.work)
        if got is None:
            return pos
        pos = got[1]
        if name == "hyperref":
            if depth < MAX_DEPTH:
                out.extend(self.pieces(got[0], depth + 1))
            return pos
        keys = [key.strip() for key in got[0].split(",")]
        if name.endswith("range"):
            second = group(text, pos, self.work)
            if second is not None:
                keys.append(second[0].strip())
                pos = second[1]
        out.append(self._named(name, keys, out, is_starred=is_starred))
        return pos

    def _named(self, name: str, keys: list[str], out: list[str], *, is_starred: bool) -> str:
        found = [self.numbers.get(key) for key in keys[:50]]
        numbers = [number[1] if number else "??" for number in found]
        if name == "subref":
            part = re.sub(r"^.*?([a-z]?)$", r"\1", numbers[0]) or "??"
            before = "".join(out[-8:])
            bare = is_starred or before.rfind("(") > before.rfind(")")
            return part if bare else f"({part})"
        if name == "eqref":
            return f"({', '.join(numbers)})"
        joined = (" to " if name.endswith("range") else ", ").join(numbers)
        if len(numbers) > 1 and not name.endswith("range"):
            joined = ", ".join(numbers[:-1]) + " and " + numbers[-1]
        kind = next((number[0] for number in found if number), None)
        if kind is None or name in ("ref", "labelcref", "refs", "zref", "vref", "reff", "newref"):
            return joined
        words = _SHORT_WORDS if name == "cref" else _KIND_WORDS
        plural = "s" if len(numbers) > 1 else ""
        word = words[kind]
        return f"{word[:-1] + plural + '.' if word.endswith('.') else word + plural} {joined}"


_LIGATURES = {
    "{": "",
    "}": "",
    "~": " ",
    "``": "“",
    "''": "”",
    "--": "–",
    "---": "—",
    "?`": "¿",
    "!`": "¡",
}


def _ensuremath(writer: Writer, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
    got = argument(text, pos, writer.work)
    if got is None:
        return pos
    writer.add_math(got[0], out)
    return got[1]


def _begin(writer: Writer, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
    got = group(text, pos, writer.work)
    if got is None:
        return pos
    environment, pos = got[0].strip(), got[1]
    base = environment.rstrip("*")
    if base in _MATH_ENVIRONMENTS or base in _SKIPPED_ENVIRONMENTS:
        end = text.find("\\end{" + environment + "}", pos)
        if end >= 0:
            if base in _MATH_ENVIRONMENTS:
                writer.add_math(text[pos:end], out)
            pos = end + len(environment) + 6
            out.append(" " if text[pos : pos + 1].isalnum() else "")
            return pos
    _, pos = optional(text, pos, writer.work)
    if base in ("minipage", "tabular", "array", "multicols", "adjustwidth"):
        dropped = group(text, pos, writer.work)
        pos = dropped[1] if dropped else pos
    out.append(" ")
    return pos


def _end(writer: Writer, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
    got = group(text, pos, writer.work)
    out.append(" ")
    return got[1] if got else pos


def _verb(writer: Writer, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
    pos += text.startswith("*", pos)
    if pos < len(text):
        end = text.find(text[pos], pos + 1)
        if end > 0:
            out.append(text[pos + 1 : end])
            return end + 1
    return pos


def _url(writer: Writer, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
    got = group(text, pos, writer.work)
    if got is None:
        return pos
    out.append(got[0].replace("\\_", "_").replace("\\%", "%").replace("\\#", "#").replace("\\&", "&"))
    return got[1]


def _quantity(writer: Writer, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
    r"""siunitx: \SI{3}{\metre}, \qty, \num, \si, \unit, \ang, \SIrange."""
    counts = {
        "SI": 2,
        "qty": 2,
        "num": 1,
        "si": 1,
        "unit": 1,
        "ang": 1,
        "SIrange": 3,
        "qtyrange": 3,
        "numrange": 2,
    }
    _, pos = options(text, pos, writer.work)
    values = []
    for _ in range(counts[name]):
        got = group(text, pos, writer.work)
        if got is None:
            break
        values.append(got[0])
        pos = got[1]
    if not values:
        return pos
    if name in ("SIrange", "numrange", "qtyrange"):
        values[:2] = [" to ".join(values[:2])]
    if name in ("si", "unit"):
        values = ["", values[0]]
    number = "".join(writer.pieces(values[0], depth + 1)) if depth < MAX_DEPTH else values[0]
    number = number.strip() + ("°" if name == "ang" else "")
    unit = _unit(writer, values[1]) if len(values) > 1 else ""
    out.append(" ".join(part for part in (number, unit) if part))
    return pos


def _unit(writer: Writer, raw: str) -> str:
    raw = writer.expanded(raw) if "\\" in raw else raw
    text = re.sub(r"\\([a-zA-Z]+)\s*", lambda match: UNITS.get(match[1], match[1] + " "), raw)
    return text.replace("~", " ").replace(".", " ").replace("{", "").replace("}", "").strip()


def _tikz(writer: Writer, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
    r"""\tikz[…]{…} or \tikz … ; draws, and says nothing."""
    _, pos = options(text, pos, writer.work)
    got = group(text, pos, writer.work)
    if got is not None:
        return got[1]
    end = text.find(";", pos, pos + 2_000)
    return end + 1 if end >= 0 else pos


def _item(writer: Writer, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
    given, pos = optional(text, pos, writer.work)
    out.append(" ")
    if given and depth < MAX_DEPTH:
        out.extend(writer.pieces(given, depth + 1))
        out.append(" ")
    return pos


def _length(writer: Writer, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
    match = re.compile(r"\s*=?\s*-?[\d.]+\s*(?:pt|cm|mm|in|em|ex|true *in|true *cm)?(?![a-z])\s?").match(
        text, pos
    )
    return match.end() if match else pos


def _definition(writer: Writer, name: str, text: str, pos: int, out: list[str], depth: int) -> int:
    brace = text.find("{", pos, pos + 200)
    got = group(text, brace, writer.work) if brace >= 0 else None
    return got[1] if got else pos


_HANDLERS = {
    "ensuremath": _ensuremath,
    "begin": _begin,
    "end": _end,
    "verb": _verb,
    "lstinline": _verb,
    "url": _url,
    "path": _url,
    "nolinkurl": _url,
    "item": _item,
    "vskip": _length,
    "hskip": _length,
    "kern": _length,
    "baselineskip": _length,
    **dict.fromkeys(
        "parindent parskip magnification hsize vsize hoffset voffset epsfxsize epsfysize".split(), _length
    ),
    "def": _definition,
    "tikz": _tikz,
    **dict.fromkeys(("SI", "qty", "num", "si", "unit", "ang", "SIrange", "qtyrange", "numrange"), _quantity),
}
