"""raw_archives: one row for each paper as delivered, one for what is known of it.

Papers are inspected in a table of their own, archive_inspections, which depends on their bytes alone: news of a paper's
licence or title make its metadata again, and read no archive.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace

import polars as pl

from s1mm_assets.archives.arxiv import bare_metadata
from s1mm_assets.archives.bundle import Inspection, Kind, inspect
from s1mm_assets.archives.limits import MIB, Limits
from s1mm_assets.stages import Failed, MapItems, ShardReader, ShardWriter, SourceUnavailable, Stage, Unread
from s1mm_assets.tables import ENVIRONMENT_CAUSED, Archive, Metadata, Rejection, columns_of, frame_of

VERSION = "4"
"""Raised when the same delivery would be recorded otherwise than before."""

HASHED_BYTES = 64 * MIB  # read at a time of a delivery that is too large to be opened
ROWS_PER_WRITE = 1000

ReadRange = Callable[[str, int, int], bytes]
"""(uri, offset, length) → bytes: read a part of a source's file, or raise OSError."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """One paper as its source delivered it, and where its bytes lie."""

    paper_id: str
    uri: str  # relative to the source's root
    offset: int
    length: int  # bytes


INSPECTIONS = "archive_inspections"
METADATA = "metadata"  # the key of `inputs` that speaks of metadata; all others speak of bytes
Inputs = Callable[[str], Mapping[str, str]]


def inspection_stage(
    *,
    source: str,
    year: int,
    deliveries: Callable[[str], Iterable[Delivery]],
    inputs: Inputs,
    read: ReadRange,
    map_items: MapItems,
    limits: Limits = Limits(),  # noqa: B008 - frozen
) -> Stage:
    """Return how the papers of a shard are inspected: kind, digest, or what is wrong.

    Args:
        source: "arxiv", "local" …
        year: The year in which these papers were first posted.
        deliveries: Shard → the papers that landed in it, each paper_id once.
        inputs: Shard → digests of what it is made from; what stands under "metadata" does not count here.
        read: Reads a delivery; picklable.
        map_items: Inspects papers apart from this process.
        limits: What a paper may be, packed and unpacked.
    """

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        landed = list(deliveries(reader.shard))
        found = map_items(InspectDelivery(read, limits), landed, what="archives", total=len(landed))
        for group in _groups(zip(landed, found, strict=True)):
            archives = [_archive(source, year, each, answer, read) for each, answer in group]
            writer.write("archives", frame_of(Archive, archives))

    return Stage(
        asset=INSPECTIONS,
        version=VERSION,
        tables={"archives": Archive},
        make=make,
        settings=asdict(limits),
        shard_inputs=lambda shard: {k: v for k, v in inputs(shard).items() if k != METADATA},
    )


def stage(
    *,
    metadata: Callable[[Sequence[str]], Mapping[str, Metadata]],
    inputs: Inputs,
) -> Stage:
    """Return how the shards of raw_archives are made from papers that were inspected.

    Args:
        metadata: Paper ids → what the source knows of them; may lack some.
        inputs: Shard → digests; what stands under "metadata" counts here, the bytes' through the inspections.
    """

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        for group in reader.scan(INSPECTIONS, "archives"):
            for archives in group.iter_slices(ROWS_PER_WRITE):
                known = metadata(archives["paper_id"].to_list())
                rows = archives.select("paper_id", "rejection").iter_rows()
                records = [_metadata(paper_id, rejection, known) for paper_id, rejection in rows]
                writer.write("archives", archives)
                writer.write("metadata", frame_of(Metadata, records))

    return Stage(
        asset="raw_archives",
        version=VERSION,
        tables={"archives": Archive, "metadata": Metadata},
        make=make,
        reads={INSPECTIONS: {"archives": tuple(columns_of(Archive))}},
        shard_inputs=lambda shard: {k: v for k, v in inputs(shard).items() if k == METADATA},
    )


@dataclass(frozen=True, slots=True)
class InspectDelivery:
    """Read one delivery and inspect it: what a worker is asked to do."""

    read: ReadRange
    limits: Limits

    def __call__(self, delivery: Delivery) -> Inspection | Unread:
        """Return what raw_archives records; `Unread` where the source failed."""
        try:
            if delivery.length > self.limits.max_packed_bytes:
                evidence = f"{delivery.length} bytes as delivered, limit {self.limits.max_packed_bytes}"
                return _unopened(delivery, self.read, Rejection.TOO_LARGE, evidence)
            data = self.read(delivery.uri, delivery.offset, delivery.length)
        except OSError as error:
            return Unread(f"{type(error).__name__}: {error}")
        return inspect(data, delivery.paper_id, self.limits)


def _unopened(delivery: Delivery, read: ReadRange, rejection: Rejection, evidence: str) -> Inspection:
    """The record of a delivery that is not opened: its digest, read in pieces, and why."""
    digest = hashlib.sha256()
    for at in range(0, delivery.length, HASHED_BYTES):
        digest.update(read(delivery.uri, delivery.offset + at, min(HASHED_BYTES, delivery.length - at)))
    return Inspection(
        kind=Kind.UNKNOWN,
        sha256=digest.hexdigest(),
        unpacked_bytes=None,
        n_members=None,
        n_images=None,
        rejection=rejection,
        evidence=evidence,
        newest_date=None,
    )


def _archive(
    source: str, year: int, delivery: Delivery, answer: Inspection | Unread | Failed, read: ReadRange
) -> Archive:
    if isinstance(answer, Unread):
        raise SourceUnavailable(
            f"{delivery.paper_id} at {delivery.uri}: {answer.evidence}. Nothing of this shard was committed; "
            "run again when the source can be read."
        )
    if isinstance(answer, Failed):
        answer = _unopened(delivery, read, answer.rejection, answer.evidence)
    return Archive(
        paper_id=delivery.paper_id,
        source=source,
        year=year,
        kind=answer.kind.value,
        uri=delivery.uri,
        offset=delivery.offset,
        length=delivery.length,
        sha256=answer.sha256,
        unpacked_bytes=answer.unpacked_bytes,
        n_members=answer.n_members,
        n_images=answer.n_images,
        rejection=answer.rejection.value if answer.rejection else None,
        evidence=answer.evidence,
    )


def _metadata(paper_id: str, rejection: str | None, known: Mapping[str, Metadata]) -> Metadata:
    row = known.get(paper_id) or bare_metadata(paper_id)
    return replace(row, is_withdrawn=row.is_withdrawn or rejection == Rejection.WITHDRAWN)


def _groups(
    pairs: Iterable[tuple[Delivery, Inspection | Unread | Failed]],
) -> Iterator[list[tuple[Delivery, Inspection | Unread | Failed]]]:
    group = []
    for pair in pairs:
        group.append(pair)
        if len(group) == ROWS_PER_WRITE:
            yield group
            group = []
    if group:
        yield group


def rejection_rate(archives: pl.DataFrame) -> float:
    """Return the share of delivered archives in which no LaTeX figure could be sought, from 0 to 1.

    Counted are rejections that lie in the archive: corrupt, truncated, empty, html, no_images … Not counted:
    withdrawn papers and papers that came as PDF, MECA or JATS, which are reported apart, and rejections that the
    environment caused. The paper that this follows gives about 0.2 for arXiv. 0 where nothing was delivered.

    Args:
        archives: The archives table; columns kind and rejection are read.
    """
    apart = {Rejection.WITHDRAWN.value, *(each.value for each in ENVIRONMENT_CAUSED)}
    is_counted = (
        pl.col("rejection").is_not_null()
        & ~pl.col("rejection").is_in(sorted(apart))
        & ~pl.col("kind").is_in([Kind.PDF.value, Kind.MECA.value, Kind.JATS.value])
    )
    return archives.filter(is_counted).height / archives.height if archives.height else 0.0


def summary(archives: pl.DataFrame) -> dict[str, int | float]:
    """Return what a person wants to see of raw_archives: counts by kind and rejection, bytes, the rate."""
    counts: dict[str, int | float] = {
        "archives": archives.height,
        "packed_bytes": int(archives["length"].sum()),
        "rejection_rate": rejection_rate(archives),
    }
    for column in ("kind", "rejection"):
        values = archives[column].drop_nulls().value_counts().sort(column)
        counts |= {f"{column}/{value}": n for value, n in values.iter_rows()}
    return counts
