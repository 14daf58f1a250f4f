"""Image archives: pieces of tar entries that are joined to one archive, written and read as streams.

A shard's piece is one gzip member that holds tar entries without the blocks that end an archive. Its compressed
blocks end on a whole byte, so an archive is the blocks of its pieces one after another, between one header and
one tail (see `blocks` and `tail_of`): nothing is compressed twice. The archive is a single gzip member. Members
one after another would be shorter to explain, but tarfile's streaming mode, which WebDataset uses too, stops
after the first without an error.
"""

import hashlib
import io
import struct
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol, cast

from isal import igzip, isal_zlib
from isal.isal_zlib import IsalError

BLOCK = tarfile.BLOCKSIZE
RAW = -15  # zlib's window bits for compressed blocks without a container
HEADER = bytes.fromhex("1f8b08 00 00000000 00 ff")  # deflate; no name, no time, no system
LAST_BLOCK = b"\x03\x00"  # an empty block that ends the compressed data
FOOTER = struct.Struct("<LL")  # CRC-32 and length modulo 2^32 of what was compressed
LEVEL = 1  # the fastest that still finds what there is to find in PNG and JPEG
CHUNK = 1 << 20
DAMAGE = (OSError, EOFError, zlib.error, cast(type[Exception], IsalError), tarfile.HeaderError)


class ArchiveError(Exception):
    """The archive cannot be read to its end; the message says where and why."""


class Writable(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> int:
        """Take all of the bytes."""


@dataclass(frozen=True, slots=True)
class Unpacked:
    """Length and CRC-32 of bytes before they were compressed: what a gzip footer is made of."""

    n_bytes: int = 0
    crc32: int = 0

    def __add__(self, other: "Unpacked") -> "Unpacked":
        """Return those of the bytes of both, one after another."""
        crc32 = isal_zlib.crc32_combine(self.crc32, other.crc32, other.n_bytes)
        return Unpacked(self.n_bytes + other.n_bytes, crc32)

    def footer(self) -> bytes:
        """Return the end of a gzip member."""
        return FOOTER.pack(self.crc32, self.n_bytes & 0xFFFFFFFF)


END_OF_ARCHIVE = bytes(2 * BLOCK)


def tail_of(pieces: Iterable[Unpacked]) -> bytes:
    """Return what follows the blocks of the pieces in an archive: its end, compressed, and the footer of all."""
    packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, RAW)
    end = Unpacked(len(END_OF_ARCHIVE), isal_zlib.crc32(END_OF_ARCHIVE))
    total = sum((*pieces, end), Unpacked())
    return bytes(packer.compress(END_OF_ARCHIVE) + packer.flush()) + total.footer()


def blocks(n_bytes: int) -> tuple[int, int]:
    """Return where the compressed blocks of a piece of this length start and end."""
    return len(HEADER), n_bytes - len(LAST_BLOCK) - FOOTER.size


END = HEADER + tail_of([])
"""A gzip member that makes an archive of a single piece, for whoever reads one."""


class ImagePiece:
    """One piece under construction. Equal images in equal order give equal bytes."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream
        self._packer = isal_zlib.compressobj(LEVEL, isal_zlib.DEFLATED, RAW)
        self.unpacked = Unpacked()
        stream.write(HEADER)

    def add(self, name: str, image: bytes) -> None:
        """Append one file: mode 0644, owner 0, time 0."""
        entry = tarfile.TarInfo(name)
        entry.size = len(image)
        header = entry.tobuf(tarfile.PAX_FORMAT)  # plain ustar where the name fits it
        for data in (header, image, bytes(-len(image) % BLOCK)):
            self._stream.write(self._packer.compress(data))
            crc32 = isal_zlib.crc32(data, self.unpacked.crc32)
            self.unpacked = Unpacked(self.unpacked.n_bytes + len(data), crc32)

    def close(self) -> None:
        """Finish the gzip member, its blocks on a whole byte."""
        self._stream.write(self._packer.flush(isal_zlib.Z_SYNC_FLUSH))
        self._stream.write(LAST_BLOCK + self.unpacked.footer())


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
