"""Title, abstract and authors as the source has them, in the common classes.

Belongs here: telling names from affiliations. Used only where the source of the paper gives no record.
"""

import re

from s1mm_assets.extraction.latex.readable import Writer

MAX_AUTHORS = 3_500
_MARKS = re.compile(
    r"\\(?:altaffilmark|altaffiltext|inst|thanks|footnotemark|affiliationmark|textsuperscript|email|orcidlink|orcid|"
    r"affil|IEEEauthorrefmark|IEEEauthorblockA|corref|fnref|authormark|altaffiliation|ead|"
    r"institute|address|affiliation|orcidID|tnoteref|inst|label|href\s*\{[^{}]*\}|hspace\*?|vspace\*?)"
    r"\s*(?:\[[^\]]*\])?\s*\{(?:[^{}]|\{[^{}]*\})*\}"
)
_SEPARATORS = re.compile(r"\\(?:and|And|AND)\b|\\quad\b|\\qquad\b|;")
_SUPERSCRIPT = re.compile(
    r"\$\s*(?:\^|_|\{\}|\\dag|\\ast|\*)[^$]{0,80}\$|\^\{[^{}]*\}|\$\\(?:dagger|ddagger|ast|star)\$"
)
_BLANKS = re.compile(r"\s{2,}")
_NOT_A_NAME = re.compile(
    r"univers|institut|departm|laborator|school|college|center|centre|@|http|\d{3,}|collaboration member|faculty",
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
    for given in raw[:MAX_AUTHORS]:
        folded = _BLANKS.sub(lambda m: "\n\n" if m[0].count("\n") > 1 else " ", given[:20_000])
        text = _SUPERSCRIPT.sub(" ", _MARKS.sub(" ", folded))
        for part in _SEPARATORS.split(text):
            first_line = re.split(r"\\\\|\\affil\b|\n[ \t]*\n", part.strip(), maxsplit=1)[0]
            plain = _SUPERSCRIPT.sub(" ", writer.text(first_line))
            for name in re.split(r",\s*(?:and\s+)?|\s+and\s+|\s+&\s+", plain):
                tidy = re.sub(r"[\s*†‡§¶]+", " ", name).strip(" ,.0123456789")
                if _is_name(tidy) and tidy not in names:
                    names.append(tidy)
    return names[:MAX_AUTHORS]


def _is_name(text: str) -> bool:
    return (
        3 <= len(text) <= 60
        and " " in text.strip()
        and "$" not in text
        and any(c.isalpha() for c in text)
        and len(text.split()) <= 7
        and not _NOT_A_NAME.search(text)
    )
