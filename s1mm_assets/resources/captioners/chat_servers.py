"""OpenAI-compatible servers by their addresses: who is asked, how often, and when it is an outage.

Knows HTTP; knows nothing of figures. A request fails for its own reasons (`RequestRefused`, `RequestFailed`) or
because the service is down (`Outage`): before a request is blamed, a small one is tried that must succeed.
"""

import asyncio
import json
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import Any

import httpx2
import openai

from s1mm_assets.resources.captioners.http_answers import (
    MAX_EVIDENCE_CHARS,
    Busy,
    CappedTransport,
    Denied,
    Outage,
    RequestFailed,
    RequestRefused,
    ServiceError,
    checked,
    counters,
    meaning,
    steady,
)

__all__ = ["ChatServers", "Counts", "Outage", "Patience", "Reply", "RequestFailed", "RequestRefused"]

STICKY_SLACK = 4  # a paper stays with its server, whose prefix cache knows it, up to so many requests more
SUSPECT_AFTER = 2  # broken connections: then a request may be what kills servers
SICK_AFTER = 3  # errors of one server without a success between: then a small request must succeed first
HANGS_AFTER = 2  # small requests without an answer in time: then a server of our own is started again
CANARY_TRIES = 3
CANARY_TIMEOUT_S = 60.0
CANARY_IMAGE = (  # a black square on white, 64 x 64
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAAO0lEQVR42u3XIQ4AMAgDQFj2/y8zM4WZmCNXSdITuGbFX1YAAIAhwO6HfBTKEwEA"
    "AAAAmA6kvQAAAG4Ob34DfwQnR00AAAAASUVORK5CYII="
)
PROBE_INTERVAL_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long is waited, and how often is tried."""

    request_timeout_s: float = 180.0  # of one try, from sending to the last byte
    n_tries: int = 5  # of one request
    n_slow_tries: int = 2  # of them with a time-out
    n_gone_tries: int = 3  # of them that broke the connection; the last one is sent alone
    n_down_tries: int = 20  # that met nobody; they do not count as tries
    first_pause_s: float = 0.5  # doubled at each try, with jitter
    most_pause_s: float = 30.0
    outage_after_s: float = 120.0  # without any healthy server
    most_busy_s: float = 900.0  # of one request: servers with nothing but 429 serve somebody else
    n_blamed: int = 64  # requests without a success between: then it is not the requests
    n_blamed_at_first: int = 8  # the same before the first success of all


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What a server answered."""

    text: str | None
    finish_reason: str | None
    n_prompt_tokens: int | None
    n_completion_tokens: int | None
    latency_s: float
    n_tries: int
    server: str


@dataclass(slots=True, eq=False)
class _Server:
    url: str
    client: openai.AsyncOpenAI
    in_flight: int = 0
    is_well: bool = True
    n_errors: int = 0  # in a row
    said: str = ""  # its last error
    paused_until: float = 0.0


@dataclass(slots=True)
class _Tried:
    """What became of one request so far."""

    n: int = 0
    n_slow: int = 0
    n_gone: int = 0
    n_down: int = 0
    busy_since: float | None = None
    failed_on: set[_Server] = field(default_factory=set)

    def note(self, error: ServiceError) -> None:
        self.n += not error.is_down
        self.n_slow += error.is_slow
        self.n_gone += error.is_gone
        self.n_down += error.is_down
        self.busy_since = None

    def is_enough(self, patience: Patience) -> bool:
        return (
            self.n >= patience.n_tries
            or self.n_slow >= patience.n_slow_tries
            or self.n_gone >= patience.n_gone_tries
            or self.n_down >= patience.n_down_tries
        )


@dataclass(slots=True)
class Counts:
    """What became of the tries, for people to read."""

    n_answers: int = 0
    n_errors: int = 0
    n_busy: int = 0
    n_prompt_tokens: int = 0
    n_completion_tokens: int = 0
    by_server: dict[str, int] = field(default_factory=dict)


class ChatServers:
    """Several servers of one model as one; to be used in one event loop."""

    def __init__(
        self,
        urls: Sequence[str],
        *,
        model: str,
        api_key: str,
        in_flight_per_server: int,
        patience: Patience | None = None,
        is_given_up: Callable[[], str | None] | None = None,
        restart: Callable[[str], None] | None = None,
    ) -> None:
        """Connect to nothing yet.

        Args:
            urls: Base addresses, such as `http://10.0.0.1:8000`.
            model: As the servers call it.
            api_key: Sent to each of them.
            in_flight_per_server: Requests that one server is given at a time.
            patience: When to try again, and when not.
            is_given_up: Says why nobody will start the servers again; None while somebody may.
            restart: Is told the address of a server that hangs.
        """
        if not urls:
            raise ValueError("no server is named")
        self.model, self.patience, self.counts = model, patience or Patience(), Counts()
        self._is_given_up, self._restart = is_given_up, restart
        self._servers = [_Server(url.rstrip("/"), self._client(url, api_key)) for url in urls]
        self._in_flight_per_server = in_flight_per_server
        self._slots = asyncio.Semaphore(in_flight_per_server * len(self._servers))
        self._quarantine = asyncio.Lock()
        self._change = asyncio.Condition()  # of a server's load or health
        self._recoveries: set[asyncio.Task[None]] = set()
        self._blamed_in_a_row = 0
        self._paper_server: dict[str, _Server] = {}

    def _client(self, url: str, api_key: str) -> openai.AsyncOpenAI:
        timeout = httpx2.Timeout(self.patience.request_timeout_s, connect=10.0)
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=256)
        http = httpx2.AsyncClient(
            transport=CappedTransport(httpx2.AsyncHTTPTransport(limits=limits)),
            timeout=timeout,
            follow_redirects=False,
        )
        base = url.rstrip("/").removesuffix("/v1") + "/v1"
        return openai.AsyncOpenAI(
            base_url=base,
            api_key=api_key,
            max_retries=0,
            http_client=http,
            timeout=timeout,
            default_headers={"Accept-Encoding": "identity"},
        )

    @property
    def n_servers(self) -> int:
        """How many there are, healthy or not."""
        return len(self._servers)

    async def close(self) -> None:
        """Close every connection."""
        for recovery in self._recoveries:
            recovery.cancel()
        await asyncio.gather(*self._recoveries, return_exceptions=True)
        await asyncio.gather(*(server.client.close() for server in self._servers))

    async def ask(self, body: bytes, group: str) -> Reply:
        """Send one chat completion request until it is answered.

        Args:
            body: Its JSON.
            group: Requests of one group begin alike and are best asked of one server.

        Raises:
            RequestRefused: A server says that the request is wrong.
            RequestFailed: Every try failed, while other requests succeed.
            Outage: No server is healthy, or none succeeds.
        """
        async with self._slots:
            tried = _Tried()
            while True:
                try:
                    return await self._try(body, group, tried)
                except Busy as busy:
                    self._note_busy(tried, busy)
                except RequestRefused as error:
                    self._blame(error)
                    raise
                except Denied as error:
                    await self._require_service(error)
                    self._blame(error)
                    raise RequestRefused(str(error)) from error
                except ServiceError as error:
                    tried.note(error)
                    if tried.is_enough(self.patience):
                        await self._require_service(error)
                        self._blame(error)
                        raise RequestFailed(str(error)) from error
                    await asyncio.sleep(self._pause_s(tried.n + tried.n_down))

    def _note_busy(self, tried: _Tried, busy: Busy) -> None:
        self.counts.n_busy += 1
        now = time.monotonic()
        tried.busy_since = tried.busy_since or now
        if now - tried.busy_since > self.patience.most_busy_s:
            raise Outage(f"the servers are busy for {self.patience.most_busy_s:g} s") from busy

    def _blame(self, error: Exception) -> None:
        """Count a request that fails for its own reasons; where all do, they are not the reason."""
        self._blamed_in_a_row += 1
        most = self.patience.n_blamed if self.counts.n_answers else self.patience.n_blamed_at_first
        if self._blamed_in_a_row >= most:
            raise Outage(
                f"{self._blamed_in_a_row} requests in a row failed, the last one with {error}"
            ) from error

    async def _try(self, body: bytes, group: str, tried: _Tried) -> Reply:
        """Ask one server once. A request that was there when servers died twice waits for others of its kind."""
        async with AsyncExitStack() as stack:
            if tried.n_gone >= SUSPECT_AFTER:
                await stack.enter_async_context(self._quarantine)
            server = await self._reserved(group, tried.failed_on)
            start = time.monotonic()
            try:
                answer = await self._post(server, body, self.patience.request_timeout_s)
            except Busy as busy:
                server.paused_until = time.monotonic() + busy.pause_s
                raise
            except ServiceError as error:
                self.counts.n_errors += 1
                tried.failed_on.add(server)
                self._note_error(server, error)
                raise
            finally:
                await self._release(server)
            return self._reply(server, answer, time.monotonic() - start, tried.n + tried.n_down + 1)

    def _pause_s(self, tries: int) -> float:
        most: float = min(self.patience.most_pause_s, self.patience.first_pause_s * 2 ** (tries - 1))
        return most * random.uniform(0.5, 1.0)  # noqa: S311 - those who failed together do not return together

    def _reply(self, server: _Server, answer: dict[str, Any], latency_s: float, n_tries: int) -> Reply:
        self._blamed_in_a_row = server.n_errors = 0
        [choice, usage] = answer["choices"][0], answer.get("usage") or {}
        reply = Reply(
            text=choice["message"].get("content"),
            finish_reason=choice.get("finish_reason"),
            n_prompt_tokens=usage.get("prompt_tokens"),
            n_completion_tokens=usage.get("completion_tokens"),
            latency_s=latency_s,
            n_tries=n_tries,
            server=server.url,
        )
        counts = self.counts
        counts.n_answers += 1
        counts.n_prompt_tokens += reply.n_prompt_tokens or 0
        counts.n_completion_tokens += reply.n_completion_tokens or 0
        counts.by_server[server.url] = counts.by_server.get(server.url, 0) + 1
        return reply

    async def _post(self, server: _Server, body: bytes, timeout_s: float) -> dict[str, Any]:
        """Return the JSON of one answer, or raise what it means."""
        try:
            async with asyncio.timeout(timeout_s):
                response = await server.client.post(
                    "/chat/completions",
                    cast_to=httpx2.Response,
                    content=body,
                    options={"headers": {"Content-Type": "application/json"}},
                )
            return checked(response.content)
        except (TimeoutError, openai.APITimeoutError) as error:
            is_down = isinstance(error.__cause__, httpx2.ConnectTimeout)
            raise ServiceError(
                f"no answer within {timeout_s:g} s", is_slow=not is_down, is_down=is_down
            ) from error
        except openai.APIStatusError as error:
            raise meaning(error) from None  # its own text may repeat the key
        except openai.APIConnectionError as error:
            is_down = isinstance(error.__cause__, httpx2.ConnectError)
            said = f"connection: {steady(str(error.__cause__ or error))}"
            raise ServiceError(said, is_down=is_down, is_gone=not is_down) from error
        except (httpx2.HTTPError, ValueError, RecursionError) as error:
            raise ServiceError(f"the answer cannot be read: {steady(str(error))}") from error

    # --- who is asked --------------------------------------------------------------------------------------

    async def _reserved(self, group: str, avoided: set[_Server]) -> _Server:
        """Return a healthy server with room for one more; Outage after a while without any that is healthy."""
        since = time.monotonic()
        async with self._change:
            while True:
                now = time.monotonic()
                well = [each for each in self._servers if each.is_well]
                ready = [
                    each
                    for each in well
                    if each.paused_until <= now and each.in_flight < self._in_flight_per_server
                ]
                if ready:
                    server = self._chosen([each for each in ready if each not in avoided] or ready, group)
                    server.in_flight += 1
                    return server
                if well:
                    since = now
                    paused = [each.paused_until - now for each in well if each.paused_until > now]
                    pause_s = min(paused, default=PROBE_INTERVAL_S) + random.uniform(0, 0.05)  # noqa: S311
                else:
                    self._require_hope(now - since)
                    pause_s = PROBE_INTERVAL_S
                with suppress(TimeoutError):
                    async with asyncio.timeout(pause_s):
                        await self._change.wait()

    def _require_hope(self, waited_s: float) -> None:
        """Raise Outage where no server is healthy and none will be, or not soon enough."""
        gone = self._is_given_up() if self._is_given_up else None
        if gone or waited_s > self.patience.outage_after_s:
            why = gone or f"for {self.patience.outage_after_s:g} s"
            said = "; ".join(f"{each.url}: {each.said}" for each in self._servers)
            raise Outage(f"no server is healthy: {why} ({said})")

    async def _release(self, server: _Server) -> None:
        server.in_flight -= 1
        async with self._change:
            self._change.notify()

    def _chosen(self, ready: list[_Server], group: str) -> _Server:
        """The least loaded; or the one that has the group's prefix in its cache, while that is not much busier."""
        least = min(ready, key=lambda each: each.in_flight)
        last = self._paper_server.get(group)
        if last in ready and last is not None and last.in_flight <= least.in_flight + STICKY_SLACK:
            return last
        if len(self._paper_server) > 1_000:
            self._paper_server.clear()
        self._paper_server[group] = least
        return least

    # --- who is well ---------------------------------------------------------------------------------------

    def _note_error(self, server: _Server, error: ServiceError) -> None:
        """Take a server out that is not there, or fails at one request after the other."""
        server.n_errors += 1
        server.said = str(error)
        is_lost = error.is_gone or error.is_down or server.n_errors >= SICK_AFTER
        if is_lost and server.is_well:
            _log.warning("%s is out: %s", server.url, error)
            server.is_well = False
            recovery = asyncio.get_running_loop().create_task(self._recover(server))
            self._recoveries.add(recovery)  # the loop itself keeps no reference
            recovery.add_done_callback(self._recoveries.discard)

    async def _recover(self, server: _Server) -> None:
        """Look after a server until it answers a small request."""
        n_slow = 0
        while True:
            try:
                await self._canary(server)
                break
            except (Busy, RequestRefused, Denied, ServiceError) as error:
                server.said = str(error) or server.said
                if isinstance(error, Busy):
                    break  # it has work, so it works
                n_slow += isinstance(error, ServiceError) and error.is_slow
                if n_slow >= HANGS_AFTER and self._restart is not None:
                    _log.warning("%s hangs", server.url)
                    n_slow = 0
                    self._restart(server.url)
            await asyncio.sleep(PROBE_INTERVAL_S)
        _log.info("%s is healthy again", server.url)
        server.is_well, server.n_errors = True, 0
        async with self._change:
            self._change.notify_all()

    async def _canary(self, server: _Server) -> None:
        """Send a small request that any server of a vision-language model can answer."""
        content = [
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{CANARY_IMAGE}"}},
            {"type": "text", "text": "Say yes."},
        ]
        small = {"model": self.model, "messages": [{"role": "user", "content": content}], "max_tokens": 1}
        timeout_s = min(CANARY_TIMEOUT_S, self.patience.request_timeout_s)
        await self._post(server, json.dumps(small).encode(), timeout_s)

    async def _require_service(self, error: Exception) -> None:
        """Raise Outage unless a small request succeeds on some server, once one is healthy."""
        said: Exception = error
        failed_on: set[_Server] = set()
        for _ in range(CANARY_TRIES):
            server = await self._reserved("", failed_on)
            try:
                await self._canary(server)
            except Busy:
                return  # it has work, so it works
            except (RequestRefused, Denied, ServiceError) as failure:
                said = failure
                failed_on.add(server)
                if isinstance(failure, ServiceError):
                    self._note_error(server, failure)
                continue
            finally:
                await self._release(server)
            return
        urls = ", ".join(each.url for each in failed_on)
        raise Outage(f"no server answers a small request either ({urls}): {said}") from error

    # --- what they say of themselves -----------------------------------------------------------------------

    async def require_model(self, n_tokens: int) -> None:
        """Ask the servers that can be reached which model they serve, before the first figure is sent.

        Args:
            n_tokens: That a request and its answer may have together.

        Raises:
            Outage: One serves other models only, or takes fewer tokens.
        """
        for server in self._servers:
            listed = await self._page(server, "/v1/models")
            with suppress(ValueError, TypeError, KeyError, AttributeError):
                models = {each["id"]: each.get("max_model_len") for each in json.loads(listed or "")["data"]}
                if self.model not in models:
                    others = ", ".join(map(str, models))[:MAX_EVIDENCE_CHARS]
                    raise Outage(
                        f"{server.url} does not serve {self.model} but {others}: "
                        "[recaptioning] model must be the name that the servers use"
                    )
                most = models[self.model]
                if isinstance(most, int) and most < n_tokens:
                    raise Outage(
                        f"{server.url} takes {most} tokens, a request and its answer may have {n_tokens}: raise "
                        "[vllm] max_model_len (or the servers' own), or lower [recaptioning] window_tokens"
                    )

    async def metrics(self) -> dict[str, float]:
        """Return the servers' own counters, summed by name; of servers that have none, nothing."""
        totals: dict[str, float] = {}
        for server in self._servers:
            for name, value in counters(await self._page(server, "/metrics") or ""):
                totals[name] = totals.get(name, 0.0) + value
        return totals

    async def _page(self, server: _Server, path: str) -> str | None:
        root = str(server.client.base_url).removesuffix("/").removesuffix("/v1")
        try:
            page = await server.client.get(f"{root}{path}", cast_to=httpx2.Response, options={"timeout": 5.0})
        except (openai.APIError, httpx2.HTTPError):
            return None
        return page.text
