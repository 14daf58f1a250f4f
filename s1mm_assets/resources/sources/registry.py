"""Every source of this installation, by the folder that its papers lie in."""

import hashlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import dagster as dg
from pydantic import PrivateAttr

from s1mm_assets.archives import Bundle, Delivery, open_bundle
from s1mm_assets.partitions import SOURCES, YEARS, partition_key
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.ledger import LEDGER, LISTED, Ledger
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.resources.sources import Chunk, Source
from s1mm_assets.resources.sources.arxiv import ArxivSource
from s1mm_assets.resources.sources.landed import LandedSource
from s1mm_assets.resources.sources.local import LocalSource
from s1mm_assets.resources.sources.reading import RangeReader, SourceError, file_at, open_root
from s1mm_assets.tables import Metadata

LANDED = frozenset({LISTED, LEDGER, "papers", "index"})
SNAPSHOTS = ("metadata.jsonl", "arxiv-metadata-oai-snapshot.json")  # the second as arXiv's own dump is named


@dataclass(frozen=True, slots=True)
class BundleReader:
    """Fetches and opens one delivered paper; picklable."""

    read: RangeReader

    def __call__(self, uri: str, offset: int, length: int, name: str, sha256: str | None) -> Bundle:
        """Return the opened bundle; OSError where the source cannot be read, or holds other bytes than recorded."""
        data = self.read(uri, offset, length)
        if sha256 is not None and hashlib.sha256(data).hexdigest() != sha256:
            raise OSError(
                "these are not the bytes that raw_archives recorded: materialize raw_archives again"
            )
        return open_bundle(data, name)


@dataclass(frozen=True, slots=True)
class NoPapers:
    """A source whose folder is not there."""

    name: str
    folder: str

    def years(self) -> list[int]:
        """None."""
        return []

    def chunks(self, year: int) -> list[Chunk]:  # noqa: ARG002
        """None."""
        return []

    def absent(self, year: int) -> list[str]:  # noqa: ARG002
        """None."""
        return []

    def deliveries(self, chunk_name: str, year: int) -> Iterator[Delivery]:  # noqa: ARG002
        """None."""
        return iter(())

    def metadata(self, year: int, paper_ids: Sequence[str]) -> Mapping[str, Metadata]:  # noqa: ARG002
        """None."""
        return {}

    def reader(self) -> RangeReader:
        """What would read them."""
        return RangeReader(self.folder)


def arxiv_in(folder: str) -> ArxivSource:
    """Return arXiv's chunks in a folder, with the metadata snapshot that lies beside them, if there is one."""
    path, question_mark, options = folder.partition("?")
    found = [name for name in SNAPSHOTS if file_at(folder, name)]
    snapshot = f"{path}/{found[0]}{question_mark}{options}" if found else None
    return ArxivSource(root=folder, metadata_snapshot=snapshot)


def source_in(source: str, folder: str) -> Source:
    """Return the client of a source's folder: chunk tars, what a publisher's client landed, or papers put there.

    Raises:
        SourceError: Papers were landed, and others put beside them.
    """
    if source == "arxiv":
        return arxiv_in(folder)
    if not Ledger(Landing(folder)).years():
        return LocalSource(folder=folder)
    if others := files_beside(folder):
        raise SourceError(
            f"{folder} holds papers landed from their publisher, and {others[0]} beside them, which would not be read: "
            "move what you have put there into the folder of the source local"
        )
    return LandedSource(source=source, root=folder)


def files_beside(folder: str) -> list[str]:
    """Return what lies in a source's folder beside what a publisher's client keeps there; nothing without a folder."""
    from pyarrow import fs as pafs

    file_system, path = open_root(folder)
    infos = file_system.get_file_info(pafs.FileSelector(path, allow_not_found=True))
    return sorted({info.base_name for info in infos if not info.base_name.startswith(".")} - LANDED)


class Sources(dg.ConfigurableResource[Any]):
    """One folder per source below a root, local or `s3://`: `<root>/arxiv`, `<root>/local` and so on.

    arXiv's holds chunk tars; every other one what its publisher's client landed, or bundles and PDFs that somebody put
    there. A source without a folder has no papers.
    """

    root: str

    _opened: dict[str, Source] = PrivateAttr(default_factory=dict)

    def folder(self, source: str) -> str:
        """Where a source's papers lie."""
        root, question_mark, options = self.root.partition("?")  # s3://bucket/prefix?region=…
        return f"{root.rstrip('/')}/{source}{question_mark}{options}"

    def folder_to_fill(self, source: str) -> str:
        """Return where a publisher's papers are to land.

        Raises:
            SourceError: There is no root: a disk may not be mounted; or papers lie there that would not be read then.
        """
        self._require_root()
        folder = self.folder(source)
        others = files_beside(folder) if source != "arxiv" else []
        if others:
            raise SourceError(
                f"{folder} holds {others[0]}, which would not be read beside papers from their publisher: move "
                "what you have put there into the folder of the source local"
            )
        return folder

    def of(self, source: str) -> Source:
        """Return the client of a source."""
        if source not in self._opened or isinstance(self._opened[source], LocalSource):
            from pyarrow import fs as pafs

            folder = self.folder(source)
            file_system, path = open_root(folder)
            if file_system.get_file_info(path).type is not pafs.FileType.Directory:
                self._require_root()
                return NoPapers(source, folder)
            self._opened[source] = source_in(source, folder)
        return self._opened[source]

    def _require_root(self) -> None:
        """A root that is not there is an outage, not a source without papers."""
        from pyarrow import fs as pafs

        file_system, path = open_root(self.root)
        if file_system.get_file_info(path).type is not pafs.FileType.Directory:
            raise SourceError(f"there is no folder {self.root}: set S1MM_SOURCES to where the papers lie")

    def bundles(self, source: str) -> BundleReader:
        """Return what fetches and opens the papers of a source."""
        return BundleReader(RangeReader(self.folder(source)))

    def refuse_vanished(self, landed: ShardSet | None, chunks: Collection[str]) -> None:
        """Refuse to drop papers that were landed before because their chunk is not there now.

        Raises:
            SourceError: A chunk of the last materialization is gone.
        """
        gone = [commit.shard for commit in (landed.shards if landed else ()) if commit.shard not in chunks]
        if landed and gone:
            raise SourceError(
                f"{landed.partition}: {len(gone)} chunks that were landed are gone, {gone[0]} first: bring them back, "
                "or let their papers go by the setting checks.allow_vanished_chunks = true"
            )

    def partitions(self) -> list[str]:
        """Return the keys of the partitions that hold papers, by source and year."""
        return [
            partition_key(source, year)
            for source in SOURCES
            for year in self.of(source).years()
            if year in YEARS
        ]
