"""What is counted of a shard's table: as its commit record says; where that was written before it did, by reading."""

from collections import Counter
from collections.abc import Mapping

from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import Commit


def rejections(store: ShardStore, commit: Commit, table: str) -> Mapping[str, int]:
    """Return how many rows of a table were turned away, by reason.

    Raises:
        StoreError: It must be read, and is damaged.
    """
    if (known := commit.tables[table].rejected) is not None:
        return known
    counts: Counter[str] = Counter()
    for group in store.scan_shard(commit, table, ["rejection"]):
        counts.update(group["rejection"].drop_nulls())
    return counts


def total(store: ShardStore, commit: Commit, table: str, column: str) -> int:
    """Return the sum of a column of numbers (`n_…`) or lengths (`…_bytes`).

    Raises:
        StoreError: The table must be read, and is damaged.
    """
    if (known := commit.tables[table].sums) is not None and column in known:
        return known[column]
    return sum(int(group[column].sum()) for group in store.scan_shard(commit, table, [column]))


def n_kept(store: ShardStore, commit: Commit, table: str) -> int:
    """Return how many rows of a table were not turned away.

    Raises:
        StoreError: It must be read, and is damaged.
    """
    return (commit.tables[table].n_rows or 0) - sum(rejections(store, commit, table).values())
