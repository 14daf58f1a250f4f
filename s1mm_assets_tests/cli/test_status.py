"""`s1mm status` on a store and an instance in which another process works; in a pipe and in a terminal."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from s1mm_assets import reports
from s1mm_assets.resources.instance_runs import InstanceRuns
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shard_tables import stored
from s1mm_assets.resources.shards import Commit
from s1mm_assets_tests.cli.instance_job import ASSET, JOB, queue
from s1mm_assets_tests.resources.shard_stages import PARTITION, SHARDS, decisions, measures, run_all

ROOT = Path(__file__).parents[2]
S1MM = Path(sys.executable).with_name("s1mm")
PATIENCE_S = 120


class Installation:
    """A store with something in it, and an instance in which a run works and two wait."""

    def __init__(self, folder: Path) -> None:
        self.home, self.store, self.folder = folder / "home", folder / "store", folder
        self.home.mkdir()
        (self.home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        self.environment = {
            **os.environ,
            "DAGSTER_HOME": str(self.home),
            "S1MM_STORE": str(self.store),
            "S1MM_SOURCES": str(folder / "sources"),
        }

    @contextmanager
    def instance(self) -> Iterator[dg.DagsterInstance]:
        with dg.DagsterInstance.from_config(str(self.home)) as instance:
            yield instance

    @contextmanager
    def working(self) -> Iterator[None]:
        """A run in another process; it is at its first shard."""
        self.go = Path(tempfile.mkdtemp(dir=self.folder))
        module = "s1mm_assets_tests.cli.instance_job"
        places = [str(each) for each in (self.home, self.go / "store", self.go)]
        command = [sys.executable, "-m", module, "run", *places]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            try:
                with self.instance() as instance:
                    runs = InstanceRuns(instance)
                    eventually(
                        lambda: any(step.shard for run in runs.running() for step in run.steps.values())
                    )
                yield
            finally:
                self.go_on(*SHARDS)
                run.wait(PATIENCE_S)

    def go_on(self, *shards: str) -> None:
        """Let the run make shards."""
        for shard in shards:
            (self.go / shard).touch()

    def s1mm(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [S1MM, *arguments],
            env=self.environment | changes,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE_S,
        )


def eventually(is_so: Callable[[], bool]) -> None:
    """Wait for what another process is about to do; it has to start first."""
    limit_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < limit_s, "it did not come to that"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    made = Installation(tmp_path_factory.mktemp("looked at"))
    run_all(ShardStore(uri=str(made.store)))
    with made.instance() as instance:
        queue(instance, 2)
    return made


@contextmanager
def watching(environment: dict[str, str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A watching command, which is ended in any case."""
    command = [str(S1MM), "status", "--watch", "--every", "0.2"]
    with subprocess.Popen(command, env=environment, **streams) as watch:
        try:
            yield watch
        finally:
            watch.kill()


class Reader:
    """What a watching command writes, as it comes."""

    def __init__(self, file: int) -> None:
        self.text = ""
        self._file = file
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        try:
            while piece := os.read(self._file, 4096):
                self.text += piece.decode(errors="replace")
        except OSError:  # the other end of the terminal is closed
            return

    def until(self, pattern: str) -> None:
        eventually(lambda: re.search(pattern, self.text) is not None)

    def end(self) -> str:
        self._thread.join(PATIENCE_S)
        return self.text


def test_status_shows_the_store_and_below_it_the_runs_at_work(installation: Installation) -> None:
    """Partition, step, shard; the queue. Where no instance is named, the store alone, and in JSON always."""
    with installation.working():
        shown = installation.s1mm("status")
        alone = installation.s1mm("status", DAGSTER_HOME="")
        as_json = installation.s1mm("status", "--json")

    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith(alone.stdout)
    runs = shown.stdout.removeprefix(alone.stdout)
    assert "Runs: 1 at work, 2 waiting" in runs
    for words in (JOB, PARTITION, ASSET, "1/3 chunk_001", "shard 1/3 chunk_001: started"):
        assert words in runs
    (row,) = json.loads(as_json.stdout)
    assert row == {"partition": PARTITION, "kept": 30, "released": 0, "bytes": row["bytes"]} | dict.fromkeys(
        ("papers", "figures", "images", "recaptioned")
    )


def test_an_instance_that_cannot_be_opened_costs_a_line(installation: Installation) -> None:
    """The store's table is there all the same."""
    done = installation.s1mm("status", DAGSTER_HOME="/nowhere/at/all")

    assert done.returncode == 0
    assert PARTITION in done.stdout
    assert done.stderr.startswith("the instance of DAGSTER_HOME cannot be opened: ")
    assert len(done.stderr.splitlines()) == 1


def test_in_a_pipe_a_watch_prints_what_changes_until_it_is_ended(tmp_path: Path) -> None:
    """Each shard, how the run ended, what came into the store; nothing twice; Ctrl-C is no error."""
    installation = Installation(tmp_path)
    with (
        installation.working(),
        watching(installation.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as watch,
    ):
        assert watch.stdout is not None
        assert watch.stderr is not None
        out, err = Reader(watch.stdout.fileno()), Reader(watch.stderr.fileno())
        out.until(rf"{ASSET}: shard 1/3 chunk_001")
        time.sleep(0.5)  # some looks at which nothing has changed
        installation.go_on(SHARDS[0])
        out.until(rf"{ASSET}: shard 2/3 chunk_002")
        installation.go_on(*SHARDS)
        out.until(r"run \w+: success")
        run_all(ShardStore(uri=str(installation.store)))
        out.until(rf"{re.escape(PARTITION)}: .*released 0")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(PATIENCE_S) == 0

        lines = [line.partition(" ")[2] for line in out.end().splitlines()]
        assert err.end() == ""
    assert len(lines) == len(set(lines))
    assert all(re.match(r"\d\d:\d\d:\d\d ", line) for line in out.text.splitlines())


def test_a_watch_outlasts_a_store_that_cannot_be_read(tmp_path: Path) -> None:
    """It says so, and goes on once the store can be; one that cannot be read from the start is an error."""
    installation = Installation(tmp_path)
    run_all(ShardStore(uri=str(installation.store)))
    [record] = installation.store.glob("hf_release/*/*/partition.json")
    sound = record.read_text()
    foreign = re.sub(r'"schema_version": \d+', '"schema_version": 999', sound)
    with watching(installation.environment, stdout=subprocess.PIPE) as watch:
        assert watch.stdout is not None
        out = Reader(watch.stdout.fileno())
        out.until(r"trouble: none")
        record.write_text(foreign)
        out.until(r"trouble: the store cannot be read: StoreError: .* schema version")
        record.write_text(sound)
        out.until(r"(?s)cannot be read.*trouble: none")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(PATIENCE_S) == 0

    record.write_text(foreign)
    refused = installation.s1mm("status", "--watch")
    assert refused.returncode == 2
    assert "schema version" in refused.stderr


def test_in_a_terminal_a_watch_redraws_and_leaves_it_in_order(installation: Installation) -> None:
    """The cursor is back, and the last picture stays; Ctrl-C as a terminal sends it."""
    main, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 160, 0, 0))
    environment = {**installation.environment, "TERM": "xterm"}
    with (
        installation.working(),
        watching(environment, stdin=terminal, stdout=terminal, stderr=terminal) as watch,
    ):
        os.close(terminal)
        screen = Reader(main)
        screen.until(r"1/3 chunk_001[\s\S]*Ctrl-C ends this")
        installation.go_on(SHARDS[0])
        screen.until(r"2/3 chunk_002")
        watch.send_signal(signal.SIGINT)
        assert watch.wait(PATIENCE_S) == 0
    text = screen.end()
    os.close(main)
    assert "1 at work, 2 waiting" in text
    assert "Traceback" not in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")  # the cursor


def test_a_watch_ends_with_its_reader(installation: Installation) -> None:
    """As `| head -n 1` does; without a word."""
    pipe = f"{S1MM} status --watch --every 0.1 | head -n 1"

    done = subprocess.run(
        ["sh", "-c", pipe],
        env=installation.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=PATIENCE_S,
    )

    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1


def test_a_watch_prints_no_json(installation: Installation) -> None:
    done = installation.s1mm("status", "--watch", "--json")

    assert done.returncode == 2
    assert "s1mm metrics" in done.stderr


def test_of_a_runs_log_only_what_is_new_is_read(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have many thousands of lines, and is looked at every two seconds."""
    n_read: list[int] = []
    real = dg.DagsterInstance.get_records_for_run

    def counting(self: dg.DagsterInstance, *arguments: object, **more: object) -> object:
        found = real(self, *arguments, **more)  # type: ignore[arg-type]
        n_read.append(len(found.records))
        return found

    monkeypatch.setattr(dg.DagsterInstance, "get_records_for_run", counting)
    with installation.working(), installation.instance() as instance:
        runs = InstanceRuns(instance)
        n_read.clear()
        (first,) = runs.running()
        (second,) = runs.running()
        at_first, then = n_read

    assert at_first > 5
    assert then == 0
    assert first is second
    assert second.steps[ASSET].shard == "1/3 chunk_001"


def test_of_the_store_only_what_changed_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a partition with a new shard, that shard; of one that is gone, nothing is told any more.

    Its records are from before they counted their tables: else nothing at all would be read.
    """
    monkeypatch.setattr(
        "s1mm_assets.resources.shard_store.stored", lambda *of: replace(stored(*of), rejected=None, sums=None)
    )
    store = ShardStore(uri=str(tmp_path))
    run_all(store)
    read: list[str] = []
    real = ShardStore.scan_shard

    def counting(self: ShardStore, commit: Commit, table: str, *arguments: object) -> object:
        read.append(f"{commit.asset} {commit.shard}")
        return real(self, commit, table, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(ShardStore, "scan_shard", counting)
    tally = reports.Tally(store, reports.COUNTED)

    first = reports.status(store, tally=tally)
    assert sorted(set(read)) == sorted(
        f"{asset} {shard}" for asset in ("filtered_figures", "hf_release") for shard in SHARDS
    )
    read.clear()
    assert reports.status(store, tally=tally).equals(first)
    assert read == []

    n_rows = {SHARDS[0]: 3} | dict.fromkeys(SHARDS[1:], 10)
    store.pin(
        store.derive(
            decisions(), PARTITION, inputs=[store.derive(measures(n_rows), PARTITION, shards=SHARDS)]
        )
    )
    read.clear()
    assert reports.status(store, tally=tally)["kept"].to_list() == [23]
    assert read == [f"filtered_figures {SHARDS[0]}"]

    for asset in ("filtered_figures", "hf_release"):
        (tmp_path / asset / "arxiv" / "2019" / "partition.json").unlink()
    assert reports.status(store, tally=tally).is_empty()
