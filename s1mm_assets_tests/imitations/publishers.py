"""All publishers in small, on one port of loopback: their HTTP APIs, and their buckets on a real S3 server.

    with ImitationPublishers(oai=OaiImitation(...)) as publishers:
        publishers.put("arxiv", "src/arXiv_src_manifest.xml", manifest)
        Endpoints.at(publishers.base)

The S3 server is moto's, behind a guard that refuses whoever does not say that they will pay, as arXiv's and openRxiv's
buckets do; PMC's is open to all. Every request is recorded, without credentials. Faults come as they are asked for.
"""

import re
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs

from werkzeug.serving import BaseWSGIServer, WSGIRequestHandler, make_server

from s1mm_assets_tests.imitations.wsgi import WsgiApp

PAID = frozenset({"arxiv", "biorxiv-src-monthly", "medrxiv-src-monthly"})
OPEN = frozenset({"pmc-oa-opendata"})
CREDENTIALS = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
PIECE_BYTES = 64 * 1024
DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n'
    b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
)


@dataclass
class Request:
    """What was asked and what was sent, without credentials."""

    method: str
    path: str
    query: dict[str, list[str]]
    user_agent: str
    range: str | None
    says_it_pays: bool
    status: int = 0
    n_bytes: int = 0  # of the body, as sent


@dataclass
class Fault:
    """A request that goes wrong: another status or body instead of the answer, or the answer cut."""

    path: str  # regular expression that the path must match
    times: int = 1
    n_before: int = 0  # as many pass
    status: int = 0  # 0: the answer's own
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut_after: int | None = None  # bytes of the body; then the connection ends
    meanwhile: Callable[[], object] | None = None  # happens before the request is answered


class ImitationPublishers:
    """The server. `base` is where it answers, once entered."""

    def __init__(self, **apps: WsgiApp) -> None:
        """Take the HTTP APIs by the names of `Endpoints`: oai, arxiv, details, chemrxiv, chemrxiv_mirror …"""
        self.apps = {name.replace("_", "-"): app for name, app in apps.items()}
        self.requests: list[Request] = []
        self.faults: list[Fault] = []
        self._lock = threading.Lock()
        self._server: BaseWSGIServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def base(self) -> str:
        """Where it answers, without a slash at the end."""
        assert self._server is not None
        return f"http://127.0.0.1:{self._server.server_port}"

    def mount(self, name: str, app: WsgiApp) -> None:
        """Put an API below the base, replacing one of the same name."""
        self.apps[name.replace("_", "-")] = app

    def start(self, port: int = 0) -> None:
        """Serve until `stop`."""
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._moto = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", port, self, threaded=True, request_handler=_Quiet)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        self._empty_buckets()

    def stop(self) -> None:
        """End serving."""
        assert self._server is not None
        assert self._thread is not None
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- buckets -------------------------------------------------------------------------------------------

    def put(self, bucket: str, key: str, data: bytes) -> None:
        """Put an object, as its publisher would; this is not recorded as a request."""
        self._s3().put_object(Bucket=bucket, Key=key, Body=data, ACL="public-read")

    def remove(self, bucket: str, key: str) -> None:
        """Take an object away."""
        self._s3().delete_object(Bucket=bucket, Key=key)

    def _s3(self) -> Any:
        import boto3

        return boto3.client(
            "s3", endpoint_url=f"{self.base}/backstage", region_name="us-east-1", **CREDENTIALS
        )

    def _empty_buckets(self) -> None:
        """Moto keeps its buckets for the whole process: begin with empty ones."""
        s3 = self._s3()
        for bucket in sorted(PAID | OPEN):
            s3.create_bucket(Bucket=bucket, ACL="public-read" if bucket in OPEN else "private")
            for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket):
                for each in page.get("Contents", ()):
                    s3.delete_object(Bucket=bucket, Key=each["Key"])

    # --- requests ------------------------------------------------------------------------------------------

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer, record, and let faults happen."""
        name = environ["PATH_INFO"].lstrip("/").partition("/")[0]
        if name == "backstage":
            return self._moto(_below(environ, name), start_response)  # type: ignore[no-any-return]
        request = Request(
            method=environ["REQUEST_METHOD"],
            path=environ["PATH_INFO"],
            query=parse_qs(environ.get("QUERY_STRING", "")),
            user_agent=environ.get("HTTP_USER_AGENT", ""),
            range=environ.get("HTTP_RANGE"),
            says_it_pays=environ.get("HTTP_X_AMZ_REQUEST_PAYER") == "requester",
        )
        with self._lock:
            self.requests.append(request)
            fault = self._fault_of(request)
        if fault and fault.meanwhile:
            fault.meanwhile()
        cut = fault.cut_after if fault else None

        def recorded(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            request.status = int(status.split(maxsplit=1)[0])
            extra = [("Connection", "close")] if cut is not None else []
            return start_response(status, [*headers, *extra], *rest)

        if fault and fault.status:
            recorded(
                f"{fault.status} Fault", [*fault.headers.items(), ("Content-Length", str(len(fault.body)))]
            )
            return self._sent(request, [fault.body], None)
        return self._sent(request, self._answered(name, environ, request, recorded), cut)

    def _answered(
        self, name: str, environ: dict[str, Any], request: Request, start_response: Any
    ) -> Iterable[bytes]:
        if name == "s3":
            if self._is_refused(request, environ):
                start_response(
                    "403 Forbidden",
                    [("Content-Type", "application/xml"), ("Content-Length", str(len(DENIED)))],
                )
                return [DENIED]
            return self._moto(_below(environ, name), start_response)  # type: ignore[no-any-return]
        if name in self.apps:
            return self.apps[name](_below(environ, name), start_response)
        start_response("404 Not Found", [("Content-Length", "0")])
        return []

    @staticmethod
    def _is_refused(request: Request, environ: dict[str, Any]) -> bool:
        bucket = request.path.split("/")[2] if request.path.count("/") > 1 else ""
        is_signed = "AWS4-HMAC-SHA256" in environ.get("HTTP_AUTHORIZATION", "")
        return bucket in PAID and not (request.says_it_pays and is_signed)

    def _fault_of(self, request: Request) -> Fault | None:
        for fault in self.faults:
            if fault.times and re.search(fault.path, request.path):
                if fault.n_before:
                    fault.n_before -= 1
                    continue
                fault.times -= 1
                return fault
        return None

    @staticmethod
    def _sent(request: Request, body: Iterable[bytes], cut: int | None) -> Iterator[bytes]:
        try:
            for whole in body:
                for at in range(0, len(whole), PIECE_BYTES):
                    piece = whole[at : at + PIECE_BYTES]
                    if cut is not None:
                        piece = piece[: cut - request.n_bytes]
                    request.n_bytes += len(piece)
                    yield piece
                    if cut is not None and request.n_bytes >= cut:
                        raise ConnectionAbortedError("cut")
        finally:
            if hasattr(body, "close"):
                body.close()


def _below(environ: dict[str, Any], name: str) -> dict[str, Any]:
    """The request as it would be without the first part of its path."""
    path = environ["PATH_INFO"].removeprefix(f"/{name}") or "/"
    raw = environ.get("RAW_URI", path).removeprefix(f"/{name}") or "/"
    return {**environ, "PATH_INFO": path, "RAW_URI": raw, "REQUEST_URI": raw}


class _Quiet(WSGIRequestHandler):
    """Says nothing of requests: they are recorded."""

    def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
        """Nothing."""
