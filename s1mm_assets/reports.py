"""What people ask of a store: what is there, what was rejected, where and why."""

from collections.abc import Iterator, Mapping, Sequence

import polars as pl

from s1mm_assets.partitions import source_and_year
from s1mm_assets.resources.shard_store import ShardStore
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


def status(store: ShardStore) -> pl.DataFrame:
    """Return one row per partition: rows at every door, null where an asset has not been materialized."""
    rows = []
    for key in partition_keys(store):
        handles = {asset: store.pinned(asset, key) for asset in ASSETS}
        counts: dict[str, int | None] = dict.fromkeys(
            ("papers", "figures", "images", "kept", "recaptioned", "released")
        )
        if raw := handles["raw_archives"]:
            counts["papers"] = raw.n_rows("archives")
        if candidates := handles["figure_candidates"]:
            counts["figures"] = candidates.n_rows("figures")
            counts["images"] = int(store.read(candidates, "papers", ["n_images"])["n_images"].sum())
        if decisions := handles["filtered_figures"]:
            counts["kept"] = store.read(decisions, "decisions", ["rejection"])["rejection"].null_count()
        if recaptions := handles["recaptions"]:
            counts["recaptioned"] = store.read(recaptions, "recaptions", ["rejection"])[
                "rejection"
            ].null_count()
        if released := handles["hf_release"]:
            counts["released"] = store.read(released, "records", ["rejection"])["rejection"].null_count()
        n_bytes = sum(handle.n_bytes() for handle in handles.values() if handle)
        rows.append({"partition": key, **counts, "bytes": n_bytes})
    columns = ("papers", "figures", "images", "kept", "recaptioned", "released", "bytes")
    return pl.DataFrame(rows, schema={"partition": pl.String, **dict.fromkeys(columns, pl.Int64)})


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
