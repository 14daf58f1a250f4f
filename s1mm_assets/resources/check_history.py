"""What the Dagster instance remembers of asset checks: a publication must not take in what a check refused."""

from collections.abc import Iterable

import dagster as dg
from dagster import DagsterEventType
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

GUARDS = {
    "raw_archives": (
        "every_archive_has_one_record",
        "papers_are_of_their_year",
    ),
    "figure_candidates": (
        "every_archive_has_one_paper",
        "every_paper_gave_figures_or_a_reason",
        "figure_ids_are_unique",
        "every_figure_has_an_image_or_a_reason",
    ),
    "filtered_figures": (
        "every_figure_has_one_decision",
        "no_kept_image_is_smaller_than_the_limit",
        "kept_images_open",
        "no_exact_duplicates_are_kept",
    ),
    "recaptions": (
        "every_kept_figure_has_one_recaption",
        "every_recaption_has_text_or_a_reason",
    ),
    "quality_metrics": (
        "every_recaption_has_one_metric",
        "recaptions_fit_their_images",
        "recaptions_raise_the_clip_score",
        "few_recaptions_are_degenerate",
    ),
    "hf_release": (
        "every_metric_has_one_record",
        "records_and_archive_agree",
        "image_paths_are_unique",
        "nothing_leaks",
    ),
}
"""Asset → its blocking checks, in the order of the pipeline."""

DUPLICATES_GUARDS = ("each_image_is_kept_once", "every_duplicate_names_a_kept_figure")
PUBLICATION_GUARDS = ("the_release_verifies", "no_image_is_released_twice", "datasets_reads_the_release")


ENDED = {AssetCheckExecutionRecordStatus.SUCCEEDED, AssetCheckExecutionRecordStatus.FAILED}


class RefusedByCheck(Exception):  # noqa: N818 - says what is the matter
    """A partition's last check failed; the message says which, and what to do."""


def require_passed(
    instance: dg.DagsterInstance, partitions: Iterable[str], *, before: str | None = None
) -> None:
    """Refuse partitions that a blocking check of any asset refused when it was last materialized.

    Within one run a blocking check stops what comes after it; this holds where the assets are materialized in runs
    of their own.

    Args:
        instance: Remembers the checks.
        partitions: Their keys.
        before: Only checks of the assets that come before this one; of all where not given.

    Raises:
        RefusedByCheck: One was refused.
    """
    assets = list(GUARDS)
    for partition in partitions:
        for asset in assets[: assets.index(before)] if before else assets:
            checks = refused(instance, partition, asset)
            if checks:
                raise RefusedByCheck(
                    f"{asset} for {partition} was refused by {', '.join(checks)}: look at the check, mend what it "
                    "shows, and materialize the partition again"
                )


def require_duplicates_passed(instance: dg.DagsterInstance) -> None:
    """Refuse to release by a search for duplicates that its own checks refused.

    Raises:
        RefusedByCheck: They did.
    """
    keys = [dg.AssetCheckKey(dg.AssetKey("duplicates"), name) for name in DUPLICATES_GUARDS]
    last = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    failed = [
        key.name for key, record in last.items() if evaluated(record) is not None and has_failed(record)
    ]
    if failed:
        raise RefusedByCheck(
            f"duplicates was refused by {', '.join(failed)}: look at the check, mend what it shows, and run the job "
            "find_duplicates again"
        )


def require_publication_passed(instance: dg.DagsterInstance) -> None:
    """Refuse a publication whose checks failed, or were not made.

    Raises:
        RefusedByCheck: It is.
    """
    keys = [dg.AssetCheckKey(dg.AssetKey("hf_publication"), name) for name in PUBLICATION_GUARDS]
    last = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    failed = [key.name for key in keys if key not in last or has_failed(last[key])]
    if failed:
        raise RefusedByCheck(
            f"hf_publication was refused by {', '.join(failed)}, or not checked: run the job publication, and mend "
            "what its checks show"
        )


def has_failed(record: AssetCheckExecutionRecord) -> bool:
    """Whether an evaluation failed with severity ERROR, or came to no end."""
    evaluation = evaluated(record)
    return evaluation is None or (
        not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR
    )


def evaluated(record: AssetCheckExecutionRecord) -> dg.AssetCheckEvaluation | None:
    """Return what a check found; None where it was planned and came to no end."""
    event = record.event.dagster_event if record.event else None
    if event is None or event.event_type != DagsterEventType.ASSET_CHECK_EVALUATION:
        return None
    return event.asset_check_evaluation_data


def refused(instance: dg.DagsterInstance, partition: str, asset: str) -> list[str]:
    """Return the blocking checks of an asset's partition that last failed with severity ERROR, or broke down."""
    keys = [dg.AssetCheckKey(dg.AssetKey(asset), name) for name in GUARDS[asset]]
    last = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        keys, PartitionKeyFilter(key=partition)
    )
    return [key.name for key, record in last.items() if refuses(instance, record, partition)]


def refuses(instance: dg.DagsterInstance, record: AssetCheckExecutionRecord, partition: str) -> bool:
    """Whether a check's last record stops a partition; where it was only planned, the last that came to an end counts.

    Else a run that is queued, cancelled, or failed before it came to the check would make its last verdict unsaid.
    """
    if evaluated(record) is not None:
        return has_failed(record)
    if broke_down(instance, record, partition):
        return True
    ended = instance.event_log_storage.get_asset_check_execution_history(
        record.key, limit=1, status=ENDED, partition_filter=PartitionKeyFilter(key=partition)
    )
    return any(evaluated(each) is not None and has_failed(each) for each in ended)


def broke_down(instance: dg.DagsterInstance, record: AssetCheckExecutionRecord, partition: str) -> bool:
    """Whether a check was to look at what its own run had made, and that run failed before it had.

    A run over a range of partitions evaluates without naming one: its planned check says nothing.
    """
    run = instance.get_run_by_id(record.run_id)
    if run is None or not run.is_failure_or_canceled:
        return False
    wanted = dg.AssetRecordsFilter(asset_key=record.key.asset_key, asset_partitions=[partition])
    made = instance.fetch_materializations(wanted, limit=1).records
    return bool(made) and made[0].run_id == record.run_id
