"""recaptions -> quality_metrics."""

import dagster as dg

from s1mm_assets import metrics
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet


@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    code_version=metrics.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet"},
    pool="cpu",
)
def quality_metrics(
    context: dg.AssetExecutionContext, figure_candidates: ShardSet, recaptions: ShardSet, store: ShardStore
) -> ShardSet:
    """What can be said of each recaption: lengths, grounding; scores where a model is configured."""
    inputs = [figure_candidates, recaptions]
    measured = store.derive(metrics.stage(), context.partition_key, inputs=inputs, report=context.log.info)
    context.add_output_metadata(metrics.summary(store.read(measured, "metrics", metrics.SUMMARISED)))
    return measured
