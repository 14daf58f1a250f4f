"""Duplicates across partitions: who is kept, whatever the order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from s1mm_assets.filtering import DUPLICATES, DecidedPartition, duplicates_stage, find_across
from s1mm_assets.tables import Duplicate, schema_of
from s1mm_assets_tests.fakes import MemoryShard
from s1mm_assets_tests.strategies import DETAILS, SHA256S, UNTIMED

SOURCES = ("arxiv", "biorxiv")
SCHEMA = {
    **dict.fromkeys(("shard", "figure_id", "paper_id", "sha256"), pl.String),
    **dict.fromkeys(("detail_hash", "caption_hash"), pl.Binary),
}


@dataclass(frozen=True)
class Kept:
    """A kept figure: 3 of DETAILS are near one another, the last is not."""

    paper: str
    ordinals: str = "1.1"
    image: int = 0
    posted: str | None = None
    shard: str = "chunk_001"
    caption: bytes | None = bytes(16)  # the hash of it
    is_withheld: bool = False  # by its licence


def partition(key: str, figures: Sequence[Kept]) -> DecidedPartition:
    """A partition in memory, read two rows at a time."""
    source, year = key.split("|")
    rows = [
        (
            each.shard,
            f"{source}:{each.paper}#{each.ordinals}",
            each.paper,
            SHA256S[each.image],
            DETAILS[each.image % len(DETAILS)],
            each.caption,
        )
        for each in figures
    ]
    table = pl.DataFrame(rows, schema=SCHEMA, orient="row")

    def kept(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        yield from table.select(*columns, "shard").iter_slices(2)

    papers = {each.paper: (each.paper, each.posted, each.is_withheld) for each in figures}
    columns = {"paper_id": pl.String, "first_posted": pl.String, "is_withheld": pl.Boolean}
    metadata = pl.DataFrame(list(papers.values()), schema=columns, orient="row")
    return DecidedPartition(
        key=key, source_rank=SOURCES.index(source), year=int(year), kept=kept, metadata=lambda: metadata
    )


def found(partitions: dict[str, list[Kept]], bits: int = 32) -> dict[str, list[object]]:
    """Figure → the kept one, the reason and the distance."""
    tables = find_across([partition(key, figures) for key, figures in partitions.items()], bits=bits)
    assert set(tables) == set(partitions)
    return {
        figure_id: fate
        for table in tables.values()
        for figure_id, *fate in table.select("figure_id", "duplicate_of", "rejection", "distance").iter_rows()
    }


@pytest.mark.parametrize(
    ("preferred", "other"),
    [
        (("arxiv|2020", Kept("z", posted="2020-05-01")), ("biorxiv|2019", Kept("a", posted="2019-01-01"))),
        (("arxiv|2019", Kept("z", posted="2019-12-31")), ("arxiv|2020", Kept("a", posted="2020-01-01"))),
        (("arxiv|2020", Kept("z", posted="2019-12-30")), ("arxiv|2019", Kept("a", posted="2019-12-31"))),
        (("arxiv|2019", Kept("z", posted=None)), ("arxiv|2018", Kept("a", posted="2019-01-01"))),
        (
            ("arxiv|2020", Kept("a", "2.1", posted="2019-12-31")),
            ("arxiv|2019", Kept("a", "10.1", posted="2019-12-31")),
        ),
        (("arxiv|2020", Kept("a", posted="2019-12-31")), ("arxiv|2019", Kept("b", posted="2019-12-31"))),
    ],
    ids=["source", "year", "day before year", "a year without day", "ordinal", "paper of one day"],
)
def test_who_is_preferred(preferred: tuple[str, Kept], other: tuple[str, Kept]) -> None:
    """The source first, then the day that it was first posted, then the id in its natural order."""
    kept, gone = (f"{key.split('|')[0]}:{each.paper}#{each.ordinals}" for key, each in (preferred, other))

    for order in ([preferred, other], [other, preferred]):
        assert found({key: [each] for key, each in order}) == {gone: [kept, "exact_duplicate", 0]}


def test_near_ones_are_found_and_far_ones_are_not() -> None:
    """1 bit apart is near, 40 bits are not; a copy of what is near says the same."""
    images = {"arxiv|2019": [Kept("a", image=0)], "arxiv|2020": [Kept("b", image=1), Kept("c", image=2)]}
    images["biorxiv|2019"] = [Kept("d", image=1)]

    assert found(images) == {
        "arxiv:b#1.1": ["arxiv:a#1.1", "near_duplicate", 1],
        "biorxiv:d#1.1": ["arxiv:a#1.1", "near_duplicate", 1],
    }


@pytest.mark.parametrize("caption", [b"another caption.", None])
def test_near_ones_with_other_captions_are_both_kept(caption: bytes | None) -> None:
    """Also where the caption's hash is not known; of equal images one is kept all the same."""
    images = {
        "arxiv|2019": [Kept("a", image=0)],
        "arxiv|2020": [Kept("b", image=1, caption=caption), Kept("c", image=0, caption=caption)],
    }

    assert found(images) == {"arxiv:c#1.1": ["arxiv:a#1.1", "exact_duplicate", 0]}


@st.composite
def stores(draw: st.DrawFn) -> dict[str, list[Kept]]:
    """Partitions of few papers and images."""
    keys = draw(st.lists(st.sampled_from(["arxiv|2019", "arxiv|2020", "biorxiv|2019"]), unique=True))
    days = st.sampled_from([None, "2019-12-31", "2020-01-01", "not a date"])
    posted = {(key, paper): draw(days) for key in keys for paper in "ab"}
    one = st.tuples(
        st.sampled_from("ab"), st.sampled_from(["1.1", "2.1", "10.1"]), st.integers(0, 5), st.integers(1, 2)
    )
    return {
        key: [
            Kept(paper + key[-1], ordinals, image, posted[key, paper], f"chunk_{shard}")
            for paper, ordinals, image, shard in draw(
                st.lists(one, max_size=6, unique_by=lambda row: row[:2])
            )
        ]
        for key in keys
    }


@UNTIMED
@given(stores(), st.randoms())
def test_the_order_of_building_does_not_matter(store: dict[str, list[Kept]], random: Random) -> None:
    """Partitions in any order, and rows in any order within them, give the same slices."""
    keys = list(store)
    random.shuffle(keys)
    shuffled = {key: random.sample(store[key], len(store[key])) for key in keys}

    before, after = (
        find_across([partition(key, rows) for key, rows in each.items()], bits=32)
        for each in (store, shuffled)
    )

    for key in store:
        assert_frame_equal(before[key].sort("figure_id"), after[key].sort("figure_id"))


@UNTIMED
@given(stores())
def test_one_figure_of_each_cluster_is_left(store: dict[str, list[Kept]]) -> None:
    """As comparing each figure with all that are preferred to it would decide."""
    rows = [
        (
            SOURCES.index(source),
            day_of(each, year),
            each.paper,
            tuple(map(int, each.ordinals.split("."))),
            source,
            each,
        )
        for key, figures in store.items()
        for source, year in [key.split("|")]
        for each in figures
    ]
    kept: list[tuple[str, Kept]] = []
    expected = {}
    of_image: dict[int, list[object]] = {}
    for *_, source, each in sorted(rows, key=lambda row: row[:4]):
        figure_id = f"{source}:{each.paper}#{each.ordinals}"
        if each.image in of_image:
            first, reason, distance = of_image[each.image]
            expected[figure_id] = [first, reason, distance]
            continue
        near = [(name, one, apart(one, each)) for name, one in kept if apart(one, each) <= 32]
        if near:
            expected[figure_id] = of_image[each.image] = [near[0][0], "near_duplicate", near[0][2]]
        else:
            kept.append((figure_id, each))
            of_image[each.image] = [figure_id, "exact_duplicate", 0]

    assert found(store) == expected


def day_of(figure: Kept, year: str) -> str:
    """The day it was first posted, else its partition's year."""
    return figure.posted if figure.posted and figure.posted[:1] == "2" else year


def apart(one: Kept, other: Kept) -> int:
    """Bits in which the hashes of two figures differ."""
    left, right = (int.from_bytes(DETAILS[each.image % len(DETAILS)], "big") for each in (one, other))
    return (left ^ right).bit_count()


def test_nothing_in_nothing_out() -> None:
    """No partition, and a partition without a kept figure."""
    assert find_across([], bits=32) == {}
    assert_frame_equal(
        find_across([partition("arxiv|2019", [])], bits=32)["arxiv|2019"], DUPLICATES.to_frame()
    )


@pytest.mark.parametrize("column", ["sha256", "detail_hash"])
def test_a_kept_figure_without_a_hash_is_refused(column: str) -> None:
    """The message names the column."""
    whole = partition("arxiv|2019", [Kept("a")])
    broken = DecidedPartition(
        key=whole.key,
        source_rank=0,
        year=2019,
        metadata=whole.metadata,
        kept=lambda columns: (
            rows.with_columns(
                pl.lit(None, SCHEMA[each]).alias(each) for each in rows.columns if each == column
            )
            for rows in whole.kept(columns)
        ),
    )

    with pytest.raises(ValueError, match=f"{column}: every hash"):
        find_across([broken], bits=32)


def test_a_figure_that_may_be_released_is_preferred() -> None:
    """To an earlier one of a better source whose licence keeps its image back; else the order is as before."""
    withheld = Kept("a", posted="2010-01-01", is_withheld=True)
    allowed = Kept("b", posted="2020-01-01")

    assert found({"arxiv|2010": [withheld], "biorxiv|2020": [allowed]}) == {
        "arxiv:a#1.1": ["biorxiv:b#1.1", "exact_duplicate", 0]
    }
    both = [replace(withheld, paper="c", posted="2011-01-01")]
    assert found({"arxiv|2010": [withheld], "arxiv|2011": both}) == {
        "arxiv:c#1.1": ["arxiv:a#1.1", "exact_duplicate", 0]
    }


def test_a_slice_changes_with_its_own_rows_alone() -> None:
    """Another shard's duplicates are not part of a shard's fingerprint."""
    kept = Kept("a", posted="2019-01-01")
    rows = [Kept("b", image=0), Kept("c", image=3, shard="chunk_002")]
    alone, both = (
        duplicates_stage(
            find_across([partition("arxiv|2019", some), partition("arxiv|2020", rows)], bits=32)[
                "arxiv|2020"
            ],
            bits=32,
        )
        for some in ([kept], [kept, Kept("d", image=3)])
    )
    assert alone.shard_inputs("chunk_001") == both.shard_inputs("chunk_001")
    assert alone.shard_inputs("chunk_002") != both.shard_inputs("chunk_002")
    shard = MemoryShard(both, {})
    both.make(shard, shard)
    assert shard.tables["duplicates"].schema == schema_of(Duplicate)
    assert shard.tables["duplicates"].rows() == [("arxiv:b#1.1", "arxiv:a#1.1", "exact_duplicate", 0)]
