"""What a publication is joined from: partitions of the shard store, pinned once for pieces, card and manifest."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, BinaryIO

import polars as pl

from s1mm_assets.partitions import source_and_year
from s1mm_assets.release import FACTS_READ, PartitionFacts, Piece, joined_facts, partition_facts, pieces_of
from s1mm_assets.release.stage import READS
from s1mm_assets.release.stage import stage as release_stage
from s1mm_assets.release.takedowns import Takedown
from s1mm_assets.resources.decided_partitions import (
    DECISIONS,
    DUPLICATES,
    changed_since,
    view_of,
)
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore, StoreError, check_inputs
from s1mm_assets.resources.shards import Commit, ShardSet, StoredFile, digest_of
from s1mm_assets.resources.takedowns import released_without, takedowns, takedowns_without_effect
from s1mm_assets.sampling import is_sampled
from s1mm_assets.tables import Metric, ReleaseFile, columns_of, schema_of

Handles = Mapping[str, ShardSet]  # asset → its handle, of one partition
N_NAMED = 10  # partitions that a message names
BATCH_ROWS = 50_000  # of records, whose rows in every table are in memory together; or one shard
SEED = 0


class StoredPieces:
    """Every partition of hf_release with the assets that it was made from, as they were when this was made.

    Raises:
        StoreError: An asset of a partition was made from an older version of another, a partition was filtered
            since duplicates were sought, or was released by another version, other settings or other takedowns.
    """

    def __init__(self, store: ShardStore, settings: Settings) -> None:
        self._store = store
        self._partitions = pinned(store)
        if outdated := released_otherwise(store, settings, self._partitions):
            raise StoreError(
                f"hf_release of {len(outdated)} partitions was made by an older version, or with other [release] "
                f"settings or takedowns than there are now: materialize hf_release again for {named(outdated)}"
            )
        self._commits: dict[tuple[str, int, str], Commit] = {
            (*source_and_year(key), commit.shard): commit
            for key, handles in self._partitions.items()
            for commit in handles["hf_release"].shards
        }

    def __iter__(self) -> Iterator[Piece]:
        """Yield every piece."""
        for (source, year, shard), commit in self._commits.items():
            handle = ShardSet(asset="hf_release", partition=commit.partition, shards=(commit,))
            yield from pieces_of(
                source, year, shard, self._store.read(handle, "files", columns_of(ReleaseFile))
            )

    def open(self, source: str, year: int, shard: str, name: str) -> BinaryIO:
        """Open one of them for streaming."""
        return self._store.open_file(self._commits[source, year, shard], name)

    def facts(self) -> list[PartitionFacts]:
        """Count what the card says of each partition."""
        return [
            joined_facts([self._facts_of(handles, shards) for shards in batches(handles["hf_release"])])
            for handles in self._partitions.values()
        ]

    def _facts_of(self, handles: Handles, shards: Collection[str]) -> PartitionFacts:
        """Count what the card says of some shards."""

        def read(asset: str, table: str) -> pl.DataFrame:
            return self._rows(handles, shards, asset, table, FACTS_READ[asset][table])

        return partition_facts(*source_and_year(handles["hf_release"].partition), read)

    def _rows(
        self, handles: Handles, shards: Collection[str], asset: str, table: str, columns: Sequence[str]
    ) -> pl.DataFrame:
        """Read a table of some shards of an asset; nothing where it has none."""
        commits = handles[asset].shards if asset in handles else ()
        own = tuple(commit for commit in commits if commit.shard in shards)
        partition = handles["hf_release"].partition
        return self._store.read(ShardSet(asset=asset, partition=partition, shards=own), table, columns)

    def takedowns_without_effect(self, entries: Sequence[Takedown]) -> list[str]:
        """Return the takedowns that name nothing in any partition: written wrongly, perhaps."""
        pairs = [(each["raw_archives"], each["figure_candidates"]) for each in self._partitions.values()]
        return takedowns_without_effect(self._store, pairs, entries)

    def released_metrics(self, columns: Sequence[str], *, share: float = 1.0) -> pl.DataFrame:
        """Return some columns of `metrics` of every released record, or of a sample of this share.

        Rows are in memory a batch of shards at a time, but for those returned.
        """
        frames = []
        for handles in self._partitions.values():
            for shards in batches(handles["hf_release"]):
                records = self._rows(handles, shards, "hf_release", "records", ["figure_id", "rejection"])
                released = records.filter(pl.col("rejection").is_null())
                if share < 1:
                    released = released.filter(is_sampled(released["figure_id"], share=share, seed=SEED))
                metrics = self._rows(handles, shards, "quality_metrics", "metrics", ["figure_id", *columns])
                frames.append(metrics.join(released, on="figure_id", how="semi").select(columns))
        return pl.concat([schema_of(Metric).to_frame().select(columns), *frames])

    def provenance(self) -> dict[str, dict[str, list[Any]]]:
        """Return, by asset, which code versions, settings, renderers and models made what is released."""
        made: dict[str, dict[str, dict[str, Any]]] = {}
        for commit in self._all_commits():
            own = made.setdefault(commit.asset, {"versions": {}, "settings": {}, "environment": {}})
            version, settings = commit.made_from["version"], commit.made_from["settings"]
            own["versions"][version] = version
            own["settings"][digest_of(settings)] = settings
            own["environment"] |= {f"{each} {v}": f"{each} {v}" for each, v in commit.environment.items()}
        return {
            asset: {name: [values[key] for key in sorted(values)] for name, values in own.items()}
            for asset, own in made.items()
        }

    def _all_commits(self) -> Iterator[Commit]:
        for handles in self._partitions.values():
            for handle in handles.values():
                yield from handle.shards


def batches(released: ShardSet) -> Iterator[set[str]]:
    """Yield shards of a partition of hf_release, some at a time: one batch of none where it has none."""
    batch: set[str] = set()
    n_rows = 0
    for commit in released.shards:
        batch.add(commit.shard)
        n_rows += commit.tables["records"].n_rows or 0
        if n_rows >= BATCH_ROWS:
            yield batch
            batch, n_rows = set(), 0
    if batch or not released.shards:
        yield batch


def pinned(store: ShardStore) -> dict[str, Handles]:
    """Return the handles of each partition of hf_release, which belong together; they are `slimmed`.

    Raises:
        StoreError: They do not.
    """
    released = set(store.partitions("hf_release"))
    found: dict[str, Handles] = {}
    view: dict[str, Mapping[str, str]] = {}
    behind, mixed = [], []
    once: dict[str, Any] = {}
    for key in sorted({*released, *store.partitions(DECISIONS)}):
        assets = (*FACTS_READ, DUPLICATES) if key in released else (DECISIONS, DUPLICATES)
        handles = {asset: handle for asset in assets if (handle := store.pinned(asset, key))}
        if DECISIONS in handles:
            slices = {key: handles[DUPLICATES]} if DUPLICATES in handles else {}
            view |= view_of({key: handles[DECISIONS]}, slices)
        if key in released and DUPLICATES in handles:
            if is_left_behind(handles["hf_release"], handles[DUPLICATES]):
                behind.append(key)
            mixed += mixtures(handles)
            found[key] = {asset: slimmed(handle, once) for asset, handle in handles.items()}
    if changed := {*changed_since(store, view), *(released - found.keys())}:
        raise StoreError(
            f"decisions of {len(changed)} partitions changed since duplicates were sought: "
            f"materialize duplicates, then hf_release of {named(sorted(changed))}"
        )
    if behind:
        raise StoreError(
            f"hf_release of {len(behind)} partitions was made from other duplicates than there are now: "
            f"materialize hf_release again for {named(behind)}"
        )
    if mixed:
        raise mixed[0]
    return found


def mixtures(handles: Handles) -> list[StoreError]:
    """Return why the handles of a partition do not belong together; nothing where they do."""
    try:
        check_inputs(list(handles.values()), [commit.shard for commit in handles["hf_release"].shards])
    except StoreError as error:
        return [error]
    return []


def slimmed(handle: ShardSet, once: dict[str, Any]) -> ShardSet:
    """Return a handle without the digests of columns, most of its memory, which was compared.

    Args:
        handle: As it was pinned.
        once: Settings by digest: those of many shards are kept once.
    """

    def slim(stored: StoredFile) -> StoredFile:
        return replace(stored, columns=None, rejected=None, sums=None)

    def made_from(commit: Commit) -> dict[str, Any]:
        settings = commit.made_from["settings"]
        return {**commit.made_from, "columns": {}, "settings": once.setdefault(digest_of(settings), settings)}

    commits = (
        replace(
            commit,
            made_from=made_from(commit),
            environment=once.setdefault(digest_of(commit.environment), commit.environment),
            tables={name: slim(stored) for name, stored in commit.tables.items()},
        )
        for commit in handle.shards
    )
    return replace(handle, shards=tuple(commits))


def released_otherwise(store: ShardStore, settings: Settings, partitions: Mapping[str, Handles]) -> list[str]:
    """Return the partitions that were released by other settings, another version, or another list of takedowns."""
    entries = takedowns(settings)
    now = release_stage(settings.release)
    return [
        key
        for key, handles in partitions.items()
        if released_without(
            store, handles["hf_release"], handles["raw_archives"], handles["figure_candidates"], entries
        )
        or any(
            (commit.made_from["version"], commit.made_from["settings"]) != (now.version, now.settings)
            for commit in handles["hf_release"].shards
        )
    ]


def named(keys: Sequence[str]) -> str:
    """List partitions for a message: the first of them, and how many more there are."""
    n_more = len(keys) - N_NAMED
    return ", ".join(keys[:N_NAMED]) + (f" and {n_more} more" if n_more > 0 else "")


def left_behind(store: ShardStore) -> list[str]:
    """Return the partitions of hf_release that were made without the duplicates that there are now."""
    found = {
        key: (store.pinned("hf_release", key), store.pinned(DUPLICATES, key))
        for key in store.partitions("hf_release")
    }
    return [
        key
        for key, (released, slices) in found.items()
        if released and slices and is_left_behind(released, slices)
    ]


def is_left_behind(released: ShardSet, slices: ShardSet) -> bool:
    """Whether a partition was released from another slice of the duplicates than this one."""
    now = {commit.shard: commit.tables[DUPLICATES].columns or {} for commit in slices.shards}
    return any(
        commit.made_from["columns"].get(f"{DUPLICATES}/{DUPLICATES}.{column}")
        != now.get(commit.shard, {}).get(column)
        for commit in released.shards
        for column in READS[DUPLICATES][DUPLICATES]
    )


def thresholds(settings: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return each setting of the filters with the value that shaped the release; with all, where they differ."""
    names = sorted({name for each in settings for name in each})
    return {
        name: " or ".join(dict.fromkeys(str(each.get(name, "not set")) for each in settings))
        for name in names
    }
