"""Where a source's files lie: a local folder or an object store, by URI, through `pyarrow.fs`.

Addresses and bytes only; what the bytes mean is `archives`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from s1mm_assets.archives.local import is_loose_file, tar_length, tar_pieces

if TYPE_CHECKING:
    import pyarrow as pa
    from pyarrow import fs as pafs

BUFFER_BYTES = 8 * 2**20  # an object store is asked once for as much


class SourceError(Exception):
    """A source is not set up as it must be; the message says what to do."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file under a source's root."""

    uri: str  # relative to the root
    size: int  # bytes
    modified_ns: int


@lru_cache(maxsize=8)
def open_root(root: str) -> tuple[pafs.FileSystem, str]:
    """Return the file system and path of a root: a local folder, or a URI such as `s3://bucket/prefix`."""
    from pyarrow import fs as pafs

    if "://" in root:
        file_system, path = pafs.FileSystem.from_uri(root)
        return file_system, path.rstrip("/")
    return pafs.LocalFileSystem(), str(Path(root).expanduser().absolute())


def files_under(root: str, folder: str = "") -> list[SourceFile]:
    """Return every file under a root, or under a folder of it, in order of path.

    Raises:
        SourceError: There is no such folder.
    """
    from pyarrow import fs as pafs

    file_system, path = open_root(root)
    selector = pafs.FileSelector(f"{path}/{folder}".rstrip("/"), recursive=True, allow_not_found=True)
    if file_system.get_file_info(path).type is not pafs.FileType.Directory:
        raise SourceError(f"there is no folder {root}: set the source's address to where the papers lie")
    infos = file_system.get_file_info(selector)
    try:
        found = [
            SourceFile(info.path.removeprefix(path).lstrip("/"), info.size, info.mtime_ns or 0)
            for info in infos
            if info.is_file
        ]
    except UnicodeDecodeError as error:
        culprit = error.object.decode("utf-8", "backslashreplace")
        raise SourceError(f"the name of {culprit} is not UTF-8: rename the file") from error
    return sorted(found, key=lambda file: file.uri)


def packed_folder(uri: str, files: Sequence[SourceFile]) -> SourceFile:
    """Return a folder of loose files, its `uri` ending in a slash, as the one file that its tar would be."""
    size = tar_length({file.uri.removeprefix(uri): file.size for file in files})
    return SourceFile(uri, size, sum(file.modified_ns for file in files))


def delivery_at(root: str, uri: str) -> SourceFile | None:
    """Return a paper's file, or its folder of loose files as one; None where it is not there."""
    if not uri.endswith("/"):
        return file_at(root, uri)
    files = loose_files(root, uri)
    return packed_folder(uri, files) if files else None


def loose_files(root: str, uri: str) -> list[SourceFile]:
    """Return the files of a paper's folder, in order of path."""
    return [file for file in files_under(root, uri) if is_loose_file(file.uri.removeprefix(uri))]


def file_at(root: str, uri: str) -> SourceFile | None:
    """Return one file under a root; None where it is not there."""
    file_system, path = open_root(root)
    info = file_system.get_file_info(f"{path}/{uri}")
    return SourceFile(uri, info.size, info.mtime_ns or 0) if info.is_file else None


@contextmanager
def streamed(root: str, uri: str) -> Iterator[pa.NativeFile]:
    """Open a file for one forward reading."""
    file_system, path = open_root(root)
    with file_system.open_input_stream(f"{path}/{uri}", compression=None, buffer_size=BUFFER_BYTES) as stream:
        yield stream


@dataclass(frozen=True, slots=True)
class RangeReader:
    """Reads parts of a source's files; picklable, and opens its own connection in each process.

    A path that ends in a slash is a folder of loose files, and is read as the tar that they make.
    """

    root: str

    def __call__(self, uri: str, offset: int, length: int) -> bytes:
        """Return `length` bytes at `offset`.

        Raises:
            OSError: The file cannot be read, or ends before.
        """
        if uri.endswith("/"):
            return self._of_folder(uri, offset, length)
        file_system, path = open_root(self.root)
        with file_system.open_input_file(f"{path}/{uri}") as file:
            data: bytes = file.read_at(length, offset)
        if len(data) < length:
            raise OSError(f"{uri} ends at byte {offset + len(data)}, expected {offset + length}")
        return data

    def _of_folder(self, uri: str, offset: int, length: int) -> bytes:
        sizes = {file.uri.removeprefix(uri): file.size for file in loose_files(self.root, uri)}
        data = bytearray()
        at = 0
        for piece in tar_pieces(sizes.items()):
            size = sizes[piece] if isinstance(piece, str) else len(piece)
            start, end = max(offset - at, 0), min(offset + length - at, size)
            if start < end:
                data += self(uri + piece, start, end - start) if isinstance(piece, str) else piece[start:end]
            at += size
        if len(data) < length:
            raise OSError(f"{uri} holds less than when it was listed")
        return bytes(data)
