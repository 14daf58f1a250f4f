"""Papers that a publisher's client has landed, one file each, as the ledger of their folder names them."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
import polars as pl
from pydantic import PrivateAttr

from s1mm_assets.archives import Delivery
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.ledger import LEDGER, LISTED, Ledger, Line
from s1mm_assets.resources.sources import Chunk
from s1mm_assets.resources.sources.reading import RangeReader
from s1mm_assets.tables import Metadata

Seen = tuple[tuple[str, int], ...]  # names and sizes of the records that were read


@dataclass(frozen=True, slots=True)
class LandedPaper:
    """The file that counts for a paper, and what its publisher says of it."""

    line: Line
    metadata: str | None  # JSON


Shards = dict[str, dict[str, LandedPaper]]  # in order of name, papers in order of id
READ = ("paper_id", "path", "metadata", "is_offered")  # of a listing


class LandedSource(dg.ConfigurableResource[Any]):
    """A folder that `resources/publishers` fills: a shard for each day on which papers were first posted.

    Of a paper's versions the newest that is listed counts; until that has landed, the one that landed last.
    """

    source: str
    root: str

    _known: dict[int, tuple[Seen, Shards]] = PrivateAttr(default_factory=dict)

    @property
    def name(self) -> str:
        """The source's name in partition keys."""
        return self.source

    def years(self) -> list[int]:
        """Return the years of which papers have landed."""
        ledger = self._ledger()
        landed = {year: ledger.record(year).landed.values() for year in ledger.years()}
        return [year for year, lines in landed.items() if any(line.paper_id for line in lines)]

    def chunks(self, year: int) -> list[Chunk]:
        """Return the shards of one year, by day."""
        return [Chunk(name, _inputs(papers.values())) for name, papers in self._shards(year).items()]

    def absent(self, year: int) -> list[str]:
        """Return the files that are listed and have not landed, with the publisher's words where it refused them."""
        listing, record = self._ledger().listing(year, ["path", "is_offered"]), self._ledger().record(year)
        paths = listing.filter("is_offered")["path"].sort()
        said = {path: f"{path} ({line.refused})" for path, line in record.refused.items()}
        return [said.get(path, path) for path in paths if path not in record.landed]

    def deliveries(self, chunk_name: str, year: int) -> Iterator[Delivery]:
        """Yield the papers of one shard, in order of id."""
        for paper_id, paper in self._shards(year).get(chunk_name, {}).items():
            yield Delivery(paper_id, paper.line.path, 0, paper.line.size or 0)

    def metadata(self, year: int, paper_ids: Sequence[str]) -> Mapping[str, Metadata]:
        """Return what the publisher says of these papers, in the version that is there."""
        wanted = set(paper_ids)
        return {
            paper_id: Metadata(**json.loads(paper.metadata))
            for papers in self._shards(year).values()
            for paper_id, paper in papers.items()
            if paper_id in wanted and paper.metadata
        }

    def reader(self) -> RangeReader:
        """Return what reads the files."""
        return RangeReader(self.root)

    def _ledger(self) -> Ledger:
        return Ledger(Landing(self.root))

    def _shards(self, year: int) -> Shards:
        """Read the records of a year once, as long as they stay as they are."""
        landing = Landing(self.root)
        listed = [each for each in landing.sizes(LISTED) if each[0] == f"{year}.parquet"]
        seen = (*listed, *landing.sizes(f"{LEDGER}/{year}"))
        if year not in self._known or self._known[year][0] != seen:
            ledger, shards = self._ledger(), dict[str, dict[str, LandedPaper]]()
            listing = ledger.listing(year, READ)
            for paper_id, paper in papers_of(listing, ledger.record(year).landed.values()).items():
                shards.setdefault(str(paper.line.shard), {})[paper_id] = paper
            self._known = {
                year: (seen, dict(sorted(shards.items())))
            }  # one at a time: what a partition needs
        return self._known[year][1]


def papers_of(listing: pl.DataFrame, landed: Iterable[Line]) -> dict[str, LandedPaper]:
    """Return the file that counts for each paper: the one that is offered, else the one that landed last.

    Each with the metadata that its own file was listed with: another version may have another licence. A paper that is
    on no row of the listing was moved to another year.
    """
    rows = listing.select(READ).iter_rows()
    metadata: dict[str, str | None] = {}
    offered: dict[str, str] = {}
    for paper_id, path, text, is_offered in rows:
        if paper_id:
            metadata[path] = text
            offered[paper_id] = path if is_offered else offered.get(paper_id, "")
    best: dict[str, Line] = {}
    for line in sorted(landed, key=lambda line: (line.at, line.path)):
        if line.paper_id not in offered or line.paper_id is None or line.path not in metadata:
            continue
        if line.paper_id not in best or best[line.paper_id].path != offered[line.paper_id]:
            best[line.paper_id] = line
    return {paper_id: LandedPaper(line, metadata[line.path]) for paper_id, line in sorted(best.items())}


def _inputs(papers: Iterable[LandedPaper]) -> dict[str, str]:
    files, metadata = hashlib.sha256(), hashlib.sha256()
    for paper in papers:
        line = paper.line
        files.update(f"{line.paper_id}\0{line.path}\0{line.size}\0{line.md5}\n".encode())
        metadata.update(f"{line.paper_id}\0{line.version}\0{paper.metadata}\n".encode())
    return {"papers": files.hexdigest(), "metadata": metadata.hexdigest()}
