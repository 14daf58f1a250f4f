"""The local folder that a release is published in: `publication.Target` for a path.

    <parent>/<name>              the release that stands
    <parent>/.<name>.building    the next one, as far as it has come
    <parent>/.<name>.previous    the last one, for the moment of the swap

A folder appears under its name whole, by one rename.
"""

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import dagster as dg

from s1mm_assets.release.folders import Folder, ReadableFolder

PARTIAL = ".partial"  # of a file that is being written


class ReleaseFolderError(Exception):
    """The folder cannot be used; the message says why."""


class LocalFolder:
    """Files under a local path, by paths that cannot leave it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def files(self) -> dict[str, int]:
        """Every file's path and length in bytes, in order; empty where there is no folder."""
        paths = sorted(path for path in self.root.rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.stat().st_size for path in paths}

    def path(self, path: str) -> Path:
        """Return where a file stands.

        Raises:
            ValueError: The path leaves the folder.
        """
        pure = PurePosixPath(path)
        if pure.is_absolute() or ".." in pure.parts:
            raise ValueError(f"{path!r} leaves the release")
        return self.root / pure

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading."""
        return self.path(path).open("rb")

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        """Write a file, which appears whole when the context is left, and not at all on an error."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_name(target.name + PARTIAL)
        with partial.open("wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        partial.replace(target)

    def remove(self, path: str) -> None:
        """Remove a file, and the folders that it leaves empty."""
        file = self.path(path)
        file.unlink()
        for folder in file.relative_to(self.root).parents:
            if folder != Path() and not any((self.root / folder).iterdir()):
                (self.root / folder).rmdir()


class ReleasePlace(dg.ConfigurableResource[Any]):
    """Where a release is published: a `folders.Target`."""

    path: str  # or URI

    @property
    def local_root(self) -> Path | None:
        """The local folder of the release that stands; None where it is elsewhere."""
        return None

    def published(self) -> ReadableFolder:
        """The release that stands."""
        raise NotImplementedError

    def building(self) -> AbstractContextManager[Folder]:
        """The folder under construction, as the last publication left it; for one writer at a time."""
        raise NotImplementedError

    def replace_published(self) -> None:
        """Put the folder under construction where the release stands."""
        raise NotImplementedError

    def discard_building(self) -> None:
        """Drop the folder under construction."""
        raise NotImplementedError


class ReleaseFolder(ReleasePlace):
    """A release in a local folder."""

    @property
    def local_root(self) -> Path:
        """The release that stands."""
        return self.root

    @property
    def root(self) -> Path:
        """The release that stands."""
        return Path(self.path).expanduser().absolute()

    def _beside(self, suffix: str) -> Path:
        return self.root.with_name(f".{self.root.name}.{suffix}")

    def published(self) -> LocalFolder:
        """The release that stands."""
        return LocalFolder(self.root)

    @contextmanager
    def building(self) -> Iterator[LocalFolder]:
        """The folder under construction, as the last publication left it; for one writer at a time.

        Raises:
            ReleaseFolderError: Another process is writing it.
        """
        folder = self._beside("building")
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(folder, os.O_RDONLY)
        try:
            if not is_locked(handle, folder):
                raise ReleaseFolderError(f"{self.root} is being written by another process")
            self._settle()
            yield LocalFolder(folder)
        finally:
            os.close(handle)

    def _settle(self) -> None:
        """Take back a swap that was killed half-way, or finish clearing up behind one that was not."""
        previous = self._beside("previous")
        if previous.exists() and not self.root.exists():
            previous.rename(self.root)
        elif previous.exists():
            shutil.rmtree(previous)

    def replace_published(self) -> None:
        """Put `release/` of the folder under construction where the release stands."""
        if self.root.exists():
            self.root.rename(self._beside("previous"))
        (self._beside("building") / "release").rename(self.root)
        sync(self.root.parent)
        self._settle()

    def discard_building(self) -> None:
        """Drop the folder under construction."""
        shutil.rmtree(self._beside("building"))


def is_locked(handle: int, folder: Path) -> bool:
    """Lock an open folder, and say whether it is ours and still the one that stands under its path."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.path.samestat(os.fstat(handle), folder.stat())
    except (BlockingIOError, FileNotFoundError):
        return False


def sync(folder: Path) -> None:
    """Make renames in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
