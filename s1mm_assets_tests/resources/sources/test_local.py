"""A folder of papers, found again the same at each listing."""

import os
import pickle
from pathlib import Path

import pytest

from s1mm_assets.archives.local import MetadataError
from s1mm_assets.resources.sources import Chunk, Source, SourceError
from s1mm_assets.resources.sources.local import LocalSource
from s1mm_assets_tests.archives.packing import PAPER, PDF, TEX, gz, tar_gz


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "odd").mkdir()
    (tmp_path / "2301.00001.tar.gz").write_bytes(tar_gz(PAPER))  # year from its id
    (tmp_path / "hep-ph0001001.gz").write_bytes(gz(TEX))
    (tmp_path / "dated.tar.gz").write_bytes(tar_gz(PAPER))  # 2010, inside
    (tmp_path / "odd" / "recorded.tar.gz").write_bytes(tar_gz(PAPER))  # 2015, in metadata.jsonl
    (tmp_path / "odd" / "metadata.jsonl").write_text(
        '{"file": "recorded.tar.gz", "year": 2015, "title": "T"}\n'
    )
    (tmp_path / "undated.gz").write_bytes(gz(TEX))
    (tmp_path / "README.md").write_text("no paper")
    return tmp_path


def papers(source: Source, year: int) -> dict[str, str]:
    """paper_id → uri, over all chunks of a year."""
    return {
        each.paper_id: each.uri
        for chunk in source.chunks(year)
        for each in source.deliveries(chunk.name, year)
    }


def test_every_paper_is_in_the_year_that_its_best_witness_gives(folder: Path) -> None:
    source = LocalSource(folder=str(folder))

    assert {year: papers(source, year) for year in source.years()} == {
        1991: {"undated": "undated.gz"},
        2000: {"hep-ph/0001001": "hep-ph0001001.gz"},
        2010: {"dated": "dated.tar.gz"},
        2015: {"recorded": "odd/recorded.tar.gz"},
        2023: {"2301.00001": "2301.00001.tar.gz"},
    }


def test_a_year_outside_the_partitions_counts_to_the_nearest(folder: Path) -> None:
    """No paper falls between the partitions."""
    (folder / "metadata.jsonl").write_text(
        '{"paper_id": "dated", "first_posted": "1951-01-01"}\n{"paper_id": "undated", "year": 2999}'
    )
    source = LocalSource(folder=str(folder))

    assert "dated" in papers(source, 1991)
    assert "undated" in papers(source, max(source.years()))
    assert max(source.years()) < 2999


def test_the_time_of_a_copy_changes_no_year(folder: Path) -> None:
    before = LocalSource(folder=str(folder)).years()
    for path in folder.rglob("*.gz"):
        os.utime(path, (1_700_000_000, 1_700_000_000))

    assert LocalSource(folder=str(folder)).years() == before


def test_metadata_comes_from_the_record_and_the_id(folder: Path) -> None:
    source = LocalSource(folder=str(folder))

    assert source.metadata(2015, ["recorded", "absent"])["recorded"].title == "T"
    assert source.metadata(2000, ["hep-ph/0001001"])["hep-ph/0001001"].arxiv_id == "hep-ph/0001001"
    assert source.metadata(2015, ["absent"]) == {}


def test_a_reader_works_elsewhere_and_knows_the_end(folder: Path) -> None:
    read = pickle.loads(pickle.dumps(LocalSource(folder=str(folder)).reader()))  # noqa: S301

    assert read("hep-ph0001001.gz", 0, len(gz(TEX))) == gz(TEX)
    assert read("hep-ph0001001.gz", 1, 1) == b"\x8b"
    with pytest.raises(OSError, match="ends at byte"):
        read("hep-ph0001001.gz", 0, 10_000)
    with pytest.raises(OSError, match=r"nowhere\.gz"):
        read("nowhere.gz", 0, 1)


def test_a_new_file_touches_one_shard(tmp_path: Path) -> None:
    """A paper's shard follows from its id: the others keep their inputs, and so need not be done again."""
    for i in range(1, 21):
        (tmp_path / f"2301.{i:05d}.gz").write_bytes(gz(TEX))
    before = {chunk.name: chunk for chunk in LocalSource(folder=str(tmp_path)).chunks(2023)}

    (tmp_path / "2301.00099.gz").write_bytes(gz(TEX))
    after = {chunk.name: chunk for chunk in LocalSource(folder=str(tmp_path)).chunks(2023)}

    assert len(before) > 1
    assert sum(before.get(name) != chunk for name, chunk in after.items()) == 1
    assert papers(LocalSource(folder=str(tmp_path)), 2023).keys() == {
        f"2301.{i:05d}" for i in [*range(1, 21), 99]
    }


@pytest.mark.parametrize("change", ["content", "record"])
def test_a_changed_paper_or_record_changes_the_inputs_of_its_shard(folder: Path, change: str) -> None:
    def of_2015() -> list[Chunk]:
        return LocalSource(folder=str(folder)).chunks(2015)

    before = of_2015()
    if change == "content":
        (folder / "odd" / "recorded.tar.gz").write_bytes(tar_gz({**PAPER, "b.pdf": PDF}))
    else:
        (folder / "odd" / "metadata.jsonl").write_text(
            '{"file": "recorded.tar.gz", "year": 2015, "title": "U"}'
        )

    assert of_2015() != before
    assert [chunk.name for chunk in of_2015()] == [chunk.name for chunk in before]


def test_a_changed_file_is_dated_again(folder: Path) -> None:
    """What was found inside a file is remembered only as long as the file stays as it is."""
    source = LocalSource(folder=str(folder))
    assert papers(source, 1991) == {"undated": "undated.gz"}

    (folder / "undated.gz").write_bytes(tar_gz(PAPER))

    assert papers(source, 1991) == {}
    assert "undated" in papers(source, 2010)


def test_damage_has_a_year_too(tmp_path: Path) -> None:
    """A file of which nothing can be read is still a delivery."""
    (tmp_path / "x.gz").write_bytes(b"")
    (tmp_path / "y.zip").write_bytes(b"\0\1\2\3")

    assert LocalSource(folder=str(tmp_path), undated_year=2001).years() == [2001]


def test_an_empty_year_has_no_chunks(folder: Path) -> None:
    assert LocalSource(folder=str(folder)).chunks(1999) == []


def test_a_folder_that_is_not_there_is_named() -> None:
    with pytest.raises(SourceError, match=r"/no/such/folder"):
        LocalSource(folder="/no/such/folder").years()


def test_a_record_that_is_none_is_named(folder: Path) -> None:
    (folder / "metadata.jsonl").write_text("{")

    with pytest.raises(MetadataError, match=r"metadata\.jsonl, line 1"):
        LocalSource(folder=str(folder)).years()


def test_a_local_source_is_a_source(folder: Path) -> None:
    source: Source = LocalSource(folder=str(folder))

    names = [chunk.name for year in source.years() for chunk in source.chunks(year)]

    assert source.name == "local"
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789_-.") for name in names)


def test_a_name_that_is_not_utf8_is_named(folder: Path) -> None:
    """Such a file cannot be listed: the error says which, and what to do."""
    Path(os.fsdecode(os.fsencode(folder) + b"/na\xefve.tar.gz")).write_bytes(tar_gz(PAPER))

    with pytest.raises(SourceError, match=r"na\\xefve\.tar\.gz is not UTF-8: rename the file"):
        LocalSource(folder=str(folder)).years()
