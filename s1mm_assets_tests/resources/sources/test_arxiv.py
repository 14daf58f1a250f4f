"""arXiv's chunks: verified before anything is taken, found by their manifest."""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.server import ThreadedMotoServer
from werkzeug.serving import make_server

from s1mm_assets.archives.arxiv import ChunkFile, manifest_xml, pack_chunk, read_manifest
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.sources import ChunkDamaged, Source, SourceError
from s1mm_assets.resources.sources.arxiv import MANIFEST, ArxivSource, index_chunk
from s1mm_assets_tests.archives.packing import PAPER, PDF, TEX, gz, tar_gz

A, B, C = gz(TEX), tar_gz(PAPER), PDF


def write(root: Path, chunks: Sequence[tuple[ChunkFile, bytes]]) -> None:
    """Lay chunks and their manifest out as arXiv does."""
    (root / "src").mkdir(parents=True, exist_ok=True)
    for chunk, data in chunks:
        (root / chunk.filename).write_bytes(data)
    (root / "src" / MANIFEST).write_bytes(manifest_xml([chunk for chunk, _ in chunks]))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write(
        tmp_path,
        [
            pack_chunk([("2301.00001", A), ("2301.00002", B)], "2301", 1),
            pack_chunk([("2301.00003", C)], "2301", 2),
            pack_chunk([("2212.00001", A)], "2212", 1),
            pack_chunk([("hep-ph/0001001", A)], "0001", 1),
        ],
    )
    return tmp_path


def papers(source: ArxivSource, year: int) -> dict[str, bytes]:
    """paper_id → its bytes, over all chunks of a year."""
    read = source.reader()
    return {
        each.paper_id: read(each.uri, each.offset, each.length)
        for chunk in source.chunks(year)
        for each in source.deliveries(chunk.name, year)
    }


def test_papers_of_a_year_are_those_of_its_chunks(root: Path) -> None:
    source: Source = ArxivSource(root=str(root))
    assert isinstance(source, ArxivSource)

    assert source.years() == [2000, 2022, 2023]
    assert papers(source, 2023) == {"2301.00001": A, "2301.00002": B, "2301.00003": C}
    assert papers(source, 2000) == {"hep-ph/0001001": A}
    assert papers(source, 2001) == {}
    assert [chunk.name for chunk in source.chunks(2023)] == ["arXiv_src_2301_001", "arXiv_src_2301_002"]


def test_chunks_may_lie_in_the_root_itself(root: Path) -> None:
    for path in (root / "src").iterdir():
        path.rename(root / path.name)

    assert papers(ArxivSource(root=str(root)), 2023).keys() == {"2301.00001", "2301.00002", "2301.00003"}


def test_a_chunk_that_was_not_fetched_is_no_shard_and_is_named(root: Path) -> None:
    (root / "src" / "arXiv_src_2301_002.tar").unlink()
    source = ArxivSource(root=str(root))

    assert [chunk.name for chunk in source.chunks(2023)] == ["arXiv_src_2301_001"]
    assert source.absent(2023) == ["arXiv_src_2301_002"]
    assert source.absent(2022) == []


@pytest.mark.parametrize("damage", ["short", "flipped"])
def test_a_damaged_chunk_gives_no_papers(root: Path, damage: str) -> None:
    """An incomplete delivery is no fault of papers: the error names chunk, expected, found and the remedy."""
    path = root / "src" / "arXiv_src_2301_001.tar"
    data = bytearray(path.read_bytes())
    if damage == "short":
        del data[-512:]
    else:
        data[600] ^= 1
    path.write_bytes(data)

    found = r"9728 bytes, fewer than its papers' 10240\." if damage == "short" else r"10240 bytes\."
    remedy = r"Fetch src/arXiv_src_2301_001\.tar again"
    with pytest.raises(
        ChunkDamaged,
        match=rf"arXiv_src_2301_001 .* expected MD5 \w{{32}}, found \w{{32}} of {found} .* {remedy}",
    ):
        next(ArxivSource(root=str(root)).deliveries("arXiv_src_2301_001", 2023))


@pytest.mark.parametrize("size", [1, 9_000, 20_000])
def test_a_size_that_disagrees_is_no_damage_where_the_md5_is_right(tmp_path: Path, size: int) -> None:
    """In arXiv's own manifest it is mostly what the papers take, without the tar around them."""
    chunk, data = pack_chunk([("2301.00001", A), ("2301.00002", B)], "2301", 1)
    write(tmp_path, [(replace(chunk, size=size), data)])

    assert papers(ArxivSource(root=str(tmp_path)), 2023) == {"2301.00001": A, "2301.00002": B}


@pytest.mark.corpus
def test_the_manifests_size_is_that_of_the_papers_without_their_tar(corpus: Path) -> None:
    """Of each chunk that samples of both know, by what tar adds to each paper and at the end."""
    samples = corpus / "samples" / "arxiv"
    listed = {
        chunk.name: chunk
        for chunk in read_manifest((samples / "arXiv_src_manifest.2024.excerpt.xml").read_bytes())
    }
    objects = [line.split()[2:] for line in (samples / "s3_ls_src.txt").read_text().splitlines()]
    known = [
        (listed[name.removesuffix(".tar")], int(size))
        for size, name in objects
        if name.removesuffix(".tar") in listed
    ]

    assert len(known) == 6
    for chunk, size in known:
        assert 512 * chunk.num_items <= size - chunk.size <= 1024 * chunk.num_items + 20_480
        assert size % 10_240 == 0  # a tar's


def test_a_chunk_that_is_no_tar_is_damaged_though_its_digest_is_right(tmp_path: Path) -> None:
    chunk, data = pack_chunk([("2301.00001", A), ("2301.00002", B)], "2301", 1)
    cut = data[:600]
    described = {field: getattr(chunk, field) for field in ChunkFile.__dataclass_fields__}
    described |= {
        "size": len(cut),
        "md5sum": hashlib.md5(cut, usedforsecurity=False).hexdigest(),
    }
    write(tmp_path, [(ChunkFile(**described), cut)])

    with pytest.raises(ChunkDamaged, match="a sound tar"):
        list(ArxivSource(root=str(tmp_path)).deliveries(chunk.name, 2023))


def test_inputs_follow_the_manifest(root: Path) -> None:
    """A chunk that arXiv packs anew has other inputs; its neighbours have not."""
    before = {chunk.name: dict(chunk.inputs) for chunk in ArxivSource(root=str(root)).chunks(2023)}
    write(
        root,
        [
            pack_chunk([("2301.00001", A), ("2301.00002", B)], "2301", 1),
            pack_chunk([("2301.00003", B)], "2301", 2),
        ],
    )
    after = {chunk.name: dict(chunk.inputs) for chunk in ArxivSource(root=str(root)).chunks(2023)}

    assert before["arXiv_src_2301_001"] == after["arXiv_src_2301_001"]
    assert before["arXiv_src_2301_002"] != after["arXiv_src_2301_002"]


def test_a_paper_that_lands_twice_is_given_out_once(tmp_path: Path) -> None:
    """The later chunk replaces it, and says so in the inputs of the earlier one."""
    first = pack_chunk([("2301.00001", A), ("2301.00002", A)], "2301", 1)
    again = pack_chunk([("2301.00002", B), ("2301.00003", C)], "2301", 2)
    write(tmp_path, [first, again])
    source = ArxivSource(root=str(tmp_path))

    given_out = [each.paper_id for c in source.chunks(2023) for each in source.deliveries(c.name, 2023)]

    assert given_out == ["2301.00001", "2301.00002", "2301.00003"]
    assert papers(source, 2023)["2301.00002"] == B
    assert source.chunks(2023)[0].inputs["replaced by arXiv_src_2301_002"] == again[0].md5sum
    assert set(source.chunks(2023)[1].inputs) == {"md5", "size"}


def test_a_paper_that_lands_twice_in_one_chunk_is_given_out_once(tmp_path: Path) -> None:
    write(tmp_path, [pack_chunk([("2301.00001", A), ("2301.00001", C)], "2301", 1)])

    assert papers(ArxivSource(root=str(tmp_path)), 2023) == {"2301.00001": C}


# --- chunks that arXiv has packed anew ---------------------------------------------------------------------


@pytest.fixture
def anew(root: Path) -> tuple[ChunkFile, bytes]:
    """A chunk of another packing than the one that is there; the manifest lists it, and it has not landed."""
    for chunk in ArxivSource(root=str(root)).listed():
        index_chunk(str(root), chunk.filename, chunk.md5sum)
    packed = pack_chunk([("2301.00001", A), ("2301.00002", C)], "2301", 1)
    listed = ArxivSource(root=str(root)).listed()
    chunks = [packed[0] if chunk.name == packed[0].name else chunk for chunk in listed]
    (root / "src" / MANIFEST).write_bytes(manifest_xml(chunks))
    return packed


def inputs(root: Path) -> dict[str, dict[str, str]]:
    return {chunk.name: dict(chunk.inputs) for chunk in ArxivSource(root=str(root)).chunks(2023)}


def test_a_chunk_that_is_older_than_the_manifest_is_sound(root: Path, anew: tuple[ChunkFile, bytes]) -> None:
    """As long as its bytes are those that were verified when it landed. Its index stays that of its bytes."""
    index = (root / "index" / f"{anew[0].name}.jsonl").read_bytes()
    source = ArxivSource(root=str(root))

    assert papers(source, 2023) == {"2301.00001": A, "2301.00002": B, "2301.00003": C}
    assert source.absent(2023) == []
    assert (root / "index" / f"{anew[0].name}.jsonl").read_bytes() == index


def test_inputs_are_those_of_the_bytes_that_are_there(root: Path) -> None:
    """A manifest changes none; what lands does, though it be of the same size."""
    first = pack_chunk([("2301.00001", A), ("2301.00002", B)], "2301", 1)
    second = pack_chunk([("2301.00002", C)], "2301", 2)
    write(root, [first, second])
    for chunk, _ in (first, second):
        index_chunk(str(root), chunk.filename, chunk.md5sum)
    before = inputs(root)
    anew = pack_chunk([("2301.00001", B), ("2301.00002", A)], "2301", 1)
    fewer = pack_chunk([("2301.00004", C)], "2301", 2)
    listed = [replace(anew[0], size=7), fewer[0]]
    (root / "src" / MANIFEST).write_bytes(manifest_xml(listed))

    assert inputs(root) == before
    assert before[first[0].name] == {
        "md5": first[0].md5sum,
        "size": str(len(first[1])),
        f"replaced by {second[0].name}": second[0].md5sum,
    }
    assert papers(ArxivSource(root=str(root)), 2023) == {"2301.00001": A, "2301.00002": C}
    (root / anew[0].filename).write_bytes(anew[1])
    index_chunk(str(root), anew[0].filename, anew[0].md5sum)
    assert inputs(root)[first[0].name]["md5"] == anew[0].md5sum
    assert inputs(root)[second[0].name] == before[second[0].name]


def test_a_chunk_that_is_neither_the_new_nor_the_old_one_is_damaged(
    root: Path, anew: tuple[ChunkFile, bytes]
) -> None:
    path = root / anew[0].filename
    old = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    overwrite(path)

    with pytest.raises(
        ChunkDamaged, match=rf"{anew[0].md5sum} or {old}, which it landed with, .* Fetch .* again"
    ):
        next(ArxivSource(root=str(root)).deliveries(anew[0].name, 2023))


def test_a_chunk_that_was_never_verified_is_no_older_one(root: Path, anew: tuple[ChunkFile, bytes]) -> None:
    (root / "index" / f"{anew[0].name}.jsonl").unlink()

    with pytest.raises(ChunkDamaged, match=rf"expected MD5 {anew[0].md5sum}, found"):
        next(ArxivSource(root=str(root)).deliveries(anew[0].name, 2023))


def test_a_new_chunk_with_the_index_of_the_old_one_is_sound(
    root: Path, anew: tuple[ChunkFile, bytes]
) -> None:
    """Of the same size, put there by hand; it is indexed when it is verified."""
    chunk, data = anew
    assert len(data) == (root / chunk.filename).stat().st_size
    (root / chunk.filename).write_bytes(data)

    assert papers(ArxivSource(root=str(root)), 2023)["2301.00002"] == C
    assert inputs(root)[chunk.name]["md5"] == chunk.md5sum


def test_of_two_entries_for_one_chunk_that_of_the_listing_counts(tmp_path: Path) -> None:
    """The publisher offers the later one: it is the one that lands and is verified."""
    chunk, data = pack_chunk([("2301.00001", A)], "2301", 1)
    write(tmp_path, [(chunk, data)])
    earlier = replace(chunk, md5sum="0" * 32, timestamp="2022-12-31 00:00:00")
    for entries in ([earlier, chunk], [chunk, earlier]):
        (tmp_path / "src" / MANIFEST).write_bytes(manifest_xml(entries))
        source = ArxivSource(root=str(tmp_path))

        assert papers(source, 2023) == {"2301.00001": A}
        assert [each.name for each in source.chunks(2023)] == [chunk.name]


# --- the snapshot ------------------------------------------------------------------------------------------


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    rows = [
        {"id": "2212.00001", "title": "Other year"},
        {"id": "2301.00002", "title": "Two\n lines", "license": "http://a/"},
        {"title": "Its id stands last", "id": "2301.00001"},
        {"id": "hep-ph/0001001", "title": "Old"},
    ]
    path = tmp_path / "snapshot.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_metadata_is_looked_up_in_the_snapshot(root: Path, snapshot: Path) -> None:
    source = ArxivSource(root=str(root), metadata_snapshot=str(snapshot))
    found = source.metadata(2023, ["2301.00001", "2301.00002", "2301.00003"])

    assert {key: row.title for key, row in found.items()} == {
        "2301.00001": "Its id stands last",
        "2301.00002": "Two lines",
    }
    assert source.metadata(2000, ["hep-ph/0001001"])["hep-ph/0001001"].title == "Old"
    assert ArxivSource(root=str(root)).metadata(2023, ["2301.00001"]) == {}


def test_a_changed_snapshot_changes_the_inputs(root: Path, snapshot: Path) -> None:
    source = ArxivSource(root=str(root), metadata_snapshot=str(snapshot))
    before = source.chunks(2023)
    with snapshot.open("a") as file:
        file.write('{"id": "2301.00003"}\n')

    assert source.chunks(2023) != before
    assert "2301.00003" in source.metadata(2023, ["2301.00003"])


@pytest.mark.parametrize("line", ["{", "[]", '{"title": "no id"}', '{"id": "2301.00009", "title": 5}'])
def test_a_row_that_cannot_be_read_is_named(root: Path, snapshot: Path, line: str) -> None:
    with snapshot.open("a") as file:
        file.write(line + "\n")

    with pytest.raises(SourceError, match=r"snapshot\.jsonl"):
        ArxivSource(root=str(root), metadata_snapshot=str(snapshot)).metadata(2023, ["2301.00009"])


# --- harvested windows -------------------------------------------------------------------------------------


def harvest(root: Path, window: str, *rows: dict[str, Any]) -> None:
    (root / "oai").mkdir(exist_ok=True)
    (root / "oai" / f"{window}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def metadata_inputs(source: ArxivSource) -> dict[str, str]:
    return {chunk.name: chunk.inputs["metadata"] for chunk in source.chunks(2023)}


def titles(source: ArxivSource) -> dict[str, str | None]:
    found = source.metadata(2023, ["2301.00001", "2301.00002", "2301.00003"])
    return {paper_id: row.title for paper_id, row in found.items()}


def test_of_a_papers_rows_the_newest_counts(root: Path) -> None:
    """Of one date, that of the later window, and a window's before the snapshot's."""
    dated = [("2301.00001", "2023-02-01"), ("2301.00002", "2023-02-05"), ("2301.00003", "2023-03-01")]
    snapshot = root / "metadata.jsonl"
    snapshot.write_text(
        "".join(json.dumps({"id": i, "title": "old", "update_date": d}) + "\n" for i, d in dated)
    )
    harvest(
        root,
        "2023-01-30_2023-02-05",
        {"id": "2301.00001", "title": "new", "update_date": "2023-02-03"},
        {"id": "2301.00002", "title": "new", "update_date": "2023-02-05"},
        {"id": "2301.00003", "title": "new", "update_date": "2023-02-05"},
    )
    harvest(
        root, "2023-02-06_2023-02-07", {"id": "2301.00001", "title": "newer", "update_date": "2023-02-06"}
    )
    source = ArxivSource(root=str(root), metadata_snapshot=str(snapshot))

    assert titles(source) == {"2301.00001": "newer", "2301.00002": "new", "2301.00003": "old"}


def test_windows_are_read_without_a_snapshot(root: Path) -> None:
    """What else lies there is not: parts, other names."""
    harvest(root, "2023-01-30_2023-02-05", {"id": "2301.00001", "title": "T", "update_date": "2023-02-03"})
    (root / "oai" / "2023-02-06_2023-02-12.jsonl.part").write_text('{"id": "23')
    (root / "oai" / "notes.jsonl").write_text("none")
    (root / "oai" / "2023-02-13_2023-02-19.jsonl").write_text("\n")  # of a week without news

    assert titles(ArxivSource(root=str(root))) == {"2301.00001": "T"}


def test_a_paper_that_was_deleted_is_withdrawn(root: Path) -> None:
    """Until it comes back; and where nothing else is known of it."""
    full = {"title": "T", "license": "http://a/", "update_date": "2023-01-31"}
    harvest(
        root,
        "2023-01-30_2023-02-05",
        *({"id": f"2301.0000{n}", **full} for n in (1, 2)),
        *({"id": f"2301.0000{n}", "deleted": True, "update_date": "2023-02-03"} for n in (1, 2, 3)),
    )
    harvest(root, "2023-02-06_2023-02-12", {"id": "2301.00002", **full, "update_date": "2023-02-07"})
    found = ArxivSource(root=str(root)).metadata(2023, ["2301.00001", "2301.00002", "2301.00003"])

    assert {paper_id: row.is_withdrawn for paper_id, row in found.items()} == {
        "2301.00001": True,
        "2301.00002": False,
        "2301.00003": True,
    }
    assert (found["2301.00001"].title, found["2301.00001"].updated) == ("T", "2023-02-03")
    assert (found["2301.00001"].licence_read, found["2301.00003"].title) == ("2023-01-31", None)


def test_a_new_window_touches_the_chunks_of_its_papers_alone(root: Path) -> None:
    source = ArxivSource(root=str(root))
    harvest(root, "2023-01-30_2023-02-05", {"id": "2301.00001", "title": "T", "update_date": "2023-02-03"})
    before = metadata_inputs(source)

    harvest(root, "2023-02-06_2023-02-12", {"id": "2212.00001", "title": "T", "update_date": "2023-02-07"})
    assert metadata_inputs(source) == before
    harvest(root, "2023-02-13_2023-02-19", {"id": "2301.00003", "title": "T", "update_date": "2023-02-14"})
    after = metadata_inputs(source)
    assert after["arXiv_src_2301_001"] == before["arXiv_src_2301_001"]
    assert after["arXiv_src_2301_002"] != before["arXiv_src_2301_002"]
    harvest(root, "2023-02-20_2023-02-26", {"id": "2301.00001", "title": "U", "update_date": "2023-02-21"})
    renewed = metadata_inputs(source)
    assert renewed["arXiv_src_2301_001"] != after["arXiv_src_2301_001"]
    assert renewed["arXiv_src_2301_002"] == after["arXiv_src_2301_002"]
    harvest(root, "2023-02-27_2023-03-05", {"id": "2301.00001", "deleted": True, "update_date": "2023-02-28"})
    assert metadata_inputs(source)["arXiv_src_2301_001"] != renewed["arXiv_src_2301_001"]


# --- the index of members ----------------------------------------------------------------------------------


@pytest.fixture
def indexed(root: Path) -> Path:
    """A folder with metadata, of which every chunk of 2023 was verified once."""
    harvest(root, "2023-01-30_2023-02-05", {"id": "2301.00001", "title": "T", "update_date": "2023-02-03"})
    papers(ArxivSource(root=str(root)), 2023)
    return root


def overwrite(path: Path) -> None:
    """Make a chunk of the same size that holds no paper."""
    path.write_bytes(bytes(path.stat().st_size))


def test_a_listing_reads_no_chunk_that_was_indexed(indexed: Path) -> None:
    before = metadata_inputs(ArxivSource(root=str(indexed)))
    overwrite(indexed / "src" / "arXiv_src_2301_001.tar")

    assert metadata_inputs(ArxivSource(root=str(indexed))) == before
    with pytest.raises(ChunkDamaged):  # papers are given out of verified chunks alone
        next(ArxivSource(root=str(indexed)).deliveries("arXiv_src_2301_001", 2023))


def test_a_listing_reads_no_chunk_where_there_is_no_metadata(root: Path) -> None:
    overwrite(root / "src" / "arXiv_src_2301_001.tar")

    assert len(ArxivSource(root=str(root)).chunks(2023)) == 2
    assert not (root / "index").exists()


def test_a_chunk_that_was_never_indexed_is_verified_by_the_listing(indexed: Path) -> None:
    before = metadata_inputs(ArxivSource(root=str(indexed)))
    path = indexed / "index" / "arXiv_src_2301_001.jsonl"
    index = path.read_bytes()
    path.unlink()

    assert metadata_inputs(ArxivSource(root=str(indexed))) == before
    assert path.read_bytes() == index


def test_a_damaged_chunk_does_not_spoil_the_listing_of_the_others(indexed: Path) -> None:
    before = metadata_inputs(ArxivSource(root=str(indexed)))
    overwrite(indexed / "src" / "arXiv_src_2301_001.tar")
    (indexed / "index" / "arXiv_src_2301_001.jsonl").unlink()

    assert metadata_inputs(ArxivSource(root=str(indexed))) == {
        **before,
        "arXiv_src_2301_001": "of a damaged chunk",
    }


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text.replace(b'"md5": "', b'"md5": "0'),
        lambda text: text.replace(b'"size": ', b'"size": 1'),
        lambda text: text.rpartition(b"[")[0],
        lambda text: text[:-5],
        lambda text: text.replace(b'["2301.00001"', b'["2301.00001"}'),
        lambda text: text.replace(b"[", b'{"a": ').replace(b"]", b"}"),
        lambda text: b"null\nnull\n",
        lambda text: b"\xff",
        lambda text: b"",
    ],
)
def test_an_index_of_another_file_or_of_none_is_not_used(indexed: Path, damage: Any) -> None:
    """The chunk is read instead, and indexed again."""
    before = metadata_inputs(ArxivSource(root=str(indexed)))
    path = indexed / "index" / "arXiv_src_2301_001.jsonl"
    index = path.read_bytes()
    path.write_bytes(damage(index))

    assert path.read_bytes() != index
    assert metadata_inputs(ArxivSource(root=str(indexed))) == before
    assert path.read_bytes() == index


def test_a_chunk_is_indexed_by_its_headers_when_it_lands(indexed: Path) -> None:
    """Word for word as when it is verified."""
    before = {path.name: path.read_bytes() for path in (indexed / "index").iterdir()}
    listed = ArxivSource(root=str(indexed)).listed()
    for chunk in listed:
        (indexed / "index" / f"{chunk.name}.jsonl").unlink(missing_ok=True)
        index_chunk(str(indexed), chunk.filename, chunk.md5sum)
    after = {path.name: path.read_bytes() for path in (indexed / "index").iterdir()}

    assert len(after) == 4
    assert {name: after[name] for name in before} == before


def test_what_cannot_be_indexed_is_no_error(root: Path) -> None:
    cut = root / "src" / "arXiv_src_2301_001.tar"
    cut.write_bytes(cut.read_bytes()[:600])
    index_chunk(str(root), "src/arXiv_src_2301_001.tar", "0" * 32)
    index_chunk(str(root), "src/nowhere.tar", "0" * 32)

    assert not (root / "index").exists()


def test_a_folder_that_takes_no_index_is_read_all_the_same(root: Path) -> None:
    (root / "index").write_bytes(b"a file where the folder would be")
    harvest(root, "2023-01-30_2023-02-05", {"id": "2301.00001", "title": "T", "update_date": "2023-02-03"})
    source = ArxivSource(root=str(root))
    index_chunk(str(root), "src/arXiv_src_2301_001.tar", source.listed()[-2].md5sum)

    assert len(papers(source, 2023)) == 3
    assert len(metadata_inputs(source)) == 2


# --- what is not there -------------------------------------------------------------------------------------


def test_what_is_missing_is_named(root: Path, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no folder"):
        ArxivSource(root=str(root / "nowhere")).years()
    with pytest.raises(SourceError, match=r"nowhere\.jsonl"):
        ArxivSource(root=str(root), metadata_snapshot=str(root / "nowhere.jsonl")).chunks(2023)
    with pytest.raises(SourceError, match="arXiv_src_2301_009"):
        next(ArxivSource(root=str(root)).deliveries("arXiv_src_2301_009", 2023))
    (root / "src" / MANIFEST).write_bytes(b"<a>")
    with pytest.raises(SourceError, match="Fetch it again"):
        ArxivSource(root=str(root)).years()
    (root / "src" / MANIFEST).unlink()
    with pytest.raises(SourceError, match="there is no arXiv_src_manifest"):
        ArxivSource(root=str(root)).years()


# --- a bucket ----------------------------------------------------------------------------------------------


@pytest.fixture
def bucket(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The same chunks on an S3 server of this machine."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=port, verbose=False)
    server.start()
    client = boto3.client("s3", endpoint_url=f"http://127.0.0.1:{port}", region_name="us-east-1")
    client.create_bucket(Bucket="arxiv")
    for path in (root / "src").iterdir():
        client.put_object(Bucket="arxiv", Key=f"mirror/src/{path.name}", Body=path.read_bytes())
    client.close()
    yield f"s3://arxiv/mirror?region=us-east-1&scheme=http&endpoint_override=127.0.0.1%3A{port}"
    server.stop()


def test_a_bucket_is_read_by_the_same_code(bucket: str) -> None:
    assert papers(ArxivSource(root=bucket), 2023) == {"2301.00001": A, "2301.00002": B, "2301.00003": C}


def test_a_bucket_keeps_windows_and_indexes_too(bucket: str, root: Path) -> None:
    harvest(root, "2023-01-30_2023-02-05", {"id": "2301.00001", "title": "T", "update_date": "2023-02-03"})
    at_home = metadata_inputs(ArxivSource(root=str(root)))
    window = "2023-01-30_2023-02-05.jsonl"
    Landing(bucket).put(f"oai/{window}", (root / "oai" / window).read_bytes())
    chunk = next(each for each in ArxivSource(root=bucket).listed() if each.name == "arXiv_src_2301_001")
    index_chunk(bucket, chunk.filename, chunk.md5sum)

    name = "index/arXiv_src_2301_001.jsonl"
    assert Landing(bucket).read(name) == (root / name).read_bytes()
    assert metadata_inputs(ArxivSource(root=bucket)) == at_home


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[str, list[str]]]:
    """An S3 server with a bucket "arxiv", and what it was asked: "HEAD /arxiv/…"."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    requests: list[str] = []
    moto = DomainDispatcherApplication(create_backend_app)

    def recording(environ: dict[str, Any], start_response: Any) -> Any:
        requests.append(f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}")
        return moto(environ, start_response)

    server = make_server("127.0.0.1", 0, recording, threaded=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    client = boto3.client(
        "s3", endpoint_url=f"http://127.0.0.1:{server.server_port}", region_name="us-east-1"
    )
    client.create_bucket(Bucket="arxiv")
    client.close()
    options = f"region=us-east-1&scheme=http&endpoint_override=127.0.0.1%3A{server.server_port}"
    yield f"s3://arxiv/mirror?{options}", requests
    server.shutdown()
    thread.join()
    server.server_close()


def test_rows_of_one_call_are_read_from_one_open_file(root: Path, asked: tuple[str, list[str]]) -> None:
    """In a bucket opening asks how long a file is; a window of one paper is another file."""
    bucket, requests = asked
    ids = [f"2301.{n:05d}" for n in range(1, 21)]
    lines = [json.dumps({"id": each, "title": f"T {each}", "update_date": "2023-01-31"}) for each in ids]
    Landing(bucket).put(f"src/{MANIFEST}", (root / "src" / MANIFEST).read_bytes())
    Landing(bucket).put("metadata.jsonl", "".join(line + "\n" for line in lines).encode())
    newer = {"id": ids[3], "title": "New", "update_date": "2023-02-03"}
    Landing(bucket).put("oai/2023-01-30_2023-02-05.jsonl", json.dumps(newer).encode() + b"\n")
    source = ArxivSource(root=bucket, metadata_snapshot=bucket.replace("mirror?", "mirror/metadata.jsonl?"))
    source.metadata(2023, [])
    requests.clear()
    found = source.metadata(2023, ids[::-1])

    assert [row.title for row in found.values()] == [
        "New" if each == ids[3] else f"T {each}" for each in ids[::-1]
    ]
    reads = [each for each in requests if each.startswith("GET") and each.endswith("/metadata.jsonl")]
    heads = [each for each in requests if each.startswith("HEAD") and each.endswith("/metadata.jsonl")]
    assert len(reads) == 19
    assert len(heads) <= 2  # one as the file is listed, one as it is opened
