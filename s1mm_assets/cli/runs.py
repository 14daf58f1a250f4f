"""Materializing partitions from a terminal, in this process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg

from s1mm_assets import definitions
from s1mm_assets.definitions import CHECKS, PIPELINE, defs

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
STAGES = [asset.key.path[-1] for asset in PIPELINE]  # of a partition
LANDING = definitions.LANDING.key.path[-1]  # before them, where a publisher is asked
DUPLICATES = definitions.DUPLICATES.key.path[-1]
OUTAGES = {"Outage", "ServerStartError"}  # of a model's servers
PUBLICATION = definitions.PUBLICATION.key.path[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class RunOutcome:
    """What became of one run: which checks failed or warned, and the first error."""

    is_success: bool
    failed_checks: tuple[str, ...]
    warned_checks: tuple[str, ...]
    error: str | None
    is_outage: bool = False  # what comes after it would fail for the same reason


def materialize(assets: Sequence[str], partition: str | None, instance: dg.DagsterInstance) -> RunOutcome:
    """Materialize some assets of one partition, with their checks, and say what became of it."""
    result = dg.materialize(
        [definitions.LANDING, *PIPELINE, definitions.DUPLICATES, definitions.PUBLICATION, *CHECKS],
        selection=dg.AssetSelection.assets(*assets),
        partition_key=partition,
        instance=instance,
        resources=defs.resources,
        run_config=QUIET,
        raise_on_error=False,
    )
    failed = [each for each in result.get_asset_check_evaluations() if not each.passed]
    errors = {each.check_name for each in failed if each.severity == dg.AssetCheckSeverity.ERROR}
    return RunOutcome(
        is_success=result.success and not errors,
        failed_checks=tuple(sorted(errors)),
        warned_checks=tuple(sorted({each.check_name for each in failed} - errors)),
        error=first_error(result),
        is_outage=bool(OUTAGES & set(_error_classes(result))),
    )


def first_error(result: dg.ExecuteInProcessResult) -> str | None:
    """Return the first failed step's own words."""
    for event in result.all_events:
        if event.is_step_failure:
            error = event.step_failure_data.error
            return ((error.cause or error).message if error else event.message or "").strip()
    return None


def _error_classes(result: dg.ExecuteInProcessResult) -> Iterator[str]:
    """Yield the names of all errors of the failed steps, and of what caused them."""
    for event in result.all_events:
        error = event.step_failure_data.error if event.is_step_failure else None
        while error is not None:
            yield error.cls_name or ""
            error = error.cause
