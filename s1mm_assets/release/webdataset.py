"""WebDataset: plain tar archives in which a record is a sample of two files, <stem>.png and <stem>.json.

The stem is the record's `image_path` without its extension, folder included: readers keep folders in a sample's
key, and the key still says which image it is. WebDataset names a sample's columns after extensions and wants the
same ones in every sample, so that the image is called .png whatever its format; decoders look at the content.
"""

import hashlib
import tarfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from s1mm_assets.release.image_archives import BLOCK, CHUNK, END_OF_ARCHIVE, ArchiveError, Writable
from s1mm_assets.release.records import line_of

MAX_LINE_BYTES = 64 * 2**20  # of a record, held in memory


class WebDatasetPiece:
    """One archive under construction. Equal records in equal order give equal bytes."""

    def __init__(self, stream: Writable) -> None:
        self._stream = stream

    def add(self, record: Mapping[str, Any], image: bytes) -> None:
        """Append one sample: two files of mode 0644, owner 0, time 0.

        Raises:
            ValueError: The path is not <stem>.<extension> or too long for a tar header; a number is not finite.
        """
        stem = stem_of(record["image_path"])
        for name, content in ((f"{stem}.png", image), (f"{stem}.json", line_of(record))):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            self._stream.write(entry.tobuf(tarfile.USTAR_FORMAT))
            self._stream.write(content)
            self._stream.write(bytes(-len(content) % BLOCK))

    def close(self) -> None:
        """End the archive."""
        self._stream.write(END_OF_ARCHIVE)


def stem_of(image_path: str) -> str:
    """Return the key of an image's sample: "2301_01234/f3_p1".

    Raises:
        ValueError: The path has not one dot: readers would cut the key at the first.
    """
    stem, _, extension = image_path.partition(".")
    if not stem or not extension or "." in extension or "/" in extension:
        raise ValueError(f"{image_path!r} is not <stem>.<extension>")
    return stem


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample of an archive."""

    stem: str
    image_sha256: str
    n_image_bytes: int
    line: bytes  # of JSON, as the records have it


def samples(archive: BinaryIO) -> Iterator[Sample]:
    """Yield every sample, reading the archive once and holding a chunk of an image or one record at a time.

    Raises:
        ArchiveError: It is not tar, holds something other than samples, is cut short, or goes on after its end.
    """
    where = "its beginning"
    try:
        while (image := next_file(archive)) is not None:
            where = repr(image.name)
            stem = image.name.removesuffix(".png")
            digest = hashlib.sha256()
            for data in content_of(archive, image.size):
                digest.update(data)
            record = next_file(archive)
            if record is None or (image.name, record.name) != (f"{stem}.png", f"{stem}.json"):
                raise ArchiveError(f"{where} does not begin a sample of .png and .json")
            if record.size > MAX_LINE_BYTES:
                raise ArchiveError(f"{record.name!r} has {record.size} bytes")
            line = b"".join(content_of(archive, record.size))
            yield Sample(stem, digest.hexdigest(), image.size, line)
        if archive.read(1):
            raise ArchiveError("the archive goes on after its end")
    except (OSError, EOFError, tarfile.HeaderError) as error:
        raise ArchiveError(f"after {where}: {error or type(error).__name__}") from error


def next_file(archive: BinaryIO) -> tarfile.TarInfo | None:
    """Read the next header; None where two blocks of zeros end the archive."""
    header = b"".join(chunks(archive, BLOCK))
    if not header.strip(b"\0"):
        if b"".join(chunks(archive, BLOCK)).strip(b"\0"):
            raise ArchiveError("the archive does not end with two blocks of zeros")
        return None
    entry = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
    if not entry.isreg() or entry.size < 0:
        raise ArchiveError(f"{entry.name!r} is not a file")
    return entry


def content_of(archive: BinaryIO, n_bytes: int) -> Iterator[bytes]:
    """Yield a file's content in chunks, and skip what pads it to whole blocks."""
    yield from chunks(archive, n_bytes)
    for _ in chunks(archive, -n_bytes % BLOCK):
        pass


def chunks(stream: BinaryIO, n_bytes: int) -> Iterator[bytes]:
    """Yield the next bytes of a stream, however few it gives at a time.

    Raises:
        EOFError: There are fewer.
    """
    while n_bytes:
        data = stream.read(min(n_bytes, CHUNK))
        if not data:
            raise EOFError("the archive is cut short")
        n_bytes -= len(data)
        yield data
