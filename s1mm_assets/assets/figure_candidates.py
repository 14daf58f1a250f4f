"""raw_archives -> figure_candidates."""

import dagster as dg

from s1mm_assets import archives, extraction
from s1mm_assets.partitions import SOURCE_BY_YEAR, source_and_year
from s1mm_assets.resources.layout_detector import LayoutDetectors
from s1mm_assets.resources.renderers import Renderers
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.resources.sources.registry import Sources
from s1mm_assets.resources.worker_pool import WorkerPool


@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    code_version=extraction.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet", "polars"},
    pool="cpu",
)
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
    candidates = store.derive(stage, context.partition_key, inputs=[raw_archives], report=context.log.info)
    context.add_output_metadata(extraction.summary(store.read(candidates, "papers", extraction.SUMMARISED)))
    return candidates
