"""Polite HTTP: who asks is said, rates are kept, answers are capped, what is busy is asked again.

Redirects are followed only to hosts that the publisher is known by, so that no answer leads elsewhere.
"""

import re
import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from s1mm_assets.resources.publishers import ChangedError, NotOfferedError, PublisherError
from s1mm_assets.resources.publishers.patience import (
    BUSY,
    BusyError,
    Pace,
    Patience,
    is_transient,
    pace_of,
    retry_after_s,
)
from s1mm_assets.resources.publishers.usage import Usage

if TYPE_CHECKING:
    import httpx2

MIB = 2**20
CONNECT_S, READ_S = 15.0, 60.0
WHOLE_ANSWER_S = 300.0  # of an answer that is read whole
MAX_REDIRECTS = 5
HTML = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*(?:<!--.{0,2000}?-->\s*)?<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
SHAPES = {"json": re.compile(rb"(?:\xef\xbb\xbf)?\s*[\[{]"), "xml": re.compile(rb"(?:\xef\xbb\xbf)?\s*<")}
PDF_HEAD_BYTES = 1024


class Web:
    """The HTTP client of one publisher."""

    def __init__(
        self,
        *,
        user_agent: str,
        hosts: Collection[str],
        usage: Usage | None = None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        """Open nothing yet.

        Args:
            user_agent: Names the program, and whom to write to.
            hosts: With port where there is one; no other is asked, whatever an answer says.
            usage: Where requests and bytes are counted.
            patience: How often what is busy is asked again.
        """
        import httpx2

        self._hosts = frozenset(hosts)
        self._usage = usage or Usage()
        self._patience = patience
        self._client = httpx2.Client(
            headers={"User-Agent": user_agent},
            timeout=httpx2.Timeout(READ_S, connect=CONNECT_S),
            follow_redirects=False,
        )

    def get(
        self,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        expects: str = "",
        max_bytes: int = 64 * MIB,
    ) -> bytes:
        """Return a whole answer, after as many attempts as patience allows.

        Args:
            url: Absolute.
            params: Of the query.
            expects: "json" or "xml": another kind of answer, HTML above all, is a publisher out of order.
            max_bytes: An answer that is longer is none.

        Raises:
            NotOfferedError: A 4xx that will not pass.
            PublisherError: It does not answer as it should.
        """
        try:
            for attempt in self._patience.rounds():
                with attempt:
                    return self._get_once(url, params, expects, max_bytes)
        except (NotOfferedError, PublisherError):
            raise
        except Exception as error:
            if not is_transient(error):
                raise
            raise PublisherError(
                f"{url} does not answer as it should ({_said(error)}), asked {self._patience.attempts} times: "
                "try again later, what was landed so far is kept"
            ) from error
        raise AssertionError("unreachable: the last error passes through")

    def _get_once(self, url: str, params: Mapping[str, str] | None, expects: str, max_bytes: int) -> bytes:
        started, body = time.monotonic(), bytearray()
        with self._answer(url, params, {}) as answer:
            for piece in answer.iter_bytes():
                self._usage.received(len(piece))
                body += piece
                if len(body) > max_bytes:
                    raise PublisherError(f"{url} answers with more than {max_bytes:,} bytes")
                if time.monotonic() - started > WHOLE_ANSWER_S:
                    raise BusyError(f"no whole answer within {WHOLE_ANSWER_S:.0f} s")
        data = bytes(body)
        if expects and (HTML.match(data) or not SHAPES[expects].match(data)):
            raise BusyError(f"expected {expects.upper()}, the answer begins with {data[:40]!r}")
        return data

    @contextmanager
    def open(
        self, url: str, offset: int, *, expects: str = "", etag: str | None = None
    ) -> Iterator[Iterator[bytes]]:
        """Open an answer's bytes from an offset on, in one attempt.

        Args:
            url: Absolute.
            offset: In bytes.
            expects: "pdf": of another kind of file nothing is given.
            etag: Of the file as it was before.

        Raises:
            NotOfferedError: A 4xx that will not pass, or no PDF where one is expected.
            ChangedError: The file is another one now.
        """
        headers = {"Accept-Encoding": "identity"}
        if offset:
            headers["Range"] = f"bytes={offset}-"
            if etag:
                headers["If-Match"] = etag
        with self._answer(url, None, headers) as answer:
            pieces = self._counted(answer)
            is_from_start = answer.status_code != 206
            if expects == "pdf" and is_from_start:
                pieces = _sniffed(pieces, url)
            if offset and is_from_start:  # the server knows no ranges: pass over what is here
                pieces = _after(pieces, offset, url)
            elif offset and not (answer.headers.get("Content-Range") or "").startswith(f"bytes {offset}-"):
                raise BusyError(f"asked from byte {offset}, got {answer.headers.get('Content-Range')!r}")
            yield pieces

    def _counted(self, answer: "httpx2.Response") -> Iterator[bytes]:
        for piece in answer.iter_raw():
            self._usage.received(len(piece))
            yield piece

    @contextmanager
    def _answer(
        self, url: str, params: Mapping[str, str] | None, headers: Mapping[str, str]
    ) -> Iterator["httpx2.Response"]:
        """Ask once, follow redirects within the publisher's hosts, and sort out what is no answer."""
        for _ in range(MAX_REDIRECTS):
            pace = self._pace(url)
            with pace.turn() if pace else nullcontext():
                self._usage.asked()
                with self._client.stream("GET", url, params=params, headers=headers) as answer:
                    if answer.status_code in (301, 302, 303, 307, 308):
                        url, params = _target(answer), None
                        continue
                    try:
                        _refuse(answer, url)
                    except BusyError as busy:
                        if pace and busy.retry_after_s is not None:
                            pace.hold_off(busy.retry_after_s)
                        raise
                    yield answer
                    return
        raise NotOfferedError(f"{url}: more than {MAX_REDIRECTS} redirects")

    def _pace(self, url: str) -> Pace | None:
        """Return the pace of an address; refuse one that is none of this publisher's."""
        try:
            parts = urlsplit(url)
        except ValueError as error:
            raise NotOfferedError(f"{url[:200]!r} is no address: {error}") from error
        if parts.scheme not in ("http", "https") or parts.netloc not in self._hosts:
            raise NotOfferedError(f"{parts.scheme}://{parts.netloc} is no address of this publisher")
        return pace_of(parts.hostname or "")


def _target(answer: "httpx2.Response") -> str:
    import httpx2

    try:
        return str(answer.url.join(answer.headers.get("Location", "")))
    except (httpx2.InvalidURL, ValueError) as error:
        raise NotOfferedError(f"{answer.url} leads to no address: {error}") from error


def _refuse(answer: "httpx2.Response", url: str) -> None:
    status = answer.status_code
    if status in (200, 206):
        return
    if status in BUSY:
        raise BusyError(f"status {status}", retry_after_s(answer.headers.get("Retry-After")))
    if status == 412:
        raise ChangedError(f"{url} is another file now")
    if status == 416:
        raise ChangedError(f"{url} is shorter now")
    refused = NotOfferedError(f"{url} answers {status}")
    refused.status = status
    raise refused


def _after(pieces: Iterator[bytes], n_bytes: int, url: str) -> Iterator[bytes]:
    """Yield what comes after the first bytes; there must be as many."""
    for piece in pieces:
        if n_bytes >= len(piece):
            n_bytes -= len(piece)
        else:
            yield piece[n_bytes:]
            n_bytes = 0
    if n_bytes:
        raise ChangedError(f"{url} is shorter now")


def _sniffed(pieces: Iterator[bytes], url: str) -> Iterator[bytes]:
    """Yield a PDF's bytes; refuse anything else before the first of them."""
    head = b""
    for piece in pieces:
        head += piece
        if len(head) >= PDF_HEAD_BYTES:
            break
    if b"%PDF-" not in head[:PDF_HEAD_BYTES]:
        raise NotOfferedError(f"{url} is no PDF: it begins with {head[:40]!r}")
    yield head
    yield from pieces


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"[:300]
