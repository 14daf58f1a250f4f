"""What file names and metadata.jsonl say of papers in a folder."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1mm_assets.archives.local import (
    MetadataError,
    is_delivery,
    metadata_of,
    paper_id_of,
    read_records,
    unique_ids,
    year_of_record,
)


@pytest.mark.parametrize(
    ("path", "paper_id"),
    [
        ("a/2301.00001.tar.gz", "2301.00001"),
        ("2301.00001v2.gz", "2301.00001v2"),
        ("x.TAR.GZ", "x"),
        ("x.tgz", "x"),
        ("x.tar", "x"),
        ("x.zip", "x"),
        ("x.meca", "x"),
        ("x.y.pdf", "x.y"),
        ("1008.9000.ps.gz", "1008.9000.ps"),
        ("hep-ph0001001.gz", "hep-ph/0001001"),
        ("hep-ph0001001v3.pdf", "hep-ph/0001001v3"),
        ("upload0001001.gz", "upload0001001"),
        ("9901011.tar.gz", "9901011"),
    ],
)
def test_a_paper_is_named_after_its_file(path: str, paper_id: str) -> None:
    assert paper_id_of(path) == paper_id


def test_two_files_of_one_name_both_stay() -> None:
    ids = unique_ids(["b/x.tar.gz", "a/x.tar.gz", "x.pdf", "a/x.pdf", "y.gz"])

    assert ids == {
        "a/x.pdf": "x",
        "a/x.tar.gz": "x.tar.gz",
        "b/x.tar.gz": "b/x.tar.gz",
        "x.pdf": "x.pdf",
        "y.gz": "y",
    }


@settings(deadline=None)
@given(
    st.sets(st.from_regex(r"\A([ab]/)?[xy](\.pdf|\.gz|\.tar\.gz|~)?(\.pdf|\.gz|\.tar\.gz)\Z"), max_size=12)
)
def test_ids_are_unique_whatever_the_names(paths: set[str]) -> None:
    """Every file has an id, no two the same, and the order of listing does not matter."""
    ids = unique_ids(paths)

    assert set(ids) == paths
    assert len(set(ids.values())) == len(paths)
    assert unique_ids(sorted(paths, reverse=True)) == ids


@pytest.mark.parametrize(
    "path", ["metadata.jsonl", "README.md", "._x.pdf", ".cache/x.pdf", "__MACOSX/x.gz", "x.tex"]
)
def test_other_files_are_no_deliveries(path: str) -> None:
    assert not is_delivery(path)


def test_records_fill_in_what_a_folder_knows() -> None:
    """Fields of the metadata table count, others are ignored; what the id says fills the rest."""
    text = '{"file": "2301.00001v2.gz", "title": "T", "authors": "A. One", "year": "2020", "other": 1}\n\n'
    (record,) = read_records(text, "metadata.jsonl")
    row = metadata_of("2301.00001v2", record)

    assert year_of_record(record) == 2020
    assert (row.title, row.authors, row.arxiv_id, row.version) == ("T", ["A. One"], "2301.00001", "v2")
    assert metadata_of("x", None).title is None


def test_the_year_of_a_record_may_be_that_of_its_first_posting() -> None:
    (posted, silent) = read_records('{"paper_id": "a", "first_posted": "2019-02-03"}\n{"paper_id": "b"}', "m")

    assert (year_of_record(posted), year_of_record(silent)) == (2019, None)


@pytest.mark.parametrize(
    "line",
    [
        "{",
        "[]",
        '{"title": "x"}',
        '{"paper_id": "x", "title": 3}',
        '{"paper_id": "x", "authors": [3]}',
        '{"paper_id": "x", "authors": 3}',
        '{"paper_id": "x", "year": "soon"}',
        '{"paper_id": "x", "is_withdrawn": "no"}',
    ],
)
def test_a_line_that_is_no_record_is_named(line: str) -> None:
    with pytest.raises(MetadataError, match=r"metadata\.jsonl, line 2"):
        read_records('{"paper_id": "a"}\n' + line, "metadata.jsonl")
