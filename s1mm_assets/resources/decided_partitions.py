"""What filtered_figures holds of every partition: as the search for duplicates across partitions reads it.

A search covers all partitions at once, and its view says which decisions it saw. Where one of them changes, each
other slice is still of its own partition's decisions, and yet together they may leave an image twice, or not once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl

from s1mm_assets.partitions import SOURCES, source_and_year
from s1mm_assets.release import ReleaseSettings
from s1mm_assets.release.licences import read_licence
from s1mm_assets.resources.shard_store import ShardStore, StoreError, check_inputs
from s1mm_assets.resources.shards import ShardSet, dump

if TYPE_CHECKING:
    from s1mm_assets.filtering import DecidedPartition

DECISIONS = "filtered_figures"
DUPLICATES = "duplicates"
VIEW = (DUPLICATES, "view.json")  # its path in the store; no commit names it

View = Mapping[str, Mapping[str, str]]  # partition → asset → digest of its handle


def decided(store: ShardStore) -> dict[str, ShardSet]:
    """Return the handle of each partition of filtered_figures, by key."""
    return handles_of(store, DECISIONS)


def handles_of(store: ShardStore, asset: str) -> dict[str, ShardSet]:
    """Return the handle of each partition of an asset, by key."""
    handles = {key: store.pinned(asset, key) for key in store.partitions(asset)}
    return {key: handle for key, handle in handles.items() if handle}


def decided_partition(store: ShardStore, decisions: ShardSet, release: ReleaseSettings) -> DecidedPartition:
    """Return a partition that is read from the store when it is asked.

    Args:
        store: The store.
        decisions: The partition's handle of filtered_figures.
        release: Says whose images may be released.
    """
    key = decisions.partition
    source, year = source_and_year(key)

    def kept(columns: Sequence[str]) -> Iterator[pl.DataFrame]:
        return kept_figures(store, decisions, columns)

    def metadata() -> pl.DataFrame:
        papers = store.pinned("raw_archives", key)
        if papers is None:
            raise StoreError(f"raw_archives has not been materialized for {key}: materialize it first")
        said = store.read(papers, "metadata", ["paper_id", "first_posted", "licence"])
        if markup := store.pinned("figure_candidates", key):
            own = store.read(markup, "papers", ["paper_id", "licence"]).unique("paper_id", keep="first")
            said = said.join(own, on="paper_id", how="left", suffix="_in_markup")
            said = said.with_columns(pl.coalesce("licence", "licence_in_markup"))
        allowed = [text for text in said["licence"].unique() if release.allows(read_licence(text))]
        is_withheld = ~pl.col("licence").is_in(
            pl.Series(allowed, dtype=pl.String).implode(), nulls_equal=True
        )
        return said.select("paper_id", "first_posted", is_withheld=is_withheld)

    from s1mm_assets.filtering import DecidedPartition

    return DecidedPartition(
        key=key, source_rank=SOURCES.index(source), year=year, kept=kept, metadata=metadata
    )


def kept_figures(store: ShardStore, decisions: ShardSet, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    """Yield some columns, and `shard`, of a partition's kept figures, one row group at a time."""
    for commit in decisions.shards:
        for rows in store.scan_shard(commit, "decisions", ["rejection", *columns]):
            kept = rows.filter(pl.col("rejection").is_null())
            yield kept.select(*columns, shard=pl.lit(commit.shard, pl.String))


def duplicates_of(store: ShardStore, key: str, release: ReleaseSettings) -> ShardSet:
    """Return the handle of a partition's slice of the duplicates.

    Raises:
        StoreError: There is none, it is of other decisions than the partition has now, or was sought while other
            licences were allowed.
    """
    slices = store.pinned(DUPLICATES, key)
    if slices is None:
        raise StoreError(
            f"duplicates has not been materialized since {key} was filtered: materialize duplicates first"
        )
    if decisions := store.pinned(DECISIONS, key):
        require_current(decisions, slices)
    settings = [commit.made_from["settings"] for commit in slices.shards]
    if any(each.get(name) != value for each in settings for name, value in release.licences().items()):
        raise StoreError(
            "duplicates were sought while other licences were allowed: materialize duplicates again"
        )
    return slices


def require_current(decisions: ShardSet, slices: ShardSet) -> None:
    """Refuse a slice of other decisions than these.

    Raises:
        StoreError: It is.
    """
    try:
        check_inputs([decisions, slices], [commit.shard for commit in decisions.shards])
    except StoreError as error:
        raise StoreError(
            f"the duplicates of {decisions.partition} are of older decisions: materialize duplicates again"
        ) from error


def view_of(decisions: Mapping[str, ShardSet], slices: Mapping[str, ShardSet]) -> View:
    """Return what a search saw and wrote: the digests of decisions and slices, by partition."""
    return {
        key: {each.asset: each.digest() for each in (handle, slices.get(key)) if each}
        for key, handle in decisions.items()
    }


def record_view(store: ShardStore, view: View) -> None:
    """Write down what the last search saw and wrote, in place of the one before."""
    store.put_file(dump(view), store.path(*VIEW))


def changed_since(store: ShardStore, view: View) -> list[str]:
    """Return the partitions whose decisions or slice are not those of the last search, in order."""
    try:
        searched = store.get(store.path(*VIEW))
    except FileNotFoundError:
        searched = {}
    return sorted(key for key in {*searched, *view} if searched.get(key) != view.get(key))
