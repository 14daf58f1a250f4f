"""A publication holds the rows of some shards in memory at a time, and draws at most so many of them."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.release import PartitionFacts
from s1mm_assets.resources.release_pieces import BATCH_ROWS, batches
from s1mm_assets.resources.release_texts import MOST_DRAWN, share_drawn
from s1mm_assets.resources.shards import Commit, ShardSet, StoredFile

RECORDS = StoredFile(file="records.parquet", sha256="", n_bytes=1, n_rows=0)
NOTHING: dict[str, Any] = {
    **dict.fromkeys(
        ("n_papers", "n_figures", "n_records", "n_recipes", "n_tombstones", "n_record_papers"), 0
    ),
    **{name: {} for name in ("n_bytes", "rejections", "licences", "engines", "subjects")},
}


def released(n_rows: list[int]) -> ShardSet:
    """Return a handle of hf_release whose shards have so many records."""
    commits = tuple(
        Commit(
            asset="hf_release",
            partition="arxiv|2019",
            shard=f"s{i}",
            schema_version=1,
            fingerprint="",
            made_from={},
            environment={},
            tables={"records": replace(RECORDS, n_rows=n)},
        )
        for i, n in enumerate(n_rows)
    )
    return ShardSet(asset="hf_release", partition="arxiv|2019", shards=commits)


@given(st.lists(st.integers(0, 2 * BATCH_ROWS)))
def test_batches_are_bounded_and_hold_every_shard_once(n_rows: list[int]) -> None:
    """Without its last shard a batch has fewer rows than may be in memory; there is always one to count."""
    found = [sorted(batch, key=lambda shard: int(shard[1:])) for batch in batches(released(n_rows))]

    assert [shard for batch in found for shard in batch] == [f"s{i}" for i in range(len(n_rows))]
    assert found
    assert all(sum(n_rows[int(shard[1:])] for shard in batch[:-1]) < BATCH_ROWS for batch in found)


@pytest.mark.parametrize(("n_records", "share"), [(0, 1.0), (MOST_DRAWN, 1.0), (MOST_DRAWN * 4, 0.25)])
def test_pictures_are_drawn_of_a_bounded_number_of_records(n_records: int, share: float) -> None:
    """All records, until there are more than a picture shows."""
    facts = PartitionFacts(source="arxiv", year=2019, **NOTHING | {"n_records": n_records})

    assert share_drawn([facts]) == share
