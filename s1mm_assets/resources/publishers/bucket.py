"""One S3 bucket of a publisher, by boto3: listed, read in ranges, with the requester-pays header on every call.

Credentials come from the environment, as boto3 finds them; they stand in no field and no message.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from s1mm_assets.resources.publishers import ChangedError, NotOfferedError, PublisherError
from s1mm_assets.resources.publishers.patience import BusyError, Patience, is_transient
from s1mm_assets.resources.publishers.usage import Usage

MIB = 2**20
PIECE_BYTES = MIB
CONNECT_S, READ_S = 15, 60
CONNECTIONS = 32
NOT_THERE = frozenset({"NoSuchKey", "404", "NoSuchVersion"})
BAD_CREDENTIALS = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "InvalidAccessKeyId",
        "InvalidToken",
        "SignatureDoesNotMatch",
        "RequestExpired",
    }
)

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class BucketFile:
    """An object, as a listing gives it."""

    key: str
    size: int  # bytes
    etag: str  # hex MD5; of an upload in parts something else, "<hex>-<parts>"


class Bucket:
    """A bucket by name."""

    def __init__(
        self,
        name: str,
        *,
        endpoint: str | None = None,
        is_requester_pays: bool = False,
        is_unsigned: bool = False,
        user_agent: str = "",
        usage: Usage | None = None,
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> None:
        """Open nothing yet.

        Args:
            name: The bucket's.
            endpoint: Of the S3 service; None: Amazon's.
            is_requester_pays: Every call then says that whoever asks will pay; without that it is refused.
            is_unsigned: Asked without credentials.
            user_agent: Names the program, and whom to write to.
            usage: Where requests and bytes are counted.
            patience: How often what is busy is asked again.
        """
        self.name = name
        self._endpoint = endpoint
        self._terms: dict[str, Any] = {"Bucket": name}
        if is_requester_pays:
            self._terms["RequestPayer"] = "requester"
        self._is_paid = is_requester_pays
        self._is_unsigned = is_unsigned
        self._user_agent = user_agent
        self._usage = usage or Usage()
        self._patience = patience
        self._client: Any = None
        self._lock = threading.Lock()

    def list(self, prefix: str, *, delimiter: str = "") -> Iterator[BucketFile]:
        """Yield the objects below a prefix, in order of key; with a delimiter, those of this level alone.

        Raises:
            PublisherError: The bucket cannot be listed.
        """
        for page in self._pages(prefix, delimiter):
            for each in page.get("Contents") or ():
                yield BucketFile(str(each["Key"]), int(each["Size"]), str(each.get("ETag") or "").strip('"'))

    def folders(self, prefix: str) -> Iterator[str]:
        """Yield the common prefixes one level below a prefix, each ending in a slash."""
        for page in self._pages(prefix, "/"):
            for each in page.get("CommonPrefixes") or ():
                yield str(each["Prefix"])

    def _pages(self, prefix: str, delimiter: str) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            asked = {"Prefix": prefix, **({"Delimiter": delimiter} if delimiter else {}), **token}
            try:
                page = self._patiently(lambda asked=asked: self._call("list_objects_v2", **asked))  # type: ignore[misc]
            except NotOfferedError as error:
                raise PublisherError(f"s3://{self.name}/{prefix} cannot be listed: {error}") from error
            yield page
            if not page.get("IsTruncated") or not page.get("NextContinuationToken"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def get(self, key: str, *, start: int = 0, end: int | None = None, max_bytes: int = 64 * MIB) -> bytes:
        """Return an object, or its bytes from `start` to before `end`.

        Raises:
            NotOfferedError: There is no such object.
            PublisherError: It cannot be read, or is longer than `max_bytes`.
        """
        ranged = (
            {"Range": f"bytes={start}-{'' if end is None else end - 1}"} if start or end is not None else {}
        )
        return self._patiently(lambda: self._read(key, max_bytes, **ranged))

    def tail(self, key: str, n_bytes: int) -> bytes:
        """Return an object's last bytes; all where it has fewer."""
        return self._patiently(lambda: self._read(key, n_bytes, Range=f"bytes=-{n_bytes}"))

    def _read(self, key: str, max_bytes: int, **asked: str) -> bytes:
        answer = self._call("get_object", Key=key, **asked)
        if int(answer.get("ContentLength") or 0) > max_bytes:
            answer["Body"].close()
            raise PublisherError(f"s3://{self.name}/{key} has more than {max_bytes:,} bytes")
        data: bytes = answer["Body"].read()
        self._usage.received(len(data), is_paid=self._is_paid)
        return data

    @contextmanager
    def open(self, key: str, offset: int, etag: str | None = None) -> Iterator[Iterator[bytes]]:
        """Open an object's bytes from an offset on, in one attempt.

        Raises:
            NotOfferedError: There is no such object.
            ChangedError: It is another than the one with this etag, or shorter than the offset.
        """
        asked = {"Range": f"bytes={offset}-"} if offset else {}
        if etag:
            asked["IfMatch"] = f'"{etag}"'
        answer = self._call("get_object", Key=key, **asked)
        try:
            yield self._pieces(answer["Body"], int(answer.get("ContentLength") or 0))
        finally:
            answer["Body"].close()

    def _pieces(self, body: Any, n_left: int) -> Iterator[bytes]:
        """Yield what has come, without waiting for more: a server that drips is to be noticed."""
        while piece := body._raw_stream.read1(PIECE_BYTES):
            self._usage.received(len(piece), is_paid=self._is_paid)
            n_left -= len(piece)
            yield piece
        if n_left > 0:
            raise BusyError(f"the answer ended {n_left:,} bytes early")

    def _patiently(self, call: Callable[[], Result]) -> Result:
        try:
            for attempt in self._patience.rounds():
                with attempt:
                    return call()
        except Exception as error:
            if not is_transient(error):
                raise
            raise PublisherError(
                f"s3://{self.name} does not answer as it should ({type(error).__name__}: {error}), asked "
                f"{self._patience.attempts} times: try again later, what was landed so far is kept"
            ) from error
        raise AssertionError("unreachable: the last error passes through")

    def _call(self, operation: str, **asked: Any) -> dict[str, Any]:
        from botocore.exceptions import ClientError, NoCredentialsError, PartialCredentialsError

        self._usage.asked(is_paid=self._is_paid)
        try:
            found: dict[str, Any] = getattr(self._opened(), operation)(**self._terms, **asked)
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise PublisherError(
                f"s3://{self.name} is paid for by whoever downloads: give AWS_ACCESS_KEY_ID and "
                "AWS_SECRET_ACCESS_KEY, or a role, in the environment"
            ) from error
        except ClientError as error:
            raise _read_error(error, self.name, str(asked.get("Key") or asked.get("Prefix") or "")) from error
        return found

    def _opened(self) -> Any:
        with self._lock:
            if self._client is None:
                self._client = self._connect()
        return self._client

    def _connect(self) -> Any:
        import boto3
        from botocore import UNSIGNED
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self._endpoint,
            region_name="us-east-1",
            config=Config(
                retries={"total_max_attempts": 1},  # patience is one place's business
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                max_pool_connections=CONNECTIONS,
                user_agent_extra=self._user_agent,
                response_checksum_validation="when_required",
                s3={"addressing_style": "path" if self._endpoint else "auto"},
                **({"signature_version": UNSIGNED} if self._is_unsigned else {}),
            ),
        )


def _read_error(error: Any, bucket: str, key: str) -> Exception:
    """Return what an answer of S3 means; the error itself where it may pass."""
    code = str(error.response.get("Error", {}).get("Code"))
    if code in BAD_CREDENTIALS:
        return PublisherError(
            f"s3://{bucket} refuses the credentials of the environment ({code}): renew them, and run again; what "
            "was landed so far is kept"
        )
    if code in ("PreconditionFailed", "412", "InvalidRange", "416"):
        return ChangedError(f"s3://{bucket}/{key} is another object now")
    if is_transient(error):
        return error  # type: ignore[no-any-return]
    refused = NotOfferedError(f"s3://{bucket}/{key}: {code}")
    refused.status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    return refused
