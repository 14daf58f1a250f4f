"""Where groups and arguments begin and end in TeX source.

Belongs here: questions about characters (braces, brackets, control sequences). What a command means is
decided elsewhere. Every search draws on a budget, so that hostile nesting costs linear time.
"""

import re

CONTROL = re.compile(r"\\([a-zA-Z@]+|.)", re.DOTALL)
"""A control word or control symbol; group 1 is its name."""

MAX_GROUP_CHARS = 400_000
_BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
_BRACKET = re.compile(r"\\.|[{}\]]", re.DOTALL)
_SPACE = re.compile(r"[ \t]*(?:\n[ \t]*(?!\n|[ \t]))?")


class Work:
    """How many characters may still be searched for closing braces in one paper."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left = 500_000

    def grant(self, source_chars: int) -> None:
        """Allow the searches that a source of this length may need."""
        self.left += 24 * source_chars

    @property
    def is_spent(self) -> bool:
        """Whether searches are refused from now on."""
        return self.left <= 0


def skip_space(text: str, pos: int) -> int:
    """Return the position after blanks and at most one line end, as TeX skips before an argument."""
    match = _SPACE.match(text, pos)
    return match.end() if match else pos


def group_end(text: str, start: int, work: Work) -> int:
    """Return the position just past the brace that closes the one at `start`, or -1."""
    if work.left <= 0:
        return -1
    limit = min(len(text), start + MAX_GROUP_CHARS)
    depth = 0
    for match in _BRACE.finditer(text, start, limit):
        char = match[0]
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth <= 0:
                work.left -= match.end() - start
                return match.end() if depth == 0 else -1
    work.left -= limit - start
    return -1


def bracket_end(text: str, start: int, work: Work) -> int:
    """Return the position just past the `]` that closes the `[` at `start`, braces respected, or -1."""
    if work.left <= 0:
        return -1
    limit = min(len(text), start + MAX_GROUP_CHARS)
    depth = 0
    for match in _BRACKET.finditer(text, start + 1, limit):
        char = match[0]
        if char == "{":
            depth += 1
        elif char == "}":
            depth -= 1
            if depth < 0:
                break
        elif char == "]" and depth == 0:
            work.left -= match.end() - start
            return match.end()
    work.left -= limit - start
    return -1


def argument(text: str, pos: int, work: Work) -> tuple[str, int] | None:
    """Read one mandatory argument: a group without its braces, a control sequence, or one character."""
    pos = skip_space(text, pos)
    if pos >= len(text):
        return None
    char = text[pos]
    if char == "{":
        end = group_end(text, pos, work)
        return (text[pos + 1 : end - 1], end) if end > 0 else None
    if char in "}\n":
        return None
    if char == "\\":
        match = CONTROL.match(text, pos)
        if match is None:
            return None
        return match[0], skip_space(text, match.end()) if match[1].isalpha() else match.end()
    return char, pos + 1


def group(text: str, pos: int, work: Work) -> tuple[str, int] | None:
    """Read one argument that must be in braces; None where none follows."""
    pos = skip_space(text, pos)
    if pos >= len(text) or text[pos] != "{":
        return None
    end = group_end(text, pos, work)
    return (text[pos + 1 : end - 1], end) if end > 0 else None


def optional(text: str, pos: int, work: Work) -> tuple[str | None, int]:
    """Read one optional argument; (None, unchanged position) where none follows."""
    start = skip_space(text, pos)
    if start < len(text) and text[start] == "[":
        end = bracket_end(text, start, work)
        if end > 0:
            return text[start + 1 : end - 1], end
    return None, pos


def options(text: str, pos: int, work: Work) -> tuple[list[str], int]:
    """Read a star and every optional argument that follows."""
    after = skip_space(text, pos)
    if text.startswith("*", after):
        pos = after + 1
    found: list[str] = []
    while True:
        content, pos = optional(text, pos, work)
        if content is None:
            return found, pos
        found.append(content)
