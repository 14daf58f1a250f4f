"""What must be true of the papers as delivered before they are read."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from s1mm_assets import archives
from s1mm_assets.checks.examples import examples
from s1mm_assets.checks.guards import Guard, materialized, reported, specs
from s1mm_assets.checks.results import conserved, none_of
from s1mm_assets.partitions import source_and_year
from s1mm_assets.resources.settings import CheckSettings, Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets.steps import IF_KILLED, STEPS

ASSET = "raw_archives"
WARN = dg.AssetCheckSeverity.WARN
GUARDS = {
    "every_archive_has_one_record": Guard(
        says="Each delivered paper has one row in `archives` (where its bytes are) and one in `metadata` (its title, "
        "licence and dates). Later stages join the two: a paper without its record would lose its licence.",
        what_to_do="Materialize raw_archives for PARTITION again. If it fails again, look whether the source delivers "
        "the papers that are shown twice; if it does not, report them: the stage has a defect.",
    ),
    "papers_are_of_their_year": Guard(
        says="A paper belongs to the year in which it was first posted, by which the partition is called. In two "
        "years it would be released twice.",
        what_to_do="Compare the dates in the source's metadata with those of the papers that are shown, correct them, "
        "and materialize raw_archives for PARTITION again.",
    ),
    "every_listed_chunk_is_here": Guard(
        says="What the source's own list names for this year has been landed. Without all of it the partition can be "
        "built, and lacks papers.",
        stops=False,
        what_to_do="Fetch what is missing by `s1mm acquire -p 'PARTITION'`, or copy it into S1MM_SOURCES; then "
        "materialize raw_archives for PARTITION again.",
    ),
    "rejection_rate_is_within_the_band": Guard(
        says="The share of archives in which no figure could be sought: corrupt, undecodable, without images. The "
        "paper on S1-MMAlign reports about 20 % of arXiv's; far from that, something is wrong with a transfer, or "
        "with what we read.",
        stops=False,
        settings=("checks.min_archive_rejection_rate", "checks.max_archive_rejection_rate"),
        what_to_do="`s1mm failures -p 'PARTITION'` shows papers of each reason. If they are right, this source is "
        "like that: move the band.",
    ),
}


@dg.multi_asset_check(specs=specs(ASSET, GUARDS), op_tags=STEPS.share_tags("checks"), retry_policy=IF_KILLED)
def raw_archives_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore, sources: Sources, settings: Settings
) -> Iterator[dg.AssetCheckResult]:
    """Every delivered paper is there once, with its record."""
    key = context.partition_key
    yield from reported(GUARDS, results(store, sources, settings, key), settings=settings, partition=key)


def results(
    store: ShardStore, sources: Sources, settings: Settings, partition: str
) -> Iterator[dg.AssetCheckResult]:
    """Yield what each check finds."""
    landed = materialized(store, ASSET, partition)
    delivered = store.read(landed, "archives", ["paper_id", "year", "kind", "rejection"])
    records = store.read(landed, "metadata", ["paper_id"])
    source, year = source_and_year(partition)

    yield conserved("every_archive_has_one_record", delivered["paper_id"], records["paper_id"])
    of_others = delivered.filter(pl.col("year") != year).select("paper_id", "year")
    yield none_of("papers_are_of_their_year", of_others, {"n": len(delivered)})
    yield every_listed_chunk_is_here(sources.of(source).absent(year))
    yield rejection_rate_is_within_the_band(delivered, settings.checks)


def every_listed_chunk_is_here(absent: list[str]) -> dg.AssetCheckResult:
    """Nothing that the source lists is missing."""
    missing = pl.DataFrame({"missing": absent}, schema={"missing": pl.String})
    return none_of("every_listed_chunk_is_here", missing, {})._replace(severity=WARN)


def rejection_rate_is_within_the_band(delivered: pl.DataFrame, lines: CheckSettings) -> dg.AssetCheckResult:
    """The reasons are counted where it is not."""
    rate = archives.rejection_rate(delivered)
    is_within = lines.min_archive_rejection_rate <= rate <= lines.max_archive_rejection_rate
    reasons = delivered.drop_nulls("rejection")["rejection"].value_counts(sort=True, name="papers")
    return dg.AssetCheckResult(
        check_name="rejection_rate_is_within_the_band",
        passed=is_within,
        severity=WARN,
        description=None if is_within else f"{rate:.1%} of {len(delivered):,} archives rejected",
        metadata={
            "rate": rate,
            "n": len(delivered),
            "paper": 0.20,
            **({} if is_within else examples(reasons)),
        },
    )
