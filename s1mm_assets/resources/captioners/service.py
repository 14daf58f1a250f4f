"""The servers of one step and the event loop that talks to them: both start when the first request needs them."""

import asyncio
import logging
import threading
import time
from collections.abc import Coroutine, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from s1mm_assets.resources.captioners.chat_servers import ChatServers, Counts, Patience
from s1mm_assets.resources.captioners.own_servers import OwnServers, ServerPlan

Answer = TypeVar("Answer")


class Service:
    """Servers of one model, by their addresses or our own, used from other threads than the loop's."""

    def __init__(
        self,
        *,
        model: str,
        urls: Sequence[str] = (),
        api_key: str = "",
        plan: ServerPlan | None = None,
        in_flight_per_server: int,
        n_tokens: int = 0,
        n_gpus: int | None = None,
        patience: Patience | None = None,
        log: logging.Logger,
    ) -> None:
        """Start nothing yet.

        Args:
            model: As the servers call it.
            urls: Addresses of running servers; where there are none, `plan` says which to start.
            api_key: For running servers.
            plan: Our own servers.
            in_flight_per_server: Requests that one server is given at a time.
            n_tokens: That a request and its answer may have together; servers that take fewer are refused.
            n_gpus: How many GPUs serve, where the addresses are given; for the bill alone.
            patience: When to try again, and when not.
            log: Where progress goes.
        """
        if not urls and plan is None:
            raise ValueError("neither addresses nor a plan for servers of our own")
        self.model, self.urls, self.plan, self.log = model, urls, plan, log
        self.patience = patience or Patience()
        self.in_flight_per_server, self.n_tokens, self.n_gpus = in_flight_per_server, n_tokens, n_gpus
        self.before: Mapping[str, float] = {}
        self.start_s = 0.0  # how long our own servers took to start
        self._api_key = api_key or "none"  # the client insists on one
        self._own: OwnServers | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._servers: ChatServers | None = None

    @property
    def servers(self) -> ChatServers:
        """The client of the servers; RuntimeError before the first request."""
        if self._servers is None:
            raise RuntimeError("the servers have not been started")
        return self._servers

    @property
    def in_flight(self) -> int:
        """How many requests all servers together are given at a time."""
        return self.in_flight_per_server * (self._servers.n_servers if self._servers else 1)

    @property
    def counts(self) -> Counts:
        """What became of the requests so far."""
        return self._servers.counts if self._servers else Counts()

    def submit(self, work: Coroutine[Any, Any, Answer]) -> "Future[Answer]":
        """Run a coroutine in the loop; the first one starts the servers and waits until one can answer."""
        try:
            loop = self._started()
        except BaseException:
            work.close()
            raise
        return asyncio.run_coroutine_threadsafe(work, loop)

    def metrics(self) -> Mapping[str, float]:
        """Return the servers' own counters, summed; nothing where no server was needed."""
        return self.submit(self.servers.metrics()).result() if self._servers else {}

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            if not self.urls and self.plan is not None:
                self._own = OwnServers(self.plan, log=self.log)
                began = time.monotonic()
                self._own.start()
                self.start_s += time.monotonic() - began
                self.n_gpus = self._own.n_gpus
                # One that is started again loads its weights again; whether it ever will, `given_up` says.
                self.patience = replace(self.patience, outage_after_s=self.plan.start_timeout_s)
            self._loop = asyncio.new_event_loop()
            self._thread = threading.Thread(target=self._loop.run_forever, name="requests", daemon=True)
            self._thread.start()
            self._servers = asyncio.run_coroutine_threadsafe(self._connected(), self._loop).result()
            self.submit(self._servers.require_model(self.n_tokens)).result()
            self.before = self.metrics()
        return self._loop

    async def _connected(self) -> ChatServers:
        own = self._own
        return ChatServers(
            own.urls if own else self.urls,
            model=self.model,
            api_key=own.api_key if own else self._api_key,
            in_flight_per_server=self.in_flight_per_server,
            patience=self.patience,
            is_given_up=own.given_up if own else None,
            restart=own.restart if own else None,
        )

    def close(self) -> None:
        """Close connections, end the loop, stop servers that are our own."""
        if self._loop is not None and self._thread is not None:
            asyncio.run_coroutine_threadsafe(self._closed(), self._loop).result()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        if self._own is not None:
            self._own.close()
        self._loop = self._servers = self._own = None

    async def _closed(self) -> None:
        """End what is still on its way, and close the connections."""
        waiting = asyncio.all_tasks() - {asyncio.current_task()}
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        if self._servers is not None:
            await self._servers.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
