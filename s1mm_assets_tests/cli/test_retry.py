"""`s1mm retry --reason`: what a model answered badly is asked again, and nothing else is."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from s1mm_assets.cli import build
from s1mm_assets.cli.terminal import UsageError
from s1mm_assets.reports import failures
from s1mm_assets.resources.settings import Settings
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.cli.conftest import PARTITION, SETTINGS
from s1mm_assets_tests.test_pipeline import Home

pytestmark = pytest.mark.xdist_group("filtered")


@contextmanager
def server(log: Path, faults: str = "") -> Iterator[str]:
    """A server as a process of its own that notes each answer; its address."""
    command = [sys.executable, "-m", "s1mm_assets_tests.imitations.vllm_server", "--port", "0"]
    with subprocess.Popen(
        [*command, "--faults", faults, "--log", str(log)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.terminate()


def n_answers(log: Path) -> int:
    return len(log.read_text().splitlines())


def empty_rows(home: Home) -> list[str]:
    found = failures(home.store, partitions=[PARTITION], reason="answer_empty")
    return found.filter(asset="recaptions")["id"].to_list()


def test_rejected_answers_are_asked_for_again_and_no_others(home: Home, tmp_path: Path) -> None:
    """A server that says nothing to some, then a sound one, which is asked about these alone."""
    assert home.settings is not None
    home.settings.write_text(SETTINGS + "n_attempts = 1\n")
    first, second = tmp_path / "first.jsonl", tmp_path / "second.jsonl"

    with server(first, "empty=0.5") as url:
        home.run("build", "--partition", PARTITION, S1MM_VLLM_URLS=url)
    empty = empty_rows(home)
    with server(second) as url:
        retried = home.run("retry", "--reason", "answer_empty", S1MM_VLLM_URLS=url)

    assert n_answers(first) > len(empty) > 0
    assert retried.returncode == 0, retried.stdout + retried.stderr
    assert f"{len(empty)} of {len(empty)} rows mended" in retried.stdout
    assert n_answers(second) == len(empty)
    assert empty_rows(home) == []
    handle = home.store.pinned("recaptions", PARTITION)
    assert handle is not None
    seeds = dict(home.store.read(handle, "recaptions", ["figure_id", "seed"]).iter_rows())
    assert {each for each, seed in seeds.items() if seed == 1} == set(empty), (
        "asked as before, it is answered so"
    )
    assert set(seeds.values()) == {0, 1}


def test_a_build_stops_where_the_servers_are_down(home: Home) -> None:
    """The next partition would wait for the same servers; the error says who is not there."""
    assert home.settings is not None
    home.settings.write_text(f"{home.settings.read_text()}[vllm]\noutage_after_s = 0.5\n")

    done = home.run("build", "-p", PARTITION, "-p", "local|2019", S1MM_VLLM_URLS="http://127.0.0.1:9")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "no server is healthy: for 0.5 s (http://127.0.0.1:9: connection" in done.stdout
    assert "stopped: 1 partitions are left" in done.stdout
    assert "local|2019:" not in done.stdout


def test_what_cannot_be_mended_by_repeating_is_refused(home: Home) -> None:
    """Exit code 2, and what helps instead."""
    done = home.run("retry", "--reason", "answer_empty", "--reason", "drawn_in_tex")

    assert done.returncode == 2, done.stdout + done.stderr
    assert "drawn_in_tex lies in the paper" in done.stderr
    assert "Traceback" not in done.stderr


def test_answers_are_kept_where_no_model_would_be_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They cost GPU hours: under the engine context they are not forgotten."""
    monkeypatch.setattr(build, "SETTINGS", Settings())

    with pytest.raises(UsageError, match="engine is context: set it to vllm"):
        build.retry_failed(None, [Rejection.ANSWER_REFUSAL])
