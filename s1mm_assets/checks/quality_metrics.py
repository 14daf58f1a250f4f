"""What must be true of the measurements before a release is made of them.

ERROR stops the release, WARN reports; the thresholds are settings, [checks]. What is estimated of few figures may miss
its threshold by chance: it stops the release where even the better end of its 95 % interval does, else it warns.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import dagster as dg
import polars as pl

from s1mm_assets.checks.examples import escaped, examples
from s1mm_assets.checks.guards import BY_CHANCE, Guard, materialized, reported, specs
from s1mm_assets.checks.quality_examples import with_examples, worst
from s1mm_assets.checks.results import conserved, not_evaluated
from s1mm_assets.metrics import READ, Quality, quality
from s1mm_assets.metrics.quality import beside_paper, drift, means, reasons
from s1mm_assets.metrics.verdicts import Precision, VerdictError, wilson_interval
from s1mm_assets.partitions import partition_key, source_and_year
from s1mm_assets.resources.galleries import ASSETS, judged
from s1mm_assets.resources.quality_report import TURN_ON
from s1mm_assets.resources.settings import CheckSettings, Settings
from s1mm_assets.resources.shard_store import ShardStore, StoreError
from s1mm_assets.steps import IF_KILLED, STEPS

if TYPE_CHECKING:
    from s1mm_assets.metrics.statistics import Estimate

ASSET = "quality_metrics"
WARN, ERROR = dg.AssetCheckSeverity.WARN, dg.AssetCheckSeverity.ERROR
YEARS_APART = (-2, -1, 1, 2)
MEND_MODEL = (
    "`missing` says why there is no score: mend what it names, or the model under [metrics], and materialize "
    "quality_metrics again."
)

GUARDS = {
    "every_recaption_has_one_metric": Guard(
        says="Each recaption was measured, once. Nothing is lost on the way to the release.",
        what_to_do="Materialize quality_metrics for PARTITION again: recaptions may have been made anew since. If it "
        "fails again, the stage has a defect: report the figures that are shown.",
    ),
    "recaptions_fit_their_images": Guard(
        says="The share of scored recaptions whose CLIP score reaches a floor. A recaption below it hardly speaks of "
        "its image; where many are, the model saw other images, or none. It fails too where scoring is turned on and "
        "no figure has a score.",
        unless=BY_CHANCE,
        settings=("checks.min_share_above_clip_floor", "checks.clip_floor"),
        what_to_do="Compare the pictures and texts that are shown, and more in `s1mm gallery 'PARTITION'`. If the "
        "texts are wrong, change `[recaptioning] model` or `[recaptioning] prompt`, and materialize recaptions again; "
        "if they are right, lower the floor.",
    ),
    "recaptions_raise_the_clip_score": Guard(
        says="How much higher the mean CLIP score of recaptions is than that of the authors' captions of the same "
        "figures: what the dataset is made for. S1-MMAlign reports +18 %. It fails too where scoring is turned on "
        "and no figure has both scores.",
        unless=BY_CHANCE,
        settings=("checks.min_clip_uplift",),
        what_to_do="Look at the figures that lose most, which are shown. Change `[recaptioning] model` or "
        "`[recaptioning] prompt`, and materialize recaptions again.",
    ),
    "few_recaptions_are_degenerate": Guard(
        says="The share of recaptions with a flag: too short, the same as the caption, repetitive, few letters, "
        "unresolved references, cut off, or shared with another figure. Such texts teach nothing.",
        unless=BY_CHANCE,
        settings=("checks.max_degenerate_share",),
        what_to_do="See which flags are many. Against cut_off raise `[recaptioning] max_answer_tokens`, against others "
        "change `[recaptioning] model` or `[recaptioning] prompt`. Then materialize recaptions again.",
    ),
    "clip_score_tells_pairs_apart": Guard(
        says="How often an image scores higher with its own recaption than with that of another paper's figure (AUC; "
        "0.5 is chance). Where the model cannot tell them apart, its scores say nothing of alignment.",
        stops=False,
        settings=("checks.min_probe_auc",),
        what_to_do="Do not rely on the CLIP scores of this partition. Try another `[metrics] clip_model`, or judge "
        "by eye: `s1mm gallery 'PARTITION'`.",
    ),
    "recaptions_are_fluent": Guard(
        says="By how much the pseudo-perplexity changes from captions to recaptions (mean of log10). Above 0, "
        "recaptions are less like scientific text than what the authors wrote.",
        stops=False,
        settings=("checks.max_perplexity_shift",),
        what_to_do="Read the recaptions that are shown. Where they are odd, change `[recaptioning] model` or "
        "`[recaptioning] prompt`, and materialize recaptions again.",
    ),
    "recaptions_are_grounded": Guard(
        says="The share of numbers, units and names in recaptions that stand in title, abstract, caption, citing text "
        "or image. The others may be invented.",
        stops=False,
        settings=("checks.min_grounding",),
        what_to_do="Compare the claims that are shown with the papers. Where the model invents, change "
        "`[recaptioning] model` or `[recaptioning] prompt`, and materialize recaptions again; where it reads them in "
        "images, have these read too: `[texts] sample_share`.",
    ),
    "means_are_like_neighbouring_years": Guard(
        says="Lengths, grounding and scores beside the means of the two years before and after. What differs much "
        "deserves a look: an archive may be incomplete, or a model another one. Few recaptions are not compared.",
        stops=False,
        settings=("checks.max_drift", "checks.min_rows_for_drift"),
        what_to_do="Look whether this year was made with the same code, prompt and model as the others (the code "
        "versions in the UI), and whether all its papers are there: `s1mm failures -p 'PARTITION'`.",
    ),
    "numbers_are_like_the_papers": Guard(
        says="Lengths and uplift beside what the paper on S1-MMAlign reports. Far from it, this is a dataset of "
        "another kind, which may be what you want. Few recaptions are not compared.",
        stops=False,
        settings=("checks.max_drift_from_paper", "checks.min_rows_for_drift"),
        what_to_do="If the difference is not meant, look at `[recaptioning] prompt` and at the section [filtering] of "
        "`s1mm settings`.",
    ),
    "people_judge_kept_figures_good": Guard(
        says="The share of kept figures that people judged good in the gallery: the only measure that no model made.",
        stops=False,
        settings=("checks.min_precision",),
        what_to_do="Look in `s1mm gallery 'PARTITION'` at what was judged bad. Tighten the filters, the section "
        "[filtering] of `s1mm settings`, and materialize filtered_figures and what follows again.",
    ),
}


@dg.multi_asset_check(specs=specs(ASSET, GUARDS), op_tags=STEPS.share_tags("checks"), retry_policy=IF_KILLED)
def quality_metrics_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore, settings: Settings
) -> Iterator[dg.AssetCheckResult]:
    """Every recaption was measured once, and is good enough; what was not measured is said."""
    key = context.partition_key
    yield from reported(GUARDS, results(store, settings, key), settings=settings, partition=key)


def results(store: ShardStore, settings: Settings, partition: str) -> Iterator[dg.AssetCheckResult]:
    """Yield what each check finds, with the figures that speak most against it."""
    handles = {asset: materialized(store, asset, partition) for asset in ASSETS}
    recaptions = store.read(handles["recaptions"], "recaptions", ["figure_id", "rejection"])
    metrics = store.read(handles[ASSET], "metrics", READ)

    accepted = recaptions.filter(pl.col("rejection").is_null())["figure_id"]
    yield conserved("every_recaption_has_one_metric", accepted, metrics["figure_id"])
    found, figures = quality(metrics), worst(metrics, settings.checks)
    for result in scored(metrics, found, settings):
        yield with_examples(result, figures, store, handles)
    own = means(metrics, at_least=settings.checks.min_rows_for_drift)
    neighbours = neighbouring_means(store, partition, settings.checks.min_rows_for_drift)
    yield means_are_like_neighbouring_years(found.n, own, neighbours, settings.checks)
    yield numbers_are_like_the_papers(found, settings.checks)
    yield people_judge_kept_figures_good(lambda: judged(store, handles), settings.checks)


def scored(metrics: pl.DataFrame, found: Quality, settings: Settings) -> Iterator[dg.AssetCheckResult]:
    """Yield what the checks find that look at this partition's figures alone."""
    lines = settings.checks
    clip = Absence(metrics, is_on=settings.metrics.clip_score, measure="clip_score")
    yield recaptions_fit_their_images(metrics["recaption_clip_score"], lines, clip)
    yield recaptions_raise_the_clip_score(found, lines, clip)
    yield few_recaptions_are_degenerate(found, lines)
    yield clip_score_tells_pairs_apart(found, lines, replace(clip, score="recaption_shuffled_clip_score"))
    perplexity = Absence(metrics, is_on=settings.metrics.pseudo_perplexity, measure="pseudo_perplexity")
    yield recaptions_are_fluent(found, lines, perplexity)
    yield recaptions_are_grounded(found, lines)


def recaptions_fit_their_images(
    scores: pl.Series, lines: CheckSettings, absence: "Absence"
) -> dg.AssetCheckResult:
    """Enough of the scored recaptions reach the floor."""
    from s1mm_assets.metrics.statistics import share_above

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
        description=f"{share:.1%} of {n:,} scored recaptions reach {lines.clip_floor:g}",
        metadata={
            "share": share,
            "share_high": high,
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
        description=f"{found.clip.mean.value:+.1%} over {found.clip.n:,} figures",
        metadata={
            **interval("uplift", found.clip.mean),
            **(interval("variance_change", found.clip.variance) if found.clip.variance else {}),
            **whole,
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
        description=f"{share:.1%} of {found.n:,} recaptions have a flag",
        metadata={
            "share": share,
            "share_low": low,
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
        description=f"AUC {found.recaption_auc.value:.2f}",
        metadata={
            **interval("recaption_auc", found.recaption_auc),
            **(interval("caption_auc", found.caption_auc) if found.caption_auc else {}),
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
        description=f"{found.perplexity_shift.value:+.2f} over {found.n_perplexity:,} figures",
        metadata={
            **interval("log10_shift", found.perplexity_shift),
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
        description=None if found.grounding is None else f"{found.grounding:.1%} of the claims are grounded",
        metadata={
            "grounding": "no claims" if found.grounding is None else found.grounding,
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
        return dg.AssetCheckResult(
            check_name=name,
            passed=False,
            severity=WARN,
            description=escaped(str(error)),  # the UI reads descriptions as Markdown
            metadata={"what_to_do": "Correct that line, and put the file back by `s1mm verdicts FILE.csv`."},
        )
    if found is None or found.kept.share is None:
        return not_evaluated(
            name, "open the gallery, judge, and put the file of verdicts beside it: `s1mm verdicts`"
        )
    return dg.AssetCheckResult(
        check_name=name,
        passed=found.kept.share >= lines.min_precision,
        severity=WARN,
        description=f"{found.kept.share:.1%} of {found.kept.n_judged:,} judged figures are good",
        metadata={
            "precision": found.kept.share,
            "low": found.kept.low or 0.0,
            "high": found.kept.high or 0.0,
            "n_judged": found.kept.n_judged,
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
            metadata={"missing": counted, "n_rows": n, "what_to_do": MEND_MODEL},
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
    rows = [(name, others[name], f"{value:+.0%}") for name, value in far.items()]
    table = pl.DataFrame(rows, schema=["measure", "other", "here"], orient="row")
    return dg.AssetCheckResult(
        check_name=name,
        passed=not far,
        severity=WARN,
        description=None if not far else ", ".join(f"{each} {value:+.0%}" for each, value in far.items()),
        metadata={"drift": dict(drifts), "beside": dict(others), **(examples(table) if far else {})},
    )


def interval(name: str, found: "Estimate") -> dict[str, float]:
    """A value and its 95 % interval as metadata; without ends that are none."""
    values = {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
    return {each: value for each, value in values.items() if math.isfinite(value)}
