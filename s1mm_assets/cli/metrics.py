"""`s1mm metrics`: store, acquisition and runs as Prometheus asks for them.

A part is read apart from those who ask: a page shows how each was when it was last read, and says how long ago.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, cast

from s1mm_assets.cli.terminal import UsageError, err

if TYPE_CHECKING:
    import dagster as dg
    from prometheus_client.core import Metric
    from prometheus_client.registry import Collector, CollectorRegistry

    from s1mm_assets.reports import Count
    from s1mm_assets.resources.shard_store import ShardStore
    from s1mm_assets.resources.sources.registry import Sources

WAIT_S = 5.0  # for the parts of a page, all together; Prometheus waits for ten
STORE_FRESH_S = 60.0  # read again after that, when somebody asks
RUNS_FRESH_S = 10.0
MAX_PROBLEMS = 3  # in one line of the log
PLACE = ("source", "year")
_log = logging.getLogger(__name__)

Read = Callable[[list[str]], Iterable["Metric"]]
"""Returns what it could read, and appends what it could not."""


class Part:
    """What one thing tells, read in a thread so that a slow one keeps nobody waiting."""

    def __init__(self, name: str, read: Read, fresh_s: float) -> None:
        """Read nothing yet."""
        self.name = name
        self.error: str | None = None
        self.metrics: list[Metric] = []
        self.read_at: float | None = None  # of what is shown
        self._read, self._fresh_s = read, fresh_s
        self._thread: threading.Thread | None = None
        self._next = 0.0

    def refresh(self) -> None:
        """Begin to read anew, where it is time to and nobody is at it."""
        if time.monotonic() >= self._next and not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._run, name=f"s1mm-metrics-{self.name}", daemon=True)
            self._thread.start()

    def wait(self, timeout_s: float | None) -> None:
        """Wait until it is read; not for longer than that."""
        if self._thread:
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            problems: list[str] = []
            self.metrics = list(self._read(problems))
            self.read_at = time.time()
        except Exception as error:  # one part that fails is no reason to be silent of the others
            problems = [f"{type(error).__name__}: {error}"]
        words = "; ".join(problems[:MAX_PROBLEMS]) or None
        if words and words != self.error:
            _log.warning("%s: %s", self.name, words)
        self.error = words
        self._next = time.monotonic() + self._fresh_s


class Page:
    """A `prometheus_client` collector."""

    def __init__(self, parts: Iterable[Part], wait_s: float | None = WAIT_S) -> None:
        """Read nothing yet; without `wait_s`, wait for all."""
        self._parts = tuple(parts)
        self._wait_s = wait_s
        self._lock = threading.Lock()  # two may ask at once

    def describe(self) -> list["Metric"]:
        """Name nothing beforehand: that would read all."""
        return []

    def collect(self) -> Iterator["Metric"]:
        """Yield what each part told last, what went wrong, and how old it is."""
        from prometheus_client.core import GaugeMetricFamily

        start = time.monotonic()
        with self._lock:
            for part in self._parts:
                part.refresh()
        for part in self._parts:
            spent_s = time.monotonic() - start
            part.wait(None if self._wait_s is None else max(0.0, self._wait_s - spent_s))
        errors = GaugeMetricFamily(
            "s1mm_scrape_error", "1 where a part could not be read, or was not read yet", labels=["part"]
        )
        read = GaugeMetricFamily(
            "s1mm_scrape_timestamp_seconds", "When what is shown of a part was read", labels=["part"]
        )
        for part in self._parts:
            yield from part.metrics
            errors.add_metric([part.name], float(part.error is not None or part.read_at is None))
            if part.read_at is not None:
                read.add_metric([part.name], part.read_at)
        yield errors
        yield read


# --- what is read ----------------------------------------------------------------------------------------------------


def parts() -> list[Part]:
    """Return store, acquisition and, where DAGSTER_HOME is set, runs."""
    from s1mm_assets import definitions

    found = [
        Part("store", StoreReader(definitions.STORE).read, STORE_FRESH_S),
        Part("acquisition", lambda _: acquisition(definitions.SOURCES), STORE_FRESH_S),
    ]
    if os.environ.get("DAGSTER_HOME"):
        keys = sorted(key for each in definitions.CHECKS for key in each.check_keys)
        found.append(Part("runs", RunsReader(keys).read, RUNS_FRESH_S))
    return found


class StoreReader:
    """What the store holds; read again, only what changed."""

    def __init__(self, store: "ShardStore") -> None:
        """Read nothing yet."""
        from s1mm_assets.reports import REJECTING, Tally

        self._tally = Tally(store, {asset: [name for name, _ in names] for asset, names in REJECTING.items()})

    def read(self, problems: list[str]) -> list["Metric"]:
        """Return rows by door, rejections by reason, shards, bytes and times; a partition that fails is a problem."""
        from prometheus_client.core import GaugeMetricFamily

        from s1mm_assets.reports import doors

        rows = GaugeMetricFamily("s1mm_rows", "Rows that came through a door", labels=[*PLACE, "door"])
        labels = [*PLACE, "asset", "table", "rejection"]
        rejected = GaugeMetricFamily("s1mm_rejected_rows", "Rows that were turned away", labels=labels)
        labels = [*PLACE, "asset"]
        shards = GaugeMetricFamily("s1mm_shards", "Shards of the last materialization", labels=labels)
        n_bytes = GaugeMetricFamily("s1mm_stored_bytes", "Tables and files of these shards", labels=labels)
        pinned = GaugeMetricFamily(
            "s1mm_materialized_timestamp_seconds", "When they were last materialized", labels=labels
        )
        for key, counts in self._counts(problems).items():
            place = key.split("|")
            for door, number in doors(counts).items():
                rows.add_metric([*place, door], number)
            for asset, count in counts.items():
                shards.add_metric([*place, asset], count.n_shards)
                n_bytes.add_metric([*place, asset], count.n_bytes)
                pinned.add_metric([*place, asset], count.pinned)
                for table, reasons in count.rejected.items():
                    for reason, number in sorted(reasons.items()):
                        rejected.add_metric([*place, asset, table, reason], number)
        return [rows, rejected, shards, n_bytes, pinned]

    def _counts(self, problems: list[str]) -> dict[str, dict[str, "Count"]]:
        """Partition → asset → what it holds."""
        from s1mm_assets.resources.shard_store import StoreError

        found: dict[str, dict[str, Count]] = {}
        for (asset, key), stamp in sorted(self._tally.partitions().items()):
            try:
                if count := self._tally.count(asset, key, stamp):
                    found.setdefault(key, {})[asset] = count
            except (
                StoreError,
                OSError,
                ValueError,
                TypeError,
                KeyError,
            ) as error:  # also a record that is none
                problems.append(f"{asset} {key}: {type(error).__name__}: {error}")
        return found


def acquisition(sources: "Sources") -> list["Metric"]:
    """Return what publishers listed, what landed and was refused, and what it cost."""
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    from s1mm_assets.reports import landings

    files = GaugeMetricFamily("s1mm_publisher_files", "Files of a publisher", labels=[*PLACE, "state"])
    landed = GaugeMetricFamily("s1mm_landed_bytes", "Their bytes that landed", labels=PLACE)
    usd = CounterMetricFamily(
        "s1mm_acquisition_usd", "US dollars that asking for them has cost", labels=PLACE
    )
    for key, found in landings(sources).items():
        place = key.split("|")
        for state in ("listed", "landed", "refused"):
            files.add_metric([*place, state], found[state])
        landed.add_metric(place, found["landed_bytes"])
        usd.add_metric(place, found["usd"])
    return [files, landed, usd]


class RunsReader:
    """The instance of DAGSTER_HOME; opened when it is first read, and again where that failed."""

    def __init__(self, checks: Sequence["dg.AssetCheckKey"]) -> None:
        """Open nothing yet."""
        self._checks = checks
        self._instance: dg.DagsterInstance | None = None

    def read(self, problems: list[str]) -> list["Metric"]:  # noqa: ARG002 - it is read whole or not at all
        """Return runs by status, how long the oldest has waited or run, and checks that failed last time."""
        import dagster as dg
        from prometheus_client.core import GaugeMetricFamily

        from s1mm_assets.resources.instance_runs import InstanceRuns

        if self._instance is None:
            self._instance = dg.DagsterInstance.get()
        runs = InstanceRuns(self._instance)
        by_status = GaugeMetricFamily("s1mm_runs", "Runs on record", labels=["status"])
        for status, number in runs.n_by_status().items():
            by_status.add_metric([status.lower()], number)
        queued = GaugeMetricFamily(
            "s1mm_oldest_queued_run_seconds",
            "How long the oldest run has waited; 0 where none waits",
            value=runs.oldest_s(dg.DagsterRunStatus.QUEUED),
        )
        started = GaugeMetricFamily(
            "s1mm_oldest_started_run_seconds",
            "How long the oldest run has been at work; 0 where none is",
            value=runs.oldest_s(dg.DagsterRunStatus.STARTED),
        )
        failed = GaugeMetricFamily(
            "s1mm_failed_checks",
            "Partitions whose last evaluation of a check failed, be it a warning; not those being evaluated again",
            labels=["asset", "check"],
        )
        for key, number in runs.failed_checks(self._checks).items():
            failed.add_metric([key.asset_key.to_user_string(), key.name], number)
        return [by_status, queued, started, failed]


# --- how it is given -------------------------------------------------------------------------------------------------


def registry_of(page: Page) -> "CollectorRegistry":
    """Return a registry that has the page alone.

    Raises:
        UsageError: The client library is missing.
    """
    try:
        from prometheus_client import CollectorRegistry
    except ImportError as error:
        raise UsageError(
            f"prometheus_client is missing ({error}): pip install 's1mm-assets[prometheus]'"
        ) from error
    registry = CollectorRegistry(auto_describe=False)
    registry.register(cast("Collector", page))
    return registry


def page() -> str:
    """Return the page once, when all parts were read."""
    registry = registry_of(Page(parts(), wait_s=None))
    from prometheus_client import generate_latest

    return generate_latest(registry).decode()


def serve(host: str, port: int) -> None:
    """Serve the page until Ctrl-C."""
    registry = registry_of(Page(parts()))
    from prometheus_client import start_http_server

    server, thread = start_http_server(port, host, registry)
    err.print(f"http://{host}:{server.server_port}/metrics", markup=False, highlight=False)
    try:
        while thread.is_alive():
            thread.join(0.5)  # an endless wait is not woken where another thread gets the signal
    except KeyboardInterrupt:
        server.shutdown()
