"""What the text in an image says of it."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.filtering import FilterSettings
from s1mm_assets.filtering.text_look import licence_words, publisher_words, table_score_of_text
from s1mm_assets_tests.strategies import UNTIMED

LIMIT = FilterSettings().max_table_text_score
Line = dict[str, Any]


def line(text: str, x: float = 0, y: float = 0, *, width: float = 60, confidence: float = 0.9) -> Line:
    """One line of text, 16 pixels high."""
    return {"text": text, "confidence": confidence, "x0": x, "y0": y, "x1": x + width, "y1": y + 16}


TABLE = [line("0.5", 100 * column, 30 * row) for row in range(8) for column in range(4)]
TICKS = [line("0.5", 0, 30 * row) for row in range(8)] + [line("1", 60 * i, 240) for i in range(1, 7)]
ALIGNMENT = [
    line("MKV-LSEGEW", 110 * column, 20 * row, width=100) for row in range(12) for column in range(4)
]
LEGEND = [line("a name", 300, 20 * row, width=90) for row in range(10)]
PROSE = [line("words in a row", 0, 20 * row, width=390) for row in range(12)]


def test_cells_in_rows_and_columns_are_a_table() -> None:
    """Filled rows and columns from top to bottom."""
    assert table_score_of_text(TABLE, 400, 240) == pytest.approx(226 / 240, abs=1e-3)


def test_a_heading_over_two_columns_does_not_join_them() -> None:
    """One row in ten may cross a gutter."""
    heading = [line("over both", 0, -30, width=260)]

    assert table_score_of_text([*heading, *TABLE, *TABLE[:4]], 400, 270) > LIMIT


@pytest.mark.parametrize("lines", [[], TICKS, LEGEND, PROSE, TABLE[:6]])
def test_what_leaves_the_grid_blank_is_no_table(lines: list[Line]) -> None:
    """Tick labels, legends, prose and a few words are none."""
    assert table_score_of_text(lines, 400, 260) <= LIMIT


def test_a_small_table_in_a_large_figure_is_none() -> None:
    """The cells have to take the height of the picture."""
    assert table_score_of_text(TABLE, 400, 700) <= LIMIT


def test_what_was_read_badly_is_not_counted() -> None:
    """Lines below half confidence are not there."""
    unsure = [{**each, "confidence": 0.4} for each in TABLE]

    assert table_score_of_text(unsure, 400, 240) == 0.0
    assert not publisher_words([line("Open Access", confidence=0.4)])


numbers = st.floats(-1e4, 1e4)


@UNTIMED
@given(
    st.lists(
        st.builds(line, st.text(max_size=5), numbers, numbers, width=numbers, confidence=st.floats(0, 1))
    ),
    st.integers(0, 5000),
    st.integers(0, 5000),
)
def test_any_boxes_have_a_score(lines: list[Line], width: int, height: int) -> None:
    """Boxes outside the image, empty or upside down: a share comes back, whatever their order."""
    score = table_score_of_text(lines, width, height)

    assert 0 <= score <= 1
    assert score == table_score_of_text(lines[::-1], width, height)


@pytest.mark.parametrize(
    "words",
    [
        "CC BY",
        "cc BY-NC-ND",
        "(cc) BY SA",
        "Creative Commons",
        "CC0",
        "cc-by 4.0",
        "BY NC",
        "CC ZERO",
        "Public Domain",
        "This work is licensed under a CC BY 4.0 International License",
    ],
)
def test_licences_are_named(words: str) -> None:
    """The ways a badge spells its licence."""
    assert licence_words([line(words)])


@pytest.mark.parametrize(
    "words",
    [
        "",
        "side by side",
        "sorted by",
        "by",
        "accuracy",
        "CC BY 12% CC0 34%",
        "by " * 30,
        "CC:0.93 Observed Predicted",
        "CC (0.93)",
        "CC 0.93",
        "CC 0,93",
        "CC=0",
        "CC0.9",
        "CC 0,9",
        "Public domain, Private domain",
        "mean CC by degree of node",
        "CC0 CC1 CC2",
    ],
)
def test_other_words_are_no_licence(words: str) -> None:
    """Words of figures, and charts that count licences."""
    assert not licence_words([line(words)])


@pytest.mark.parametrize(
    "words",
    [
        "Check for updates",
        "OPEN ACCESS",
        "Checkforupdates",
        "Elsevier",
        "Taylor & Francis Group",
        "Springer Nature",
    ],
)
def test_publishers_are_named(words: str) -> None:
    """A publisher's button or name alone."""
    assert publisher_words([line(words)])


@pytest.mark.parametrize(
    "words",
    [
        "",
        "energy",
        "share of open access papers per year and field",
        "Cora Citeseer Pubmed ogbn-arxiv",
        "London Oxford Reading",
        "IEEE 39-bus",
        "(a) arXiv (b) DBLP",
        "Open access 34%",
        "Elsevier Springer Wiley MDPI",
        "Open access Closed access",
    ],
)
def test_other_words_are_no_publishers(words: str) -> None:
    """Data sets, cities, networks, and several publishers are data; on one line or on several."""
    assert not publisher_words([line(words)])
    assert not publisher_words([line(word, y=30 * row) for row, word in enumerate(words.split())])
