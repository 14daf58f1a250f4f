"""What the Dagster instance remembers of asset checks: a publication must not take in what a check refused."""

from collections.abc import Iterable

import dagster as dg
from dagster import DagsterEventType
from dagster._core.event_api import PartitionKeyFilter

RELEASE_GUARDS = ("every_metric_has_one_record", "records_and_archive_agree", "image_paths_are_unique")
"""The blocking checks of hf_release."""


class RefusedByCheck(Exception):  # noqa: N818 - says what is the matter
    """A partition's last check failed; the message says which, and what to do."""


def require_passed(instance: dg.DagsterInstance, partitions: Iterable[str]) -> None:
    """Refuse partitions of hf_release that a blocking check refused when they were last materialized.

    Raises:
        RefusedByCheck: One was refused.
    """
    for partition, checks in refused(instance, partitions).items():
        raise RefusedByCheck(
            f"hf_release for {partition} was refused by {', '.join(checks)}: look at the check, mend what it "
            "shows, and materialize the partition again"
        )


def refused(instance: dg.DagsterInstance, partitions: Iterable[str]) -> dict[str, list[str]]:
    """Return partition → the blocking checks of hf_release whose last evaluation failed with severity ERROR."""
    keys = [dg.AssetCheckKey(dg.AssetKey("hf_release"), name) for name in RELEASE_GUARDS]
    storage = instance.event_log_storage
    failed: dict[str, list[str]] = {}
    for partition in partitions:
        records = storage.get_latest_asset_check_execution_by_key(keys, PartitionKeyFilter(key=partition))
        for key, record in records.items():
            event = record.event.dagster_event if record.event else None
            if event is not None and event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
                evaluation = event.asset_check_evaluation_data
                if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR:
                    failed.setdefault(partition, []).append(key.name)
    return failed
