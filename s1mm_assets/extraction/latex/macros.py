r"""The paper's own macros: what a definition says, and what a call expands to.

Belongs here: \newcommand, \def, xparse signatures, arguments and substitution. Whether a macro is worth
expanding is decided in expand.py.
"""

import re
from dataclasses import dataclass, field

from s1mm_assets.extraction.latex.lexing import (
    CONTROL,
    Work,
    argument,
    group,
    optional,
    skip_space,
)

_PARAMETER = re.compile(r"#([1-9])")
_ENDS_IN_WORD = re.compile(r"\\[a-zA-Z@]+\Z")
_CONTROL_WORD = re.compile(r"\\([a-zA-Z@]+)")
NO_VALUE = "-NoValue-"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One argument of a macro: m(andatory), o(ptional), s(tar), d(elimited by `until`)."""

    kind: str
    default: str | None = None
    until: str = ""


@dataclass(frozen=True, slots=True)
class Macro:
    """A macro's signature and replacement text."""

    body: str
    parameters: tuple[Parameter, ...] = ()
    prefix: str = ""  # literal text that must follow the name
    names: frozenset[str] = field(default_factory=frozenset)  # control words in the body

    @property
    def drops_an_argument(self) -> bool:
        r"""Whether text given to the macro is thrown away, as \newcommand{\ignore}[1]{} does."""
        used = set(_PARAMETER.findall(self.body))
        return any(str(i) not in used for i, p in enumerate(self.parameters, 1) if p.kind in "md")


def macro(body: str, parameters: tuple[Parameter, ...] = (), prefix: str = "") -> Macro:
    """Make a macro, noting which control words its body holds."""
    names = frozenset(_CONTROL_WORD.findall(body)) if "\\" in body else frozenset()
    return Macro(body, parameters, prefix, names)


def latex_parameters(count: str | None, default: str | None) -> tuple[Parameter, ...]:
    r"""Parameters of \newcommand\x[count][default]."""
    try:
        n = min(int(count or "0"), 9)
    except ValueError:
        n = 0
    first = (Parameter("o", default),) if default is not None and n else ()
    return first + (Parameter("m"),) * (n - len(first))


def tex_parameters(text: str) -> tuple[tuple[Parameter, ...], str]:
    r"""Parameters of \def\x<text>{…}: (parameters, literal prefix)."""
    parts = _PARAMETER.split(text)
    parameters = []
    for i in range(2, len(parts), 2):
        until = parts[i]
        parameters.append(Parameter("d", until=until) if until else Parameter("m"))
    return tuple(parameters[:9]), parts[0]


def xparse_parameters(spec: str, work: Work) -> tuple[Parameter, ...]:
    r"""Parameters of \NewDocumentCommand\x{spec}{…}."""
    found: list[Parameter] = []
    pos = 0
    while pos < len(spec) and len(found) < 9:
        kind = spec[pos]
        pos += 1
        if kind in "mv":
            found.append(Parameter("m"))
        elif kind == "o":
            found.append(Parameter("o", NO_VALUE))
        elif kind == "s":
            found.append(Parameter("s"))
        elif kind == "O":
            default = argument(spec, pos, work)
            if default is None:
                break
            found.append(Parameter("o", default[0]))
            pos = default[1]
    return tuple(found)


def read_arguments(called: Macro, text: str, pos: int, work: Work) -> tuple[list[str], int] | None:
    """Read a call's arguments at `pos`; None where the text does not match the signature."""
    if called.prefix:
        start = pos if text.startswith(called.prefix, pos) else skip_space(text, pos)
        if not text.startswith(called.prefix.strip(), start):
            return None
        pos = start + len(called.prefix if text.startswith(called.prefix, start) else called.prefix.strip())
    values = []
    for parameter in called.parameters:
        if parameter.kind == "m":
            got = argument(text, pos, work) or _paragraph_end(text, pos)
            if got is None:
                return None
            value, pos = got
        elif parameter.kind == "o":
            given, pos = optional(text, pos, work)
            value = (parameter.default or "") if given is None else given
        elif parameter.kind == "s":
            after = skip_space(text, pos)
            star = text.startswith("*", after)
            value, pos = ("*", after + 1) if star else ("", pos)
        else:
            found = _delimited(text, pos, parameter.until, work)
            if found is None:
                return None
            value, pos = found
        values.append(value)
    return values, pos


def _paragraph_end(text: str, pos: int) -> tuple[str, int] | None:
    r"""A blank line where an argument is due: TeX takes the \par that it stands for."""
    pos = skip_space(text, pos)
    return ("\\par ", pos + 1) if text.startswith("\n", pos) else None


def _delimited(text: str, pos: int, until: str, work: Work) -> tuple[str, int] | None:
    until = until.strip() or until
    at = text.find(until, pos, pos + 20_000)
    work.left -= (at if at >= 0 else min(len(text), pos + 20_000)) - pos
    if at < 0 or work.is_spent:
        return None
    value = text[pos:at]
    if value.startswith("{") and value.endswith("}") and value.count("{") == 1:
        value = value[1:-1]
    return value, at + len(until)


def substitute(body: str, values: list[str]) -> str:
    """Put the arguments into a replacement text."""
    if "#" not in body:
        return body
    parts = _PARAMETER.split(body)
    pieces = [parts[0]]
    for i in range(1, len(parts), 2):
        index = int(parts[i]) - 1
        value = values[index] if index < len(values) else ""
        if value[:1].isalpha() and _ENDS_IN_WORD.search(pieces[-1][-60:]):
            pieces.append(" ")
        pieces.append(value)
        pieces.append(parts[i + 1])
    return "".join(pieces).replace("##", "#")


def ends_in_control_word(text: str) -> bool:
    """Whether a letter put after this text would change its last command."""
    return bool(_ENDS_IN_WORD.search(text[-60:]))


def read_newcommand(text: str, pos: int, work: Work) -> tuple[str, Macro, int] | None:
    r"""Read what follows \newcommand: (name, macro, position after)."""
    if text.startswith("*", skip_space(text, pos)):
        pos = skip_space(text, pos) + 1
    named = argument(text, pos, work)
    if named is None:
        return None
    name, pos = named[0].strip().lstrip("\\"), named[1]
    count, pos = optional(text, pos, work)
    default, pos = optional(text, pos, work)
    body = argument(text, pos, work)
    if body is None or not name:
        return None
    return name, macro(body[0], latex_parameters(count, default)), body[1]


def read_def(text: str, pos: int, work: Work) -> tuple[str, Macro, int] | None:
    r"""Read what follows \def: (name, macro, position after)."""
    named = CONTROL.match(text, skip_space(text, pos))
    if named is None:
        return None
    brace = text.find("{", named.end(), named.end() + 500)
    if brace < 0:
        return None
    parameters, prefix = tex_parameters(text[named.end() : brace])
    body = group(text, brace, work)
    if body is None:
        return None
    return named[1], macro(body[0], parameters, prefix if parameters or prefix.strip() else ""), body[1]


def read_document_command(text: str, pos: int, work: Work) -> tuple[str, Macro, int] | None:
    r"""Read what follows \NewDocumentCommand: (name, macro, position after)."""
    named = argument(text, pos, work)
    spec = argument(text, named[1], work) if named else None
    body = argument(text, spec[1], work) if spec else None
    if named is None or spec is None or body is None:
        return None
    return named[0].strip().lstrip("\\"), macro(body[0], xparse_parameters(spec[0], work)), body[1]


def read_environment(
    text: str, pos: int, work: Work, *, xparse: bool = False
) -> tuple[str, Macro, str, int] | None:
    r"""Read what follows \newenvironment: (name, opening macro, closing text, position after)."""
    if text.startswith("*", skip_space(text, pos)):
        pos = skip_space(text, pos) + 1
    named = argument(text, pos, work)
    if named is None:
        return None
    pos = named[1]
    if xparse:
        spec = argument(text, pos, work)
        if spec is None:
            return None
        parameters, pos = xparse_parameters(spec[0], work), spec[1]
    else:
        count, pos = optional(text, pos, work)
        default, pos = optional(text, pos, work)
        parameters = latex_parameters(count, default)
    opening = argument(text, pos, work)
    closing = argument(text, opening[1], work) if opening else None
    if opening is None or closing is None:
        return None
    return named[0].strip(), macro(opening[0], parameters), closing[0], closing[1]
