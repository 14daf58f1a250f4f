"""What must be true of the measurements before a release is made of them."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from s1mm_assets.checks.conservation import conserved, guard, materialized, not_evaluated
from s1mm_assets.resources.shard_store import ShardStore

ASSET = "quality_metrics"


@dg.multi_asset_check(
    specs=[
        guard(ASSET, "every_recaption_has_one_metric", "No recaption is lost on its way to the release."),
        guard(ASSET, "clip_score_is_evaluated", "Image and text agree (CLIP score).", is_blocking=False),
        guard(
            ASSET,
            "pseudo_perplexity_is_evaluated",
            "The text is fluent (pseudo-perplexity).",
            is_blocking=False,
        ),
    ]
)
def quality_metrics_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore
) -> Iterator[dg.AssetCheckResult]:
    """Every recaption was measured once; what was not measured is said."""
    recaptions = store.read(
        materialized(store, "recaptions", context), "recaptions", ["figure_id", "rejection"]
    )
    metrics = store.read(materialized(store, ASSET, context), "metrics", ["figure_id"])

    accepted = recaptions.filter(pl.col("rejection").is_null())["figure_id"]
    yield conserved("every_recaption_has_one_metric", accepted, metrics["figure_id"])
    yield not_evaluated("clip_score_is_evaluated", "this version has no CLIP encoder")
    yield not_evaluated("pseudo_perplexity_is_evaluated", "this version has no masked language model")
