r"""Numbers as LaTeX prints them: figures, panels, tables, sections and equations.

Belongs here: counters, their resets and formats, and what \appendix means in the common classes.
"""

import re
from dataclasses import dataclass, field

_LEVELS = ("chapter", "section", "subsection", "subsubsection")
_BOOKS = re.compile(r"book|report|memoir|scrbook|scrreprt|thesis|svmono|svmult|amsbook|octavo", re.IGNORECASE)
# classes whose \appendix starts figure numbers anew: class → format
_APPENDIX_FORMATS = (
    (re.compile(r"aa\d*|aanda|elsart|cas-[ds]c", re.IGNORECASE), "\\thesection.\\arabic{figure}", True),
    (re.compile(r"elsarticle", re.IGNORECASE), "\\thesection.\\arabic{figure}", False),
    (
        re.compile(
            r"mnras|mn2e|mn|mnauth|iopart|ioplau|copernicus|ametsoc|emulateapj_appendix|agutex", re.IGNORECASE
        ),
        "\\thesection\\arabic{figure}",
        True,
    ),
)
_COMMAND = re.compile(
    r"\\(?:@?(arabic|Alph|alph|Roman|roman|fnsymbol)\s*\{?\s*(?:\\c@)?([a-zA-Z]+)\}?|the([a-zA-Z]+)|"
    r"(?:number|the)\\?(?:value\s*\{|c@)([a-zA-Z]+)\}?)"
)


@dataclass(slots=True)
class Counters:
    """The state of LaTeX's counters at one point of the paper."""

    class_name: str = ""
    options: str = ""
    values: dict[str, int] = field(default_factory=dict)
    formats: dict[str, str] = field(default_factory=dict)
    within: dict[str, set[str]] = field(default_factory=dict)  # counter → those that it resets
    labels: dict[str, tuple[str, str]] = field(default_factory=dict)  # label → (kind, number)
    last_section: str = ""
    in_appendix: bool = False

    def __post_init__(self) -> None:
        self.formats = {
            "chapter": "\\arabic{chapter}",
            "section": "\\arabic{section}",
            "subsection": "\\thesection.\\arabic{subsection}",
            "subsubsection": "\\thesubsection.\\arabic{subsubsection}",
            "figure": "\\arabic{figure}",
            "table": "\\arabic{table}",
            "equation": "\\arabic{equation}",
        }
        self.within = {"section": {"subsection"}, "subsection": {"subsubsection"}}
        if _BOOKS.search(self.class_name):
            self.formats["section"] = "\\thechapter.\\arabic{section}"
            self.within["chapter"] = {"section", "figure", "table", "equation"}
            for name in ("figure", "table", "equation"):
                self.formats[name] = "\\thechapter.\\arabic{" + name + "}"
        if self.class_name.lower().startswith(("revtex", "ieeetran")):
            self.formats["section"] = "\\Roman{section}"
            self.formats["subsection"] = "\\Alph{subsection}"

    def step(self, name: str) -> None:
        """Increase a counter and reset those numbered within it."""
        self.values[name] = self.values.get(name, 0) + 1
        self._reset(name, 0)

    def _reset(self, name: str, depth: int) -> None:
        if depth < 6:
            for inner in self.within.get(name, ()):
                self.values[inner] = 0
                self._reset(inner, depth + 1)

    def printed(self, name: str, depth: int = 0) -> str:
        r"""What \the<name> prints."""
        text = self.formats.get(name)
        if text is None:
            return str(self.values.get(name, 0))
        return self.evaluate(text, depth)

    def evaluate(self, text: str, depth: int = 0) -> str:
        r"""Evaluate the replacement text of a \the… command."""

        def replace(match: re.Match[str]) -> str:
            if match[1]:
                return formatted(match[1], self.values.get(match[2], 0))
            if match[3]:
                return self.printed(match[3], depth + 1) if depth < 6 else ""
            return str(self.values.get(match[4], 0))

        text = _COMMAND.sub(replace, text[:500])
        return re.sub(r"\\[a-zA-Z@]+\s*|[{}$\s]|\\.", "", text)[:40]

    def apply(self, event: tuple[str, ...]) -> None:
        """Let one event change the counters."""
        kind = event[0]
        if kind == "section":
            self._section(event[1])
        elif kind == "label":
            self.labels[event[1]] = ("section", self.last_section)
        elif kind == "equation":
            self.step("equation")
            if event[1]:
                self.labels[event[1]] = ("equation", self.printed("equation"))
        elif kind == "appendix":
            self._appendix()
        elif kind == "the":
            self.formats[event[1]] = event[2]
        elif kind in ("setcounter", "addtocounter"):
            self._set(event)
        elif kind in ("stepcounter", "refstepcounter"):
            self.step(event[1])
        elif kind in ("numberwithin", "counterwithin") and len(event) == 3:
            self.within.setdefault(event[2], set()).add(event[1])
            self.formats[event[1]] = "\\the" + event[2] + ".\\arabic{" + event[1] + "}"
        elif kind == "counterwithout" and len(event) == 3:
            self.within.get(event[2], set()).discard(event[1])
            self.formats[event[1]] = "\\arabic{" + event[1] + "}"
        elif kind == "@addtoreset" and len(event) == 3:
            self.within.setdefault(event[2], set()).add(event[1])
        elif kind == "@removefromreset" and len(event) == 3:
            self.within.get(event[2], set()).discard(event[1])

    def _set(self, event: tuple[str, ...]) -> None:
        match = re.match(r"\s*(-?\d{1,7})", event[2])
        value = int(match[1]) if match else None
        if value is None:
            named = re.match(r"\\(?:value\s*\{|c@)([a-zA-Z]+)", event[2])
            value = self.values.get(named[1], 0) if named else 0
        self.values[event[1]] = value + (self.values.get(event[1], 0) if event[0] == "addtocounter" else 0)

    def _section(self, level: str) -> None:
        if level in _LEVELS:
            self.step(level)
            self.last_section = self.printed(level)

    def _appendix(self) -> None:
        if self.in_appendix:
            return
        self.in_appendix = True
        top = "chapter" if _BOOKS.search(self.class_name) else "section"
        self.values[top] = 0
        self._reset(top, 0) if top == "chapter" else None
        self.formats[top] = "\\Alph{" + top + "}"
        for pattern, text, resets in _APPENDIX_FORMATS:
            if pattern.fullmatch(self.class_name):
                self._figures_anew(text, resets=resets)
        if "appendixfloats" in self.options:
            self._figures_anew("\\thesection\\arabic{figure}", resets=True)

    def _figures_anew(self, text: str, *, resets: bool) -> None:
        self.formats["figure"] = text
        self.formats["table"] = text.replace("figure", "table")
        if resets:
            self.values["figure"] = self.values["table"] = 0
            self.within.setdefault("section", set()).update(("figure", "table"))


def formatted(style: str, value: int) -> str:
    r"""Print a counter's value as \arabic, \Alph, \roman … do."""
    if style == "arabic" or value <= 0 or value > 3999:
        return str(value)
    if style in ("Alph", "alph"):
        letter = chr(ord("A") + (value - 1) % 26)
        return letter if style == "Alph" else letter.lower()
    if style in ("Roman", "roman"):
        roman = ""
        for number, sign in zip(
            (1000, 900, 500, 400, 100, 90, 50, 40, 10, 9, 5, 4, 1),
            ("M", "CM", "D", "CD", "C", "XC", "L", "XL", "X", "IX", "V", "IV", "I"),
            strict=True,
        ):
            roman += sign * (value // number)
            value %= number
        return roman if style == "Roman" else roman.lower()
    return str(value)


def letter(index: int) -> str:
    """The letter of a panel: a, b … z, then nothing."""
    return chr(ord("a") + index - 1) if 1 <= index <= 26 else ""
