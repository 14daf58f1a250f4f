"""recaptions -> quality_metrics."""

import os

import dagster as dg

from s1mm_assets import metrics
from s1mm_assets.assets.h100 import runs_on_gpu, scorer_tags
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources import language_identifier, quality_report
from s1mm_assets.resources.clip_encoder import ClipEncoders
from s1mm_assets.resources.masked_language_model import MaskedLanguageModels
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet


@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    code_version=metrics.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet"},
    pool="gpu" if runs_on_gpu(os.environ) else "cpu",
    op_tags=scorer_tags(os.environ),
)
def quality_metrics(
    context: dg.AssetExecutionContext,
    raw_archives: ShardSet,
    figure_candidates: ShardSet,
    filtered_figures: ShardSet,
    recaptions: ShardSet,
    store: ShardStore,
    settings: Settings,
    masked_language_models: MaskedLanguageModels,
    clip_encoders: ClipEncoders,
) -> ShardSet:
    """What can be said of each recaption: lengths, language, grounding; scores where a model is configured."""
    partition, report = context.partition_key, context.log.info
    texts = [figure_candidates, recaptions]
    stages = metrics.score_stages(
        settings.metrics,
        masked_model=masked_language_models.model,
        clip_component=clip_encoders.component,
        clip_encoder=clip_encoders.encoder,
    )
    scores = [store.derive(each, partition, inputs=texts, report=report) for each in stages]
    stage = metrics.stage(
        languages=language_identifier.languages,
        environment=language_identifier.versions(),
        score_stages=stages,
    )
    inputs = [raw_archives, figure_candidates, filtered_figures, recaptions]
    measured = store.derive(stage, partition, inputs=[*inputs, *scores], report=report)
    context.add_output_metadata(quality_report.written(store, [*inputs[1:], measured], settings))
    return measured
