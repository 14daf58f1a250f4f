"""A folder of bundles and PDFs as a source."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from s1mm_assets.archives import Delivery, Limits, newest_date
from s1mm_assets.archives.arxiv import parse_id
from s1mm_assets.archives.local import (
    METADATA_FILE,
    Record,
    metadata_of,
    papers_in,
    read_records,
    unique_ids,
    year_of_record,
)
from s1mm_assets.partitions import YEARS
from s1mm_assets.resources.sources import Chunk
from s1mm_assets.resources.sources.reading import RangeReader, SourceFile, files_under, packed_folder
from s1mm_assets.tables import Metadata


@dataclass(frozen=True, slots=True)
class LocalPaper:
    """One paper of the folder: a file, or a subfolder of loose files."""

    file: SourceFile
    paper_id: str
    year: int
    metadata: Metadata


class LocalSource(dg.ConfigurableResource[Any]):
    """Papers in a folder and its subfolders, on a disk or `s3://`; new files are found at each listing.

    A subfolder that holds an article in XML with its images, or an unpacked MECA package, is one paper.

    A paper's year is that of its arXiv identifier, else of its record in a `metadata.jsonl` of the folder or
    a subfolder (`year`, else `first_posted`; records name a `file` beside them, or a `paper_id`), else of the
    newest date inside the file, else `undated_year`. The file's own modification time says nothing: it
    changes with each copy. A year outside the partitions counts to the nearest.
    """

    folder: str
    n_shards: int = 8  # a paper's shard follows from its id, so that a new file touches one shard
    undated_year: int = YEARS[0]

    _dates: dict[SourceFile, str | None] = PrivateAttr(default_factory=dict)

    @property
    def name(self) -> str:
        """The source's name in partition keys."""
        return "local"

    def years(self) -> list[int]:
        """Return the years that the folder holds papers of."""
        return sorted({paper.year for paper in self._papers()})

    def chunks(self, year: int) -> list[Chunk]:
        """Return the shards of one year that hold a paper."""
        return [
            Chunk(name, {"papers": _digest(_files(papers)), "metadata": _digest(_metadata(papers))})
            for name, papers in sorted(self._shards(year).items())
        ]

    def absent(self, year: int) -> list[str]:  # noqa: ARG002
        """None: a folder lists nothing but what it holds."""
        return []

    def deliveries(self, chunk_name: str, year: int) -> Iterator[Delivery]:
        """Yield the papers of one shard, in order of id."""
        for paper in self._shards(year).get(chunk_name, []):
            yield Delivery(paper.paper_id, paper.file.uri, 0, paper.file.size)

    def metadata(self, year: int, paper_ids: Sequence[str]) -> Mapping[str, Metadata]:
        """Return what `metadata.jsonl` and the ids say of these papers."""
        wanted = set(paper_ids)
        return {
            paper.paper_id: paper.metadata
            for paper in self._papers()
            if paper.year == year and paper.paper_id in wanted
        }

    def reader(self) -> RangeReader:
        """Return what reads the folder's files."""
        return RangeReader(self.folder)

    def _shards(self, year: int) -> dict[str, list[LocalPaper]]:
        shards: dict[str, list[LocalPaper]] = {}
        for paper in sorted(self._papers(), key=lambda paper: paper.paper_id):
            if paper.year == year:
                hashed = hashlib.sha256(paper.paper_id.encode("utf-8", "surrogateescape")).digest()
                shard = int.from_bytes(hashed[:8], "big") % self.n_shards
                shards.setdefault(f"{shard:03d}_of_{self.n_shards:03d}", []).append(paper)
        return shards

    def _papers(self) -> list[LocalPaper]:
        files = files_under(self.folder)
        records = _Records(self.reader(), files)
        by_uri = {file.uri: file for file in files}
        deliveries = {
            uri: by_uri[uri] if uri in by_uri else packed_folder(uri, [by_uri[each] for each in parts])
            for uri, parts in papers_in(by_uri).items()
        }
        papers = []
        for uri, paper_id in unique_ids(deliveries).items():
            record = records.of(uri, paper_id)
            metadata = metadata_of(paper_id, record)
            year = self._year(deliveries[uri], paper_id, record)
            papers.append(LocalPaper(deliveries[uri], paper_id, year, metadata))
        return papers

    def _year(self, file: SourceFile, paper_id: str, record: Record | None) -> int:
        arxiv_id = parse_id(paper_id)
        year = arxiv_id.year if arxiv_id else (year_of_record(record) if record else None)
        if year is None:
            newest = self._newest_date(file)
            year = int(newest[:4]) if newest else self.undated_year
        return min(max(year, YEARS[0]), YEARS[-1])

    def _newest_date(self, file: SourceFile) -> str | None:
        """Look inside a file once, as long as it stays as it is."""
        if file not in self._dates:
            is_too_large = file.size > Limits().max_packed_bytes
            data = b"" if is_too_large else self.reader()(file.uri, 0, file.size)
            self._dates[file] = newest_date(data)
        return self._dates[file]


class _Records:
    """What every `metadata.jsonl` of a folder says."""

    def __init__(self, read: RangeReader, files: Sequence[SourceFile]) -> None:
        self.by_file: dict[str, Record] = {}
        self.by_paper: dict[str, Record] = {}
        for file in files:
            folder, _, name = file.uri.rpartition("/")
            if name == METADATA_FILE:
                text = read(file.uri, 0, file.size).decode("utf-8", "replace")
                for record in read_records(text, file.uri):
                    if record.file:
                        self.by_file[f"{folder}/{record.file}".lstrip("/")] = record
                    if record.paper_id:
                        self.by_paper[record.paper_id] = record

    def of(self, uri: str, paper_id: str) -> Record | None:
        """Return the record of a file: by its path, else by its paper_id."""
        return self.by_file.get(uri.rstrip("/")) or self.by_paper.get(paper_id)


def _files(papers: Sequence[LocalPaper]) -> list[Any]:
    return [(paper.paper_id, asdict(paper.file)) for paper in papers]


def _metadata(papers: Sequence[LocalPaper]) -> list[Any]:
    return [asdict(paper.metadata) for paper in papers]


def _digest(listed: list[Any]) -> str:
    return hashlib.sha256(json.dumps(listed, sort_keys=True).encode()).hexdigest()
