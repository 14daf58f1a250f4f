"""The seeded sample: the same figures whatever else there is."""

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.sampling import END, draws, is_sampled, sample

IDS = pl.Series("figure_id", [f"arxiv:2001.{i:05d}#1.1" for i in range(4_000)])


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_about_the_share_is_drawn(share: float) -> None:
    """Within four standard deviations of the binomial."""
    drawn = is_sampled(IDS, share=share, seed=0).mean()

    assert drawn == pytest.approx(share, abs=4 * (share * (1 - share) / len(IDS)) ** 0.5)


def test_none_and_all() -> None:
    """The ends of the range are exact."""
    assert not is_sampled(IDS, share=0, seed=0).any()
    assert is_sampled(IDS, share=1, seed=0).all()
    assert is_sampled(IDS.clear(), share=1, seed=0).is_empty()


@given(st.randoms(use_true_random=False), st.integers(0, END - 1))
def test_a_figures_draw_is_its_own(random, seed: int) -> None:  # type: ignore[no-untyped-def]
    """Neither order nor company changes it, and a larger share only adds figures."""
    some = random.sample(IDS.to_list(), 50)
    drawn = dict(zip(IDS, is_sampled(IDS, share=0.3, seed=seed), strict=True))

    assert is_sampled(pl.Series(some), share=0.3, seed=seed).to_list() == [drawn[each] for each in some]
    wider = is_sampled(IDS, share=0.4, seed=seed)
    assert all(wider.filter(pl.Series(list(drawn.values()))))


def test_another_seed_draws_another_sample() -> None:
    """Two halves overlap by about a half."""
    first, second = (is_sampled(IDS, share=0.5, seed=seed) for seed in (0, 1))

    assert (first & second).mean() == pytest.approx(0.25, abs=0.03)


def test_draws_for_different_purposes_have_nothing_to_do_with_one_another() -> None:
    """The smallest draws for one are no smaller for the other."""
    mine, others = (draws(IDS, 0, purpose) for purpose in ("sample", "gallery"))

    smallest = mine.arg_sort()[:400]
    assert others.gather(smallest).cast(pl.Float64).mean() / END == pytest.approx(0.5, abs=0.06)


def test_of_all_figures_the_seed_says_nothing() -> None:
    """And a share may be written as a whole number."""
    assert sample(1, 3) == sample(1.0, 4) == {"share": 1.0}
    assert sample(0.5, 3) != sample(0.5, 4)
