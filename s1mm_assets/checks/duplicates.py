"""What must be true of the duplicates across partitions before anything is released without them."""

from collections.abc import Iterator, Mapping

import dagster as dg
import polars as pl

from s1mm_assets.checks.conservation import none_of
from s1mm_assets.resources.decided_partitions import (
    changed_since,
    decided,
    handles_of,
    kept_figures,
    view_of,
)
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet

ASSET = "duplicates"
FIGURES = pl.Schema({"figure_id": pl.String, "sha256": pl.Binary})
SLICE = pl.Schema({"figure_id": pl.String, "duplicate_of": pl.String})


@dg.multi_asset_check(
    specs=[
        dg.AssetCheckSpec(
            "every_slice_is_of_the_current_decisions",
            asset=ASSET,
            blocking=False,
            description="No partition was filtered since the search; where one was, the other checks only warn.",
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
    """Of each image one figure is left, and no image is left without.

    Where a partition was filtered since the search, decisions and slices do not belong together: then all of it
    only warns, since one partition need not wait for another, and the publication refuses them.
    """
    decisions, slices = decided(store), handles_of(store, ASSET)
    changed = changed_since(store, view_of(decisions, slices))
    kept = figures_left(store, decisions, slices)
    duplicates = pl.concat(
        [SLICE.to_frame(), *(store.read(each, ASSET, SLICE.names()) for each in slices.values())]
    )
    outdated = pl.DataFrame({"partition": changed})
    repeated = kept.filter(pl.col("sha256").is_duplicated()).drop("sha256")
    orphans = duplicates.join(kept, left_on="duplicate_of", right_on="figure_id", how="anti")
    n_figures = {"n_kept": len(kept), "n_duplicates": len(duplicates)}
    for result in (
        none_of("every_slice_is_of_the_current_decisions", outdated, n_partitions=len(decisions)),
        none_of("each_image_is_kept_once", repeated, **n_figures),
        none_of("every_duplicate_names_a_kept_figure", orphans, **n_figures),
    ):
        yield result._replace(severity=dg.AssetCheckSeverity.WARN) if changed else result


def figures_left(
    store: ShardStore, decisions: Mapping[str, ShardSet], slices: Mapping[str, ShardSet]
) -> pl.DataFrame:
    """Return the figures that filtered_figures keeps and that are no duplicates by their partition's slice."""
    frames = [FIGURES.to_frame()]
    for key, handle in decisions.items():
        rows = kept_figures(store, handle, FIGURES.names())
        hashed = [each.select("figure_id", pl.col("sha256").str.decode("hex")) for each in rows]
        kept = pl.concat([FIGURES.to_frame(), *hashed])
        slice_of = slices.get(key, ShardSet(asset=ASSET, partition=key))
        for gone in store.scan(slice_of, ASSET, ["figure_id"]):
            kept = kept.join(gone, on="figure_id", how="anti")
        frames.append(kept)
    return pl.concat(frames)
