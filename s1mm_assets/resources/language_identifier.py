"""In which language a text is: py3langid, whose model is in its wheel."""

import importlib.metadata
from collections.abc import Sequence
from functools import cache
from typing import Any

COMPONENT = "py3langid"
MIN_PROBABILITY = 0.5  # below, a text is too short or too laden with formulas to show its language
MAX_CHARS = 2_000  # the beginning shows it


def languages(texts: Sequence[str]) -> list[str | None]:
    """Return the ISO 639-1 code of each text's language; None where it does not show."""
    return [_language(text[:MAX_CHARS]) for text in texts]


def versions() -> dict[str, str]:
    """Return the identifier's version by its component's name."""
    return {COMPONENT: importlib.metadata.version(COMPONENT)}


def _language(text: str) -> str | None:
    code, probability = _identifier().classify(text)
    return str(code) if probability >= MIN_PROBABILITY else None


@cache
def _identifier() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
