"""What must be true of the duplicates across partitions before anything is released without them."""

from collections.abc import Iterator, Mapping

import dagster as dg
import polars as pl

from s1mm_assets.checks.conservation import none_of
from s1mm_assets.resources.decided_partitions import decided, duplicates_of, kept_figures
from s1mm_assets.resources.shard_store import ShardStore, StoreError
from s1mm_assets.resources.shards import ShardSet

ASSET = "duplicates"
FIGURES = pl.Schema({"figure_id": pl.String, "sha256": pl.Binary})
SLICE = pl.Schema({"figure_id": pl.String, "duplicate_of": pl.String})


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "every_slice_is_of_the_current_decisions",
            asset=ASSET,
            blocking=True,
            description="Each filtered partition has its slice, made from the decisions that stand.",
        ),
        dg.AssetCheckSpec(
            "each_image_is_kept_once",
            asset=ASSET,
            blocking=True,
            description="Over all partitions, no two figures with equal images are kept.",
        ),
        dg.AssetCheckSpec(
            "every_duplicate_names_a_kept_figure",
            asset=ASSET,
            blocking=True,
            description="What a duplicate stands back for is itself kept, by the filters and here.",
        ),
    ]
)
def duplicates_hold(store: ShardStore) -> Iterator[dg.AssetCheckResult]:
    """Of each image one figure is left, and no image is left without."""
    decisions = decided(store)
    yield none_of(
        "every_slice_is_of_the_current_decisions", outdated(store, decisions), n_partitions=len(decisions)
    )
    duplicates = slices(store, decisions)
    kept = figures_left(store, decisions, duplicates["figure_id"])
    repeated = kept.filter(pl.col("sha256").is_duplicated())
    yield none_of(
        "each_image_is_kept_once", repeated.drop("sha256"), n_kept=len(kept), n_duplicates=len(duplicates)
    )
    orphans = duplicates.join(kept, left_on="duplicate_of", right_on="figure_id", how="anti")
    yield none_of("every_duplicate_names_a_kept_figure", orphans, n_duplicates=len(duplicates))


def outdated(store: ShardStore, decisions: Mapping[str, ShardSet]) -> pl.DataFrame:
    """Return the partitions without a slice of their decisions, and what to do."""
    found = []
    for key in decisions:
        try:
            duplicates_of(store, key)
        except StoreError as error:
            found.append({"partition": key, "problem": str(error)})
    return pl.DataFrame(found, schema={"partition": pl.String, "problem": pl.String})


def slices(store: ShardStore, decisions: Mapping[str, ShardSet]) -> pl.DataFrame:
    """Return the duplicates of all partitions."""
    handles = [handle for key in decisions if (handle := store.pinned(ASSET, key))]
    return pl.concat([SLICE.to_frame(), *(store.read(each, "duplicates", SLICE.names()) for each in handles)])


def figures_left(store: ShardStore, decisions: Mapping[str, ShardSet], gone: pl.Series) -> pl.DataFrame:
    """Return the figures that filtered_figures keeps and that are no duplicates."""
    frames = [
        rows.select("figure_id", pl.col("sha256").str.decode("hex")).join(
            gone.to_frame(), on="figure_id", how="anti"
        )
        for handle in decisions.values()
        for rows in kept_figures(store, handle, FIGURES.names())
    ]
    return pl.concat([FIGURES.to_frame(), *frames])
