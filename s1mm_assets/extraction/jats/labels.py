"""How figures are called: the number in a label, and the figures that a sentence names.

A figure's key is its name in one form: "Fig. 3", "FIGURE 3:" and "figures 3" are "figure 3", "Supplementary
Fig. 2" and "Figure S2" are "figure s2", "Figure 1—figure supplement 2" is "figure 1 supplement 2".
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_IN_A_ROW = 24  # figures that one mention may name
MAX_RANGE = 20  # "Figs. 1–400" is no range of figures

_DASH = r"[-‐‑‒–—―−]"
_EXTRA = (
    r"(?:(?P<supplementary>supp(?:l(?:ement(?:ary|al)?)?|\.)?\.?(?:\s{1,3}information)?)"
    rf"|(?P<apart>extended\s{{1,3}}data|expanded\s{{1,3}}view|author\s{{1,3}}response"
    rf"|(?:appendix|box)\s{{1,3}}[0-9A-Z]{{1,2}})\s{{0,2}}{_DASH}?)\s{{0,3}}"
)
_WORD = r"(?P<word>fig(?:ure|ura)?|abb(?:ildung)?|scheme|chart|plate|map|image|video|graph)(?P<plural>s?)(?![a-z])\.?"
_OPENING = re.compile(rf"(?<![A-Za-z])(?:{_EXTRA})?{_WORD}[\s(]{{0,3}}(?=[A-Z]{{0,3}}\.?\d)", re.IGNORECASE)
_NUMBER = re.compile(r"(?P<number>[A-Z]{0,3}\.?\d{1,3}(?:[.]\d{1,2}(?!\d))?)")
_PANELS = re.compile(
    rf"(?:\s?\(?[A-Za-z](?:\s?(?:{_DASH}|[,/&])\s?[A-Za-z](?![A-Za-z0-9]))*\)?|\s?\([ivx]{{1,5}}\))(?![A-Za-z0-9])"
)
_SUPPLEMENT = re.compile(
    rf"\s{{0,3}}{_DASH}{{1,2}}\s{{0,3}}figure\s{{1,3}}supplements?\s{{1,3}}(?P<number>\d{{1,3}})",
    re.IGNORECASE,
)
_JOINT = re.compile(
    rf"\s{{0,3}}(?P<sign>{_DASH}|,\s{{0,2}}and\b|,|;|&|/|\band\b|\bor\b|\bto\b|\bthrough\b)\s{{0,3}}"
)
_REPEATED = re.compile(rf"(?:{_EXTRA})?(?:fig(?:ure|ura)?s?\.?)\s{{0,3}}(?=[A-Z]{{0,3}}\.?\d)", re.IGNORECASE)
_ELSEWHERE = re.compile(
    r"\)?\s{0,3}(?:of|in|from)\s{1,3}(?:the\s{1,3})?(?:[Rr]efs?\b|\[|[A-Z][\w'’-]{1,30}\s{1,3}(?:et\s{1,3}al|and\b|&|\())"
)
_RANGE_SIGNS = re.compile(rf"{_DASH}|to|through", re.IGNORECASE)
_TABLE = re.compile(
    r"\W*(?:(?:supp\w*\.?|extended\s+data|appendix(?:\s+\w+)?)[\s—–-]*)?(?:table|algorithm|listing)\b",
    re.IGNORECASE,
)
_FIGURE_WORD = re.compile(r"(?:fig(?:ure|ura)?|abb(?:ildung)?)s?(?![a-z])\.?\s*", re.IGNORECASE)
_SUPPLEMENTARY_WORD = re.compile(
    r"supp\w*\.?\s+(?:information\s+)?fig(?:ure)?s?(?![a-z])\.?\s*(?=[A-Z]+\.?\d)", re.I
)
_LABEL_END = " \t.:;|,–—-"
_PREFIX_END = re.compile(rf"\s{{0,3}}(?:[.:|]|{_DASH}(?=\s))\s{{0,3}}")


@dataclass(frozen=True, slots=True)
class Citation:
    """A figure that a text names."""

    key: str
    position: int  # of its number; where a range only implies it, of the range's end
    is_implied: bool  # stands inside a range: "Figs. 2–4" implies 3


def is_table(label: str) -> bool:
    """Whether a label says that this is no figure but a table, or a listing."""
    return _TABLE.match(label) is not None


def number_of(label: str) -> str | None:
    """Return the number of a label as it is printed, without the word "Figure".

    "Figure 1." is "1", "Supplementary Fig. S2" is "S2", "Figure 1—figure supplement 1." is "1—figure supplement
    1". What is no plain figure keeps its words, so that "Scheme 1" and "Extended Data Fig. 1" are not taken for
    Figure 1. None where a label has no number.
    """
    text = " ".join(label.split()).strip(_LABEL_END)
    supplementary = _SUPPLEMENTARY_WORD.match(text)
    word = supplementary or _FIGURE_WORD.match(text)
    rest = text[word.end() :].strip(_LABEL_END) if word else text
    has_number = any(c.isdigit() for c in rest) or (word is not None and rest.isupper() and len(rest) < 5)
    return rest[:80] if has_number else None


def key_of(label: str) -> str | None:
    """Return the key of a label; None where it has no number, or one that reads like several: "Fig. 1-2"."""
    cited = [each.key for each in citations(label[:200])]
    return cited[0] if len(cited) == 1 else None


def names_figure(label: str) -> bool:
    """Whether a label is that of a figure, "Figure 2" or "Scheme 1", rather than of a panel, "(a)"."""
    return _OPENING.search(label[:200]) is not None


def without_label(text: str, label: str) -> tuple[str, str | None]:
    """Return a caption without the label that it begins with, and that label's number.

    A caption that begins with a label of its own loses it where it is the figure's, or where the figure has
    none and the caption's is set off by a sign: "Figure 2. Cells", not "Figure 2 shows".
    """
    opening = _OPENING.match(text)
    if opening is None:
        return text, None
    end, number = _one(text, opening.end())
    if number is None:
        return text, None
    sign = _PREFIX_END.match(text, end)
    typed = text[:end]
    key = key_of(typed)
    is_ours = key == key_of(label) if label else sign is not None
    if key is None or not is_ours or (sign is None and len(text) > end):
        return text, None
    return text[sign.end() if sign else end :].lstrip(), number_of(typed)


def _one(text: str, at: int) -> tuple[int, str | None]:
    """Where a single number with its supplement ends."""
    number = _NUMBER.match(text, at)
    if number is None:
        return at, None
    supplement = _SUPPLEMENT.match(text, number.end())
    return (supplement or number).end(), number["number"]


def citations(text: str) -> Iterator[Citation]:
    """Yield the figures that a text names, in order: "Fig. 3b", "Figs. 2–4", "Figures 2A and S1".

    Figures of other papers ("Fig. 2 of ref. 12") are not among them.
    """
    at = 0
    while (opening := _OPENING.search(text, at)) is not None:
        found, at = _list_at(text, opening)
        at = max(at, opening.end())
        if not _ELSEWHERE.match(text, at):
            yield from found


def _list_at(text: str, opening: re.Match[str]) -> tuple[list[Citation], int]:
    """Read the list of numbers after an opening word; where it ends."""
    found: list[Citation] = []
    at, joint = opening.end(), ""
    stem = _stem(opening)
    while len(found) < MAX_IN_A_ROW:
        repeated = _REPEATED.match(text, at) if found else None
        number = _NUMBER.match(text, repeated.end() if repeated else at)
        if number is None:
            break
        printed = number["number"].casefold().replace(".", "", number["number"][:1].isalpha())
        if _RANGE_SIGNS.fullmatch(joint) and found:
            found += _implied(found[-1].key, stem, printed, number.start())
        at = number.end()
        panels = _PANELS.match(text, at)
        supplement = _SUPPLEMENT.match(text, at)
        if supplement:
            key = f"{stem} {printed} supplement {supplement['number']}"
            at = supplement.end()
        else:
            key = _key(stem, printed)
            at = panels.end() if panels else at
        found.append(Citation(key, number.start(), is_implied=False))
        sign = _JOINT.match(text, at)
        # "Figure 2, 3 mice": after a comma, more figures are believed only of the plural.
        if sign is None or (sign["sign"] in ",;/" and not opening["plural"]):
            break
        after = sign.end()
        while (panel := _PANELS.match(text, after)) and (more := _JOINT.match(text, panel.end())):
            sign, after = more, more.end()  # "2A, B and 3"
        if not (_REPEATED.match(text, after) or _NUMBER.match(text, after)):
            break
        joint, at = sign["sign"], after
    return found, at


def _stem(opening: re.Match[str]) -> str:
    word = opening["word"].casefold()
    word = "figure" if word.startswith(("fig", "abb")) else word
    if opening["supplementary"]:
        return f"supplementary {word}"
    apart = opening["apart"]
    return f"{' '.join(apart.casefold().split())} {word}" if apart else word


def _key(stem: str, printed: str) -> str:
    if stem == "supplementary figure":
        return f"figure {printed}" if printed[:1].isalpha() else f"figure s{printed}"
    return f"{stem} {printed}"


def _implied(first: str, stem: str, last: str, position: int) -> Iterator[Citation]:
    """The figures between the ends of a range."""
    start = re.search(r"([a-z]{0,3})(\d{1,3})\Z", first)
    end = re.fullmatch(r"([a-z]{0,3})(\d{1,3})", last)
    if start and end and 1 < int(end[2]) - int(start[2]) <= MAX_RANGE:
        for number in range(int(start[2]) + 1, int(end[2])):
            yield Citation(_key(stem, f"{end[1]}{number}"), position, is_implied=True)


_ANY_WORD = re.compile(
    r"(?:fig(?:ure)?|tab(?:le)?|eq(?:uation|n)?|sec(?:tion)?|appendix|box|supplementary\s+file)s?(?![a-z])\.?\s*",
    re.IGNORECASE,
)


def bare_number(label: str) -> str:
    """Return a label without its word and signs: "Table 2." and "(2)" are "2"."""
    return _ANY_WORD.sub("", label, count=1).strip("()[]" + _LABEL_END)
