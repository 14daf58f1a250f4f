"""Verification: is a release, wherever it was copied to, still whole, and do its parts join?

Memory is bounded by a row group and a chunk: what must be remembered of each record waits in SQLite's own
temporary database. Every defect is reported; none raises.
"""

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, BinaryIO, cast

import pyarrow as pa

from s1mm_assets.release.folders import ReadableFolder
from s1mm_assets.release.image_archives import ArchiveError, Joined, members
from s1mm_assets.release.layout import DATA, IMAGES, RECORDS
from s1mm_assets.release.manifest import (
    NAME,
    Manifest,
    ManifestError,
    load_manifest,
    sha256_of,
)
from s1mm_assets.release.records import RECORD, line_of
from s1mm_assets.release.streamable import rows

MAX_LISTED = 100  # problems of one kind in one file
MAX_LINE_BYTES = 64 * 2**20
MAX_MANIFEST_BYTES = 256 * 2**20
IGNORED = (".cache/", ".git/", ".gitattributes")  # what a download from the Hub leaves beside the release


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """One defect of a release."""

    kind: str
    path: str  # the file of the release
    detail: str


class Problems:
    """The defects found so far; of many alike, the first and their number."""

    def __init__(self) -> None:
        self._listed: list[Problem] = []
        self._counts: Counter[tuple[str, str]] = Counter()

    def add(self, kind: str, path: str, detail: str) -> None:
        """Note one defect."""
        self._counts[kind, path] += 1
        if self._counts[kind, path] <= MAX_LISTED:
            self._listed.append(Problem(kind=kind, path=path, detail=detail))

    def listed(self) -> list[Problem]:
        """Return the defects in the order found, then how many more there were."""
        more = [
            Problem(kind=kind, path=path, detail=f"and {count - MAX_LISTED:,} more")
            for (kind, path), count in self._counts.items()
            if count > MAX_LISTED
        ]
        return [*self._listed, *more]


def verify(folder: ReadableFolder) -> list[Problem]:
    """Return every defect of a release; none means that it is as published, and that its parts join.

    Kinds: manifest, missing, truncated, changed, extra (files); unreadable (a file that cannot be read to its
    end); record (a line of JSON that is no record); duplicate_figure_id, duplicate_image_path; image_missing,
    image_changed, image_orphan, image_twice (archive against records); data_missing, data_changed,
    data_orphan, data_twice (Parquet against records); rows (a file's rows against the manifest).
    """
    problems = Problems()
    present = {path: n for path, n in folder.files().items() if not path.startswith(IGNORED)}
    manifest = read_manifest(folder, present, problems)
    if manifest is None:
        return problems.listed()
    check_files(folder, present, manifest, problems)
    n_rows: dict[str, int] = {}
    with closing(Register()) as register:
        for path in sorted(present):
            if RECORDS.fullmatch(path):
                n_rows[path] = read_records(folder, path, register, problems)
        register.check_unique(problems)
        for archive, parts in archives(present):
            n_rows[archive] = check_archive(folder, archive, parts, register, problems)
        for path in sorted(present):
            if DATA.fullmatch(path):
                n_rows[path] = check_data(folder, path, register, problems)
        register.check_joined(problems)
    for file in manifest.files:
        if file.n_rows is not None and n_rows.get(file.path, file.n_rows) != file.n_rows:
            detail = f"{n_rows[file.path]:,} rows, {file.n_rows:,} in the manifest"
            problems.add("rows", file.path, detail)
    return problems.listed()


def read_manifest(folder: ReadableFolder, present: Mapping[str, int], problems: Problems) -> Manifest | None:
    """Return the manifest, or None with a problem that says why not."""
    if NAME not in present:
        problems.add("manifest", NAME, "there is none: this is not a release, or not all of one")
        return None
    with folder.open(NAME) as stream:
        try:
            return load_manifest(stream.read(MAX_MANIFEST_BYTES))
        except ManifestError as error:
            problems.add("manifest", NAME, str(error))
            return None


def check_files(
    folder: ReadableFolder, present: Mapping[str, int], manifest: Manifest, problems: Problems
) -> None:
    """Compare every file with the manifest, by length and digest."""
    listed = {file.path: file for file in manifest.files}
    for path, file in listed.items():
        n_bytes = present.get(path)
        if n_bytes is None:
            problems.add("missing", path, f"{file.n_bytes:,} bytes are not there")
        elif n_bytes < file.n_bytes:
            problems.add("truncated", path, f"{n_bytes:,} of {file.n_bytes:,} bytes")
        else:
            with folder.open(path) as stream:
                sha256 = sha256_of(stream)
            if sha256 != file.sha256:
                problems.add("changed", path, f"sha256 is {sha256}, {file.sha256} in the manifest")
    for path in sorted(set(present) - set(listed) - {NAME}):
        problems.add("extra", path, "is not in the manifest")


class Register:
    """What must be remembered of every record, in a temporary database on disk."""

    def __init__(self) -> None:
        self._db = sqlite3.connect("", isolation_level=None)  # private, removed when it is closed
        self._db.execute("PRAGMA journal_mode = OFF")
        self._db.execute("BEGIN")
        self._db.execute(
            "CREATE TABLE record (figure_id TEXT, source TEXT, archive_year INTEGER, image_path TEXT,"
            " sha256 TEXT, line BLOB, path TEXT, n_members INTEGER DEFAULT 0, n_data INTEGER DEFAULT 0)"
        )
        self._db.execute("CREATE INDEX by_id ON record (figure_id)")
        self._db.execute("CREATE INDEX by_image ON record (source, image_path)")

    def close(self) -> None:
        """Forget everything."""
        self._db.close()

    def add(self, record: Mapping[str, Any], line: bytes, path: str) -> None:
        """Remember one record and the file that it stands in."""
        names = ("figure_id", "source", "year", "image_path", "image_sha256")
        values = [*(record[name] for name in names), hashlib.sha256(line).digest(), path]
        self._db.execute(
            "INSERT INTO record (figure_id, source, archive_year, image_path, sha256, line, path)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            values,
        )

    def find_image(self, source: str, year: int | None, image_path: str) -> str | None:
        """Return the digest that the image at a path should have, and count that it was met."""
        found = self._db.execute(
            "UPDATE record SET n_members = n_members + 1 WHERE source = ? AND image_path = ?"
            " AND archive_year = coalesce(?, archive_year) RETURNING sha256",
            (source, image_path, year),
        ).fetchall()
        return str(found[0][0]) if found else None

    def find_line(self, figure_id: str) -> bytes | None:
        """Return the digest of a figure's line of JSON, and count that it was met."""
        found = self._db.execute(
            "UPDATE record SET n_data = n_data + 1 WHERE figure_id = ? RETURNING line", (figure_id,)
        ).fetchall()
        return bytes(found[0][0]) if found else None

    def check_unique(self, problems: Problems) -> None:
        """Report figure ids that stand twice in the dataset, and image paths that stand twice in a source."""
        for columns, kind, name in (
            ("figure_id", "duplicate_figure_id", "figure_id"),
            ("source, image_path", "duplicate_image_path", "image_path"),
        ):
            # The columns are the two above.
            query = f"SELECT min(path), {name}, count(*) FROM record GROUP BY {columns} HAVING count(*) > 1"  # noqa: S608
            for path, value, count in self._db.execute(query):
                problems.add(kind, path, f"{value} stands there {count} times")

    def check_joined(self, problems: Problems) -> None:
        """Report records whose image or data row was met never, or more than once."""
        for kind, column in (("image", "n_members"), ("data", "n_data")):
            query = (
                f"SELECT path, figure_id, image_path, {column} FROM record WHERE {column} <> 1 ORDER BY rowid"  # noqa: S608
            )
            for path, figure_id, image_path, count in self._db.execute(query):
                what = f"{figure_id} ({image_path})" if kind == "image" else figure_id
                defect = "missing" if count == 0 else "twice"
                problems.add(f"{kind}_{defect}", path, what)


def read_records(folder: ReadableFolder, path: str, register: Register, problems: Problems) -> int:
    """Remember every record of one file and return how many lines it has."""
    source, _, name = path.split("/")
    year = int(name.removesuffix(".jsonl"))
    n = 0
    with folder.open(path) as stream:
        while line := stream.readline(MAX_LINE_BYTES):
            n += 1
            record = parse(line)
            if record is None or (record["source"], record["year"]) != (source, year):
                problems.add("record", path, f"line {n} is not a record of {source} {year}")
            else:
                register.add(record, line, path)
    return n


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the record in a line of JSON, None where there is none."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or list(record) != RECORD.names:
        return None
    texts = [record[name] for name in ("figure_id", "source", "image_path", "image_sha256")]
    return record if all(isinstance(text, str) and is_unicode(text) for text in texts) else None


def is_unicode(text: str) -> bool:
    """Whether a string is free of the half characters that JSON can escape."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def archives(present: Mapping[str, int]) -> Iterator[tuple[str, list[str]]]:
    """Yield every image archive with the files that it consists of, in order."""
    files = sorted((match["archive"], path) for path in present if (match := IMAGES.fullmatch(path)))
    for archive, group in groupby(files, key=lambda file: file[0]):
        yield archive, [path for _, path in group]


def check_archive(
    folder: ReadableFolder, archive: str, parts: list[str], register: Register, problems: Problems
) -> int:
    """Compare every image of one archive with its record; return how many images there are."""
    match = IMAGES.fullmatch(archive)
    source, year = (match["source"], match["year"]) if match else ("", None)
    n = 0
    with Joined(iter([partial(folder.open, path) for path in parts])) as stream:
        try:
            for member in members(cast(BinaryIO, stream)):
                n += 1
                sha256 = register.find_image(source, int(year) if year else None, member.name)
                if sha256 is None:
                    problems.add("image_orphan", archive, f"{member.name!r} has no record")
                elif sha256 != member.sha256:
                    problems.add("image_changed", archive, f"{member.name!r} is not the image of its record")
        except ArchiveError as error:
            problems.add("unreadable", archive, str(error))
    return n


def check_data(folder: ReadableFolder, path: str, register: Register, problems: Problems) -> int:
    """Compare every row of one Parquet file with its line of JSON and its image; return how many rows."""
    n = 0
    with folder.open(path) as stream:
        try:
            for row in rows(stream):
                n += 1
                line = register.find_line(str(row["figure_id"]))
                if line is None:
                    problems.add("data_orphan", path, f"{row['figure_id']} has no record")
                elif not is_equal(row, line):
                    problems.add("data_changed", path, f"{row['figure_id']} differs from its record")
        except (OSError, ValueError, pa.ArrowException) as error:
            problems.add("unreadable", path, f"after {n:,} rows: {error}")
    return n


def is_equal(row: Mapping[str, Any], line_digest: bytes) -> bool:
    """Whether a Parquet row gives the same line of JSON, and holds the image that the line names."""
    image = row["image"] or {}
    try:
        is_same_line = hashlib.sha256(line_of(row)).digest() == line_digest
    except ValueError:
        return False
    is_same_image = hashlib.sha256(image.get("bytes") or b"").hexdigest() == row["image_sha256"]
    return is_same_line and is_same_image and image.get("path") == row["image_path"]
