"""The checks on quality: each passes on what is sound, and stops or warns on what is not."""

from typing import Any

import dagster as dg
import polars as pl
import pytest

from s1mm_assets.checks import quality_metrics as checks
from s1mm_assets.metrics import Quality, quality
from s1mm_assets.metrics.quality import means
from s1mm_assets.metrics.verdicts import Precision, Proportion, VerdictError
from s1mm_assets.resources.settings import CheckSettings
from s1mm_assets_tests.metrics.test_quality import metrics

LINES = CheckSettings()
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR


def found(**columns: list[Any]) -> Quality:
    return quality(metrics(**columns))


def absence(*, is_on: bool = True, measure: str = "clip_score", **columns: list[Any]) -> checks.Absence:
    return checks.Absence(metrics(**{"n_claims": [1], **columns}), is_on=is_on, measure=measure)


def scored(captions: list[float], recaptions: list[float]) -> Quality:
    return found(caption_clip_score=captions, recaption_clip_score=recaptions)


def test_most_recaptions_must_fit() -> None:
    """A partition in which half of them do passes, one in which fewer do is stopped."""
    sound = checks.recaptions_fit_their_images(pl.Series([0.4, 0.9, 0.1, None]), LINES, absence())
    bad = checks.recaptions_fit_their_images(pl.Series([0.39, 0.9, 0.1] * 20), LINES, absence())
    few = checks.recaptions_fit_their_images(pl.Series([0.39, 0.9, 0.1]), LINES, absence())

    assert sound.passed
    assert (bad.passed, bad.severity) == (False, ERROR)
    assert bad.metadata["n"].value == 60
    assert bad.description == "33.3% of 60 scored recaptions reach 0.4"
    assert (few.passed, few.severity) == (False, WARN)  # of three figures it may be chance


def test_recaptions_must_score_higher_than_captions() -> None:
    """By the mean over figures that have both; the whole text's uplift stands beside it."""
    assert checks.recaptions_raise_the_clip_score(scored([0.5, 0.6], [0.6, 0.6]), LINES, absence()).passed
    bad = checks.recaptions_raise_the_clip_score(scored([0.5, 0.6] * 20, [0.4, 0.6] * 20), LINES, absence())
    few = checks.recaptions_raise_the_clip_score(scored([0.5, 0.6], [0.4, 0.61]), LINES, absence())

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
            lambda found, lines: checks.clip_score_tells_pairs_apart(found, lines, absence()),
            {"recaption_clip_score": [0.6, 0.7], "recaption_shuffled_clip_score": [0.1, 0.2]},
            {"recaption_clip_score": [0.6, 0.7], "recaption_shuffled_clip_score": [0.7, 0.6]},
        ),
        (
            lambda found, lines: checks.recaptions_are_fluent(found, lines, absence()),
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


SCORED = (
    (checks.recaptions_raise_the_clip_score, "clip_score", ERROR),
    (checks.clip_score_tells_pairs_apart, "clip_score", WARN),
    (checks.recaptions_are_fluent, "pseudo_perplexity", WARN),
    (
        lambda _, lines, absent: checks.recaptions_fit_their_images(pl.Series([None]), lines, absent),
        "clip_score",
        ERROR,
    ),
)


@pytest.mark.parametrize(("check", "measure", "severity"), SCORED)
def test_why_there_is_no_score(check: Any, measure: str, severity: dg.AssetCheckSeverity) -> None:
    """Turned off, nothing sampled, and all of it missing are different things; the last stops where the gate would."""
    nothing = found(n_claims=[1])
    missing = [[{"score": f"recaption_{measure}", "reason": "not_finite"}]]

    off = check(nothing, LINES, absence(is_on=False, measure=measure))
    assert (off.passed, off.severity) == (False, WARN)
    assert f"set {measure} = true under [metrics]" in (off.description or "")

    unsampled = check(nothing, LINES, absence(measure=measure, missing_scores=[[]]))
    assert (unsampled.passed, unsampled.severity) == (False, WARN)
    assert f"raise {measure}_share" in (unsampled.description or "")

    broken = check(nothing, LINES, absence(measure=measure, missing_scores=missing))
    assert (broken.passed, broken.severity) == (False, severity)
    assert broken.metadata["missing"].value == {"not_finite": 1}
    assert "`missing` says why" in str(broken.metadata["what_to_do"].value)

    assert check(found(n_claims=[]), LINES, absence(measure=measure, n_claims=[])).passed


def test_a_year_that_differs_from_its_neighbours_warns() -> None:
    """By which mean, and by how much; where nothing can be compared, it says why."""
    own = {"recaption_length_chars": 200.0}

    near = checks.means_are_like_neighbouring_years(200, own, {"recaption_length_chars": 210.0}, LINES)
    far = checks.means_are_like_neighbouring_years(200, own, {"recaption_length_chars": 400.0}, LINES)
    few = checks.means_are_like_neighbouring_years(2, {}, {"recaption_length_chars": 400.0}, LINES)

    assert near.passed
    assert (far.passed, far.severity, far.description) == (False, WARN, "recaption_length_chars -50%")
    assert few.passed
    assert "2 recaptions; 100 are compared" in (few.description or "")


def test_a_score_of_few_figures_is_not_compared() -> None:
    """However many figures the partition has."""
    scored = metrics(recaption_clip_score=[0.5, 0.7, *[None] * 198], caption_clip_score=[0.5] * 200)

    assert set(means(scored, at_least=100)) == {
        "caption_length_chars",
        "recaption_length_chars",
        "caption_clip_score",
    }


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

    unread = checks.people_judge_kept_figures_good(broken, LINES)
    assert unread.description == "a.csv, line 3: no verdict"
    assert "s1mm verdicts" in str(unread.metadata["what_to_do"].value)


def test_a_file_of_verdicts_is_not_read_as_markup() -> None:
    """The UI shows a check's description as Markdown, and the file comes from anywhere."""

    def broken() -> Precision:
        raise VerdictError("<img src=x>.csv", 3, "the verdict '![x](http://evil.example)' is none")

    said = checks.people_judge_kept_figures_good(broken, LINES).description or ""

    assert "<" not in said
    assert "![" not in said
