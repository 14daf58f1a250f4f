"""What file names and metadata.jsonl say of papers in a folder."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1mm_assets.archives import open_bundle
from s1mm_assets.archives.local import (
    MetadataError,
    is_delivery,
    metadata_of,
    paper_id_of,
    papers_in,
    read_records,
    tar_length,
    tar_pieces,
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
        ("PMC1.1.xml", "PMC1.1"),
        ("x.nxml", "x"),
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
    "path",
    [
        *("metadata.jsonl", "README.md", "._x.pdf", ".cache/x.pdf", "__MACOSX/x.gz", "x.tex"),
        *("manifest.xml", "a/Transfer.xml", "directives.xml"),
    ],
)
def test_other_files_are_no_deliveries(path: str) -> None:
    assert not is_delivery(path)


def test_a_folder_of_loose_files_is_one_paper() -> None:
    """PMC's folders, an unpacked MECA package and Springer's layout are papers; what lies in them is none."""
    folders = {
        "pmc/PMC1.1/": ["PMC1.1.json", "PMC1.1.pdf", "PMC1.1.txt", "PMC1.1.xml", "f1.jpg", "supp.zip"],
        "m/f4db/": ["content/1.pdf", "content/1.xml", "content/1_fig1.tif", "manifest.xml", "transfer.xml"],
        "text/PMC2.1/": ["PMC2.1.pdf", "PMC2.1.xml"],
        "s/": ["41467.nxml", "MediaObjects/41467_Fig1_HTML.png", "metadata.jsonl"],
    }
    files = [folder + name for folder, names in folders.items() for name in names]
    lone = [
        "a.pdf",
        "b/c.tar.gz",
        "pmc/d.xml",
        "two/1.xml",
        "two/2.xml",
        "two/f.jpg",
        "bare/e.xml",
        "bare/e.pdf",
        "bare/other.pdf",
    ]

    found = papers_in([*files, *lone, "two/x.txt", "s/.hidden/y.xml", "pmc/PMC1.1/._f1.jpg"])

    papers = {folder: [folder + name for name in names] for folder, names in folders.items()}
    papers["s/"].remove("s/metadata.jsonl")
    assert found == papers | {path: [path] for path in lone if not path.endswith(".jpg")}
    assert unique_ids(found)["pmc/PMC1.1/"] == "PMC1.1"
    assert found == papers_in(reversed([*files, *lone]))


def test_the_whole_folder_is_never_one_paper() -> None:
    """One XML and one image at the top are two files among papers to come."""
    assert papers_in(["a.xml", "b.jpg", "manifest.xml"]) == {"a.xml": ["a.xml"]}


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8", exclude_characters="\0/\\"), min_size=1, max_size=150).filter(
            lambda name: not name.startswith("._") and name not in (".", "..", "__MACOSX", ".DS_Store")
        ),
        st.binary(max_size=1500),
        min_size=1,
        max_size=5,
    )
)
def test_loose_files_make_a_tar(files: dict[str, bytes]) -> None:
    """The pieces are a sound tar of the length foretold, and the same each time."""
    sizes = {name: len(content) for name, content in sorted(files.items())}
    pieces = list(tar_pieces(sizes.items()))
    whole = b"".join(files[piece] if isinstance(piece, str) else piece for piece in pieces)

    assert len(whole) == tar_length(sizes)
    assert open_bundle(whole).members == (files if any(files.values()) else {})
    assert pieces == list(tar_pieces(sizes.items()))


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
