"""What must be true of the decisions before a GPU hour is spent on them."""

import io
from collections.abc import Iterator

import dagster as dg
import polars as pl

from s1mm_assets.checks.examples import EXAMPLES, examples, pictures_of, some_rows
from s1mm_assets.checks.guards import Guard, materialized, reported, specs
from s1mm_assets.checks.results import conserved, none_of
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.steps import IF_KILLED, STEPS

ASSET = "filtered_figures"
DECISION_COLUMNS = ["figure_id", "rejection", "sha256", "perceptual_hash", "image_size_bytes"]
UNREAD = pl.Schema({"figure_id": pl.String, "what": pl.String})
AGAIN = (
    "Materialize filtered_figures for PARTITION again: figure_candidates or the settings may have changed since. If "
    "it fails again, the stage has a defect: report the figures that are shown."
)
GUARDS = {
    "every_figure_has_one_decision": Guard(
        says="Each figure that was found is kept or rejected, once. Nothing is lost on the way, and nothing invented.",
        what_to_do=AGAIN,
    ),
    "no_kept_image_is_smaller_than_the_limit": Guard(
        says="No kept image has fewer bytes, as it is released, than the limit: what is smaller is a logo, an icon or "
        "a line. The paper on S1-MMAlign drops what is below 5 KB.",
        settings=("filtering.min_image_size_bytes",),
        what_to_do=AGAIN,
    ),
    "kept_images_open": Guard(
        says="Each kept image was decoded by the filters; a seeded sample is read from the store and decoded again, to "
        "the last pixel. An image that does not open fails training runs of other people.",
        settings=("checks.n_reopened_images",),
        what_to_do="Materialize filtered_figures for PARTITION again. If it fails again, the store's file is damaged: "
        "remove the shard's folder of figure_candidates and materialize from figure_candidates on.",
    ),
    "no_exact_duplicates_are_kept": Guard(
        says="Within the partition one image is kept once: of equal ones the others are rejected, and say which "
        "stands for them. Equal images of other partitions are the asset duplicates' affair.",
        what_to_do=AGAIN,
    ),
}


@dg.multi_asset_check(specs=specs(ASSET, GUARDS), op_tags=STEPS.share_tags("checks"), retry_policy=IF_KILLED)
def filtered_figures_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore, settings: Settings
) -> Iterator[dg.AssetCheckResult]:
    """What came in goes out, kept or with a reason; what is kept is fit to be seen."""
    key = context.partition_key
    yield from reported(GUARDS, results(store, settings, key), settings=settings, partition=key)


def results(store: ShardStore, settings: Settings, partition: str) -> Iterator[dg.AssetCheckResult]:
    """Yield what each check finds."""
    candidates = materialized(store, "figure_candidates", partition)
    figures = store.read(candidates, "figures", ["figure_id"])
    decisions = store.read(materialized(store, ASSET, partition), "decisions", DECISION_COLUMNS)
    kept = decisions.filter(pl.col("rejection").is_null())

    yield conserved("every_figure_has_one_decision", figures["figure_id"], decisions["figure_id"])
    limit = settings.filtering.min_image_size_bytes
    is_small = (pl.col("image_size_bytes") < limit).fill_null(value=True)
    small = kept.filter(is_small).select("figure_id", "image_size_bytes").sort("image_size_bytes")
    yield none_of(
        "no_kept_image_is_smaller_than_the_limit",
        small,
        {"n_kept": len(kept)},
        shown=pictured(store, candidates, small),
    )
    yield kept_images_open(store, candidates, kept, settings.checks.n_reopened_images)
    repeated = kept.filter(pl.col("sha256").is_duplicated()).select("figure_id", "sha256")
    repeated = repeated.sort("sha256", "figure_id")
    yield none_of(
        "no_exact_duplicates_are_kept",
        repeated,
        {"n_kept": len(kept)},
        shown=pictured(store, candidates, repeated),
    )


def pictured(store: ShardStore, candidates: ShardSet, culprits: pl.DataFrame) -> dict[str, dg.MetadataValue]:
    """Return the first culprits with their pictures and captions."""
    first = culprits.head(EXAMPLES)
    captions = some_rows(store, candidates, "figures", ["figure_id", "caption"], first["figure_id"])
    rows = first.join(captions, on="figure_id", how="left", maintain_order="left")
    return examples(rows, pictures_of(store, candidates, first["figure_id"]))


def kept_images_open(
    store: ShardStore, candidates: ShardSet, kept: pl.DataFrame, n_sampled: int
) -> dg.AssetCheckResult:
    """Each kept image has a perceptual hash, so it was decoded; a sample decodes again from the store."""
    unhashed = kept.filter(pl.col("perceptual_hash").is_null()).select("figure_id", what=pl.lit("no hash"))
    sample = kept["figure_id"].sample(min(n_sampled, len(kept)), seed=0)
    unread = [
        (figure_id, f"does not open: {error}")
        for group in store.scan(candidates, "figures", ["figure_id", "image"], among=sample)
        for figure_id, image in group.iter_rows()
        if (error := what_fails(image))
    ]
    wrong = pl.concat([unhashed, pl.DataFrame(unread, schema=UNREAD, orient="row")])
    return none_of("kept_images_open", wrong, {"n_kept": len(kept), "n_reopened": len(sample)})


def what_fails(image: bytes | None) -> str | None:
    """Return why an image does not decode to its last pixel; None where it does."""
    if not image:
        return "there is none"
    from PIL import Image

    try:
        Image.open(io.BytesIO(image)).load()
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        return f"{type(error).__name__}: {error}"
    return None
