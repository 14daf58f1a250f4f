"""figure_candidates -> filtered_figures."""

import dagster as dg

from s1mm_assets import filtering
from s1mm_assets.assets.shares import WHOLE, Share, spread
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources import text_reader
from s1mm_assets.resources.renderers import Renderers
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.resources.text_reader import RapidOcrReader
from s1mm_assets.resources.worker_pool import WorkerPool
from s1mm_assets.steps import IF_KILLED, STEPS, once


def looked_at(
    share: Share,
    context: dg.AssetExecutionContext,
    figure_candidates: ShardSet,
    store: ShardStore,
    workers: WorkerPool,
    renderers: Renderers,
    settings: Settings,
) -> tuple[ShardSet, ShardSet]:
    """What is measured and read in the images of a share of the shards: the costly part of filtering."""
    measure = filtering.measure_stage(map_items=workers.map, environment=renderers.decoder())
    read = filtering.texts_stage(
        map_items=workers.map,
        reader=RapidOcrReader(),
        settings=settings.texts,
        environment=text_reader.versions(settings.texts),
    )
    partition, inputs, report = context.partition_key, share.of(figure_candidates), context.log.info
    measures = store.derive(measure, partition, inputs=inputs, report=report)
    return measures, store.derive(read, partition, inputs=inputs, report=report)


@spread(looked_at)
@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    code_version=filtering.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet", "polars"},
    pool=STEPS.pool("filtered_figures"),
    op_tags=STEPS.tags("filtered_figures"),
    retry_policy=IF_KILLED,
)
@once
def filtered_figures(
    context: dg.AssetExecutionContext,
    figure_candidates: ShardSet,
    store: ShardStore,
    workers: WorkerPool,
    renderers: Renderers,
    settings: Settings,
) -> ShardSet:
    """One decision per figure: kept, or why not. Duplicates are sought over the whole partition."""
    measures, texts = looked_at(WHOLE, context, figure_candidates, store, workers, renderers, settings)
    survivors = filtering.survivors(
        store.read(figure_candidates, "figures", filtering.RULE_COLUMNS, names_shard=True),
        store.read(measures, "measures", filtering.MEASURE_COLUMNS),
        settings.filtering,
        texts=store.scan(texts, "texts", filtering.TEXT_COLUMNS),
    )
    duplicates = filtering.find_duplicates(survivors, bits=settings.filtering.near_duplicate_bits)
    decide = filtering.decide_stage(settings=settings.filtering, duplicates=duplicates)
    inputs = [figure_candidates, measures, texts]
    decisions = store.derive(decide, context.partition_key, inputs=inputs, report=context.log.info)
    context.add_output_metadata(filtering.summary(store.read(decisions, "decisions", ["rejection"])))
    return decisions
