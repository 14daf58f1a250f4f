"""Papers that come as a folder of loose files."""

from pathlib import Path

from s1mm_assets.archives import Kind, open_bundle
from s1mm_assets.archives.local import is_loose_file
from s1mm_assets.resources.sources.local import LocalSource
from s1mm_assets.resources.sources.reading import RangeReader, delivery_at

FILES = {
    "P.1.xml": b"<article><front/><body/></article>",
    "a/f1.jpg": b"\xff\xd8\xff",
    "P.1.pdf": b"%PDF-1.4",
}


def write(folder: Path) -> Path:
    for name, content in FILES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def test_a_folder_of_loose_files_is_delivered_as_one_tar(tmp_path: Path) -> None:
    """It has an id, a length and bytes like any other paper, and the same bytes each time and place."""
    write(tmp_path / "one" / "P.1")
    (tmp_path / "one" / "metadata.jsonl").write_text('{"file": "P.1", "year": 2015}')
    source = LocalSource(folder=str(tmp_path / "one"))
    (chunk,) = source.chunks(2015)
    (delivery,) = source.deliveries(chunk.name, 2015)

    data = source.reader()(delivery.uri, 0, delivery.length)
    bundle = open_bundle(data, delivery.paper_id)

    assert (delivery.paper_id, delivery.uri) == ("P.1", "P.1/")
    assert bundle.kind is Kind.JATS
    assert bundle.members == FILES
    assert list(bundle.members) == sorted(FILES)
    write(tmp_path / "two" / "deep" / "P.1")
    again = delivery_at(str(tmp_path / "two"), "deep/P.1/")
    assert again is not None
    assert RangeReader(str(tmp_path / "two"))("deep/P.1/", 0, again.size) == data


def test_any_part_of_a_folder_can_be_read(tmp_path: Path) -> None:
    """Reading in ranges gives the same bytes as reading at once."""
    write(tmp_path / "P.1")
    read = RangeReader(str(tmp_path))
    delivered = delivery_at(str(tmp_path), "P.1/")
    assert delivered is not None
    whole = read("P.1/", 0, delivered.size)

    parts = [read("P.1/", at, min(700, delivered.size - at)) for at in range(0, delivered.size, 700)]

    assert b"".join(parts) == whole
    assert delivery_at(str(tmp_path), "absent/") is None
    assert all(is_loose_file(name) for name in FILES)
