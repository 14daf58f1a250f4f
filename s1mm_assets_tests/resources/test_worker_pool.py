import itertools
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psutil
import pytest

from s1mm_assets.resources import machine, progress, worker_pool
from s1mm_assets.resources.progress import progress_to
from s1mm_assets.resources.worker_crew import Crew, Task, WorkerPoolError
from s1mm_assets.resources.worker_pool import WorkerPool, _Window
from s1mm_assets.stages import Failed, MapItems
from s1mm_assets.tables import Rejection
from s1mm_assets_tests.resources import worker_job, worker_tasks
from s1mm_assets_tests.resources.processes import is_running, wait_until

CAP_MIB = 300


@pytest.fixture(scope="module", autouse=True)
def _quick_start() -> Iterator[None]:
    """Preload less: these tests start many pools, and their tasks need little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker_pool, "PRELOAD", ("numpy",))
        yield


@pytest.fixture(scope="module")
def pool() -> Iterator[WorkerPool]:
    with WorkerPool(n_workers=2, cpu_limit_s=1, memory_limit_mib=CAP_MIB) as workers:
        yield workers


def crew_of(pool: WorkerPool) -> Crew:
    return worker_pool._crews[pool._crew_key()]


def processes_of(pool: WorkerPool) -> list[psutil.Process]:
    """The nursery first, then the workers."""
    nursery = psutil.Process(crew_of(pool)._nursery.pid)
    return [nursery, *nursery.children()]


def test_results_come_in_the_order_of_items(pool: WorkerPool) -> None:
    """Whichever worker is ready first."""
    map_items: MapItems = pool.map

    assert list(map_items(worker_tasks.double_slowly, range(20))) == [2 * i for i in range(20)]
    assert list(map_items(worker_tasks.double, [])) == []


CRASHED, TIMED_OUT, OUT_OF_MEMORY = (
    Rejection.WORKER_CRASHED,
    Rejection.TIMED_OUT,
    Rejection.OUT_OF_MEMORY,
)
MISDEEDS = {
    "raise": (CRASHED, "ValueError: no figure in <object object at 0x…> at s1mm_assets_tests/"),
    "raise a temporary path": (CRASHED, "No such file or directory: '(temporary file)' at pathlib.py:"),
    "raise half a character": (CRASHED, "ValueError: \\ud800 at"),
    "raise a novel": (CRASHED, "xxx at s1mm_assets_tests/resources/worker_tasks.py:"),
    "leave Python": (CRASHED, "SystemExit: bye at"),
    "segfault": (CRASHED, "worker killed by SIGSEGV"),
    "exit": (CRASHED, "worker exited with code 7"),
    "be killed": (CRASHED, "worker killed by SIGKILL"),
    "burn": (TIMED_OUT, "CPU time over 1 s"),
    "ignore signals": (TIMED_OUT, "CPU time over 1 s"),
    "swell": (OUT_OF_MEMORY, "resident memory over 300 MiB"),
    "let a child swell": (OUT_OF_MEMORY, "resident memory over 300 MiB"),
    "ask for all memory": (OUT_OF_MEMORY, "MemoryError"),
    "recurse": (CRASHED, "RecursionError: maximum recursion depth exceeded at"),
    "return a lock": (CRASHED, "TypeError: cannot pickle '_thread.lock' object"),
    "die when pickled": (CRASHED, "worker exited with code 9"),
    "return what cannot be read": (CRASHED, "result cannot be read: ValueError: invalid literal for int()"),
}


def test_each_misdeed_costs_its_own_item_alone(pool: WorkerPool) -> None:
    """Between any two that crash, hang or swell, good work is done, and each failure says what it was."""
    items = [item for misdeed in MISDEEDS for item in (misdeed, "well", "print")]

    results = list(pool.map(worker_tasks.misbehave, items))

    assert results[1::3] == ["well"] * len(MISDEEDS)
    assert results[2::3] == ["print"] * len(MISDEEDS)
    for misdeed, failed in zip(MISDEEDS, results[0::3], strict=True):
        rejection, evidence = MISDEEDS[misdeed]
        assert isinstance(failed, Failed), misdeed
        assert failed.rejection is rejection, (misdeed, failed)
        assert evidence in failed.evidence, (misdeed, failed)
        assert len(failed.evidence) <= 500
        failed.evidence.encode()


def test_a_task_that_waits_for_ever_is_timed_out() -> None:
    """It uses no CPU time; the wall clock ends it, and its worker with it."""
    with WorkerPool(n_workers=1, wall_limit_s=1, memory_limit_mib=CAP_MIB) as workers:
        results = list(workers.map(worker_tasks.misbehave, ["well", "sleep", "well"]))

    assert results == ["well", Failed(TIMED_OUT, "wall-clock time over 1 s"), "well"]


def test_workers_that_all_die_at_once_lose_no_item(pool: WorkerPool) -> None:
    """Many crashes in a row: every item is answered, in order."""
    items = ["well", "exit", "die when pickled", "segfault", "well"] * 2

    results = list(pool.map(worker_tasks.misbehave, items))

    assert [result == "well" for result in results] == [item == "well" for item in items]


def test_an_idle_worker_that_is_killed_costs_nothing(pool: WorkerPool) -> None:
    """The item that was about to go to it goes to another."""
    for _ in range(2):
        list(pool.map(worker_tasks.double_slowly, range(4)))
        for worker in processes_of(pool)[1:]:
            worker.kill()

        assert list(pool.map(worker_tasks.double, range(10))) == [2 * i for i in range(10)]


def test_an_item_that_cannot_be_pickled_costs_itself_alone(pool: WorkerPool) -> None:
    """It never reaches a worker."""
    results = list(pool.map(worker_tasks.double, [1, threading.Lock(), 3]))

    assert results[0::2] == [2, 6]
    assert results[1] == Failed(
        CRASHED, "TypeError: cannot pickle '_thread.lock' object at " + results[1].evidence.split(" at ")[1]
    )


def test_items_are_read_only_as_far_ahead_as_allowed(pool: WorkerPool) -> None:
    """An endless iterator is read by a bounded number, and only once a result is asked for."""
    read = itertools.count()
    results = pool.map(worker_tasks.double, read)
    assert next(read) == 0

    assert [next(results) for _ in range(100)] == [2 * i for i in range(1, 101)]
    n_read = next(read)
    assert n_read <= 1 + 100 + 2 * worker_pool._IN_FLIGHT_PER_WORKER
    results.close()


def task(item_bytes: int = 0, result: bytes | None = None) -> Task:
    made = Task(b"", b"", item_bytes)
    if result is not None:
        made.outcome.set_result(result)
    return made


def test_what_is_in_flight_is_bounded_in_number_and_bytes() -> None:
    """Items count as much as they say, results that wait as much as they hold, others as those before."""
    by_number = _Window(max_tasks=2, max_bytes=100 << 20)
    heavy_items = _Window(max_tasks=100, max_bytes=5 << 20)
    heavy_results = _Window(max_tasks=100, max_bytes=5 << 20)
    assert _Window(max_tasks=1, max_bytes=1).has_room(), "one is always read"

    by_number.append(task())
    assert by_number.has_room()
    by_number.append(task())
    assert not by_number.has_room()

    heavy_items.append(task(3 << 20))
    assert heavy_items.has_room()
    heavy_items.append(task(3 << 20))
    assert not heavy_items.has_room()
    heavy_items.popleft()
    assert heavy_items.has_room()

    for _ in range(2):
        heavy_results.append(task(10, result=bytes(2 << 20)))
    assert not heavy_results.has_room()
    heavy_results.popleft()
    assert heavy_results.has_room()
    heavy_results.append(task(10))
    heavy_results.append(task(10))
    assert not heavy_results.has_room()


def test_results_that_nobody_takes_stop_the_reading() -> None:
    """A small item may give a large result: from what came so far, no more is read than will fit."""
    n_read = 0

    def small_items() -> Iterator[int]:
        nonlocal n_read
        for _ in range(29):
            n_read += 1
            yield 700_000

    with WorkerPool(n_workers=2, in_flight_limit_mib=4, memory_limit_mib=CAP_MIB) as workers:
        n_ahead = [n_read - n_taken for n_taken, _ in enumerate(workers.map(bytes, small_items()), 1)]

    assert max(n_ahead[5:]) <= 5
    assert max(n_ahead) >= 2


def test_a_worker_with_memory_left_over_makes_way_for_another(pool: WorkerPool) -> None:
    """What one task keeps is not charged to the next."""
    pids = list(pool.map(worker_tasks.keep_half_a_cap, range(4)))

    assert len(set(pids)) == 4


def test_a_child_that_outlives_its_task_is_killed(pool: WorkerPool, tmp_path: Path) -> None:
    """Even one in a session of its own, and though the task was done."""
    file = tmp_path / "pids"
    assert list(pool.map(worker_tasks.leave_a_child, [str(file)])) == [str(file)]

    worker, child = (int(pid) for pid in file.read_text().split())
    assert wait_until(lambda: not is_running(child))
    assert wait_until(lambda: not is_running(worker))


def scratch_of(pool: WorkerPool) -> Path:
    return Path(crew_of(pool)._scratch)


def test_a_killed_worker_leaves_no_temporary_files(pool: WorkerPool) -> None:
    """Workers have a folder for them, which goes when they go."""
    [file] = pool.map(worker_tasks.write_a_temporary_file, [1])
    assert Path(str(file)).parent.parent == scratch_of(pool)
    assert Path(str(file)).exists()

    for worker in processes_of(pool)[1:]:
        worker.kill()

    assert wait_until(lambda: not list(scratch_of(pool).iterdir()))


def test_the_process_that_forks_has_one_thread(pool: WorkerPool) -> None:
    """Fork copies one thread only: polars and its like must not be there before."""
    list(pool.map(worker_tasks.double, [1]))

    assert processes_of(pool)[0].num_threads() == 1


def test_workers_compute_with_polars_while_the_parent_does(pool: WorkerPool) -> None:
    """Polars deadlocks in forked processes; workers are not forked from this one."""
    results = pool.map(worker_tasks.frame_sum, range(10))

    assert [(result, worker_tasks.frame_sum(i)) for i, result in enumerate(results)] == [
        (1000 * i, 1000 * i) for i in range(10)
    ]


def test_an_abandoned_map_stops_its_tasks(tmp_path: Path) -> None:
    """Closing early neither waits for what runs nor leaves it running, and the pool goes on."""
    files = [tmp_path / "a", tmp_path / "b"]
    with WorkerPool(n_workers=2, memory_limit_mib=CAP_MIB) as workers:
        results = workers.map(worker_tasks.leave_a_child_and_sleep, ["", *map(str, files), *"cdefg"])
        assert next(results) is None
        assert wait_until(lambda: all(file.exists() for file in files))

        results.close()

        pids = [int(pid) for file in files for pid in file.read_text().split()]
        assert wait_until(lambda: not any(is_running(pid) for pid in pids))
        assert list(workers.map(worker_tasks.double, [1])) == [2]
        assert not Path("c").exists()


def test_an_error_in_the_items_reaches_the_caller(pool: WorkerPool) -> None:
    """A reader that breaks is no item's failure."""

    def items() -> Iterator[int]:
        yield 1
        raise OSError("the store is gone")

    with pytest.raises(OSError, match="the store is gone"):
        list(pool.map(worker_tasks.double, items()))
    assert list(pool.map(worker_tasks.double, [1])) == [2]


def in_main(item: int) -> int:
    return item


def test_a_function_that_workers_cannot_load_stops_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else every row would be rejected for a mistake of ours."""
    monkeypatch.setattr(sys.modules["__main__"], "in_main", in_main, raising=False)
    monkeypatch.setattr(in_main, "__module__", "__main__")
    with WorkerPool(n_workers=1, memory_limit_mib=CAP_MIB) as workers:
        with pytest.raises(WorkerPoolError, match="cannot load the function: AttributeError"):
            list(workers.map(in_main, [1, 2]))
        assert list(workers.map(worker_tasks.double, [1])) == [2]


def test_a_nursery_that_is_killed_stops_the_step() -> None:
    """It is no item's fault; a worker in mid-task goes too, and the next map starts another."""
    with WorkerPool(n_workers=1, memory_limit_mib=CAP_MIB) as workers:
        results = workers.map(worker_tasks.misbehave, ["well", "sleep"])
        assert next(results) == "well"
        nursery, worker = processes_of(workers)
        [known] = crew_of(workers)._workers.values()
        assert wait_until(lambda: known.task is not None and known.has_received)
        scratch = scratch_of(workers)

        nursery.kill()

        with pytest.raises(WorkerPoolError, match="ended from outside"):
            next(results)
        assert wait_until(lambda: not is_running(worker.pid) and not scratch.exists())
        assert list(workers.map(worker_tasks.double, [1])) == [2]


PARENT = """
import sys
from s1mm_assets.resources import worker_pool
from s1mm_assets_tests.resources.worker_tasks import leave_a_child_and_sleep
worker_pool.PRELOAD = ()
list(worker_pool.WorkerPool(n_workers=1, memory_limit_mib=300).map(leave_a_child_and_sleep, sys.argv[1:]))
"""


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_nothing_outlives_the_parent(tmp_path: Path, how: signal.Signals) -> None:
    """Neither workers nor what they started, from a script without a main guard."""
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    file = tmp_path / "pids"
    environment = {**os.environ, "PYTHONPATH": str(Path(worker_tasks.__file__).parents[2])}
    parent = subprocess.Popen(
        [sys.executable, script, file], env=environment, stderr=subprocess.DEVNULL, start_new_session=True
    )
    assert wait_until(file.exists)
    pids = [int(pid) for pid in file.read_text().split()]
    pids += [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
    assert all(is_running(pid) for pid in pids)

    parent.send_signal(how)

    parent.wait(30)
    assert wait_until(lambda: not any(is_running(pid) for pid in pids))


def test_workers_are_reused_and_end_with_the_block() -> None:
    """A second map costs no start; after the block nothing runs, and a map starts anew."""
    workers = WorkerPool(n_workers=1, memory_limit_mib=CAP_MIB)
    with workers:
        first, second = (list(workers.map(worker_tasks.process_id, [1])) for _ in range(2))
        processes = processes_of(workers)
    assert first == second
    assert not any(is_running(process.pid) for process in processes)

    with workers:
        assert list(workers.map(worker_tasks.double, [1])) == [2]


def test_as_many_workers_as_fit_into_memory(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A setting too large is lowered, with one line that says to what and why."""
    monkeypatch.setattr(machine, "usable_cores", lambda: 4)
    monkeypatch.setattr(machine, "usable_memory_bytes", lambda: 10 << 30)

    assert WorkerPool()._fitting() == (4, 2 << 30)
    assert WorkerPool(n_workers=2)._fitting() == (2, 2 << 30)
    assert WorkerPool(memory_limit_mib=4096)._fitting() == (2, 4 << 30)
    assert not caplog.messages
    assert WorkerPool(n_workers=64)._fitting() == (4, 2 << 30)
    assert WorkerPool(memory_limit_mib=20480)._fitting() == (1, 8 << 30)
    of_workers, of_memory = caplog.messages
    assert of_workers.startswith("n_workers lowered from 64 to 4: workers of 2048 MiB must fit into 8192 MiB")
    assert of_memory.startswith("memory_limit_mib lowered from 20480 to 8192")


def test_progress_is_told(
    pool: WorkerPool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Lines with done, total, rate and time to go in the log; each item to who listens."""
    seen: list[tuple[str, int, int | None]] = []
    caplog.set_level("INFO")
    monkeypatch.setattr(progress, "PROGRESS_INTERVAL_S", 0.0)

    with progress_to(lambda *told: seen.append(told)):
        list(pool.map(worker_tasks.double, range(3), what="papers", total=3))
        list(pool.map(worker_tasks.double, range(2)))
    list(pool.map(worker_tasks.double, range(2)))

    assert seen == [
        ("papers", 1, 3),
        ("papers", 2, 3),
        ("papers", 3, 3),
        ("items", 1, None),
        ("items", 2, None),
    ]
    assert "papers: 1/3, " in caplog.text
    assert "/s, ETA 0:0" in caplog.text
    assert "items: 2, " in caplog.text


def test_a_pool_works_in_a_step_of_the_multiprocess_executor(tmp_path: Path) -> None:
    """Through Dagster's child process, with progress in the run's log."""
    overrides = {"telemetry": {"enabled": False}}
    with dg.DagsterInstance.local_temp(str(tmp_path), overrides=overrides) as instance:
        run = dg.execute_job(dg.reconstructable(worker_job.job), instance=instance)
        log = [record.user_message for record in instance.all_logs(run.run_id)]
        event = instance.get_latest_materialization_event(dg.AssetKey("mapped"))

    assert run.success
    assert event is not None
    assert event.asset_materialization is not None
    results = event.asset_materialization.metadata["results"].value
    assert results == ["well", "worker killed by SIGSEGV", "print", "well"]
    assert any(line.startswith("papers: 4/4") for line in log)
