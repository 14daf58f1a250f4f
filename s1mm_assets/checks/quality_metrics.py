"""What must be true of the measurements before a release is made of them.

ERROR stops the release, WARN reports; the thresholds are settings, [checks]. What is estimated of few figures may miss
its threshold by chance: it stops the release where even the better end of its 95 % interval does, else it warns.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import dagster as dg
import polars as pl

from s1mm_assets.checks.conservation import conserved, guard, materialized, not_evaluated
from s1mm_assets.metrics import READ, Quality, quality
from s1mm_assets.metrics.quality import beside_paper, drift, means, reasons
from s1mm_assets.metrics.statistics import Estimate, share_above
from s1mm_assets.metrics.verdicts import Precision, VerdictError, wilson_interval
from s1mm_assets.partitions import partition_key, source_and_year
from s1mm_assets.resources.galleries import ASSETS, judged
from s1mm_assets.resources.quality_report import TURN_ON
from s1mm_assets.resources.settings import CheckSettings, Settings
from s1mm_assets.resources.shard_store import ShardStore, StoreError

ASSET = "quality_metrics"
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
YEARS_APART = (-2, -1, 1, 2)

GUARDS = {  # name → what it says, and whether its failure stops the release
    "every_recaption_has_one_metric": ("No recaption is lost on its way to the release.", True),
    "recaptions_fit_their_images": ("Most recaptions reach a CLIP score.", True),
    "recaptions_raise_the_clip_score": ("On average, recaptions fit better than captions.", True),
    "few_recaptions_are_degenerate": ("Few are short, repetitive, cut off or unresolved.", True),
    "clip_score_tells_pairs_apart": ("True pairs score higher than shuffled ones.", False),
    "recaptions_are_fluent": ("The pseudo-perplexity falls from captions to recaptions.", False),
    "recaptions_are_grounded": ("Their numbers and names stand in the paper or the image.", False),
    "means_are_like_neighbouring_years": ("What differs much from other years deserves a look.", False),
    "numbers_are_like_the_papers": ("Lengths and uplift beside what the paper reports.", False),
    "people_judge_kept_figures_good": (
        "Verdicts from the gallery: the share of kept figures that is good.",
        False,
    ),
}


@dg.multi_asset_check(
    specs=[guard(ASSET, name, text, is_blocking=stops) for name, (text, stops) in GUARDS.items()]
)
def quality_metrics_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore, settings: Settings
) -> Iterator[dg.AssetCheckResult]:
    """Every recaption was measured once, and is good enough; what was not measured is said."""
    handles = {asset: materialized(store, asset, context) for asset in ASSETS}
    recaptions = store.read(handles["recaptions"], "recaptions", ["figure_id", "rejection"])
    metrics = store.read(handles[ASSET], "metrics", READ)
    found, lines = quality(metrics), settings.checks

    accepted = recaptions.filter(pl.col("rejection").is_null())["figure_id"]
    yield conserved("every_recaption_has_one_metric", accepted, metrics["figure_id"])
    clip = Absence(metrics, is_on=settings.metrics.clip_score, measure="clip_score")
    yield recaptions_fit_their_images(metrics["recaption_clip_score"], lines, clip)
    yield recaptions_raise_the_clip_score(found, lines, clip)
    yield few_recaptions_are_degenerate(found, lines)
    yield clip_score_tells_pairs_apart(found, lines, replace(clip, score="recaption_shuffled_clip_score"))
    perplexity = Absence(metrics, is_on=settings.metrics.pseudo_perplexity, measure="pseudo_perplexity")
    yield recaptions_are_fluent(found, lines, perplexity)
    yield recaptions_are_grounded(found, lines)
    neighbours = neighbouring_means(store, context.partition_key, lines.min_rows_for_drift)
    own = means(metrics, at_least=lines.min_rows_for_drift)
    yield means_are_like_neighbouring_years(found.n, own, neighbours, lines)
    yield numbers_are_like_the_papers(found, lines)
    yield people_judge_kept_figures_good(lambda: judged(store, handles), lines)


def recaptions_fit_their_images(
    scores: pl.Series, lines: CheckSettings, absence: "Absence"
) -> dg.AssetCheckResult:
    """Enough of the scored recaptions reach the floor."""
    name = "recaptions_fit_their_images"
    share = share_above(scores, lines.clip_floor)
    if share is None:
        return absence.result(name, if_nothing=ERROR)
    n = len(scores.drop_nulls())
    _, high = wilson_interval(round(share * n), n)
    return dg.AssetCheckResult(
        check_name=name,
        passed=share >= lines.min_share_above_clip_floor,
        severity=ERROR if high < lines.min_share_above_clip_floor else WARN,
        metadata={
            "share": share,
            "share_high": high,
            "least": lines.min_share_above_clip_floor,
            "clip_floor": lines.clip_floor,
            "n": n,
            "n_rows": len(scores),
        },
    )


def recaptions_raise_the_clip_score(
    found: Quality, lines: CheckSettings, absence: "Absence"
) -> dg.AssetCheckResult:
    """The mean over recaptions is higher than over the captions of the same figures."""
    name = "recaptions_raise_the_clip_score"
    if found.clip is None:
        return absence.result(name, if_nothing=ERROR)
    whole = interval("whole_text_uplift", found.whole_clip.mean) if found.whole_clip else {}
    return dg.AssetCheckResult(
        check_name=name,
        passed=found.clip.mean.value >= lines.min_clip_uplift,
        severity=ERROR if found.clip.mean.high < lines.min_clip_uplift else WARN,
        metadata={
            **interval("uplift", found.clip.mean),
            **(interval("variance_change", found.clip.variance) if found.clip.variance else {}),
            **whole,
            "least": lines.min_clip_uplift,
            "n": found.clip.n,
            "n_rows": found.n,
        },
    )


def few_recaptions_are_degenerate(found: Quality, lines: CheckSettings) -> dg.AssetCheckResult:
    """Few recaptions have a flag; the flags are counted."""
    share = found.degenerate_share or 0.0
    low, _ = wilson_interval(round(share * found.n), found.n) if found.n else (0.0, 0.0)
    return dg.AssetCheckResult(
        check_name="few_recaptions_are_degenerate",
        passed=share <= lines.max_degenerate_share,
        severity=ERROR if low > lines.max_degenerate_share else WARN,
        metadata={
            "share": share,
            "share_low": low,
            "most": lines.max_degenerate_share,
            "n": found.n,
            "flags": dict(found.flags),
        },
    )


def clip_score_tells_pairs_apart(
    found: Quality, lines: CheckSettings, absence: "Absence"
) -> dg.AssetCheckResult:
    """The model sees what its scores are about: else they say nothing of alignment."""
    name = "clip_score_tells_pairs_apart"
    if found.recaption_auc is None:
        return absence.result(name, if_nothing=WARN)
    return dg.AssetCheckResult(
        check_name=name,
        passed=found.recaption_auc.value >= lines.min_probe_auc,
        severity=WARN,
        metadata={
            **interval("recaption_auc", found.recaption_auc),
            **(interval("caption_auc", found.caption_auc) if found.caption_auc else {}),
            "least": lines.min_probe_auc,
        },
    )


def recaptions_are_fluent(found: Quality, lines: CheckSettings, absence: "Absence") -> dg.AssetCheckResult:
    """Recaptions are no less likely, as scientific text, than captions are."""
    name = "recaptions_are_fluent"
    if found.perplexity_shift is None:
        return absence.result(name, if_nothing=WARN)
    return dg.AssetCheckResult(
        check_name=name,
        passed=found.perplexity_shift.value <= lines.max_perplexity_shift,
        severity=WARN,
        metadata={
            **interval("log10_shift", found.perplexity_shift),
            "most": lines.max_perplexity_shift,
            "n": found.n_perplexity,
            "n_rows": found.n,
        },
    )


def recaptions_are_grounded(found: Quality, lines: CheckSettings) -> dg.AssetCheckResult:
    """Enough of their numbers, units and names stand in caption, window or image."""
    is_seen = found.share_of_claims_in_image is not None
    return dg.AssetCheckResult(
        check_name="recaptions_are_grounded",
        passed=found.grounding is None or found.grounding >= lines.min_grounding,
        severity=WARN,
        metadata={
            "grounding": "no claims" if found.grounding is None else found.grounding,
            "least": lines.min_grounding,
            "text_in_image": "read" if is_seen else TURN_ON["text_in_image"],
        },
    )


def neighbouring_means(store: ShardStore, key: str, min_rows: int) -> dict[str, float]:
    """Return the means over the measured partitions up to two years away, each counting once.

    A partition that cannot be read counts as one that is not there: it is no fault of this one.
    """
    source, year = source_and_year(key)
    found: dict[str, list[float]] = {}
    for step in YEARS_APART:
        with suppress(StoreError):
            handle = store.pinned(ASSET, partition_key(source, year + step))
            metrics = store.read(handle, "metrics", READ) if handle else None
            of_year = {} if metrics is None else means(metrics, at_least=min_rows)
            for name, value in of_year.items():
                found.setdefault(name, []).append(value)
    return {name: sum(values) / len(values) for name, values in found.items()}


def means_are_like_neighbouring_years(
    n: int, own: Mapping[str, float], neighbours: Mapping[str, float], lines: CheckSettings
) -> dg.AssetCheckResult:
    """No mean lies far from that of the years around; compared is what enough figures of both are known of."""
    name = "means_are_like_neighbouring_years"
    drifts = drift(own, neighbours)
    if not drifts:
        return not_compared(name, n, lines, "no year around has as many")
    return within(name, drifts, lines.max_drift, {each: neighbours[each] for each in drifts})


def numbers_are_like_the_papers(found: Quality, lines: CheckSettings) -> dg.AssetCheckResult:
    """Lengths and uplift lie about where the paper's do."""
    name = "numbers_are_like_the_papers"
    if found.n < lines.min_rows_for_drift:
        return not_compared(name, found.n, lines, "")
    beside = beside_paper(found, at_least=lines.min_rows_for_drift)
    drifts = {each: (ours - papers) / abs(papers) for each, (ours, papers) in beside.items()}
    return within(
        name, drifts, lines.max_drift_from_paper, {each: papers for each, (_, papers) in beside.items()}
    )


def people_judge_kept_figures_good(
    judge: Callable[[], Precision | None], lines: CheckSettings
) -> dg.AssetCheckResult:
    """Of the kept figures that people looked at, most are good: even by the low end of the interval they may be."""
    name = "people_judge_kept_figures_good"
    try:
        found = judge()
    except VerdictError as error:
        return dg.AssetCheckResult(check_name=name, passed=False, severity=WARN, description=str(error))
    if found is None or found.kept.share is None:
        return not_evaluated(
            name, "open the gallery, judge, and put the file of verdicts beside it: `s1mm verdicts`"
        )
    return dg.AssetCheckResult(
        check_name=name,
        passed=found.kept.share >= lines.min_precision,
        severity=WARN,
        metadata={
            "precision": found.kept.share,
            "low": found.kept.low or 0.0,
            "high": found.kept.high or 0.0,
            "n_judged": found.kept.n_judged,
            "least": lines.min_precision,
            "rejections_judged_right": "none judged"
            if found.rejected.share is None
            else found.rejected.share,
            "by_reason": {
                reason: f"{each.n_right} of {each.n_judged} rightly rejected"
                for reason, each in found.by_reason.items()
            },
            "not_used": {
                "gone": found.n_gone,
                "decided anew": found.n_redecided,
                "changed": found.n_changed,
                "disputed": found.n_disputed,
            },
        },
    )


@dataclass(frozen=True, slots=True)
class Absence:
    """Why nothing can be said of a score: it is turned off, nothing was sampled, or all of it is missing."""

    metrics: pl.DataFrame  # `READ`
    is_on: bool
    measure: str
    score: str = ""  # the column; the recaption's own where not given

    def result(self, name: str, *, if_nothing: dg.AssetCheckSeverity) -> dg.AssetCheckResult:
        """Return what a check says; `if_nothing` is the severity where figures were scored and none has a score."""
        n = len(self.metrics)
        if n == 0:
            return dg.AssetCheckResult(check_name=name, passed=True, description="no recaptions")
        if not self.is_on:
            return not_evaluated(name, TURN_ON[self.measure].removeprefix("not evaluated: "))
        counted = reasons(self.metrics, self.score or f"recaption_{self.measure}")
        if not counted and self.metrics[f"recaption_{self.measure}"].null_count() == n:
            share = f"{self.measure}_share"
            return not_evaluated(
                name, f"none of {n} recaptions is in the sample: raise {share} under [metrics]"
            )
        return dg.AssetCheckResult(
            check_name=name,
            passed=False,
            severity=if_nothing,
            description="no figure has a score to compare",
            metadata={"missing": counted, "n_rows": n},
        )


def not_compared(name: str, n: int, lines: CheckSettings, why: str) -> dg.AssetCheckResult:
    """Too few rows to compare: it passes, and says so."""
    few = f"{n} recaptions; {lines.min_rows_for_drift} are compared"
    return dg.AssetCheckResult(check_name=name, passed=True, description="; ".join(filter(None, [few, why])))


def within(
    name: str, drifts: Mapping[str, float], most: float, others: Mapping[str, float]
) -> dg.AssetCheckResult:
    """Warn where a number lies further from another than allowed."""
    far = {each: value for each, value in drifts.items() if abs(value) > most}
    return dg.AssetCheckResult(
        check_name=name,
        passed=not far,
        severity=WARN,
        description=None if not far else ", ".join(f"{each} {value:+.0%}" for each, value in far.items()),
        metadata={"drift": dict(drifts), "beside": dict(others), "most": most},
    )


def interval(name: str, found: Estimate) -> dict[str, float]:
    """A value and its 95 % interval as metadata; without ends that are none."""
    values = {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return {each: value for each, value in values.items() if math.isfinite(value)}
