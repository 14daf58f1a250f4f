"""The process that starts workers: it forks, watches and buries them, and what they leave behind.

    pool's process ── nursery ──┬── worker ── what a task starts (Ghostscript …)
                                └── worker

The nursery is a fresh interpreter. It imports heavy modules once, so that a worker costs a fork of a quiet
process, and never those that start threads (polars, pyarrow, onnxruntime, torch): threads do not survive a
fork. It runs no task, hence always has time to look: it kills a worker whose memory, with all that the worker
started, is over the cap; it inherits what a dead worker leaves running and kills that too; and when its
socket closes, because the pool's process ended in whatever way, it kills everything and ends.

What a worker does is in worker_life, the pool's bookkeeping in worker_crew.
"""

import contextlib
import ctypes
import importlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterable
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import recv_handle
from pathlib import Path
from typing import Any

from s1mm_assets.resources.worker_caps import Caps, children_of, memory_bytes

_WATCH_INTERVAL_S = 0.1
_CLOSE_WATCH_INTERVAL_S = 0.02  # a process can touch a gigabyte in half a second
_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h


def main(control_fd: int, caps: Caps, preload: Iterable[str]) -> None:
    """Be the nursery until the pool closes its end of the control socket."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the pool's to handle
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    for module in preload:
        with contextlib.suppress(ImportError):  # the worker that needs it will say so
            importlib.import_module(module)
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    scratch = Path(tempfile.mkdtemp(prefix="s1mm-workers-"))
    nursery = _Nursery(Connection(control_fd), caps, scratch)
    try:
        nursery.serve()
    finally:
        nursery.end_everything()
        shutil.rmtree(scratch, ignore_errors=True)


class _Nursery:
    """The workers that live, by process id, and the socket to the pool."""

    def __init__(self, control: Connection, caps: Caps, scratch: Path) -> None:
        self._control = control
        self._caps = caps
        self._scratch = scratch
        self._workers: dict[int, int] = {}  # process id → the number that the pool gave it
        self._over_memory: set[int] = set()
        self._wake, wake = os.pipe()
        os.set_blocking(self._wake, False)
        os.set_blocking(wake, False)
        signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)

    def serve(self) -> None:
        """Start and stop workers as told, report those that end, until the pool is gone."""
        self._tell(scratch=str(self._scratch))
        while True:
            ready = wait([self._control, self._wake], timeout=self._watch_memory())
            with contextlib.suppress(BlockingIOError):
                os.read(self._wake, 4096)
            try:
                self._bury()
                if self._control in ready:
                    self._obey(json.loads(self._control.recv_bytes()))
            except (EOFError, OSError):
                return

    def end_everything(self) -> None:
        """Kill every process below this one, however deep."""
        while children := children_of(os.getpid()):
            for pid in children:
                _kill(pid)
            for pid in children:
                with contextlib.suppress(ChildProcessError):
                    os.waitpid(pid, 0)

    def _tell(self, **message: Any) -> None:
        self._control.send_bytes(json.dumps(message).encode())

    def _obey(self, order: dict[str, int]) -> None:
        if "start" in order:
            self._start(order["start"], recv_handle(self._control))
        for pid, number in self._workers.items():
            if number == order.get("stop"):
                _kill(pid)

    def _start(self, number: int, socket_fd: int) -> None:
        nursery = os.getpid()
        pid = os.fork()
        if pid:
            os.close(socket_fd)
            self._workers[pid] = number
            return
        try:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self._control.close()
            _settle(nursery, self._scratch / str(number))
            from s1mm_assets.resources.worker_life import live  # it imports polars

            live(Connection(socket_fd), self._caps)
        finally:
            os._exit(1)

    def _bury(self) -> None:
        """Report the workers that ended; kill and bury what they left running."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._workers.pop(pid, None)
            for child in children_of(os.getpid()):
                if child not in self._workers:
                    _kill(child)
            if number is not None:
                shutil.rmtree(self._scratch / str(number), ignore_errors=True)
                over_memory = pid in self._over_memory
                self._over_memory.discard(pid)
                exit_code = os.waitstatus_to_exitcode(status)
                self._tell(ended=number, over_memory=over_memory, exit_code=exit_code)

    def _watch_memory(self) -> float:
        """Kill each worker that holds more than its cap; return in how many seconds to look again."""
        most = 0
        for pid in self._workers:
            held = memory_bytes(pid)
            most = max(most, held)
            if held > self._caps.memory_bytes:
                self._over_memory.add(pid)
                _kill(pid)
        return _CLOSE_WATCH_INTERVAL_S if 2 * most > self._caps.memory_bytes else _WATCH_INTERVAL_S


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def _settle(nursery: int, scratch: Path) -> None:
    """Make a just forked process a worker: it dies with the nursery, is silent, and is the first to go."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != nursery:  # it had died before
        os._exit(1)
    nowhere = os.open(os.devnull, os.O_RDWR)
    for fd in range(3):  # what a library prints must not reach what the pool's process prints
        os.dup2(nowhere, fd)
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")  # where the kernel must kill, rather a worker
    scratch.mkdir(exist_ok=True)  # removed by the nursery when this worker ends, in whatever way
    os.environ["TMPDIR"] = tempfile.tempdir = str(scratch)
