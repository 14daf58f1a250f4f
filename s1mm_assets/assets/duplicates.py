"""filtered_figures of every partition -> duplicates: which kept figures another partition has too."""

import dagster as dg

from s1mm_assets import filtering
from s1mm_assets.resources.decided_partitions import decided, decided_partition
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore


@dg.asset(
    deps=["filtered_figures"],
    code_version=filtering.ACROSS_VERSION,
    group_name="pipeline",
    kinds={"parquet", "polars"},
    pool="cpu",
)
def duplicates(
    context: dg.AssetExecutionContext, store: ShardStore, settings: Settings
) -> dg.MaterializeResult[None]:
    """Kept figures whose image another partition has too, and releases: for each partition a slice."""
    bits = settings.filtering.near_duplicate_bits
    handles = decided(store)
    found = filtering.find_across([decided_partition(store, each) for each in handles.values()], bits=bits)
    counts: dict[str, int] = {}
    for key, decisions in handles.items():
        stage = filtering.duplicates_stage(found[key], bits=bits)
        store.pin(store.derive(stage, key, inputs=[decisions], report=context.log.info))
        counts |= {key: len(found[key])} if len(found[key]) else {}
    return dg.MaterializeResult(
        metadata={
            "partitions": len(handles),
            "duplicates": sum(counts.values()),
            "dagster/row_count": sum(counts.values()),
            "by_partition": counts,
        }
    )
