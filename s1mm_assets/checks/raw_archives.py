"""What must be true of the papers as delivered before they are read."""

from collections.abc import Iterator

import dagster as dg
import polars as pl

from s1mm_assets import archives
from s1mm_assets.checks.conservation import EXAMPLES, conserved, guard, materialized, none_of
from s1mm_assets.partitions import source_and_year
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.sources.registry import Sources

ASSET = "raw_archives"


@dg.multi_asset_check(
    specs=[
        guard(ASSET, "every_archive_has_one_record", "Each paper has one archive row and one metadata row."),
        guard(ASSET, "papers_are_of_their_year", "A paper belongs to the year it was first posted."),
        guard(
            ASSET,
            "every_listed_chunk_is_here",
            "What the source's manifest lists for this year has been landed.",
            is_blocking=False,
        ),
        guard(
            ASSET,
            "rejection_rate_is_within_the_band",
            "The paper rejects about 20 % of arXiv archives; far from that, something else is wrong.",
            is_blocking=False,
        ),
    ]
)
def raw_archives_hold(
    context: dg.AssetCheckExecutionContext, store: ShardStore, sources: Sources, settings: Settings
) -> Iterator[dg.AssetCheckResult]:
    """Every delivered paper is there once, with its record."""
    landed = materialized(store, ASSET, context)
    delivered = store.read(landed, "archives", ["paper_id", "year", "kind", "rejection"])
    records = store.read(landed, "metadata", ["paper_id"])

    yield conserved("every_archive_has_one_record", delivered["paper_id"], records["paper_id"])
    source, year = source_and_year(context.partition_key)
    yield none_of("papers_are_of_their_year", delivered.filter(pl.col("year") != year), n=len(delivered))
    absent = sources.of(source).absent(year)
    yield dg.AssetCheckResult(
        check_name="every_listed_chunk_is_here",
        passed=not absent,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"n_absent": len(absent), "absent": absent[:EXAMPLES]},
    )
    low = settings.checks.min_archive_rejection_rate
    high = settings.checks.max_archive_rejection_rate
    rate = archives.rejection_rate(delivered)
    yield dg.AssetCheckResult(
        check_name="rejection_rate_is_within_the_band",
        passed=low <= rate <= high,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"rate": rate, "band": f"{low} to {high}", "n": len(delivered), "paper": 0.20},
    )
