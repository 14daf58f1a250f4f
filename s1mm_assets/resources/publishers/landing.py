"""Where offers land: a source's folder, on a disk or in a bucket of one's own.

A file has its name only once all its bytes are there and are the right ones; until then it is a part, which a later
run goes on from. On a disk a part is `<path>.<origin>.part`; in a bucket, which appends to nothing, it is a row of
objects `<path>.<origin>.part/<offset>`, joined when the last has come.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import threading
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qs, urlsplit

from s1mm_assets.resources.publishers import PublisherError
from s1mm_assets.resources.sources.reading import open_root

if TYPE_CHECKING:
    from pyarrow import fs as pafs

MIB = 2**20
PART = ".part"
WAITING_PIECES = 8  # of a file, for their MD5
OBJECT_BYTES = 16 * MIB  # of a part in a bucket
JOIN_BYTES = 8 * MIB


class DamagedError(Exception):
    """What was received is not the file that was listed."""


class Part(Protocol):
    """A file under way."""

    @property
    def offset(self) -> int:
        """How many bytes are there."""

    def append(self, piece: bytes) -> None:
        """Take the next bytes."""

    def finish(self, *, size: int | None, md5: str | None) -> tuple[int, str]:
        """Give the file its name; return its size and MD5.

        Raises:
            DamagedError: They are not those that are expected; the part is gone then.
        """

    def discard(self) -> None:
        """Forget all that was received."""

    def close(self) -> None:
        """Let go; what was received stays for the next run."""


class Landing:
    """A source's folder, local or `s3://bucket/prefix?region=…`."""

    def __init__(self, root: str) -> None:
        """Open nothing yet."""
        self.root = root

    def _at(self, path: str) -> tuple[pafs.FileSystem, str]:
        if path.startswith("/") or ".." in path.split("/") or "\\" in path or "\0" in path:
            raise ValueError(f"{path!r} leaves the folder of its source")
        file_system, root = open_root(self.root)
        return file_system, f"{root}/{path}"

    @property
    def is_local(self) -> bool:
        """Whether it is a folder of this machine."""
        return "://" not in self.root

    def size(self, path: str) -> int | None:
        """Return a file's size in bytes; None where it is not there."""
        file_system, full = self._at(path)
        info = file_system.get_file_info(full)
        return int(info.size) if info.is_file else None

    def read(self, path: str) -> bytes | None:
        """Return a small file; None where it is not there."""
        file_system, full = self._at(path)
        try:
            with file_system.open_input_stream(full, compression=None) as stream:
                return bytes(stream.read())
        except FileNotFoundError:
            return None

    def digest(self, path: str) -> tuple[int, str]:
        """Read a file; return its size in bytes and its MD5."""
        file_system, full = self._at(path)
        digest, n_bytes = hashlib.md5(usedforsecurity=False), 0
        with file_system.open_input_stream(full, compression=None) as stream:
            while piece := stream.read(MIB):
                digest.update(piece)
                n_bytes += len(piece)
        return n_bytes, digest.hexdigest()

    def put(self, path: str, data: bytes) -> None:
        """Write a small file in whole; what is there of this name is replaced."""
        file_system, full = self._at(path)
        if not self.is_local:
            with file_system.open_output_stream(full, compression=None) as stream:
                stream.write(data)
            return
        target = Path(full)
        target.parent.mkdir(parents=True, exist_ok=True)
        whole = target.with_name(f".{target.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            with whole.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            whole.replace(target)
        finally:
            whole.unlink(missing_ok=True)

    def remove(self, path: str) -> None:
        """Remove a file, if it is there."""
        file_system, full = self._at(path)
        with suppress(FileNotFoundError):
            file_system.delete_file(full)

    def names(self, folder: str) -> list[str]:
        """Return the names of a folder's files, in order; none where there is no folder."""
        return [name for name, _ in self.sizes(folder)]

    def sizes(self, folder: str) -> list[tuple[str, int]]:
        """Return names and sizes of a folder's files, in order of name; not of those that are being written."""
        from pyarrow import fs as pafs

        file_system, full = self._at(folder)
        infos = file_system.get_file_info(pafs.FileSelector(full, allow_not_found=True))
        found = ((info.base_name, int(info.size)) for info in infos if info.is_file)
        return sorted(each for each in found if not each[0].startswith("."))

    def free_bytes(self) -> int | None:
        """Return how much room there is; None of a bucket, which has no end."""
        if not self.is_local:
            return None
        _, root = open_root(self.root)
        folder = Path(root)
        while not folder.exists():
            folder = folder.parent
        return shutil.disk_usage(folder).free

    def part(self, path: str, *, origin: str, resumes: bool) -> Part:
        """Open the part of a file.

        Args:
            path: The file's.
            origin: A word for where it comes from: what came from elsewhere is not gone on with, and removed.
            resumes: Without it, what an earlier run received is not trusted.
        """
        _, full = self._at(path)
        if self.is_local:
            return LocalPart(Path(full), origin, resumes=resumes)
        return BucketPart(self, path, full, origin, resumes=resumes)

    def folders(self, folder: str) -> list[str]:
        """Return the names of a folder's own folders."""
        from pyarrow import fs as pafs

        file_system, full = self._at(folder)
        infos = file_system.get_file_info(pafs.FileSelector(full, allow_not_found=True))
        return sorted(info.base_name for info in infos if info.type is pafs.FileType.Directory)


class LocalPart:
    """A file that grows beside its name. Its MD5 is taken by a thread while the next bytes arrive.

    A few pieces may wait for that thread: the one that receives then seldom waits for it, and memory stays bounded.
    """

    def __init__(self, target: Path, origin: str, *, resumes: bool) -> None:
        self._target = target
        self._path = target.with_name(f"{target.name}.{origin}{PART}")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        for other in target.parent.glob(f"{escape(target.name)}.*{PART}"):
            if other != self._path or not resumes:
                other.unlink(missing_ok=True)
        self._file = self._path.open("ab")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._file.close()
            raise PublisherError(f"another run is landing {target}: let it end, and run again") from error
        self._hasher = ThreadPoolExecutor(1, thread_name_prefix="md5")
        self.offset = self._path.stat().st_size
        self._digest = hashlib.md5(usedforsecurity=False)
        self._pending: deque[Future[None]] = deque()
        if self.offset:
            self._pending.append(self._hasher.submit(self._reread, self.offset))

    def _reread(self, n_bytes: int) -> None:
        with self._path.open("rb") as file:
            while n_bytes and (piece := file.read(min(MIB, n_bytes))):
                self._digest.update(piece)
                n_bytes -= len(piece)

    def append(self, piece: bytes) -> None:
        """Take the next bytes."""
        self._wait(WAITING_PIECES)
        self._pending.append(self._hasher.submit(self._digest.update, piece))
        written = 0
        while written < len(piece):
            written += os.write(self._file.fileno(), memoryview(piece)[written:])
        self.offset += len(piece)

    def _wait(self, n_left: int) -> None:
        """Wait until no more than some pieces are left to be digested."""
        while len(self._pending) > n_left:
            self._pending.popleft().result()

    def finish(self, *, size: int | None, md5: str | None) -> tuple[int, str]:
        """Give the file its name, after its bytes are on the disk."""
        os.fsync(self._file.fileno())  # while the last pieces are digested
        self._wait(0)
        found = self._digest.hexdigest()
        fault = _fault(self.offset, found, size, md5)
        if fault:
            self.discard()
            raise DamagedError(fault)
        self._path.replace(self._target)
        self.close()
        return self.offset, found

    def discard(self) -> None:
        """Begin anew."""
        self._wait(0)
        os.ftruncate(self._file.fileno(), 0)
        self.offset = 0
        self._digest = hashlib.md5(usedforsecurity=False)

    def close(self) -> None:
        """Close the file; its bytes stay. An empty part is none."""
        self._hasher.shutdown(wait=True)
        if not self._file.closed:
            self._file.close()
        if not self.offset:
            self._path.unlink(missing_ok=True)


class BucketPart:
    """Objects of some MiB each, joined under the file's name after the last: the join is verified as it is sent."""

    def __init__(self, landing: Landing, path: str, full: str, origin: str, *, resumes: bool) -> None:
        self._bucket, _, self._key = full.partition("/")
        self._s3 = s3_client(landing.root)
        self._landing, self._path, self._suffix = landing, path, f".{origin}{PART}"
        self._folder = f"{path}{self._suffix}"
        self._forget_others(path, resumes=resumes)
        self._held = bytearray()
        self._parts: list[tuple[int, int]] = []  # offset, size
        found = sorted(
            (int(name), size) for name, size in self._landing.sizes(self._folder) if name.isdigit()
        )
        at = 0
        for offset, size in found if resumes else ():
            if offset != at:
                break
            self._parts.append((offset, size))
            at += size
        self.offset = at

    def _forget_others(self, path: str, *, resumes: bool) -> None:
        """Remove the parts of this file that came from elsewhere."""
        folder, _, name = path.rpartition("/")
        for other in self._landing.folders(folder):
            is_part = other.startswith(f"{name}.") and other.endswith(PART)
            if is_part and (other != f"{name}{self._suffix}" or not resumes):
                self._remove(f"{folder}/{other}")

    def append(self, piece: bytes) -> None:
        """Take the next bytes; sent when there are enough of them."""
        self._held += piece
        self.offset += len(piece)
        if len(self._held) >= OBJECT_BYTES:
            self._send()

    def _send(self) -> None:
        if self._held:
            start = self.offset - len(self._held)
            self._s3.put_object(Bucket=self._bucket, Key=self._part_key(start), Body=bytes(self._held))
            self._parts.append((start, len(self._held)))
            self._held = bytearray()

    def _part_key(self, offset: int) -> str:
        return f"{self._key}{self._suffix}/{offset:015d}"

    def finish(self, *, size: int | None, md5: str | None) -> tuple[int, str]:
        """Join the parts under the file's name; a join that is not the file that was listed is never completed."""
        self._send()
        joined = _Joined(self._pieces(), size, md5)
        try:
            whole = io.BufferedReader(joined, JOIN_BYTES)  # S3 takes no part below 5 MiB but the last
            self._s3.upload_fileobj(whole, self._bucket, self._key)
        except DamagedError:
            self.discard()
            raise
        found = (joined.n_bytes, joined.md5)
        self.discard()
        return found

    def _pieces(self) -> Iterator[bytes]:
        for offset, _ in self._parts:
            yield self._s3.get_object(Bucket=self._bucket, Key=self._part_key(offset))["Body"].read()

    def discard(self) -> None:
        """Remove the objects."""
        self._remove(self._folder)
        self._held, self._parts, self.offset = bytearray(), [], 0

    def _remove(self, folder: str) -> None:
        prefix = self._key.removesuffix(self._path) + folder
        for name in self._landing.names(folder):
            self._s3.delete_object(Bucket=self._bucket, Key=f"{prefix}/{name}")

    def close(self) -> None:
        """Send what is held, for the next run."""
        self._send()


class _Joined(io.RawIOBase):
    """The parts as one stream; its end is only reached where they are the file that was listed."""

    def __init__(self, pieces: Iterator[bytes], size: int | None, md5: str | None) -> None:
        self._pieces, self._expected = pieces, (size, md5)
        self._digest = hashlib.md5(usedforsecurity=False)
        self._left = memoryview(b"")
        self.n_bytes = 0

    @property
    def md5(self) -> str:
        return self._digest.hexdigest()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            piece = next(self._pieces, b"")
            if not piece:
                fault = _fault(self.n_bytes, self.md5, *self._expected)
                if fault:
                    raise DamagedError(fault)
                return 0
            self._digest.update(piece)
            self.n_bytes += len(piece)
            self._left = memoryview(piece)
        n = min(len(buffer), len(self._left))
        buffer[:n] = self._left[:n]
        self._left = self._left[n:]
        return n


def _fault(n_bytes: int, md5: str, expected_size: int | None, expected_md5: str | None) -> str | None:
    if expected_size is not None and n_bytes != expected_size:
        return f"{n_bytes} bytes came of {expected_size}"
    if expected_md5 is not None and md5 != expected_md5:
        return f"MD5 {md5}, expected {expected_md5}"
    return None


def s3_client(root: str) -> Any:
    """Return boto3's client of the store that a URI such as `s3://bucket/prefix?endpoint_override=…` names.

    Raises:
        PublisherError: It is another kind of store.
    """
    import boto3

    parts = urlsplit(root)
    if parts.scheme != "s3":
        raise PublisherError(f"papers cannot be landed in {root}: give a folder or s3://…")
    options = {name: values[0] for name, values in parse_qs(parts.query).items()}
    endpoint = options.get("endpoint_override")
    return boto3.session.Session().client(
        "s3",
        endpoint_url=f"{options.get('scheme', 'https')}://{endpoint}" if endpoint else None,
        region_name=options.get("region"),
    )
