"""Which kept figures another partition has too, and which of them is preferred: the asset duplicates.

Preferred is a figure whose image may be released, then the one of the source that comes first, then the one first
posted, then the first in natural order.
The answer follows from what the partitions hold, in whatever order they were made. Partitions are read one after
the other: for ids and digests, for hashes, and for the names of what was found, so that of all figures only numbers
are in memory.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from s1mm_assets.filtering.duplicates import (
    COMPARED_WORDS,
    DUPLICATES,
    compared_words,
    digests_as_words,
    find_repeated,
    in_natural_order,
)
from s1mm_assets.filtering.near_hashes import Indices, Words
from s1mm_assets.filtering.stage import ACROSS_VERSION
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Duplicate, columns_of

DECISIONS = "filtered_figures"
COMPARED_COLUMNS = ("figure_id", "rejection", "sha256", "detail_hash", "caption_hash")
DAY_BITS, TIE_BITS = np.uint64(27), np.uint64(31)  # a day is written 20190131
WITHHELD = 1 << 31  # added to a paper's day, above source and day: its figures come after all others


@dataclass(frozen=True, slots=True, kw_only=True)
class DecidedPartition:
    """One partition of filtered_figures."""

    key: str
    source_rank: int  # of the source that is preferred to all others 0
    year: int
    kept: Callable[[Sequence[str]], Iterator[pl.DataFrame]]
    """Yields some columns of its decisions, and `shard`, of the kept figures, always in the same order."""
    metadata: Callable[[], pl.DataFrame]
    """Returns paper_id, first_posted (an ISO date, or null) and is_withheld of its papers."""


def find_across(partitions: Sequence[DecidedPartition], *, bits: int) -> dict[str, pl.DataFrame]:
    """Return for each partition, by key, its kept figures whose image a preferred figure has.

    Args:
        partitions: In any order.
        bits: The largest distance between detail hashes (of 1,024) at which figures of one caption are near duplicates.

    Returns:
        Tables with the schema `DUPLICATES`.

    Raises:
        ValueError: A kept figure has no SHA-256 or no detail hash.
    """
    days = [_days(each) for each in partitions]
    shared = _shared_days(partitions, days)
    read = [_read(*each) for each in zip(partitions, days, shared, strict=True)]
    digests = np.concatenate([np.empty((0, 4), dtype=np.uint64), *(each.digests for each in read)])
    row = _in_order_of_preference(read)
    read.clear()
    digests = digests[row]

    def details_of(places: Indices) -> Words:
        slot = np.full(len(row), -1)
        slot[row[places]] = np.arange(len(places))
        return _details(partitions, slot, len(places))

    found = find_repeated(digests, details_of, bits=bits)
    return _named(partitions, row[found["row"]], row[found["kept_row"]], found)


def _days(partition: DecidedPartition) -> pl.DataFrame:
    """Return paper_id and the day that it was first posted, as a number; of one without a date its year alone.

    Where the paper's images may not be released, `WITHHELD` is added.
    """
    first = pl.col("first_posted").str.slice(0, 10).str.to_date("%Y-%m-%d", strict=False)
    day = first.dt.strftime("%Y%m%d").cast(pl.Int64)
    metadata = partition.metadata().unique("paper_id", keep="first", maintain_order=True)
    withheld = pl.col("is_withheld").cast(pl.Int64) * WITHHELD
    return metadata.select("paper_id", day=day.fill_null(partition.year * 10_000) + withheld)


def _shared_days(partitions: Sequence[DecidedPartition], days: Sequence[pl.DataFrame]) -> list[pl.Series]:
    """Return for each partition the days on which another one of its source has papers, too: seldom any."""
    seen = pl.concat(
        [
            pl.DataFrame(schema={"day": pl.Int64, "rank": pl.Int32, "key": pl.String}),
            *(
                papers.select(
                    pl.col("day").unique(),
                    rank=pl.lit(partition.source_rank, pl.Int32),
                    key=pl.lit(partition.key),
                )
                for partition, papers in zip(partitions, days, strict=True)
            ),
        ]
    )
    shared = seen.filter(pl.struct("day", "rank").is_duplicated())
    return [shared.filter(key=partition.key)["day"] for partition in partitions]


@dataclass(frozen=True, slots=True)
class _Read:
    """What the order of preference follows from, of one partition's kept figures."""

    digests: Words  # shape (n, 4), in the partition's order
    natural: Indices  # the figures' places there, in natural order
    keys: Words  # in natural order: source and day
    tied: pl.DataFrame  # place and id of those that must be compared with other partitions'


def _read(partition: DecidedPartition, days: pl.DataFrame, shared: pl.Series) -> _Read:
    columns = pl.Schema({"figure_id": pl.String, "paper_id": pl.String, "sha256": pl.String})
    groups = [group.select(columns.names()) for group in partition.kept(columns.names())]
    rows = pl.concat([columns.to_frame(), *groups]).with_row_index("place")
    ordered = in_natural_order(rows.drop("sha256")).join(days, "paper_id", "left", maintain_order="left")
    day = ordered["day"].fill_null(partition.year * 10_000)
    keys = day.cast(pl.UInt64).to_numpy() | (np.uint64(partition.source_rank) << DAY_BITS)
    return _Read(
        digests=digests_as_words(rows["sha256"]),
        natural=ordered["place"].cast(pl.Int64).to_numpy(),
        keys=keys << TIE_BITS,
        tied=ordered.with_row_index("at").filter(day.is_in(shared.implode())).select("at", "figure_id"),
    )


def _in_order_of_preference(read: Sequence[_Read]) -> Indices:
    """Return the rows of all partitions, one after the other, in the order of preference."""
    starts = np.cumsum([0, *(len(each.natural) for each in read)])
    none = np.empty(0, dtype=np.int64)
    natural = np.concatenate(
        [none, *(each.natural + start for each, start in zip(read, starts, strict=False))]
    )
    keys = np.concatenate([none.view(np.uint64), *(each.keys for each in read)])
    tied = [
        each.tied.with_columns(pl.col("at").cast(pl.Int64) + start)
        for each, start in zip(read, starts, strict=False)
    ]
    if tied:
        at = in_natural_order(pl.concat(tied))["at"].to_numpy()
        keys[at] += np.arange(len(at), dtype=np.uint64)
    order: Indices = natural[np.argsort(keys, kind="stable")]
    return order


def _details(partitions: Sequence[DecidedPartition], slot: Indices, n: int) -> Words:
    """Return what is compared of some rows, each in the slot that it has; -1 for none."""
    details = np.empty((n, COMPARED_WORDS), dtype=np.uint64)
    start = 0
    for partition in partitions:
        for rows in partition.kept(["figure_id", "detail_hash", "caption_hash"]):
            slots = slot[start : start + len(rows)]
            details[slots[slots >= 0]] = compared_words(rows)[slots >= 0]
            start += len(rows)
    return details


def _named(
    partitions: Sequence[DecidedPartition], gone: Indices, kept: Indices, found: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Give what was found its ids and shards."""
    wanted = np.union1d(gone, kept)
    schema = pl.Schema({"row": pl.Int64, "key": pl.String, "shard": pl.String, "figure_id": pl.String})
    names, start = [schema.to_frame()], 0
    for partition in partitions:
        for rows in partition.kept(["figure_id"]):
            some = wanted[np.searchsorted(wanted, start) : np.searchsorted(wanted, start + len(rows))]
            named = rows.select("shard", "figure_id")[some - start]
            names.append(
                named.with_columns(row=pl.Series(some), key=pl.lit(partition.key)).select(schema.names())
            )
            start += len(rows)
    named = pl.concat(names)
    rows = found.select("rejection", "distance", row=pl.Series(gone), kept_row=pl.Series(kept))
    rows = rows.join(named, on="row").join(
        named.select(kept_row="row", duplicate_of="figure_id"), on="kept_row"
    )
    by_key = rows.sort("row").partition_by("key", as_dict=True)
    none = DUPLICATES.to_frame()
    return {
        each.key: by_key[each.key,].select(DUPLICATES.names()) if (each.key,) in by_key else none
        for each in partitions
    }


def duplicates_stage(
    duplicates: pl.DataFrame, *, bits: int, preferred: Mapping[str, Any] = MappingProxyType({})
) -> Stage:
    """Return the stage that writes each shard's slice of a partition's duplicates, in the order of its figures.

    A shard's own rows are part of its fingerprint, so that another partition alters only what it touches.

    Args:
        duplicates: What `find_across` returned for the partition.
        bits: The distance that it was asked for.
        preferred: What says whose images may be released; JSON values.
    """
    rows_of: Mapping[str, pl.DataFrame] = {
        str(shard): rows for (shard,), rows in duplicates.partition_by("shard", as_dict=True).items()
    }
    none = duplicates.clear()

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        writer.write("duplicates", rows_of.get(reader.shard, none).select(columns_of(Duplicate)))

    def shard_inputs(shard: str) -> dict[str, str]:
        rows = rows_of.get(shard, none).write_csv()
        return {"duplicates": hashlib.sha256(rows.encode()).hexdigest()}

    return Stage(
        asset="duplicates",
        version=ACROSS_VERSION,
        tables={"duplicates": Duplicate},
        make=make,
        reads={DECISIONS: {"decisions": COMPARED_COLUMNS}},
        settings={"near_duplicate_bits": bits, **preferred},
        shard_inputs=shard_inputs,
    )
