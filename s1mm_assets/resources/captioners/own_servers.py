"""vLLM servers on this machine's GPUs: started, waited for, started again when they end, and stopped.

One server per group of GPUs, so that one that ends leaves the others. What is asked of the servers is
chat_servers'.
"""

import logging
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from s1mm_assets.resources.captioners.server_keeper import NOT_INSTALLED, POLL_S, ServerKeeper, ServerState
from s1mm_assets.resources.captioners.server_plan import ServerPlan, ServerStartError

__all__ = ["OwnServers", "ServerPlan", "ServerStartError", "ServerState"]

PROGRESS_INTERVAL_S = 10.0


class OwnServers:
    """Servers that this program started and that end with it, however it ends. Start once; close when done."""

    def __init__(self, plan: ServerPlan, *, log: logging.Logger) -> None:
        """Start nothing yet."""
        self.plan, self.log = plan, log
        self.api_key = secrets.token_urlsafe(32)
        self.log_folder: Path | None = None
        self._servers: list[ServerKeeper] = []

    @property
    def urls(self) -> tuple[str, ...]:
        """The base addresses, such as `http://127.0.0.1:40001`; the same after a restart."""
        return tuple(server.url for server in self._servers)

    @property
    def n_gpus(self) -> int | None:
        """How many GPUs serve; None on a machine without."""
        return sum(len(server.gpus) for server in self._servers) or None

    def states(self) -> Mapping[str, ServerState]:
        """Return each address's state."""
        return {server.url: server.state for server in self._servers}

    def given_up(self) -> str | None:
        """Say why no server will ever answer again; None while one does or is being started."""
        if any(server.state != ServerState.GIVEN_UP for server in self._servers):
            return None
        return "; ".join(server.why for server in self._servers) or None

    def restart(self, url: str) -> None:
        """Start a server again that hangs; what its client says, because the server itself says nothing."""
        for server in self._servers:
            if server.url == url:
                server.restart()

    def start(self) -> None:
        """Start all servers and return when all are ready. ServerStartError if one ends or takes too long."""
        if shutil.which(self.plan.command[0]) is None:
            raise ServerStartError(f"{self.plan.command[0]}: command not found; {NOT_INSTALLED}")
        groups = self.plan.gpu_groups()
        self.log_folder = Path(tempfile.mkdtemp(prefix="s1mm-vllm-"))
        try:
            self._servers = [
                ServerKeeper(
                    self.plan, gpus, self.api_key, self.log_folder / f"server-{number}.log", self.log
                )
                for number, gpus in enumerate(groups)
            ]
            self.log.info("starting %s; its messages are in %s", self.plan.model, self.log_folder)
            for server in self._servers:
                server.thread.start()
            self._wait_until_ready()
        except BaseException:
            self._stop()
            self.log_folder = None  # left behind, for whoever wants to know why
            raise

    def _wait_until_ready(self) -> None:
        began = told = time.monotonic()
        while waiting := [each for each in self._servers if each.state != ServerState.READY]:
            if failed := [each for each in waiting if each.state == ServerState.GIVEN_UP]:
                raise ServerStartError(f"{failed[0].why}\nall of its messages: {failed[0].log_path}")
            now = time.monotonic()
            if now - told >= PROGRESS_INTERVAL_S:
                told = now
                places = "; ".join(each.place for each in waiting)
                self.log.info("starting %s on %s: %.0f s", self.plan.model, places, now - began)
            time.sleep(POLL_S)
        names = ", ".join(self.urls)
        self.log.info("%s is ready after %.0f s: %s", self.plan.model, time.monotonic() - began, names)

    def close(self) -> None:
        """Stop all servers at once and wait until none of their processes is left."""
        self._stop()
        if self.log_folder is not None:
            shutil.rmtree(self.log_folder, ignore_errors=True)

    def _stop(self) -> None:
        for server in self._servers:
            server.stop()
        for server in self._servers:
            server.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
