"""The language of captions as they are: short, and full of formulas."""

import pytest

from s1mm_assets.resources.language_identifier import languages, versions

TEXTS = {
    "Capacity of the cell against temperature, at three rates of discharge.": "en",
    r"The ratio $\sigma_{8}/\Omega_m^{0.5}$ as a function of redshift $z$ for the three models.": "en",
    "La courbe montre la densité en fonction de la température.": "fr",
    "Messungen der Kapazität der Zelle bei verschiedenen Temperaturen und Strömen.": "de",
    "不同温度下的电池容量与放电速率的关系": "zh",
    "Figure 3": None,
    r"$\alpha \beta$": None,
    "": None,
    "x" * 100_000: None,
    "\x00\ud800\uffff": None,
}


@pytest.mark.parametrize("text", TEXTS)
def test_languages_of_captions(text: str) -> None:
    """Where the text does not show one, none is guessed; no text raises."""
    assert languages([text]) == [TEXTS[text]]


def test_each_text_has_an_answer() -> None:
    """In order."""
    assert languages(list(TEXTS)) == list(TEXTS.values())
    assert languages([]) == []
    assert set(versions()) == {"py3langid"}
