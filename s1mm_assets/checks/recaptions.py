"""What must be true of the recaptions before they are measured."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from s1mm_assets.checks.conservation import conserved, guard, materialized, none_of
from s1mm_assets.resources.shard_store import ShardStore

ASSET = "recaptions"


@dg.multi_asset_check(
    specs=[
        guard(
            ASSET, "every_kept_figure_has_one_recaption", "No kept figure is lost on its way to the model."
        ),
        guard(ASSET, "every_recaption_has_text_or_a_reason", "A figure without a recaption says why."),
    ]
)
def recaptions_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore
) -> Iterator[dg.AssetCheckResult]:
    """Every kept figure was asked about once, and has an answer or a reason."""
    decisions = store.read(
        materialized(store, "filtered_figures", context), "decisions", ["figure_id", "rejection"]
    )
    recaptions = store.read(
        materialized(store, ASSET, context), "recaptions", ["figure_id", "recaption", "rejection"]
    )

    kept = decisions.filter(pl.col("rejection").is_null())["figure_id"]
    yield conserved("every_kept_figure_has_one_recaption", kept, recaptions["figure_id"])
    has_text = pl.col("recaption").fill_null("").str.strip_chars() != ""
    wrong = recaptions.filter(has_text == pl.col("rejection").is_not_null())
    yield none_of("every_recaption_has_text_or_a_reason", wrong.drop("recaption"), n=len(recaptions))
