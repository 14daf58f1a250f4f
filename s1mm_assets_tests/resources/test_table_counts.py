"""What a commit record counts of its tables is what they hold; an older record counts nothing, and they are read."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from s1mm_assets import reports
from s1mm_assets.resources.shard_store import PARTITION as PARTITION_RECORD
from s1mm_assets.resources.shard_store import ShardStore, StoreError
from s1mm_assets.resources.shard_tables import TableFile
from s1mm_assets.resources.shards import COUNTS, Commit, ShardSet, load_shard_set
from s1mm_assets.resources.table_counts import n_kept, rejections, total
from s1mm_assets.tables import Decision, frame_of
from s1mm_assets_tests.resources.shard_stages import PARTITION, SHARDS, decision, decisions, measures


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(uri=str(tmp_path / "store"))


def made(store: ShardStore) -> tuple[ShardSet, ShardSet]:
    """Make measures of three shards, and decisions that turn every row away; pin those."""
    measured = store.derive(measures(), PARTITION, shards=SHARDS)
    decided = store.derive(decisions(threshold=0.9), PARTITION, inputs=[measured])
    store.pin(decided)
    return measured, decided


def without_counts(commit: Commit) -> Commit:
    """Return a commit as it was recorded before tables were counted."""
    return replace(
        commit,
        tables={name: replace(entry, rejected=None, sums=None) for name, entry in commit.tables.items()},
    )


def before_counts(partition_record: str) -> Any:
    """Return a partition record as it was written before tables were counted."""
    record = json.loads(partition_record)
    for shard in record["shards"]:
        for entry in (*shard["tables"].values(), *shard["files"].values()):
            for name in COUNTS:
                del entry[name]
    return record


def test_a_record_says_what_a_reader_would_count(store: ShardStore) -> None:
    """Rejections by reason, rows kept and sums are the same from a record with counts and from one without."""
    measured, rejected = (handle.shards[0] for handle in made(store))
    for commit in (rejected, without_counts(rejected)):
        assert rejections(store, commit, "decisions") == {"blank": 10}
        assert n_kept(store, commit, "decisions") == 0
    for commit in (measured, without_counts(measured)):
        assert total(store, commit, "measures", "n_colours") == 70
        assert n_kept(store, commit, "measures") == 10


def test_status_reads_records_alone(store: ShardStore) -> None:
    """What is kept is told although the tables' files are gone; by a record from before tables were counted, not."""
    made(store)
    told = reports.status(store)
    assert told["kept"].to_list() == [0]
    path = Path(store.path("filtered_figures", "arxiv", "2019", PARTITION_RECORD))
    recorded = path.read_text()

    path.write_text(json.dumps(before_counts(recorded)))
    assert_frame_equal(reports.status(store), told)

    for file in Path(store.uri).rglob("*.parquet"):
        file.unlink()
    with pytest.raises(StoreError, match="is missing or damaged"):
        reports.status(store)
    path.write_text(recorded)
    assert_frame_equal(reports.status(store), told)


def test_counts_are_in_no_digest(store: ShardStore) -> None:
    """A handle from before tables were counted has the digest of one made since: nothing is made anew."""
    _, handle = made(store)
    path = Path(store.path("filtered_figures", "arxiv", "2019", PARTITION_RECORD))

    older = load_shard_set(before_counts(path.read_text()))

    assert older.shards[0].tables["decisions"].rejected is None
    assert handle.shards[0].tables["decisions"].rejected == {"blank": 10}
    assert older.digest() == handle.digest()


@given(st.lists(st.tuples(st.sampled_from([None, "blank", "logo"]), st.none() | st.integers(0, 2**64 - 1))))
def test_whatever_is_written_is_counted(rows: list[tuple[str | None, int | None]]) -> None:
    """Counts add up over row groups, with nulls, and past what 64 bits hold."""
    frames = [
        frame_of(Decision, [replace(decision("a:1#1.1", 0, 0), rejection=reason, image_size_bytes=size)])
        for reason, size in rows
    ]
    table = TableFile(Path("/dev/null"), Decision)
    for frame in frames:
        table._count(frame)

    reasons = [reason for reason, _ in rows if reason]
    assert table.rejected == {reason: reasons.count(reason) for reason in set(reasons)}
    assert table.sums["image_size_bytes"] == sum(size or 0 for _, size in rows)
    assert set(table.sums) == {"image_size_bytes", "source_size_bytes"}
