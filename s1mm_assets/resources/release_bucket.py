"""The prefix of an object store that a release is published in: `publication.Target` for a URI such as s3://bucket/prefix.

    <prefix>/current.json                which of the two folders holds the release that stands
    <prefix>/release-a/…                 one of them, files as in any release
    <prefix>/release-b/…                 the other: the next one, as far as it has come
    <prefix>/.release-b.notes/…          what its finished files were made from

An object store renames nothing, so a release is written where it will stand, and one small file is replaced last. Every
byte passes through this machine, because SHA-256 and Xet hash are of every byte; none is kept on its disk.
"""

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, BinaryIO

from pydantic import PrivateAttr

from s1mm_assets.resources.release_folder import ReleaseFolder, ReleasePlace

if TYPE_CHECKING:
    from pyarrow import fs as pafs

CURRENT = "current.json"
FOLDERS = ("release-a", "release-b")
BUFFER_BYTES = 8 * 2**20  # an object store is asked once for as much


class BucketFolder:
    """Files below a prefix, by paths that cannot leave it."""

    def __init__(self, file_system: "pafs.FileSystem", root: str) -> None:
        self._fs = file_system
        self._root = root.rstrip("/")

    def files(self) -> dict[str, int]:
        """Every file's path and length in bytes, in order; empty where there is none."""
        from pyarrow import fs as pafs

        selector = pafs.FileSelector(self._root, recursive=True, allow_not_found=True)
        found = {
            info.path.removeprefix(self._root).lstrip("/"): info.size
            for info in self._fs.get_file_info(selector)
            if info.is_file
        }
        return dict(sorted(found.items()))

    def path(self, path: str) -> str:
        """Return where a file stands.

        Raises:
            ValueError: The path leaves the folder.
        """
        if path.startswith("/") or ".." in path.split("/"):
            raise ValueError(f"{path!r} leaves the release")
        return f"{self._root}/{path}"

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading."""
        return io.BufferedReader(self._fs.open_input_file(self.path(path)), BUFFER_BYTES)

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        """Write a file. An error half-way may leave a shorter one, which no note says is finished."""
        target = self.path(path)
        self._fs.create_dir(target.rpartition("/")[0])  # nothing, but where the store is a local folder
        with self._fs.open_output_stream(target, compression=None, buffer_size=BUFFER_BYTES) as stream:
            yield stream

    def remove(self, path: str) -> None:
        """Remove a file."""
        self._fs.delete_file(self.path(path))

    def remove_all(self) -> None:
        """Remove every file."""
        with suppress(FileNotFoundError):
            self._fs.delete_dir(self._root)


class BuildingFolder:
    """The folder of the next release, and beside it that of the notes, as one folder under construction."""

    def __init__(self, release: BucketFolder, notes: BucketFolder) -> None:
        from s1mm_assets.release.publication import NOTES, RELEASE

        self._folders = {RELEASE: release, NOTES: notes}

    def files(self) -> dict[str, int]:
        """Every file's path and length in bytes, in order."""
        return {
            prefix + path: n_bytes
            for prefix, folder in sorted(self._folders.items())
            for path, n_bytes in folder.files().items()
        }

    def open(self, path: str) -> BinaryIO:
        """Open a file for reading."""
        prefix, _, rest = path.partition("/")
        return self._folders[f"{prefix}/"].open(rest)

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        """Write a file."""
        prefix, _, rest = path.partition("/")
        with self._folders[f"{prefix}/"].create(rest) as stream:
            yield stream

    def remove(self, path: str) -> None:
        """Remove a file."""
        prefix, _, rest = path.partition("/")
        self._folders[f"{prefix}/"].remove(rest)


class ReleaseBucket(ReleasePlace):
    """A release below a prefix of an object store; for one writer at a time, which the pool `publication` sees to."""

    _fs: "pafs.FileSystem | None" = PrivateAttr(default=None)
    _root: str = PrivateAttr(default="")

    @property
    def fs(self) -> "pafs.FileSystem":
        """The file system that holds the release."""
        if self._fs is None:
            from pyarrow import fs as pafs

            self._fs, self._root = pafs.FileSystem.from_uri(self.path)
        return self._fs

    def _folder(self, name: str) -> BucketFolder:
        return BucketFolder(self.fs, f"{self._root.rstrip('/')}/{name}")

    def _current(self) -> str | None:
        try:
            with self.fs.open_input_stream(f"{self._root.rstrip('/')}/{CURRENT}") as stream:
                name = json.loads(stream.read())["folder"]
        except FileNotFoundError:
            return None
        if name not in FOLDERS:
            raise ValueError(f"{self.path}/{CURRENT} names {name!r}, which is no folder of a release")
        return str(name)

    def _next(self) -> str:
        return FOLDERS[1] if self._current() == FOLDERS[0] else FOLDERS[0]

    def published(self) -> BucketFolder:
        """The release that stands."""
        _ = self.fs
        return self._folder(self._current() or FOLDERS[1])

    @contextmanager
    def building(self) -> Iterator[BuildingFolder]:
        """The folder under construction, as the last publication left it."""
        _ = self.fs
        name = self._next()
        notes = self._folder(f".{name}.notes")
        if not notes.files():  # what was published before the last one
            self._folder(name).remove_all()
        yield BuildingFolder(self._folder(name), notes)

    def replace_published(self) -> None:
        """Let the folder under construction be the release that stands."""
        before, name = self._current(), self._next()
        with self._folder("").create(CURRENT) as stream:
            stream.write(json.dumps({"folder": name}).encode())
        self._folder(f".{name}.notes").remove_all()
        if before is not None:
            self._folder(before).remove_all()

    def discard_building(self) -> None:
        """Drop the folder under construction."""
        name = self._next()
        for each in (name, f".{name}.notes"):
            self._folder(each).remove_all()


def release_place(address: str) -> ReleasePlace:
    """Return where a release is published: a local folder, or a prefix by its URI."""
    return ReleaseBucket(path=address) if "://" in address else ReleaseFolder(path=address)
