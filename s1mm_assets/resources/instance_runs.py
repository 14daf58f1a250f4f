"""What a Dagster instance tells of its runs: how many wait, which run, where they are; and which checks failed."""

import re
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import dagster as dg

from s1mm_assets.resources.log_lines import PARTITION_TAG, printable

ACTIVE = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)
LINES_AT_ONCE = 1_000  # of a run's log
MAX_SHOWN = 50  # runs whose log is read
_SHARD = re.compile(r": shard (\d+/\d+ .+): (started|unchanged|done in [\d.]+ s)$")
_ENDED = {
    dg.DagsterEventType.STEP_SUCCESS,
    dg.DagsterEventType.STEP_FAILURE,
    dg.DagsterEventType.STEP_SKIPPED,
}
_PLANNED = {  # they name steps that have not begun
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,
    dg.DagsterEventType.ASSET_CHECK_EVALUATION_PLANNED,
}


@dataclass(slots=True)
class StepNow:
    """A step that is running."""

    step: str
    since: float  # Unix time
    shard: str = ""  # the one last begun, e.g. "3/5 chunk_003"
    message: str = ""


@dataclass(slots=True, kw_only=True)
class RunNow:
    """A run that has begun and not ended."""

    run_id: str
    job: str
    partition: str
    status: str
    since: float  # Unix time
    steps: dict[str, StepNow] = field(default_factory=dict)
    cursor: str | None = None  # how far its log was read

    def take(self, entry: dg.EventLogEntry) -> None:
        """Learn from a line of its log."""
        key, event = entry.step_key, entry.dagster_event
        kind = event.event_type if event else None
        if key is None:
            return
        if kind in _ENDED:
            self.steps.pop(key, None)
            return
        if kind is dg.DagsterEventType.STEP_START:
            self.steps[key] = StepNow(key, entry.timestamp)
        if kind in _PLANNED:
            return
        step = self.steps.setdefault(key, StepNow(key, entry.timestamp))  # its beginning may lie too far back
        words = (event.message if event else entry.user_message) or ""
        step.message = printable(words.partition("\n")[0])[:200]
        if event is None and (found := _SHARD.search(words)):
            step.shard = printable(found[1])


class InstanceRuns:
    """Looks at an instance again and again; of a run's log it reads only what is new."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        """Read nothing yet."""
        self._instance = instance
        self._known: dict[str, RunNow] = {}

    def running(self) -> list[RunNow]:
        """Return the runs that are at work, the oldest first; at most fifty."""
        records = self._instance.get_run_records(
            dg.RunsFilter(statuses=list(ACTIVE)), limit=MAX_SHOWN, ascending=True
        )
        known = {}
        for record in records:
            run = record.dagster_run
            now = self._known.get(run.run_id) or RunNow(
                run_id=run.run_id,
                job=run.job_name,
                partition=run.tags.get(PARTITION_TAG, ""),
                status=run.status.value,
                since=record.start_time or record.create_timestamp.timestamp(),
            )
            now.status, now.since = run.status.value, record.start_time or now.since
            self._read(now)
            known[now.run_id] = now
        self._known = known
        return list(known.values())

    def _read(self, run: RunNow) -> None:
        """Take in the lines that came since; at first only the last ones of a long log."""
        read = self._instance.get_records_for_run
        if run.cursor is None:
            last = read(run.run_id, limit=LINES_AT_ONCE, ascending=False)
            for record in reversed(last.records):
                run.take(record.event_log_entry)
            run.cursor = cursor_after(last.records[0].storage_id) if last.records else None
            return
        while True:
            new = read(run.run_id, cursor=run.cursor, limit=LINES_AT_ONCE)
            for record in new.records:
                run.take(record.event_log_entry)
            run.cursor = new.cursor
            if not new.has_more:
                return

    def status_of(self, run_id: str) -> str:
        """Return how a run ended, or how it stands."""
        run = self._instance.get_run_by_id(run_id)
        return run.status.value if run else "deleted"

    def n_by_status(self) -> dict[str, int]:
        """Return the number of runs with each status."""
        return {
            status.value: self._instance.get_runs_count(dg.RunsFilter(statuses=[status]))
            for status in dg.DagsterRunStatus
        }

    def n_queued(self) -> int:
        """Return how many runs wait for their turn."""
        return self._instance.get_runs_count(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))

    def oldest_s(self, status: dg.DagsterRunStatus) -> float:
        """Return for how many seconds the oldest run of a status has been there; 0 where there is none."""
        records = self._instance.get_run_records(dg.RunsFilter(statuses=[status]), limit=1, ascending=True)
        since = [record.start_time or record.create_timestamp.timestamp() for record in records]
        return max([0.0, *(time.time() - each for each in since)])

    def failed_checks(self, keys: Iterable[dg.AssetCheckKey]) -> Mapping[dg.AssetCheckKey, int]:
        """Return in how many partitions the last evaluation of each check failed, warnings among them.

        A check that a run is about to evaluate again is not counted until it has.
        """
        from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

        infos = self._instance.event_log_storage.get_asset_check_partition_info(list(keys))
        failed = AssetCheckExecutionRecordStatus.FAILED
        found = Counter(info.check_key for info in infos if info.latest_execution_status is failed)
        return {key: found[key] for key in keys}


def cursor_after(storage_id: int) -> str:
    """Return the cursor by which what follows a line of a run's log is read."""
    from dagster._core.event_api import EventLogCursor

    return EventLogCursor.from_storage_id(storage_id).to_string()
