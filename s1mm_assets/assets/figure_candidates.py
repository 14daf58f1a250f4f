"""raw_archives -> figure_candidates."""

import dagster as dg

from s1mm_assets import archives, extraction
from s1mm_assets.assets.shares import WHOLE, Share, spread
from s1mm_assets.partitions import SOURCE_BY_YEAR, source_and_year
from s1mm_assets.resources.layout_detector import LayoutDetectors
from s1mm_assets.resources.renderers import Renderers
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets.resources.worker_pool import WorkerPool
from s1mm_assets.steps import IF_KILLED, STEPS, once


def extracted(
    share: Share,
    context: dg.AssetExecutionContext,
    raw_archives: ShardSet,
    store: ShardStore,
    sources: Sources,
    workers: WorkerPool,
    renderers: Renderers,
    layout: LayoutDetectors,
    settings: Settings,
) -> ShardSet:
    """The figures of a share of the shards."""
    source, _ = source_and_year(context.partition_key)
    reader = extraction.PaperReader(
        read_bundle=sources.bundles(source),
        renderers=renderers.pictures(),
        raster=settings.raster,
        detector=layout.detector(settings.pdf.detector, settings.pdf.mineru_tier),
        pdf=settings.pdf,
    )
    stage = extraction.stage(
        reader=reader,
        map_papers=workers.map,
        environment={**renderers.versions(), **layout.versions(settings.pdf.detector)},
        bundle_version=archives.VERSION,
    )
    inputs = share.of(raw_archives)
    return store.derive(stage, context.partition_key, inputs=inputs, report=context.log.info)


@spread(extracted)
@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    code_version=extraction.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet", "polars"},
    pool=STEPS.pool("figure_candidates"),
    op_tags=STEPS.tags("figure_candidates"),
    retry_policy=IF_KILLED,
)
@once
def figure_candidates(
    context: dg.AssetExecutionContext,
    raw_archives: ShardSet,
    store: ShardStore,
    sources: Sources,
    workers: WorkerPool,
    renderers: Renderers,
    layout: LayoutDetectors,
    settings: Settings,
) -> ShardSet:
    """Every figure of this partition's papers: caption, citing text and the image that will be released."""
    candidates = extracted(WHOLE, context, raw_archives, store, sources, workers, renderers, layout, settings)
    context.add_output_metadata(extraction.summary(store.read(candidates, "papers", extraction.SUMMARISED)))
    return candidates
