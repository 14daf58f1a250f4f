"""The parent side of the worker pool: which worker does which task, and what became of it.

One thread, one socket per worker, and no lock that two processes share: nothing that happens to a worker, at
whatever moment, can reach another. The child side is worker_nursery and worker_life.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future
from dataclasses import dataclass, field
from multiprocessing import Pipe
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import send_handle
from typing import Any

from s1mm_assets.resources.worker_caps import Caps
from s1mm_assets.resources.worker_life import ANSWER, FUNCTION_UNUSABLE, LAST_ANSWER, RECEIVED
from s1mm_assets.stages import Failed
from s1mm_assets.tables import Rejection

_BOOT = """
import json, sys
path, control_fd, caps, preload = json.loads(sys.argv[1])
sys.path[:] = path
from s1mm_assets.resources.worker_caps import Caps
from s1mm_assets.resources.worker_nursery import main
main(control_fd, Caps(*caps), preload)
"""
# One thread each: workers are as many as cores. A fixed hash seed: sets have one order on every run.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "POLARS_MAX_THREADS": "1",
    "PYTHONHASHSEED": "0",
}
_START_TIMEOUT_S = 120.0
_END_TIMEOUT_S = 10.0
_MAX_STILLBORN = 10


class WorkerPoolError(RuntimeError):
    """Workers cannot be had, or cannot load the function: no item's fault, so the step must stop."""


@dataclass(eq=False, slots=True)
class Task:
    """One item on its way through the pool."""

    function: bytes
    item: bytes
    item_bytes: int  # what the item will take in memory, as far as it says
    outcome: Future[bytes | Failed] = field(default_factory=Future)
    is_abandoned: bool = False
    is_second_try: bool = False

    def result_bytes(self) -> int | None:
        """Return the size of its result; None while there is none."""
        if not self.outcome.done() or self.outcome.exception():
            return None
        result = self.outcome.result()
        return len(result) if isinstance(result, bytes) else 0


@dataclass(eq=False, slots=True)
class _Worker:
    """What the crew knows of one worker process."""

    number: int
    connection: Connection
    task: Task | None = None
    has_received: bool = False  # whether it took the task out of its socket, so that the task can be to blame
    is_leaving: bool = False  # it takes no further task
    is_silent: bool = False  # its end of the socket is closed
    deadline_s: float = 0.0


class Crew:
    """Runs tasks in worker processes. Start one with `Crew(...)`, end it with `close`; both may be slow."""

    def __init__(self, n_workers: int, caps: Caps, preload: Iterable[str]) -> None:
        """Start the nursery; workers follow as tasks come.

        Raises:
            WorkerPoolError: The nursery did not start.
        """
        self.n_workers = n_workers
        self._caps = caps
        self._queue: deque[Task] = deque()
        self._workers: dict[int, _Worker] = {}
        self._n_started = 0
        self._n_stillborn = 0
        self._lock = threading.Lock()  # around _queue and _error, which other threads see
        self._error: WorkerPoolError | None = None
        self._is_closing = False
        self._control, self._nursery, self._scratch = _start_nursery(caps, preload)
        self._woken, self._wake = Pipe(duplex=False)
        self._thread = threading.Thread(target=self._supervise, name="s1mm-workers", daemon=True)
        self._thread.start()

    @property
    def is_usable(self) -> bool:
        """Whether tasks can still be submitted."""
        return self._error is None

    def submit(self, function: bytes, item: bytes, item_bytes: int) -> Task:
        """Queue one task; its `outcome` becomes the pickled result, or `Failed`.

        Raises:
            WorkerPoolError: The crew is closed or has broken down.
        """
        task = Task(function, item, item_bytes)
        with self._lock:
            if self._error:
                raise self._error
            self._queue.append(task)
            self._wake.send_bytes(b"")
        return task

    def abandon(self, tasks: Iterable[Task]) -> None:
        """Forget tasks whose outcome nobody waits for; workers that do one are stopped."""
        for task in tasks:
            task.is_abandoned = True
        with self._lock:
            if not self._error:
                self._wake.send_bytes(b"")

    def close(self) -> None:
        """End all workers and what they started."""
        with self._lock:
            self._is_closing = True
            if not self._error:
                self._wake.send_bytes(b"")
        self._thread.join()

    def _supervise(self) -> None:
        """Run the thread: hand out tasks, take in answers, until closed."""
        error = WorkerPoolError("the worker pool is closed")
        try:
            while not self._is_closing:
                self._hand_out()
                self._listen()
                self._stop_overdue()
        except WorkerPoolError as unavailable:
            error = unavailable
        except BaseException as unexpected:
            error = WorkerPoolError(f"the worker pool failed: {type(unexpected).__name__}: {unexpected}")
            error.__cause__ = unexpected
        self._end(error)

    def _end(self, error: WorkerPoolError) -> None:
        """Refuse further tasks, fail those under way, and let the nursery kill all processes."""
        with self._lock:
            self._error = error
        for connection in (self._control, *(worker.connection for worker in self._workers.values())):
            connection.close()
        try:
            self._nursery.wait(_END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._nursery.kill()  # its workers die with it
            self._nursery.wait()
        shutil.rmtree(self._scratch, ignore_errors=True)  # in case the nursery was killed
        running = [worker.task for worker in self._workers.values() if worker.task]
        for task in (*running, *self._queue):
            task.outcome.set_exception(error)
        self._wake.close()
        self._woken.close()

    def _hand_out(self) -> None:
        """Give tasks to workers that have none, and start workers while there are fewer than allowed."""
        while True:
            with self._lock:
                while self._queue and self._queue[0].is_abandoned:
                    self._queue.popleft()
                if not self._queue:
                    return
                worker = self._idle_worker()
                if worker is None:
                    return
                task = self._queue.popleft()
            worker.task, worker.has_received = task, False
            worker.deadline_s = time.monotonic() + self._caps.wall_s
            with contextlib.suppress(OSError):  # it just died: the nursery is about to say so
                worker.connection.send_bytes(task.function)
                worker.connection.send_bytes(task.item)

    def _idle_worker(self) -> _Worker | None:
        for worker in self._workers.values():
            if worker.task is None and not worker.is_leaving and not worker.is_silent:
                return worker
        if len(self._workers) >= self.n_workers:
            return None
        self._n_started += 1
        here, there = Pipe(duplex=True)
        with there:
            self._tell(start=self._n_started)
            send_handle(self._control, there.fileno(), self._nursery.pid)
        worker = _Worker(self._n_started, here)
        self._workers[worker.number] = worker
        return worker

    def _tell(self, **order: int) -> None:
        try:
            self._control.send_bytes(json.dumps(order).encode())
        except OSError as error:
            raise _nursery_ended() from error

    def _listen(self) -> None:
        """Wait until something is said or a deadline passes, and take it in."""
        speaking = {worker.connection: worker for worker in self._workers.values() if not worker.is_silent}
        deadlines = [worker.deadline_s for worker in speaking.values() if worker.task]
        timeout_s = max(0.0, min(deadlines) - time.monotonic()) if deadlines else None
        ready = wait([self._woken, self._control, *speaking], timeout_s)
        for connection, worker in speaking.items():
            if connection in ready:
                self._hear(worker)
        if self._woken in ready:
            while self._woken.poll():
                self._woken.recv_bytes()
        if self._control in ready:
            try:
                self._bury(json.loads(self._control.recv_bytes()))
            except (EOFError, ConnectionResetError) as error:
                raise _nursery_ended() from error

    def _hear(self, worker: _Worker) -> None:
        """Take in one thing that a worker says."""
        try:
            kind = worker.connection.recv_bytes()
            answer = b"" if kind == RECEIVED else worker.connection.recv_bytes()
        except (EOFError, OSError):
            worker.is_silent = True
            return
        if kind == RECEIVED:
            worker.has_received = True
            self._n_stillborn = 0
            return
        worker.is_leaving = worker.is_leaving or kind == LAST_ANSWER
        if kind == FUNCTION_UNUSABLE:
            raise WorkerPoolError(f"workers cannot load the function: {answer.decode()}")
        if worker.task and kind in (ANSWER, LAST_ANSWER):
            worker.task.outcome.set_result(answer)
            worker.task = None

    def _bury(self, message: dict[str, Any]) -> None:
        """Settle the task of a worker that ended."""
        worker = self._workers[message["ended"]]
        while not worker.is_silent and worker.connection.poll():  # said before it died
            self._hear(worker)
        del self._workers[worker.number]
        worker.connection.close()
        task = worker.task
        if task is None:
            return
        cause = self._cause(message["exit_code"], is_over_memory=message["over_memory"])
        if worker.has_received or task.is_second_try:
            task.outcome.set_result(cause)
            return
        self._n_stillborn += 1
        if self._n_stillborn > _MAX_STILLBORN:
            raise WorkerPoolError(f"workers end before they take a task: {cause.evidence}")
        task.is_second_try = True
        with self._lock:
            self._queue.appendleft(task)

    def _cause(self, exit_code: int, *, is_over_memory: bool) -> Failed:
        """Say why a worker ended in the middle of a task. Caps are named, not measurements: those vary."""
        if is_over_memory:
            evidence = f"resident memory over {self._caps.memory_bytes >> 20} MiB"
            return Failed(Rejection.OUT_OF_MEMORY, evidence)
        if exit_code == -signal.SIGXCPU:
            return Failed(Rejection.TIMED_OUT, f"CPU time over {self._caps.cpu_s} s")
        if exit_code < 0:
            return Failed(Rejection.WORKER_CRASHED, f"worker killed by {_signal_name(-exit_code)}")
        return Failed(Rejection.WORKER_CRASHED, f"worker exited with code {exit_code}")

    def _stop_overdue(self) -> None:
        """Stop workers whose task is past its deadline or no longer wanted."""
        now_s = time.monotonic()
        for worker in self._workers.values():
            task = worker.task
            if task is None or not (task.is_abandoned or now_s >= worker.deadline_s):
                continue
            evidence = f"wall-clock time over {self._caps.wall_s:g} s"
            task.outcome.set_result(Failed(Rejection.TIMED_OUT, evidence))
            worker.task, worker.is_leaving = None, True
            self._tell(stop=worker.number)


def _start_nursery(caps: Caps, preload: Iterable[str]) -> tuple[Connection, subprocess.Popen[bytes], str]:
    """Start the nursery and wait until it is ready; return its socket, its process and its temporary folder."""
    here, there = Pipe(duplex=True)
    with there:
        task_caps = (caps.cpu_s, caps.wall_s, caps.memory_bytes)
        settings = json.dumps((sys.path, there.fileno(), task_caps, list(preload)))
        nursery = subprocess.Popen(  # noqa: S603 - this program itself
            [sys.executable, "-c", _BOOT, settings],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=(there.fileno(),),
            env={**_ENVIRONMENT, **os.environ},
        )
    try:
        if not here.poll(_START_TIMEOUT_S):
            raise WorkerPoolError(f"workers did not start within {_START_TIMEOUT_S:g} s")
        scratch = json.loads(here.recv_bytes())["scratch"]
    except BaseException as error:
        here.close()
        nursery.kill()
        nursery.wait()
        if isinstance(error, EOFError | ConnectionResetError):
            raise WorkerPoolError("workers did not start: see standard error") from error
        raise
    return here, nursery, scratch


def _nursery_ended() -> WorkerPoolError:
    return WorkerPoolError("the process that starts workers was ended from outside")


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # a real-time signal
        return f"signal {number}"
