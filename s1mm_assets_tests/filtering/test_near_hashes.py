"""The search by bands against comparing all with all, also where hashes crowd together."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.filtering import near_hashes
from s1mm_assets.filtering.near_hashes import Flags, Indices, Words, distinct, nearest_kept
from s1mm_assets_tests.strategies import UNTIMED


def compared_with_all(details: Words, bits: int) -> tuple[list[int], list[int]]:
    """What `nearest_kept` says of itself, as slow as that."""
    kept: list[int] = []
    distances = []
    for later in range(len(details)):
        apart = np.bitwise_count(details[: later + 1] ^ details[later]).sum(axis=1)
        near = [i for i in range(later) if kept[i] == i and apart[i] <= bits]
        kept.append(near[0] if near else later)
        distances.append(int(apart[kept[later]]))
    return kept, distances


def require_equal(details: Words, bits: int) -> None:
    kept, distances = nearest_kept(details, bits=bits)
    assert (kept.tolist(), distances.tolist()) == compared_with_all(details, bits)


@st.composite
def clusters(draw: st.DrawFn) -> tuple[Words, int]:
    """Hashes of 128 bits around a few centres, in chains and ties, and how near is near."""
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n, n_centres = draw(st.integers(0, 120)), draw(st.integers(1, 4))
    centres = random.integers(0, 2**64, (n_centres, 2), dtype=np.uint64)
    flips = np.full((n, 2), ~np.uint64(0))
    for _ in range(draw(st.integers(2, 5))):  # each one halves the bits that are flipped
        flips &= random.integers(0, 2**64, (n, 2), dtype=np.uint64)
    return centres[random.integers(0, n_centres, n)] ^ flips, draw(st.integers(0, 14))


@UNTIMED
@given(clusters())
def test_nothing_is_missed_and_nothing_invented(drawn: tuple[Words, int]) -> None:
    """Chains, ties and equal hashes give what comparing all with all gives."""
    require_equal(*drawn)


@UNTIMED
@given(clusters(), st.sampled_from([(2, 2, 3), (3, 4, 8), (1, 3, 5)]))
def test_crowds_are_searched_as_exactly(drawn: tuple[Words, int], sizes: tuple[int, int, int]) -> None:
    """Also where nearly every run is a crowd, whose leaders set others aside and turn out not to be kept."""
    with pytest.MonkeyPatch.context() as patch:
        for name, size in zip(("FEW", "LEADERS", "CROWD"), sizes, strict=True):
            patch.setattr(near_hashes, name, size)
        require_equal(*drawn)


@pytest.mark.parametrize("bits", [0, 1, 127, 128, 500])
def test_the_narrowest_and_the_widest_reach(bits: int) -> None:
    """Equal hashes only, and every hash of 128 bits."""
    random = np.random.default_rng(bits)
    details = random.integers(0, 2**64, (20, 2), dtype=np.uint64)
    details[11] = details[3]
    details[12] = ~details[0]

    require_equal(details, bits)


def test_crowds_do_not_make_it_quadratic(monkeypatch: pytest.MonkeyPatch) -> None:
    """20,000 equal hashes, and as many that share a quarter of their bits: few pairs are compared."""
    n_compared = 0
    between, near = near_hashes.between, near_hashes._Search._near

    def counted(details: Words, left: Indices, right: Indices) -> Indices:
        nonlocal n_compared
        n_compared += len(left)
        return between(details, left, right)

    def counted_near(search: near_hashes._Search, members: Indices, leaders: Indices) -> Flags:
        nonlocal n_compared
        n_compared += len(members) * len(leaders)
        return near(search, members, leaders)

    monkeypatch.setattr(near_hashes, "between", counted)
    monkeypatch.setattr(near_hashes._Search, "_near", counted_near)
    details = np.random.default_rng(0).integers(0, 2**64, (40_000, 16), dtype=np.uint64)
    details[::2] = details[0]
    details[1::2, :4] = details[1, :4]

    kept, _ = nearest_kept(details, bits=32)

    assert (kept[::2] == 0).all()
    assert (kept[1::2] == np.arange(1, 40_000, 2)).all()
    assert n_compared < 100 * len(details)


def test_equal_rows_are_told_from_rows_of_one_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys may collide: rows are compared before they are called equal."""
    monkeypatch.setattr(near_hashes, "keys_of", lambda rows, *_: np.zeros(len(rows), dtype=np.uint64))
    rows = np.array([[1, 2], [3, 4], [1, 2], [3, 4], [5, 6]], dtype=np.uint64)

    firsts, which = distinct(rows)

    assert firsts.tolist() == [0, 1, 4]
    assert which.tolist() == [0, 1, 0, 1, 2]


def test_what_was_set_aside_for_a_hash_that_falls_is_compared_after_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The second is near the first and leads the crowd of the others; the third is kept, the fourth is near it."""
    a_word_a_band = np.diag(np.full(3, ~np.uint64(0)))
    monkeypatch.setattr(near_hashes, "band_masks", lambda *_: a_word_a_band)
    monkeypatch.setattr(near_hashes, "FEW", 2)
    details = np.array([[0, 1, 1], [0, 0, 0], [3, 0, 0], [15, 0, 0]], dtype=np.uint64)

    kept, distances = nearest_kept(details, bits=2)

    assert kept.tolist() == [0, 0, 2, 2]
    assert distances.tolist() == [0, 2, 0, 2]
