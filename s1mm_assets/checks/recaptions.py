"""What must be true of the recaptions before they are measured."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from s1mm_assets.checks.examples import TEXT_CHARS, examples
from s1mm_assets.checks.guards import Guard, materialized, reported, specs
from s1mm_assets.checks.results import conserved, none_of, some_of_each
from s1mm_assets.resources.settings import CheckSettings, Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.steps import IF_KILLED, STEPS
from s1mm_assets.tables import TABLES, schema_of

ASSET = "recaptions"
AGAIN = (
    "Materialize recaptions for PARTITION again: filtered_figures may have been made anew since. What was answered is "
    "not asked again. If it fails again, the stage has a defect: report the figures that are shown."
)
GUARDS = {
    "every_kept_figure_has_one_recaption": Guard(
        says="Each kept figure was asked about once, and has one row: a recaption, or why it has none. So no figure "
        "is lost on its way to the model.",
        what_to_do=AGAIN,
    ),
    "every_recaption_has_text_or_a_reason": Guard(
        says="A row has the text of a recaption, or the reason for which it has none, and never both. An empty "
        "recaption would be released as one.",
        what_to_do=AGAIN,
    ),
    "few_figures_lack_a_recaption": Guard(
        says="The share of kept figures without a recaption. A few answers are always of no use; where many are, "
        "model, prompt or servers are at fault rather than the figures.",
        stops=False,
        settings=("checks.max_recaption_rejection_rate",),
        what_to_do="Look at the answers: `s1mm failures -p 'PARTITION'`. Mend model, prompt or servers; then "
        "`s1mm retry -p 'PARTITION' --reason REASON` asks again about the figures with that reason.",
    ),
}


@dg.multi_asset_check(specs=specs(ASSET, GUARDS), op_tags=STEPS.share_tags("checks"), retry_policy=IF_KILLED)
def recaptions_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore, settings: Settings
) -> Iterator[dg.AssetCheckResult]:
    """Every kept figure was asked about once, and has an answer or a reason."""
    key = context.partition_key
    yield from reported(GUARDS, results(store, settings, key), settings=settings, partition=key)


def results(store: ShardStore, settings: Settings, partition: str) -> Iterator[dg.AssetCheckResult]:
    """Yield what each check finds."""
    filtered = materialized(store, "filtered_figures", partition)
    decisions = store.read(filtered, "decisions", ["figure_id", "rejection"])
    recaptions = answered(store, materialized(store, ASSET, partition))

    kept = decisions.filter(pl.col("rejection").is_null())["figure_id"]
    yield conserved("every_kept_figure_has_one_recaption", kept, recaptions["figure_id"])
    wrong = recaptions.filter(pl.col("has_text") == pl.col("rejection").is_not_null())
    yield none_of("every_recaption_has_text_or_a_reason", wrong, {"n": len(recaptions)})
    yield few_rejected(recaptions.select("figure_id", "rejection", "evidence"), settings.checks)


def answered(store: ShardStore, recaptions: ShardSet) -> pl.DataFrame:
    """Return what became of every figure; of the texts only whether there is one, as they may be long."""
    has_text = pl.col("recaption").fill_null("").str.strip_chars() != ""
    columns = ["figure_id", "rejection", "evidence"]
    none = schema_of(TABLES[ASSET]["recaptions"]).to_frame().select(*columns, has_text=pl.lit(value=True))
    groups = store.scan(recaptions, "recaptions", [*columns, "recaption"])
    said = pl.col("evidence").str.head(TEXT_CHARS)
    rows = (group.select("figure_id", "rejection", said, has_text=has_text) for group in groups)
    return pl.concat([none, *rows])


def few_rejected(recaptions: pl.DataFrame, lines: CheckSettings) -> dg.AssetCheckResult:
    """Warn where too large a share of figures has no recaption; the reasons are counted, and some of each shown."""
    rejected = recaptions.drop_nulls("rejection")
    counts = rejected["rejection"].value_counts(sort=True)
    rate = len(rejected) / max(1, len(recaptions))
    is_fine = rate <= lines.max_recaption_rejection_rate
    shown = some_of_each(rejected.rename({"rejection": "what"}))
    return dg.AssetCheckResult(
        check_name="few_figures_lack_a_recaption",
        passed=is_fine,
        severity=dg.AssetCheckSeverity.WARN,
        description=None if is_fine else f"{rate:.1%} of {len(recaptions):,} figures have no recaption",
        metadata={
            "rate": rate,
            "n": len(recaptions),
            "reasons": dict(counts.iter_rows()),
            **({} if is_fine else examples(shown)),
        },
    )
