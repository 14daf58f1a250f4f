"""filtered_figures -> recaptions."""

import dagster as dg

from s1mm_assets import recaptioning
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources.captioners import Captioners
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet


@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    code_version=recaptioning.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet"},
    pool="gpu",
)
def recaptions(
    context: dg.AssetExecutionContext,
    figure_candidates: ShardSet,
    filtered_figures: ShardSet,
    store: ShardStore,
    captioners: Captioners,
) -> ShardSet:
    """A self-contained description of every kept figure, beside its author's caption."""
    stage = recaptioning.stage(captioners.configured())
    inputs = [figure_candidates, filtered_figures]
    recaptioned = store.derive(stage, context.partition_key, inputs=inputs, report=context.log.info)
    answers = store.read(recaptioned, "recaptions", recaptioning.SUMMARISED)
    context.add_output_metadata(recaptioning.summary(answers))
    return recaptioned
