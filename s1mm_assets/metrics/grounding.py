"""Grounding: do the numbers and names of a recaption stand in what the paper says about the figure?"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

# 3, 0.5, 1,200, 5%, 1e-3: a number with what belongs to it. Not the 3 of "H3" nor of "Fig3".
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?\s?%?(?![\w])")
# CNN, H2O, SciBERT; New York, Monte Carlo
NAME = re.compile(r"\b(?:[A-Z][A-Za-z]*[A-Z0-9][A-Za-z0-9]*|[A-Z][a-z]+(?:[ -][A-Z][a-z]+)+)\b")


@dataclass(frozen=True, slots=True)
class Grounding:
    """How much of a text its sources hold."""

    n_claims: int
    ungrounded: tuple[str, ...]  # in order of appearance

    @property
    def share(self) -> float | None:
        """Grounded claims over claims, from 0 to 1; None without claims."""
        return 1 - len(self.ungrounded) / self.n_claims if self.n_claims else None


def grounding(text: str, sources: Sequence[str]) -> Grounding:
    """Count the numbers and names of a text, and list those that no source holds.

    Numbers are equal by value as written without thousands separators and signs; names by letters, whatever
    their case. A name of several words is grounded where a source has them side by side.
    """
    whole = "\n".join(sources)
    numbers = {as_number(match.group()) for match in NUMBER.finditer(whole)}
    letters = as_letters(whole)
    claims: dict[str, bool] = {}
    for match in NUMBER.finditer(text):
        claims.setdefault(match.group().strip(), as_number(match.group()) in numbers)
    for match in NAME.finditer(text):
        claims.setdefault(match.group(), f" {as_letters(match.group()).strip()} " in letters)
    return Grounding(len(claims), tuple(claim for claim, is_grounded in claims.items() if not is_grounded))


def as_number(text: str) -> str:
    """Return a number in the one way that it is compared: "1,200" and "1200", "0.50" and "0.5" are the same."""
    plain = text.strip().lstrip("-+−").replace(" ", "")
    unit = "%" if plain.endswith("%") else ""
    plain = re.sub(r",(?=\d{3}(?:\D|$))", "", plain.rstrip("%")).replace(",", ".")
    try:
        return f"{float(plain):.12g}{unit}"
    except ValueError:  # a version or a date: 1.2.3
        return plain + unit


def as_letters(text: str) -> str:
    """Return the words of a text in lower case, each between blanks."""
    words = re.findall(r"[^\W_]+", text.lower())
    return f" {' '.join(words)} "
