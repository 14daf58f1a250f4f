"""Log lines for collectors, in a real run, and what a worker pool says of the items that it rejects."""

import json
import logging
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from s1mm_assets.resources import log_lines, worker_pool
from s1mm_assets.resources.log_lines import (
    MAX_LINE_CHARS,
    MAX_NAMED,
    Item,
    JsonLines,
    RejectedItems,
    shard_in_logs,
)
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.worker_pool import WorkerPool
from s1mm_assets.stages import Failed, ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.resources import worker_tasks
from s1mm_assets_tests.resources.shard_stages import PARTITION, SHARDS, measures

ROOT = Path(__file__).parents[2]
CRASHED = Failed(Rejection.WORKER_CRASHED, "worker killed by SIGSEGV")
ELSEWHERE = logging.getLogger("s1mm_assets.elsewhere")  # as a library of this package logs


@dataclass(frozen=True)
class OfPaper:
    """An item of a paper."""

    paper_id: str


def line_of(message: str, *arguments: object, **more: Any) -> dict[str, Any]:
    """What becomes of a record."""
    record = logging.LogRecord("a.logger", logging.WARNING, __file__, 1, message, arguments, None)
    record.__dict__.update(more)
    line = JsonLines().format(record)
    assert line.isascii()
    assert "\n" not in line
    fields: dict[str, Any] = json.loads(line)
    return fields


def section() -> dict[str, Any]:
    """`python_logs` as people uncomment it in dagster.yaml."""
    lines = (ROOT / "dagster.yaml").read_text("utf-8").partition("# python_logs:")[2].splitlines()
    text = "\n".join(["python_logs:", *(line.removeprefix("# ") for line in lines)])
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


def logging_stage(messages: list[str]) -> Stage:
    """A stage that logs by a library's logger, also from a thread of its own."""
    stage = measures()

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        ELSEWHERE.warning("making")
        thread = threading.Thread(target=lambda: ELSEWHERE.warning("from a thread"))
        thread.start()
        thread.join()
        messages.append(reader.shard)
        stage.make(reader, writer)

    return Stage(
        asset=stage.asset,
        version="1",
        tables=stage.tables,
        make=make,
        shard_inputs=stage.shard_inputs,
    )


def test_a_line_is_one_ascii_object_whatever_the_text() -> None:
    """Line breaks, half characters and quotes are written out; what is not known is left out."""
    fields = line_of('a "%s"\nb \ud800 é', "x")

    assert fields["message"] == 'a "x"\nb \ud800 é'
    assert (fields["level"], fields["logger"]) == ("WARNING", "a.logger")
    assert fields["time"].endswith("+00:00")
    assert set(fields) == {"time", "level", "logger", "message"}


def test_a_long_line_keeps_how_its_texts_begin_and_end() -> None:
    """Collectors cut lines of more than 16 KiB in two, and neither half is JSON."""
    try:
        raise ValueError("é" * 50_000 + "the end")
    except ValueError:
        fields = line_of("m" * 40_000, exc_info=sys.exc_info())

    assert len(json.dumps(fields)) <= MAX_LINE_CHARS
    assert fields["message"].startswith("mmm")
    assert fields["error"].startswith("Traceback")
    assert fields["error"].endswith("the end")


def test_a_thread_names_the_only_shard_and_none_of_two() -> None:
    """A thread has no context of its own: where two shards are made, its lines do not guess."""
    seen: list[str | None] = []

    def look() -> None:
        making = log_lines.shard_now()
        seen.append(making.shard if making else None)

    def look_from_a_thread() -> None:
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    look()
    with shard_in_logs("recaptions", PARTITION, "one"):
        look()
        look_from_a_thread()
        with shard_in_logs("recaptions", PARTITION, "two"):
            look()
            look_from_a_thread()
    look_from_a_thread()

    assert seen == [None, "one", "one", "two", None, None]


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Standard output of a run in another process, on an instance that has the section of dagster.yaml."""
    folder = tmp_path_factory.mktemp("logged")
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text(yaml.safe_dump(section()), "utf-8")
    program = f"from {__name__} import run_logged; run_logged({str(folder)!r})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert "started" in done.stderr  # people's lines are there as before
    return [json.loads(line) for line in done.stdout.splitlines()]


def run_logged(folder: str) -> None:
    """Derive three shards in a step, then fail in another."""

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition([PARTITION]))
    def figure_measures(context: dg.AssetExecutionContext) -> None:
        store = ShardStore(uri=f"{folder}/store")
        store.derive(logging_stage([]), PARTITION, shards=SHARDS, report=context.log.info)
        RejectedItems().tell("papers", Item.of(OfPaper("2301.01234"), 1), CRASHED, context.log)

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition([PARTITION]), deps=[figure_measures])
    def broken() -> None:
        raise ValueError("no such thing")

    with dg.DagsterInstance.from_config(f"{folder}/home") as instance:
        job = dg.define_asset_job("everything").resolve(
            asset_graph=dg.Definitions([figure_measures, broken]).resolve_asset_graph()
        )
        job.execute_in_process(partition_key=PARTITION, instance=instance, raise_on_error=False)


def test_every_line_of_a_run_says_which(lines: list[dict[str, Any]]) -> None:
    """Run, job and partition; within a step the step."""
    assert len({line["run_id"] for line in lines}) == 1
    assert {(line["job"], line["partition"]) for line in lines} == {("everything", PARTITION)}
    assert {line.get("step") for line in lines} == {None, "figure_measures", "broken"}


@pytest.mark.parametrize("message", ["making", "from a thread"])
def test_lines_of_any_logger_name_the_shard_that_is_made(lines: list[dict[str, Any]], message: str) -> None:
    """A library's own logger too, also in a thread that it starts; they have the run as well."""
    found = [line for line in lines if line["message"] == message]

    assert [(line["asset"], line["shard"]) for line in found] == [
        ("figure_measures", each) for each in SHARDS
    ]
    assert {line["step"] for line in found} == {"figure_measures"}


def test_what_the_store_reports_names_its_shard(lines: list[dict[str, Any]]) -> None:
    """Begin and end of each."""
    found = [
        line["shard"] for line in lines if line["message"].startswith("figure_measures arxiv|2019: shard")
    ]

    assert found == [shard for shard in SHARDS for _ in range(2)]


def test_a_rejected_paper_is_a_field(lines: list[dict[str, Any]]) -> None:
    """So that one can ask for all lines of a paper."""
    (line,) = [line for line in lines if line.get("paper")]

    assert line["paper"] == "2301.01234"
    assert line["level"] == "WARNING"
    assert line["message"] == "papers: 2301.01234: worker_crashed: worker killed by SIGSEGV"


def test_a_failed_step_has_its_error_in_a_field(lines: list[dict[str, Any]]) -> None:
    """With the traceback, and the event by which it is found."""
    (line,) = [line for line in lines if line.get("event") == "STEP_FAILURE"]

    assert line["step"] == "broken"
    assert "ValueError: no such thing" in line["error"]
    assert "def broken" not in line["message"]


# --- what a worker pool rejects --------------------------------------------------------------------------------------


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> Iterator[WorkerPool]:
    monkeypatch.setattr(worker_pool, "PRELOAD", ())
    with WorkerPool(n_workers=1, memory_limit_mib=300) as workers:
        yield workers


def test_a_worker_pool_says_what_it_rejects(pool: WorkerPool, caplog: pytest.LogCaptureFixture) -> None:
    """Once each, with its evidence; of what went well nothing."""
    assert (
        list(pool.map(worker_tasks.misbehave, ["well", "exit", "well"], what="papers"))[::2] == ["well"] * 2
    )

    (record,) = [each for each in caplog.records if each.levelno >= logging.WARNING]
    assert record.getMessage() == "papers: no. 2: worker_crashed: worker exited with code 7"


def test_the_first_hundred_are_named_and_the_rest_counted(caplog: pytest.LogCaptureFixture) -> None:
    """Over all maps of a pool; the last line tells the number, and is said once."""
    rejected, log = RejectedItems(), logging.getLogger("of.the.run")
    for i in range(10_000):
        rejected.tell("papers", Item.of(OfPaper(str(i)), i), CRASHED, log)
    rejected.end(log)
    rejected.end(log)

    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == MAX_NAMED + 1
    assert messages[-2].endswith("more are counted, not named")
    assert messages[-1] == "the worker pool rejected 10,000 items, of which 100 were named"


def test_few_rejected_items_need_no_number(caplog: pytest.LogCaptureFixture) -> None:
    """Each was named."""
    rejected, log = RejectedItems(), logging.getLogger("of.the.run")
    rejected.tell("papers", Item("p"), CRASHED, log)
    rejected.end(log)

    assert len(caplog.records) == 1


def test_the_number_is_told_when_a_step_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """By Dagster's own hook, into the run's log."""
    monkeypatch.setattr(log_lines, "MAX_NAMED", 1)

    @dg.op
    def reject(workers: WorkerPool) -> None:
        assert len(list(workers.map(worker_tasks.misbehave, ["exit"] * 3, what="papers"))) == 3

    @dg.job(resource_defs={"workers": WorkerPool(n_workers=1, memory_limit_mib=300)})
    def rejecting() -> None:
        reject()

    with dg.DagsterInstance.ephemeral() as instance:
        run = rejecting.execute_in_process(instance=instance)
        warnings = [each for each in instance.all_logs(run.run_id) if each.level == logging.WARNING]

    worker_pool.end_workers()
    assert [each.user_message for each in warnings] == [
        "papers: no. 1: worker_crashed: worker exited with code 7; more are counted, not named",
        "the worker pool rejected 3 items, of which 1 were named",
    ]


def test_items_are_called_by_figure_paper_or_number() -> None:
    """Whatever the item has."""

    class OfFigure(OfPaper):
        figure_id = "arxiv:hep-ph/0001001#3.1"

    assert Item.of(OfPaper("2301.01234"), 7) == Item("2301.01234", "2301.01234")
    assert Item.of(OfFigure("ignored"), 7) == Item("arxiv:hep-ph/0001001#3.1", "hep-ph/0001001")
    assert Item.of(["a batch"], 7) == Item("no. 7")


def test_names_and_evidence_of_papers_are_written_out(caplog: pytest.LogCaptureFixture) -> None:
    """A file's name that is no text must not break the event log, nor a terminal."""
    log = logging.getLogger("of.the.run")
    evil = "a\x1b[2J\udcff\nb"

    RejectedItems().tell("papers", Item(evil, evil), Failed(Rejection.TIMED_OUT, "é\r"), log)

    (record,) = caplog.records
    assert record.getMessage() == r"papers: a\x1b[2J\udcff\nb: timed_out: é\r"
    assert record.__dict__["paper"] == r"a\x1b[2J\udcff\nb"
