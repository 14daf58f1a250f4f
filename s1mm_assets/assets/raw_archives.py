"""landed_papers -> raw_archives: papers as delivered, verified, with checksums."""

import dagster as dg

from s1mm_assets import archives
from s1mm_assets.assets.shares import WHOLE, Share, spread
from s1mm_assets.partitions import SOURCE_BY_YEAR, source_and_year
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets.resources.worker_pool import WorkerPool
from s1mm_assets.steps import IF_KILLED, STEPS, once


def inspected(
    share: Share,
    context: dg.AssetExecutionContext,
    store: ShardStore,
    sources: Sources,
    workers: WorkerPool,
) -> ShardSet:
    """A share of the chunks, each paper's bytes looked at."""
    source, year = source_and_year(context.partition_key)
    client = sources.of(source)
    chunks = {chunk.name: chunk for chunk in client.chunks(year)}
    stage = archives.inspection_stage(
        source=source,
        year=year,
        deliveries=lambda shard: client.deliveries(shard, year),
        inputs=lambda shard: chunks[shard].inputs,
        read=sources.bundles(source).read,
        map_items=workers.map,
    )
    names = share.names(list(chunks))
    return store.derive(stage, context.partition_key, shards=names, report=context.log.info)


@spread(inspected)
@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    deps=["landed_papers"],
    code_version=archives.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet"},
    pool=STEPS.pool("raw_archives"),
    op_tags=STEPS.tags("raw_archives"),
    retry_policy=IF_KILLED,
)
@once
def raw_archives(
    context: dg.AssetExecutionContext,
    store: ShardStore,
    sources: Sources,
    workers: WorkerPool,
    settings: Settings,
) -> ShardSet:
    """Every paper that the source delivered for this year, verified in memory: kind, checksum, or what is wrong."""
    source, year = source_and_year(context.partition_key)
    client = sources.of(source)
    chunks = {chunk.name: chunk for chunk in client.chunks(year)}
    if not settings.checks.allow_vanished_chunks:
        sources.refuse_vanished(store.pinned("raw_archives", context.partition_key), chunks)
    stage = archives.stage(
        metadata=lambda paper_ids: client.metadata(year, paper_ids),
        inputs=lambda shard: chunks[shard].inputs,
    )
    inspections = inspected(WHOLE, context, store, sources, workers)
    landed = store.derive(stage, context.partition_key, inputs=[inspections], report=context.log.info)
    context.add_output_metadata(
        archives.summary(store.read(landed, "archives", ["kind", "rejection", "length"]))
    )
    return landed
