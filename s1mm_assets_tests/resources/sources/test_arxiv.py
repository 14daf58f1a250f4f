"""arXiv's chunks: verified before anything is taken, found by their manifest."""

import hashlib
import json
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import boto3
import pytest
from moto.server import ThreadedMotoServer

from s1mm_assets.archives.arxiv import ChunkFile, manifest_xml, pack_chunk
from s1mm_assets.resources.sources import ChunkDamaged, Source, SourceError
from s1mm_assets.resources.sources.arxiv import MANIFEST, ArxivSource
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

    what = r"\d+ bytes" if damage == "short" else r"MD5 [0-9a-f]+"
    remedy = r"Fetch src/arXiv_src_2301_001\.tar again"
    with pytest.raises(ChunkDamaged, match=rf"arXiv_src_2301_001 .* expected {what}, found .* {remedy}"):
        next(ArxivSource(root=str(root)).deliveries("arXiv_src_2301_001", 2023))


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
