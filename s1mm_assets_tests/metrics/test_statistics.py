"""What scores say together, against hand-computed cases and slow references."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.metrics.statistics import auc, bootstrap, paired, share_above, shift, spread, uplift

SCORES = st.lists(st.integers(0, 6).map(lambda step: step / 4), min_size=1, max_size=12)


def series(*values: float | None) -> pl.Series:
    return pl.Series("x", values, dtype=pl.Float64)


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
    found = uplift(series(0.4, 0.6, None, 0.9), series(0.55, 0.65, 0.1, None), seed=0)

    assert found is not None
    assert found.n == 2
    assert found.mean.value == pytest.approx(0.2)
    assert found.variance is not None
    assert found.variance.value == pytest.approx(-0.75)
    assert found.mean.low <= found.mean.value <= found.mean.high


def test_uplift_of_nothing() -> None:
    """Without pairs, or from nothing, there is none; without variance its change is not told."""
    assert uplift(series(), series(), seed=0) is None
    assert uplift(series(0.0, 0.0), series(0.1, 0.2), seed=0) is None
    constant = uplift(series(0.5, 0.5), series(0.5, 0.7), seed=0)
    assert constant is not None
    assert constant.variance is None


def test_the_interval_covers_the_truth_as_often_as_it_says() -> None:
    """Of 100 samples of a known population, about 95; fewer than 85 would happen once in 10,000 times."""
    draw = np.random.default_rng(3)
    covered = 0
    for seed in range(100):
        before = draw.normal(1, 0.3, 80)
        after = before + draw.normal(0.1, 0.2, 80)
        found = uplift(pl.Series(before), pl.Series(after), seed=seed)
        assert found is not None
        covered += found.mean.low <= 0.1 <= found.mean.high

    assert 85 <= covered <= 100


def test_the_interval_is_the_same_on_every_run() -> None:
    """And another for another seed."""
    values = [pl.Series(np.random.default_rng(i).normal(1, 0.2, 50)) for i in (1, 2)]

    assert uplift(*values, seed=1) == uplift(*values, seed=1)
    assert uplift(*values, seed=1) != uplift(*values, seed=2)


def test_shift_by_hand() -> None:
    """From 100 to 10 and from 10 to 10: half a decade on average."""
    found = shift(series(100, 10, None), series(10, 10, 5), seed=0)

    assert found is not None
    assert found.value == pytest.approx(-0.5)
    assert found.low < -0.5 < found.high
    assert shift(series(), series(), seed=0) is None


@given(SCORES, st.randoms(use_true_random=False))
def test_auc_is_the_share_of_pairs_in_order(own: list[float], random) -> None:  # type: ignore[no-untyped-def]
    """Ties count half: the definition, pair by pair."""
    others = [random.choice(own) + random.choice([-0.25, 0, 0.25]) for _ in own]

    found = auc(pl.Series(own), pl.Series(others))

    wins = [(a > b) + (a == b) / 2 for a in own for b in others]
    assert found is not None
    assert found.value == pytest.approx(sum(wins) / len(wins))
    assert 0 <= found.low <= found.value <= found.high <= 1


def test_auc_of_what_is_parted_and_of_noise() -> None:
    """1 where no shuffled pair reaches a true one; about a half where they are alike."""
    draw = np.random.default_rng(0)
    low, high = pl.Series(draw.random(200)), pl.Series(draw.random(200) + 1)

    assert auc(high, low) is not None
    assert auc(high, low).value == 1  # type: ignore[union-attr]
    noise = auc(low, pl.Series(draw.random(200)))
    assert noise is not None
    assert noise.low < 0.5 < noise.high
    assert auc(series(None), series(1)) is None


def test_the_bootstrap_draws_as_many_rows_as_there_are() -> None:
    """Each resample weighs n rows n times in all."""
    sums = bootstrap(lambda weights: weights.sum(), 7, seed=0)

    assert set(sums.tolist()) == {7}


def test_share_above_counts_the_floor_itself() -> None:
    """And leaves out what is not known."""
    assert share_above(series(0.1, 0.4, None, 0.9), 0.4) == pytest.approx(2 / 3)
    assert share_above(series(None), 0.4) is None


def test_pairs_are_those_that_are_whole() -> None:
    """Also of columns of other types."""
    before, after = paired(pl.Series([1, None, 3], dtype=pl.UInt32), pl.Series([4, 5, None], dtype=pl.UInt32))

    assert (before.tolist(), after.tolist()) == ([1], [4])
