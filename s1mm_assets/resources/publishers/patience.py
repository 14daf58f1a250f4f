"""How fast publishers are asked, and when they are asked again: the one place for rates and retries.

Rates are those that the publishers ask for (arXiv: one request in three seconds, over a single connection, for all its
services together) or, where they say nothing, modest.
They hold for all processes of a machine; the Dagster pool `publishers` keeps those of several machines apart.
"""

from __future__ import annotations

import fcntl
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tenacity import AttemptManager, RetryCallState

_log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 3_600.0
BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may pass."""

S3_BUSY = frozenset(
    {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "ThrottlingException", "503", "500"}
)
HOSTS = {  # who is asked at which hosts: what they allow, they allow for all of them together
    "arXiv": ("oaipmh.arxiv.org", "export.arxiv.org", "arxiv.org"),
    "openRxiv": ("api.biorxiv.org",),
    "ChemRxiv": ("chemrxiv.org", "www.cambridge.org"),
    "Crossref": ("api.crossref.org",),
    "Europe-PMC": ("www.ebi.ac.uk",),
}
RATES_PER_S = {"arXiv": 1 / 3, "openRxiv": 1.0, "ChemRxiv": 1.0, "Crossref": 3.0, "Europe-PMC": 5.0}
"""Requests that may start; one connection at a time."""


class BusyError(Exception):
    """An answer that may be another one later: 429, 5xx, HTML from an API, a transfer that came to a stand."""

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a publisher that does not answer is asked."""

    attempts: int = 8
    wait_s: float = 1.0  # before the second attempt; then doubled
    max_wait_s: float = 120.0
    max_retry_after_s: float = 1_800.0  # of a publisher that asks for more, the step ends and says so
    is_over: threading.Event = field(
        default_factory=threading.Event, compare=False
    )  # set, nobody waits any more

    def rounds(self) -> Iterator[AttemptManager]:
        """Yield attempts, each a context; the last error passes through."""
        from tenacity import Retrying, retry_if_exception, sleep_using_event, stop_after_attempt

        return iter(
            Retrying(
                retry=retry_if_exception(self._may_pass),
                stop=stop_after_attempt(self.attempts),
                wait=self._wait,
                sleep=sleep_using_event(self.is_over),
                before_sleep=_tell,
                reraise=True,
            )
        )

    def _may_pass(self, error: BaseException) -> bool:
        asked_s = error.retry_after_s if isinstance(error, BusyError) else None
        is_too_long = asked_s is not None and asked_s > self.max_retry_after_s
        return not is_too_long and is_transient(error)

    def _wait(self, state: RetryCallState) -> float:
        """Return how long to wait: as long as the publisher asks for, and never less than one would by oneself."""
        error = state.outcome.exception() if state.outcome else None
        asked_s = error.retry_after_s if isinstance(error, BusyError) else None
        own_s = min(self.max_wait_s, self.wait_s * 2.0 ** (state.attempt_number - 1))
        jitter_s = random.uniform(0, self.wait_s)  # noqa: S311 - no secret
        return max(own_s, asked_s or 0.0) + jitter_s


def _tell(state: RetryCallState) -> None:
    error = state.outcome.exception() if state.outcome else None
    wait_s = state.next_action.sleep if state.next_action else 0.0
    _log.warning("asked again in %.1f s: %s: %s", wait_s, type(error).__name__, error)


def is_transient(error: BaseException) -> bool:
    """Whether the same request may be answered later: busy servers, cut connections, time-outs."""
    import httpx2
    from botocore import exceptions as boto

    if isinstance(error, boto.ClientError):
        code = str(error.response.get("Error", {}).get("Code"))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        return code in S3_BUSY or status in BUSY
    transient = (
        BusyError,
        httpx2.TransportError,
        boto.HTTPClientError,
        boto.IncompleteReadError,
        boto.ResponseStreamingError,
        ConnectionError,
        TimeoutError,
    )
    return isinstance(error, transient)


def retry_after_s(header: str | None) -> float | None:
    """Return the seconds that a Retry-After header asks for: a number, or a date; None where it says neither."""
    text = (header or "").strip()
    if text.isascii() and text.isdigit():
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, TypeError):
        return None


@dataclass
class Pace:
    """A token bucket, and one connection: `turn` lasts until the answer was read.

    Shared between threads; and where it has a file, between the processes of this machine.
    """

    per_s: float
    burst: int = 1
    clock: Callable[[], float] = time.time
    sleep: Callable[[float], None] = time.sleep
    file: Path | None = None  # holds the time of the next token; locked while somebody asks
    _connection: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _free_at: float = 0.0  # when the next token comes, if the bucket is empty

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for the connection and for a token, and keep the connection."""
        with self._connection, self._shared():
            while (left := min(self._free_at - self.clock(), LONGEST_PAUSE_S)) > 0:
                self.sleep(left)
            step = 1 / self.per_s
            self._free_at = max(self._free_at, self.clock() - (self.burst - 1) * step) + step
            yield

    @contextmanager
    def _shared(self) -> Iterator[None]:
        if self.file is None:
            yield
            return
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            opened = self.file.open("a+")
        except OSError:  # a home that cannot be written to: then this process keeps the rate by itself
            yield
            return
        with opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            opened.seek(0)
            self._free_at = max(self._free_at, _number(opened.read(32)))
            try:
                yield
            finally:
                opened.seek(0)
                opened.truncate()
                opened.write(f"{self._free_at:.3f}")

    def hold_off(self, seconds: float) -> None:
        """Let nobody ask for a while, as the publisher wishes."""
        self._free_at = max(self._free_at, self.clock() + seconds)


def _number(text: str) -> float:
    try:
        return min(float(text), time.time() + LONGEST_PAUSE_S)
    except ValueError:
        return 0.0


def _paces() -> dict[str, Pace]:
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "s1mm-assets"
    paces = {name: Pace(rate, file=cache / f"{name}.pace") for name, rate in RATES_PER_S.items()}
    return {host: paces[name] for name, hosts in HOSTS.items() for host in hosts}


_PACES = _paces()


def pace_of(host: str) -> Pace | None:
    """Return the one pace at which a host is asked; None of a host that sets no limit, as one's own mirror."""
    return _PACES.get(host)
