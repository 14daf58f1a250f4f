"""The commit protocol: nothing half, nothing twice, nothing mixed."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from s1mm_assets.resources import shard_store
from s1mm_assets.resources.shard_garbage import collect
from s1mm_assets.resources.shard_store import ANSWERS, ShardStore, StoreError
from s1mm_assets.resources.shard_tables import TableFile
from s1mm_assets.tables import Measure, columns_of
from s1mm_assets_tests.resources.shard_stages import (
    PARTITION,
    SHARDS,
    decisions,
    measures,
    pieces,
    run_all,
    tree,
)


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(uri=str(tmp_path / "store"))


def test_a_table_reads_back_as_it_was_written(store: ShardStore) -> None:
    """Rows come back in order, by shard, with the columns asked for."""
    made = store.derive(measures({"a": 3, "b": 2}), PARTITION, shards=["a", "b"])

    rows = store.read(made, "measures", ["figure_id", "ink_share"])

    assert rows["figure_id"].to_list() == [
        f"arxiv:{s}#{i}.1" for s, n in (("a", 3), ("b", 2)) for i in range(1, n + 1)
    ]
    assert made.n_rows("measures") == 5


def test_tables_are_read_by_other_programs(store: ShardStore) -> None:
    """A table is plain Parquet: polars finds it by its pattern."""
    store.derive(measures(), PARTITION, shards=SHARDS)

    found = pl.read_parquet(store.path("figure_measures", "arxiv", "2019", "*", "measures-*.parquet"))

    assert len(found) == 30


def test_a_second_run_does_nothing(store: ShardStore) -> None:
    """An unchanged shard is not made again, and its record is not touched."""
    first = store.derive(measures(), PARTITION, shards=SHARDS)
    made: list[str] = []
    store.derive(decisions(made=made), PARTITION, inputs=[first])
    before = tree(Path(store.uri))

    again = store.derive(decisions(made=made), PARTITION, inputs=[first])

    assert made == list(SHARDS)
    assert tree(Path(store.uri)) == before
    assert again.n_rows("decisions") == 30


@pytest.mark.parametrize(
    ("change", "remade"),
    [
        ({"colours": 9}, []),  # a column that the stage does not read
        ({"ink": 0.6}, list(SHARDS)),  # one that it does
        ({"shards": {"chunk_001": 10, "chunk_002": 11, "chunk_003": 10}}, ["chunk_002"]),
        ({"version": "2"}, []),  # other code, equal data
    ],
)
def test_only_shards_whose_input_changed_are_made_again(
    store: ShardStore, change: dict[str, object], remade: list[str]
) -> None:
    """What a shard was made from is known by column."""
    store.derive(decisions(), PARTITION, inputs=[store.derive(measures(), PARTITION, shards=SHARDS)])
    made: list[str] = []

    upstream = store.derive(measures(**change), PARTITION, shards=SHARDS)  # type: ignore[arg-type]
    store.derive(decisions(made=made), PARTITION, inputs=[upstream])

    assert made == remade


def test_a_changed_setting_makes_all_shards_again(store: ShardStore) -> None:
    """A threshold is part of the fingerprint."""
    upstream = store.derive(measures(), PARTITION, shards=SHARDS)
    store.derive(decisions(threshold=0.1), PARTITION, inputs=[upstream])
    made: list[str] = []

    redone = store.derive(decisions(threshold=0.9, made=made), PARTITION, inputs=[upstream])

    assert made == list(SHARDS)
    assert store.read(redone, "decisions", ["rejection"])["rejection"].to_list() == ["blank"] * 30


def test_a_new_renderer_makes_the_shards_again_that_used_it(store: ShardStore) -> None:
    """A shard that did not need Ghostscript is not made again when Ghostscript appears."""
    used = measures(environment={"ghostscript": "missing"})
    unused = measures(environment={})
    store.derive(used, PARTITION, shards=["chunk_001"])
    store.derive(unused, PARTITION, shards=["chunk_002"])
    lines: list[str] = []

    now = measures(environment={"ghostscript": "10.0"})
    store.derive(now, PARTITION, shards=["chunk_001", "chunk_002"], report=lines.append)

    assert [line.split(": ")[2] for line in lines] == ["started", lines[1].split(": ")[2], "unchanged"]


def test_an_empty_partition_has_no_shards(store: ShardStore) -> None:
    """A partition without papers succeeds."""
    nothing = store.derive(measures(), PARTITION, shards=[])
    store.pin(nothing)

    downstream = store.derive(decisions(), PARTITION, inputs=[nothing])

    assert downstream.shards == ()
    assert store.read(downstream, "decisions", ["figure_id"]).is_empty()
    assert store.partitions("figure_measures") == [PARTITION]


def test_a_shard_that_fails_commits_nothing(store: ShardStore) -> None:
    """The shards before it stay; the open one leaves no record and no staging."""
    stage = measures({"chunk_001": 1})  # knows no row count for the second shard

    with pytest.raises(KeyError):
        store.derive(stage, PARTITION, shards=["chunk_001", "chunk_002"])

    root = Path(store.uri)
    assert [path.parent.name for path in root.rglob("commit.json")] == ["chunk_001"]
    assert list((root / ".staging").iterdir()) == []


def test_inputs_that_do_not_belong_together_are_refused(store: ShardStore) -> None:
    """A table made from an older version of another is not joined with the newer one."""
    upstream = store.derive(measures(), PARTITION, shards=SHARDS)
    stale = store.derive(decisions(), PARTITION, inputs=[upstream])
    newer = store.derive(measures(ink=0.9), PARTITION, shards=SHARDS)

    with pytest.raises(StoreError, match=r"materialize filtered_figures for arxiv\|2019 again"):
        store.derive(pieces(), PARTITION, inputs=[newer, stale])


def test_damaged_bytes_are_noticed(store: ShardStore) -> None:
    """A flipped bit raises a clear error, and a lost byte makes the shard again."""
    made = store.derive(measures({"chunk_001": 500}), PARTITION, shards=["chunk_001"])
    [path] = Path(store.uri).rglob("measures-*.parquet")
    whole = path.read_bytes()
    path.write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])

    with pytest.raises(StoreError, match="missing or damaged"):
        store.read(made, "measures", ["figure_id"])

    path.write_bytes(whole[:-1])
    again = store.derive(measures({"chunk_001": 500}), PARTITION, shards=["chunk_001"])
    assert store.read(again, "measures", ["figure_id"]).height == 500
    assert path.read_bytes() == whole


def test_another_schema_version_is_refused(store: ShardStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers name what has to be made again."""
    store.pin(store.derive(measures(), PARTITION, shards=SHARDS))
    monkeypatch.setattr(shard_store, "SCHEMA_VERSION", 2)

    with pytest.raises(StoreError, match="materialize figure_measures"):
        store.pinned("figure_measures", PARTITION)


def test_row_groups_are_bounded(store: ShardStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader never holds more than a row group."""
    monkeypatch.setattr("s1mm_assets.resources.shard_tables.ROW_GROUP_ROWS", 100)
    made = store.derive(measures({"chunk_001": 250}), PARTITION, shards=["chunk_001"])

    assert [len(group) for group in store.scan(made, "measures", ["figure_id"])] == [100, 100, 50]


def test_gc_keeps_what_a_record_names(store: ShardStore) -> None:
    """Tables of the pinned and of the committed version stay; what neither names goes, old enough."""
    root = Path(store.uri)
    store.pin(store.derive(measures(ink=0.1), PARTITION, shards=SHARDS))
    store.derive(measures(ink=0.2), PARTITION, shards=SHARDS)
    store.derive(measures(ink=0.3), PARTITION, shards=SHARDS)
    assert len(list(root.rglob("*.parquet"))) == 9

    assert collect(store, older_than_s=3600).paths == ()
    assert len(collect(store, older_than_s=-1, is_dry_run=True).paths) == 3
    assert len(list(root.rglob("*.parquet"))) == 9
    collect(store, older_than_s=-1)

    assert len(list(root.rglob("*.parquet"))) == 6
    pinned = store.pinned("figure_measures", PARTITION)
    assert pinned is not None
    assert store.read(pinned, "measures", ["ink_share"])["ink_share"].unique().to_list() == [0.1]


def test_gc_removes_shards_that_the_partition_no_longer_has(store: ShardStore) -> None:
    """A chunk that vanished takes its shard with it."""
    store.pin(store.derive(measures(), PARTITION, shards=SHARDS))
    store.pin(store.derive(measures(), PARTITION, shards=SHARDS[:2]))

    collect(store, older_than_s=-1)

    assert sorted(path.parent.name for path in Path(store.uri).rglob("commit.json")) == list(SHARDS[:2])


def test_gc_spares_what_was_named_until_just_now(store: ShardStore) -> None:
    """Old tables whose record was replaced a moment ago may still be read by the run that pinned them."""
    root = Path(store.uri)
    store.pin(store.derive(measures(ink=0.1), PARTITION, shards=SHARDS))
    two_days_ago = time.time() - 2 * 86_400
    for path in root.rglob("*"):
        os.utime(path, (two_days_ago, two_days_ago))

    store.pin(store.derive(measures(ink=0.2), PARTITION, shards=SHARDS))

    assert collect(store).paths == ()
    assert len(list(root.rglob("*.parquet"))) == 6


def test_gc_spares_shards_that_a_run_has_made_and_not_pinned_yet(store: ShardStore) -> None:
    """New shards are not in the partition record before the run ends, however long it takes."""
    root = Path(store.uri)
    store.pin(store.derive(measures(), PARTITION, shards=SHARDS[:1]))
    store.derive(measures(), PARTITION, shards=SHARDS)
    two_days_ago = time.time() - 2 * 86_400
    for age, path in enumerate(sorted(root.rglob("*"), key=lambda path: path.stat().st_mtime_ns)):
        os.utime(path, (two_days_ago + age, two_days_ago + age))

    assert collect(store).paths == ()


def test_answers_lie_beside_the_tables(store: ShardStore) -> None:
    """What models answered is never garbage, however old, and is no partition or shard of anything."""
    answers = Path(store.path(ANSWERS, "arxiv", "2019", "chunk_001", "writer-0.jsonl"))
    answers.parent.mkdir(parents=True)
    answers.write_text("{}\n")
    unnamed = Path(store.path("answers_of_old", "arxiv", "2019", "chunk_001", "writer-0.jsonl"))
    unnamed.parent.mkdir(parents=True)
    unnamed.write_text("{}\n")
    before = store.derive(measures(), PARTITION, shards=SHARDS)
    store.pin(before)

    assert collect(store, older_than_s=-1).paths == (str(unnamed),)
    assert answers.is_file()
    assert store.partitions(ANSWERS) == []
    assert store.partitions("figure_measures") == [PARTITION]
    assert store.derive(measures(), PARTITION, shards=SHARDS) == before


def test_a_column_that_older_shards_lack_reads_through(store: ShardStore) -> None:
    """Inputs whose shards were written before and after a nullable column came still belong together."""
    made = store.derive(measures(), PARTITION, shards=SHARDS)
    older = made.shards[1]
    columns = {
        name: digest
        for name, digest in (older.tables["measures"].columns or {}).items()
        if name != "detail_hash"
    }
    table = replace(older.tables["measures"], columns=columns)
    mixed = replace(made, shards=(made.shards[0], replace(older, tables={"measures": table}), made.shards[2]))

    assert store.derive(decisions(), PARTITION, inputs=[mixed]).n_rows("decisions") == 30


def test_one_large_write_is_cut_into_row_groups(
    store: ShardStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows a stage writes at once."""
    monkeypatch.setattr("s1mm_assets.resources.shard_tables.ROW_GROUP_ROWS", 100)
    rows = store.read(
        store.derive(measures({"a": 250}), PARTITION, shards=["a"]), "measures", columns_of(Measure)
    )
    table = TableFile(tmp_path / "table.parquet", Measure)

    table.append(rows)
    table.close()

    metadata = pq.read_metadata(tmp_path / "table.parquet")
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [100, 100, 50]


def test_invalidate_makes_one_shard_again(store: ShardStore) -> None:
    """What `s1mm retry` relies on."""
    upstream = store.derive(measures(), PARTITION, shards=SHARDS)
    store.derive(decisions(), PARTITION, inputs=[upstream])
    made: list[str] = []

    store.invalidate("filtered_figures", PARTITION, "chunk_002")
    store.derive(decisions(made=made), PARTITION, inputs=[upstream])

    assert made == ["chunk_002"]


def test_two_writers_leave_one_whole_commit(store: ShardStore) -> None:
    """Whoever is last wins; the tables that the record names are all there and belong together."""
    stages = [measures({"chunk_001": n}, ink=n / 100, pause_s=0.001) for n in (20, 30)]
    threads = [
        threading.Thread(target=store.derive, args=(stage, PARTITION), kwargs={"shards": ["chunk_001"]})
        for stage in stages
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    record = json.loads((Path(store.uri) / "figure_measures/arxiv/2019/chunk_001/commit.json").read_text())
    table = record["tables"]["measures"]
    rows = pl.read_parquet(Path(store.uri) / "figure_measures/arxiv/2019/chunk_001" / table["file"])
    assert len(rows) == table["n_rows"] == round(rows["ink_share"][0] * 100)


def test_kill_anywhere_run_again_same_bytes(tmp_path: Path) -> None:
    """Killed at ten random moments, then run to the end: the store equals an undisturbed one."""
    undisturbed = tmp_path / "undisturbed"
    run_all(ShardStore(uri=str(undisturbed)))
    disturbed = tmp_path / "disturbed"
    command = [sys.executable, "-m", "s1mm_assets_tests.resources.shard_stages", str(disturbed), "0.02"]
    moments = random.Random(7)
    progress: list[int] = []
    for _ in range(10):
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
            wait_for_progress(disturbed, len(progress), process)
            time.sleep(moments.uniform(0, 0.25))
            process.send_signal(signal.SIGKILL)
        progress.append(len(list(disturbed.rglob("commit.json"))))

    subprocess.run([*command[:-1], "0"], check=True, capture_output=True)
    collect(ShardStore(uri=str(disturbed)), older_than_s=-1)

    assert progress[0] < 9, "the first kill came after the work was done"
    assert progress == sorted(progress), "a finished shard was lost"
    assert tree(disturbed) == tree(undisturbed)


def wait_for_progress(store: Path, tries: int, process: subprocess.Popen[bytes]) -> None:
    """Return once the process works (a staging folder appears), or has ended."""
    seen = set((store / ".staging").glob("*")) if tries else set()
    while process.poll() is None and not set((store / ".staging").glob("*")) - seen:
        time.sleep(0.005)


@pytest.mark.filterwarnings("default")  # moto and botocore warn of their own dependencies
def test_an_object_store_holds_the_same(s3_uri: str, tmp_path: Path) -> None:
    """The same code, tables and digests on S3; a second run does nothing; gc works."""
    remote, local = ShardStore(uri=s3_uri), ShardStore(uri=str(tmp_path))

    assert run_all(remote) == run_all(local)
    made: list[str] = []
    pinned = remote.pinned("figure_measures", PARTITION)
    assert pinned is not None
    second = remote.derive(decisions(made=made), PARTITION, inputs=[pinned])
    assert made == []
    assert remote.read(second, "decisions", ["figure_id"]).height == 30
    third = remote.pinned("hf_release", PARTITION)
    assert third is not None
    assert remote.open_file(third.shards[0], "images.tar.gz").read().startswith(b"arxiv:chunk_001#1.1")
    assert collect(remote, older_than_s=-60).paths == ()
    remote.derive(measures(ink=0.9), PARTITION, shards=SHARDS)
    remote.derive(measures(ink=0.8), PARTITION, shards=SHARDS)
    assert len(collect(remote, older_than_s=-60).paths) == 3
    assert remote.partitions("hf_release") == [PARTITION]
