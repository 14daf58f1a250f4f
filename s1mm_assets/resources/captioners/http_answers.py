"""What the HTTP answer of a chat server means: a completion, a request to wait, an error of this or that side.

Answers are read up to a limit, without decompression. What servers say of errors becomes evidence: numbers, ids and
the key are left out of it, so that the same fault gives the same row.
"""

import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx2
import openai

MAX_ANSWER_BYTES = 4 * 2**20  # of one HTTP answer; an endless one is cut off here
MIN_PAUSE_S, MAX_PAUSE_S = 0.05, 60.0  # that a server may ask for by Retry-After
MAX_EVIDENCE_CHARS = 300
BUSY = 429
DOWN = (502, 503, 504)  # a proxy's way to say that nobody is there
DENIED = (401, 403, 404, 405)  # of one request, or of every one

_FINISH = re.compile(r"[a-z_]{1,40}")
_PASSING = re.compile(r"\S*\d\S*")  # counts, clocks, ids, addresses


class Outage(Exception):  # noqa: N818 - says what is the matter
    """The service is down: nothing can be said of any one request."""


class RequestRefused(Exception):  # noqa: N818
    """A server will not take this request, whenever it is sent."""


class RequestFailed(Exception):  # noqa: N818
    """The servers serve others, but not this request."""


class Busy(Exception):  # noqa: N818
    """A server has enough to do, and says when to come back."""

    def __init__(self, pause_s: float) -> None:
        self.pause_s = pause_s


class Denied(Exception):  # noqa: N818
    """A server does not let this request in; perhaps none."""


class ServiceError(Exception):
    """A server failed at a request.

    `is_down`: it was not there. `is_gone`: it went away with the request. `is_slow`: it did not answer in time.
    """

    def __init__(
        self, message: str, *, is_down: bool = False, is_gone: bool = False, is_slow: bool = False
    ) -> None:
        super().__init__(message)
        self.is_down, self.is_gone, self.is_slow = is_down, is_gone, is_slow


def steady(message: str) -> str:
    """Return what a server said without what differs from one time to the next, on one line, as sound text."""
    text = message.encode("utf-8", "replace").decode()
    return " ".join(_PASSING.sub("#", " ".join(text.split())).split())[:MAX_EVIDENCE_CHARS]


def meaning(error: openai.APIStatusError) -> Exception:
    """Return what a status says of the request, or of the server."""
    status, said = error.status_code, message_of(error)
    if status == BUSY:
        return Busy(pause_of(error.response.headers.get("retry-after")))
    if status in DENIED:
        return Denied(f"{status}: {said}")
    if 300 <= status < 400:
        return Denied(f"{status}: it redirects to elsewhere; name its own address")
    if status in DOWN:
        return ServiceError(f"{status}: {said}", is_down=True)
    if status >= 500 or status == 408:
        return ServiceError(f"{status}: {said}")
    return RequestRefused(f"{status}: {said}")


def message_of(error: openai.APIStatusError) -> str:
    """Return what the server says is wrong, as evidence."""
    said = error.body.get("message") if isinstance(error.body, dict) else error.body
    line = " ".join(str(said or error.message).split())
    key = error.request.headers.get("authorization", "").removeprefix("Bearer ")
    return steady(line.replace(key, "(the key)") if len(key) > len("none") else line)  # some repeat it


def pause_of(retry_after: str | None) -> float:
    """Return the seconds that a Retry-After header asks for; a second where it does not say."""
    try:
        return min(MAX_PAUSE_S, max(MIN_PAUSE_S, float(retry_after or 1.0)))
    except ValueError:  # a date, which no vLLM sends
        return 1.0


def checked(answer: bytes) -> dict[str, Any]:
    """Return the JSON of a chat completion, its finish reason a word; ValueError where it is none."""
    found = json.loads(answer)
    choices = found.get("choices") if isinstance(found, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    if (
        not isinstance(choice, dict)
        or not isinstance(message, dict)
        or not isinstance(message.get("content"), str | None)
        or not isinstance(choice.get("finish_reason"), str | None)
        or not _counts_tokens(found.get("usage"))
    ):
        raise ValueError("it is no chat completion")
    finish = choice.get("finish_reason")
    if finish is not None and not _FINISH.fullmatch(finish):
        choice["finish_reason"] = "unknown"
    return dict(found)


def _counts_tokens(usage: object) -> bool:
    """Whether the bill of an answer is one, or is left out."""
    if not isinstance(usage, dict):
        return usage is None
    counts = (usage.get("prompt_tokens"), usage.get("completion_tokens"))
    return all(each is None or (type(each) is int and 0 <= each < 2**31) for each in counts)


def counters(page: str) -> Iterator[tuple[str, float]]:
    """Yield the names and values of a Prometheus page, labels left out."""
    for line in page.splitlines():
        name, _, value = line.rpartition(" ")
        if name and not line.startswith("#"):
            try:
                yield name.partition("{")[0], float(value)
            except ValueError:
                continue


class CappedTransport(httpx2.AsyncBaseTransport):
    """Reads no more of an answer than an answer can have."""

    def __init__(self, transport: httpx2.AsyncBaseTransport) -> None:
        self._transport = transport

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Pass a request on, and the answer back up to the limit; a compressed one not at all."""
        response = await self._transport.handle_async_request(request)
        if response.headers.get("content-encoding", "identity") != "identity":  # a bomb, for all we know
            raise httpx2.RemoteProtocolError("the answer is compressed, which was not asked for")
        response.stream = _CappedStream(response.stream)  # type: ignore[arg-type]
        return response

    async def aclose(self) -> None:
        """Close what is behind it."""
        await self._transport.aclose()


class _CappedStream(httpx2.AsyncByteStream):
    def __init__(self, stream: httpx2.AsyncByteStream) -> None:
        self._stream = stream

    async def __aiter__(self) -> AsyncIterator[bytes]:
        n_bytes = 0
        async for part in self._stream:
            n_bytes += len(part)
            if n_bytes > MAX_ANSWER_BYTES:
                raise httpx2.ReadError(f"the answer has more than {MAX_ANSWER_BYTES} bytes")
            yield part

    async def aclose(self) -> None:
        await self._stream.aclose()
