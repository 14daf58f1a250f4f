"""What a model wraps around its description, taken off: thinking, quotes, fences, "Here is the description:".

Only what can go without harm: the words of the description stay as they are. What cannot is for `faults`.
Every pattern is bounded, so that time stays linear in the length of the text.
"""

import re
from collections.abc import Callable

MAX_ROUNDS = 8  # wrappings inside one another; what is still wrapped after that is not mended

INVISIBLE = re.compile(
    "[\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\xad\u061c\u200b-\u200f\u202a-\u202e\u2060-\u206f"
    "\ufeff\ufff9-\ufffb\ufffe\uffff\ud800-\udfff\U000e0000-\U000e007f]"
)
"""Control and format characters, and half surrogate pairs, which no file can hold."""

_SAYS = r"(?:re-?caption|caption|description|summary|paragraph)s?"
_LEAD = re.compile(
    rf"""[#*_\s]{{0,8}}
    (?:(?:sure|certainly|of\ course|okay|ok|absolutely)\b[!,.:]?\s{{1,3}})?
    (?:
        (?:here(?:['’]s|\ is)|below\ is|the\ following\ is)\ [^:.\n]{{0,80}}\b{_SAYS}\b[^:.\n]{{0,60}}[:\n]
      | (?:(?:the|figure|image|final|improved|enhanced|detailed|scientific|self-contained|new|revised)\ ){{0,3}}
        (?:{_SAYS}|answer)[*_\s]{{0,4}}[:\n]
    )[*_\s]{{0,8}}""",
    re.IGNORECASE | re.VERBOSE,
)
_CLOSING = re.compile(
    r"""(?<=[.!?\s)])(?:(?:please\ )?let\ me\ know\ if|i\ hope\ this\ (?:helps|meets|is)|feel\ free\ to
    |would\ you\ like\ me\ to|\(?(?:word|character)\ count\b)[^.!?]{0,200}[.!?)]?\Z""",
    re.IGNORECASE | re.VERBOSE,
)
_FENCE_LANGUAGE = re.compile(r"(?:[a-z]{1,10}(?=\n)|(?:text|txt|markdown|md|plaintext|latex)\b)")
_WRAPPING_TAG = re.compile(r"<([a-z]{1,12})>")
_QUOTES = {'"': '"', "“": "”", "'": "'", "‘": "’", "«": "»", "`": "`"}

_EMPHASIS: tuple[tuple[re.Pattern[str], str], ...] = (
    # "x**2 + y**2", "** p < 0.01" and "(**)" are none
    (re.compile(r"(?<![\w*\\^])\*\*(?=[\w(\[$\\\"'“])([^*\n]{1,300})(?<=\S)\*\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<![\w*\\^$])\*(?=[A-Za-z])([^*$\n]{1,100})(?<=[\w.)])\*(?![\w*])"), r"\1"),
    # "``quoted''", "`quoted'" and "the 5`-end" are none
    (re.compile(r"(?<![\w`])`([^`'\n]{1,100})`(?![\w`])"), r"\1"),
    (re.compile(r"<(b|i|u|em|strong)>([^<>]{1,300})</\1>"), r"\2"),
    (re.compile(r"<sub>([^<>]{1,40})</sub>"), r"_{\1}"),
    (re.compile(r"<sup>([^<>]{1,40})</sup>"), r"^{\1}"),
    (re.compile(r"<br ?/?>"), " "),
)


def mended(text: str) -> str:
    """Return a text without what is wrapped around it, line breaks kept.

    Mending what was mended changes nothing, unless more than `MAX_ROUNDS` wrappings lie inside one another.
    """
    text = INVISIBLE.sub("", text).strip()
    for _ in range(MAX_ROUNDS):
        before = text
        for step in _STEPS:
            text = step(text).strip()
        if text == before:
            break
    return text


def folded(text: str) -> str:
    """Return a text on one line: paragraphs joined, white space single."""
    return " ".join(text.split())


def _without_thinking(text: str) -> str:
    """What stands behind the thinking; of some chat templates only its end is in the answer."""
    if text.startswith("<think>"):
        return text.partition("</think>")[2]
    return text.rpartition("</think>\n")[2]


def _without_fence(text: str) -> str:
    if not (text.startswith("```") and text.endswith("```") and text.count("```") == 2):
        return text
    inside = text[3:-3]
    language = _FENCE_LANGUAGE.match(inside)
    return inside[language.end() :] if language else inside


def _without_tag(text: str) -> str:
    opening = _WRAPPING_TAG.match(text)
    closing = f"</{opening[1]}>" if opening else ""
    return text[opening.end() : -len(closing)] if opening and text.endswith(closing) else text


def _without_quotes(text: str) -> str:
    """A pair of quotation marks goes where it holds the whole: not where the first mark closes before the end."""
    closing = _QUOTES.get(text[:1])
    if closing is None or len(text) < 2 or not text.endswith(closing):
        return text
    opening, inside = text[0], text[1:-1]
    first = min((at for mark in (opening, closing) if (at := inside.find(mark)) >= 0), default=-1)
    if first < 0:
        return inside
    is_opening = inside[first] == opening and (opening != closing or inside[first - 1 : first] in (" ", "("))
    return inside if is_opening else text


def _without_lead(text: str) -> str:
    lead = _LEAD.match(text)
    return text[lead.end() :] if lead else text


def _without_closing(text: str) -> str:
    """Without "Let me know if …" at the end; looked for in the last characters only."""
    closing = _CLOSING.search(text, max(0, len(text) - 300))
    return text[: closing.start()] if closing else text


def _without_emphasis(text: str) -> str:
    for pattern, replacement in _EMPHASIS:
        text = pattern.sub(replacement, text)
    return text


_STEPS: tuple[Callable[[str], str], ...] = (
    _without_thinking,
    _without_fence,
    _without_tag,
    _without_lead,
    _without_quotes,
    _without_closing,
    _without_emphasis,
)
