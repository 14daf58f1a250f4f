"""What must be true of the recaptions before they are measured."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from s1mm_assets.checks.conservation import conserved, guard, materialized, none_of
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore

ASSET = "recaptions"


@dg.multi_asset_check(
    specs=[
        guard(
            ASSET, "every_kept_figure_has_one_recaption", "No kept figure is lost on its way to the model."
        ),
        guard(ASSET, "every_recaption_has_text_or_a_reason", "A figure without a recaption says why."),
        guard(
            ASSET,
            "few_figures_lack_a_recaption",
            "Where many answers were of no use, model, prompt or servers are at fault rather than the figures.",
            is_blocking=False,
        ),
    ]
)
def recaptions_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore, settings: Settings
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
    yield few_rejected(recaptions["rejection"], settings.checks.max_recaption_rejection_rate)


def few_rejected(rejections: pl.Series, most: float) -> dg.AssetCheckResult:
    """Warn where too large a share of figures has no recaption; the reasons are counted."""
    counts = rejections.drop_nulls().value_counts(sort=True)
    rate = (len(rejections) - rejections.null_count()) / max(1, len(rejections))
    return dg.AssetCheckResult(
        check_name="few_figures_lack_a_recaption",
        passed=rate <= most,
        severity=dg.AssetCheckSeverity.WARN,
        description=None
        if rate <= most
        else "`s1mm failures` shows them, `s1mm retry --reason …` asks again",
        metadata={"rate": rate, "most": most, "n": len(rejections), "reasons": dict(counts.iter_rows())},
    )
