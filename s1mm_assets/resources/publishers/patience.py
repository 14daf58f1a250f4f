"""How fast publishers are asked, and when they are asked again: the one place for rates and retries.

Rates are those that the publishers ask for (arXiv: one request per three seconds) or, where they say nothing, modest.
They hold within a process; the Dagster pool `publishers` keeps a second run from breaking them together with the first.
"""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import stamina

BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Statuses that may pass."""

S3_BUSY = frozenset(
    {"SlowDown", "ServiceUnavailable", "InternalError", "RequestTimeout", "ThrottlingException", "503", "500"}
)
RATES_PER_S = {  # requests
    "oaipmh.arxiv.org": 1 / 3,
    "export.arxiv.org": 1 / 3,
    "arxiv.org": 1 / 3,
    "api.biorxiv.org": 1.0,
    "chemrxiv.org": 1.0,
    "www.cambridge.org": 1.0,
    "api.crossref.org": 3.0,
    "www.ebi.ac.uk": 5.0,
}


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

    def rounds(self) -> "Iterator[stamina.Attempt]":
        """Yield attempts, as `stamina.retry_context` does; the last error passes through."""
        import stamina

        return iter(
            stamina.retry_context(
                on=self._backoff,
                attempts=self.attempts,
                timeout=None,
                wait_initial=self.wait_s,
                wait_max=self.max_wait_s,
                wait_jitter=self.wait_s,
            )
        )

    def _backoff(self, error: Exception) -> bool | float:
        if isinstance(error, BusyError) and error.retry_after_s is not None:
            return error.retry_after_s if error.retry_after_s <= self.max_retry_after_s else False
        return is_transient(error)


def is_transient(error: Exception) -> bool:
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
    """A token bucket: `wait` returns when the next request may start. Shared between threads."""

    per_s: float
    burst: int = 1
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _free_at: float = -1e9  # when the bucket would be full again, less what it holds

    def wait(self) -> None:
        """Take a token; sleep until there is one."""
        with self._lock:
            now, step = self.clock(), 1 / self.per_s
            start = max(self._free_at, now - (self.burst - 1) * step)
            self._free_at = start + step
        if start > now:
            self.sleep(start - now)


_PACES: dict[str, Pace] = {host: Pace(rate) for host, rate in RATES_PER_S.items()}


def pace_of(host: str) -> Pace | None:
    """Return the one pace at which this process asks a host; None of a host that sets no limit, as one's own mirror."""
    return _PACES.get(host)
