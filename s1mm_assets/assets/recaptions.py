"""filtered_figures -> recaptions."""

import os

import dagster as dg

from s1mm_assets import recaptioning
from s1mm_assets.assets.h100 import h100_tags
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources.captioners.registry import Captioners
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.resources.worker_pool import WorkerPool


@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    code_version=recaptioning.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet"},
    pool="gpu",
    op_tags=h100_tags(os.environ),
)
def recaptions(
    context: dg.AssetExecutionContext,
    figure_candidates: ShardSet,
    filtered_figures: ShardSet,
    store: ShardStore,
    workers: WorkerPool,
    captioners: Captioners,
) -> ShardSet:
    """A self-contained description of every kept figure, beside its author's caption."""
    inputs = [figure_candidates, filtered_figures]
    with captioners.opened(store, workers.map, context.log) as captioner:
        stage = recaptioning.stage(captioner)
        recaptioned = store.derive(stage, context.partition_key, inputs=inputs, report=context.log.info)
        context.add_output_metadata(captioner.cost())
    answers = store.read(recaptioned, "recaptions", recaptioning.SUMMARISED)
    context.add_output_metadata(recaptioning.summary(answers))
    return recaptioned
