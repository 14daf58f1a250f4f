"""The checks on quality: each passes on what is sound, and stops or warns on what is not."""

from typing import Any

import dagster as dg
import polars as pl
import pytest

from s1mm_assets.checks import quality_metrics as checks
from s1mm_assets.metrics import Quality, quality
from s1mm_assets.metrics.verdicts import Precision, Proportion, VerdictError
from s1mm_assets.resources.settings import CheckSettings
from s1mm_assets_tests.metrics.test_quality import metrics

LINES = CheckSettings()
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def found(**columns: list[Any]) -> Quality:
    return quality(metrics(**columns), seed=0)


def scored(captions: list[float], recaptions: list[float]) -> Quality:
    return found(caption_clip_score=captions, recaption_clip_score=recaptions)


def test_most_recaptions_must_fit() -> None:
    """A partition in which half of them do passes, one in which fewer do is stopped."""
    sound = checks.recaptions_fit_their_images(pl.Series([0.4, 0.9, 0.1, None]), LINES)
    bad = checks.recaptions_fit_their_images(pl.Series([0.39, 0.9, 0.1] * 20), LINES)
    few = checks.recaptions_fit_their_images(pl.Series([0.39, 0.9, 0.1]), LINES)

    assert sound.passed
    assert (bad.passed, bad.severity) == (False, ERROR)
    assert (bad.metadata["n"].value, bad.metadata["clip_floor"].value) == (60, 0.4)
    assert (few.passed, few.severity) == (False, WARN)  # of three figures it may be chance


def test_recaptions_must_score_higher_than_captions() -> None:
    """By the mean over figures that have both; the whole text's uplift stands beside it."""
    assert checks.recaptions_raise_the_clip_score(scored([0.5, 0.6], [0.6, 0.6]), LINES).passed
    bad = checks.recaptions_raise_the_clip_score(scored([0.5, 0.6] * 20, [0.4, 0.6] * 20), LINES)
    few = checks.recaptions_raise_the_clip_score(scored([0.5, 0.6], [0.4, 0.61]), LINES)

    assert (bad.passed, bad.severity) == (False, ERROR)
    assert (few.passed, few.severity) == (False, WARN)
    assert bad.metadata["uplift"].value == pytest.approx(-1 / 11)


def test_few_recaptions_may_be_degenerate() -> None:
    """A quarter of them, by default."""
    assert checks.few_recaptions_are_degenerate(found(flags=[["cut_off"], [], [], []]), LINES).passed
    bad = checks.few_recaptions_are_degenerate(found(flags=[["cut_off"], ["shared"], []] * 9), LINES)
    few = checks.few_recaptions_are_degenerate(found(flags=[["cut_off"], ["shared"], []]), LINES)

    assert (bad.passed, bad.severity) == (False, ERROR)
    assert bad.metadata["flags"].value == {"cut_off": 9, "shared": 9}
    assert (few.passed, few.severity) == (False, WARN)
    assert checks.few_recaptions_are_degenerate(found(flags=[]), LINES).passed


@pytest.mark.parametrize(
    ("check", "sound", "bad"),
    [
        (
            checks.clip_score_tells_pairs_apart,
            {"recaption_clip_score": [0.6, 0.7], "recaption_shuffled_clip_score": [0.1, 0.2]},
            {"recaption_clip_score": [0.6, 0.7], "recaption_shuffled_clip_score": [0.7, 0.6]},
        ),
        (
            checks.recaptions_are_fluent,
            {"caption_pseudo_perplexity": [100.0], "recaption_pseudo_perplexity": [10.0]},
            {"caption_pseudo_perplexity": [10.0], "recaption_pseudo_perplexity": [100.0]},
        ),
        (
            checks.recaptions_are_grounded,
            {"n_claims": [4], "n_grounded_claims": [2]},
            {"n_claims": [4], "n_grounded_claims": [1]},
        ),
    ],
)
def test_what_only_warns(check: Any, sound: dict[str, list[Any]], bad: dict[str, list[Any]]) -> None:
    """It does not stop a release."""
    assert check(found(**sound), LINES).passed
    result = check(found(**bad), LINES)
    assert (result.passed, result.severity) == (False, WARN)


@pytest.mark.parametrize(
    "check",
    [
        checks.recaptions_raise_the_clip_score,
        checks.clip_score_tells_pairs_apart,
        checks.recaptions_are_fluent,
    ],
)
def test_what_was_not_evaluated_warns_and_names_the_setting(check: Any) -> None:
    """Where there is nothing to evaluate, it passes."""
    result = check(found(n_claims=[1]), LINES)

    assert (result.passed, result.severity) == (False, WARN)
    assert "not evaluated: set " in (result.description or "")
    assert "[metrics]" in (result.description or "")
    assert check(found(n_claims=[]), LINES).passed


def test_a_year_that_differs_from_its_neighbours_warns() -> None:
    """By which mean, and by how much; few rows are not compared."""
    lines = CheckSettings(min_rows_for_drift=2)
    own = found(recaption_length_chars=[200, 200])

    near = checks.means_are_like_neighbouring_years(own, {"recaption_length_chars": 210.0}, lines)
    far = checks.means_are_like_neighbouring_years(own, {"recaption_length_chars": 400.0}, lines)
    few = checks.means_are_like_neighbouring_years(own, {"recaption_length_chars": 400.0}, LINES)
    alone = checks.means_are_like_neighbouring_years(own, {}, lines)

    assert near.passed
    assert (far.passed, far.severity, far.description) == (False, WARN, "recaption_length_chars -50%")
    assert few.passed
    assert "2 recaptions; 100 are compared" in (few.description or "")
    assert alone.passed


def test_numbers_are_set_beside_the_papers() -> None:
    """The paper's captions have 267 characters."""
    lines = CheckSettings(min_rows_for_drift=1)
    result = checks.numbers_are_like_the_papers(found(caption_length_chars=[1_000]), lines)

    assert (result.passed, result.severity) == (False, WARN)
    assert "caption_length_chars +275%" in (result.description or "")
    beside = result.metadata["beside"].value
    assert isinstance(beside, dict)
    assert beside["caption_length_chars"] == 267


def precision(n_right: int, n: int) -> Precision:
    """What verdicts on kept figures alone say."""
    none = Proportion(0, 0, None, None, None)
    kept = Proportion(n, n_right, n_right / n, 0.1, 0.9)
    return Precision(
        kept=kept,
        rejected=none,
        by_reason={"blank": kept},
        n_gone=1,
        n_redecided=0,
        n_changed=0,
        n_disputed=0,
    )


def test_verdicts_are_a_check() -> None:
    """Without any it was not evaluated; a broken file is said, not swallowed."""
    assert checks.people_judge_kept_figures_good(lambda: precision(9, 10), LINES).passed
    bad = checks.people_judge_kept_figures_good(lambda: precision(8, 10), LINES)
    assert (bad.passed, bad.severity) == (False, WARN)
    assert bad.metadata["by_reason"].value == {"blank": "8 of 10 rightly rejected"}

    nobody = checks.people_judge_kept_figures_good(lambda: None, LINES)
    assert "s1mm verdicts" in (nobody.description or "")

    def broken() -> Precision:
        raise VerdictError("a.csv", 3, "no verdict")

    assert checks.people_judge_kept_figures_good(broken, LINES).description == "a.csv, line 3: no verdict"
