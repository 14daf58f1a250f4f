"""recaptions -> quality_metrics."""

import dagster as dg

from s1mm_assets import metrics
from s1mm_assets.assets.shares import WHOLE, Share, spread
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources import language_identifier, quality_report
from s1mm_assets.resources.clip_encoder import ClipEncoders
from s1mm_assets.resources.masked_language_model import MaskedLanguageModels
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.steps import IF_KILLED, STEPS, once


def measured(
    share: Share,
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
    """The metrics of a share of the shards; the scores of models first."""
    partition, report = context.partition_key, context.log.info
    inputs = share.of(raw_archives, figure_candidates, filtered_figures, recaptions)
    stages = metrics.score_stages(
        settings.metrics,
        masked_model=masked_language_models.model,
        clip_component=clip_encoders.component,
        clip_encoder=clip_encoders.encoder,
    )
    scores = [store.derive(each, partition, inputs=[inputs[1], inputs[3]], report=report) for each in stages]
    stage = metrics.stage(
        languages=language_identifier.languages,
        environment=language_identifier.versions(),
        score_stages=stages,
    )
    return store.derive(stage, partition, inputs=[*inputs, *scores], report=report)


@spread(measured)
@dg.asset(
    partitions_def=SOURCE_BY_YEAR,
    code_version=metrics.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet"},
    pool=STEPS.pool("quality_metrics"),
    op_tags=STEPS.tags("quality_metrics"),
    retry_policy=IF_KILLED,
)
@once
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
    found = measured(
        WHOLE,
        context,
        raw_archives,
        figure_candidates,
        filtered_figures,
        recaptions,
        store,
        settings,
        masked_language_models,
        clip_encoders,
    )
    handles = [figure_candidates, filtered_figures, recaptions, found]
    context.add_output_metadata(quality_report.written(store, handles, settings))
    return found
