"""Where everything stands in a release, and which pieces each of its files is joined from.

<source>/jsonl/<year>.jsonl
<source>/images_<year>.tar.gz         or <source>/images.tar.gz; past a size cut into .partaa, .partab …
<source>/data/<year>-NNNNN.parquet    one per shard

A publication makes the files from shards' pieces in this order; verification finds them by these names.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from string import ascii_lowercase

import polars as pl

from s1mm_assets.release.image_archives import END
from s1mm_assets.release.manifest import digest_of
from s1mm_assets.release.settings import ReleaseSettings
from s1mm_assets.tables import ReleaseFile

RECORDS = re.compile(r"(?P<source>[^/]+)/jsonl/(?P<year>\d{4})\.jsonl")
IMAGES = re.compile(
    r"(?P<archive>(?P<source>[^/]+)/images(?:_(?P<year>\d{4}))?\.tar\.gz)(?P<part>\.part[a-z]{2})?"
)
DATA = re.compile(r"(?P<source>[^/]+)/data/(?P<year>\d{4})-\d{5}\.parquet")


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """One file of one shard of hf_release."""

    source: str
    year: int
    shard: str
    name: str
    media: str
    n_bytes: int
    sha256: str
    n_rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePart:
    """One file of the release: the bytes from `start` to `end` of its pieces and its tail, joined."""

    path: str
    pieces: tuple[Piece, ...]
    tail: bytes
    start: int
    end: int
    n_rows: int | None

    def made_from(self) -> str:
        """Digest of everything that the file's bytes follow from."""
        return digest_of(
            [*(piece.sha256 for piece in self.pieces), self.tail.hex(), str(self.start), str(self.end)]
        )


def pieces_of(source: str, year: int, shard: str, files: pl.DataFrame) -> list[Piece]:
    """Return the pieces that the `files` table of one shard lists."""
    rows = [ReleaseFile(**row) for row in files.iter_rows(named=True)]
    return [
        Piece(
            source=source,
            year=year,
            shard=shard,
            name=row.piece,
            media=row.media,
            n_bytes=row.n_bytes,
            sha256=row.sha256,
            n_rows=row.n_rows,
        )
        for row in rows
    ]


def layout(pieces: Iterable[Piece], settings: ReleaseSettings) -> list[ReleasePart]:
    """Return every file of the release that pieces are joined to, ordered by source, year and shard.

    Raises:
        ValueError: A piece is there twice.
    """
    parts: list[ReleasePart] = []
    ordered = sorted(pieces, key=place)
    for piece, following in pairwise(ordered):
        if place(piece) == place(following):
            raise ValueError(f"{piece.source}|{piece.year}: shard {piece.shard} has {piece.name} twice")
    for source, of_source in groupby(ordered, key=lambda piece: piece.source):
        own = list(of_source)
        years = {year: list(group) for year, group in groupby(own, key=lambda piece: piece.year)}
        for year, of_year in years.items():
            parts.append(whole(f"{source}/jsonl/{year}.jsonl", of("records", of_year)))
            parts += numbered(f"{source}/data/{year}", of("data", of_year))
        archives = {f"images_{year}": of_year for year, of_year in years.items()}
        if source in settings.single_archive_sources:
            archives = {"images": own}
        for name, group in archives.items():
            archive = whole(f"{source}/{name}.tar.gz", of("images", group), tail=END)
            parts += cut(archive, settings.part_bytes)
    return parts


def place(piece: Piece) -> tuple[str, int, str, str]:
    """Return what a piece is opened by."""
    return piece.source, piece.year, piece.shard, piece.name


def of(media: str, pieces: Sequence[Piece]) -> list[Piece]:
    """Return the pieces of one medium."""
    return [piece for piece in pieces if piece.media == media]


def whole(path: str, pieces: Sequence[Piece], tail: bytes = b"") -> ReleasePart:
    """Return the file that the pieces and the tail are joined to."""
    return ReleasePart(
        path=path,
        pieces=tuple(pieces),
        tail=tail,
        start=0,
        end=sum(piece.n_bytes for piece in pieces) + len(tail),
        n_rows=sum(piece.n_rows for piece in pieces),
    )


def text(path: str, content: bytes) -> ReleasePart:
    """Return a file that is not made of pieces."""
    return ReleasePart(path=path, pieces=(), tail=content, start=0, end=len(content), n_rows=None)


def numbered(stem: str, pieces: Sequence[Piece]) -> Iterator[ReleasePart]:
    """Yield a file for each piece, numbered from 0."""
    for i, piece in enumerate(pieces):
        yield whole(f"{stem}-{i:05}.parquet", [piece])


def cut(archive: ReleasePart, part_bytes: int) -> Iterator[ReleasePart]:
    """Yield an archive as it is, or in parts named as `split` names them where it is larger than one.

    Raises:
        ValueError: There are more parts than two letters can name.
    """
    if archive.end <= part_bytes:
        yield archive
        return
    starts = range(0, archive.end, part_bytes)
    if len(starts) > len(ascii_lowercase) ** 2:
        raise ValueError(f"{archive.path} would have {len(starts)} parts: part_bytes is too small")
    for i, start in enumerate(starts):
        first, second = divmod(i, len(ascii_lowercase))
        yield ReleasePart(
            path=f"{archive.path}.part{ascii_lowercase[first]}{ascii_lowercase[second]}",
            pieces=archive.pieces,
            tail=archive.tail,
            start=start,
            end=min(start + part_bytes, archive.end),
            n_rows=None,
        )
