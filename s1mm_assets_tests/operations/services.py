"""Dagster as a service: code server, daemon and webserver, each a process that can be killed and started again."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx2 as httpx
import psutil
import yaml

from s1mm_assets_tests.operations.postgres import SUPERUSER, Postgres
from s1mm_assets_tests.operations.processes import free_port, log_of, stop

ROOT = Path(__file__).absolute().parents[2]
LOCATION, REPOSITORY = "s1mm_assets", "__repository__"
SERVICES = ("code_server", "daemon", "webserver")
PATIENCE_S = 900  # on free cores nothing takes more than a minute or two
LONGEST_RUN_S = 300  # on free cores 15; some is needed, as nobody else sees that a worker is lost
MOST_STARTS = 6
Found = TypeVar("Found")

LAUNCH_BACKFILL = """mutation($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) {
  __typename ... on LaunchBackfillSuccess { backfillId } ... on Error { message } } }"""
LAUNCH_RUN = """mutation($params: ExecutionParams!) { launchRun(executionParams: $params) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on Error { message } } }"""
RUNS = """query($filter: RunsFilter!) { runsOrError(filter: $filter) { ... on Runs { results {
  runId status jobName tags { key value } } } } }"""
CHECK = """query($asset: AssetKeyInput!, $check: String!, $partition: String) {
  assetCheckExecutions(assetKey: $asset, checkName: $check, partition: $partition, limit: 1) {
    status evaluation { severity partition metadataEntries { label
      ... on FloatMetadataEntry { floatValue } ... on IntMetadataEntry { intValue }
      ... on JsonMetadataEntry { jsonString } } } } }"""
POOLS = "{ instance { concurrencyLimits { concurrencyKey activeSlotCount } } }"
ASSET_POOLS = "{ assetNodes { pools } }"
SET_POOL = "mutation($pool: String!) { setConcurrencyLimit(concurrencyKey: $pool, limit: 1) }"
LOADED = """{ repositoriesOrError { ... on RepositoryConnection { nodes { name location { name } } } } }"""


class Services:
    """The services of one installation, over one folder."""

    def __init__(self, folder: Path, environment: Mapping[str, str], settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.ports = {"code_server": free_port(), "webserver": free_port()}
        self.environment = {**os.environ, **environment, "DAGSTER_HOME": str(folder)}
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._starts: Counter[str] = Counter()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "dagster.yaml").write_text(yaml.safe_dump(dict(settings)), "utf-8")
        server = {"host": "127.0.0.1", "port": self.ports["code_server"], "location_name": LOCATION}
        (folder / "workspace.yaml").write_text(
            yaml.safe_dump({"load_from": [{"grpc_server": server}]}), "utf-8"
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.ports['webserver']}"

    def _command(self, name: str) -> list[str]:
        workspace = ["-w", str(self.folder / "workspace.yaml")]
        local = ["-h", "127.0.0.1", "-p", str(self.ports.get(name, 0))]
        code = ["-m", "s1mm_assets.definitions"]
        modules = {
            "code_server": ["dagster", "api", "grpc", *local, *code],
            "daemon": ["dagster._daemon", "run", *workspace],
            "webserver": ["dagster_webserver", *local, *workspace],
        }
        return [sys.executable, "-m", *modules[name]]

    def start(self, name: str) -> None:
        """Start a service; its log goes on where it was."""
        self._starts[name] += 1
        with log_of(self.folder / f"{name}.log") as log:
            self._processes[name] = subprocess.Popen(
                self._command(name),
                env=self.environment,
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
            )

    def start_all(self) -> None:
        """Start all services that do not run, and wait until the graph can be asked for."""
        for name in SERVICES:
            if not self.is_running(name):
                self.start(name)
                if name == "code_server":
                    self.wait(self._has_code, "the code server to listen")
        self.wait(self._has_graph, "the webserver to load the graph")

    def is_running(self, name: str) -> bool:
        return name in self._processes and self._processes[name].poll() is None

    def kill(self, name: str) -> None:
        """End a service as the kernel does when memory is short."""
        stop(self._processes.get(name), signal.SIGKILL)

    def run_workers(self) -> list[psutil.Process]:
        """The processes that execute runs now."""
        if not self.is_running("code_server"):
            return []
        children = psutil.Process(self._processes["code_server"].pid).children()
        return [child for child in children if "spawn_main" in " ".join(arguments_of(child))]

    def stop_all(self) -> None:
        """End every service, and what they have started."""
        started = [
            child
            for process in self._processes.values()
            if process.poll() is None
            for child in psutil.Process(process.pid).children(recursive=True)
        ]
        for name in reversed(SERVICES):
            self.kill(name)
        for child in started:
            if child.is_running():
                child.kill()

    def _has_code(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.ports["code_server"])) == 0

    def _has_graph(self) -> bool:
        nodes = self.ask(LOADED)["repositoriesOrError"].get("nodes", [])
        return [node["location"]["name"] for node in nodes] == [LOCATION]

    def wait(
        self, condition: Callable[[], Found | None], what: str, *, patience_s: float = PATIENCE_S
    ) -> Found:
        """Return what a condition gives once it is something; a service that does not answer gives nothing."""
        deadline = time.monotonic() + patience_s
        while time.monotonic() < deadline:
            self._revive()
            try:
                found = condition()
            except (httpx.HTTPError, NoAnswer):
                found = None  # asked again
            if found:
                return found
            time.sleep(0.5)
        raise AssertionError(f"waited in vain for {what}\n{self.logs()}")

    def _revive(self) -> None:
        """Start what has ended by itself, as a supervisor does; not for ever."""
        for name in [each for each in self._processes if not self.is_running(each)]:
            if self._starts[name] == MOST_STARTS:
                raise AssertionError(f"{name} does not stay up\n{self.logs()}")
            self.start(name)

    def logs(self) -> str:
        """The end of each log, to say why something did not come."""
        return "\n".join(
            f"--- {path.name}\n{path.read_text('utf-8')[-3000:]}" for path in self.folder.glob("*.log")
        )

    def ask(self, query: str, **variables: Any) -> dict[str, Any]:
        """Ask the webserver by GraphQL.

        Raises:
            NoAnswer: It says that something is wrong.
        """
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=30)
        body: dict[str, Any] = answer.json() if answer.status_code in (200, 400) else {"errors": answer.text}
        if "errors" in body:
            raise NoAnswer(str(body["errors"])[:2000])
        found: dict[str, Any] = body["data"]
        return found

    def backfill(self, job: str, partitions: Sequence[str]) -> str:
        """Launch a backfill of a job, as the button in the UI does; return its id."""
        repository = {"repositoryName": REPOSITORY, "repositoryLocationName": LOCATION}
        selector = {"partitionSetName": f"{job}_partition_set", "repositorySelector": repository}
        params = {"selector": selector, "partitionNames": list(partitions)}
        answer = self.ask(LAUNCH_BACKFILL, params=params)["launchPartitionBackfill"]
        if answer["__typename"] != "LaunchBackfillSuccess":
            raise NoAnswer(str(answer))
        return str(answer["backfillId"])

    def backfilled(self, job: str, partitions: Sequence[str]) -> dict[str, str]:
        """Backfill a job; return how each partition ended."""
        return self.backfill_ended(self.backfill(job, partitions), partitions)

    def backfill_ended(self, backfill: str, partitions: Sequence[str]) -> dict[str, str]:
        """Wait for the runs of a backfill to end, with those that are tried again; return how each partition did.

        The backfill itself is called ended by the daemon's next look at it, half a minute later.
        """

        def ended() -> dict[str, str]:
            runs = self.runs(tags=[{"key": "dagster/backfill", "value": backfill}])
            last = {run["partition"]: run for run in reversed(runs)}
            all_have = set(last) == set(partitions) and all(is_over(run) for run in last.values())
            return {key: run["status"] for key, run in last.items()} if all_have else {}

        return self.wait(ended, f"the runs of {backfill} to end")

    def set_pools(self) -> None:
        """Give every pool a limit of its own, as one does after an installation.

        With the default limit, the first steps of two runs that come to a pool at once end one of the runs: Dagster
        issue 33552, of PostgreSQL alone.
        """
        for pool in {pool for node in self.ask(ASSET_POOLS)["assetNodes"] for pool in node["pools"]}:
            self.ask(SET_POOL, pool=pool)

    def last_check(self, asset: str, check: str, partition: str) -> dict[str, Any] | None:
        """The last execution of an asset check of a partition."""
        answer = self.ask(CHECK, asset={"path": [asset]}, check=check, partition=partition)
        executions: list[dict[str, Any]] = answer["assetCheckExecutions"]
        return executions[0] if executions else None

    def held_slots(self) -> dict[str, int]:
        """Pool → how many of its slots are held by a step."""
        keys = self.ask(POOLS)["instance"]["concurrencyLimits"]
        return {key["concurrencyKey"]: key["activeSlotCount"] for key in keys if key["activeSlotCount"]}

    def run(self, job: str) -> str:
        """Launch a job without partitions and wait for its end; return how it ended."""
        selector = {"jobName": job, "repositoryName": REPOSITORY, "repositoryLocationName": LOCATION}
        params = {"selector": selector, "mode": "default"}
        answer = self.ask(LAUNCH_RUN, params=params)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise NoAnswer(str(answer))
        run_id = answer["run"]["runId"]

        def ended() -> str | None:
            [run] = self.runs(runIds=[run_id])
            return str(run["status"]) if is_over(run) else None

        return self.wait(ended, f"{job} to end")

    def runs(self, **only: Any) -> list[dict[str, Any]]:
        """The runs that a filter lets through, the newest first, each with its partition."""
        runs: list[dict[str, Any]] = self.ask(RUNS, filter=only)["runsOrError"]["results"]
        for run in runs:
            run["tags"] = {tag["key"]: tag["value"] for tag in run["tags"]}
            run["partition"] = run["tags"].get("dagster/partition")
        return runs


ENDED = ("SUCCESS", "FAILURE", "CANCELED")


def is_over(run: Mapping[str, Any]) -> bool:
    """Whether a run has ended, and is not about to be tried again."""
    return run["status"] in ENDED and run["tags"].get("dagster/will_retry") != "true"


class NoAnswer(Exception):  # noqa: N818 - says what is the matter
    """The webserver answered with an error, or refused."""


def arguments_of(process: psutil.Process) -> list[str]:
    """The command line of a process; of one that has gone, none."""
    try:
        return process.cmdline()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return []


def instance_settings(postgres: Postgres) -> dict[str, Any]:
    """The cluster's instance (deploy/dagster.yaml) as it can be on one machine.

    Runs are processes instead of pods, whose health their launcher does not know: the monitoring sees only how long
    they take. It looks more often, so that a test need not wait.
    """
    settings: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "dagster.yaml").read_text("utf-8"))
    for cluster in ("run_launcher", "compute_logs"):
        del settings[cluster]
    database = settings["storage"]["postgres"]["postgres_db"]
    database |= {"port": postgres.port, "params": {}}
    settings["run_coordinator"]["config"]["dequeue_interval_seconds"] = 1
    settings["concurrency"]["runs"]["max_concurrent_runs"] = 2
    settings["run_monitoring"] |= {
        "poll_interval_seconds": 5,
        "start_timeout_seconds": LONGEST_RUN_S // 2,
        "max_runtime_seconds": LONGEST_RUN_S,
        "max_resume_run_attempts": 0,
        "free_slots_after_run_end_seconds": 5,
    }
    return settings


@contextmanager
def services_on(postgres: Postgres, folder: Path, environment: Mapping[str, str]) -> Iterator[Services]:
    """Running services over a PostgreSQL; in the end they are stopped."""
    database = {"HOST": "127.0.0.1", "USERNAME": SUPERUSER, "PASSWORD": postgres.password, "DB": "postgres"}
    named = {f"DAGSTER_PG_{name}": value for name, value in database.items()}
    services = Services(folder, {**environment, **named}, instance_settings(postgres))
    try:
        services.start_all()
        services.set_pools()
        yield services
    finally:
        services.stop_all()
