"""Title, abstract and authors as the source has them, in the common classes.

Belongs here: telling names from affiliations. Used only where the source of the paper gives no record.
"""

import re

from s1mm_assets.extraction.latex.readable import Writer

MAX_AUTHOR_CHARS = 300_000
MAX_AUTHORS = 3_500
_MARKS = re.compile(
    r"\\(?:altaffilmark|altaffiltext|inst|thanks|footnotemark|affiliationmark|textsuperscript|email|orcidlink|orcid|"
    r"affil|IEEEauthorrefmark|IEEEauthorblockA|corref|fnref|authormark|altaffiliation|ead|"
    r"institute|address|affiliation|parbox|footnote|orcidID|tnoteref|inst|label|href\s*\{[^{}]*\}|hspace\*?|vspace\*?)"
    r"\s*(?:\[[^\]]*\])?\s*\{(?:[^{}]|\{[^{}]*\})*\}"
)
_SEPARATORS = re.compile(r"\\(?:and|And|AND)\b|\\quad\b|\\qquad\b|;")
_SUPERSCRIPT = re.compile(
    r"\$\s*(?:\^|_|\{\}|\\dag|\\ast|\*)[^$]{0,80}\$|\^\{[^{}]*\}|\$\\(?:dagger|ddagger|ast|star)\$"
)
_LINE_END = re.compile(r"\\\\|\\affil\b|\n[ \t]*\n")
_BLANKS = re.compile(r"\s{2,}")
_NOT_A_NAME = re.compile(
    r"univers|institut|depart|laborator|school|college|center|centre|@|http|\d{3,}|collaboration member|faculty",
    re.IGNORECASE,
)


def title(raw: list[str], writer: Writer) -> str | None:
    """The paper's title as text."""
    for candidate in (given[:5_000] for given in raw):
        text = writer.text(
            re.sub(r"\\thanks\s*\{(?:[^{}]|\{[^{}]*\})*\}|\\\\(?:\[[^\]]*\])?", " ", candidate)
        )
        if text:
            return text
    return None


def abstract(raw: list[str], writer: Writer) -> str | None:
    """The paper's abstract as text."""
    for candidate in raw:
        text = writer.text(candidate)
        if text:
            return text
    return None


def authors(raw: list[str], writer: Writer) -> list[str]:
    """The paper's authors, in order; empty where the source's way of naming them is not understood."""
    names: list[str] = []
    left = MAX_AUTHOR_CHARS
    writer.text("")  # a new allowance for macros
    for given in (writer.expanded(each[:20_000]) for each in raw[:MAX_AUTHORS]):
        left -= len(given)
        if left < 0:  # a brace that is missing makes each name hold all that follow
            break
        folded = _BLANKS.sub(lambda m: "\n\n" if m[0].count("\n") > 1 else " ", given)
        text = _SUPERSCRIPT.sub(" ", _MARKS.sub(" ", folded))
        for part in _SEPARATORS.split(text):
            plain = _SUPERSCRIPT.sub(" ", writer.text(_line_of_names(part)))
            for name in re.split(r",\s*(?:and\s+)?|\s+and\s+|\s+&\s+", plain):
                tidy = re.sub(r"[\s*†‡§¶]+", " ", name).strip(" ,.0123456789")
                if _is_name(tidy) and tidy not in names:
                    names.append(tidy)
    return names[:MAX_AUTHORS]


def _line_of_names(text: str) -> str:
    """The first line, and those after it as long as they end with a comma."""
    first, *others = _LINE_END.split(text.strip())
    for line in others:
        if not first.rstrip(" }\n").endswith(","):
            break
        first += " " + line
    return first


def _is_name(text: str) -> bool:
    return (
        3 <= len(text) <= 60
        and " " in text.strip()
        and "$" not in text
        and any(c.isalpha() for c in text)
        and len(text.split()) <= 7
        and not _NOT_A_NAME.search(text)
    )
