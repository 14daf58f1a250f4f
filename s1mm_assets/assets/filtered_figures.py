"""figure_candidates -> filtered_figures."""

import dagster as dg

from s1mm_assets import filtering
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources import text_reader
from s1mm_assets.resources.renderers import Renderers
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.resources.text_reader import RapidOcrReader
from s1mm_assets.resources.worker_pool import WorkerPool


@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    code_version=filtering.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet", "polars"},
    pool="cpu",
)
def filtered_figures(
    context: dg.AssetExecutionContext,
    figure_candidates: ShardSet,
    store: ShardStore,
    workers: WorkerPool,
    renderers: Renderers,
    settings: Settings,
) -> ShardSet:
    """One decision per figure: kept, or why not. Duplicates are sought over the whole partition."""
    partition, report = context.partition_key, context.log.info
    measure = filtering.measure_stage(map_items=workers.map, environment=renderers.decoder())
    measures = store.derive(measure, partition, inputs=[figure_candidates], report=report)
    read = filtering.texts_stage(
        map_items=workers.map,
        reader=RapidOcrReader(),
        settings=settings.texts,
        environment=text_reader.versions(settings.texts),
    )
    texts = store.derive(read, partition, inputs=[figure_candidates], report=report)
    survivors = filtering.survivors(
        store.read(figure_candidates, "figures", filtering.RULE_COLUMNS, names_shard=True),
        store.read(measures, "measures", filtering.MEASURE_COLUMNS),
        settings.filtering,
        texts=store.scan(texts, "texts", filtering.TEXT_COLUMNS),
    )
    duplicates = filtering.find_duplicates(survivors, bits=settings.filtering.near_duplicate_bits)
    decide = filtering.decide_stage(settings=settings.filtering, duplicates=duplicates)
    decisions = store.derive(decide, partition, inputs=[figure_candidates, measures, texts], report=report)
    context.add_output_metadata(filtering.summary(store.read(decisions, "decisions", ["rejection"])))
    return decisions
