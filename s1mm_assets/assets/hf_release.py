"""quality_metrics -> hf_release: one partition's part of the release."""

import dagster as dg

from s1mm_assets import release
from s1mm_assets.assets.shares import WHOLE, Share, spread
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources import quality_report
from s1mm_assets.resources.check_history import require_duplicates_passed, require_passed
from s1mm_assets.resources.decided_partitions import duplicates_of
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.resources.takedowns import takedowns, takedowns_by_shard
from s1mm_assets.steps import IF_KILLED, STEPS, once


def cut(
    share: Share,
    context: dg.AssetExecutionContext,
    raw_archives: ShardSet,
    figure_candidates: ShardSet,
    recaptions: ShardSet,
    quality_metrics: ShardSet,
    store: ShardStore,
    settings: Settings,
) -> ShardSet:
    """The pieces of a release that a share of the shards gives."""
    require_passed(context.instance, [context.partition_key], before="hf_release")
    require_duplicates_passed(context.instance)
    duplicates = duplicates_of(store, context.partition_key, settings.release)
    inputs = share.of(raw_archives, figure_candidates, recaptions, quality_metrics, duplicates)
    left_out = takedowns_by_shard(store, inputs[0], inputs[1], takedowns(settings))
    stage = release.stage(settings.release, left_out)
    return store.derive(stage, context.partition_key, inputs=inputs, report=context.log.info)


@spread(cut)
@dg.asset(
    deps=["duplicates"],
    partitions_def=SOURCE_BY_YEAR,
    code_version=release.VERSION,
    io_manager_key="shards",
    group_name="pipeline",
    kinds={"parquet", "huggingface"},
    pool=STEPS.pool("hf_release"),
    op_tags=STEPS.tags("hf_release"),
    retry_policy=IF_KILLED,
)
@once
def hf_release(
    context: dg.AssetExecutionContext,
    raw_archives: ShardSet,
    figure_candidates: ShardSet,
    filtered_figures: ShardSet,
    recaptions: ShardSet,
    quality_metrics: ShardSet,
    store: ShardStore,
    settings: Settings,
) -> ShardSet:
    """The pieces of a release that this partition gives: records, image archive, streamable Parquet."""
    pieces = cut(
        WHOLE,
        context,
        raw_archives,
        figure_candidates,
        recaptions,
        quality_metrics,
        store,
        settings,
    )
    handles = [raw_archives, figure_candidates, filtered_figures, recaptions, quality_metrics, pieces]
    context.add_output_metadata(release.summary(store.read(pieces, "files", release.SUMMARISED)))
    context.add_output_metadata(quality_report.waterfall(store, handles))
    return pieces
