"""What makes a recaption degenerate, and what does not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.metrics.degenerate import Flag, distinct_share, flags_of, letter_share, shared

CAPTION = "Measured cross section against energy."
SOUND = (
    "The plot shows the measured cross section of the reaction as a function of the beam energy from 1.5 to 6 GeV. "
    "Points with error bars are data; the solid line is the fit described in Section 3."
)


def test_a_sound_recaption_has_no_flag() -> None:
    """Nor one that ends with a quotation, a formula or a bracket."""
    assert flags_of(SOUND, CAPTION) == []
    for ending in ('"', ")", "$", "”", "]"):
        assert flags_of(SOUND + ending, CAPTION) == []


@pytest.mark.parametrize(
    ("recaption", "flag"),
    [
        ("A plot of the data.", Flag.TOO_SHORT),
        ("measured cross-section, against ENERGY.", Flag.SAME_AS_CAPTION),
        (SOUND + " See Fig. ?? for more.", Flag.UNRESOLVED),
        (SOUND + r" As in \cite{smith}.", Flag.UNRESOLVED),
        (SOUND[:-1], Flag.CUT_OFF),
        (SOUND + " and so", Flag.CUT_OFF),
        ("1.0 2.3 4.5 (6.7, 8.9) [0.1] ± 0.2; 3.4 5.6 7.8 9.0 1.2 3.4 5.6 x.", Flag.FEW_LETTERS),
        ("The line is red and the line is blue. " * 12, Flag.REPETITIVE),
    ],
)
def test_flags(recaption: str, flag: Flag) -> None:
    """Each by what it looks like."""
    assert flag in flags_of(recaption, CAPTION)


def test_a_recaption_of_half_the_caption() -> None:
    """Something was lost on the way."""
    assert Flag.MUCH_SHORTER_THAN_CAPTION in flags_of(SOUND, SOUND * 3)
    assert Flag.MUCH_SHORTER_THAN_CAPTION not in flags_of(SOUND, SOUND + SOUND[:40])


def test_the_same_words_for_several_figures() -> None:
    """However they are written; panels of one figure share their caption, and may share this."""
    texts = {"arxiv:p#1.1": "A b.", "arxiv:p#2.1": "a B", "arxiv:p#3.1": "c", "arxiv:p#3.2": "c"}

    assert shared(texts) == {"arxiv:p#1.1", "arxiv:p#2.1"}
    assert shared({}) == set()


@given(st.text(max_size=200), st.text(max_size=50))
def test_any_text_has_some_answer(recaption: str, caption: str) -> None:
    """None raises."""
    assert set(flags_of(recaption, caption)) <= set(Flag)


def test_shares_of_nothing() -> None:
    """Too few words say nothing of repetition; no characters hold no letters."""
    assert distinct_share(["a"] * 10) == 1
    assert letter_share(" \n") == 0
