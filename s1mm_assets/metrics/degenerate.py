"""How a recaption is degenerate: flags that are counted, not rejections."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum

MIN_CHARS = 40
MIN_LETTER_SHARE = 0.5  # of the characters that are no blanks; formulas are laden with others
RUN_WORDS = 4
MIN_RUNS = 20  # fewer runs of words say nothing
MIN_DISTINCT_SHARE = 0.6
MUCH_SHORTER = 0.5


class Flag(StrEnum):
    """A way in which a recaption is of little use."""

    TOO_SHORT = "too_short"
    SAME_AS_CAPTION = "same_as_caption"
    MUCH_SHORTER_THAN_CAPTION = "much_shorter_than_caption"
    REPETITIVE = "repetitive"
    FEW_LETTERS = "few_letters"
    UNRESOLVED = "unresolved"  # "Fig. ??", "[?]", a citation's key
    CUT_OFF = "cut_off"  # it ends within a sentence
    SHARED = "shared"  # another figure of the shard has the same words; panels of one figure may


_UNRESOLVED = re.compile(r"\?\?|\[\?\]|\(\?\)|\\(?:ref|cite[pt]?|eqref|cref|autoref)\b", re.IGNORECASE)
_ENDING = re.compile(r"[.!?…。][\"'”’)\]}$*]*\s*\Z")
_WORD = re.compile(r"[^\W_]+")


def flags_of(recaption: str, caption: str) -> list[Flag]:
    """Return how one recaption is degenerate, beside its caption; `SHARED` is told by `shared`."""
    folded, original = (" ".join(_WORD.findall(text.lower())) for text in (recaption, caption))
    is_so = {
        Flag.TOO_SHORT: len(recaption) < MIN_CHARS,
        Flag.SAME_AS_CAPTION: bool(original) and folded == original,
        Flag.MUCH_SHORTER_THAN_CAPTION: len(recaption) < MUCH_SHORTER * len(caption),
        Flag.REPETITIVE: distinct_share(folded.split()) < MIN_DISTINCT_SHARE,
        Flag.FEW_LETTERS: letter_share(recaption) < MIN_LETTER_SHARE,
        Flag.UNRESOLVED: _UNRESOLVED.search(recaption) is not None,
        Flag.CUT_OFF: _ENDING.search(recaption[-40:]) is None,
    }
    return [flag for flag, holds in is_so.items() if holds]


def distinct_share(words: Sequence[str]) -> float:
    """Return the share of distinct ones among the runs of `RUN_WORDS` words; 1 where there are few."""
    runs = list(zip(*(words[start:] for start in range(RUN_WORDS)), strict=False))
    return len(set(runs)) / len(runs) if len(runs) >= MIN_RUNS else 1.0


def letter_share(text: str) -> float:
    """Return the share of letters among the characters that are no blanks; of nothing, 0."""
    n_solid = sum(not char.isspace() for char in text)
    return sum(char.isalpha() for char in text) / n_solid if n_solid else 0.0


def shared(recaptions: Mapping[str, str]) -> set[str]:
    """Return the ids of those whose words another figure has too; panels of one figure count as one.

    Args:
        recaptions: Figure id, "<source>:<paper>#<figure>.<panel>", and text.
    """
    folded = {figure_id: " ".join(_WORD.findall(text.lower())) for figure_id, text in recaptions.items()}
    figures = {(figure_id.rpartition(".")[0], text) for figure_id, text in folded.items()}
    counts = Counter(text for _, text in figures)
    return {figure_id for figure_id, text in folded.items() if counts[text] > 1}
