"""The pieces of hf_release as they lie in the shard store: what a publication is joined from."""

from collections.abc import Iterator
from typing import BinaryIO

from s1mm_assets.partitions import source_and_year
from s1mm_assets.release import Piece, pieces_of
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import Commit, ShardSet
from s1mm_assets.tables import ReleaseFile, columns_of


class StoredPieces:
    """The pieces of every partition that has been materialized, as it was when this was made."""

    def __init__(self, store: ShardStore) -> None:
        self._store = store
        pinned = [store.pinned("hf_release", key) for key in store.partitions("hf_release")]
        self._commits: dict[tuple[str, int, str], Commit] = {
            (*source_and_year(handle.partition), commit.shard): commit
            for handle in pinned
            if handle
            for commit in handle.shards
        }

    def __iter__(self) -> Iterator[Piece]:
        """Yield every piece."""
        for (source, year, shard), commit in self._commits.items():
            handle = ShardSet(asset="hf_release", partition=commit.partition, shards=(commit,))
            yield from pieces_of(
                source, year, shard, self._store.read(handle, "files", columns_of(ReleaseFile))
            )

    def open(self, source: str, year: int, shard: str, name: str) -> BinaryIO:
        """Open one of them for streaming."""
        return self._store.open_file(self._commits[source, year, shard], name)
