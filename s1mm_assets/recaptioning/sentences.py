"""Sentences of scientific prose: where they end, and which say something about a figure."""

import re

# A stop that ends no sentence: "Fig. 3", "et al. (2019)", "e.g. this", "J. Smith", "ca. 5".
ABBREVIATION = re.compile(
    r"(?:\b(?:figs?|eqs?|secs?|sect|refs?|tabs?|nos?|vols?|pp?|al|vs|cf|ca|approx|resp|dr|prof|st|e\.g|i\.e|etc)"
    r"|\b[A-Z])\.$",
    re.IGNORECASE,
)
BOUNDARY = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[\"'(\[$]*[A-Z0-9$])")
WORD = re.compile(r"[a-z0-9]{2,}")


def split(text: str) -> list[str]:
    """Return the sentences of a paragraph, white space folded; maths in `$…$` is never cut."""
    folded = " ".join(text.split())
    sentences: list[str] = []
    start = 0
    for match in BOUNDARY.finditer(folded):
        before = folded[start : match.start()]
        is_abbreviation = ABBREVIATION.search(before[-12:]) is not None and not before.endswith("etc.")
        if not is_abbreviation and before.count("$") % 2 == 0:
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
