"""The engine against a real vLLM: whole shards of figures with images, killed servers, the prefix cache."""

import logging
import threading
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from s1mm_assets.recaptioning import RecaptionSettings
from s1mm_assets.resources.captioners.chat_servers import Patience
from s1mm_assets.resources.captioners.own_servers import OwnServers
from s1mm_assets.resources.captioners.service import Service
from s1mm_assets.resources.captioners.vllm import VllmCaptioner
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.tables import Recaption, columns_of
from s1mm_assets_tests.fakes import map_here
from s1mm_assets_tests.resources.captioners import figures
from s1mm_assets_tests.resources.captioners.figures import PARTITION, SHARDS
from s1mm_assets_tests.vllm.conftest import processes_of_server, wait_until_ready

N_FIGURES = 9
N_ALL = N_FIGURES * len(SHARDS)


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    """A store with kept figures in two shards."""
    store = ShardStore(uri=str(tmp_path / "store"))
    figures.kept_figures(store, N_FIGURES)
    return store


def service(server: OwnServers) -> Service:
    return Service(
        model=server.plan.model,
        urls=server.urls,
        api_key=server.api_key,
        in_flight_per_server=4,
        patience=Patience(outage_after_s=300.0),
        log=logging.getLogger("service"),
    )


def settings_for(server: OwnServers) -> RecaptionSettings:
    return replace(figures.SETTINGS, model=server.plan.model, max_answer_tokens=32, n_attempts=2)


def table_of(store: ShardStore, made: ShardSet) -> pl.DataFrame:
    return store.read(made, "recaptions", columns_of(Recaption))


def test_a_real_model_looks_at_every_figure(store: ShardStore, server: OwnServers) -> None:
    """Every figure has a row that says how many tokens it took; nonsense is rejected, not released."""
    with service(server) as opened:
        captioner = VllmCaptioner(settings_for(server), store=store, service=opened, map_items=map_here)
        made = figures.derived(store, captioner)
        cost = captioner.cost()
    table = table_of(store, made)

    assert len(table) == N_ALL
    assert (table["recaption"].is_null() == table["rejection"].is_not_null()).all()
    assert not set(table["rejection"].drop_nulls()) & {"request_failed", "request_refused"}
    assert table["n_prompt_tokens"].min() > 300  # type: ignore[operator]
    assert table["n_completion_tokens"].is_between(1, 32).all()
    assert cost["prefix cache hit rate"] > 0.2
    assert cost["asked"] == N_ALL

    with service(server) as opened:
        for shard in SHARDS:
            store.invalidate("recaptions", PARTITION, shard)
        again = figures.describe(store, opened, settings_for(server))
        assert opened.counts.n_answers == 0
    assert again.digest() == made.digest()


def test_a_server_killed_in_the_middle_costs_no_row(store: ShardStore, server: OwnServers) -> None:
    """kill -9 while figures are on their way: it is started again, and they are answered."""
    with service(server) as opened:
        killer = threading.Timer(2.0, processes_of_server()[1].kill)
        killer.start()
        made = figures.describe(store, opened, settings_for(server))
        killer.join()
    wait_until_ready(server)
    table = table_of(store, made)

    assert len(table) == N_ALL
    assert not set(table["rejection"].drop_nulls()) & {"request_failed", "request_refused"}
