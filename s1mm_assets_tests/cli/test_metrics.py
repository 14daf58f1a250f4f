"""`s1mm metrics`, asked over HTTP and read by Prometheus' own parser."""

import os
import re
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from prometheus_client import start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.parser import text_string_to_metric_families

from s1mm_assets.cli import metrics
from s1mm_assets.cli.metrics import Page, Part, StoreReader, registry_of
from s1mm_assets.cli.terminal import UsageError
from s1mm_assets.resources.publishers import Offer
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.ledger import Ledger, Line, Spent, now
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets_tests.cli.instance_job import ASSET, CHECK, job, queue
from s1mm_assets_tests.resources.shard_stages import PARTITION, SHARDS, decisions, measures, run_all

S1MM = Path(sys.executable).with_name("s1mm")
PLACE = {"source": "arxiv", "year": "2019"}
Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


def parsed(text: str) -> Samples:
    """Name and labels → value; each but once, and each with its help."""
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        assert family.documentation
        for sample in family.samples:
            at = (sample.name, frozenset(sample.labels.items()))
            assert at not in found
            found[at] = sample.value
    return found


def value(samples: Samples, name: str, **labels: str) -> float | None:
    return samples.get((name, frozenset(labels.items())))


def scrape(port: int) -> Samples:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/plain")
        return parsed(answer.read().decode())


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """A store with rejected rows, files of a publisher, an instance with a failed check and runs that wait."""
    folder = tmp_path_factory.mktemp("measured")
    store = ShardStore(uri=str(folder / "store"))
    run_all(store)
    blank = decisions(threshold=0.9)
    store.pin(store.derive(blank, PARTITION, inputs=[store.derive(measures(), PARTITION, shards=SHARDS)]))
    land(folder / "sources")
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    for shard in SHARDS:
        (folder / shard).touch()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        job(str(folder / "work"), str(folder)).execute_in_process(partition_key=PARTITION, instance=instance)
        queue(instance, 2)
    return {
        **os.environ,
        "DAGSTER_HOME": str(home),
        "S1MM_STORE": str(folder / "store"),
        "S1MM_SOURCES": str(folder / "sources"),
    }


def land(sources: Path) -> None:
    """Two of arXiv's chunks are listed, one landed, one is refused."""
    ledger = Ledger(Landing(str(sources / "arxiv")))
    paths = ["src/arXiv_src_1901_001.tar", "src/arXiv_src_1901_002.tar"]
    ledger.put_listing(2019, [Offer(path=each, shard=Path(each).stem, origin="s3://x") for each in paths])
    ledger.note(2019, Line(path=paths[0], at=now(), size=500, shard="arXiv_src_1901_001"))
    ledger.note(2019, Line(path=paths[1], at=now(), shard="arXiv_src_1901_002", refused="gone"))
    ledger.note(2019, Spent(n_requests=3, n_bytes=500, usd=0.25))
    ledger.flush()


def test_a_page_tells_of_store_acquisition_and_runs(environment: dict[str, str]) -> None:
    """Served over HTTP, and the same printed once."""
    served = subprocess.Popen(
        [S1MM, "metrics", "--port", "0"], env=environment, stderr=subprocess.PIPE, text=True
    )
    try:
        assert served.stderr is not None
        found = re.fullmatch(r"http://127\.0\.0\.1:(\d+)/metrics\n", served.stderr.readline())
        assert found
        for _ in range(20):  # on a slow machine the first page is there before all was read
            samples = scrape(int(found[1]))
            if not value(samples, "s1mm_scrape_error", part="runs"):
                break
        served.send_signal(signal.SIGINT)
        assert served.wait(60) == 0
        assert served.stderr.read() == ""
    finally:
        served.kill()
        served.communicate()

    once = subprocess.run(
        [S1MM, "metrics", "--once"], env=environment, check=True, capture_output=True, text=True
    )

    assert once.stderr == ""
    for each in (samples, parsed(once.stdout)):
        assert_complete(each)


def assert_complete(samples: Samples) -> None:
    def of(name: str, **labels: str) -> float | None:
        return value(samples, f"s1mm_{name}", **labels)

    assert of("rows", **PLACE, door="kept") == 0
    assert of("rows", **PLACE, door="released") == 0
    where = {**PLACE, "asset": "filtered_figures"}
    assert of("rejected_rows", **where, table="decisions", rejection="blank") == 30
    assert of("shards", **where) == 3
    assert (of("stored_bytes", **where) or 0) > 1_000
    assert (of("materialized_timestamp_seconds", **where) or 0) > 1.7e9
    assert [of("publisher_files", **PLACE, state=state) for state in ("listed", "landed", "refused")] == [
        2,
        1,
        1,
    ]
    assert of("landed_bytes", **PLACE) == 500
    assert of("acquisition_usd_total", **PLACE) == 0.25
    assert (of("runs", status="success"), of("runs", status="queued")) == (1, 2)
    assert (of("oldest_queued_run_seconds") or 0) > 0
    assert of("oldest_started_run_seconds") == 0
    assert of("failed_checks", asset="hf_release", check="unknown") is None
    for part in ("store", "acquisition", "runs"):
        assert of("scrape_error", part=part) == 0
        assert (of("scrape_timestamp_seconds", part=part) or 0) > 1.7e9


def test_failed_checks_are_counted_by_partition(environment: dict[str, str]) -> None:
    """Of each check the last evaluation in each partition."""
    from s1mm_assets.resources.instance_runs import InstanceRuns

    failed, never = (dg.AssetCheckKey(dg.AssetKey(ASSET), name) for name in (CHECK, "never_evaluated"))
    with dg.DagsterInstance.from_config(environment["DAGSTER_HOME"]) as instance:
        assert InstanceRuns(instance).failed_checks([failed, never]) == {failed: 1, never: 0}


@pytest.fixture
def serving() -> Iterator[Callable[..., int]]:
    """Serve a page of parts; the port."""
    servers = []

    def serve(*parts: Part, wait_s: float = 30.0) -> int:
        server, thread = start_http_server(0, "127.0.0.1", registry_of(Page(parts, wait_s)))
        servers.append((server, thread))
        return server.server_port

    yield serve
    for server, thread in servers:
        server.shutdown()
        server.server_close()
        thread.join()


def one(problems: list[str]) -> list[Metric]:
    """What a healthy part tells."""
    return [GaugeMetricFamily("s1mm_one", "One", value=1)]


def test_a_part_that_fails_is_an_error_among_the_others(serving: Callable[..., int]) -> None:
    """The page is there; once the part is well again, so is its sample."""
    well = threading.Event()

    def read(problems: list[str]) -> list[Metric]:
        if not well.is_set():
            raise ConnectionError("no database")
        return [GaugeMetricFamily("s1mm_two", "Two", value=2)]

    port = serving(Part("one", one, 0), Part("two", read, 0))

    ill = scrape(port)
    assert (value(ill, "s1mm_scrape_error", part="one"), value(ill, "s1mm_scrape_error", part="two")) == (
        0,
        1,
    )
    assert (value(ill, "s1mm_one"), value(ill, "s1mm_two")) == (1, None)
    well.set()
    assert value(scrape(port), "s1mm_two") == 2
    well.clear()
    again = scrape(port)
    assert value(again, "s1mm_scrape_error", part="two") == 1
    assert value(again, "s1mm_two") == 2  # as it was, with the time at which it was so


def test_a_slow_part_keeps_nobody_waiting(serving: Callable[..., int]) -> None:
    """It is read by one thread, however often one asks, and is on the page when it is done."""
    go, n_reads = threading.Event(), []

    def read(problems: list[str]) -> list[Metric]:
        n_reads.append(1)
        go.wait(60)
        return [GaugeMetricFamily("s1mm_slow", "Slow", value=1)]

    slow = Part("slow", read, 60)
    port = serving(Part("one", one, 0), slow, wait_s=0.2)

    for _ in range(3):
        samples = scrape(port)
        assert value(samples, "s1mm_scrape_error", part="slow") == 1
        assert value(samples, "s1mm_one") == 1
    go.set()
    slow.wait(60)
    assert value(scrape(port), "s1mm_slow") == 1
    assert len(n_reads) == 1


def test_what_was_just_read_is_not_read_again(serving: Callable[..., int]) -> None:
    """Two Prometheus servers cost no more than one."""
    n_reads: list[int] = []

    def read(problems: list[str]) -> list[Metric]:
        n_reads.append(1)
        return one(problems)

    port = serving(Part("one", read, 60))
    for _ in range(3):
        assert value(scrape(port), "s1mm_one") == 1

    assert len(n_reads) == 1


def test_a_damaged_partition_is_an_error_and_the_others_are_there(
    tmp_path: Path, serving: Callable[..., int], caplog: pytest.LogCaptureFixture
) -> None:
    """Of another schema version, or no JSON at all."""
    store = ShardStore(uri=str(tmp_path))
    run_all(store)
    for asset, text in (("recaptions", "{"), ("raw_archives", "[]")):
        path = tmp_path / asset / "arxiv" / "2020" / "partition.json"
        path.parent.mkdir(parents=True)
        path.write_text(text)

    samples = scrape(serving(Part("store", StoreReader(store).read, 0)))

    assert value(samples, "s1mm_scrape_error", part="store") == 1
    assert value(samples, "s1mm_rows", **PLACE, door="kept") == 30
    assert "recaptions arxiv|2020" in caplog.text


def test_a_store_that_is_empty_is_no_error(tmp_path: Path, serving: Callable[..., int]) -> None:
    """Nothing was built yet."""
    samples = scrape(serving(Part("store", StoreReader(ShardStore(uri=str(tmp_path / "none"))).read, 0)))

    assert value(samples, "s1mm_scrape_error", part="store") == 0
    assert not [name for name, _ in samples if name == "s1mm_rows"]


def test_names_keep_to_prometheus_conventions(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lower case, base units, `_total` of counters alone."""
    for name in ("DAGSTER_HOME", "S1MM_STORE", "S1MM_SOURCES"):
        monkeypatch.setenv(name, environment[name])
    from s1mm_assets.resources.sources.registry import Sources

    found: list[Any] = [
        *StoreReader(ShardStore(uri=environment["S1MM_STORE"])).read([]),
        *metrics.acquisition(Sources(root=environment["S1MM_SOURCES"])),
        *metrics.RunsReader([]).read([]),
    ]

    for metric in found:
        assert re.fullmatch(r"s1mm(_[a-z]+)+", metric.name)
        assert metric.type == ("counter" if metric.name == "s1mm_acquisition_usd" else "gauge")


def test_a_missing_library_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(UsageError, match=r"pip install 's1mm-assets\[prometheus\]'"):
        registry_of(Page([]))
