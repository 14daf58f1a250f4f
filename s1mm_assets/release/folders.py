"""What a release is built in, published in and read from, as the release needs it of whoever brings a folder."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import BinaryIO, Protocol


class ReadableFolder(Protocol):
    """A folder of files, by their paths in it, parted by slashes."""

    def files(self) -> Mapping[str, int]:
        """Every file's path and length in bytes; empty where there is no folder."""

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading."""


class Folder(ReadableFolder, Protocol):
    """A folder that a release is built in."""

    def create(self, path: str) -> AbstractContextManager[BinaryIO]:
        """Write a file, which appears whole when the context is left, and not at all on an error."""

    def remove(self, path: str) -> None:
        """Remove a file."""


class Digests(Protocol):
    """The digests of a file, taken while it is written."""

    def update(self, data: bytes) -> None:
        """Digest some more bytes."""

    def finish(self) -> tuple[str, str]:
        """Return SHA-256 and Xet hash, both hex; nothing may follow."""


Digesting = Callable[[], AbstractContextManager[Digests]]


class Target(Protocol):
    """Where a release is published."""

    def published(self) -> ReadableFolder:
        """The release that stands."""

    def building(self) -> AbstractContextManager[Folder]:
        """The folder under construction, as the last publication left it; for one writer at a time."""

    def replace_published(self) -> None:
        """Put `release/` of the folder under construction where the release stands."""

    def discard_building(self) -> None:
        """Drop the folder under construction."""


class Subfolder:
    """The files of a folder below a prefix, as a folder of its own."""

    def __init__(self, folder: ReadableFolder, prefix: str) -> None:
        self._folder = folder
        self._prefix = prefix

    def files(self) -> dict[str, int]:
        """Every file's path below the prefix, and length in bytes."""
        return {
            path.removeprefix(self._prefix): n_bytes
            for path, n_bytes in self._folder.files().items()
            if path.startswith(self._prefix)
        }

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading."""
        return self._folder.open(self._prefix + path)
