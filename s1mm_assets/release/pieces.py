"""The three files that one shard gives to the release, written together and measured on the way."""

import hashlib
import io
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO, cast

from s1mm_assets.release.image_archives import ImagePiece
from s1mm_assets.release.records import line_of
from s1mm_assets.release.settings import ReleaseSettings
from s1mm_assets.release.streamable import DataFile
from s1mm_assets.stages import ShardWriter
from s1mm_assets.tables import ReleaseFile

if TYPE_CHECKING:
    from typing_extensions import Buffer

MEDIA = {
    "records": ("records.jsonl", "{source}/jsonl/{year}.jsonl"),
    "images": ("images.tar.gz", "{source}/images_{year}.tar.gz"),
    "data": ("data.parquet", "{source}/data/{year}-*.parquet"),
}
"""Medium → the piece's name in its shard, and its path in the release, where Parquet files get a number."""


class Pieces:
    """The three files of one shard, written together, a row at a time."""

    def __init__(self, writer: ShardWriter, settings: ReleaseSettings, opened: ExitStack) -> None:
        self._streams = {
            medium: Measured(opened.enter_context(writer.file(name))) for medium, (name, _) in MEDIA.items()
        }
        self._images = ImagePiece(self._streams["images"])
        self._data = DataFile(cast(BinaryIO, self._streams["data"]), settings.row_group_rows)
        self._n_rows = 0

    def add(self, record: Mapping[str, Any], image: bytes) -> None:
        """Append one record with its image to all three."""
        self._streams["records"].write(line_of(record))
        self._images.add(record["image_path"], image)
        self._data.add(record, image)
        self._n_rows += 1

    def close(self, source: str, year: str) -> list[ReleaseFile]:
        """Finish the files and describe them."""
        self._images.close()
        self._data.close()
        unpacked = {"images": self._images.unpacked}
        return [
            ReleaseFile(
                path=MEDIA[medium][1].format(source=source, year=year),
                piece=MEDIA[medium][0],
                media=medium,
                n_bytes=stream.n_bytes,
                sha256=stream.sha256.hexdigest(),
                n_rows=self._n_rows,
                unpacked_bytes=unpacked[medium].n_bytes if medium in unpacked else None,
                unpacked_crc32=unpacked[medium].crc32 if medium in unpacked else None,
            )
            for medium, stream in self._streams.items()
        ]


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
