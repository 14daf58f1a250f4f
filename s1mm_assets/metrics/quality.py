"""One partition's measurements in numbers: for the Dagster UI, for the checks, and beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from s1mm_assets.metrics.statistics import Estimate, Spread, Uplift

READ = (
    *("figure_id", "paper_id", "caption_length_chars", "recaption_length_chars"),
    *("n_claims", "n_grounded_claims", "n_claims_in_image", "flags"),
    *("caption_pseudo_perplexity", "recaption_pseudo_perplexity"),
    *("caption_clip_score", "recaption_clip_score"),
    *("caption_whole_clip_score", "recaption_whole_clip_score"),
    *("caption_shuffled_clip_score", "recaption_shuffled_clip_score"),
    *("caption_clip_tokens", "recaption_clip_tokens"),
    *("caption_language", "recaption_language", "subject", "missing_scores"),
)
"""The columns of quality_metrics/metrics that `quality` reads."""

CLIP_TOKENS = 77  # what the standard score sees of a text

PAPER: Mapping[str, float] = {
    "caption_length_chars": 267,
    "recaption_length_chars": 759,
    "expansion": 2.8,
    "recaption_length_variation": 0.33,
    "clip_uplift": 0.1821,
    "clip_variance_change": -0.2777,
}
"""What the paper reports: Figures 2 and 6, and the text beside them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What the measurements of one partition say. None: not evaluated, or nothing to evaluate."""

    n: int  # recaptioned figures
    caption_length: Spread | None  # characters
    recaption_length: Spread | None
    expansion: float | None  # mean length of recaptions over that of captions
    grounding: float | None  # grounded claims over claims
    share_of_claims_in_image: (
        float | None
    )  # grounded only there, of the claims of figures whose text was read
    degenerate_share: float | None  # of the recaptions, with any flag
    flags: Mapping[str, int]
    languages: Mapping[str, int]  # of the recaptions; "?" where it does not show
    subjects: Mapping[str, int]  # "not known" where the source does not say
    perplexity_shift: Estimate | None  # log10, recaption less caption
    n_perplexity: int  # figures that have both
    clip: Uplift | None
    whole_clip: Uplift | None
    caption_auc: Estimate | None
    recaption_auc: Estimate | None
    share_seen_whole: float | None  # of the recaptions: those that the standard score sees to their end
    means: Mapping[str, float]  # of what drifts from year to year


def quality(metrics: pl.DataFrame) -> Quality:
    """Return what the measurements of one partition say.

    Args:
        metrics: `READ` of quality_metrics/metrics.
    """
    from s1mm_assets.metrics.statistics import auc, shift, spread, uplift

    lengths = {text: spread(metrics[f"{text}_length_chars"]) for text in ("caption", "recaption")}
    read = metrics.filter(pl.col("n_claims_in_image").is_not_null())
    tokens = metrics["recaption_clip_tokens"].drop_nulls()
    perplexities = both(metrics, "caption_pseudo_perplexity", "recaption_pseudo_perplexity")
    return Quality(
        n=len(metrics),
        caption_length=lengths["caption"],
        recaption_length=lengths["recaption"],
        expansion=ratio(metrics["recaption_length_chars"].sum(), metrics["caption_length_chars"].sum()),
        grounding=ratio(metrics["n_grounded_claims"].sum(), metrics["n_claims"].sum()),
        share_of_claims_in_image=ratio(read["n_claims_in_image"].sum(), read["n_claims"].sum()),
        degenerate_share=ratio((metrics["flags"].list.len() > 0).sum(), len(metrics)),
        flags=counts(metrics["flags"].explode(empty_as_null=False)),
        languages=counts(metrics["recaption_language"].fill_null("?")),
        subjects=counts(metrics["subject"].fill_null("not known")),
        perplexity_shift=shift(perplexities),
        n_perplexity=len(perplexities.drop_nulls()),
        clip=uplift(both(metrics, "caption_clip_score", "recaption_clip_score")),
        whole_clip=uplift(both(metrics, "caption_whole_clip_score", "recaption_whole_clip_score")),
        caption_auc=auc(both(metrics, "caption_shuffled_clip_score", "caption_clip_score")),
        recaption_auc=auc(both(metrics, "recaption_shuffled_clip_score", "recaption_clip_score")),
        share_seen_whole=ratio((tokens <= CLIP_TOKENS).sum(), len(tokens)),
        means=means(metrics),
    )


def both(metrics: pl.DataFrame, caption: str, recaption: str) -> pl.DataFrame:
    """Return two scores that are compared, with the paper of each figure."""
    return metrics.select("paper_id", caption=pl.col(caption), recaption=pl.col(recaption))


def reasons(metrics: pl.DataFrame, score: str) -> dict[str, int]:
    """Return why a score is missing, counted, of the figures that were in its sample."""
    missing = metrics["missing_scores"].drop_nulls().explode(empty_as_null=False).struct.unnest()
    return counts(missing.filter(pl.col("score") == score)["reason"])


def ratio(part: float | Decimal, whole: float | Decimal) -> float | None:
    """Return part over whole; None of nothing."""
    return float(part) / float(whole) if whole else None


def counts(values: pl.Series) -> dict[str, int]:
    """Return how often each value occurs, the most frequent first."""
    found = values.drop_nulls().value_counts(name="n").sort(["n", values.name], descending=[True, False])
    return dict(found.iter_rows())


def means(metrics: pl.DataFrame, *, at_least: int = 1) -> dict[str, float]:
    """Return the means that are compared between years; only those of so many known values."""
    with_claims = metrics.filter(pl.col("n_claims") > 0)
    values = {
        **{name: metrics[name] for name in ("caption_length_chars", "recaption_length_chars")},
        "grounding": with_claims["n_grounded_claims"] / with_claims["n_claims"].mean(),
        **{name: metrics[name] for name in ("caption_clip_score", "recaption_clip_score")},
        "log10_caption_pseudo_perplexity": metrics["caption_pseudo_perplexity"].log(10),
        "log10_recaption_pseudo_perplexity": metrics["recaption_pseudo_perplexity"].log(10),
    }
    known = {name: each.drop_nulls() for name, each in values.items()}
    return {name: float(each.mean()) for name, each in known.items() if len(each) >= at_least}  # type: ignore[arg-type]


def beside_paper(found: Quality, *, at_least: int = 1) -> dict[str, tuple[float, float]]:
    """Return, by name, what was found and what the paper reports; without what is known of too few figures."""
    clip = found.clip if found.clip and found.clip.n >= at_least else None
    ours: dict[str, float | None] = {
        "caption_length_chars": found.caption_length.mean if found.caption_length else None,
        "recaption_length_chars": found.recaption_length.mean if found.recaption_length else None,
        "expansion": found.expansion,
        "recaption_length_variation": found.recaption_length.variation if found.recaption_length else None,
        "clip_uplift": clip.mean.value if clip else None,
        "clip_variance_change": clip.variance.value if clip and clip.variance else None,
    }
    return {name: (value, PAPER[name]) for name, value in ours.items() if value is not None}


def drift(own: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    """Return by how much each mean differs from another partition's, as a share of that."""
    return {name: own[name] / other[name] - 1 for name in own if other.get(name)}


def numbers(found: Quality) -> dict[str, float | str]:
    """Return the numbers that the Dagster UI plots over partitions; what is not known is left out."""
    values: dict[str, float | None] = {
        "measured": found.n,
        **_spread("caption_length_chars", found.caption_length),
        **_spread("recaption_length_chars", found.recaption_length),
        "expansion": found.expansion,
        "grounding": found.grounding,
        "claims_grounded_only_in_image": found.share_of_claims_in_image,
        "degenerate_share": found.degenerate_share,
        "english_share": ratio(found.languages.get("en", 0), found.n),
        "pseudo_perplexity/n": found.n_perplexity,
        **_estimate("pseudo_perplexity/log10_shift", found.perplexity_shift),
        **_uplift("clip_score", found.clip),
        **_uplift("whole_clip_score", found.whole_clip),
        **_estimate("clip_score/caption_auc", found.caption_auc),
        **_estimate("clip_score/recaption_auc", found.recaption_auc),
        "clip_score/share_of_recaptions_seen_whole": found.share_seen_whole,
        **{f"{name}/mean": value for name, value in found.means.items() if name.endswith("clip_score")},
    }
    return {name: value for name, value in values.items() if value is not None and math.isfinite(value)}


def _spread(name: str, found: Spread | None) -> dict[str, float | None]:
    if found is None:
        return {}
    return {
        f"{name}/mean": found.mean,
        f"{name}/std": found.standard_deviation,
        f"{name}/variation": found.variation,
    }


def _estimate(name: str, found: Estimate | None) -> dict[str, float | None]:
    return {name: found.value, f"{name}/low": found.low, f"{name}/high": found.high} if found else {}


def _uplift(name: str, found: Uplift | None) -> dict[str, float | None]:
    if found is None:
        return {}
    return {
        f"{name}/n": found.n,
        **_estimate(f"{name}/uplift", found.mean),
        **_estimate(f"{name}/variance_change", found.variance),
    }
