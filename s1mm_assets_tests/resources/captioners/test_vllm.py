"""The engine that asks servers: whole shards, against a server that misbehaves, killed and run again."""

import json
import logging
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx2
import polars as pl
import pytest

from s1mm_assets.recaptioning import CaptionJob, CaptionRequest, SemanticWindow
from s1mm_assets.resources.captioners import server_keeper
from s1mm_assets.resources.captioners.chat_servers import Outage, Patience
from s1mm_assets.resources.captioners.own_servers import ServerPlan
from s1mm_assets.resources.captioners.service import Service
from s1mm_assets.resources.captioners.vllm import VllmCaptioner
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.tables import Recaption, columns_of
from s1mm_assets_tests.fakes import FailingMap, map_here
from s1mm_assets_tests.imitations.vllm_server import Imitation, serving
from s1mm_assets_tests.resources.captioners import figures
from s1mm_assets_tests.resources.captioners.figures import PARTITION, SETTINGS, SHARDS, describe, service

N_FIGURES = 24
N_ALL = N_FIGURES * len(SHARDS)
SERVER = [sys.executable, "-m", "s1mm_assets_tests.imitations.vllm_server"]


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    """A store with kept figures in two shards."""
    store = ShardStore(uri=str(tmp_path / "store"))
    figures.kept_figures(store, N_FIGURES)
    return store


@pytest.fixture
def sound() -> Iterator[tuple[Imitation, str]]:
    """A server that answers, and its address."""
    imitation = Imitation()
    with serving(imitation) as url:
        yield imitation, url


def decided(store: ShardStore) -> list[str]:
    """The figures in their order."""
    inputs = store.pinned("filtered_figures", PARTITION)
    assert inputs is not None
    return store.read(inputs, "decisions", ["figure_id"])["figure_id"].to_list()


def rows(store: ShardStore, recaptions: ShardSet) -> pl.DataFrame:
    return store.read(recaptions, "recaptions", columns_of(Recaption))


def test_every_figure_is_asked_about_once(store: ShardStore, sound: tuple[Imitation, str]) -> None:
    """In order, with what wrote it in every row; the second run finds nothing to do."""
    imitation, url = sound
    with service(url) as opened:
        made = describe(store, opened)
        again = describe(store, opened)

    table = rows(store, made)
    assert table["figure_id"].to_list() == decided(store)
    assert table["recaption"].null_count() == 0
    assert table.select("engine", "model", "model_revision", "prompt_version").unique().rows() == [
        ("vllm", "tiny", "abc123", "describe-1")
    ]
    assert table["request_sha256"].n_unique() == N_ALL
    assert json.loads(table["sampling"][0])["temperature"] == SETTINGS.temperature
    assert set(table["seed"]) == {SETTINGS.seed}
    assert set(table["n_prompt_tokens"]) == {1_500}
    assert set(imitation.answered.values()) == {1}
    assert imitation.answered.total() == N_ALL
    assert again.digest() == made.digest()


def test_figures_of_a_paper_are_asked_about_side_by_side(
    store: ShardStore, sound: tuple[Imitation, str]
) -> None:
    """So that the server's prefix cache knows what they have in common."""
    imitation, url = sound
    with service(url) as opened:
        describe(store, opened)

    changes = sum(one != other for one, other in zip(imitation.order, imitation.order[1:], strict=False))
    n_papers = N_ALL // figures.FIGURES_PER_PAPER
    assert changes < 2 * n_papers  # in random order about N_ALL


FAULTS = {"busy": 0.1, "error": 0.1, "truncated": 0.05, "not_json": 0.05, "no_choices": 0.05, "cut": 0.05}
UNUSABLE = {"empty": 0.04, "loop": 0.02, "length": 0.02, "refusal": 0.02}


def test_a_server_that_misbehaves_costs_no_row(store: ShardStore) -> None:
    """Errors are tried again, useless answers asked for again with another seed; every figure has a row."""
    imitation = Imitation(faults={**FAULTS, **UNUSABLE, "endless": 0.02, "compressed": 0.02})
    with serving(imitation) as url, service(url, n_tries=12, n_gone_tries=12) as opened:
        table = rows(store, describe(store, opened))

    assert table["figure_id"].n_unique() == len(table) == N_ALL
    assert (table["recaption"].is_null() == table["rejection"].is_not_null()).all()
    assert table["rejection"].null_count() > 0.9 * N_ALL
    assert set(table["seed"]) > {SETTINGS.seed}
    warmer = table.filter(pl.col("seed") > SETTINGS.seed)["sampling"][0]
    assert json.loads(warmer)["temperature"] > SETTINGS.temperature


def test_a_figure_that_no_server_will_take_is_a_row(tmp_path: Path) -> None:
    """Refused, failing and useless answers cost their own row, with the evidence; the others are described."""
    store = ShardStore(uri=str(tmp_path / "store"))
    poisons = {1: "POISON REFUSED", 2: "POISON DENIED", 4: "POISON ERROR", 7: "POISON EMPTY"}
    figures.kept_figures(store, 9, {at: f"A plot with {text}." for at, text in poisons.items()})

    with serving(Imitation()) as url, service(url) as opened:
        table = rows(store, describe(store, opened))

    rejected = table.filter(pl.col("rejection").is_not_null())
    n = len(SHARDS)
    assert Counter(rejected["rejection"]) == {
        "request_refused": 2 * n,
        "request_failed": n,
        "answer_empty": n,
    }
    by_reason = dict(rejected.select("rejection", "evidence").iter_rows())
    assert by_reason["request_refused"] in ("400: the prompt is too long", "403: blocked by a rule")
    assert "EngineCore" in by_reason["request_failed"]
    assert len(table) == 9 * len(SHARDS)


def test_an_image_that_cannot_be_made_ready_costs_its_own_row(store: ShardStore) -> None:
    """A worker that dies on it, or an image that is none: the row says why, and no server is asked."""
    imitation = Imitation()
    requests = [
        CaptionRequest(
            figure_id=f"arxiv:p#{i}.1",
            paper_id="p",
            window=SemanticWindow(title="T", abstract=None, figure_number=None, caption=f"Caption {i}"),
            image=b"no image" if i == 1 else figures.picture(i),
            image_sha256=str(i),
        )
        for i in range(4)
    ]
    with serving(imitation) as url, service(url) as opened:
        dies = FailingMap(lambda image: image == figures.picture(2))
        engine = VllmCaptioner(SETTINGS, store=store, service=opened, map_items=dies)
        found = list(engine.caption(requests, CaptionJob(partition=PARTITION, shard="s", n_figures=4)))

    assert [each.rejection for each in found] == [None, "image_unreadable", "worker_crashed", None]
    assert "cannot be sent" in (found[1].evidence or "")
    assert imitation.asked.total() == 2


def test_without_a_server_the_step_stops_and_goes_on_later(
    store: ShardStore, sound: tuple[Imitation, str]
) -> None:
    """An outage commits nothing for the open shard, and no row is blamed."""
    imitation, url = sound
    nobody = service("http://127.0.0.1:9", outage_after_s=0.3)
    with nobody, pytest.raises(Outage, match="no server is healthy"):
        describe(store, nobody)
    assert not list(Path(store.path("recaptions")).rglob("commit.json"))

    with service(url) as opened:
        table = rows(store, describe(store, opened))
    assert table["rejection"].null_count() == N_ALL
    assert imitation.answered.total() == N_ALL


def test_servers_that_only_fail_are_an_outage(store: ShardStore) -> None:
    """Where not even a small request succeeds, nothing can be said of any figure."""
    outage = pytest.raises(Outage, match=r"no server is healthy|no server answers a small request either")
    with serving(Imitation(faults={"error": 1.0})) as url, service(url) as opened, outage:
        describe(store, opened)


@pytest.mark.parametrize("fault", ["error", "not_json", "cut", "unavailable"])
def test_one_bad_server_among_good_ones_costs_no_row(store: ShardStore, fault: str) -> None:
    """It is taken out; what it failed at is asked of the others."""
    bad, good = Imitation(faults={fault: 1.0}), Imitation()
    with serving(bad) as url, serving(good) as other, service(url, other) as opened:
        table = rows(store, describe(store, opened))

    assert table["rejection"].null_count() == N_ALL
    assert good.answered.total() == N_ALL
    assert bad.asked.total() <= 6 * figures.IN_FLIGHT


def test_a_server_that_refuses_every_figure_stops_the_step(store: ShardStore) -> None:
    """A model without eyes or a context that is too short is no fault of thousands of figures."""
    outage = pytest.raises(Outage, match=r"requests in a row failed.*the prompt is too long")
    with serving(Imitation(faults={"refused": 1.0})) as url, service(url) as opened, outage:
        describe(store, opened)
    assert not list(Path(store.path("recaptions")).rglob("commit.json"))


def test_a_wrong_model_or_a_short_context_is_found_before_the_first_figure(store: ShardStore) -> None:
    """What the servers say of themselves is read first; the error says what to change."""
    imitation = Imitation(model="other", max_model_len=1_000)
    with serving(imitation) as url:
        wrong = pytest.raises(Outage, match=r"does not serve tiny but other: \[recaptioning\] model")
        with service(url) as opened, wrong:
            describe(store, opened)
        imitation.model = "tiny"
        short = pytest.raises(Outage, match="takes 1000 tokens, a request and its answer may have 4000")
        with service(url) as opened, short:
            opened.n_tokens = 4_000
            describe(store, opened)
    assert imitation.asked.total() == 0


def test_what_was_answered_before_an_outage_is_not_asked_again(store: ShardStore) -> None:
    """The server dies after some answers; the next run asks another one for the rest only."""

    class Dying(Imitation):
        async def _chat(self, body, writer):  # type: ignore[no-untyped-def]
            if self.answered.total() >= 10:
                self.is_well = False
                writer.transport.abort()
                return False
            return await super()._chat(body, writer)

    first, second = Dying(), Imitation()
    with serving(first) as url, service(url, outage_after_s=0.2) as opened, pytest.raises(Outage):
        describe(store, opened)
    with serving(second) as url, service(url) as opened:
        table = rows(store, describe(store, opened))

    assert table["rejection"].null_count() == N_ALL
    assert not first.answered.keys() & second.answered.keys()
    assert first.answered.total() + second.answered.total() == N_ALL


def test_another_prompt_asks_again_and_another_server_does_not(store: ShardStore, tmp_path: Path) -> None:
    """What shapes an answer is in its key: prompt, model, sampling; where it came from is not."""
    mine = tmp_path / "mine-1.jinja"
    mine.write_text(
        "{% block system %}Describe.{% endblock %}{% block paper %}{{ title }}{% endblock %}"
        "{% block figure %}{{ caption }}{% endblock %}"
    )
    one, other = Imitation(), Imitation()
    with serving(one) as url, service(url) as opened:
        made = describe(store, opened)
    for shard in SHARDS:
        store.invalidate("recaptions", PARTITION, shard)
    with serving(other) as url, service(url) as opened:
        assert describe(store, opened).digest() == made.digest()
        assert other.asked.total() == 0

        again = rows(store, describe(store, opened, replace(SETTINGS, prompt=str(mine))))
        assert set(again["prompt_version"]) == {"mine-1"}
        assert other.answered.total() == N_ALL
        describe(store, opened, replace(SETTINGS, seed=7))
        assert other.answered.total() == 2 * N_ALL


def test_killed_at_random_moments_no_answer_is_paid_for_twice(tmp_path: Path) -> None:
    """SIGKILL of the run and of the server, again and again; then one undisturbed run gives the same bytes.

    Only what was in flight when something was killed may be asked again.
    """
    store, undisturbed = (ShardStore(uri=str(tmp_path / name)) for name in ("store", "undisturbed"))
    for each in (store, undisturbed):
        figures.kept_figures(each, 60)
    log = tmp_path / "answers.jsonl"
    moments = random.Random(5)
    server = Restarted(log)
    kills, done = 0, False
    while not done:
        with subprocess.Popen(
            [sys.executable, "-m", figures.__name__, store.uri, server.url], stdout=subprocess.PIPE
        ) as run:
            n_before = len(log.read_text().splitlines()) if log.exists() else 0
            while run.poll() is None and kills < 6:
                time.sleep(0.02)
                n_answers = len(log.read_text().splitlines()) if log.exists() else 0
                if n_answers > n_before + moments.randint(3, 12):
                    if kills % 2:
                        server.kill_and_start()
                    else:
                        run.send_signal(signal.SIGKILL)
                    kills, n_before = kills + 1, n_answers
            done = run.wait(60) == 0
    server.stop()

    with serving(Imitation()) as url, service(url) as opened:
        expected = describe(undisturbed, opened)
        made = describe(store, opened)
    assert kills == 6
    answered = Counter(json.loads(line)["digest"] for line in log.read_text().splitlines())
    assert len(answered) == 60 * len(SHARDS)
    assert answered.total() - len(answered) <= kills * figures.IN_FLIGHT
    assert [s.tables for s in made.shards] == [s.tables for s in expected.shards]


class Restarted:
    """A server in a process of its own, on one port."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.process = self._start("0")
        assert self.process.stdout is not None
        self.port = self.process.stdout.readline().decode().strip()
        self.url = f"http://127.0.0.1:{self.port}"

    def _start(self, port: str) -> "subprocess.Popen[bytes]":
        command = [*SERVER, "--port", port, "--latency-s", "0.03", "--log", str(self.log)]
        return subprocess.Popen(command, stdout=subprocess.PIPE)

    def kill_and_start(self) -> None:
        self.stop()
        self.process = self._start(self.port)

    def stop(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_servers_of_our_own_start_when_needed_and_end_with_the_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same code with servers that the step starts itself; one that a request kills is started again."""
    monkeypatch.setattr(server_keeper, "BACK_OFF_S", 0.05)
    store = ShardStore(uri=str(tmp_path / "store"))
    figures.kept_figures(store, N_FIGURES, {5: "A plot with POISON KILL."})
    plan = ServerPlan(command=tuple(SERVER), model=SETTINGS.model, start_timeout_s=60.0)
    log = logging.getLogger("service")
    opened = Service(model=SETTINGS.model, plan=plan, in_flight_per_server=figures.IN_FLIGHT, log=log)

    with opened:
        table = rows(store, describe(store, opened))
        [server] = opened.counts.by_server
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{server}/health")

    rejected = table.filter(pl.col("rejection").is_not_null())
    assert rejected["rejection"].to_list() == ["request_failed"] * len(SHARDS)
    assert rejected["figure_id"].str.ends_with("-1#3.1").all()
    assert len(table) == N_ALL


def test_a_server_of_our_own_that_hangs_is_started_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its process lives and says that it is well, but nobody is answered: no row is lost to that."""
    monkeypatch.setattr(server_keeper, "BACK_OFF_S", 0.05)
    store = ShardStore(uri=str(tmp_path / "store"))
    figures.kept_figures(store, 9)
    plan = ServerPlan(command=(*SERVER, "--hangs-after", "12"), model=SETTINGS.model, start_timeout_s=60.0)
    patience = Patience(request_timeout_s=1.0, n_slow_tries=20, n_tries=20, first_pause_s=0.01)
    log = logging.getLogger("service")
    opened = Service(model=SETTINGS.model, plan=plan, in_flight_per_server=4, patience=patience, log=log)

    with opened:
        table = rows(store, describe(store, opened))

    assert table["rejection"].null_count() == len(table) == 9 * len(SHARDS)


def test_a_slow_figure_does_not_stop_the_others(store: ShardStore) -> None:
    """Answers come in the order of the figures, however long each takes; and no more wait than may."""

    class Uneven(Imitation):
        async def _chat(self, body, writer):  # type: ignore[no-untyped-def]
            self.latency_s = random.Random(len(body) + self.asked.total()).choice((0.0, 0.0, 0.2))
            return await super()._chat(body, writer)

    imitation = Uneven()
    with serving(imitation) as url, service(url) as opened:
        table = rows(store, describe(store, opened))

    assert table["figure_id"].to_list() == decided(store)
    assert imitation.most_seen_at_once <= figures.IN_FLIGHT


def test_no_more_is_read_than_is_on_its_way(store: ShardStore, sound: tuple[Imitation, str]) -> None:
    """Memory is bounded: figures are read from the shard as others are answered."""
    imitation, url = sound
    imitation.latency_s = 0.01
    n_read = most_ahead = n_done = 0

    def requests() -> Iterator[CaptionRequest]:
        nonlocal n_read, most_ahead
        for i in range(300):
            n_read += 1
            most_ahead = max(most_ahead, n_read - n_done)
            window = SemanticWindow(title="T", abstract=None, figure_number=None, caption=f"Caption {i}")
            image = figures.picture(i)
            yield CaptionRequest(
                figure_id=f"f{i}", paper_id="p", window=window, image=image, image_sha256=str(i)
            )

    with service(url) as opened:
        engine = VllmCaptioner(SETTINGS, store=store, service=opened, map_items=map_here)
        for _ in engine.caption(requests(), CaptionJob(partition=PARTITION, shard="s", n_figures=300)):
            n_done += 1

    assert n_done == 300
    assert most_ahead <= 4 * figures.IN_FLIGHT


def test_the_cost_is_told(store: ShardStore, sound: tuple[Imitation, str]) -> None:
    """Rates, tokens, failures and the prefix cache's hit rate, for the asset's metadata."""
    with service(sound[1]) as opened:
        opened.n_gpus = 8
        engine = VllmCaptioner(SETTINGS, store=store, service=opened, map_items=map_here)
        window = SemanticWindow(title="T", abstract=None, figure_number=None, caption="Caption")
        one = CaptionRequest(figure_id="f", paper_id="p", window=window, image=figures.picture(1))
        for shard in ("a", "b"):
            list(engine.caption([one], CaptionJob(partition=PARTITION, shard=shard, n_figures=1)))
        again = list(engine.caption([one], CaptionJob(partition=PARTITION, shard="a", n_figures=1)))
        cost = engine.cost()

    assert len(again) == 1
    assert (cost["asked"], cost["answered from the log"], cost["failure rate"]) == (2, 1, 0.0)
    assert cost["prefix cache hit rate"] == pytest.approx(0.4)
    assert cost["completion tokens/s"] == pytest.approx(120 * cost["figures/s"])
    assert cost["GPU s per 1,000 figures"] == pytest.approx(8_000 / cost["figures/s"])


def test_the_image_is_only_looked_at_where_it_must_be_sent(store: ShardStore) -> None:
    """An answered figure is not decoded again."""
    with serving(Imitation()) as url, service(url) as opened:
        made = describe(store, opened)
    for shard in SHARDS:
        store.invalidate("recaptions", PARTITION, shard)

    looked = FailingMap(lambda image: True)
    with service("http://127.0.0.1:9") as nobody:
        engine = VllmCaptioner(SETTINGS, store=store, service=nobody, map_items=looked)
        again = figures.derived(store, engine)

    assert again.digest() == made.digest()
    assert sum(looked.n_items) == 0
