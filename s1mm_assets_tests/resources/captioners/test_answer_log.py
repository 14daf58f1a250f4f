"""The answer log: what is said to be durable is, whatever ends the writer; all readers agree on what counts."""

import asyncio
import errno
import json
import logging
import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs as pafs

from s1mm_assets.recaptioning import SemanticWindow
from s1mm_assets.recaptioning.answer import MAX_RAW_CHARS, read_answer
from s1mm_assets.resources.captioners.answer_log import AnswerLog, LoggedAnswer, logged
from s1mm_assets.resources.captioners.answer_segments import Record, Tombstone, answers_that_count, record_of
from s1mm_assets.resources.shard_garbage import collect
from s1mm_assets.resources.shard_store import ShardStore, StoreError
from s1mm_assets_tests.resources.captioners.answer_writer import PARTITION, SHARD, answer


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(uri=str(tmp_path / "store"))


def write(store: ShardStore, *answers: LoggedAnswer) -> None:
    with AnswerLog.open(store, PARTITION, SHARD) as log:
        wait([log.append(each) for each in answers])


def all_logged(store: ShardStore) -> list[LoggedAnswer]:
    return list(logged(store, PARTITION, SHARD))


def files(store: ShardStore) -> list[Path]:
    return sorted(Path(store.path("answers", "arxiv", "2019", SHARD)).glob("*"))


def test_answers_read_back_as_they_were_logged(store: ShardStore) -> None:
    """Any text does, and so does an answer without one; other shards have other logs."""
    odd = 'α\u2028\n\r\x00"\\ \ud83d 漢'
    answers = [
        answer(0),
        answer(1, odd),
        answer(2, None),
        replace(answer(3), latency_s=1, n_prompt_tokens=None),
    ]
    with AnswerLog.open(store, PARTITION, SHARD) as log:
        assert log.get(answers[0].key) is None
        for each in answers:
            log.append(each).result(timeout=10)
            assert log.get(each.key) == each

    with AnswerLog.open(store, PARTITION, SHARD) as log:
        assert [log.get(each.key) for each in answers] == answers
    with AnswerLog.open(store, PARTITION, "chunk_002") as log:
        assert log.get(answers[0].key) is None
    assert all_logged(store) == answers
    assert len(files(store)) == 1, "a writer without answers leaves no file"


def test_leaving_flushes(store: ShardStore) -> None:
    """What was appended a moment ago is durable after the log is closed; then it takes no more."""
    with AnswerLog.open(store, PARTITION, SHARD) as log:
        futures = [log.append(answer(i)) for i in range(100)]

    assert all(future.done() for future in futures)
    assert len(all_logged(store)) == 100
    with pytest.raises(ValueError, match="is closed"):
        log.append(answer(100))


def test_a_torn_line_costs_itself_alone(store: ShardStore, caplog: pytest.LogCaptureFixture) -> None:
    """A file that ends anywhere in its last line gives all lines before."""
    write(store, answer(0), answer(1), answer(2))
    [path] = files(store)
    whole = path.read_bytes()
    start = whole.rindex(b"\n", 0, -1) + 1

    for end in range(start, len(whole) - 1):
        path.write_bytes(whole[:end])
        assert all_logged(store) == [answer(0), answer(1)]
    assert caplog.records == [], "what a kill leaves is no damage"

    write(store, answer(2))
    assert all_logged(store) == [answer(0), answer(1), answer(2)]


def test_damaged_lines_are_skipped_and_counted(store: ShardStore, caplog: pytest.LogCaptureFixture) -> None:
    """Garbage costs what it replaced; the log says how much."""
    write(store, *(answer(i) for i in range(12)))
    [path] = files(store)
    lines = path.read_bytes().split(b"\n")
    record = json.loads(lines[0])
    garbage = [
        b"\x00" * 40,
        b"\xff{}",
        b"[" * 100_000,
        b"17",
        b"null",
        b'{"forgotten": 3, "stamp_ns": 1}',
        b'{"forgotten": [3], "stamp_ns": 1}',
        b"1" * 5_000,
        json.dumps({**record, "text": 3}).encode(),
        json.dumps({**record, "stamp_ns": "now"}).encode(),
        json.dumps({name: record[name] for name in record if name != "n_tries"}).encode(),
    ]
    path.write_bytes(b"\n".join([*garbage, *lines[11:]]))

    with caplog.at_level(logging.WARNING):
        assert all_logged(store) == [answer(11)]

    assert "11 damaged lines" in caplog.text


@given(
    st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(json.dumps).map(str.encode)
)
def test_no_line_raises(line: bytes) -> None:
    """Whatever lies in the log can be read over."""
    assert record_of(line, "writer") is None


def test_two_writers_agree(store: ShardStore) -> None:
    """The first answer counts, for its rival once it has looked, and for all who come later."""
    with AnswerLog.open(store, PARTITION, SHARD) as one, AnswerLog.open(store, PARTITION, SHARD) as two:
        wait([one.append(answer(0, "one")), one.append(answer(1, "one"))])
        wait([two.append(answer(0, "two")), two.append(answer(2, "two"))])
        assert two.get(answer(0).key) == answer(0, "two")
        for log in (one, two):
            log.refresh()
            assert [log.get(answer(i).key) for i in range(3)] == [
                answer(0, "one"),
                answer(1, "one"),
                answer(2, "two"),
            ]
        one.append(answer(2, "one")).result()
        assert one.get(answer(2).key) == answer(2, "two")
        two.append(answer(3, "two")).result()
        assert one.get(answer(3).key) is None
        one.refresh()
        assert one.get(answer(3).key) == answer(3, "two")

    assert len(files(store)) == 2
    assert [each.text for each in all_logged(store)] == ["one", "one", "two", "two"]


def test_a_clock_that_lags_changes_nothing(store: ShardStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written after another record was read comes after it, whatever the clocks say."""
    now = time.time_ns()
    with AnswerLog.open(store, PARTITION, SHARD) as ahead:
        monkeypatch.setattr(time, "time_ns", lambda: now + 3600 * 10**9)
        wait([ahead.append(answer(0, "first")), ahead.append(answer(1, "first"))])
        monkeypatch.setattr(time, "time_ns", lambda: now)
        with AnswerLog.open(store, PARTITION, SHARD) as behind:
            assert behind.forget([answer(1).figure_id]) == 1
            wait([behind.append(answer(0, "second")), behind.append(answer(1, "second"))])

    assert [each.text for each in all_logged(store)] == ["first", "second"]


def test_forgotten_answers_are_asked_again(store: ShardStore) -> None:
    """All answers of a figure logged so far go, those of others stay, and what comes later counts."""
    write(store, answer(0), answer(1, figure=7), answer(2, figure=7))

    with AnswerLog.open(store, PARTITION, SHARD) as log:
        assert log.forget(["arxiv:2001.00001#7.1", "arxiv:unknown#1.1"]) == 2
        assert log.get(answer(1).key) is None
        assert all_logged(store) == [answer(0)], "durable before it returns"
        log.append(answer(1, "again", figure=7))

    assert all_logged(store) == [answer(0), answer(1, "again", figure=7)]
    with AnswerLog.open(store, PARTITION, SHARD) as log:
        assert log.forget(["arxiv:2001.00001#7.1"]) == 1
    assert all_logged(store) == [answer(0)]


def test_times_forgotten_are_counted_over_all_writers(store: ShardStore) -> None:
    """Each tombstone that names a figure once, whoever wrote it, however often its file has grown and been read."""
    mine, other = answer(0).figure_id, answer(1).figure_id
    with AnswerLog.open(store, PARTITION, SHARD) as one, AnswerLog.open(store, PARTITION, SHARD) as two:
        one.forget([mine, mine])
        assert (one.n_forgotten(mine), two.n_forgotten(mine)) == (1, 0)
        for n_before in (1, 2, 3):  # the file grows with each
            two.refresh()
            two.refresh()
            assert (two.n_forgotten(mine), two.n_forgotten(other)) == (n_before, 0)
            one.append(answer(n_before)).result(timeout=10)
            one.forget([mine])
        two.forget([mine, other])
        for log in (one, two):
            log.refresh()
            assert (log.n_forgotten(mine), log.n_forgotten(other), log.n_forgotten("none")) == (5, 1, 0)
    with AnswerLog.open(store, PARTITION, SHARD) as log:
        assert (log.n_forgotten(mine), log.n_forgotten(other)) == (5, 1)


@pytest.mark.parametrize("ending", ["", " and on"])
def test_a_text_is_cut_where_nobody_reads_on(store: ShardStore, ending: str) -> None:
    """A loop of megabytes costs its beginning, and reads as it did: what is too long stays too long."""
    text = "Growth rises. " * (MAX_RAW_CHARS // 14 + 1)
    text = text[:MAX_RAW_CHARS] + ending * 1_000
    window = SemanticWindow(title=None, abstract=None, figure_number=None, caption="")

    write(store, answer(0, text))
    [found] = all_logged(store)

    assert found.text == text[: MAX_RAW_CHARS + 1]
    assert read_answer(found.text, "stop", window, "") == read_answer(text, "stop", window, "")


@given(st.data())
def test_what_counts_depends_on_no_order(data: st.DataObject) -> None:
    """Files may be listed in any order, and a reader that takes up one record after the other ends alike."""
    contents = st.builds(
        lambda key, figure, text: answer(key, text, figure=figure),
        *(st.integers(0, 2),) * 2,
        st.sampled_from("abc"),
    ) | st.builds(lambda figure: Tombstone(frozenset([answer(figure).figure_id])), st.integers(0, 2))
    records = data.draw(
        st.lists(
            st.builds(Record, st.integers(0, 9), st.sampled_from("xy"), contents),
            unique_by=lambda record: (record.stamp_ns, record.writer),
        )
    )
    shuffled = data.draw(st.permutations(records))

    assert answers_that_count(shuffled) == answers_that_count(records)
    assert [record_of(record.line(), record.writer) for record in records] == records


def test_nothing_is_called_durable_before_it_is(store: ShardStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A future is done after the fsync of its bytes, and after that of every folder on the way to them."""
    real, gate, synced = os.fsync, threading.Event(), list[tuple[str, int]]()

    def fsync(descriptor: int) -> None:
        assert gate.wait(10)
        real(descriptor)
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), os.fstat(descriptor).st_size))

    monkeypatch.setattr(os, "fsync", fsync)
    with AnswerLog.open(store, PARTITION, SHARD) as log:
        first = log.append(answer(0))
        time.sleep(0.1)  # so that code that does not wait is caught; correct code passes however slow
        assert not first.done()
        assert log.get(answer(0).key) is None
        gate.set()
        first.result(timeout=10)
        [path] = files(store)
        assert synced[-1] == (str(path), path.stat().st_size)
        root = Path(store.uri)
        assert {name for name, _ in synced[:-1]} == {
            str(folder) for folder in path.parents if folder.is_relative_to(root)
        }
        gate.clear()
        rest = [log.append(answer(i)) for i in range(1, 1000)]
        n_before = len(synced)
        time.sleep(0.1)
        assert not any(future.done() for future in rest)
        gate.set()
        wait(rest, timeout=10)
        assert len(synced) - n_before <= 2, "what waits is written with one fsync"


def test_a_killed_process_loses_nothing_that_was_durable(store: ShardStore) -> None:
    """Killed twice at random moments: each key that was printed is there, and the rest is whole or not there."""
    moments = random.Random(5)
    printed: set[int] = set()
    command = [sys.executable, "-m", "s1mm_assets_tests.resources.captioners.answer_writer", store.uri]
    for _ in range(2):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            n = moments.randint(20, 500)
            printed |= {int(process.stdout.readline()) for _ in range(n)}
            process.kill()
            printed |= {
                int(line) for line in process.stdout.read().splitlines(keepends=True) if line.endswith("\n")
            }
        assert {f"{i:064x}" for i in printed} <= {each.key for each in all_logged(store)}
    assert len(printed) >= 20
    assert len(files(store)) == 2


def test_a_full_disk_stops_the_writer(store: ShardStore) -> None:
    """A file that can grow no more: the process ends with the store's error; what was durable is there."""
    command = [
        sys.executable,
        "-m",
        "s1mm_assets_tests.resources.captioners.answer_writer",
        store.uri,
        "20000",
    ]

    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    assert done.returncode == 1
    assert "StoreError: answers of arxiv|2019 chunk_001 cannot be logged: [Errno 27]" in done.stderr
    [path] = files(store)
    assert path.stat().st_size == 20000, "the last line is torn"
    printed = {f"{int(i):064x}" for i in done.stdout.split()}
    assert len(printed) > 20
    assert printed <= {each.key for each in all_logged(store)}


@pytest.mark.parametrize("call", ["write", "fsync", "open"])
def test_an_error_of_the_store_reaches_everyone(
    store: ShardStore, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    """Futures, later appends and closing raise, and nothing is written after, even if the disk has room again."""
    gate = threading.Event()

    def full(*arguments: object) -> None:
        gate.wait(10)
        raise OSError(errno.ENOSPC, "No space left on device")

    context = AnswerLog.open(store, PARTITION, SHARD)
    log = context.__enter__()
    if call != "open":
        log.append(answer(0)).result(timeout=10)
    with monkeypatch.context() as patch:
        patch.setattr(os, call, full)
        futures = [log.append(answer(i)) for i in range(1, 50)]
        gate.set()
        wait(futures, timeout=10)

    assert all(isinstance(future.exception(timeout=0), StoreError) for future in futures)
    with pytest.raises(StoreError, match="No space left") as caught:
        log.append(answer(50))
    assert isinstance(caught.value.__cause__, OSError)
    with pytest.raises(StoreError):
        log.forget([answer(0).figure_id])
    with pytest.raises(StoreError, match="No space left"):
        context.__exit__(None, None, None)
    n_logged = {"open": range(1), "write": range(1, 2), "fsync": range(1, 51)}
    assert len(all_logged(store)) in n_logged[call]


def test_an_error_of_the_body_is_not_replaced(store: ShardStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who interrupts a run whose disk is full hears of the interrupt; the futures have told the rest."""

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def interrupted() -> None:
        with AnswerLog.open(store, PARTITION, SHARD) as log:
            log.append(answer(0)).exception(timeout=10)
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyboardInterrupt):
        interrupted()


def test_who_no_longer_waits_harms_nobody(store: ShardStore) -> None:
    """A task that is cancelled while its answer is written leaves the log as it was; the answer stays."""

    async def run(log: AnswerLog) -> None:
        waiting = asyncio.wrap_future(log.append(answer(0)))
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await asyncio.wrap_future(log.append(answer(1)))

    with AnswerLog.open(store, PARTITION, SHARD) as log:
        asyncio.run(run(log))

    assert all_logged(store) == [answer(0), answer(1)]


def test_many_threads_at_once(store: ShardStore) -> None:
    """Eight threads, twenty thousand answers: each is durable, once, with few fsyncs."""
    futures: list[list[Future[None]]] = [[] for _ in range(8)]

    def run(log: AnswerLog, i: int) -> None:
        futures[i] += [log.append(answer(number)) for number in range(i, 20_000, 8)]

    with AnswerLog.open(store, PARTITION, SHARD) as log:
        threads = [threading.Thread(target=run, args=(log, i)) for i in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        done = wait([future for each in futures for future in each], timeout=60)
        assert len(done.done) == 20_000
        assert {log.get(f"{i:064x}") for i in range(20_000)} == {answer(i) for i in range(20_000)}

    [path] = files(store)
    assert path.read_bytes().count(b"\n") == 20_000
    assert {each.key for each in all_logged(store)} == {f"{i:064x}" for i in range(20_000)}


def test_garbage_collection_leaves_answers_alone(store: ShardStore) -> None:
    """No record names them, and they are not garbage."""
    write(store, answer(0))

    assert collect(store, older_than_s=-1).paths == ()
    assert all_logged(store) == [answer(0)]


@pytest.mark.filterwarnings("default")  # moto and botocore warn of their own dependencies
def test_an_object_store_gets_few_segments(s3_uri: str) -> None:
    """Answers wait for the interval, for enough of them, for a tombstone or for the end; then they are durable."""
    store = ShardStore(uri=s3_uri)

    folder = pafs.FileSelector(store.path("answers", "arxiv", "2019", SHARD), allow_not_found=True)

    def n_segments() -> int:
        return len(store.fs.get_file_info(folder))

    with AnswerLog.open(store, PARTITION, SHARD, flush_interval_s=0.3) as log:
        wait([log.append(answer(i)) for i in range(400)], timeout=20)
        assert n_segments() <= 3
        assert len(all_logged(store)) == 400
    n_before = n_segments()
    with AnswerLog.open(store, PARTITION, SHARD, flush_interval_s=30) as log, ThreadPoolExecutor() as threads:
        assert log.get(answer(399).key) == answer(399)
        few = [log.append(answer(i)) for i in range(400, 500)]
        assert n_segments() == n_before
        assert not any(future.done() for future in few)
        wait([*few, *(log.append(answer(i)) for i in range(500, 900))], timeout=20)
        assert n_segments() == n_before + 1
        assert threads.submit(log.forget, [answer(3).figure_id]).result(timeout=15) == 1
        assert n_segments() == n_before + 2
        log.append(answer(900))
    assert n_segments() == n_before + 3
    assert {each.key for each in all_logged(store)} == {answer(i).key for i in range(901) if i != 3}
    assert collect(store, older_than_s=-60).paths == ()


@pytest.mark.filterwarnings("default")
def test_an_object_store_is_not_waited_for_when_little_is_to_come(s3_uri: str) -> None:
    """`hurry` writes what waits long before the interval is over, and what comes later soon, but not one by one."""
    store, shard = ShardStore(uri=s3_uri), "chunk_002"

    with AnswerLog.open(store, PARTITION, shard, flush_interval_s=3_600) as log:
        first = log.append(answer(0))
        time.sleep(0.2)
        assert not first.done()
        log.hurry()
        first.result(timeout=30)
        assert list(logged(store, PARTITION, shard)) == [answer(0)]
        for i in range(1, 20):
            last = log.append(answer(i))
            log.hurry()
        last.result(timeout=30)
        assert len(list(logged(store, PARTITION, shard))) == 20
    folder = pafs.FileSelector(store.path("answers", "arxiv", "2019", shard))
    assert len(store.fs.get_file_info(folder)) <= 4
    log.hurry()  # of a closed log: nothing


@pytest.mark.filterwarnings("default")
def test_an_object_store_that_fails_is_heard(s3_uri: str) -> None:
    """A bucket that is gone: futures and closing raise."""
    store = ShardStore(uri=s3_uri.replace("s3://store/", "s3://gone/"))

    context = AnswerLog.open(store, PARTITION, SHARD, flush_interval_s=0.1)
    log = context.__enter__()

    assert isinstance(log.append(answer(0)).exception(timeout=60), StoreError)
    with pytest.raises(StoreError):
        log.append(answer(1))
    with pytest.raises(StoreError, match="cannot be logged"):
        context.__exit__(None, None, None)
