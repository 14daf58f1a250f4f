"""What verification reads: each file of a release once, into problems, and a table of what is to be joined.

A task is one file, or all parts of an archive. Memory is bounded by a chunk, a line and a batch of rows: what must be
remembered of each record goes to a small Parquet table on disk, one per task, which `joins` compares.
"""

import hashlib
import io
import json
import re
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol, cast

import pyarrow as pa
import pyarrow.parquet as pq
from isal.igzip_lib import DECOMP_GZIP, IgzipDecompressor

from s1mm_assets.release.image_archives import BLOCK, DAMAGE, ArchiveError, check_end
from s1mm_assets.release.layout import (
    ATTRIBUTION,
    CHANGES,
    DATA,
    IMAGES,
    RECIPES,
    RECORDS,
    TOMBSTONES,
    WEBDATASET,
)
from s1mm_assets.release.manifest import ManifestFile
from s1mm_assets.release.problems import Problem, Problems
from s1mm_assets.release.records import EXTRACTIVE, RECORD, WITHHELD, json_line, line_of
from s1mm_assets.release.streamable import DATA as DATA_SCHEMA
from s1mm_assets.release.webdataset import samples

if TYPE_CHECKING:
    from typing_extensions import Buffer

KINDS = {
    "records": RECORDS,
    "recipes": RECIPES,
    "tombstones": TOMBSTONES,
    "attribution": ATTRIBUTION,
    "changes": CHANGES,
    "images": IMAGES,
    "data": DATA,
    "webdataset": WEBDATASET,
}
TABLES: dict[str, dict[str, pa.DataType]] = {
    "records": {
        **dict.fromkeys(("figure_id", "image_path", "image_sha256", "paper_id", "licence"), pa.string()),
        "image_size_bytes": pa.int64(),
        "line": pa.binary(),
    },
    "recipes": dict.fromkeys(("figure_id", "image_path"), pa.string()),
    "tombstones": {"figure_id": pa.string()},
    "attribution": {"paper_id": pa.string(), "licence": pa.string(), "n_figures": pa.int64()},
    "images": {"image_path": pa.string(), "image_sha256": pa.string(), "n_bytes": pa.int64()},
    "data": {"figure_id": pa.string(), "line": pa.binary(), "is_own_image": pa.bool_()},
    "webdataset": {"figure_id": pa.string(), "line": pa.binary(), "is_own_image": pa.bool_()},
}
"""Kind of file → the columns of its table, beside `path` (the file) and `n` (the row, from 1)."""

IMAGE_PATH = re.compile(r"[A-Za-z0-9_-]{1,240}/f[1-9][0-9]{0,11}_p[1-9][0-9]{0,11}\.(?:png|jpg)")
"""The names that `records.image_path` gives: what is unpacked stays in its folder, on every system."""
HEX = re.compile(r"[0-9a-f]{64}")
LISTS = tuple(field.name for field in RECORD if pa.types.is_list(field.type))
RECIPE: dict[str, type] = {
    "kind": str,
    "uri": str,
    "offset": int,
    "length": int,
    "archive_sha256": str,
    "image_member": str,
    "page": int,
    "bbox": list,
    "renderer": str,
    "caption_sha256": str,
}
"""The keys of a recipe, in order, as `stage.recipe_of` writes them: each value is of its type, or null."""
MAX_RECIPE_CHARS = 4096  # of a name in it

CHUNK = 1 << 20
PACKED_CHUNK = 1 << 17  # of an archive: what is unpacked of it is still in the cache when it is hashed
MAX_LINE_BYTES = 16 * 2**20
MAX_IMAGE_BYTES = 2**40  # more is no length of an image
MAX_ROW_GROUP_BYTES = 512 * 2**20  # eight times what the release writes
MAX_ROW_GROUP_ROWS = 1 << 20
BATCH_ROWS = 256  # decoded at a time
TABLE_ROWS = 1 << 13  # that wait to be written, a kilobyte each
# An archive of images unpacks to about its own length, and to what its records say; a bomb to a thousand times that.
BOMB_RATIO = 4
BOMB_ALLOWANCE_BYTES = 16 * 2**20


OpenFile = Callable[[str], BinaryIO]


class XetHash(Protocol):
    """The Xet hash of a file that someone else reads, under way."""

    def update(self, data: memoryview) -> None:
        """Take in the next bytes."""

    def finish(self) -> str:
        """Return the hash, hex; nothing may follow."""

    def close(self) -> None:
        """Give up what is held; after `finish` it does nothing."""


StartXet = Callable[[BinaryIO], XetHash]


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One file to read, or all parts of an archive that was cut."""

    kind: str  # one of KINDS, or "bytes": only its length and digests matter
    name: str  # of the whole
    paths: tuple[str, ...]  # of the files, in order
    listed: tuple[ManifestFile | None, ...]  # what the manifest says of each
    n_bytes: int  # on disk
    source: str = ""
    year: int | None = None
    n_image_bytes: int = 0  # of the images that records say an archive holds


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What reading one task came to."""

    name: str
    n_rows: int | None  # None of files that have none
    n_image_bytes: int = 0  # of records: what their images take in an archive, headers included
    problems: tuple[Problem, ...] = ()


class Files(io.RawIOBase):
    """The files of a task one after another, hashed as they pass and compared with the manifest at their ends."""

    def __init__(
        self,
        task: Task,
        open_file: OpenFile,
        problems: Problems,
        start_xet: StartXet | None,
        report: Callable[[int], None],
    ) -> None:
        super().__init__()
        self._left = iter(zip(task.paths, task.listed, strict=True))
        self._open = open_file
        self._problems = problems
        self._start_xet = start_xet
        self._report = report
        self._file: HashedFile | None = None

    def readable(self) -> bool:
        """They are."""
        return True

    def readinto(self, buffer: "Buffer") -> int:
        """Fill the buffer as far as the file at hand goes; 0 after the last."""
        view = memoryview(buffer)
        while self._file is not None or self._open_next():
            file = cast(HashedFile, self._file)
            try:
                n = file.readinto(view)
            except OSError as error:
                self._problems.add("unreadable", file.path, reason_of(error))
                self._drop()
                continue
            if n:
                self._report(n)
                return n
            file.compare(self._problems)
            self._drop()
        return 0

    def _open_next(self) -> bool:
        """Open the next file that can be opened; say whether there was one."""
        for path, listed in self._left:
            try:
                self._file = HashedFile(path, listed, self._open(path), self._start_xet)
            except OSError as error:
                self._problems.add("unreadable", path, reason_of(error))
            else:
                return True
        return False

    def _drop(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file = None

    def drain(self) -> None:
        """Read what the reader has left: digests are of whole files."""
        buffer = bytearray(CHUNK)
        while self.readinto(buffer):
            pass

    def close(self) -> None:
        """Close the file at hand."""
        self._drop()
        super().close()


class HashedFile:
    """One file, hashed as it is read."""

    def __init__(
        self, path: str, listed: ManifestFile | None, stream: BinaryIO, start_xet: StartXet | None
    ) -> None:
        self.path = path
        self._listed = listed
        self._stream = stream
        self._sha256 = hashlib.sha256()
        self._xet = start_xet(stream) if start_xet and listed else None
        self._n_bytes = 0

    def readinto(self, view: memoryview) -> int:
        """Fill the view as far as the file goes."""
        n = cast(io.BufferedReader, self._stream).readinto(view)
        if n:
            self._n_bytes += n
            if self._xet:
                self._xet.update(view[:n])
            self._sha256.update(view[:n])
        return n

    def compare(self, problems: Problems) -> None:
        """Note where the file, read to its end, is not what the manifest says."""
        if self._listed is None:
            return
        n_listed = self._listed.n_bytes
        if self._n_bytes < n_listed:
            problems.add("truncated", self.path, f"{self._n_bytes:,} of {n_listed:,} bytes")
        elif self._n_bytes > n_listed:
            problems.add("changed", self.path, f"{self._n_bytes:,} bytes, {n_listed:,} in the manifest")
        elif (sha256 := self._sha256.hexdigest()) != self._listed.sha256:
            problems.add("changed", self.path, f"sha256 is {sha256}, {self._listed.sha256} in the manifest")
        elif self._xet and (xet := self._xet.finish()) != self._listed.xet:
            problems.add("changed", self.path, f"Xet hash is {xet}, {self._listed.xet} in the manifest")

    def close(self) -> None:
        """Close the file."""
        if self._xet:
            self._xet.close()
        self._stream.close()


class Rows:
    """A task's table under construction."""

    def __init__(self, stream: BinaryIO, kind: str, path: str) -> None:
        self._schema = pa.schema({"path": pa.string(), "n": pa.int64(), **TABLES[kind]})
        self._writer = pq.ParquetWriter(stream, self._schema, compression="ZSTD")
        self._path = path
        self._waiting: list[tuple[Any, ...]] = []

    def add(self, n: int, *values: Any) -> None:
        """Append one row, its values in the order of `TABLES`."""
        self._waiting.append((self._path, n, *values))
        if len(self._waiting) == TABLE_ROWS:
            self._flush()

    def _flush(self) -> None:
        columns = list(zip(*self._waiting, strict=True)) or [()] * len(self._schema)
        arrays = [pa.array(each, field.type) for each, field in zip(columns, self._schema, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        self._waiting = []

    def close(self) -> None:
        """Write the rows that wait, and the end."""
        self._flush()
        self._writer.close()


def read(
    task: Task,
    open_file: OpenFile,
    table: Path | None,
    *,
    start_xet: StartXet | None = None,
    report: Callable[[int], None] = lambda n_bytes: None,
) -> Reading:
    """Read one task's files once; note what is wrong with them, and write the table of what is to be joined.

    Args:
        task: What to read.
        open_file: Opens a file of the release by its path.
        table: Where the table goes; None where there is nothing to join.
        start_xet: Computes the Xet hash of what is read; None: it is not compared.
        report: Is told how many bytes more were read.

    Raises:
        OSError: The table cannot be written.
    """
    problems = Problems()
    n_rows: int | None = None
    n_image_bytes = 0
    with closing(Files(task, open_file, problems, start_xet, report)) as files, ExitStack() as opened:
        if task.kind != "bytes":
            rows = None
            if table is not None and task.kind in TABLES:
                stream = opened.enter_context(table.open("wb"))
                rows = opened.enter_context(closing(Rows(stream, task.kind, task.name)))
            contents = Contents(task=task, files=files, rows=rows, problems=problems, open_file=open_file)
            n_rows, n_image_bytes = READERS[task.kind](contents)
        files.drain()
    return Reading(
        name=task.name, n_rows=n_rows, n_image_bytes=n_image_bytes, problems=tuple(problems.listed())
    )


def reason_of(error: Exception) -> str:
    """Say what went wrong, without a path of this machine."""
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


@dataclass(frozen=True, slots=True, kw_only=True)
class Contents:
    """What a reader of one kind of file is given."""

    task: Task
    files: Files
    rows: Rows | None  # None: nothing is to be joined
    problems: Problems
    open_file: OpenFile

    def remember(self, n: int, *values: Any) -> None:
        """Put row n into the table, its values in the order of `TABLES`."""
        if self.rows is not None:
            self.rows.add(n, *values)

    def wrong(self, kind: str, detail: str) -> None:
        """Note a defect."""
        self.problems.add(kind, self.task.name, detail)


def lines(contents: Contents, kind: str) -> Iterator[tuple[int, bytes]]:
    """Yield the lines of a file that are not too long, numbered from 1; the others are problems."""
    stream = io.BufferedReader(contents.files, CHUNK)
    n = 0
    while line := stream.readline(MAX_LINE_BYTES):
        n += 1
        is_long = len(line) == MAX_LINE_BYTES and not line.endswith(b"\n")
        if is_long:
            contents.wrong(kind, f"line {n} is longer than {MAX_LINE_BYTES:,} bytes")
            while line and not line.endswith(b"\n"):
                line = stream.readline(MAX_LINE_BYTES)
            line = b""
        yield n, line
    stream.detach()


def objects(
    contents: Contents, kind: str, accept: Callable[[dict[str, Any]], bool]
) -> Iterator[tuple[int, bytes, dict[str, Any] | None]]:
    """Yield every line with its number and the object in it, None where that is not as it should be."""
    for n, line in lines(contents, kind):
        found = parse(line) if line else None
        if found is not None and accept(found):
            yield n, line, found
        else:
            if line:
                contents.wrong(kind, f"line {n} is not what it should be{of(contents.task)}")
            yield n, line, None


def of(task: Task) -> str:
    """Name a task's partition."""
    return f": a line of {task.source} {task.year}" if task.source else ""


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the object in a line of JSON, None where it is none as the release writes it, byte for byte.

    Otherwise a key that stands twice would say two things, of which one is looked at.
    """
    try:
        found = json.loads(line)
        is_as_written = isinstance(found, dict) and json_line(found) == line
    except (ValueError, RecursionError):
        return None
    return found if is_as_written else None


def are_texts(found: Mapping[str, Any], *names: str) -> bool:
    """Whether the values are strings without the half characters that JSON can escape."""
    try:
        for name in names:
            found[name].encode()
    except (KeyError, AttributeError, UnicodeEncodeError):
        return False
    return True


def is_text_or_null(found: Mapping[str, Any], name: str) -> bool:
    """Whether a value is a string or null; a key that is not there is neither."""
    return name in found and (found[name] is None or are_texts(found, name))


def is_of(found: Mapping[str, Any], task: Task) -> bool:
    """Whether an object is of the partition that its file is of."""
    year = found.get("year")
    return found.get("source") == task.source and type(year) is int and year == task.year


def is_length(value: object) -> bool:
    """Whether a value can be the length of an image, or a number of them."""
    return type(value) is int and 0 <= value < MAX_IMAGE_BYTES


def python_type(column: pa.DataType) -> type:
    """Return the type of a column's values in JSON."""
    if pa.types.is_list(column):
        return list
    if pa.types.is_integer(column):
        return int
    return float if pa.types.is_floating(column) else str


COLUMNS = {field.name: (python_type(field.type), type(None)) for field in RECORD}


def has_columns(found: Mapping[str, Any]) -> bool:
    """Whether every column of a record is there, of its type or null: no room for text where none belongs."""
    return all(name in found and type(found[name]) in types for name, types in COLUMNS.items()) and all(
        type(each) is str for name in LISTS for each in found[name] or ()
    )


def is_image_path(path: object) -> bool:
    """Whether a value is a name that the release gives to images."""
    return isinstance(path, str) and IMAGE_PATH.fullmatch(path) is not None


def is_record(found: Mapping[str, Any], task: Task) -> bool:
    """Whether an object is a record of its file."""
    return (
        list(found) == RECORD.names
        and has_columns(found)
        and are_texts(found, "figure_id", "image_sha256", "paper_id")
        and is_text_or_null(found, "licence")
        and is_image_path(found["image_path"])
        and is_of(found, task)
        and is_length(found["image_size_bytes"])
    )


def is_recipe(found: Mapping[str, Any], task: Task) -> bool:
    """Whether an object is a recipe of its file: the columns of a record, then how its image is rebuilt."""
    return (
        list(found) == [*RECORD.names, "recipe"]
        and has_columns(found)
        and is_way(found["recipe"])
        and are_texts(found, "figure_id")
        and is_image_path(found["image_path"])
        and is_of(found, task)
    )


def is_way(recipe: object) -> bool:
    """Whether a value says how an image is rebuilt, and nothing else."""
    if not isinstance(recipe, dict) or list(recipe) != list(RECIPE):
        return False
    texts = [each for each in recipe.values() if isinstance(each, str)]
    digests = (recipe["archive_sha256"], recipe["caption_sha256"])
    return (
        all(type(recipe[name]) in (kind, type(None)) for name, kind in RECIPE.items())
        and all(type(each) in (int, float) for each in recipe["bbox"] or ())
        and all(len(each) <= MAX_RECIPE_CHARS for each in texts)
        and all(each is None or HEX.fullmatch(each) for each in digests)
    )


def is_given_away(found: Mapping[str, Any]) -> bool:
    """Whether a recipe has a recaption that may be the authors' words."""
    engine = (found["engine"] or "").strip().casefold()
    return bool(found["recaption"]) and (not engine or engine in EXTRACTIVE)


def read_records(contents: Contents) -> tuple[int, int]:
    """Remember every record; return how many lines there are, and what their images take in an archive."""
    n = n_image_bytes = 0
    for n, line, found in objects(contents, "record", lambda found: is_record(found, contents.task)):
        if found is not None:
            texts = (
                found[name] for name in ("figure_id", "image_path", "image_sha256", "paper_id", "licence")
            )
            contents.remember(n, *texts, found["image_size_bytes"], hashlib.sha256(line).digest())
            n_image_bytes += found["image_size_bytes"] + 2 * BLOCK
    return n, n_image_bytes


def read_recipes(contents: Contents) -> tuple[int, int]:
    """Remember every recipe, and note the text that should have been withheld."""
    n = 0
    for n, _, found in objects(contents, "recipe", lambda found: is_recipe(found, contents.task)):
        if found is not None:
            contents.remember(n, found["figure_id"], found["image_path"])
            given = [name for name in WITHHELD if found[name]]
            if is_given_away(found):
                given.append("recaption")
            if given:
                contents.wrong("text_given_away", f"{found['figure_id']}: {', '.join(given)}")
    return n, 0


def read_tombstones(contents: Contents) -> tuple[int, int]:
    """Remember every figure that is gone."""
    n = 0
    for n, _, found in objects(contents, "tombstone", lambda found: is_tombstone(found, contents.task)):
        for figure_id in found["figure_ids"] if found else ():
            contents.remember(n, figure_id)
    return n, 0


def is_tombstone(found: Mapping[str, Any], task: Task) -> bool:
    """Whether an object says which figures of a paper are gone."""
    figure_ids = found.get("figure_ids")
    return (
        isinstance(figure_ids, list)
        and all(are_texts({"figure_id": each}, "figure_id") for each in figure_ids)
        and are_texts(found, "paper_id", "reason")
        and is_of(found, task)
    )


def read_attribution(contents: Contents) -> tuple[int, int]:
    """Remember every paper that is named."""
    n = 0
    for n, _, found in objects(contents, "attribution", is_attribution):
        if found is not None:
            contents.remember(n, found["paper_id"], found["licence"], found["n_figures"])
    return n, 0


def is_attribution(found: Mapping[str, Any]) -> bool:
    """Whether an object names a paper, its licence and how many images of it there are."""
    is_named = are_texts(found, "paper_id") and is_text_or_null(found, "licence")
    return is_named and is_length(found.get("n_figures"))


def read_changes(contents: Contents) -> tuple[int, int]:
    """Count the changes."""
    n = 0
    for _ in objects(contents, "change", lambda found: are_texts(found, "change", "figure_id")):
        n += 1
    return n, 0


class Unpacked(io.RawIOBase):
    """What a gzip stream of one member holds: of a second one, tarfile in streaming mode would see nothing."""

    def __init__(self, stream: io.RawIOBase) -> None:
        super().__init__()
        self._stream = stream
        self._member = IgzipDecompressor(flag=DECOMP_GZIP)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: "Buffer") -> int:
        """Fill the buffer as far as what was read last goes; 0 after the member.

        Raises:
            ArchiveError: Something follows the member.
            OSError, EOFError, IsalError: It is damaged or cut short.
        """
        view = memoryview(buffer)
        while not self._member.eof:
            packed = (self._stream.read(PACKED_CHUNK) or b"") if self._member.needs_input else b""
            if self._member.needs_input and not packed:
                raise EOFError("the archive is cut short")
            if data := self._member.decompress(packed, len(view)):
                view[: len(data)] = data
                return len(data)
        if self._member.unused_data or self._stream.read(1):
            raise ArchiveError("the archive goes on after its first gzip member")
        return 0


class Tar:
    """The entries of a tar stream, each read before the next; nothing but files, and no more bytes than allowed."""

    def __init__(self, stream: BinaryIO, max_bytes: int) -> None:
        self._stream = stream
        self._left = max_bytes
        self._buffer = memoryview(bytearray(CHUNK))

    def __iter__(self) -> Iterator[tuple[str, int]]:
        """Yield every entry's name and length.

        Raises:
            ArchiveError: It holds something other than files, goes on after its end, or unpacks to too much.
            OSError, EOFError, zlib.error, IsalError, tarfile.HeaderError: It is damaged or cut short.
        """
        while (header := self._stream.read(BLOCK)).strip(b"\0"):
            entry = tarfile.TarInfo.frombuf(header, "utf-8", "replace")
            if entry.type not in (tarfile.REGTYPE, tarfile.AREGTYPE) or entry.size < 0:
                raise ArchiveError(f"{entry.name!r} is not a file")
            self._left -= entry.size + 2 * BLOCK
            if self._left < 0:
                raise ArchiveError(f"at {entry.name!r} it unpacks to more than its records say")
            yield entry.name, entry.size
        check_end(header, self._stream)

    def sha256(self, n_bytes: int) -> str:
        """Digest the content of the entry at hand, and skip what pads it to whole blocks."""
        digest = hashlib.sha256()
        left = n_bytes
        while left:
            n = cast(io.BufferedReader, self._stream).readinto(self._buffer[: min(left, CHUNK)])
            if not n:
                raise EOFError("the archive is cut short")
            digest.update(self._buffer[:n])
            left -= n
        self._stream.read(-n_bytes % BLOCK)
        return digest.hexdigest()


def read_images(contents: Contents) -> tuple[int, int]:
    """Remember every image of an archive."""
    task = contents.task
    stream = io.BufferedReader(Unpacked(contents.files), PACKED_CHUNK)
    tar = Tar(cast(BinaryIO, stream), allowed_bytes(task))
    n, name = 0, "its beginning"
    try:
        for path, n_bytes in tar:
            name = repr(path)
            if not is_image_path(path):
                contents.wrong("image_path", f"{name} is no name of an image")
            contents.remember(n + 1, path, tar.sha256(n_bytes), n_bytes)
            n += 1
    except ArchiveError as error:
        contents.wrong("unreadable", str(error))
    except DAMAGE as error:
        contents.wrong("unreadable", f"after {name}: {error or type(error).__name__}")
    return n, 0


def allowed_bytes(task: Task) -> int:
    """Return how much an archive may unpack to."""
    return 2 * task.n_image_bytes + BOMB_RATIO * task.n_bytes + BOMB_ALLOWANCE_BYTES


def read_data(contents: Contents) -> tuple[int, int]:
    """Remember every row of a Parquet file by the line of JSON that it gives."""
    contents.files.drain()
    n = 0
    try:
        with contents.open_file(contents.task.name) as stream:
            for record, image, path in data_rows(stream):
                n += 1
                is_own_image = is_own(record, image, path)
                if not is_image_path(path) or not is_image_path(record["image_path"]):
                    contents.wrong("image_path", f"row {n}: {path!r} is no name of an image")
                contents.remember(n, str(record["figure_id"]), digest_of_line(record), is_own_image)
    except (OSError, ValueError, OverflowError, pa.ArrowException) as error:
        contents.wrong("unreadable", f"after {n:,} rows: {reason_of(error)}")
    return n, 0


def data_rows(stream: BinaryIO) -> Iterator[tuple[dict[str, Any], pa.BinaryScalar, str | None]]:
    """Yield the rows of a Parquet file as records, each with its image, which is not copied, and that one's path.

    Page checksums are left alone: every value is compared with its record.

    Raises:
        pyarrow.ArrowException, OSError: It cannot be read.
        ValueError: Its columns are not those of the release, or a row group is too large.
    """
    file = pq.ParquetFile(stream)
    if not file.schema_arrow.equals(DATA_SCHEMA):
        raise ValueError("its columns are not those of the release")
    for i in range(file.num_row_groups):
        group = file.metadata.row_group(i)
        if not 0 <= group.total_byte_size <= MAX_ROW_GROUP_BYTES or group.num_rows > MAX_ROW_GROUP_ROWS:
            raise ValueError(f"row group {i} has {group.num_rows:,} rows of {group.total_byte_size:,} bytes")
        if group.num_rows <= BATCH_ROWS:  # as the release writes them: twice as fast as a batch
            batches = file.read_row_group(i, use_threads=False).to_batches()
        else:
            batches = file.iter_batches(BATCH_ROWS, row_groups=[i], use_threads=False)
        for batch in batches:
            images, paths = batch.column("image").flatten()
            records = batch.drop_columns(["image"]).to_pylist()
            yield from zip(records, images, paths.to_pylist(), strict=True)


def digest_of_line(record: Mapping[str, Any]) -> bytes | None:
    """Return the SHA-256 of a record's line of JSON, None where it has none."""
    try:
        return hashlib.sha256(line_of(record)).digest()
    except ValueError:
        return None


def is_own(record: Mapping[str, Any], image: pa.BinaryScalar, path: str | None) -> bool:
    """Whether an image is the one that a record names, under its path and of its length."""
    content = image.as_buffer() if image.is_valid else b""
    sha256 = hashlib.sha256(content).hexdigest()
    is_named = sha256 == record["image_sha256"] and path == record["image_path"]
    return bool(is_named and len(content) == record["image_size_bytes"])


def read_webdataset(contents: Contents) -> tuple[int, int]:
    """Remember every sample of a WebDataset file by its line of JSON."""
    n = 0
    try:
        for sample in samples(cast(BinaryIO, io.BufferedReader(contents.files, CHUNK))):
            n += 1
            record = parse(sample.line)
            if record is None or not is_record(record, contents.task):
                contents.wrong("sample", f"{sample.stem!r} holds no record{of(contents.task)}")
                continue
            is_own_image = sample.image_sha256 == record["image_sha256"]
            is_own_image &= sample.n_image_bytes == record["image_size_bytes"]
            is_own_image &= sample.stem == record["image_path"].partition(".")[0]
            digest = hashlib.sha256(sample.line).digest()
            contents.remember(n, record["figure_id"], digest, is_own_image)
    except (ArchiveError, ValueError) as error:
        contents.wrong("unreadable", str(error))
    return n, 0


READERS: dict[str, Callable[[Contents], tuple[int, int]]] = {
    "records": read_records,
    "recipes": read_recipes,
    "tombstones": read_tombstones,
    "attribution": read_attribution,
    "changes": read_changes,
    "images": read_images,
    "data": read_data,
    "webdataset": read_webdataset,
}
"""Kind of file → what reads one: rows, and what its images take in an archive."""
