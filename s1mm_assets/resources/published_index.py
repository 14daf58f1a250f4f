"""What a published folder holds: every record and every archive member, in an index on disk, joined.

The index is a scratch file: made anew by each import, in one pass over the records and one over each archive. It
holds no text and no image, only where they lie; so memory does not grow with the folder.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import BinaryIO

from s1mm_assets.archives.limits import GIB, MIB, Budget, Limits, Refused
from s1mm_assets.archives.published import (
    MAX_IMAGE_BYTES,
    MAX_LINE_BYTES,
    MAX_PAPER_BYTES,
    MAX_PAPER_RECORDS,
    POINTER,
    ArchiveFiles,
    Defect,
    Findings,
    Malformed,
    PublishedFigure,
    PublishedRecord,
    archives_among,
    joining_path,
    paper_of,
    read_record,
    source_of,
    year_in,
)
from s1mm_assets.archives.tar import TarEntry, tar_entries
from s1mm_assets.partitions import YEARS, partition_key
from s1mm_assets.release.image_archives import DAMAGE, Joined, unpacked
from s1mm_assets.tables import Rejection

Report = Callable[[str], None]
ROWS_PER_WRITE = 5_000
PIECE_BYTES = MIB
PART_BUFFER_BYTES = 4 * MIB
LIMITS = Limits(max_packed_bytes=4096 * GIB, max_unpacked_bytes=16384 * GIB, max_members=50_000_000)
OF_REFUSAL = {
    Rejection.TRUNCATED: Defect.ARCHIVE_TRUNCATED,
    Rejection.TOO_LARGE: Defect.ARCHIVE_TOO_LARGE,
}
SCHEMA = """
PRAGMA journal_mode = OFF;
PRAGMA synchronous = OFF;
CREATE TABLE records (
    id INTEGER PRIMARY KEY, source TEXT, file INTEGER, line INTEGER, at INTEGER, n_bytes INTEGER, sha256 BLOB,
    digest BLOB, paper TEXT, arxiv TEXT, doi TEXT, year INTEGER, path TEXT, loose TEXT
);
CREATE TABLE members (
    archive INTEGER, ordinal INTEGER, name TEXT, path TEXT, loose TEXT, n_bytes INTEGER, sha256 BLOB,
    PRIMARY KEY (archive, ordinal)
) WITHOUT ROWID;
CREATE TABLE archives (id INTEGER PRIMARY KEY, source TEXT, year INTEGER, name TEXT);
CREATE TABLE joined (record INTEGER PRIMARY KEY, archive INTEGER, ordinal INTEGER, is_shared INTEGER);
CREATE TABLE shared (record INTEGER PRIMARY KEY);
CREATE TABLE papers (source TEXT, paper TEXT, year INTEGER, PRIMARY KEY (source, paper)) WITHOUT ROWID;
CREATE TABLE plan (
    source TEXT, year INTEGER, shard INTEGER, position INTEGER, paper TEXT, PRIMARY KEY (source, paper)
) WITHOUT ROWID;
"""
JOIN_BY_PATH = """
INSERT OR IGNORE INTO joined
SELECT r.id, m.archive, m.ordinal, CASE WHEN a.year IS NULL THEN (r.source, r.path) IN (
    SELECT source, path FROM records WHERE path IS NOT NULL GROUP BY source, path HAVING MIN(paper) != MAX(paper)
) ELSE (r.source, r.year, r.path) IN (
    SELECT source, year, path FROM records WHERE path IS NOT NULL
    GROUP BY source, year, path HAVING MIN(paper) != MAX(paper)
) END FROM records r
CROSS JOIN archives a ON a.source = r.source AND (a.year = r.year OR a.year IS NULL)
CROSS JOIN (
    SELECT archive, path, MAX(ordinal) ordinal FROM members WHERE path IS NOT NULL GROUP BY archive, path
) m ON m.archive = a.id AND m.path = r.path
ORDER BY r.id, a.year IS NULL
"""  # of members of one name the last counts, as it does for tar; CROSS keeps the planner from one index of two
TAKE_FROM_ALL = """
INSERT INTO shared SELECT record FROM joined WHERE is_shared;
DELETE FROM joined WHERE is_shared;
"""  # an image that several papers name is at most one's, and nothing says whose
JOIN_LOOSELY = """
WITH free AS (
    SELECT m.archive, m.ordinal, m.loose FROM members m WHERE m.path IS NOT NULL
    AND NOT EXISTS (SELECT 1 FROM joined j WHERE j.archive = m.archive AND j.ordinal = m.ordinal)
    GROUP BY m.archive, m.loose HAVING COUNT(*) = 1
), waiting AS (
    SELECT id, source, year, loose FROM records
    WHERE path IS NOT NULL AND id NOT IN (SELECT record FROM joined)
    GROUP BY source, year, loose HAVING COUNT(*) = 1
)
INSERT OR IGNORE INTO joined
SELECT w.id, f.archive, f.ordinal, 0 FROM waiting w
CROSS JOIN archives a ON a.source = w.source AND (a.year = w.year OR a.year IS NULL)
CROSS JOIN free f ON f.archive = a.id AND f.loose = w.loose
WHERE a.year IS NOT NULL OR (w.source, w.loose) NOT IN (
    SELECT source, loose FROM records WHERE loose IS NOT NULL GROUP BY source, loose HAVING MIN(paper) != MAX(paper)
)
ORDER BY w.id, a.year IS NULL
"""
TWINS = """
SELECT r.id, r.source, r.file, r.line, r.digest = kept.digest FROM (
    SELECT source, year, path, paper, MAX(id) last FROM records WHERE path IS NOT NULL
    GROUP BY source, year, path, paper HAVING COUNT(*) > 1
) twin CROSS JOIN records r
ON r.source = twin.source AND r.year = twin.year AND r.path = twin.path AND r.paper = twin.paper
CROSS JOIN records kept ON kept.id = twin.last WHERE r.id != twin.last ORDER BY r.id
"""
BEYOND = """
SELECT id, source, file, line, paper FROM (
    SELECT id, source, file, line, paper, ROW_NUMBER() OVER own n, SUM(n_bytes) OVER own total FROM records
    WINDOW own AS (PARTITION BY source, paper ORDER BY id)
) WHERE n > ? OR total > ? ORDER BY id
"""
FIGURES = """
SELECT r.paper, r.file, r.line, r.at, r.n_bytes, r.sha256, m.name, m.n_bytes, m.archive, m.ordinal, m.sha256,
    j.record IS NULL AND s.record IS NOT NULL
FROM plan p CROSS JOIN records r ON r.source = p.source AND r.paper = p.paper
LEFT JOIN joined j ON j.record = r.id
LEFT JOIN members m ON m.archive = j.archive AND m.ordinal = j.ordinal
LEFT JOIN shared s ON s.record = r.id
WHERE p.source = ? AND p.year = ? AND p.shard = ?
ORDER BY p.position, r.paper, r.path IS NULL, r.path, r.digest, r.id
"""  # by content: in another order of lines, figures have the same ids
MANY_YEARS = """
SELECT source, 1, paper || ': ' || GROUP_CONCAT(DISTINCT year) FROM records
GROUP BY source, paper HAVING COUNT(DISTINCT year) > 1
"""
MANY_SOURCES = """
SELECT MIN(source), COUNT(*), {id} || ': ' || GROUP_CONCAT(DISTINCT source) FROM records WHERE {id} IS NOT NULL
GROUP BY {id} HAVING COUNT(DISTINCT source) > 1
"""
LOOSE = """
SELECT r.source, 1, r.path || ' is ' || m.name FROM joined j JOIN records r ON r.id = j.record
JOIN members m ON m.archive = j.archive AND m.ordinal = j.ordinal WHERE m.path != r.path ORDER BY r.id
"""
MEMBERS_TWICE = """
SELECT a.source, COUNT(*) - 1, a.name || ': ' || m.path FROM members m JOIN archives a ON a.id = m.archive
WHERE m.path IS NOT NULL GROUP BY m.archive, m.path HAVING COUNT(*) > 1
"""
ORPHANS = """
SELECT a.source, 1, a.name || ': ' || m.name FROM members m JOIN archives a ON a.id = m.archive
WHERE m.path IS NOT NULL AND (m.archive, m.path) NOT IN (
    SELECT n.archive, n.path FROM joined j CROSS JOIN members n ON n.archive = j.archive AND n.ordinal = j.ordinal
) ORDER BY m.archive, m.ordinal
"""
SAME_IMAGE = """
SELECT source, COUNT(*) - 1, MIN(name) || ', ' || MAX(name) FROM (
    SELECT DISTINCT a.source, m.archive, m.ordinal, m.name, m.sha256 FROM joined j
    JOIN archives a ON a.id = j.archive JOIN members m ON m.archive = j.archive AND m.ordinal = j.ordinal
) GROUP BY source, sha256 HAVING COUNT(*) > 1
"""


class PublishedError(Exception):
    """The folder cannot be imported; the message says what to do."""


@dataclass(frozen=True, slots=True)
class ImageArchive:
    """An image archive of a source, whole or in parts."""

    id: int
    source: str
    name: str  # relative to the published folder, of the first file
    year: int | None
    files: tuple[Path, ...]

    @contextmanager
    def entries(self) -> Iterator[tuple["Forward", Iterator[TarEntry]]]:
        """Open the archive: its unpacked bytes, and the entries of the tar in them.

        Raises:
            Refused: corrupt, truncated or too_large, when the walk comes to the place.
        """
        n_bytes = sum(file.stat().st_size for file in self.files)
        openers: list[Callable[[], BinaryIO]] = [partial(open_file, file) for file in self.files]
        with BufferedReader(Joined(iter(openers)), PART_BUFFER_BYTES) as packed:
            budget = Budget(n_bytes, LIMITS)
            forward = Forward(unpacked(packed), budget)
            yield forward, counted(tar_entries(forward), budget)


def open_file(path: Path) -> BinaryIO:
    """Open a file for reading."""
    return path.open("rb")


def counted(entries: Iterator[TarEntry], budget: Budget) -> Iterator[TarEntry]:
    """Pass entries on as long as there are not too many."""
    for entry in entries:
        budget.count_member()
        yield entry


class Forward:
    """Unpacked bytes, read forward in pieces of one size, so that two readings stop at the same damage."""

    def __init__(self, stream: BinaryIO, budget: Budget) -> None:
        self._stream, self._budget = stream, budget
        self._pending, self._at, self._position = b"", 0, 0

    def tell(self) -> int:
        """Return how many bytes were read."""
        return self._position

    def read(self, n_bytes: int, /) -> bytes:
        """Return the next bytes, fewer only at the end.

        Raises:
            Refused: corrupt, truncated or too_large.
            OSError: The file could not be read, which says nothing of what it holds.
        """
        parts, left = [], n_bytes
        while left:
            if self._at == len(self._pending):
                self._pending, self._at = self._piece(), 0
                if not self._pending:
                    break
            part = self._pending[self._at : self._at + left]
            self._at, left = self._at + len(part), left - len(part)
            parts.append(part)
        data = b"".join(parts)
        self._position += len(data)
        return data

    def _piece(self) -> bytes:
        try:
            piece = self._stream.read(PIECE_BYTES)
        except EOFError:
            raise Refused(
                Rejection.TRUNCATED, f"gzip ends without its trailer after {self._position} bytes"
            ) from None
        except DAMAGE as error:
            if isinstance(error, OSError) and error.errno is not None:  # of the disk, not of the format
                raise
            raise Refused(Rejection.CORRUPT, f"gzip, after {self._position} bytes: {error}") from None
        self._budget.spend(len(piece))
        return piece


def goes_on(stream: Forward) -> bool:
    """Read to the end, which holds the checksum; return whether more than zeros followed, as of a second tar."""
    found = False
    while piece := stream.read(PIECE_BYTES):
        found = found or bool(piece.strip(b"\0"))
    return found


@dataclass(frozen=True, slots=True)
class Lines:
    """A file of records."""

    source: str
    name: str  # relative to the published folder
    path: Path
    year: int | None  # that its name holds


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """Some papers of one partition, whole, whose images lie near one another."""

    partition: str
    source: str
    year: int
    number: int
    position: int  # of the first image

    @property
    def name(self) -> str:
        """What the shard is called in the store."""
        return f"published-{self.number:05d}"


@dataclass(frozen=True, slots=True)
class Placed:
    """A figure, and where its image lies: archive and ordinal of the member."""

    figure: PublishedFigure
    place: tuple[int, int] | None
    sha256: bytes | None  # of its image


class PublishedIndex:
    """Records and members of one published folder, joined and planned into shards."""

    def __init__(
        self, folder: Path, scratch: Path, *, findings: Findings, fallback_year: int | None, report: Report
    ) -> None:
        self._db = sqlite3.connect(scratch / "index.sqlite")
        self._db.executescript(SCHEMA)
        self._db.execute(f"PRAGMA temp_store_directory = '{str(scratch).replace(chr(39), chr(39) * 2)}'")
        self._findings, self._fallback_year, self._report = findings, fallback_year, report
        self.n_lines = 0
        self._lines, self._archives = self._found(folder)
        self._by_id = {archive.id: archive for archive in self._archives}

    def close(self) -> None:
        """Close the index; its file is the caller's to remove."""
        self._db.close()

    def archive(self, archive_id: int) -> ImageArchive:
        """Return an archive by its id."""
        return self._by_id[archive_id]

    def _found(self, folder: Path) -> tuple[list[Lines], list[ImageArchive]]:
        lines: list[Lines] = []
        archives: list[ImageArchive] = []
        for own, source in source_folders(folder):
            if source is None:
                self._findings.add(own.name, Defect.FOLDER_UNKNOWN, str(own.relative_to(folder)))
                continue
            files = sorted(path for path in (own / "jsonl").glob("*.jsonl") if path.is_file())
            lines += [
                Lines(source, str(path.relative_to(folder)), path, known(year_in(path.stem)))
                for path in files
            ]
            names = [path.name for path in own.iterdir() if path.is_file()]
            for each in archives_among(names):
                self._note(source, own.relative_to(folder), each)
                if each.files:
                    paths = tuple(own / name for name in each.files)
                    name = str(paths[0].relative_to(folder))
                    archives.append(ImageArchive(len(archives), source, name, each.year, paths))
        if not lines:
            raise PublishedError(
                f"{folder} holds no <source>/jsonl/*.jsonl: name the folder that arXiv/, bioRxiv/ … lie in"
            )
        return lines, archives

    def _note(self, source: str, folder: Path, archive: ArchiveFiles) -> None:
        for defect, names in (
            (Defect.ARCHIVE_PART_MISSING, archive.missing),
            (Defect.ARCHIVE_SHADOWED, archive.shadowed),
        ):
            for name in names:
                self._findings.add(source, defect, str(folder / name))

    # --- reading -------------------------------------------------------------------------------------------

    def read_records(self) -> None:
        """Index every line of every source, and drop those that a later one repeats or replaces."""
        for number, file in enumerate(self._lines):
            self._report(f"reading {file.name}")
            rows = self._rows(file, number)
            while some := list(islice(rows, ROWS_PER_WRITE)):
                self._db.executemany(
                    "INSERT INTO records (source, file, line, at, n_bytes, sha256, digest, paper, arxiv, doi,"
                    " year, path, loose) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?)",
                    some,
                )
        self._db.execute("CREATE INDEX by_path ON records (source, year, path, paper)")
        self._drop_twins()
        self._drop_beyond()
        self._db.execute("CREATE INDEX by_paper ON records (source, paper)")
        self._db.execute(
            "INSERT INTO papers SELECT source, paper, MIN(year) FROM records GROUP BY source, paper"
        )
        self._add_all(Defect.PAPER_IN_TWO_YEARS, MANY_YEARS)
        self._add_all(Defect.IN_TWO_SOURCES, MANY_SOURCES.format(id="doi"))
        self._add_all(Defect.IN_TWO_SOURCES, MANY_SOURCES.format(id="arxiv"))

    def _rows(self, file: Lines, number: int) -> Iterator[tuple[object, ...]]:
        with file.path.open("rb") as stream:
            if stream.read(len(POINTER)) == POINTER:
                self._findings.add(file.source, Defect.POINTER_FILE, file.name)
                return
            stream.seek(0)
            for line, at, text in lines_of(stream):
                self.n_lines += 1
                row = self._row(file, f"{file.name}:{line}", text)
                if row is not None:
                    yield (
                        file.source,
                        number,
                        line,
                        at,
                        len(text),
                        hashlib.sha256(text).digest(),
                        *row,
                    )

    def _row(self, file: Lines, where: str, text: bytes) -> tuple[object, ...] | None:
        """Return digest, ids, years and joining paths of a line; None where it is no record."""
        if len(text) > MAX_LINE_BYTES:
            self._findings.add(file.source, Defect.LINE_TOO_LONG, where)
            return None
        try:
            record = read_record(text, file.source)
        except Malformed as error:
            self._findings.add(file.source, Defect.LINE_MALFORMED, f"{where}: {error}")
            return None
        paper = paper_of(record, file.source)
        if paper is None:
            self._findings.add(file.source, Defect.IDS_MISSING, where)
            return None
        year = file.year or known(paper.year) or self._fallback_year
        if year is None:
            self._findings.add(file.source, Defect.YEAR_UNKNOWN, f"{where}: {paper.paper_id}")
            return None
        path = joining_path(record.image_path) if record.image_path else None
        self._note_record(file.source, where, record)
        if not paper.is_id:
            self._findings.add(
                file.source, Defect.ID_IS_NONE, f"{where}: {record.arxiv_id or ''} {record.doi or ''}"
            )
        joins = (path.path, path.loose) if path else (None, None)
        return record.digest(), paper.paper_id, paper.arxiv_id, paper.doi, year, *joins

    def _note_record(self, source: str, where: str, record: PublishedRecord) -> None:
        path = joining_path(record.image_path) if record.image_path else None
        for defect, is_met in (
            (Defect.PATH_UNJOINABLE, path is None),
            (Defect.PATH_PREFIXED, path is not None and path.is_prefixed),
            (Defect.PATH_DOTTED, path is not None and path.is_dotted),
            (Defect.CAPTION_EMPTY, not record.caption),
            (Defect.RECAPTION_EMPTY, not record.recaption),
        ):
            if is_met:
                self._findings.add(source, defect, f"{where}: {record.image_path}")

    def _drop_twins(self) -> None:
        """Of records of one image of one paper, keep the last, in the order of files and lines."""
        self._db.execute("CREATE TEMP TABLE dropped (id INTEGER PRIMARY KEY)")
        twins = self._db.execute(TWINS)
        while some := twins.fetchmany(ROWS_PER_WRITE):
            self._db.executemany("INSERT INTO dropped VALUES (?)", [(row[0],) for row in some])
            for _, source, file, line, is_same in some:
                defect = Defect.DUPLICATE_RECORD if is_same else Defect.RECORD_REPLACED
                self._findings.add(source, defect, f"{self._lines[file].name}:{line}")
        self._db.execute("DELETE FROM records WHERE id IN (SELECT id FROM dropped)")

    def _drop_beyond(self) -> None:
        """Of a paper with more records than are held at a time, keep the first."""
        self._db.execute("CREATE TEMP TABLE beyond (id INTEGER PRIMARY KEY)")
        rows = self._db.execute(BEYOND, (MAX_PAPER_RECORDS, MAX_PAPER_BYTES))
        while some := rows.fetchmany(ROWS_PER_WRITE):
            self._db.executemany("INSERT INTO beyond VALUES (?)", [(row[0],) for row in some])
            for _, source, file, line, paper in some:
                self._findings.add(
                    source, Defect.PAPER_TOO_LARGE, f"{self._lines[file].name}:{line}: {paper}"
                )
        self._db.execute("DELETE FROM records WHERE id IN (SELECT id FROM beyond)")

    def _add_all(self, defect: Defect, query: str) -> None:
        for source, n, example in self._db.execute(query):
            self._findings.add(source, defect, example or "", n)

    def partitions(self) -> list[str]:
        """Return the keys of the partitions that have records, by source and year."""
        found = self._db.execute("SELECT DISTINCT source, year FROM papers ORDER BY source, year")
        return [partition_key(source, year) for source, year in found]

    # --- archives ------------------------------------------------------------------------------------------

    def read_archives(self, partitions: Iterable[str]) -> None:
        """Index the members of every archive that partitions may have images in, and join them to records."""
        wanted = set(partitions)
        needed = {
            (source, own_year)
            for source, year, own_year in self._db.execute(
                "SELECT DISTINCT r.source, p.year, r.year FROM records r"
                " JOIN papers p ON p.source = r.source AND p.paper = r.paper"
            )
            if partition_key(source, year) in wanted
        }
        sources = {source for source, _ in needed}
        for archive in self._archives:
            if (archive.source, archive.year) in needed or (
                archive.year is None and archive.source in sources
            ):
                self._read_archive(archive)
        there = {(archive.source, archive.year) for archive in self._archives}
        for source, year in sorted(needed):
            if (source, year) not in there and (source, None) not in there:
                self._findings.add(source, Defect.ARCHIVE_MISSING, f"images_{year}.tar.gz")
        self._join()

    def _read_archive(self, archive: ImageArchive) -> None:
        self._report(f"reading {archive.name}")
        self._db.execute(
            "INSERT INTO archives VALUES (?,?,?,?)", (archive.id, archive.source, archive.year, archive.name)
        )
        if is_pointer(archive.files[0]):
            self._findings.add(archive.source, Defect.POINTER_FILE, archive.name)
            return
        try:
            with archive.entries() as (stream, entries):
                rows = (self._member(archive, i, entry, stream) for i, entry in enumerate(entries))
                for row in rows:  # one by one: what was read before damage counts
                    if row is not None:
                        self._db.execute("INSERT INTO members VALUES (?,?,?,?,?,?,?)", row)
                if goes_on(stream):
                    self._findings.add(archive.source, Defect.ARCHIVE_GOES_ON, archive.name)
        except Refused as error:
            defect = OF_REFUSAL.get(error.rejection, Defect.ARCHIVE_CORRUPT)
            self._findings.add(archive.source, defect, f"{archive.name}: {error.evidence}")

    def _member(
        self, archive: ImageArchive, ordinal: int, entry: TarEntry, stream: Forward
    ) -> tuple[object, ...] | None:
        """Digest a member. One of no use is no row, but counts as an ordinal."""
        name = entry.name.decode("utf-8", "replace")
        path = joining_path(name)
        if entry.is_folder and not entry.oddity:
            return None
        if entry.oddity or path is None:
            what = entry.oddity or "name leads outside"
            self._findings.add(archive.source, Defect.MEMBER_REFUSED, f"{archive.name}: {name}: {what}")
            return None
        digest, left = hashlib.sha256(), entry.size
        while left and (data := stream.read(min(left, PIECE_BYTES))):
            digest.update(data)
            left -= len(data)
        if left:
            raise Refused(Rejection.TRUNCATED, f"tar ends inside {name!r}")
        return archive.id, ordinal, name, path.path, path.loose, entry.size, digest.digest()

    def _join(self) -> None:
        self._report("joining records and images")
        self._db.execute("CREATE INDEX by_name ON members (archive, path)")
        self._db.execute("CREATE INDEX by_loose_name ON members (archive, loose)")
        self._db.execute(JOIN_BY_PATH)
        self._db.executescript(TAKE_FROM_ALL)
        self._db.execute("CREATE INDEX by_member ON joined (archive, ordinal)")
        self._db.execute(JOIN_LOOSELY)
        for defect, query in (
            (Defect.JOINED_LOOSELY, LOOSE),
            (Defect.MEMBER_TWICE, MEMBERS_TWICE),
            (Defect.ORPHAN_IMAGE, ORPHANS),
            (Defect.IMAGE_TWICE, SAME_IMAGE),
        ):
            self._add_all(defect, query)

    # --- shards --------------------------------------------------------------------------------------------

    def plan(self, partitions: Iterable[str], *, max_figures: int, max_bytes: int) -> list[PlannedShard]:
        """Cut partitions into shards of whole papers, in the order of their first images; return all in that order.

        Args:
            partitions: Their keys.
            max_figures: Of one shard; a paper that has more is a shard by itself.
            max_bytes: Of the lines and images of one shard; the same.
        """
        shards = []
        for key in partitions:
            source, _, year = key.partition("|")
            shards += self._plan_one(source, int(year), max_figures, max_bytes)
            self._add_missing(source, int(year))
        self._db.execute("CREATE INDEX by_shard ON plan (source, year, shard)")
        return sorted(shards, key=lambda shard: (shard.position, shard.partition, shard.number))

    def _plan_one(self, source: str, year: int, max_figures: int, max_bytes: int) -> list[PlannedShard]:
        shards: list[PlannedShard] = []
        n_figures = n_bytes = 0
        papers = self._db.execute(
            "SELECT r.paper, MIN(IFNULL(j.archive * 1099511627776 + j.ordinal, 9223372036854775807)) position,"
            " COUNT(*), SUM(r.n_bytes + IFNULL(m.n_bytes, 0)) FROM papers p"
            " JOIN records r ON r.source = p.source AND r.paper = p.paper"
            " LEFT JOIN joined j ON j.record = r.id"
            " LEFT JOIN members m ON m.archive = j.archive AND m.ordinal = j.ordinal"
            " WHERE p.source = ? AND p.year = ? GROUP BY r.paper ORDER BY position, r.paper",
            (source, year),
        )
        while some := papers.fetchmany(ROWS_PER_WRITE):
            rows = []
            for paper, position, own_figures, own_bytes in some:
                n_figures, n_bytes = n_figures + own_figures, n_bytes + own_bytes
                if not shards or n_figures > max_figures or n_bytes > max_bytes:
                    key = partition_key(source, year)
                    shards.append(PlannedShard(key, source, year, len(shards), position))
                    n_figures, n_bytes = own_figures, own_bytes
                rows.append((source, year, len(shards) - 1, position, paper))
            self._db.executemany("INSERT INTO plan VALUES (?,?,?,?,?)", rows)
        return shards

    def _add_missing(self, source: str, year: int) -> None:
        missing = self._db.execute(
            "SELECT r.file, r.line, r.path, r.id IN (SELECT record FROM shared)"
            " FROM papers p JOIN records r ON r.source = p.source AND r.paper = p.paper"
            " WHERE p.source = ? AND p.year = ? AND r.path IS NOT NULL"
            " AND r.id NOT IN (SELECT record FROM joined) ORDER BY r.id",
            (source, year),
        )
        for file, line, path, is_shared in missing:
            defect = Defect.PATH_SHARED if is_shared else Defect.IMAGE_MISSING
            self._findings.add(source, defect, f"{self._lines[file].name}:{line}: {path}")

    def count(self, partitions: Iterable[str]) -> int:
        """Return how many records partitions have."""
        wanted = set(partitions)
        counts = self._db.execute(
            "SELECT r.source, p.year, COUNT(*) FROM records r"
            " JOIN papers p ON p.source = r.source AND p.paper = r.paper GROUP BY r.source, p.year"
        )
        return sum(n for source, year, n in counts if partition_key(source, year) in wanted)

    def digest(self, shard: PlannedShard) -> str:
        """Return a digest of everything that a shard is made from."""
        digest = hashlib.sha256()
        for row in self._db.execute(FIGURES, (shard.source, shard.year, shard.number)):
            paper, file, line, at, n_bytes, sha256, name, _, _, _, image, is_shared = row
            made_from = (paper, self._lines[file].name, line, at, n_bytes, sha256, name, image, is_shared)
            digest.update(repr(made_from).encode())
        return digest.hexdigest()

    def paper_ids(self, shard: PlannedShard) -> list[str]:
        """Return the papers of a shard, in order of their ids."""
        query = "SELECT paper FROM plan WHERE source = ? AND year = ? AND shard = ? ORDER BY paper"
        return [paper for (paper,) in self._db.execute(query, (shard.source, shard.year, shard.number))]

    def places(self, shard: PlannedShard) -> dict[tuple[int, int], int]:
        """Return where the images of a shard lie, with their sizes in bytes; not those that are too large."""
        rows = self._db.execute(FIGURES, (shard.source, shard.year, shard.number))
        return {(row[8], row[9]): row[7] for row in rows if row[8] is not None and row[7] <= MAX_IMAGE_BYTES}

    def papers(self, shard: PlannedShard) -> Iterator[list[Placed]]:
        """Yield the figures of each paper of a shard, in the order of their image paths, which numbers them."""
        own: list[Placed] = []
        for row in self._db.execute(FIGURES, (shard.source, shard.year, shard.number)):
            paper, file, line, at, n_bytes, sha256, name, size, archive, ordinal, image, is_shared = row
            if own and own[0].figure.paper_id != paper:
                yield own
                own = []
            figure = PublishedFigure(
                figure_id=f"{shard.source}:{paper}#{len(own) + 1}.1",
                paper_id=paper,
                record=self._record(file, at, n_bytes, sha256),
                uri=self._lines[file].name,
                line=line,
                offset=at,
                line_bytes=n_bytes,
                line_sha256=sha256,
                member=name,
                member_bytes=size,
                is_shared=bool(is_shared),
            )
            own.append(Placed(figure, None if archive is None else (archive, ordinal), image))
        if own:
            yield own

    def _record(self, file: int, at: int, n_bytes: int, sha256: bytes) -> PublishedRecord:
        lines = self._lines[file]
        with lines.path.open("rb") as stream:
            stream.seek(at)
            text = stream.read(n_bytes)
        if hashlib.sha256(text).digest() != sha256:
            raise PublishedError(f"{lines.name} changed while it was imported: import again")
        return read_record(text, lines.source)


def known(year: int | None) -> int | None:
    """Return a year for which there are partitions, else None."""
    return year if year in YEARS else None


def source_folders(folder: Path) -> list[tuple[Path, str | None]]:
    """Return the folders with records in a published folder, or it itself where it has records, with their sources."""
    if (folder / "jsonl").is_dir():
        return [(folder, source_of(folder.resolve().name))]
    inside = sorted(folder.iterdir()) if folder.is_dir() else []
    return [(each, source_of(each.name)) for each in inside if (each / "jsonl").is_dir()]


def is_pointer(file: Path) -> bool:
    """Whether a file only says what would be there if it were downloaded."""
    with file.open("rb") as stream:
        return stream.read(len(POINTER)) == POINTER


def lines_of(stream: BinaryIO) -> Iterator[tuple[int, int, bytes]]:
    """Yield number from 1, offset and bytes of each line that is not blank; of a long one, not all of it."""
    number = at = 0
    while line := stream.readline(MAX_LINE_BYTES + 1):
        number += 1
        n_bytes, end = len(line), line
        while not end.endswith(b"\n") and (end := stream.readline(MAX_LINE_BYTES)):
            n_bytes += len(end)
        if line.strip():
            yield number, at, line
        at += n_bytes
