"""The import of a published folder: its figures and recaptions as shards of ours, which the pipeline goes on from.

Images come out of an archive in its order, and shards need them paper by paper. So they are spooled: of as many
shards ahead as the spool may hold, and an archive is read again only where it is scattered over more than that.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import polars as pl

from s1mm_assets.archives.limits import GIB, MIB
from s1mm_assets.archives.published import (
    DROPPED,
    METHOD,
    VERSION,
    Defect,
    Findings,
    archive_row,
    figure_row,
    metadata_row,
    paper_row,
    recaption_row,
)
from s1mm_assets.archives.tar import TarEntry
from s1mm_assets.resources.published_index import (
    Forward,
    Placed,
    PlannedShard,
    PublishedError,
    PublishedIndex,
    Report,
)
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import (
    Archive,
    FigureCandidate,
    Metadata,
    Paper,
    Recaption,
    Rejection,
    frame_of,
)

Known = Callable[[str, int, Sequence[str]], Mapping[str, Metadata]]
"""Source, year and ids of papers → what is known of some of them."""

SETTINGS = {"imported_from": "the published layout of S1-MMAlign"}
BYTES_PER_WRITE = 16 * MIB
ROWS_PER_WRITE = 500
MAX_SPOOLED = 100_000  # images; where each lies is held in memory
OF_IMAGES = {
    Rejection.IMAGE_UNREADABLE: Defect.IMAGE_UNREADABLE,
    Rejection.IMAGE_UNSUPPORTED: Defect.IMAGE_UNSUPPORTED,
    Rejection.IMAGE_TOO_LARGE: Defect.IMAGE_TOO_LARGE,
}
FILTERED = "filtered_figures"


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportLimits:
    """How much is held at a time."""

    max_figures: int = 4_000  # of a shard
    max_shard_bytes: int = 512 * MIB  # its images and lines
    max_spool_bytes: int = 8 * GIB  # of images on disk, shards ahead included


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Where the lines of a folder went. `lines` is the sum of the others."""

    lines: int
    rows: int
    dropped: int  # each of them counted as a defect
    not_chosen: int  # of other partitions than those imported


class PublishedImport:
    """One import of a published folder into a store. A context manager: its scratch files go with it."""

    def __init__(
        self,
        folder: Path,
        store: ShardStore,
        *,
        report: Report,
        metadata: Known = lambda source, year, paper_ids: {},
        fallback_year: int | None = None,
        scratch: Path | None = None,
        limits: ImportLimits | None = None,
    ) -> None:
        """Look at what is there; nothing is read yet.

        Args:
            folder: Holds arXiv/, bioRxiv/ and so on.
            store: Receives the shards.
            report: Receives a line per step.
            metadata: What a source knows of papers by their ids: licences, authors, abstracts.
            fallback_year: Of papers whose year neither a file's name nor an id tells.
            scratch: Where the index and the spool go.
            limits: How much is held at a time.

        Raises:
            PublishedError: The folder holds no records.
        """
        self.findings = Findings()
        self._store, self._report, self._metadata = store, report, metadata
        self._limits = limits or ImportLimits()
        self._opened = ExitStack()
        with self._opened:
            self._scratch = Path(
                self._opened.enter_context(tempfile.TemporaryDirectory(prefix="s1mm-import-", dir=scratch))
            )
            self._index = PublishedIndex(
                folder, self._scratch, findings=self.findings, fallback_year=fallback_year, report=report
            )
            self._opened.callback(self._index.close)
            self._opened = self._opened.pop_all()
        self._spool: Spool | None = None
        self._known: tuple[PlannedShard | None, Mapping[str, Metadata]] = (None, {})
        self._shards: dict[str, list[PlannedShard]] = {}

    def __enter__(self) -> "PublishedImport":
        """Start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove the scratch files."""
        if self._spool:
            self._spool.close()
        self._opened.close()

    # --- figures -------------------------------------------------------------------------------------------

    def land(self, partitions: Sequence[str] | None = None) -> list[str]:
        """Fill raw_archives and figure_candidates, shard by shard; return the keys of the partitions.

        Shards that are there already, made from the same records and images, are left as they are.

        Raises:
            PublishedError: A partition has no records, or was built from a source of ours.
        """
        self._index.read_records()
        there = self._index.partitions()
        keys = sorted(set(partitions)) if partitions else there
        for key in keys:
            if key not in there:
                raise PublishedError(f"the folder has no records for {key}; it has: {', '.join(there[:20])}")
            landed = self._store.pinned("raw_archives", key)
            if landed and not is_imported(landed):
                raise PublishedError(f"{key} was built from its own papers: import into another store")
        self._index.read_archives(keys)
        limits = self._limits
        planned = self._index.plan(keys, max_figures=limits.max_figures, max_bytes=limits.max_shard_bytes)
        self._spool = Spool(self._index, planned, self._scratch / "spool", limits.max_spool_bytes)
        self._shards = {key: [] for key in keys}
        for shard in planned:
            self._shards[shard.partition].append(shard)
        for shard in planned:
            for stage in self._stages(shard.partition):
                self._store.derive(stage, shard.partition, shards=[shard.name], report=self._report)
        for key in keys:
            for stage in self._stages(key):
                self._store.pin(self._store.derive(stage, key, shards=self._names(key)))
        return keys

    def _names(self, key: str) -> list[str]:
        return sorted(shard.name for shard in self._shards[key])

    def _stages(self, key: str) -> list[Stage]:
        """Return the stages that fill the tables before the filters."""
        by_name = {shard.name: shard for shard in self._shards[key]}

        def made(
            asset: str, tables: Mapping[str, type], make: Callable[[PlannedShard, ShardWriter], None]
        ) -> Stage:
            return Stage(
                asset=asset,
                version=f"published-{VERSION}",
                tables=tables,
                make=lambda reader, writer: make(by_name[reader.shard], writer),
                settings=SETTINGS,
                shard_inputs=lambda shard: self._made_from(by_name[shard]),
            )

        return [
            made("raw_archives", {"archives": Archive, "metadata": Metadata}, self._write_papers),
            made("figure_candidates", {"papers": Paper, "figures": FigureCandidate}, self._write_figures),
        ]

    def _made_from(self, shard: PlannedShard) -> dict[str, str]:
        known = [repr(row) for _, row in sorted(self._known_of(shard).items())]
        digest = hashlib.sha256("\n".join(known).encode("utf-8", "surrogatepass"))
        return {"records": self._index.digest(shard), "metadata": digest.hexdigest()}

    def _known_of(self, shard: PlannedShard) -> Mapping[str, Metadata]:
        """Return what the source knows of a shard's papers; of the last shard it is kept."""
        if self._known[0] != shard:
            found = self._metadata(shard.source, shard.year, self._index.paper_ids(shard))
            self._known = (shard, found)
        return self._known[1]

    def _metadata_row(self, shard: PlannedShard, paper: Sequence[Placed]) -> Metadata:
        own = [placed.figure for placed in paper]
        return metadata_row(own, shard.source, self._known_of(shard).get(own[0].paper_id))

    def _write_papers(self, shard: PlannedShard, writer: ShardWriter) -> None:
        for papers in grouped(self._index.papers(shard)):
            rows = [
                archive_row([placed.figure for placed in paper], shard.source, shard.year) for paper in papers
            ]
            writer.write("archives", frame_of(Archive, rows))
            known = [self._metadata_row(shard, paper) for paper in papers]
            writer.write("metadata", frame_of(Metadata, known))

    def _write_figures(self, shard: PlannedShard, writer: ShardWriter) -> None:
        if self._spool is None:
            raise RuntimeError("nothing was planned")
        self._spool.bring(shard)
        for paper in self._index.papers(shard):
            rows: list[FigureCandidate] = []
            n_images = n_bytes = 0
            for placed in paper:
                rows.append(figure_row(placed.figure, self._spool.image(shard, placed)))
                n_images += rows[-1].image is not None
                n_bytes += rows[-1].image_size_bytes or 0
                if n_bytes > BYTES_PER_WRITE:
                    writer.write("figures", frame_of(FigureCandidate, rows))
                    rows, n_bytes = [], 0
            writer.write("figures", frame_of(FigureCandidate, rows))
            row = paper_row(self._metadata_row(shard, paper), n_rows=len(paper), n_images=n_images)
            writer.write("papers", frame_of(Paper, [row]))

    # --- recaptions ----------------------------------------------------------------------------------------

    def recaption(self, key: str) -> ShardSet:
        """Fill recaptions with what was published of the figures that filtered_figures keeps.

        Raises:
            PublishedError: filtered_figures has not been materialized for the partition.
        """
        decisions = self._store.pinned(FILTERED, key)
        if decisions is None:
            raise PublishedError(f"{FILTERED} has not been materialized for {key}: materialize it first")
        by_name = {shard.name: shard for shard in self._shards[key]}

        def make(reader: ShardReader, writer: ShardWriter) -> None:
            rows = reader.read(FILTERED, "decisions")
            kept = set(rows.filter(pl.col("rejection").is_null())["figure_id"])
            for papers in grouped(self._index.papers(by_name[reader.shard])):
                own = [placed.figure for paper in papers for placed in paper]
                found = [recaption_row(figure) for figure in own if figure.figure_id in kept]
                writer.write("recaptions", frame_of(Recaption, found))

        stage = Stage(
            asset="recaptions",
            version=f"published-{VERSION}",
            tables={"recaptions": Recaption},
            make=make,
            reads={FILTERED: {"decisions": ("figure_id", "rejection")}},
            settings={**SETTINGS, "engine": METHOD},
            shard_inputs=lambda shard: {"records": self._index.digest(by_name[shard])},
        )
        recaptions = self._store.derive(stage, key, inputs=[decisions], report=self._report)
        self._store.pin(recaptions)
        return recaptions

    # --- what was found ------------------------------------------------------------------------------------

    def count_images(self, key: str) -> None:
        """Add to the findings which images of a partition the filters could not use as images."""
        decisions = self._store.pinned(FILTERED, key)
        if decisions is None:
            return
        source = key.partition("|")[0]
        for rows in self._store.scan(decisions, "decisions", ["figure_id", "rejection", "evidence"]):
            for figure_id, rejection, evidence in rows.drop_nulls("rejection").iter_rows():
                if rejection in OF_IMAGES:
                    defect = OF_IMAGES[Rejection(rejection)]
                    self.findings.add(source, defect, f"{figure_id}: {evidence or ''}")

    def tally(self) -> Tally:
        """Say where the lines went.

        Raises:
            RuntimeError: A line was lost, or a row invented.
        """
        landed = [self._store.pinned("figure_candidates", key) for key in self._shards]
        n_chosen = self._index.count(self._shards)
        tally = Tally(
            lines=self._index.n_lines,
            rows=sum(handle.n_rows("figures") for handle in landed if handle),
            dropped=self.findings.n(*DROPPED),
            not_chosen=self._index.count(self._index.partitions()) - n_chosen,
        )
        if tally.lines != tally.rows + tally.dropped + tally.not_chosen:
            raise RuntimeError(f"lines were lost or invented: {tally}")
        return tally


def is_imported(handle: ShardSet) -> bool:
    """Whether a partition came from a published folder."""
    return any(commit.made_from["settings"] == SETTINGS for commit in handle.shards)


def imported_partitions(store: ShardStore) -> set[str]:
    """Return the keys of the partitions that came from a published folder: their raw_archives no source delivers."""
    handles = {key: store.pinned("raw_archives", key) for key in store.partitions("raw_archives")}
    return {key for key, handle in handles.items() if handle and is_imported(handle)}


def grouped(papers: Iterator[list[Placed]]) -> Iterator[list[list[Placed]]]:
    """Group papers, so that what is written at a time has some hundred figures."""
    group: list[list[Placed]] = []
    n_figures = 0
    for paper in papers:
        group.append(paper)
        n_figures += len(paper)
        if n_figures >= ROWS_PER_WRITE:
            yield group
            group, n_figures = [], 0
    if group:
        yield group


class Spool:
    """Images on their way from archives to shards. Of one shard there is always room for all."""

    def __init__(
        self, index: PublishedIndex, shards: Sequence[PlannedShard], folder: Path, max_bytes: int
    ) -> None:
        self._index, self._shards, self._folder, self._max_bytes = index, shards, folder, max_bytes
        self._order = {(shard.partition, shard.number): i for i, shard in enumerate(shards)}
        self._wanted: dict[int, dict[tuple[int, int], int]] = {}  # shard → place → bytes; of those admitted
        self._walk: Walk | None = None
        self.n_walks = 0

    def bring(self, shard: PlannedShard) -> None:
        """Read archives forward until every image of a shard is spooled, and those of shards ahead on the way.

        Raises:
            PublishedError: An archive is not what it was when it was indexed.
        """
        turn = self._order[shard.partition, shard.number]
        self._release(turn)
        self._admit(turn)
        missing = sorted(place for place in self._wanted[turn] if not self._path(turn, place).exists())
        for archive in sorted({archive for archive, _ in missing}):
            ordinals = [ordinal for each, ordinal in missing if each == archive]
            if self._walk is None or not self._walk.comes_to(archive, ordinals[0]):
                self.close()
                self._walk = Walk(self._index, archive)
                self.n_walks += 1
            for ordinal, entry, stream in self._walk.until(ordinals[-1]):
                self._keep((archive, ordinal), entry, stream)

    def image(self, shard: PlannedShard, placed: Placed) -> bytes | None:
        """Return the image of a figure; None where there is none, or none that is small enough.

        Raises:
            PublishedError: It is not the one that was indexed.
        """
        turn = self._order[shard.partition, shard.number]
        if placed.place is None or placed.place not in self._wanted[turn]:
            return None
        image = self._path(turn, placed.place).read_bytes()
        if hashlib.sha256(image).digest() != placed.sha256:
            raise PublishedError(f"{placed.figure.member} changed while it was imported: import again")
        return image

    def close(self) -> None:
        """Close the archive that is open."""
        if self._walk:
            self._walk.close()
            self._walk = None

    def _path(self, turn: int, place: tuple[int, int]) -> Path:
        return self._folder / str(turn) / f"{place[0]}-{place[1]}"

    def _release(self, turn: int) -> None:
        for done in [each for each in self._wanted if each < turn]:
            del self._wanted[done]
            shutil.rmtree(self._folder / str(done), ignore_errors=True)

    def _admit(self, turn: int) -> None:
        """Take as many shards, from this one on, as the spool holds."""
        n_bytes = sum(sum(places.values()) for places in self._wanted.values())
        n_files = sum(map(len, self._wanted.values()))
        for i in range(turn, len(self._shards)):
            if i not in self._wanted:
                places = self._index.places(self._shards[i])
                n_bytes, n_files = n_bytes + sum(places.values()), n_files + len(places)
                if i > turn and (n_bytes > self._max_bytes or n_files > MAX_SPOOLED):
                    return
                self._wanted[i] = places
                (self._folder / str(i)).mkdir(parents=True)

    def _keep(self, place: tuple[int, int], entry: TarEntry, stream: Forward) -> None:
        """Write a member down for every shard that waits for it."""
        turns = [
            turn
            for turn, places in self._wanted.items()
            if place in places and not self._path(turn, place).exists()
        ]
        data = stream.read(entry.size) if turns else b""
        for turn in turns:
            partial = self._folder / "partial"
            partial.write_bytes(data)
            partial.replace(self._path(turn, place))


class Walk:
    """One reading of an archive, forward."""

    def __init__(self, index: PublishedIndex, archive: int) -> None:
        self.archive = archive
        self._name = index.archive(archive).name
        self._opened = ExitStack()
        self._stream, entries = self._opened.enter_context(index.archive(archive).entries())
        self._entries = enumerate(entries)
        self._next = 0

    def comes_to(self, archive: int, ordinal: int) -> bool:
        """Whether a member is yet to come."""
        return archive == self.archive and ordinal >= self._next

    def until(self, last: int) -> Iterator[tuple[int, TarEntry, Forward]]:
        """Yield ordinal, entry and the stream at its data, up to a member."""
        while self._next <= last:
            found = next(self._entries, None)
            if found is None:
                raise PublishedError(f"{self._name} changed while it was imported: import again")
            ordinal, entry = found
            self._next = ordinal + 1
            yield ordinal, entry, self._stream

    def close(self) -> None:
        """Close the archive."""
        self._opened.close()


def as_json(tally: Tally, findings: Findings) -> dict[str, Any]:
    """Return the report of an import as a JSON value."""
    return {
        "lines": tally.lines,
        "rows": tally.rows,
        "dropped": tally.dropped,
        "not_chosen": tally.not_chosen,
        "defects": findings.rows().to_dicts(),
    }
