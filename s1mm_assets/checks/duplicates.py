"""What must be true of the duplicates across partitions before anything is released without them."""

from collections.abc import Iterator, Mapping

import dagster as dg
import polars as pl

from s1mm_assets.checks.examples import EXAMPLES, PICTURES, examples, pictures_of
from s1mm_assets.checks.guards import Guard, reported, specs
from s1mm_assets.checks.results import none_of
from s1mm_assets.resources.decided_partitions import (
    changed_since,
    decided,
    handles_of,
    kept_figures,
    view_of,
)
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.steps import IF_KILLED, STEPS

ASSET = "duplicates"
FIGURES = pl.Schema({"figure_id": pl.String, "sha256": pl.Binary})
SLICE = pl.Schema({"figure_id": pl.String, "duplicate_of": pl.String})
WHERE_FILTERED = "Only warns where a partition was filtered since the search."


GUARDS = {
    "every_slice_is_of_the_current_decisions": Guard(
        says="No partition was filtered since the search. Where one was, decisions and slices do not belong together: "
        "the other checks only warn then, as no partition need wait for another, and the publication refuses them.",
        stops=False,
        what_to_do="Run the job find_duplicates, or materialize duplicates; then hf_release of the partitions whose "
        "slices changed.",
    ),
    "each_image_is_kept_once": Guard(
        says="Over all partitions, no two figures with equal images are kept. A dataset that repeats images weighs "
        "them more, and leaks between training and test.",
        unless=WHERE_FILTERED,
        what_to_do="Run the job find_duplicates again. If it fails again, the search has a defect: report the figures "
        "that are shown.",
    ),
    "every_duplicate_names_a_kept_figure": Guard(
        says="What stands for a duplicate is itself kept, by the filters and by this search. Else an image would be "
        "released not even once.",
        unless=WHERE_FILTERED,
        what_to_do="Run the job find_duplicates again. If it fails again, the search has a defect: report the figures "
        "that are shown.",
    ),
}


@dg.multi_asset_check(
    specs=specs(ASSET, GUARDS, partitions=None), op_tags=STEPS.share_tags("checks"), retry_policy=IF_KILLED
)
def duplicates_hold(store: ShardStore) -> Iterator[dg.AssetCheckResult]:
    """Of each image one figure is left, and no image is left without."""
    yield from reported(GUARDS, results(store))


def results(store: ShardStore) -> Iterator[dg.AssetCheckResult]:
    """Yield what each check finds; all of it only warns where a partition was filtered since the search."""
    decisions, slices = decided(store), handles_of(store, ASSET)
    changed = changed_since(store, view_of(decisions, slices))
    kept = figures_left(store, decisions, slices)
    duplicates = pl.concat(
        [SLICE.to_frame(), *(store.read(each, ASSET, SLICE.names()) for each in slices.values())]
    )
    outdated = pl.DataFrame({"partition": changed}, schema={"partition": pl.String})
    repeated = kept.filter(pl.col("sha256").is_duplicated()).sort("sha256", "figure_id")
    orphans = duplicates.join(kept, left_on="duplicate_of", right_on="figure_id", how="anti")
    n_figures = {"n_kept": len(kept), "n_duplicates": len(duplicates)}
    for result in (
        none_of(
            "every_slice_is_of_the_current_decisions",
            outdated,
            {"n_partitions": len(decisions)},
            shown={"examples": dg.MetadataValue.text(", ".join(changed[:EXAMPLES]))} if changed else {},
        ),
        none_of("each_image_is_kept_once", repeated, n_figures, shown=side_by_side(store, repeated)),
        none_of("every_duplicate_names_a_kept_figure", orphans, n_figures),
    ):
        yield result._replace(severity=dg.AssetCheckSeverity.WARN) if changed else result


def side_by_side(store: ShardStore, repeated: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    """Return the first figures that are kept with equal images, with their pictures."""
    pictures: dict[str, str] = {}
    for key, figure_id in repeated.select("partition", "figure_id").head(PICTURES).iter_rows():
        if figures := store.pinned("figure_candidates", key):
            pictures |= pictures_of(store, figures, [figure_id])
    return examples(repeated, pictures)


def figures_left(
    store: ShardStore, decisions: Mapping[str, ShardSet], slices: Mapping[str, ShardSet]
) -> pl.DataFrame:
    """Return the figures, with their partitions, that filtered_figures keeps and that are no duplicates by a slice."""
    frames = [FIGURES.to_frame().with_columns(partition=pl.lit("", pl.String))]
    for key, handle in decisions.items():
        rows = kept_figures(store, handle, FIGURES.names())
        hashed = [each.select("figure_id", pl.col("sha256").str.decode("hex")) for each in rows]
        kept = pl.concat([FIGURES.to_frame(), *hashed])
        slice_of = slices.get(key, ShardSet(asset=ASSET, partition=key))
        for gone in store.scan(slice_of, ASSET, ["figure_id"]):
            kept = kept.join(gone, on="figure_id", how="anti")
        frames.append(kept.with_columns(partition=pl.lit(key)))
    return pl.concat(frames)
