"""What must be true of the decisions before a GPU hour is spent on them."""

import io
from collections.abc import Iterator

import dagster as dg
import polars as pl
from PIL import Image

from s1mm_assets.checks.conservation import conserved, guard, materialized, none_of
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet

ASSET = "filtered_figures"
DECISION_COLUMNS = ["figure_id", "rejection", "sha256", "perceptual_hash", "image_size_bytes"]


@dg.multi_asset_check(
    specs=[
        guard(ASSET, "every_figure_has_one_decision", "Nothing is lost and nothing is invented."),
        guard(ASSET, "no_kept_image_is_smaller_than_the_limit", "5,120 bytes as released, by default."),
        guard(ASSET, "kept_images_open", "Each was decoded by the filter; a seeded sample is decoded again."),
        guard(ASSET, "no_exact_duplicates_are_kept", "Within the partition, one image is kept once."),
    ]
)
def filtered_figures_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore, settings: Settings
) -> Iterator[dg.AssetCheckResult]:
    """What came in goes out, kept or with a reason; what is kept is fit to be seen."""
    candidates = materialized(store, "figure_candidates", context)
    figures = store.read(candidates, "figures", ["figure_id"])
    decisions = store.read(materialized(store, ASSET, context), "decisions", DECISION_COLUMNS)
    kept = decisions.filter(pl.col("rejection").is_null())

    yield conserved("every_figure_has_one_decision", figures["figure_id"], decisions["figure_id"])
    limit = settings.filtering.min_image_size_bytes
    small = kept.filter((pl.col("image_size_bytes") < limit).fill_null(value=True))
    yield none_of("no_kept_image_is_smaller_than_the_limit", small, limit=limit, n_kept=len(kept))
    yield kept_images_open(store, candidates, kept, settings.checks.n_reopened_images)
    repeated = kept.filter(pl.col("sha256").is_duplicated())
    yield none_of("no_exact_duplicates_are_kept", repeated, n_kept=len(kept))


def kept_images_open(
    store: ShardStore, candidates: ShardSet, kept: pl.DataFrame, n_sampled: int
) -> dg.AssetCheckResult:
    """Each kept image has a perceptual hash, so it was decoded; a sample decodes again from the store."""
    unhashed = kept.filter(pl.col("perceptual_hash").is_null()).select("figure_id")
    sample = kept["figure_id"].sample(min(n_sampled, len(kept)), seed=0)
    unread = [
        figure_id
        for group in store.scan(candidates, "figures", ["figure_id", "image"], among=sample)
        for figure_id, image in group.iter_rows()
        if not opens(image)
    ]
    wrong = pl.concat([unhashed, pl.DataFrame({"figure_id": unread}, schema={"figure_id": pl.String})])
    return none_of("kept_images_open", wrong, n_kept=len(kept), n_reopened=len(sample))


def opens(image: bytes | None) -> bool:
    """Whether an image decodes to its last pixel."""
    try:
        Image.open(io.BytesIO(image or b"")).load()
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
    return True
