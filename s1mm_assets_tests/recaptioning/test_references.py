"""References that are made to read beside the image."""

import pytest

from s1mm_assets.recaptioning.references import names_figure, standing_alone

CASES = [
    ("Figure 3 shows the mass.", "This figure shows the mass."),
    ("Fig. 3 shows the mass.", "This figure shows the mass."),
    ("As FIG. 3 shows, it falls.", "As FIG. 3 shows, it falls."),
    ("The mass falls (see Fig. 3).", "The mass falls."),
    ("The mass falls (Figs. 3 and 4, Table 2).", "The mass falls (this figure and Figure 4, Table 2)."),
    ("The mass (Table 2) falls [cf. Eq. (7)].", "The mass falls."),
    ("Figure 3(a) shows the mass.", "Panel (a) of this figure shows the mass."),
    ("Fig. 3b shows the mass.", "Panel (b) of this figure shows the mass."),
    ("Figure 3B shows the mass.", "Panel (B) of this figure shows the mass."),
    ("In Fig. 3A,B it falls.", "In panels (A,B) of this figure it falls."),
    ("In Fig. 3a–c it falls.", "In panels (a–c) of this figure it falls."),
    ("In Fig. 3AB it falls.", "In panels (AB) of this figure it falls."),
    ("In Fig. 3A, a peak falls.", "In panel (A) of this figure, a peak falls."),
    ("Figures 3A and 4B show it.", "Panel (A) of this figure and Figure 4B show it."),
    ("Figure 4A shows the width.", "Figure 4A shows the width."),
    ("The mass falls (see Fig. 3A).", "The mass falls."),
    ("The mass falls (Fig. 2B,C).", "The mass falls."),
    ("In figure 3, left, it falls.", "In this figure, left, it falls."),
    ("Figures 3 and 4 show it.", "This figure and Figure 4 show it."),
    ("Figures 2 and 3 show it.", "Figures 2 and 3 show it."),
    ("Figures 2-5 show it.", "Figures 2-5 show it."),
    ("Figure 4 shows the width.", "Figure 4 shows the width."),
    ("Figure 30 shows the width.", "Figure 30 shows the width."),
    (
        "Figure 3 of Smith (the dotted line in Fig. 3).",
        "This figure of Smith (the dotted line in this figure).",
    ),
    ("Some configurations 3 are left.", "Some configurations 3 are left."),
]


@pytest.mark.parametrize(("sentence", "expected"), CASES)
def test_references_to_figure_3(sentence: str, expected: str) -> None:
    """The figure itself is "this figure"; asides go; other figures keep their numbers."""
    assert standing_alone(sentence, "3") == expected


@pytest.mark.parametrize("number", ["A1", "S.2", "4.3", "12"])
def test_numbers_as_papers_print_them(number: str) -> None:
    """Appendix, supplement and chapter numbers are numbers too."""
    assert standing_alone(f"Figure {number} shows it.", number) == "This figure shows it."


@pytest.mark.parametrize(
    ("sentence", "number", "expected"),
    [
        ("Figure 3 shows it.", "3", True),
        ("Figures 2, 3 and 4 show it.", "3", True),
        ("Figure 13 shows it.", "3", False),
        ("Figure 3 shows it.", None, True),
        ("Section 3 shows it.", "3", False),
    ],
)
def test_which_figure_a_sentence_names(sentence: str, number: str | None, *, expected: bool) -> None:
    """A sentence names the figures that it refers to by number."""
    assert names_figure(sentence, number) == expected


def test_long_lists_take_linear_time() -> None:
    """A paragraph made of references alone is read in one go."""
    sentence = "(see Fig. 1, 2, 3 and 4" * 3_000

    assert names_figure(sentence, "4")
    assert len(standing_alone(sentence, "9")) == len(sentence)
