r"""\if…\else…\fi and the packages' two-branch commands: which branch is live.

Belongs here: tests that the source itself decides (switches, names defined or not, numbers). A test that only
a TeX run could decide takes the branch that pdfLaTeX on a plain machine most likely takes.
"""

# ruff: noqa: ARG001, SIM905 - handlers share one signature; word lists read better as words

import operator
import re

from s1mm_assets.extraction.latex.expand import Reader
from s1mm_assets.extraction.latex.lexing import CONTROL, skip_space
from s1mm_assets.extraction.latex.macros import NO_VALUE

_FALSE = frozenset(
    """iffalse ifmmode ifhmode ifvmode ifinner ifvoid ifhbox ifvbox ifeof ifdim if ifcat ifodd ifxetex ifluatex
    ifXeTeX ifLuaTeX iftutex ifdvi ifincsname iffontchar if@twocolumn ifdraft ifoptiondraft""".split()
)
_TRUE = frozenset(["iftrue", "ifpdf", "ifPDFTeX", "ifpdftex", "ifpdfoutput"])
_DECIDED_HERE = frozenset(["ifx", "ifnum", "ifdefined", "ifcsname", "ifcase"])
PRIMITIVES = _FALSE | _TRUE | _DECIDED_HERE
_BRANCH = re.compile(r"\\(if[a-zA-Z@]*|else|fi)(?![a-zA-Z@])")
_TOKEN = re.compile(r"\s*(\\(?:[a-zA-Z@]+|.)|[^\s])", re.DOTALL)
_NUMBERS = re.compile(r"\s*(-?\d{1,9})\s*([<>=])\s*(-?\d{1,9})(?:\s|\\relax)?")
_COMPARE = {"<": operator.lt, ">": operator.gt, "=": operator.eq}
_COMPARISON = re.compile(r"\s*(-?\d+|\\[a-zA-Z@]+)\s*([<>=])\s*(-?\d+|\\[a-zA-Z@]+)(?:\s|\\relax)?")


def conditional(reader: Reader, command: str) -> None:
    r"""Any \if…: read on, or skip to the other branch."""
    if decide(reader, command):
        reader.open_conditionals += 1
    else:
        skip_branch(reader, stop_at_else=True)


def live_branches(text: str) -> str:
    r"""Return a text with only the live branch of each ``\ifnum`` between two numbers; other tests stay as they are.

    Macros that choose by their argument leave such tests behind when they are expanded in maths.
    """
    out: list[str] = []
    open_tests: list[tuple[bool, bool]] = []  # whether it is decided here, and whether its branch is live
    n_dead, pos = 0, 0
    for match in _BRANCH.finditer(text):
        if match.start() < pos:
            continue
        out += [] if n_dead else [text[pos : match.start()]]
        pos = match.end()
        numbers = _NUMBERS.match(text, pos) if match[1] == "ifnum" else None
        is_ours, is_live = open_tests[-1] if open_tests else (False, True)
        if numbers:
            is_live = _COMPARE[numbers[2]](int(numbers[1]), int(numbers[3]))
            open_tests.append((True, is_live))
            n_dead += not is_live
            pos = numbers.end()
            continue
        if match[1] == "else" and is_ours:
            open_tests[-1] = (True, not is_live)
            n_dead += 1 if is_live else -1
            continue
        if match[1] == "fi" and open_tests:
            open_tests.pop()
            n_dead -= not is_live
            if is_ours:
                continue
        elif match[1] not in ("else", "fi"):
            open_tests.append((False, True))
        out += [] if n_dead else [match[0]]
    return "".join(out if n_dead else [*out, text[pos:]])


def decide(reader: Reader, command: str) -> bool:
    """Evaluate a test, reading its operands."""
    if command[2:] in reader.flags:
        return reader.flags[command[2:]]
    if command in _TRUE:
        return True
    frame = reader.frame
    if command == "ifx":
        first = _TOKEN.match(frame.text, frame.pos)
        second = _TOKEN.match(frame.text, first.end()) if first else None
        if first is None or second is None:
            return False
        frame.pos = second.end()
        return _same(reader, first[1], second[1])
    if command == "ifnum":
        match = _COMPARISON.match(frame.text, frame.pos)
        if match is None:
            return False
        frame.pos = match.end()
        return _compare(reader, match[1], match[2], match[3])
    if command == "ifdefined":
        word = CONTROL.match(frame.text, skip_space(frame.text, frame.pos))
        if word is None:
            return False
        frame.pos = word.end()
        return word[1] in reader.macros or word[1] in reader.builtin or word[1] == "pdfoutput"
    if command == "ifcsname":
        at = frame.text.find("\\endcsname", frame.pos, frame.pos + 200)
        name = frame.text[frame.pos : at] if at >= 0 else ""
        frame.pos = at + 10 if at >= 0 else frame.pos
        return name in reader.macros
    return command == "ifcase"


def _same(reader: Reader, first: str, second: str) -> bool:
    if first == second:
        return True
    if not (first.startswith("\\") and second.startswith("\\")):
        return False
    a, b = reader.macros.get(first[1:]), reader.macros.get(second[1:])
    if a is None and b is None:
        known = [name[1:] in reader.builtin for name in (first, second)]
        return not any(known) and "undefined" in (first + second)
    return a is not None and b is not None and a.body == b.body and a.parameters == b.parameters


def _compare(reader: Reader, left: str, relation: str, right: str) -> bool:
    values = []
    for side in (left, right):
        text = reader.plain(side).strip() if side.startswith("\\") else side
        if text in ("\\pdfoutput", "\\pdftexversion", "\\z@"):
            text = {"\\pdfoutput": "1", "\\pdftexversion": "140"}.get(text, "0")
        try:
            values.append(int(text[:12]))
        except ValueError:
            return False
    return {"<": values[0] < values[1], ">": values[0] > values[1], "=": values[0] == values[1]}[relation]


def skip_branch(reader: Reader, *, stop_at_else: bool) -> None:
    r"""Skip to the \else or \fi of this conditional, as TeX does: without expanding anything."""
    depth = 0
    while reader.frames:
        frame = reader.frame
        for match in _BRANCH.finditer(frame.text, frame.pos):
            word = match[1]
            if (
                match.start()
                and frame.text[match.start() - 1] == "\\"
                and _is_escaped(frame.text, match.start())
            ):
                continue
            if word == "fi":
                if depth == 0:
                    frame.pos = match.end()
                    return
                depth -= 1
            elif word == "else":
                if depth == 0 and stop_at_else:
                    frame.pos = match.end()
                    reader.open_conditionals += 1
                    return
            elif word in PRIMITIVES or word[2:] in reader.flags:
                depth += 1
        if frame.file is not None:
            frame.pos = len(frame.text)
            return
        reader.leave_frame()


def _is_escaped(text: str, at: int) -> bool:
    first = at
    while first and text[first - 1] == "\\":
        first -= 1
    return (at - first) % 2 == 1


def other_branch(reader: Reader, command: str) -> None:
    r"""\else or \or after a branch that was live."""
    if reader.open_conditionals:
        reader.open_conditionals -= 1
        skip_branch(reader, stop_at_else=False)


def end_conditional(reader: Reader, command: str) -> None:
    r"""\fi."""
    if reader.open_conditionals:
        reader.open_conditionals -= 1


def new_switch(reader: Reader, command: str) -> None:
    r"""\newif\ifdraft makes \ifdraft, \drafttrue and \draftfalse."""
    frame = reader.settle()
    word = CONTROL.match(frame.text, frame.pos)
    if word is None or not word[1].startswith("if"):
        return
    frame.pos = word.end()
    make_switch(reader, word[1][2:])


def make_switch(reader: Reader, name: str) -> None:
    """Let a switch exist, off, with its commands."""
    if len(reader.flags) > 2_000:
        return
    reader.flags.setdefault(name, False)
    reader.handlers["if" + name] = conditional
    reader.handlers[name + "true"] = set_switch
    reader.handlers[name + "false"] = set_switch


def set_switch(reader: Reader, command: str) -> None:
    r"""\drafttrue or \draftfalse."""
    value = command.endswith("true")
    reader.flags[command[: -4 if value else -5]] = value


def named_switch(reader: Reader, command: str) -> None:
    r"""\newtoggle, \newbool, \toggletrue, \setboolean and their kin."""
    name = reader.group()
    if name is None:
        return
    name = name.strip()
    if command in ("setboolean", "setbool", "settoggle"):
        value = (reader.group() or "").strip() == "true"
    else:
        value = command.endswith("true")
    if command.startswith(("new", "provide")):
        make_switch(reader, name)
    reader.flags[name] = value


def two_branches(reader: Reader, command: str) -> None:
    """Commands that are given a test and two branches in braces."""
    frame = reader.frame
    before = frame.pos
    if command == "ifstrequal":
        test: bool | None = (reader.argument() or "").strip() == (reader.argument() or "").strip()
    else:
        test = evaluate(reader, command, (reader.argument() or "").strip())
    yes = reader.argument()
    no = (
        None
        if command in ("IfBooleanT", "IfValueT", "IfNoValueT", "IfBooleanF", "IfNoValueF")
        else reader.argument()
    )
    if yes is None:
        frame.pos = before
        return
    if command in ("IfBooleanF", "IfNoValueF"):
        yes, no = "", yes
    taken, left = (yes, no) if test else (no, yes)
    if _is_other_version(taken or "", left or ""):
        reader.warn("figures of another version of the paper, which its switches leave out, were read too")
        taken = left
    reader.push(taken or "")


def _is_other_version(taken: str, left: str) -> bool:
    """Whether a switch leaves out whole figures and puts nothing in their place.

    Papers keep a long and a short version in one source so. TeX would print the short one; the figures of the
    long one are the authors' all the same, images included.
    """
    return not taken.strip() and "\\begin{figure" in left and "\\caption" in left


def evaluate(reader: Reader, command: str, test: str) -> bool:
    """Decide the test of a two-branch command."""
    if command in ("iftoggle", "ifbool"):
        return reader.flags.get(test, False)
    if command == "@ifundefined":
        return test not in reader.macros and test not in reader.builtin
    if command in ("ifdef", "ifcsdef"):
        return test.lstrip("\\") in reader.macros or test.lstrip("\\") in reader.builtin
    if command == "ifundef":
        return test.lstrip("\\") not in reader.macros
    if command.startswith("IfBoolean"):
        return test in ("*", "\\BooleanTrue")
    if command.startswith("IfValue"):
        return test != NO_VALUE
    if command.startswith("IfNoValue"):
        return test == NO_VALUE
    if command == "ifblank":
        return not test
    if command in ("@ifpackageloaded", "@ifclassloaded"):
        return command == "@ifpackageloaded"
    return _ifthen(reader, test)


def _ifthen(reader: Reader, test: str) -> bool:
    match = re.match(
        r"\s*(\\(?:not|NOT)\s*)?\\(boolean|equal|isundefined)\s*\{([^{}]*)\}(?:\s*\{([^{}]*)\})?", test
    )
    if match is None:
        comparison = _COMPARISON.match(test + " ")
        return (
            bool(comparison) and _compare(reader, comparison[1], comparison[2], comparison[3])
            if comparison
            else False
        )
    if match[2] == "boolean":
        value = reader.flags.get(match[3].strip(), match[3].strip() == "true")
    elif match[2] == "equal":
        value = reader.plain(match[3]).strip() == reader.plain(match[4] or "").strip()
    else:
        value = match[3].strip().lstrip("\\") not in reader.macros
    return not value if match[1] else value
