"""Parquet as shards hold it: row groups that stream, columns that have digests of their own."""

from __future__ import annotations

import hashlib
import mmap
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import polars as pl

from s1mm_assets.resources.shards import StoredFile
from s1mm_assets.tables import schema_of

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP_ROWS = 4_000
ROW_GROUP_BYTES = 32 * 2**20  # readers hold one row group at a time
UNCOMPRESSED_COLUMNS = ("image",)  # PNG and JPEG do not shrink


class TableFile:
    """One table of one shard while it is written to a local path."""

    def __init__(self, path: Path, row: type) -> None:
        import pyarrow.parquet as pq

        self.path = path
        self.schema = schema_of(row)
        self.n_rows = 0
        self.rejected: Counter[str] = Counter()
        self.sums = dict.fromkeys((name for name, dtype in self.schema.items() if is_summed(name, dtype)), 0)
        self._waiting: list[pl.DataFrame] = []
        self._waiting_bytes = 0
        arrow_schema = to_arrow(self.schema.to_frame()).schema
        self._writer = pq.ParquetWriter(
            path,
            arrow_schema,
            compression={name: _compression(name) for name in _leaves(arrow_schema)},
            use_dictionary=[name for name in self.schema if name not in UNCOMPRESSED_COLUMNS],
            write_statistics=[name for name in self.schema if name not in UNCOMPRESSED_COLUMNS],
            write_page_checksum=True,
            store_schema=True,
        )

    def append(self, rows: pl.DataFrame) -> None:
        """Add rows; a row group is cut when it holds enough rows or bytes.

        Raises:
            ValueError: The columns or types are not those of the row class.
        """
        if rows.schema != self.schema:
            raise ValueError(f"{self.path.name}: rows have {rows.schema}, the table has {self.schema}")
        row_bytes = max(1, int(rows.estimated_size()) // max(1, len(rows)))
        for some in rows.iter_slices(max(1, min(ROW_GROUP_ROWS, ROW_GROUP_BYTES // row_bytes))):
            self._waiting.append(some)
            self._waiting_bytes += row_bytes * len(some)
            if sum(map(len, self._waiting)) >= ROW_GROUP_ROWS or self._waiting_bytes >= ROW_GROUP_BYTES:
                self._flush()

    def _flush(self) -> None:
        rows = pl.concat(self._waiting) if self._waiting else self.schema.to_frame()
        if len(rows):
            self._writer.write_table(to_arrow(rows), row_group_size=len(rows))
        self._count(rows)
        self._waiting, self._waiting_bytes = [], 0

    def _count(self, rows: pl.DataFrame) -> None:
        """Take in what the commit record says of rows, for whoever asks how many there are."""
        self.n_rows += len(rows)
        if "rejection" in self.schema:
            self.rejected.update(rows["rejection"].drop_nulls())
        for name in self.sums:
            self.sums[name] += sum(rows[name].drop_nulls())  # of Python's integers, which do not overflow

    def close(self) -> dict[str, str]:
        """Finish the file and return the digest of each column."""
        self._flush()
        self._writer.close()
        return column_digests(self.path)


def is_summed(column: str, dtype: pl.DataType) -> bool:
    """Whether a column is of numbers or lengths, by its name."""
    return dtype.is_integer() and (column.startswith("n_") or column.endswith("_bytes"))


def _compression(column: str) -> str:
    return "NONE" if column in UNCOMPRESSED_COLUMNS else "ZSTD"


def _leaves(schema: pa.Schema) -> list[str]:
    """Parquet addresses nested columns by the path of their leaves."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = schema.empty_table()
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    parquet = pq.ParquetFile(pa.BufferReader(sink.getvalue())).schema
    return [parquet.column(i).path for i in range(len(parquet.names))]


def to_arrow(rows: pl.DataFrame) -> pa.Table:
    """Return Arrow types that every reader knows (no string views)."""
    return rows.to_arrow(compat_level=pl.CompatLevel.oldest())


def column_digests(path: Path) -> dict[str, str]:
    """Return, per top-level column, the SHA-256 of its encoded chunks and of the row-group lengths.

    Equal values in equal row groups give equal digests, whatever the other columns hold: so a stage that
    reads some columns is not redone when others change.
    """
    import pyarrow.parquet as pq

    metadata = pq.read_metadata(path)
    groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
    digests: dict[str, Any] = {}
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for group in groups:
            for i in range(group.num_columns):
                column = group.column(i)
                start = column.dictionary_page_offset or column.data_page_offset
                name = column.path_in_schema.split(".")[0]
                digest = digests.setdefault(name, hashlib.sha256())
                digest.update(f"{column.path_in_schema}:{group.num_rows}:".encode())
                digest.update(data[start : start + column.total_compressed_size])
    names = pq.read_schema(path).names
    return {name: digests[name].hexdigest() if name in digests else "empty" for name in names}


def stored(path: Path, name: str, suffix: str, table: TableFile | None = None) -> StoredFile:
    """Finish a local file and describe it: its digest becomes its name."""
    columns = table.close() if table else None
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    return StoredFile(
        file=f"{name}-{sha256}{suffix}",
        sha256=sha256,
        n_bytes=path.stat().st_size,
        n_rows=table.n_rows if table else None,
        columns=columns,
        rejected=dict(table.rejected) if table else None,
        sums=table.sums if table else None,
    )


def row_groups(
    source: BinaryIO | Any, row: type, columns: Sequence[str], *, among: pl.Series | None = None
) -> Iterator[pl.DataFrame]:
    """Yield a stored table one row group at a time.

    A nullable column that the table was written without reads as nulls.

    Args:
        source: The Parquet file.
        row: Its row class.
        columns: Those to read.
        among: Only these figures' rows; row groups without any are not read, but for their ids.

    Raises:
        OSError: A page does not match its checksum.
    """
    import pyarrow.parquet as pq

    file = pq.ParquetFile(source, page_checksum_verification=True)
    schema = schema_of(row)
    present = [name for name in columns if name in file.schema_arrow.names]

    def read(group: int, names: Sequence[str]) -> pl.DataFrame:
        return pl.DataFrame(pl.from_arrow(file.read_row_group(group, columns=names, use_threads=False)))

    for i in range(file.num_row_groups):
        wanted = None if among is None else read(i, ["figure_id"])["figure_id"].is_in(among.implode())
        if wanted is not None and not wanted.any():
            continue
        frame = read(i, present)
        missing = [pl.lit(None, schema[name]).alias(name) for name in columns if name not in present]
        rows = frame.with_columns(missing).select(columns)
        yield rows if wanted is None else rows.filter(wanted)
