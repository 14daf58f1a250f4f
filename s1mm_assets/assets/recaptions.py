"""filtered_figures -> recaptions."""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from s1mm_assets import recaptioning
from s1mm_assets.assets.shares import WHOLE, Share, spread
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources.captioners.registry import Captioners
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.resources.worker_pool import WorkerPool
from s1mm_assets.steps import IF_KILLED, STEPS, once


def described(
    share: Share,
    context: dg.AssetExecutionContext,
    figure_candidates: ShardSet,
    filtered_figures: ShardSet,
    store: ShardStore,
    workers: WorkerPool,
    captioners: Captioners,
) -> tuple[ShardSet, Mapping[str, Any]]:
    """The recaptions of a share of the shards, and what they cost."""
    inputs = share.of(figure_candidates, filtered_figures)
    with captioners.opened(store, workers.map, context.log) as captioner:
        stage = recaptioning.stage(captioner)
        recaptioned = store.derive(stage, context.partition_key, inputs=inputs, report=context.log.info)
        cost = captioner.cost()  # the servers go with the block, and what they counted
    context.log.info("share %s: %s", share.key, cost)
    return recaptioned, cost


@spread(described)
@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    code_version=recaptioning.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet"},
    pool=STEPS.pool("recaptions"),
    op_tags=STEPS.tags("recaptions"),
    retry_policy=IF_KILLED,
)
@once
def recaptions(
    context: dg.AssetExecutionContext,
    figure_candidates: ShardSet,
    filtered_figures: ShardSet,
    store: ShardStore,
    workers: WorkerPool,
    captioners: Captioners,
) -> ShardSet:
    """A self-contained description of every kept figure, beside its author's caption."""
    recaptioned, cost = described(
        WHOLE, context, figure_candidates, filtered_figures, store, workers, captioners
    )
    if STEPS.pods("recaptions") == 1:  # else each share has said in its log what it cost
        context.add_output_metadata(cost)
    answers = store.read(recaptioned, "recaptions", recaptioning.SUMMARISED)
    context.add_output_metadata(recaptioning.summary(answers))
    return recaptioned
