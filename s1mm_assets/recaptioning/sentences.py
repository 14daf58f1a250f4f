"""Sentences of scientific prose: where they end, and whether they say anything new."""

import re

# A stop that ends no sentence: "Fig. 3", "et al. (2019)", "e.g. this", "J. Smith", "ca. 5".
ABBREVIATION = re.compile(
    r"(?:\b(?:figs?|eqs?|eqns?|secs?|sect|chap|app|refs?|tabs?|nos?|vols?|pp?|al|vs|cf|ca|approx|resp|dr|prof|st|e\.g"
    r"|i\.e|viz|wrt|w\.r\.t|incl)|\b[A-Z])\.$",
    re.IGNORECASE,
)
BOUNDARY = re.compile(r"(?<=[.!?])[\"')\]”]{0,3} +(?=[\"'(\[$“]*[A-Z0-9$])")
DOLLAR = re.compile(r"(?<!\\)\$")  # a literal one stays "\\$"
WORD = re.compile(r"[a-z0-9]{2,}")


def split(text: str) -> list[str]:
    """Return the sentences of a paragraph, white space folded; maths in `$…$` is never cut."""
    folded = " ".join(text.split())
    sentences: list[str] = []
    start = counted = 0
    is_in_maths = False
    for match in BOUNDARY.finditer(folded):
        is_in_maths ^= len(DOLLAR.findall(folded, counted, match.start())) % 2 == 1
        counted = match.start()
        if not is_in_maths and not ABBREVIATION.search(
            folded[max(start, match.start() - 12) : match.start()]
        ):
            sentences.append(folded[start : match.end()].strip())
            start = match.end()
    return [*sentences, folded[start:]] if folded[start:] else sentences


def words(text: str) -> frozenset[str]:
    """Return the words of a text, in lower case, for comparing what texts say."""
    return frozenset(WORD.findall(text.lower()))


def repeats(sentence: str, said: frozenset[str]) -> bool:
    """Whether a sentence says little that has not been said: at most a fifth of its words are new."""
    own = words(sentence)
    return len(own - said) <= len(own) / 5
