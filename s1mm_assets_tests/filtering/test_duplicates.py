"""Exact and near duplicates."""

from random import Random

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from s1mm_assets.filtering import DUPLICATES, find_duplicates
from s1mm_assets.filtering.duplicates import caption_hashes, in_natural_order
from s1mm_assets.filtering.near_hashes import nearest_kept
from s1mm_assets_tests.strategies import UNTIMED, survivor_tables

SCHEMA = {
    **dict.fromkeys(("shard", "figure_id", "sha256"), pl.String),
    **dict.fromkeys(("detail_hash", "caption_hash"), pl.Binary),
}
CAPTION = bytes(16)


def flipped(n_bits: int, start: int = 0) -> bytes:
    """A detail hash that differs from all zeros in some bits."""
    bits = np.zeros(1024, dtype=np.uint8)
    bits[start : start + n_bits] = 1
    return np.packbits(bits).tobytes()


def found(rows: list[tuple[str, str, bytes]], bits: int = 32) -> dict[str, tuple[str, str, int]]:
    """The duplicates among (ordinals, sha256, detail hash), by ordinals."""
    table = pl.DataFrame(
        [("s", f"arxiv:p#{ordinals}", sha256 * 64, detail, CAPTION) for ordinals, sha256, detail in rows],
        schema=SCHEMA,
        orient="row",
    )
    return {
        row["figure_id"].partition("#")[2]: (
            row["duplicate_of"].partition("#")[2],
            row["rejection"],
            row["distance"],
        )
        for row in find_duplicates(table, bits=bits).iter_rows(named=True)
    }


ROC = "ROC curves of the three models."


@pytest.mark.parametrize(
    ("one", "other", "sha256", "reason"),
    [
        (("p#1.1", ROC), ("q#4.1", "ROC curves of the four models."), "b", None),
        (("p#1.1", ROC), ("q#4.1", "Roc  curves of the three models"), "b", "near_duplicate"),
        (("p#1.1", ROC), ("p#1.2", ROC), "b", None),
        (("p#1.1", ROC), ("q#4.1", "Another caption."), "a", "exact_duplicate"),
        (("p#1.1", "…"), ("q#4.1", "--"), "b", None),
    ],
    ids=["other caption", "same words", "panels of one figure", "equal bytes", "captions without words"],
)
def test_near_ones_have_one_caption_and_panel(
    one: tuple[str, str], other: tuple[str, str], sha256: str, reason: str | None
) -> None:
    """Plots at default settings look alike whatever they show; equal bytes need no words."""
    table = pl.DataFrame([one, other], schema=["figure_id", "caption"], orient="row").with_columns(
        shard=pl.lit("s"),
        sha256=pl.Series(["a" * 64, sha256 * 64]),
        detail_hash=pl.Series([flipped(0), flipped(2 if sha256 == "b" else 0)]),
    )

    duplicates = find_duplicates(table.with_columns(caption_hashes(table)), bits=32)

    expected = [(other[0], one[0], reason, 2 if sha256 == "b" else 0)] if reason else []
    assert duplicates.drop("shard").rows() == expected


def test_without_caption_hashes_only_equal_bytes_are_duplicates() -> None:
    """As in a table that was written before there were any."""
    rows = [("s", f"p#{i}.1", sha256 * 64, bytes(128), None) for i, sha256 in enumerate("aba")]

    duplicates = find_duplicates(pl.DataFrame(rows, schema=SCHEMA, orient="row"), bits=32)

    assert duplicates.drop("shard").rows() == [("p#2.1", "p#0.1", "exact_duplicate", 0)]


def test_the_first_figure_is_kept_by_number_not_by_letter() -> None:
    """Figure 2 comes before figure 10, and panel 2 before panel 10."""
    same = [(ordinals, "a", flipped(0)) for ordinals in ("10.1", "2.10", "2.2")]

    assert found(same) == {"2.10": ("2.2", "exact_duplicate", 0), "10.1": ("2.2", "exact_duplicate", 0)}


def test_the_threshold_of_near_duplicates() -> None:
    """32 bits are near, 33 or 34 are not."""
    rows = [("1.1", "a", flipped(0)), ("2.1", "b", flipped(32)), ("3.1", "c", flipped(33, start=500))]

    assert found(rows) == {"2.1": ("1.1", "near_duplicate", 32)}


def test_chains_do_not_unite_what_differs() -> None:
    """Near is near the kept figure: of steps of 20 bits only every second one falls."""
    chain = [(f"{i}.1", f"{i}", flipped(20 * i)) for i in range(1, 6)]

    assert found(chain) == {"2.1": ("1.1", "near_duplicate", 20), "4.1": ("3.1", "near_duplicate", 20)}


def test_copies_share_the_fate_of_the_first() -> None:
    """A copy of a near duplicate names the figure that is kept, not one that is not."""
    rows = [("1.1", "a", flipped(0)), ("2.1", "b", flipped(3)), ("3.1", "b", flipped(3))]

    near = ("1.1", "near_duplicate", 3)
    assert found(rows) == {"2.1": near, "3.1": near}


def of_one_caption() -> st.SearchStrategy[pl.DataFrame]:
    """Survivors that differ in their images alone."""
    return survivor_tables().map(lambda table: table.with_columns(caption_hash=pl.lit(CAPTION)))


@UNTIMED
@given(of_one_caption(), st.randoms())
def test_the_answer_does_not_depend_on_the_order(survivors: pl.DataFrame, random: Random) -> None:
    """Whatever order shards were read in, the same figures are kept."""
    order = list(range(len(survivors)))
    random.shuffle(order)

    shuffled = find_duplicates(survivors[order], bits=32)

    assert_frame_equal(shuffled, find_duplicates(survivors, bits=32))


@UNTIMED
@given(of_one_caption(), st.integers(0, 60))
def test_every_duplicate_is_near_a_kept_figure(survivors: pl.DataFrame, bits: int) -> None:
    """A duplicate names an earlier kept figure within reach, and kept figures are out of each other's reach."""
    duplicates = find_duplicates(survivors, bits=bits)

    details = {row["figure_id"]: row["detail_hash"] for row in survivors.iter_rows(named=True)}
    order = in_natural_order(survivors)["figure_id"].to_list()
    gone = dict(duplicates.select("figure_id", "duplicate_of").iter_rows())
    kept = [figure_id for figure_id in order if figure_id not in gone]
    for figure_id, first in gone.items():
        assert first in kept
        assert order.index(first) < order.index(figure_id)
        assert distance(details[first], details[figure_id]) <= bits
    assert all(distance(details[a], details[b]) > bits for a in kept for b in kept if a < b)
    assert duplicates.schema == DUPLICATES


def distance(one: bytes, other: bytes) -> int:
    """Bits in which two hashes differ."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


@UNTIMED
@given(st.integers(0, 2**32 - 1), st.integers(0, 12))
def test_the_search_finds_what_comparing_all_finds(seed: int, bits: int) -> None:
    """Searching by bands leaves nothing out."""
    random = np.random.default_rng(seed)
    centres = random.integers(0, 2**64, (4, 2), dtype=np.uint64)
    flips = random.integers(0, 2**64, (3, 40, 2), dtype=np.uint64)
    details = centres[random.integers(0, 4, 40)] ^ (flips[0] & flips[1] & flips[2])

    kept, distances = nearest_kept(details, bits=bits)

    expected: list[int] = []
    for later in range(40):
        apart = np.bitwise_count(details ^ details[later]).sum(axis=1)
        near = [i for i in range(later) if expected[i] == i and apart[i] <= bits]
        expected.append(near[0] if near else later)
        assert distances[later] == apart[expected[later]]
    assert kept.tolist() == expected


def test_nothing_in_nothing_out() -> None:
    """An empty partition has no duplicates."""
    assert_frame_equal(find_duplicates(pl.DataFrame(schema=SCHEMA), bits=32), DUPLICATES.to_frame())


@pytest.mark.parametrize("rows", [[("1.1", "a"), ("1.1", "b")], [("1.1", None)]])
def test_broken_assumptions_are_named(rows: list[tuple[str, str | None]]) -> None:
    """A figure that is there twice, or has no digest, stops the search."""
    table = pl.DataFrame(
        [("s", ordinals, sha256, bytes(128), CAPTION) for ordinals, sha256 in rows],
        schema=SCHEMA,
        orient="row",
    )

    with pytest.raises(ValueError, match="every survivor"):
        find_duplicates(table, bits=32)
