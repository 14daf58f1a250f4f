"""Where sentences end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.recaptioning.sentences import repeats, split, words
from s1mm_assets_tests.strategies import UNTIMED


@pytest.mark.parametrize(
    "sentence",
    [
        "The fit of Fig. 3 is good.",
        "As Smith et al. (2019) say, it holds.",
        "Some models, e.g. Gaussian ones, and i.e. Normal ones, fit.",
        "See J. Smith and A. B. Jones.",
        "Both Figs. 3 and 4, cf. Eq. (2) and Ref. [7], agree.",
        "The mass is 1.5 GeV at v. 2.0.",
        "Here $x. Y$ and $a! B$ are maths.",
        "It costs \\$5 in all of $E. coli$ cases.",
    ],
)
def test_a_stop_inside_a_sentence_does_not_end_it(sentence: str) -> None:
    """Abbreviations, initials, numbers and maths do not end a sentence; the next one does."""
    assert split(f"{sentence} The next one.") == [sentence, "The next one."]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", []),
        ("No stop", ["No stop"]),
        ("One. Two! Three?", ["One.", "Two!", "Three?"]),
        ('He said "yes." (It was.) Then  more', ['He said "yes."', "(It was.)", "Then more"]),
        ("We find $x=1$. $y$ follows.", ["We find $x=1$.", "$y$ follows."]),
    ],
)
def test_sentences(text: str, sentences: list[str]) -> None:
    """A stop, a question or an exclamation mark ends a sentence."""
    assert split(text) == sentences


@UNTIMED
@given(st.text(alphabet='aB. !?$()"\\\n', max_size=80))
def test_splitting_loses_nothing(text: str) -> None:
    """The sentences joined are the paragraph, white space folded."""
    assert " ".join(split(text)).split() == text.split()


def test_what_has_been_said_is_not_said_again() -> None:
    """A sentence with hardly a new word repeats."""
    said = words("The mass of the heavy particle against its energy")

    assert repeats("Mass against energy of the particle.", said)
    assert not repeats("The width of the resonance is small.", said)
