"""What a release needs to know of a shard's papers: licence, attribution, whether they may still be shown."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import polars as pl

from s1mm_assets.release.licences import Licence, read_licence
from s1mm_assets.stages import ShardReader
from s1mm_assets.tables import Rejection, ReleaseRecord

METADATA_COLUMNS = (
    *("paper_id", "arxiv_id", "doi", "title", "authors", "categories", "licence", "licence_read"),
    *("is_withdrawn", "is_retracted"),
)
ARCHIVE_COLUMNS = ("paper_id", "kind", "uri", "offset", "length", "sha256")
PAPER_COLUMNS = ("paper_id", "title", "authors", "licence")
IMAGE, RECIPE = "image", "recipe"  # how a record is released

Row = Mapping[str, Any]


class Papers:
    """The papers of one shard.

    Args:
        shard: Its tables.
        takedowns: "source:paper", figure_id or "sha256:…" → reason, of what must be left out.
    """

    def __init__(self, shard: ShardReader, takedowns: Mapping[str, str]) -> None:
        self._source, year = shard.partition.split("|")
        self._year = int(year)
        self._takedowns = takedowns
        self._metadata = by_key(shard.read("raw_archives", "metadata"), "paper_id")
        self._archives = by_key(shard.read("raw_archives", "archives"), "paper_id")
        self._papers = by_key(shard.read("figure_candidates", "papers"), "paper_id")

    def metadata(self, paper_id: str) -> Row:
        """Return what the source says of a paper."""
        return self._metadata.get(paper_id, {})

    def archive(self, paper_id: str) -> Row:
        """Return where a paper's bytes lie."""
        return self._archives.get(paper_id, {})

    def title(self, paper_id: str) -> str | None:
        """Return a paper's title."""
        title: str | None = self._papers.get(paper_id, {}).get("title")
        return title

    def licence(self, paper_id: str) -> Licence:
        """Return a paper's licence: as its source gives it, else as its own markup does."""
        said = self.metadata(paper_id).get("licence") or self._papers.get(paper_id, {}).get("licence")
        return read_licence(said)

    def ban(
        self, paper_id: str, figure_id: str = "", sha256: str | None = None
    ) -> tuple[Rejection, str | None] | None:
        """Return why a paper, a figure or an image must not be shown any more, and what to say; None where it may."""
        for name in (f"{self._source}:{paper_id}", figure_id, f"sha256:{sha256}"):
            if name in self._takedowns:
                return Rejection.TAKEN_DOWN, self._takedowns[name] or None
        metadata = self.metadata(paper_id)
        if metadata.get("is_retracted"):
            return Rejection.RETRACTED, None
        return (Rejection.WITHDRAWN, None) if metadata.get("is_withdrawn") else None

    def attributions(self, records: Iterable[ReleaseRecord]) -> Iterator[dict[str, Any]]:
        """Yield a row for each paper with a released image: what CC BY asks to be told, and the count of images."""
        images = Counter(record.paper_id for record in records if record.released_as == IMAGE)
        for paper_id, n_figures in images.items():
            metadata, paper, licence = (
                self.metadata(paper_id),
                self._papers.get(paper_id, {}),
                self.licence(paper_id),
            )
            yield {
                "paper_id": paper_id,
                **{name: metadata.get(name) for name in ("arxiv_id", "doi")},
                "title": paper.get("title"),
                "authors": metadata.get("authors") or paper.get("authors") or [],
                "link": link_of(metadata),
                "licence": licence.spdx,
                "licence_url": licence.url,
                "n_figures": n_figures,
            }

    def tombstones(
        self, records: Iterable[ReleaseRecord], images: Mapping[str, str]
    ) -> Iterator[dict[str, Any]]:
        """Yield a row for each paper that must not be shown any more, in whole or in part.

        Args:
            records: Every outcome of the shard.
            images: figure_id → sha256 of the image, of figures that were turned away for it.
        """
        banned: dict[str, list[str]] = {paper_id: [] for paper_id in self._metadata if self.ban(paper_id)}
        for record in records:
            if record.figure_id in images:
                banned.setdefault(record.paper_id, []).append(record.figure_id)
        for paper_id, figure_ids in banned.items():
            first = next(iter(figure_ids), "")
            reason, note = self.ban(paper_id, first, images.get(first)) or (None, None)
            yield {
                "source": self._source,
                "year": self._year,
                "paper_id": paper_id,
                **{name: self.metadata(paper_id).get(name) for name in ("arxiv_id", "doi")},
                "reason": reason,
                "note": note,
                "figure_ids": figure_ids,
                "image_sha256": [images[figure_id] for figure_id in figure_ids],
            }


def figure_licence(of_paper: Licence, rights: str | None) -> Licence:
    """Return the licence of one figure: the paper's, unless the figure's own permissions do not agree with it."""
    if not rights:
        return of_paper
    own = read_licence(rights)
    return of_paper if own.spdx is not None and own.family == of_paper.family else Licence(None, own.url)


def link_of(metadata: Row) -> str | None:
    """Return the address of a paper; None where it has neither arXiv id nor DOI."""
    if arxiv_id := metadata.get("arxiv_id"):
        return f"https://arxiv.org/abs/{arxiv_id}"
    doi = re.sub(r"[\s<>\"]", "", metadata.get("doi") or "")
    return f"https://doi.org/{doi}" if doi else None


def by_key(rows: pl.DataFrame, key: str) -> dict[str, dict[str, Any]]:
    """Return the rows of a small table by their key.

    Raises:
        ValueError: Two rows share a key.
    """
    found = {row[key]: row for row in rows.iter_rows(named=True)}
    if len(found) < len(rows):
        raise ValueError(f"{rows.filter(pl.col(key).is_duplicated())[key][0]}: two rows of one {key}")
    return found
