"""Asking politely: who asks is said, rates are kept, answers are capped, what is busy is asked again."""

import gzip
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from s1mm_assets.resources.publishers import ChangedError, NotOfferedError, PublisherError
from s1mm_assets.resources.publishers.patience import (
    HOSTS,
    RATES_PER_S,
    BusyError,
    Pace,
    Patience,
    is_transient,
    pace_of,
    retry_after_s,
)
from s1mm_assets.resources.publishers.registry import Endpoints
from s1mm_assets.resources.publishers.usage import Usage
from s1mm_assets.resources.publishers.web import Web
from s1mm_assets_tests.imitations.publishers import Fault, ImitationPublishers
from s1mm_assets_tests.resources.publishers.bucket_publisher import HASTE

PDF = b"%PDF-1.7\n" + bytes(range(256)) * 1000


class Files:
    """Answers with what it holds, by path; ranges where it knows them."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {"/a.json": b'{"a": 1}', "/a.xml": b"<a/>", "/p.pdf": PDF}
        self.headers: dict[str, list[tuple[str, str]]] = {}
        self.moved: dict[str, str] = {}
        self.knows_ranges = True

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path in self.moved:
            start_response("302 Found", [("Location", self.moved[path]), ("Content-Length", "0")])
            return []
        if path not in self.held:
            start_response("404 Not Found", [("Content-Length", "0")])
            return []
        data, asked = self.held[path], environ.get("HTTP_RANGE")
        headers = [*self.headers.get(path, [])]
        if asked and self.knows_ranges:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            headers.append(("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}"))
            start_response("206 Partial Content", [*headers, ("Content-Length", str(len(data) - start))])
            return [data[start:]]
        start_response("200 OK", [*headers, ("Content-Length", str(len(data)))])
        return [data]


@pytest.fixture
def files() -> Files:
    return Files()


@pytest.fixture
def served(files: Files) -> Iterator[ImitationPublishers]:
    with ImitationPublishers(files=files) as publishers:
        yield publishers


@pytest.fixture
def web(served: ImitationPublishers) -> Web:
    return Web(user_agent="s1mm-assets/1 (me@example.org)", hosts={served.base[7:]}, patience=HASTE)


def url(served: ImitationPublishers, name: str) -> str:
    return f"{served.base}/files/{name}"


def test_an_answer_is_whole_and_who_asks_is_said(served: ImitationPublishers, web: Web) -> None:
    assert web.get(url(served, "a.json"), expects="json") == b'{"a": 1}'
    assert served.requests[0].user_agent == "s1mm-assets/1 (me@example.org)"


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_what_is_busy_is_asked_again(served: ImitationPublishers, web: Web, status: int) -> None:
    served.faults.append(Fault("a.json", times=2, status=status, headers={"Retry-After": "0"}))

    assert web.get(url(served, "a.json")) == b'{"a": 1}'
    assert len(served.requests) == 3


def test_patience_ends(served: ImitationPublishers, web: Web) -> None:
    served.faults.append(Fault("a.json", times=99, status=503))

    with pytest.raises(PublisherError, match=r"status 503.*asked 3 times: try again later"):
        web.get(url(served, "a.json"))
    assert len(served.requests) == 3


def test_a_publisher_that_wants_to_be_left_alone_for_long_is(served: ImitationPublishers, web: Web) -> None:
    """An hour is more than a step waits: it ends, and asks no second time."""
    served.faults.append(Fault("a.json", times=99, status=429, headers={"Retry-After": "3600"}))

    with pytest.raises(PublisherError, match="429"):
        web.get(url(served, "a.json"))
    assert len(served.requests) == 1


@pytest.mark.parametrize("status", [400, 403, 404, 410])
def test_a_refusal_is_not_asked_again(served: ImitationPublishers, web: Web, status: int) -> None:
    served.faults.append(Fault("a.json", times=99, status=status))

    with pytest.raises(NotOfferedError) as refused:
        web.get(url(served, "a.json"))
    assert refused.value.status == status
    assert len(served.requests) == 1


@pytest.mark.parametrize(
    ("name", "expects", "body"),
    [
        ("a.xml", "xml", b"<!DOCTYPE html><html><body>maintenance</body></html>"),
        ("a.xml", "xml", b"  <HTML><head>"),
        ("a.xml", "xml", b"Service unavailable"),
        ("a.json", "json", b"<html>challenge</html>"),
        ("a.json", "json", b""),
    ],
)
def test_html_where_data_should_be_is_an_outage(
    served: ImitationPublishers, web: Web, name: str, expects: str, body: bytes
) -> None:
    """Once: the second answer is right. For ever: it says what came."""
    served.faults.append(Fault(name, times=1, status=200, body=body))
    assert web.get(url(served, name), expects=expects)

    served.faults.append(Fault(name, times=99, status=200, body=body))
    with pytest.raises(PublisherError, match=f"expected {expects.upper()}"):
        web.get(url(served, name), expects=expects)


def test_a_cut_answer_is_asked_again(served: ImitationPublishers, web: Web) -> None:
    served.faults.append(Fault("a.json", cut_after=3))

    assert web.get(url(served, "a.json")) == b'{"a": 1}'


def test_an_endless_answer_ends(served: ImitationPublishers, web: Web, files: Files) -> None:
    files.held["/big"] = bytes(10_000_000)

    with pytest.raises(PublisherError, match="more than 1,000,000 bytes"):
        web.get(url(served, "big"), max_bytes=1_000_000)


def test_a_compressed_bomb_ends(served: ImitationPublishers, web: Web, files: Files) -> None:
    """A gigabyte of zeros in a megabyte: what comes out is counted."""
    files.held["/bomb"] = gzip.compress(bytes(1 << 30), 1)
    files.headers["/bomb"] = [("Content-Encoding", "gzip")]

    with pytest.raises(PublisherError, match="more than"):
        web.get(url(served, "bomb"), max_bytes=1_000_000)


def test_redirects_stay_with_the_publisher(served: ImitationPublishers, web: Web, files: Files) -> None:
    """Within its hosts they are followed; elsewhere, or for ever, not."""
    files.moved = {
        "/old": "/files/a.json",
        "/odd": "http://x/\x7f",
        "/out": "http://169.254.169.254/latest/meta-data",
        "/loop": "/files/loop",
    }

    assert web.get(url(served, "old")) == b'{"a": 1}'
    with pytest.raises(NotOfferedError, match=r"169\.254\.169\.254 is no address of this publisher"):
        web.get(url(served, "out"))
    with pytest.raises(NotOfferedError, match="leads to no address"):
        web.get(url(served, "odd"))
    with pytest.raises(NotOfferedError, match="redirects"):
        web.get(url(served, "loop"))


@pytest.mark.parametrize(
    "address", ["file:///etc/passwd", "ftp://x/y", "http://other.example/x", "//x", "https://[x", ""]
)
def test_no_other_address_is_asked(web: Web, address: str) -> None:
    with pytest.raises(NotOfferedError, match="is no address"):
        web.get(address)


# --- files -------------------------------------------------------------------------------------------------


def read(opened: Any) -> bytes:
    with opened as pieces:
        return b"".join(pieces)


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize("offset", [0, 1, 5000, len(PDF) - 1])
def test_a_file_is_read_from_an_offset(
    served: ImitationPublishers, web: Web, files: Files, offset: int, knows_ranges: bool
) -> None:
    """Also from a server that knows no ranges, whose first bytes are passed over."""
    files.knows_ranges = knows_ranges

    assert read(web.open(url(served, "p.pdf"), offset, expects="pdf")) == PDF[offset:]


@pytest.mark.parametrize("body", [b"<html>are you human?</html>", b"", b"\x00" * 5000])
def test_what_is_no_pdf_is_refused(served: ImitationPublishers, web: Web, body: bytes) -> None:
    served.faults.append(Fault("p.pdf", status=200, body=body))

    with pytest.raises(NotOfferedError, match="is no PDF"):
        read(web.open(url(served, "p.pdf"), 0, expects="pdf"))


@pytest.mark.parametrize("status", [412, 416])
def test_a_file_that_changed_is_told(served: ImitationPublishers, web: Web, status: int) -> None:
    served.faults.append(Fault("p.pdf", status=status))

    with pytest.raises(ChangedError):
        read(web.open(url(served, "p.pdf"), 7, etag='"x"'))


def test_what_is_received_is_counted(served: ImitationPublishers) -> None:
    usage = Usage()
    web = Web(user_agent="x", hosts={served.base[7:]}, usage=usage)

    web.get(url(served, "a.json"))
    read(web.open(url(served, "p.pdf"), 0))

    assert (usage.so_far().n_requests, usage.so_far().n_bytes) == (2, 8 + len(PDF))
    assert usage.so_far().usd(1.0, 1.0) == 0


# --- rates -------------------------------------------------------------------------------------------------


class Clock:
    """Time that passes only by waiting."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.mark.parametrize(("per_s", "burst", "expected"), [(1 / 3, 1, [0, 3, 6, 9]), (2.0, 3, [0, 0, 0, 0.5])])
def test_requests_keep_their_distance(per_s: float, burst: int, expected: list[float]) -> None:
    clock = Clock()
    pace = Pace(per_s, burst, clock=clock, sleep=clock.sleep)

    starts = []
    for _ in expected:
        with pace.turn():
            starts.append(clock.now - 100)

    assert starts == pytest.approx(expected)


def test_waiting_is_not_saved_up() -> None:
    """After an hour of silence one request may go at once, not a thousand."""
    clock = Clock()
    pace = Pace(1.0, clock=clock, sleep=clock.sleep)
    with pace.turn():
        clock.now += 3600

    for _ in range(2):
        with pace.turn():
            pass

    assert clock.now == pytest.approx(3701)


def test_a_publisher_that_asks_for_a_pause_is_left_alone_by_all() -> None:
    clock = Clock()
    pace = Pace(1.0, clock=clock, sleep=clock.sleep)
    with pace.turn():
        pace.hold_off(20)

    with pace.turn():
        assert clock.now == pytest.approx(120)


def test_a_publisher_is_asked_over_one_connection(
    served: ImitationPublishers, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight threads ask; while one is answered nobody else is on the line."""
    pace, at_once, most = Pace(1e9), 0, 0
    monkeypatch.setattr("s1mm_assets.resources.publishers.web.pace_of", lambda host: pace)

    def during() -> None:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        time.sleep(0.02)  # long enough for another to come in, if it could
        at_once -= 1

    served.faults.append(Fault("a.json", times=99, meanwhile=during))
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: web.get(url(served, "a.json")), range(8)))

    assert most == 1


def test_retry_after_holds_off_every_thread(
    served: ImitationPublishers, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pause that one request was told of is everybody's."""
    clock = Clock()
    pace = Pace(1e9, clock=clock, sleep=clock.sleep)
    monkeypatch.setattr("s1mm_assets.resources.publishers.web.pace_of", lambda host: pace)
    served.faults.append(Fault("a.json", status=503, headers={"Retry-After": "0"}))
    served.faults.append(Fault("a.xml", status=503, headers={"Retry-After": "77"}))

    with pytest.raises(PublisherError):
        web.get(url(served, "a.xml"))  # more than this patience waits
    web.get(url(served, "a.json"))

    assert clock.now >= 177


def test_every_publisher_has_a_rate_and_a_mirror_has_none() -> None:
    hosts = Endpoints().hosts(*(name for name in Endpoints.__slots__ if name != "s3"))

    assert all(pace_of(host) for host in hosts)
    assert set(HOSTS) == set(RATES_PER_S)
    assert pace_of("oaipmh.arxiv.org") is pace_of("export.arxiv.org")
    assert pace_of("export.arxiv.org").per_s == pytest.approx(1 / 3)  # type: ignore[union-attr]
    assert pace_of("127.0.0.1") is None


@pytest.mark.parametrize(
    ("header", "expected"),
    [("20", 20.0), (" 5 ", 5.0), ("", None), (None, None), ("soon", None), ("-3", None), ("²", None)],
)
def test_retry_after_is_read(header: str | None, expected: float | None) -> None:
    assert retry_after_s(header) == expected


def test_retry_after_may_be_a_date() -> None:
    assert retry_after_s("Wed, 21 Oct 2015 07:28:00 GMT") == 0
    assert (retry_after_s("Wed, 21 Oct 2115 07:28:00 GMT") or 0) > 1e9


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: BusyError("x"), True),
        (ConnectionResetError, True),
        (TimeoutError, True),
        (ValueError, False),
        (lambda: PublisherError("x"), False),
        (lambda: NotOfferedError("x"), False),
        (lambda: OSError(28, "No space left on device"), False),
    ],
)
def test_what_may_pass_is_known(make: Callable[[], Exception], expected: bool) -> None:
    assert is_transient(make()) is expected


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (BusyError("x", 20.0), True),
        (BusyError("x", 61.0), False),
        (BusyError("x"), True),
        (ValueError(), False),
    ],
)
def test_patience_waits_as_long_as_it_is_told(error: Exception, expected: bool) -> None:
    """Longer than it is willing to, it does not; and never shorter than by itself, whatever Retry-After says."""
    assert Patience(max_retry_after_s=60)._may_pass(error) is expected


def test_retry_after_zero_is_no_leave_to_hammer(served: ImitationPublishers) -> None:
    waits: list[float] = []
    patience = Patience(attempts=3, wait_s=0.01)
    patience.is_over.wait = lambda timeout=None: not waits.append(timeout or 0.0)  # type: ignore[method-assign,func-returns-value]
    web = Web(user_agent="x", hosts={served.base[7:]}, patience=patience)
    served.faults.append(Fault("a.json", times=2, status=503, headers={"Retry-After": "0"}))

    web.get(url(served, "a.json"))

    assert len(waits) == 2
    assert min(waits) >= 0.01


def test_waiting_ends_when_the_run_does(served: ImitationPublishers) -> None:
    """Ctrl-C, or an error elsewhere: half an hour of Retry-After is not sat out."""
    patience = Patience(attempts=2, wait_s=1000.0, max_wait_s=1000.0)
    patience.is_over.set()
    web = Web(user_agent="x", hosts={served.base[7:]}, patience=patience)
    served.faults.append(Fault("a.json", times=99, status=503, headers={"Retry-After": "1500"}))

    with pytest.raises(PublisherError):
        web.get(url(served, "a.json"))


def test_processes_of_a_machine_share_a_pace(tmp_path: Path) -> None:
    """What one took, another waits for."""
    clock = Clock()
    for expected in (100, 103, 106):
        with Pace(1 / 3, clock=clock, sleep=clock.sleep, file=tmp_path / "arXiv.pace").turn():
            assert clock.now == pytest.approx(expected, abs=0.01)


def test_a_home_that_cannot_be_written_to_keeps_no_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    clock = Clock()
    pace = Pace(1 / 3, clock=clock, sleep=clock.sleep, file=tmp_path / "file" / "arXiv.pace")

    for _ in range(2):
        with pace.turn():
            pass

    assert clock.now == pytest.approx(103)


def test_half_a_pdf_and_half_a_page_make_no_file(served: ImitationPublishers, web: Web, files: Files) -> None:
    """The rest of a PDF is asked for, and a page comes from its beginning."""
    page = b"<html>" + bytes(2 * len(PDF))
    served.faults.append(Fault("p.pdf", status=200, body=page))
    with pytest.raises(NotOfferedError, match="is no PDF"):
        read(web.open(url(served, "p.pdf"), 5000, expects="pdf"))

    files.knows_ranges = False
    with pytest.raises(ChangedError, match="shorter"):
        read(web.open(url(served, "p.pdf"), len(PDF) + 1, expects="pdf"))
