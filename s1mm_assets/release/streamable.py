"""The streamable half of the release: Parquet files that hold every column and the image itself.

The schema says in Hugging Face's own words that `image` is an image: `datasets` and the Hub's viewer show it.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from s1mm_assets.release.records import RECORD

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
FEATURES = {"info": {"features": {"image": {"_type": "Image"}}}}
DATA = pa.schema([("image", IMAGE), *RECORD], metadata={"huggingface": json.dumps(FEATURES)})
LEAVES = [f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name for field in RECORD]
MAX_ROW_GROUP_BYTES = 64 * 2**20  # what is held in memory while a row group fills


class DataFile:
    """One Parquet file under construction, in row groups of a fixed number of rows."""

    def __init__(self, stream: BinaryIO, row_group_rows: int) -> None:
        self._row_group_rows = row_group_rows
        self._waiting: list[dict[str, Any]] = []
        self._waiting_bytes = 0
        self._writer = pq.ParquetWriter(
            stream,
            DATA,
            compression={"image.bytes": "NONE", "image.path": "ZSTD", **dict.fromkeys(LEAVES, "ZSTD")},
            use_dictionary=["source", "year", "licence", "engine", "model", "prompt_version", "method"],
            write_statistics=LEAVES,  # of the images they would hold the smallest and the largest
            write_page_index=True,  # so that the Hub's viewer reads pages, not row groups
            write_page_checksum=True,
        )

    def add(self, record: Mapping[str, Any], image: bytes) -> None:
        """Append one row."""
        self._waiting.append({**record, "image": {"bytes": image, "path": record["image_path"]}})
        self._waiting_bytes += len(image)
        if len(self._waiting) >= self._row_group_rows or self._waiting_bytes >= MAX_ROW_GROUP_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._waiting:
            table = pa.Table.from_pylist(self._waiting, schema=DATA)
            self._writer.write_table(table, row_group_size=len(self._waiting))
        self._waiting, self._waiting_bytes = [], 0

    def close(self) -> None:
        """Write the rows that wait, and the footer."""
        self._flush()
        self._writer.close()


def rows(stream: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield the rows of a streamable file, one row group in memory at a time.

    Raises:
        pyarrow.ArrowException, OSError: It cannot be read, or a page does not match its checksum.
        ValueError: Its columns are not those of the release.
    """
    file = pq.ParquetFile(stream, page_checksum_verification=True)
    if not file.schema_arrow.equals(DATA):
        raise ValueError("its columns are not those of the release")
    for i in range(file.num_row_groups):
        yield from file.read_row_group(i, use_threads=False).to_pylist()
