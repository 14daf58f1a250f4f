"""What people ask of a store: what is there, what was rejected, where and why."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import polars as pl

from s1mm_assets.partitions import SOURCES, partition_key, source_and_year
from s1mm_assets.resources.publishers import METADATA_SHARD
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.ledger import Ledger
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import Commit
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets.resources.table_counts import rejections, total
from s1mm_assets.tables import ENVIRONMENT_CAUSED

ASSETS = (
    "raw_archives",
    "figure_candidates",
    "filtered_figures",
    "recaptions",
    "quality_metrics",
    "duplicates",
    "hf_release",
)
Tables = Mapping[str, Sequence[tuple[str, str]]]
REJECTING: Tables = {  # asset → (table, what a row is called by)
    "raw_archives": (("archives", "paper_id"),),
    "figure_candidates": (("papers", "paper_id"), ("figures", "figure_id")),
    "filtered_figures": (("decisions", "figure_id"),),
    "recaptions": (("recaptions", "figure_id"),),
    "hf_release": (("records", "figure_id"),),
}
UNREAD: Tables = {"filtered_figures": (("texts", "figure_id"),)}
"""Images whose text could not be read: no rejections of figures, but to be read again on request."""

DOORS = ("papers", "figures", "images", "kept", "recaptioned", "released")
KEPT = (  # door, asset, table: rows without a rejection
    ("kept", "filtered_figures", "decisions"),
    ("recaptioned", "recaptions", "recaptions"),
    ("released", "hf_release", "records"),
)
COUNTED = {asset: (table,) for _, asset, table in KEPT}
ACQUIRED = {
    **dict.fromkeys(("listed", "landed", "landed_bytes", "refused"), pl.Int64),
    "usd": pl.Float64,
}

FAILURE = pl.Schema(
    {
        "partition": pl.String,
        "asset": pl.String,
        "id": pl.String,
        "rejection": pl.String,
        "evidence": pl.String,
        "shard": pl.String,
    }
)


def partition_keys(store: ShardStore) -> list[str]:
    """Every partition key that any asset of the store has, by source and year."""
    keys = {key for asset in ASSETS for key in store.partitions(asset)}
    return sorted(keys, key=source_and_year)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """What one partition of one asset holds."""

    n_shards: int
    n_bytes: int
    rows: Mapping[str, int]  # table → rows
    rejected: Mapping[str, Mapping[str, int]]  # table → rejection → rows; of the tables that were asked for
    n_images: int  # of papers
    pinned: float  # when, as a Unix time


@dataclass(slots=True)
class _Known:
    """A partition that was counted, and what its files hold: those never change."""

    stamp: tuple[int, int]
    count: Count
    files: dict[str, tuple[Mapping[str, int], int]] = field(default_factory=dict)


class Tally:
    """What a store holds. Asked again, it reads only the partitions that changed since, and of them only new files."""

    def __init__(self, store: ShardStore, rejecting: Mapping[str, Sequence[str]]) -> None:
        """Read nothing yet; `rejecting` says of which assets' tables rejections are counted."""
        self._store = store
        self._rejecting = rejecting
        self._known: dict[tuple[str, str], _Known] = {}

    def partitions(self) -> dict[tuple[str, str], tuple[int, int]]:
        """Return each asset's partitions, with what changes when one is materialized: (asset, key) → stamp."""
        return {(asset, key): stamp for asset in ASSETS for key, stamp in self._store.stamps(asset).items()}

    def count(self, asset: str, key: str, stamp: tuple[int, int]) -> Count | None:
        """Return what a partition holds; None where it is gone.

        Raises:
            StoreError: It was written with another schema version, or a file is damaged.
        """
        known = self._known.get((asset, key))
        if known and known.stamp == stamp:
            return known.count
        handle = self._store.pinned(asset, key)
        if handle is None:
            return None
        seen, files = known.files if known else {}, {}
        rejected: dict[str, Counter[str]] = {table: Counter() for table in self._rejecting.get(asset, ())}
        n_images = 0
        for commit in handle.shards:
            for table in (each for each in self._read_of(asset) if each in commit.tables):
                name = f"{commit.shard}/{commit.tables[table].file}"
                reasons, images = files[name] = seen.get(name) or self._read(commit, table)
                n_images += images
                if table in rejected:
                    rejected[table].update(reasons)
        rows: Counter[str] = Counter()
        for commit in handle.shards:
            rows.update({name: entry.n_rows or 0 for name, entry in commit.tables.items()})
        count = Count(
            n_shards=len(handle.shards),
            n_bytes=handle.n_bytes(),
            rows=rows,
            rejected=rejected,
            n_images=n_images,
            pinned=stamp[0] / 1e9,
        )
        self._known[asset, key] = _Known(stamp, count, files)
        return count

    def _read_of(self, asset: str) -> list[str]:
        """The tables that must be read."""
        tables = [*self._rejecting.get(asset, ())]
        return [*tables, *({"papers"} - {*tables} if asset == "figure_candidates" else ())]

    def _read(self, commit: Commit, table: str) -> tuple[Mapping[str, int], int]:
        """Count the rejections and images of a shard's table."""
        is_wanted = table in self._rejecting.get(commit.asset, ())
        reasons = rejections(self._store, commit, table) if is_wanted else {}
        return reasons, total(self._store, commit, table, "n_images") if table == "papers" else 0


def status(store: ShardStore, sources: Sources | None = None, *, tally: Tally | None = None) -> pl.DataFrame:
    """Return one row per partition: files of its publisher, rows at every door; null where there is nothing yet.

    Args:
        store: Where the tables are.
        sources: Where papers landed; not looked at where not given.
        tally: What was counted before; asked anew where not given.
    """
    acquired = landings(sources) if sources else {}
    tally = tally or Tally(store, COUNTED)
    counts: dict[str, dict[str, Count]] = {}
    found = tally.partitions()
    with ThreadPoolExecutor(4) as threads:  # an object store is far, and a record may have megabytes
        results = threads.map(lambda each: tally.count(each[0], each[1], found[each]), found)
        for (asset, key), count in zip(found, results, strict=True):
            if count:
                counts.setdefault(key, {})[asset] = count
    rows = [
        {
            "partition": key,
            **acquired.get(key, {}),
            **dict.fromkeys(DOORS),
            **doors(counts.get(key, {})),
            "bytes": sum(count.n_bytes for count in counts.get(key, {}).values()),
        }
        for key in sorted({*counts, *acquired}, key=source_and_year)
    ]
    shape = {
        "partition": pl.String,
        **(ACQUIRED if acquired else {}),
        **dict.fromkeys(DOORS, pl.Int64),
        "bytes": pl.Int64,
    }
    return pl.DataFrame(rows, schema=shape)


def doors(counts: Mapping[str, Count]) -> dict[str, int]:
    """Return the rows at each door of a partition that something has come to, by what its assets hold."""
    rows = {}
    if raw := counts.get("raw_archives"):
        rows["papers"] = raw.rows["archives"]
    if candidates := counts.get("figure_candidates"):
        rows["figures"], rows["images"] = candidates.rows["figures"], candidates.n_images
    for name, asset, table in KEPT:
        if count := counts.get(asset):
            rows[name] = count.rows[table] - sum(count.rejected[table].values())
    return rows


def landings(sources: Sources) -> dict[str, dict[str, int | float]]:
    """Return what was acquired by partition: files listed, landed and refused, their bytes, and the cost so far."""
    found = {}
    for source in SOURCES:
        ledger = Ledger(Landing(sources.folder(source)))
        for year in ledger.years():
            record = ledger.record(year)
            listing = ledger.listing(year, ["shard", "is_offered"])
            offered = listing.filter(pl.col("is_offered") & (pl.col("shard") != METADATA_SHARD))
            landed = [line for line in record.landed.values() if line.shard != METADATA_SHARD]
            found[partition_key(source, year)] = {
                "listed": offered.height,
                "landed": len(landed),
                "landed_bytes": sum(line.size or 0 for line in landed),
                "refused": len(record.refused),
                "usd": round(record.spent.usd, 6),
            }
    return found


def failures(
    store: ShardStore,
    *,
    partitions: Sequence[str] | None = None,
    reason: str | None = None,
    first_only: bool = True,
) -> pl.DataFrame:
    """Return every rejected row, at the door where it was first turned away.

    Args:
        store: Where the tables are.
        partitions: Only these; all where not given.
        reason: Only this.
        first_only: Else a row is given at each door where it is met, and images whose text could not be read too.
    """
    frames = [FAILURE.to_frame()]
    for key in partitions if partitions is not None else partition_keys(store):
        seen = pl.Series("id", [], dtype=pl.String)
        for frame in _rejected(store, key, (REJECTING,) if first_only else (REJECTING, UNREAD)):
            frames.append(frame.filter(~pl.col("id").is_in(seen.implode())) if first_only else frame)
            seen = pl.concat([seen, frame["id"]])
    found = pl.concat(frames)
    return found if reason is None else found.filter(pl.col("rejection") == reason)


def environment_caused(found: pl.DataFrame) -> pl.DataFrame:
    """Return the failures that are not the rows' own fault: redone on request."""
    return found.filter(pl.col("rejection").is_in([reason.value for reason in ENVIRONMENT_CAUSED]))


def counted(found: pl.DataFrame, n_examples: int) -> pl.DataFrame:
    """Return failures counted by asset and reason, each with some rows and what was seen of them."""
    example = pl.concat_str("id", pl.col("evidence").fill_null(""), separator=" ").head(n_examples)
    order = pl.col("asset").replace_strict(
        {asset: i for i, asset in enumerate(ASSETS)}, return_dtype=pl.Int64
    )
    return (
        found.group_by("asset", "rejection", maintain_order=True)
        .agg(pl.len().alias("rows"), example.str.join("\n").alias("examples"))
        .sort(order, -pl.col("rows").cast(pl.Int64), "rejection")
    )


def _rejected(store: ShardStore, key: str, which: Sequence[Tables]) -> Iterator[pl.DataFrame]:
    """Yield the rejected rows of each table, in the order of the pipeline; of tables that older shards lack, none."""
    for asset, tables in (item for each in which for item in each.items()):
        handle = store.pinned(asset, key)
        for table, name in tables if handle else ():
            for commit in (each for each in (handle.shards if handle else ()) if table in each.tables):
                has_evidence = "evidence" in (commit.tables[table].columns or {})
                columns = [name, "rejection", *(["evidence"] if has_evidence else [])]
                for group in store.scan_shard(commit, table, columns):
                    evidence = (
                        pl.col("evidence") if has_evidence else pl.lit(None, pl.String).alias("evidence")
                    )
                    yield group.filter(pl.col("rejection").is_not_null()).select(
                        pl.lit(key).alias("partition"),
                        pl.lit(asset).alias("asset"),
                        pl.col(name).alias("id"),
                        "rejection",
                        evidence,
                        pl.lit(commit.shard).alias("shard"),
                    )
