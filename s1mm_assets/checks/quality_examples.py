"""Which figures are shown where a check on quality fails: the worst of each measure, with picture and both texts."""

from collections.abc import Mapping

import dagster as dg
import polars as pl

from s1mm_assets.checks.examples import EXAMPLES, examples, pictures_of, some_rows
from s1mm_assets.resources.settings import CheckSettings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet

TEXTS = (  # asset, table, column: what is shown beside a picture
    ("figure_candidates", "figures", "caption"),
    ("recaptions", "recaptions", "recaption"),
    ("quality_metrics", "metrics", "ungrounded_claims"),
)


def worst(metrics: pl.DataFrame, lines: CheckSettings) -> dict[str, pl.LazyFrame]:
    """Return, by check, figures and what was measured of them, the worst first; each is sorted when it is asked for.

    Args:
        metrics: `metrics.READ` of the partition.
        lines: Where the checks draw their lines.
    """
    own, shuffled = pl.col("recaption_clip_score"), pl.col("recaption_shuffled_clip_score")
    gain = (own - pl.col("caption_clip_score")).alias("clip_score_gain")
    preference = (own - shuffled).alias("own_less_shuffled")
    perplexity = pl.col("recaption_pseudo_perplexity").log10() - pl.col("caption_pseudo_perplexity").log10()
    shift = perplexity.alias("log10_shift")
    grounding = (pl.col("n_grounded_claims") / pl.col("n_claims")).alias("grounding")
    flags = pl.col("flags").list.len()
    all_of = metrics.lazy()
    return {
        "recaptions_fit_their_images": all_of.filter(own < lines.clip_floor)
        .sort(own)
        .select("figure_id", "recaption_clip_score"),
        "recaptions_raise_the_clip_score": all_of.filter(gain < 0).sort(gain).select("figure_id", gain),
        "few_recaptions_are_degenerate": all_of.filter(flags > 0)
        .sort(flags, descending=True, maintain_order=True)
        .select("figure_id", "flags"),
        "clip_score_tells_pairs_apart": all_of.filter(preference < 0)
        .sort(preference)
        .select("figure_id", preference),
        "recaptions_are_fluent": all_of.filter(shift > 0)
        .sort(shift, descending=True)
        .select("figure_id", shift),
        "recaptions_are_grounded": all_of.filter(pl.col("n_claims") > 0, grounding < 1)
        .sort(grounding, "n_claims", descending=[False, True])
        .select("figure_id", grounding, "n_claims"),
    }


def with_examples(
    result: dg.AssetCheckResult,
    figures: Mapping[str, pl.LazyFrame],
    store: ShardStore,
    handles: Mapping[str, ShardSet],
) -> dg.AssetCheckResult:
    """Return a result with the worst figures of its check, where it failed and has such."""
    which = figures.get(result.check_name or "")
    if result.passed or which is None:
        return result
    found = shown(store, handles, which.head(EXAMPLES).collect())
    return result._replace(metadata={**result.metadata, **found})


def shown(
    store: ShardStore, handles: Mapping[str, ShardSet], culprits: pl.DataFrame
) -> dict[str, dg.MetadataValue]:
    """Return figures as a table: picture, id, what was measured, caption and recaption.

    Args:
        store: Where the tables are.
        handles: Of figure_candidates, recaptions and quality_metrics.
        culprits: `figure_id` and what was measured; the worst first.
    """
    ids = culprits["figure_id"]
    rows = culprits
    for asset, table, column in TEXTS:
        some = some_rows(store, handles[asset], table, ["figure_id", column], ids)
        rows = rows.join(some, on="figure_id", how="left", maintain_order="left")
    return examples(rows, pictures_of(store, handles["figure_candidates"], ids))
