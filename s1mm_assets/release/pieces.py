"""The files that one shard gives to the release, written together and measured on the way."""

import hashlib
import io
from collections.abc import Mapping
from contextlib import AbstractContextManager, ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

from s1mm_assets.release.image_archives import ImagePiece, Unpacked
from s1mm_assets.release.layout import MEDIA
from s1mm_assets.release.records import json_line, line_of, recipe_line_of
from s1mm_assets.release.settings import ReleaseSettings
from s1mm_assets.release.streamable import DataFile
from s1mm_assets.release.webdataset import WebDatasetPiece
from s1mm_assets.tables import ReleaseFile

if TYPE_CHECKING:
    from typing_extensions import Buffer


class FileWriter(Protocol):
    """Where a shard's files go: what of a `ShardWriter` is needed."""

    def file(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open a file for writing."""


class Pieces:
    """The files of one shard, a row at a time; one that has no row is not made."""

    def __init__(self, writer: FileWriter, settings: ReleaseSettings, opened: ExitStack) -> None:
        self._writer, self._opened = writer, opened
        self._row_group_rows = settings.row_group_rows
        self._has_webdataset = settings.webdataset
        self._streams: dict[str, Measured] = {}
        self._n_rows: dict[str, int] = {}
        self._images: ImagePiece | None = None
        self._data: DataFile | None = None
        self._webdataset: WebDatasetPiece | None = None

    def add(self, record: Mapping[str, Any], image: bytes) -> None:
        """Append one record with its image."""
        self._row("records").write(line_of(record))
        self._images = self._images or ImagePiece(self._stream("images"))
        self._images.add(record["image_path"], image)
        self._data = self._data or DataFile(cast(BinaryIO, self._stream("data")), self._row_group_rows)
        self._data.add(record, image)
        if self._has_webdataset:
            self._webdataset = self._webdataset or WebDatasetPiece(self._stream("webdataset"))
            self._webdataset.add(record, image)

    def add_recipe(self, record: Mapping[str, Any], recipe: Mapping[str, Any]) -> None:
        """Append one record whose image its licence keeps back."""
        self._row("recipes").write(recipe_line_of(record, recipe))

    def add_row(self, medium: str, row: Mapping[str, Any]) -> None:
        """Append a line of JSON: an attribution or a tombstone."""
        self._row(medium).write(json_line(row))

    def _stream(self, medium: str) -> "Measured":
        if medium not in self._streams:
            file = self._writer.file(MEDIA[medium][0])
            self._streams[medium] = Measured(self._opened.enter_context(file))
        return self._streams[medium]

    def _row(self, medium: str) -> "Measured":
        """Return a medium's stream, for one row more."""
        self._n_rows[medium] = self._n_rows.get(medium, 0) + 1
        return self._stream(medium)

    def close(self, source: str, year: str) -> list[ReleaseFile]:
        """Finish the files and describe them, in the order of `MEDIA`."""
        for each in (self._images, self._data, self._webdataset):
            if each is not None:
                each.close()
        return [
            self._describe(medium, path.format(source=source, year=year), self._streams[medium])
            for medium, (_, path) in MEDIA.items()
            if medium in self._streams
        ]

    def _describe(self, medium: str, path: str, stream: "Measured") -> ReleaseFile:
        unpacked: Unpacked | None = self._images.unpacked if self._images and medium == "images" else None
        return ReleaseFile(
            path=path,
            piece=MEDIA[medium][0],
            media=medium,
            n_bytes=stream.n_bytes,
            sha256=stream.sha256.hexdigest(),
            n_rows=self._n_rows.get(medium, self._n_rows.get("records", 0)),
            unpacked_bytes=unpacked.n_bytes if unpacked else None,
            unpacked_crc32=unpacked.crc32 if unpacked else None,
        )


class Measured(io.RawIOBase):
    """A stream on its way to another, counted and digested; whoever opened the other closes it."""

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__()
        self._stream = stream
        self.n_bytes = 0
        self.sha256 = hashlib.sha256()

    def writable(self) -> bool:
        """It is."""
        return True

    def tell(self) -> int:
        """The bytes written so far."""
        return self.n_bytes

    def write(self, data: "Buffer", /) -> int:
        """Write all of the bytes."""
        view = memoryview(data)
        self._stream.write(view)
        self.sha256.update(view)
        self.n_bytes += view.nbytes
        return view.nbytes
