"""Duplicates across partitions in a store: who is made again when a partition comes, and what is refused."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from s1mm_assets.assets.duplicates import MAX_SEARCHES, duplicates, search
from s1mm_assets.checks.duplicates import duplicates_hold
from s1mm_assets.filtering import DUPLICATES, DecidedPartition, duplicates_stage
from s1mm_assets.partitions import source_and_year
from s1mm_assets.release import ReleaseSettings
from s1mm_assets.release.stage import READS
from s1mm_assets.resources.decided_partitions import (
    decided,
    decided_partition,
    duplicates_of,
    record_view,
    view_of,
)
from s1mm_assets.resources.release_pieces import left_behind, pinned
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_garbage import collect
from s1mm_assets.resources.shard_store import ShardStore, StoreError
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import TABLES, Decision, Metadata, frame_of, schema_of
from s1mm_assets_tests.resources.shard_stages import tree
from s1mm_assets_tests.strategies import SHA256S

Images = Mapping[str, Mapping[str, int | None]]  # shard → paper → its image; None: rejected
FIRST: Images = {"chunk_001": {"a": 0}, "chunk_002": {"b": 1}}
SECOND: Images = {"chunk_001": {"c": 1}, "chunk_002": {"d": 2}, "chunk_003": {"e": 3}}


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(uri=str(tmp_path / "store"))


def decision(key: str, paper: str, image: int | None) -> Decision:
    values: dict[str, Any] = dict.fromkeys(Decision.__dataclass_fields__)
    values |= {"figure_id": f"{source_and_year(key)[0]}:{paper}#1.1", "paper_id": paper}
    if image is None:
        values["rejection"] = "blank"
    else:
        values |= {"sha256": SHA256S[image], "detail_hash": bytes([image]) * 128}
    return Decision(**values)


def metadata(paper: str) -> Metadata:
    values: dict[str, Any] = {
        **dict.fromkeys(Metadata.__dataclass_fields__),
        "authors": [],
        "categories": [],
    }
    return Metadata(**{**values, "paper_id": paper, "is_withdrawn": False})


def land(store: ShardStore, key: str, images: Images) -> None:
    """Materialize raw_archives and filtered_figures with these kept images."""

    def metadata_of(reader: ShardReader, writer: ShardWriter) -> None:
        writer.write("metadata", frame_of(Metadata, [metadata(paper) for paper in images[reader.shard]]))

    def decisions_of(reader: ShardReader, writer: ShardWriter) -> None:
        rows = [decision(key, *each) for each in images[reader.shard].items()]
        writer.write("decisions", frame_of(Decision, rows))

    for asset, table, row, make in (
        ("raw_archives", "metadata", Metadata, metadata_of),
        ("filtered_figures", "decisions", Decision, decisions_of),
    ):
        stage = Stage(
            asset=asset,
            version="1",
            tables={table: row},
            make=make,
            shard_inputs=lambda shard: {"images": str(images[shard])},
        )
        store.pin(store.derive(stage, key, shards=list(images)))


def release(store: ShardStore, key: str) -> list[str]:
    """Materialize an hf_release that reads its slice as the real one does; return the shards that were made."""
    made: list[str] = []

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        reader.read("duplicates", "duplicates")
        writer.write("records", schema_of(TABLES["hf_release"]["records"]).to_frame())
        made.append(reader.shard)

    stage = Stage(
        asset="hf_release",
        version="1",
        tables=TABLES["hf_release"],
        make=make,
        reads={"duplicates": READS["duplicates"]},
    )
    store.pin(store.derive(stage, key, inputs=[duplicates_of(store, key, ReleaseSettings())]))
    return made


def find(store: ShardStore) -> dict[str, bool]:
    """Materialize the asset with its checks; return each check's verdict."""
    result = dg.materialize(
        [duplicates, dg.AssetSpec("filtered_figures"), duplicates_hold],
        selection=dg.AssetSelection.assets("duplicates"),
        resources={"store": store, "settings": Settings()},
        raise_on_error=False,
    )
    return {each.check_name: each.passed for each in result.get_asset_check_evaluations()}


def slices(store: ShardStore) -> dict[str, str]:
    """Figure → the one that is kept."""
    handles = [store.pinned("duplicates", key) for key in store.partitions("duplicates")]
    rows = [store.read(each, "duplicates", ["figure_id", "duplicate_of"]) for each in handles if each]
    return dict(pl.concat(rows).iter_rows())


pytestmark = pytest.mark.filterwarnings("ignore")  # Dagster warns of its own internals


def test_whatever_order_partitions_come_in_the_slices_are_the_same(tmp_path: Path) -> None:
    """Byte for byte, also where duplicates were sought in between."""
    partitions = {
        "arxiv|2019": FIRST,
        "biorxiv|2019": SECOND,
        "arxiv|2018": {"chunk_001": {"f": 3, "g": None}},
    }
    stores = [ShardStore(uri=str(tmp_path / name)) for name in ("one", "other")]
    for key, images in partitions.items():
        land(stores[0], key, images)
    for key, images in reversed(list(partitions.items())):
        land(stores[1], key, images)
        assert all(find(stores[1]).values())

    assert all(find(stores[0]).values())

    assert slices(stores[0]) == {"biorxiv:c#1.1": "arxiv:b#1.1", "biorxiv:e#1.1": "arxiv:f#1.1"}
    one, other = (tree(tmp_path / name / "duplicates") for name in ("one", "other"))
    named = {path: digest for path, digest in other.items() if path in one}
    assert named == one  # beside them lie tables that no record names any more
    assert all("/duplicates-" in path for path in other.keys() - one.keys())


def test_a_new_partition_makes_again_what_it_touches(store: ShardStore) -> None:
    """Of the slices and of the releases, the shards whose figures are duplicates now."""
    land(store, "biorxiv|2019", SECOND)
    find(store)
    assert release(store, "biorxiv|2019") == ["chunk_001", "chunk_002", "chunk_003"]
    before = tree(Path(store.path("duplicates")))

    land(store, "arxiv|2019", FIRST)
    find(store)

    after = tree(Path(store.path("duplicates", "biorxiv", "2019")))
    changed = {path.split("/")[0] for path in after if before.get(f"biorxiv/2019/{path}") != after[path]}
    assert changed == {"chunk_001", "partition.json"}
    assert left_behind(store) == ["biorxiv|2019"]
    with pytest.raises(
        StoreError,
        match=r"1 partitions .* other duplicates .*: materialize hf_release again for biorxiv\|2019$",
    ):
        pinned(store)
    assert release(store, "biorxiv|2019") == ["chunk_001"]
    assert left_behind(store) == []
    assert set(pinned(store)["biorxiv|2019"]) == {
        "raw_archives",
        "filtered_figures",
        "duplicates",
        "hf_release",
    }


def test_a_missing_or_outdated_slice_is_refused(store: ShardStore) -> None:
    """The message says what to materialize; after that it is taken."""
    land(store, "arxiv|2019", FIRST)
    with pytest.raises(StoreError, match="materialize duplicates first"):
        release(store, "arxiv|2019")
    find(store)
    release(store, "arxiv|2019")

    land(store, "arxiv|2019", {**FIRST, "chunk_002": {"b": None}})

    with pytest.raises(
        StoreError, match=r"duplicates of arxiv\|2019 are of older .*: materialize duplicates again"
    ):
        release(store, "arxiv|2019")
    with pytest.raises(StoreError, match=r"decisions of 1 partitions .*: materialize duplicates, then"):
        pinned(store)
    find(store)
    assert release(store, "arxiv|2019") == []  # no slice changed


def test_the_checks_see_what_the_search_missed(store: ShardStore) -> None:
    """An image kept twice, a duplicate of nothing, and a slice that is not there fail, each by its name."""
    land(store, "arxiv|2019", FIRST)
    land(store, "biorxiv|2019", SECOND)
    assert find(store) == {
        "every_slice_is_of_the_current_decisions": True,
        "each_image_is_kept_once": True,
        "every_duplicate_names_a_kept_figure": True,
    }

    land(store, "arxiv|2019", {"chunk_001": {"a": 3}, "chunk_002": {"b": None}})
    decisions = decided(store)
    made = {
        key: store.derive(
            duplicates_stage(duplicates_in(store, key), bits=32, preferred=ReleaseSettings().licences()),
            key,
            inputs=[each],
        )
        for key, each in decisions.items()
    }
    for each in made.values():
        store.pin(each)
    record_view(store, view_of(decisions, made))

    verdicts = checked(store)
    assert {name: each.passed for name, each in verdicts.items()} == {
        "every_slice_is_of_the_current_decisions": True,
        "each_image_is_kept_once": False,
        "every_duplicate_names_a_kept_figure": False,
    }
    assert {each.severity for each in verdicts.values()} == {dg.AssetCheckSeverity.ERROR}
    assert "arxiv:b#1.1" in str(verdicts["every_duplicate_names_a_kept_figure"].metadata)
    assert "biorxiv:e#1.1" in str(verdicts["each_image_is_kept_once"].metadata)


def duplicates_in(store: ShardStore, key: str) -> pl.DataFrame:
    """A partition's slice, as a search returns it."""
    handle = store.pinned("duplicates", key)
    assert handle
    columns = [name for name in DUPLICATES if name != "shard"]
    return store.read(handle, "duplicates", columns, names_shard=True).select(DUPLICATES.names())


def checked(store: ShardStore) -> dict[str, dg.AssetCheckResult]:
    """What the checks say, by name."""
    results = duplicates_hold(store)
    assert isinstance(results, Iterable)
    return {each.check_name or "": each for each in results}


def test_a_partition_filtered_meanwhile_only_warns(store: ShardStore) -> None:
    """The run of another partition goes on; what would be published is refused elsewhere."""
    land(store, "arxiv|2019", FIRST)
    land(store, "biorxiv|2019", SECOND)
    find(store)

    land(store, "arxiv|2019", {"chunk_001": {"a": 3}, "chunk_002": {"b": None}})

    verdicts = checked(store)
    assert not any(each.passed for each in verdicts.values())
    assert {each.severity for each in verdicts.values()} == {dg.AssetCheckSeverity.WARN}
    assert "arxiv|2019" in str(verdicts["every_slice_is_of_the_current_decisions"].metadata)


def test_a_partition_filtered_during_the_search_is_searched_again(
    store: ShardStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its slice and those of others are of what it holds in the end."""
    land(store, "biorxiv|2019", SECOND)
    late = [("arxiv|2019", FIRST)]

    def landing(store: ShardStore, decisions: ShardSet, release: ReleaseSettings) -> DecidedPartition:
        if late:
            land(store, *late.pop())
        return decided_partition(store, decisions, release)

    monkeypatch.setattr("s1mm_assets.assets.duplicates.decided_partition", landing)

    made = search(store, bits=32, release=ReleaseSettings(), report=lambda line: None)

    assert set(made) == {"arxiv|2019", "biorxiv|2019"}
    assert slices(store) == {"biorxiv:c#1.1": "arxiv:b#1.1"}
    assert all(each.passed for each in checked(store).values())


def test_a_search_that_never_sees_one_state_ends(store: ShardStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what to do, and the view stays that of the last search that did."""
    land(store, "arxiv|2019", FIRST)
    n_landed = 0

    def landing(store: ShardStore, decisions: ShardSet, release: ReleaseSettings) -> DecidedPartition:
        nonlocal n_landed
        n_landed += 1
        land(store, "arxiv|2019", {**FIRST, "chunk_001": {"a": n_landed}})
        return decided_partition(store, decisions, release)

    monkeypatch.setattr("s1mm_assets.assets.duplicates.decided_partition", landing)

    with pytest.raises(StoreError, match="during each of 5 searches: materialize duplicates when none is"):
        search(store, bits=32, release=ReleaseSettings(), report=lambda line: None)
    assert n_landed == MAX_SEARCHES
    assert not Path(store.path("duplicates", "view.json")).exists()


def test_a_publication_is_refused_where_another_partition_changed(store: ShardStore) -> None:
    """No slice is of older decisions of its own partition, and yet an image may be there twice."""
    land(store, "arxiv|2019", FIRST)
    find(store)
    release(store, "arxiv|2019")
    pinned(store)
    years = [f"biorxiv|{year}" for year in range(2013, 2025)]
    for key in years:
        land(store, key, {})

    with pytest.raises(StoreError, match=r"decisions of 12 partitions .* biorxiv\|2022 and 2 more$"):
        pinned(store)


def test_every_partition_left_behind_is_named_at_once(store: ShardStore) -> None:
    """Or a publication would be tried once for each."""
    for key in ("biorxiv|2019", "biorxiv|2020"):
        land(store, key, {"chunk_001": {f"p{key[-1]}": int(key[-1]) % 2}})
    find(store)
    for key in ("biorxiv|2019", "biorxiv|2020"):
        release(store, key)

    land(store, "arxiv|2019", FIRST)
    find(store)

    assert left_behind(store) == ["biorxiv|2019", "biorxiv|2020"]
    with pytest.raises(StoreError, match=r"of 2 partitions .* again for biorxiv\|2019, biorxiv\|2020$"):
        pinned(store)


def test_the_view_is_no_garbage_and_no_partition(store: ShardStore) -> None:
    """Though no commit names it."""
    land(store, "arxiv|2019", FIRST)
    find(store)
    release(store, "arxiv|2019")

    assert collect(store, older_than_s=-1).paths == ()

    assert store.partitions("duplicates") == ["arxiv|2019"]
    assert set(pinned(store)) == {"arxiv|2019"}
