"""filtered_figures of every partition -> duplicates: which kept figures another partition has too."""

import dagster as dg

from s1mm_assets import filtering
from s1mm_assets.release import ReleaseSettings
from s1mm_assets.resources.decided_partitions import decided, decided_partition, record_view, view_of
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import Report, ShardStore, StoreError
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.steps import IF_KILLED, STEPS, once

MAX_SEARCHES = 5


@dg.asset(
    deps=["filtered_figures"],
    code_version=filtering.ACROSS_VERSION,
    group_name="pipeline",
    kinds={"parquet", "polars"},
    pool=STEPS.pool("duplicates"),
    op_tags=STEPS.tags("duplicates"),
    retry_policy=IF_KILLED,
)
@once
def duplicates(
    context: dg.AssetExecutionContext, store: ShardStore, settings: Settings
) -> dg.MaterializeResult[None]:
    """Kept figures whose image another partition has too, and releases: for each partition a slice."""
    bits = settings.filtering.near_duplicate_bits
    slices = search(store, bits=bits, release=settings.release, report=context.log.info)
    counts = {key: n for key, handle in slices.items() if (n := handle.n_rows("duplicates"))}
    return dg.MaterializeResult(
        metadata={
            "partitions": len(slices),
            "duplicates": sum(counts.values()),
            "dagster/row_count": sum(counts.values()),
            "by_partition": counts,
        }
    )


def search(store: ShardStore, *, bits: int, release: ReleaseSettings, report: Report) -> dict[str, ShardSet]:
    """Write each partition's slice; search again where a partition was filtered meanwhile.

    Args:
        store: Holds the decisions.
        bits: The largest distance of near duplicates.
        release: Says whose images may be released: they are preferred.
        report: Receives a line per shard.

    Returns:
        The handle of each slice, by partition.

    Raises:
        StoreError: Partitions were filtered during every search.
    """
    for _ in range(MAX_SEARCHES):
        decisions = decided(store)
        partitions = [decided_partition(store, each, release) for each in decisions.values()]
        found = filtering.find_across(partitions, bits=bits)
        slices = {}
        for key, handle in decisions.items():
            stage = filtering.duplicates_stage(found[key], bits=bits, preferred=release.licences())
            slices[key] = store.derive(stage, key, inputs=[handle], report=report)
            store.pin(slices[key])
        if decided(store) == decisions:
            record_view(store, view_of(decisions, slices))
            return slices
        report("a partition was filtered meanwhile: duplicates are sought again")
    raise StoreError(
        f"partitions were filtered during each of {MAX_SEARCHES} searches: materialize duplicates when none is"
    )
