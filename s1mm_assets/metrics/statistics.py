"""What the scores of many figures say together: spread, uplift with its interval, shift, and the probe's AUC."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

N_RESAMPLES = 1_000
SEED = 0  # of the resamples: the same figures have the same interval on every run
INTERVAL = (2.5, 97.5)  # percent: 95 % of the resamples lie between
MIN_PAPERS = 10  # fewer say nothing of how other papers would be: the interval is without ends

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A value and its 95 % interval, without ends where there are too few papers to tell."""

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


def uplift(scores: pl.DataFrame) -> Uplift | None:
    """Compare the scores of captions and recaptions, over the figures that have both.

    Papers are drawn again with all their figures, since figures of one paper are alike, and in pairs, so that
    what both texts owe to their image counts once.

    Args:
        scores: paper_id, caption, recaption.

    Returns:
        None without a pair, or where the captions' mean is 0.

    Source:
        Paper, "CLIP Score": mean +18.21 %, variance -27.77 %. Efron 1979 for the interval; clusters as units after
        Field and Welsh 2007, "Bootstrapping clustered data".
    """
    pairs = _pairs(scores)
    before, after = (pairs[name].to_numpy() for name in ("caption", "recaption"))
    if not before.size or not before.mean():
        return None
    rows = np.stack([before, after, before**2, after**2, np.ones(before.size)])
    of_papers = _by_paper(rows, pairs)
    drawn = bootstrap(lambda weights: _changes(of_papers @ weights), of_papers.shape[1])
    mean, variance = _changes(rows.sum(axis=1))
    has_variance = bool(before.min() < before.max())
    return Uplift(
        n=before.size,
        mean=_estimate(mean, drawn[:, 0], of_papers.shape[1]),
        variance=_estimate(variance, drawn[:, 1], of_papers.shape[1]) if has_variance else None,
    )


def _pairs(scores: pl.DataFrame) -> pl.DataFrame:
    """The figures that have both scores, and the number of each one's paper from 0."""
    both = scores.select("paper_id", pl.col("caption", "recaption").cast(pl.Float64)).drop_nulls()
    return both.with_columns(paper=pl.col("paper_id").rank("dense") - 1)


def _by_paper(rows: Floats, pairs: pl.DataFrame) -> Floats:
    """Sum rows of shape (k, figures) to shape (k, papers)."""
    papers = pairs["paper"].to_numpy()
    return np.stack([np.bincount(papers, row) for row in rows])


def _changes(sums: Floats) -> Floats:
    """Return the changes of mean and variance, from the sums of both scores, of their squares, and of figures."""
    before, after, before_squared, after_squared = sums[:4] / sums[4]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.array([after / before - 1, (after_squared - after**2) / (before_squared - before**2) - 1])


def shift(perplexities: pl.DataFrame) -> Estimate | None:
    """Return the mean difference of log10 pseudo-perplexity, recaption less caption: below 0 is more fluent.

    Args:
        perplexities: paper_id, caption, recaption.

    Returns:
        None without a figure that has both.

    Source:
        Paper, Figure 5, which shows the shift without a number.
    """
    pairs = _pairs(perplexities)
    if pairs.is_empty():
        return None
    before, after = (pairs[name].to_numpy() for name in ("caption", "recaption"))
    rows = np.stack([np.log10(after) - np.log10(before), np.ones(before.size)])
    of_papers = _by_paper(rows, pairs)

    def mean(weights: Floats) -> float:
        total, n = of_papers @ weights
        return float(total / n)

    drawn = bootstrap(mean, of_papers.shape[1])
    return _estimate(float(rows[0].mean()), drawn, of_papers.shape[1])


def auc(scores: pl.DataFrame) -> Estimate | None:
    """Return how often a figure's own text scores higher than another figure's text does, ties counting half.

    0.5 is chance: scores that do not tell true pairs from shuffled ones say nothing of alignment.

    Args:
        scores: paper_id; caption: of figures with the texts of others; recaption: with their own.

    Source:
        Area under the ROC curve as the Mann-Whitney statistic (Hanley and McNeil 1982); its interval with papers
        as units (Obuchowski 1997, "Nonparametric analysis of clustered ROC curve data").
    """
    pairs = _pairs(scores)
    if pairs.is_empty():
        return None
    others, own = (pairs[name].to_numpy() for name in ("caption", "recaption"))
    wins, beaten = _share_below(own, others), 1 - _share_below(others, own)
    value = float(wins.mean())
    [of_papers] = _by_paper((wins + beaten - 2 * value)[None], pairs)
    n_papers = of_papers.size
    if n_papers < MIN_PAPERS:
        return Estimate(value, -math.inf, math.inf)
    margin = 1.96 * float((of_papers**2).sum() * n_papers / (n_papers - 1)) ** 0.5 / own.size
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


def bootstrap(statistic: Callable[[Floats], object], n: int) -> Floats:
    """Return a statistic of `N_RESAMPLES` resamples of n rows, from how often each row is drawn: shape (n,).

    Returns:
        Shape (N_RESAMPLES,) plus the statistic's own.
    """
    draw = np.random.default_rng(SEED)
    weights = (
        np.bincount(draw.integers(n, size=n), minlength=n).astype(np.float64) for _ in range(N_RESAMPLES)
    )
    return np.array([statistic(each) for each in weights], dtype=np.float64)


def _estimate(value: float, drawn: Floats, n_papers: int) -> Estimate:
    """The percentile interval around a value; resamples that have none are left out."""
    known = drawn[np.isfinite(drawn)]
    if n_papers < MIN_PAPERS or not known.size:
        return Estimate(float(value), -math.inf, math.inf)
    low, high = np.percentile(known, INTERVAL)
    return Estimate(float(value), float(low), float(high))
