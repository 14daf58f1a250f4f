"""What the scores of many figures say together: spread, uplift with its interval, shift, and the probe's AUC."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

N_RESAMPLES = 1_000
INTERVAL = (2.5, 97.5)  # percent: 95 % of the resamples lie between

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Uplift:
    """How a score changes from the captions to the recaptions of the same figures."""

    n: int
    mean: Estimate  # change of the mean, as a share of the captions' mean
    variance: Estimate | None  # change of the variance, as a share of the captions'; None where theirs is 0


@dataclass(frozen=True, slots=True)
class Spread:
    """Mean and standard deviation of a measure."""

    n: int
    mean: float
    standard_deviation: float  # of the population

    @property
    def variation(self) -> float | None:
        """The coefficient of variation; None where the mean is 0."""
        return self.standard_deviation / self.mean if self.mean else None


def spread(values: pl.Series) -> Spread | None:
    """Return mean and deviation of the values that are not null; None without any."""
    known = values.drop_nulls().cast(pl.Float64).to_numpy()
    return Spread(known.size, float(known.mean()), float(known.std())) if known.size else None


def paired(captions: pl.Series, recaptions: pl.Series) -> tuple[Floats, Floats]:
    """Return the values of both columns where neither is null: shape (n,) each."""
    both = pl.DataFrame({"caption": captions, "recaption": recaptions}).cast(pl.Float64).drop_nulls()
    return both["caption"].to_numpy(), both["recaption"].to_numpy()


def uplift(captions: pl.Series, recaptions: pl.Series, *, seed: int) -> Uplift | None:
    """Compare the scores of captions and recaptions, over the figures that have both.

    Figures are drawn again in pairs, so that what both texts owe to their image counts once.

    Returns:
        None without a pair, or where the captions' mean is 0.

    Source:
        Paper, "CLIP Score": mean +18.21 %, variance -27.77 %. Efron 1979 for the interval.
    """
    before, after = paired(captions, recaptions)
    if not before.size or not before.mean():
        return None
    sums = np.stack([before, after, before**2, after**2])
    drawn = bootstrap(lambda weights: _changes(sums @ weights / before.size), before.size, seed)
    mean, variance = _changes(sums.mean(axis=1))
    return Uplift(
        n=before.size,
        mean=_estimate(mean, drawn[:, 0]),
        variance=_estimate(variance, drawn[:, 1]) if before.std() else None,
    )


def _changes(moments: Floats) -> Floats:
    """Return the changes of mean and variance, from the means of both scores and of their squares."""
    before, after, before_squared, after_squared = moments
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array([after / before - 1, (after_squared - after**2) / (before_squared - before**2) - 1])


def shift(captions: pl.Series, recaptions: pl.Series, *, seed: int) -> Estimate | None:
    """Return the mean difference of log10 pseudo-perplexity, recaption less caption: below 0 is more fluent.

    Returns:
        None without a figure that has both.

    Source:
        Paper, Figure 5, which shows the shift without a number.
    """
    before, after = paired(captions, recaptions)
    if not before.size:
        return None
    differences = np.log10(after) - np.log10(before)
    drawn = bootstrap(lambda weights: differences @ weights / differences.size, differences.size, seed)
    return _estimate(float(differences.mean()), drawn)


def auc(true: pl.Series, shuffled: pl.Series) -> Estimate | None:
    """Return how often a figure's own text scores higher than another figure's text does, ties counting half.

    0.5 is chance: scores that do not tell true pairs from shuffled ones say nothing of alignment.

    Args:
        true: Scores of figures with their own texts.
        shuffled: Of the same figures with the texts of others.

    Source:
        Area under the ROC curve as the Mann-Whitney statistic (Hanley and McNeil 1982); its interval for pairs
        that share an image (Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data").
    """
    own, others = paired(true, shuffled)
    if not own.size:
        return None
    wins, losses = _share_below(own, others), 1 - _share_below(others, own)
    value = float(wins.mean())
    margin = 1.96 * float((wins + losses).std()) / own.size**0.5
    return Estimate(value, max(0.0, value - margin), min(1.0, value + margin))


def _share_below(values: Floats, others: Floats) -> Floats:
    """Return for each value the share of the others that lie below it, equal ones counting half: shape (n,)."""
    ordered = np.sort(others)
    below = np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")
    return np.asarray(below / (2 * others.size), dtype=np.float64)


def share_above(values: pl.Series, floor: float) -> float | None:
    """Return the share of the values that reach a floor; None without any."""
    known = values.drop_nulls()
    return float((known >= floor).sum()) / len(known) if len(known) else None


def bootstrap(statistic: Callable[[Floats], object], n: int, seed: int) -> Floats:
    """Return a statistic of `N_RESAMPLES` resamples of n rows, from how often each row is drawn: shape (n,).

    Returns:
        Shape (N_RESAMPLES,) plus the statistic's own.
    """
    draw = np.random.default_rng(seed)
    weights = (
        np.bincount(draw.integers(n, size=n), minlength=n).astype(np.float64) for _ in range(N_RESAMPLES)
    )
    return np.array([statistic(each) for each in weights], dtype=np.float64)


def _estimate(value: float, drawn: Floats) -> Estimate:
    """The percentile interval around a value; resamples that have none are left out."""
    known = drawn[np.isfinite(drawn)]
    low, high = np.percentile(known, INTERVAL) if known.size else (value, value)
    return Estimate(float(value), float(low), float(high))
