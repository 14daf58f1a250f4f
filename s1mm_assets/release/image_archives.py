"""Image archives: gzip members of tar entries that concatenate to one archive, written and read as streams.

A shard's piece is one gzip member that holds tar entries without the blocks that end an archive. Several
pieces followed by `END`, are an archive that GNU tar and tarfile read; nothing is compressed twice.
"""

import hashlib
import io
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from isal import igzip, isal_zlib
from isal.isal_zlib import IsalError

BLOCK = tarfile.BLOCKSIZE
GZIP = 31  # zlib's window bits for a gzip container; its header holds neither time nor name
LEVEL = 1  # the fastest that still finds what there is to find in PNG and JPEG
CHUNK = 1 << 20
DAMAGE = (OSError, EOFError, zlib.error, cast(type[Exception], IsalError), tarfile.HeaderError)


class ArchiveError(Exception):
    """The archive cannot be read to its end; the message says where and why."""


class Writable(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> int:
        """Take all of the bytes."""


def end_of_archive() -> bytes:
    """Return the gzip member with which every archive ends: two blocks of zeros."""
    packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, GZIP)
    return bytes(packer.compress(bytes(2 * BLOCK)) + packer.flush())


END = end_of_archive()


class ImageMember:
    """One gzip member under construction. Equal images in equal order give equal bytes."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self._packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, GZIP)

    def add(self, name: str, image: bytes) -> None:
        """Append one file: mode 0644, owner 0, time 0."""
        entry = tarfile.TarInfo(name)
        entry.size = len(image)
        header = entry.tobuf(tarfile.PAX_FORMAT)  # plain ustar where the name fits it
        for data in (header, image, bytes(-len(image) % BLOCK)):
            self._stream.write(self._packer.compress(data))

    def close(self) -> None:
        """Finish the gzip member."""
        self._stream.write(self._packer.flush())


@dataclass(frozen=True, slots=True)
class Member:
    """One file in an archive."""

    name: str
    n_bytes: int
    sha256: str


def unpacked(archive: BinaryIO) -> BinaryIO:
    """Return what a gzip stream of one or several members holds, as a stream."""
    opened: BinaryIO = igzip.open(archive, "rb")  # type: ignore[no-untyped-call]
    return opened


def members(archive: BinaryIO) -> Iterator[Member]:
    """Yield every file of an image archive, reading it once and holding a chunk at a time.

    Raises:
        ArchiveError: It is not gzip or not tar, holds something other than files, is cut short, or goes on
            after its end.
    """
    stream = unpacked(archive)
    name = "its beginning"
    try:
        while True:
            header = stream.read(BLOCK)
            if not header.strip(b"\0"):
                check_end(header, stream)
                return
            entry = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
            if not entry.isreg() or entry.size < 0:
                raise ArchiveError(f"{entry.name!r} is not a file")
            name = repr(entry.name)
            yield Member(entry.name, entry.size, content_sha256(stream, entry.size))
    except DAMAGE as error:
        raise ArchiveError(f"after {name}: {error or type(error).__name__}") from error


def content_sha256(stream: BinaryIO, n_bytes: int) -> str:
    """Digest the next bytes of a stream, and skip what pads them to whole blocks."""
    digest = hashlib.sha256()
    left = n_bytes
    while left:
        data = stream.read(min(left, CHUNK))
        if not data:
            raise EOFError("the archive is cut short")
        digest.update(data)
        left -= len(data)
    stream.read(-n_bytes % BLOCK)
    return digest.hexdigest()


def check_end(header: bytes, stream: BinaryIO) -> None:
    """Require two blocks of zeros and nothing behind them."""
    if len(header) < BLOCK or stream.read(BLOCK + 1) != bytes(BLOCK):
        raise ArchiveError("the archive does not end with two blocks of zeros")


class Joined(io.RawIOBase):
    """Several streams read as one: the parts of an archive that was cut. Each is opened when reached."""

    def __init__(self, openers: Iterator[Callable[[], BinaryIO]]) -> None:
        super().__init__()
        self._openers = openers
        self._stream: BinaryIO | None = None

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "bytearray | memoryview") -> int:  # type: ignore[override]
        """Fill the buffer as far as the stream at hand goes; 0 after the last."""
        while True:
            if self._stream is None:
                opener = next(self._openers, None)
                if opener is None:
                    return 0
                self._stream = opener()
            data = self._stream.read(len(buffer))
            if data:
                buffer[: len(data)] = data
                return len(data)
            self._stream.close()
            self._stream = None

    def close(self) -> None:
        """Close the stream at hand."""
        if self._stream is not None:
            self._stream.close()
        super().close()
