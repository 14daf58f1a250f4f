"""Results of batches: what of them counts, and what becomes of the rest."""

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.recaptioning.answer import MAX_RAW_CHARS
from s1mm_assets.resources.captioners import batch_results
from s1mm_assets.resources.captioners.answer_log import AnswerLog, logged
from s1mm_assets.resources.captioners.batch_requests import write_batch
from s1mm_assets.resources.captioners.batch_results import BatchRead, read_batch
from s1mm_assets.resources.captioners.http_answers import MAX_ANSWER_BYTES
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets_tests.resources.captioners.batches import (
    MAX_BYTES,
    N_ALL,
    NOWHERE,
    answered,
    engine,
    requests_in,
    store_of_figures,
    write_results,
)
from s1mm_assets_tests.resources.captioners.figures import PARTITION, SETTINGS, SHARDS, describe, service


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return store_of_figures(tmp_path)


def n_logged(store: ShardStore) -> int:
    return sum(1 for shard in SHARDS for _ in logged(store, PARTITION, shard))


def test_what_is_answered_elsewhere_is_committed_without_a_server(store: ShardStore, tmp_path: Path) -> None:
    """Rows are as if a server had answered; reading twice changes nothing, and nothing is left to ask."""
    written = write_batch(engine(store), PARTITION, tmp_path / "out", MAX_BYTES)
    results = write_results(tmp_path / "r.jsonl", map(answered, requests_in(written.files)))

    report = read_batch(engine(store), PARTITION, [results])
    again = read_batch(engine(store), PARTITION, [results])

    assert (report.outcomes, report.n_to_ask) == ({"logged": N_ALL}, 0)
    assert (again.outcomes, again.n_to_ask) == ({"in the log before": N_ALL}, 0)
    assert n_logged(store) == N_ALL
    assert {answer.server for shard in SHARDS for answer in logged(store, PARTITION, shard)} == {"batch"}
    table = store.read(describe(store, service(NOWHERE)), "recaptions", ["recaption", "n_prompt_tokens"])
    assert table["recaption"].null_count() == 0
    assert set(table["n_prompt_tokens"]) == {1_500}
    assert write_batch(engine(store), PARTITION, tmp_path / "out", MAX_BYTES).files == []
    assert list((tmp_path / "out").iterdir()) == []


def test_an_answer_that_cannot_be_used_is_asked_for_again(store: ShardStore, tmp_path: Path) -> None:
    """With the next attempt's seed, for that figure alone, until the attempts are spent."""
    folder, ids = tmp_path / "out", []
    for seed in range(SETTINGS.n_attempts):
        rows = requests_in(write_batch(engine(store), PARTITION, folder, MAX_BYTES).files)
        ids.append(rows[0]["custom_id"])
        assert {row["body"]["seed"] for row in rows} == {seed}
        assert len(rows) == (N_ALL if seed == 0 else 1)
        lines = [answered(row, "empty" if row is rows[0] else None) for row in rows]
        report = read_batch(engine(store), PARTITION, [write_results(tmp_path / "r.jsonl", lines)])
        assert report.n_to_ask == (0 if seed == SETTINGS.n_attempts - 1 else 1)

    assert len(set(ids)) == SETTINGS.n_attempts
    table = store.read(describe(store, service(NOWHERE)), "recaptions", ["rejection"])
    assert table["rejection"].drop_nulls().to_list() == ["answer_empty"]


def broken_results(requests: list[dict[str, Any]]) -> Iterator[tuple[str, bytes]]:
    """Yield results that cannot be used, with what is said of them."""
    sound = answered(requests[0])
    response = sound["response"]

    def line(**changes: Any) -> bytes:
        return json.dumps({**sound, **changes}).encode()

    def of_body(**changes: Any) -> bytes:
        return line(response={**response, "body": {**response["body"], **changes}})

    yield "error", line(response=None, error={"message": "the prompt is too long"})
    yield "error", line(response={"status_code": 400, "body": None}, error="bad request")
    yield "error", line(response={"status_code": 500, "body": {"error": {"message": "EngineCore"}}})
    yield "error", line(response=[1])
    yield "unreadable", line()[:200]
    yield "unreadable", b"\xff\xfe"
    yield "unreadable", b"[" * 100_000
    yield "unreadable", b"[1]"
    yield "unreadable", line(custom_id=7)
    yield "unreadable", line(response={"status_code": 200})
    yield "unreadable", of_body(choices=[])
    yield "unreadable", of_body(choices=[{"message": {"content": [1]}}])
    yield "unreadable", of_body(choices=[{"message": {"content": "x"}, "finish_reason": 4}])
    yield "unreadable", of_body(usage={"prompt_tokens": 10**12})
    yield "unreadable", of_body(usage={"prompt_tokens": -1})
    yield "unreadable", of_body(usage={"completion_tokens": "many"})
    yield "unreadable", b"7" * 5_000
    yield "unreadable", b" " * (MAX_ANSWER_BYTES + 1)
    yield "of another prompt, model, image or partition", line(custom_id="0" * 64)
    yield "no request of s1mm", line(custom_id="request-1")
    yield "no request of s1mm", line(custom_id=sound["custom_id"].upper() + "0")


def test_results_that_cannot_be_used_are_counted_and_cost_no_other(store: ShardStore, tmp_path: Path) -> None:
    """Whatever stands between them, the sound ones are logged; the last line may lack its end."""
    rows = requests_in(write_batch(engine(store), PARTITION, tmp_path / "out", MAX_BYTES).files)
    broken = list(broken_results(rows))
    sound = [json.dumps(answered(row)).encode() for row in reversed(rows)]
    lines = [line for pair in zip((line for _, line in broken), sound, strict=False) for line in pair]
    lines += [line for _, line in broken[len(sound) :]] + sound[len(broken) :] + [b"", sound[0]]
    (tmp_path / "r.jsonl").write_bytes(b"\n".join(lines))

    report = read_batch(engine(store), PARTITION, [tmp_path / "r.jsonl"])

    expected = pl.Series([outcome for outcome, _ in broken]).value_counts().rows()
    assert report.outcomes == {**dict(expected), "logged": N_ALL, "repeated": 1}
    assert report.n_to_ask == 0
    assert report.examples["error"][0].startswith("r.jsonl:1 None: ")
    assert "the prompt is too long" in report.examples["error"][0]
    assert n_logged(store) == N_ALL


@given(st.lists(st.binary(max_size=60), max_size=6))
def test_no_bytes_break_the_reading(lines: list[bytes]) -> None:
    """Every line is counted; none raises."""
    stream = io.BytesIO(b"\n".join(lines))
    report = BatchRead()
    for number, offset, line in batch_results._lines_of(stream):
        assert line is not None
        batch_results._sound_key(line, batch_results._Place(Path("r"), number, offset), report)

    assert report.outcomes.total() == sum(1 for _ in io.BytesIO(stream.getvalue()))


def test_results_of_another_prompt_or_image_window_are_stale(store: ShardStore, tmp_path: Path) -> None:
    """They answer other requests than are asked now."""
    old = replace(SETTINGS, min_image_tokens=SETTINGS.min_image_tokens + 1)
    written = write_batch(engine(store, old), PARTITION, tmp_path / "out", MAX_BYTES)
    results = write_results(tmp_path / "r.jsonl", map(answered, requests_in(written.files)))

    report = read_batch(engine(store), PARTITION, [results])

    assert report.outcomes == {"of another prompt, model, image or partition": N_ALL}
    assert report.n_to_ask == N_ALL
    assert n_logged(store) == 0


def test_what_was_forgotten_is_asked_with_seeds_of_its_own(store: ShardStore, tmp_path: Path) -> None:
    """After a retry a figure has other keys; results to the old ones are told apart, and cost no other."""
    folder, results = tmp_path / "out", tmp_path / "r.jsonl"
    old = requests_in(write_batch(engine(store), PARTITION, folder, MAX_BYTES).files)
    read_batch(engine(store), PARTITION, [write_results(results, map(answered, old))])
    figure_id = next(each.figure_id for each in logged(store, PARTITION, SHARDS[0]))

    with AnswerLog.open(store, PARTITION, SHARDS[0]) as log:
        log.forget([figure_id])
    [new] = requests_in(write_batch(engine(store), PARTITION, folder, MAX_BYTES).files)
    report = read_batch(engine(store), PARTITION, [write_results(results, map(answered, [*old, new]))])

    assert new["body"]["seed"] == SETTINGS.seed + SETTINGS.n_attempts
    assert report.outcomes == {"forgotten by s1mm retry": 1, "in the log before": N_ALL - 1, "logged": 1}
    assert report.n_to_ask == 0
    assert n_logged(store) == N_ALL


def test_a_result_of_megabytes_is_logged_cut(store: ShardStore, tmp_path: Path) -> None:
    """No more than is ever read lies in the log, and what is read of it is that it is too long."""
    rows = requests_in(write_batch(engine(store), PARTITION, tmp_path / "out", MAX_BYTES).files)
    long = answered(rows[0])
    long["response"]["body"]["choices"][0]["message"]["content"] = "word " * 500_000

    report = read_batch(engine(store), PARTITION, [write_results(tmp_path / "r.jsonl", [long])])

    assert report.outcomes == {"logged": 1}
    [entry] = [each for shard in SHARDS for each in logged(store, PARTITION, shard)]
    assert len(entry.text or "") == MAX_RAW_CHARS + 1
