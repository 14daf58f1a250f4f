"""What people ask of a store: what is there, what was rejected, where and why."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from s1mm_assets.partitions import SOURCES, partition_key, source_and_year
from s1mm_assets.resources.publishers import METADATA_SHARD
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.ledger import Ledger
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.sources.registry import Sources
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


def status(store: ShardStore, sources: Sources | None = None) -> pl.DataFrame:
    """Return one row per partition: files of its publisher, rows at every door; null where there is nothing yet."""
    acquired = landings(sources) if sources else {}
    rows = []
    for key in sorted({*partition_keys(store), *acquired}, key=source_and_year):
        handles = {asset: store.pinned(asset, key) for asset in ASSETS}
        counts: dict[str, int | None] = dict.fromkeys(DOORS)
        if raw := handles["raw_archives"]:
            counts["papers"] = raw.n_rows("archives")
        if candidates := handles["figure_candidates"]:
            counts["figures"] = candidates.n_rows("figures")
            counts["images"] = int(store.read(candidates, "papers", ["n_images"])["n_images"].sum())
        for name, asset, table in KEPT:
            if handle := handles[asset]:
                counts[name] = store.read(handle, table, ["rejection"])["rejection"].null_count()
        n_bytes = sum(handle.n_bytes() for handle in handles.values() if handle)
        rows.append({"partition": key, **acquired.get(key, {}), **counts, "bytes": n_bytes})
    shape = {
        "partition": pl.String,
        **(ACQUIRED if acquired else {}),
        **dict.fromkeys(DOORS, pl.Int64),
        "bytes": pl.Int64,
    }
    return pl.DataFrame(rows, schema=shape)


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
