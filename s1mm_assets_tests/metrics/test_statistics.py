"""What scores say together, against hand-computed cases and slow references."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.metrics.statistics import MIN_PAPERS, auc, bootstrap, share_above, shift, spread, uplift

SCORES = st.lists(st.integers(0, 6).map(lambda step: step / 4), min_size=1, max_size=14)


def series(*values: float | None) -> pl.Series:
    return pl.Series("x", values, dtype=pl.Float64)


def scores(captions: list[float | None], recaptions: list[float | None], n_panels: int = 1) -> pl.DataFrame:
    """Scores of papers with so many figures each."""
    papers = [str(i // n_panels) for i in range(len(captions))]
    schema = {"paper_id": pl.String, "caption": pl.Float64, "recaption": pl.Float64}
    return pl.DataFrame({"paper_id": papers, "caption": captions, "recaption": recaptions}, schema=schema)


def test_mean_deviation_and_variation() -> None:
    """Of the population, over what is known."""
    found = spread(series(2, None, 4, 6))

    assert found is not None
    assert (found.n, found.mean) == (3, 4)
    assert found.standard_deviation == pytest.approx((8 / 3) ** 0.5)
    assert found.variation == pytest.approx((8 / 3) ** 0.5 / 4)
    assert spread(series(None)) is None


def test_uplift_by_hand() -> None:
    """The mean rises from 0.5 to 0.6, the variance falls from 0.01 to 0.0025; half a pair does not count."""
    found = uplift(scores([0.4, 0.6, None, 0.9], [0.55, 0.65, 0.1, None]))

    assert found is not None
    assert found.n == 2
    assert found.mean.value == pytest.approx(0.2)
    assert found.variance is not None
    assert found.variance.value == pytest.approx(-0.75)


def test_uplift_of_nothing() -> None:
    """Without pairs, or from nothing, there is none; without variance its change is not told."""
    assert uplift(scores([], [])) is None
    assert uplift(scores([0.0, 0.0], [0.1, 0.2])) is None
    constant = uplift(scores([0.1, 0.1, 0.1], [0.5, 0.7, 0.2]))
    assert constant is not None
    assert constant.variance is None


@pytest.mark.parametrize("n_papers", [1, 2, 5, MIN_PAPERS - 1])
def test_of_few_papers_the_interval_has_no_ends(n_papers: int) -> None:
    """However many figures they have: nothing is known of other papers."""
    draw = np.random.default_rng(n_papers)
    before, after = (draw.random(n_papers * 30).tolist() for _ in range(2))
    of_few = scores(before, after, n_panels=30)
    found = uplift(of_few)
    assert found is not None

    for estimate in (found.mean, found.variance, shift(of_few), auc(of_few)):
        assert estimate is not None
        assert (estimate.low, estimate.high) == (-math.inf, math.inf)


@pytest.mark.parametrize("n_panels", [1, 8])
def test_the_interval_covers_the_truth_as_often_as_it_says(n_panels: int) -> None:
    """Also where figures of one paper are alike: of 100 samples about 95; fewer than 85 would be one in 10,000."""
    draw = np.random.default_rng(3)
    n_papers, covered = 40, 0
    for _ in range(100):
        before = draw.normal(1, 0.3, n_papers * n_panels)
        after = before + np.repeat(draw.normal(0.1, 0.2, n_papers), n_panels)
        found = uplift(scores(before.tolist(), after.tolist(), n_panels))
        assert found is not None
        covered += found.mean.low <= 0.1 <= found.mean.high

    assert 85 <= covered <= 100


def test_the_interval_is_the_same_on_every_run() -> None:
    """In whatever order the figures come."""
    values = scores(*(np.random.default_rng(i).normal(1, 0.2, 50).tolist() for i in (1, 2)))
    first, again = uplift(values), uplift(values.reverse())

    assert first is not None
    assert again is not None
    assert first.mean.low == pytest.approx(again.mean.low, rel=1e-9)
    assert first.mean.low < first.mean.value < first.mean.high


def test_shift_by_hand() -> None:
    """From 100 to 10 and from 10 to 10: half a decade on average."""
    found = shift(scores([100, 10, None] * 10, [10, 10, 5] * 10))

    assert found is not None
    assert found.value == pytest.approx(-0.5)
    assert found.low < -0.5 < found.high
    assert shift(scores([], [])) is None


@given(SCORES, st.randoms(use_true_random=False))
def test_auc_is_the_share_of_pairs_in_order(own: list[float], random) -> None:  # type: ignore[no-untyped-def]
    """Ties count half: the definition, pair by pair."""
    others = [random.choice(own) + random.choice([-0.25, 0, 0.25]) for _ in own]

    found = auc(scores(others, own))  # type: ignore[arg-type]

    wins = [(a > b) + (a == b) / 2 for a in own for b in others]
    assert found is not None
    assert found.value == pytest.approx(sum(wins) / len(wins))
    assert found.low <= found.value <= found.high


def test_auc_of_what_is_parted_and_of_noise() -> None:
    """1 where no shuffled pair reaches a true one; about a half where they are alike."""
    draw = np.random.default_rng(0)
    low, other = draw.random(200).tolist(), draw.random(200).tolist()

    parted, noise = auc(scores(low, [each + 1 for each in other])), auc(scores(low, other))

    assert parted is not None
    assert (parted.value, parted.high) == (1, 1)
    assert noise is not None
    assert 0 < noise.low < 0.5 < noise.high < 1
    assert auc(scores([None], [1])) is None


def test_the_bootstrap_draws_as_many_rows_as_there_are() -> None:
    """Each resample weighs n rows n times in all."""
    sums = bootstrap(lambda weights: weights.sum(), 7)

    assert set(sums.tolist()) == {7}


def test_share_above_counts_the_floor_itself() -> None:
    """And leaves out what is not known."""
    assert share_above(series(0.1, 0.4, None, 0.9), 0.4) == pytest.approx(2 / 3)
    assert share_above(series(None), 0.4) is None
