"""Numbers and names, and whether the sources hold them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.grounding import grounding
from s1mm_assets_tests.strategies import UNTIMED


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("It is 5%.", "It is 5 %."),
        ("It is 5%.", r"It is $5\%$."),
        ("It is 5 percent.", "It is 5%."),
        ("A mass of 1200 kg.", "A mass of 1,200 kg."),
        ("A mass of 0.50 kg.", "A mass of .5 kg."),
        ("At 1.2e-3.", r"At $1.2 \times 10^{-3}$."),
        ("At 1.2 × 10^-3 m.", "At 1.2e-3 m."),
        ("At 0.0012 m.", "At 1.2e-3 m."),
        ("At 1.2 × 10−3.", r"At $1.2\times10^{-3}$."),
        ("A mass of 125 GeV.", r"A mass of $125\,\mathrm{GeV}$."),
        ("A mass of 125 GeV.", "A mass (GeV) of 125."),
        ("Some 16 layers.", "The 16-layer net."),
        ("A value of -3.", "A value of −3."),
        ("The Monte Carlo method.", "With monte carlo."),
        ("A CNN.", "Each CNN."),
        ("The ResNet-50 net.", "We use ResNet-50."),
        ("mRNA levels.", "Levels of mRNA."),
    ],
)
def test_what_a_source_holds_is_grounded(text: str, source: str) -> None:
    """However it is written, a number or a name of the source is grounded."""
    found = grounding(text, [source])

    assert (found.n_claims, found.ungrounded, found.share) == (1, (), 1.0)


@pytest.mark.parametrize(
    ("text", "source", "ungrounded"),
    [
        ("It is 5%.", "It is 6%.", ("5%",)),
        ("It is 5%.", "It is 5 kg.", ("5%",)),
        ("A mass of 125 GeV.", "A mass of 125 MeV.", ("125 GeV",)),
        ("Some 12 layers.", "Some 120 layers, 1.2 m.", ("12",)),
        ("At 1e3.", "At 1e-3.", ("1e3",)),
        ("The Monte Carlo method.", "Carlo went to Monte.", ("Monte Carlo",)),
        ("A CNN and an RNN.", "A CNN.", ("RNN",)),
    ],
)
def test_what_no_source_holds_is_named(text: str, source: str, ungrounded: tuple[str, ...]) -> None:
    """Another value, another unit, another name: not grounded, and listed as written."""
    assert grounding(text, [source]).ungrounded == ungrounded


def test_claims_are_counted_once() -> None:
    """A number that is repeated is one claim."""
    found = grounding("It is 5 and 5 and 6, by BERT and BERT.", ["5"])

    assert (found.n_claims, found.ungrounded) == (3, ("6", "BERT"))
    assert found.share == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    "text", ["", "The mass falls with energy.", "In the end it was.", "H.", "The figure."]
)
def test_text_without_claims_has_no_share(text: str) -> None:
    """A capital at the start of a sentence is no name; nothing claimed is null, not zero."""
    found = grounding(text, ["anything"])

    assert (found.n_claims, found.share) == (0, None)


@UNTIMED
@given(st.text(alphabet="aB1 0.,%e-x×^{}$\\GeV", max_size=60))
def test_a_text_is_grounded_in_itself(text: str) -> None:
    """Whatever it says, a source says it too."""
    assert grounding(text, [text]).ungrounded == ()


def test_endless_digits_are_read() -> None:
    """Numbers as long as a page, and pages of numbers, are no trouble."""
    assert grounding("9" * 50_000 + "e999", ["9" * 50_000]).n_claims <= 1
    assert grounding("7 " * 50_000, ["1,000," * 50_000]).ungrounded == ("7",)
