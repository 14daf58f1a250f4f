"""∅ -> landed_papers: what a publisher offers of one year, fetched into the folder of sources."""

from dataclasses import asdict

import dagster as dg

from s1mm_assets.partitions import SOURCE_BY_YEAR, source_and_year
from s1mm_assets.resources.publishers.registry import Publishers
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets.steps import IF_KILLED, STEPS, once


@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    group_name="pipeline",
    kinds={"s3"},
    pool=STEPS.pool("landed_papers"),
    op_tags=STEPS.tags("landed_papers"),
    retry_policy=IF_KILLED,
)
@once
def landed_papers(
    context: dg.AssetExecutionContext, sources: Sources, publishers: Publishers, settings: Settings
) -> dg.MaterializeResult[None]:
    """The papers of this year as their publisher offers them, whole and verified, in the folder of sources.

    Only publishers that the settings name are asked; of other sources this does nothing, and what lies in their folder
    is read as it is.
    """
    source, year = source_and_year(context.partition_key)
    if source not in settings.acquisition.publishers:
        return dg.MaterializeResult(metadata={"asked": "nobody: not among [acquisition] publishers"})
    acquired = publishers.acquisition(
        source,
        year,
        folder=sources.folder_to_fill(source),
        terms=settings.acquisition,
        report=context.log.info,
    ).run()
    return dg.MaterializeResult(
        metadata={
            "listed": acquired.n_listed,
            "landed": acquired.n_landed,
            "new": acquired.n_new,
            "bytes": acquired.n_bytes,
            "refused": acquired.n_refused,
            "not offered any more": acquired.n_not_offered,
            "replaced by a newer version": len(acquired.replaced),
            "USD": acquired.usd,
            "USD so far": acquired.spent.usd,
            **{f"used by this run/{name}": value for name, value in asdict(acquired.used).items()},
            "notes": dg.MetadataValue.md("\n".join(f"- {note}" for note in acquired.told()) or "none"),
        }
    )
