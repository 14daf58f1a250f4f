"""Digests of a file while it is written: SHA-256, and the Xet hash that the Hub stores content under.

hf_xet hashes files by path only. The end of a pipe has a path, so that no byte is read a second time, and what goes
to an object store is hashed too.
"""

import fcntl
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

PIPE_BYTES = 1 << 20  # the largest that Linux gives an ordinary user


class FileDigests:
    """SHA-256 and Xet hash of the bytes that it is given."""

    def __init__(self, pipe: BinaryIO, xet: "Future[str]") -> None:
        self._pipe = pipe
        self._xet = xet
        self._sha256 = hashlib.sha256()

    def update(self, data: bytes) -> None:
        """Digest some more bytes."""
        self._sha256.update(data)
        with suppress(BrokenPipeError):  # `finish` then raises what ended the reader
            self._pipe.write(data)

    def finish(self) -> tuple[str, str]:
        """Return SHA-256 and Xet hash, both hex; nothing may follow."""
        with suppress(BrokenPipeError):
            self._pipe.close()
        return self._sha256.hexdigest(), self._xet.result()


@contextmanager
def digesting() -> Iterator[FileDigests]:
    """Digest bytes for as long as the context lasts."""
    read, write = os.pipe()
    with suppress(OSError):  # a smaller pipe does too
        fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    with ThreadPoolExecutor(1, thread_name_prefix="xet") as threads, os.fdopen(write, "wb") as pipe:
        yield FileDigests(pipe, threads.submit(hash_and_close, read))


def hash_and_close(handle: int) -> str:
    """Return the Xet hash of what comes out of a pipe."""
    try:
        return xet_hash(Path(f"/dev/fd/{handle}"))
    finally:
        os.close(handle)


def xet_hash(path: Path) -> str:
    """Return the Xet hash of a file, hex."""
    import hf_xet  # most commands need none of it

    return str(hf_xet.hash_files([str(path)])[0].hash)
