"""What captions and names of files say."""

import polars as pl
import pytest

from s1mm_assets.filtering.paper_words import (
    caption_says_nothing,
    caption_tells_a_life,
    file_says_licence,
    file_says_logo,
)


def says(pattern: pl.Expr, column: str, value: str | None) -> bool:
    """What a pattern says of one row."""
    frame = pl.DataFrame({column: [value]}, schema={column: pl.String})
    return bool(frame.select(pattern).item())


@pytest.mark.parametrize(
    "caption",
    [
        "Jane Doe received the B.Sc. degree in physics from the University of Example, in 2010.",
        "Jane A. Doe (Member, IEEE) received her Ph.D. degree in 2012.",
        "JANE DOE was born in Example City, in 1985. She received the M.S. degree.",
        "Dr. Jean-Luc de la Tour is currently an Associate Professor at the University of Example.",
        "Jörg Müller, Senior Member, IEEE, obtained the bachelor’s degree in Electrical Engineering.",
        "Since 2015 at Example. He is a research scientist.",
        "Wei Zhang holds a PhD in statistics.",
        "About the author.",
        "Photograph of the author",
    ],
)
def test_biographies_tell_a_life(caption: str) -> None:
    """Somebody, by name or as a pronoun, with a degree, a post, or a birth."""
    assert says(caption_tells_a_life(), "caption", caption)


@pytest.mark.parametrize(
    "caption",
    [
        None,
        "",
        "Micrograph of the sample, which received the dose for 50 ms.",
        "The cell received a pulse of 500 ms.",
        "Image obtained with the tip at 4 mA.",
        "STM image obtained at a current of 4 mA.",
        "Fiber bundle that was obtained with the stage tilted 45 degrees from the vertical.",
        "Density obtained from the master equation at 30 degrees.",
        "Crack obtained with the load at 30 degrees in the plane.",
        "The patient received the M.S. diagnosis.",
        "Sample Holder received the beam for 50 MS.",
        "The participant is a researcher at his desk.",
        "Albert Example was born in Ulm in 1879.",
        "Photograph of the authors' setup.",
        "Map obtained by PhD students.",
        "Neurons at rest. They received a pulse of 50 ms.",
        "Two cells: she received the dose, 4 ma.",
        "The Participant is a researcher.",
    ],
)
def test_other_captions_tell_none(caption: str | None) -> None:
    """Milliseconds and currents are no degrees, and what is shown is nobody's life."""
    assert not says(caption_tells_a_life(), "caption", caption)


LOGOS = ["logo", "figs/Logo.PNG", "ieee_logo.pdf", "logo-univ.eps", "logo_small.png", "orcid_16x16.png"]
LOGOS += ["orcid.pdf", "ORCID-iD.png", "logo2.png", "UniLogo.pdf", "crossmark.pdf", "coat_of_arms.png"]
LICENCES = [
    "cc-by-4.0.png",
    "cc-by",
    "by-nc-sa.eps",
    "by-nc-nd-4.0.pdf",
    "ccby.png",
    "cc_by_nc.pdf",
    "cc0.png",
]
LICENCES += ["cc-zero.svg", "creative_commons.png", "cc-by-88x31.png", "badge-cc-by.pdf", "CC_BY-NC-ND.pdf"]
PLOTS = ["figs/logo_cv_accuracy.pdf", "logo/fig1", "LOGO-vs-LOSO.png", "logos/fig3.pdf", "acc-by-sa.png"]
PLOTS += [
    "logo_detection_results.png",
    "Analogo.pdf",
    "orcid_growth.pdf",
    "cc01.png",
    "cc05.pdf",
    "cc_0.25.pdf",
]
PLOTS += ["error_by_nc.pdf", "motif_logo.pdf", "logo_accuracy.pdf", "SequenceLogo.pdf", "logos_per_year.pdf"]
PLOTS += ["cc-by_accuracy.pdf", "orcid_vs_doi.png", "cc_0.25", "by.pdf", "accuracy.pdf", "logo.d/fig1.pdf"]


@pytest.mark.parametrize("path", LOGOS)
def test_files_named_logos(path: str) -> None:
    """The word, with at most one name before or after it."""
    assert says(file_says_logo(), "graphics_path", path)
    assert not says(file_says_licence(), "graphics_path", path)


@pytest.mark.parametrize("path", LICENCES)
def test_files_named_after_licences(path: str) -> None:
    """The clauses, with or without a version."""
    assert says(file_says_licence(), "graphics_path", path)
    assert not says(file_says_logo(), "graphics_path", path)


@pytest.mark.parametrize("path", [*PLOTS, None, ""])
def test_files_named_like_plots(path: str | None) -> None:
    """Folders, cross-validation by leaving one group out, coefficients and axes are no logos."""
    assert not says(file_says_logo(), "graphics_path", path)
    assert not says(file_says_licence(), "graphics_path", path)


@pytest.mark.parametrize(
    ("caption", "nothing"),
    [
        (None, True),
        ("", True),
        (" \n", True),
        ("Figure 3.", True),
        ("FIG. 3:", True),
        ("GREEN", False),
        ("A peptide.", False),
    ],
)
def test_a_number_alone_says_nothing(caption: str | None, nothing: bool) -> None:
    """A word is a caption."""
    assert says(caption_says_nothing(), "caption", caption) is nothing
