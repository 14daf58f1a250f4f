"""Where papers come from. Each source lists what it holds, in chunks that become shards.

A chunk's papers and digests are all that later stages learn of a source; its formats are in `archives`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from s1mm_assets.archives import Delivery
from s1mm_assets.resources.sources.reading import RangeReader, SourceError
from s1mm_assets.tables import Metadata

__all__ = ["Chunk", "ChunkDamaged", "Delivery", "RangeReader", "Source", "SourceError"]


@dataclass(frozen=True, slots=True)
class Chunk:
    """A shard of a partition."""

    name: str  # the same on every listing; letters, digits and "._-" alone
    inputs: Mapping[str, str]  # digests of what it is made from: part of the shard's fingerprint


class ChunkDamaged(SourceError):  # noqa: N818 - says what is the matter
    """A chunk's bytes are not those that its source describes: an incomplete delivery."""


class Source(Protocol):
    """What raw_archives needs of a source."""

    @property
    def name(self) -> str:
        """The source's name in partition keys."""

    def years(self) -> list[int]:
        """Return the years it holds papers of."""

    def chunks(self, year: int) -> list[Chunk]:
        """Return the chunks of one year, in order; none where it holds nothing."""

    def absent(self, year: int) -> list[str]:
        """Return the chunks of one year that the source lists and that have not been landed."""

    def deliveries(self, chunk_name: str, year: int) -> Iterator[Delivery]:
        """Yield the papers of one chunk, each paper_id once."""

    def metadata(self, year: int, paper_ids: Sequence[str]) -> Mapping[str, Metadata]:
        """Return what the source knows of these papers; may lack some."""

    def reader(self) -> Callable[[str, int, int], bytes]:
        """Return a picklable (uri, offset, length) → bytes."""
