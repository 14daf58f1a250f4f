"""Where everything stands in a release, and which pieces each of its files is joined from.

<source>/jsonl/<year>.jsonl            records that have their image in the release
<source>/images_<year>.tar.gz          or <source>/images.tar.gz; past a size cut into .partaa, .partab …
<source>/data/<year>/<NNNNN>.parquet   the same records with their images, one file per shard
<source>/webdataset/<year>/<NNNNN>.tar likewise, where it is asked for
<source>/recipes/<year>.jsonl          records whose licence keeps the image back
<source>/tombstones/<year>.jsonl       papers that must not be shown any more
<source>/attribution/<year>.jsonl      whose the images are
changes/<version>.jsonl                records added, removed and changed since the version before

A publication makes the files from shards' pieces in this order; verification finds them by these names.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from string import ascii_lowercase

import polars as pl

from s1mm_assets.release.image_archives import HEADER, Unpacked, blocks, tail_of
from s1mm_assets.release.manifest import digest_of
from s1mm_assets.release.settings import ReleaseSettings
from s1mm_assets.tables import ReleaseFile

RECORDS = re.compile(r"(?P<source>[^/]+)/jsonl/(?P<year>\d{4})\.jsonl")
IMAGES = re.compile(
    r"(?P<archive>(?P<source>[^/]+)/images(?:_(?P<year>\d{4}))?\.tar\.gz)(?P<part>\.part[a-z]{2})?"
)
DATA = re.compile(r"(?P<source>[^/]+)/data/(?P<year>\d{4})/\d{5}\.parquet")
WEBDATASET = re.compile(r"(?P<source>[^/]+)/webdataset/(?P<year>\d{4})/\d{5}\.tar")
RECIPES = re.compile(r"(?P<source>[^/]+)/recipes/(?P<year>\d{4})\.jsonl")
TOMBSTONES = re.compile(r"(?P<source>[^/]+)/tombstones/(?P<year>\d{4})\.jsonl")
ATTRIBUTION = re.compile(r"(?P<source>[^/]+)/attribution/(?P<year>\d{4})\.jsonl")
CHANGES = re.compile(r"changes/(?P<version>[1-9]\d*)\.jsonl")
MEDIA = {
    "records": ("records.jsonl", "{source}/jsonl/{year}.jsonl"),
    "images": ("images.tar.gz", "{source}/images_{year}.tar.gz"),
    "data": ("data.parquet", "{source}/data/{year}/*.parquet"),
    "webdataset": ("webdataset.tar", "{source}/webdataset/{year}/*.tar"),
    "recipes": ("recipes.jsonl", "{source}/recipes/{year}.jsonl"),
    "attribution": ("attribution.jsonl", "{source}/attribution/{year}.jsonl"),
    "tombstones": ("tombstones.jsonl", "{source}/tombstones/{year}.jsonl"),
}
"""Medium → the piece's name in its shard, and its path in the release, where `*` stands for a number."""
JOINED = {"records": "jsonl", "recipes": "recipes", "tombstones": "tombstones", "attribution": "attribution"}
"""Medium → its folder, of those whose pieces are joined to one file a year."""
NUMBERED = {"data": "parquet", "webdataset": "tar"}
"""Medium → the suffix of its files, of those whose pieces stay files of their own."""


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
    unpacked: Unpacked | None = None  # of an image archive


@dataclass(frozen=True, slots=True)
class Slice:
    """The bytes of a piece from `start` to `end`."""

    piece: Piece
    start: int
    end: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleasePart:
    """One file of the release: the bytes from `start` to `end` of its head, its slices and its tail, joined."""

    path: str
    head: bytes = b""
    slices: tuple[Slice, ...] = ()
    tail: bytes = b""
    start: int = 0
    end: int
    n_rows: int | None = None

    def made_from(self) -> str:
        """Digest of everything that the file's bytes follow from."""
        slices = [f"{each.piece.sha256}:{each.start}:{each.end}" for each in self.slices]
        return digest_of([self.head.hex(), *slices, self.tail.hex(), str(self.start), str(self.end)])


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
            unpacked=None
            if row.unpacked_bytes is None or row.unpacked_crc32 is None
            else Unpacked(row.unpacked_bytes, row.unpacked_crc32),
        )
        for row in rows
    ]


def layout(pieces: Iterable[Piece], settings: ReleaseSettings) -> list[ReleasePart]:
    """Return every file of the release that pieces are joined to, ordered by source, year and shard.

    Raises:
        ValueError: A piece is there twice, or lacks what its archive's end is made of.
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
            joined = {folder: of(medium, of_year) for medium, folder in JOINED.items()}
            parts += [
                whole(f"{source}/{folder}/{year}.jsonl", each) for folder, each in joined.items() if each
            ]
            for medium, suffix in NUMBERED.items():
                parts += numbered(f"{source}/{medium}/{year}", suffix, of(medium, of_year))
        archives = {f"images_{year}": of_year for year, of_year in years.items()}
        if source in settings.single_archive_sources:
            archives = {"images": own}
        for name, group in archives.items():
            if images := of("images", group):
                parts += cut(image_archive(f"{source}/{name}.tar.gz", images), settings.part_bytes)
    return parts


def place(piece: Piece) -> tuple[str, int, str, str]:
    """Return what a piece is opened by."""
    return piece.source, piece.year, piece.shard, piece.name


def of(media: str, pieces: Sequence[Piece]) -> list[Piece]:
    """Return the pieces of one medium."""
    return [piece for piece in pieces if piece.media == media]


def whole(path: str, pieces: Sequence[Piece]) -> ReleasePart:
    """Return the file that the pieces are joined to, as they are."""
    return ReleasePart(
        path=path,
        slices=tuple(Slice(piece, 0, piece.n_bytes) for piece in pieces),
        end=sum(piece.n_bytes for piece in pieces),
        n_rows=sum(piece.n_rows for piece in pieces),
    )


def image_archive(path: str, pieces: Sequence[Piece]) -> ReleasePart:
    """Return the archive that the pieces' compressed blocks are joined to: one gzip member."""
    slices = tuple(Slice(piece, *blocks(piece.n_bytes)) for piece in pieces)
    tail = tail_of([unpacked_of(piece) for piece in pieces])
    return ReleasePart(
        path=path,
        head=HEADER,
        slices=slices,
        tail=tail,
        end=len(HEADER) + sum(each.end - each.start for each in slices) + len(tail),
        n_rows=sum(piece.n_rows for piece in pieces),
    )


def unpacked_of(piece: Piece) -> Unpacked:
    """Return what the archive's footer needs to know of a piece."""
    if piece.unpacked is None:
        raise ValueError(
            f"{piece.name} of shard {piece.shard} was made by an older version: materialize hf_release "
            f"for {piece.source}|{piece.year} again"
        )
    return piece.unpacked


def text(path: str, content: bytes) -> ReleasePart:
    """Return a file that is not made of pieces."""
    return ReleasePart(path=path, head=content, end=len(content))


def numbered(stem: str, suffix: str, pieces: Sequence[Piece]) -> Iterator[ReleasePart]:
    """Yield a file for each piece, numbered from 0."""
    for i, piece in enumerate(pieces):
        yield whole(f"{stem}/{i:05}.{suffix}", [piece])


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
        yield replace(
            archive,
            path=f"{archive.path}.part{ascii_lowercase[first]}{ascii_lowercase[second]}",
            start=start,
            end=min(start + part_bytes, archive.end),
            n_rows=None,
        )
