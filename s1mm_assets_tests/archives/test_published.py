"""The published layout, read tolerantly: names, lines, ids, paths, image headers."""

import io
import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from s1mm_assets.archives.limits import Refused
from s1mm_assets.archives.published import (
    DROPPED,
    ArchiveFiles,
    Defect,
    Findings,
    ImageHeader,
    Malformed,
    PublishedRecord,
    archives_among,
    image_header,
    joining_path,
    paper_of,
    read_record,
    source_of,
    year_in,
)
from s1mm_assets.partitions import SOURCES


def line(**values: Any) -> bytes:
    return json.dumps({"arxiv_id": "0704.0001", "image_path": "a.png", **values}).encode()


def test_folders_of_sources_are_known_in_any_spelling() -> None:
    """Each is a source of ours; others are none."""
    spellings = {
        "arXiv": "arxiv",
        "arxiv": "arxiv",
        "bioRxiv": "biorxiv",
        "medRxiv": "medrxiv",
        "ChemRxiv": "chemrxiv",
        "nature_communications": "nature_communications",
        "Nature Communications": "nature_communications",
        "NatureComms": "nature_communications",
        "PLOS": None,
        "images": None,
    }
    assert {name: source_of(name) for name in spellings} == spellings
    assert {source for source in spellings.values() if source} <= set(SOURCES)


@pytest.mark.parametrize(
    ("name", "year"),
    [("2007", 2007), ("arxiv_2007", 2007), ("1991-part1", 1991), ("120070", None), ("biorxiv", None)],
)
def test_a_year_is_read_from_a_name(name: str, year: int | None) -> None:
    """Not from a longer number."""
    assert year_in(name) == year


def test_archives_are_found_whole_and_in_parts() -> None:
    """Yearly ones first; parts count up to the first that is missing."""
    names = [
        *("images.tar.gz.partaa", "images.tar.gz.partab", "images.tar.gz.partad", "images.tar.gz.partaf"),
        *("images_2008.tar.gz", "images_2007.tgz", "images_2007.tar.gz.partaa"),
        *("images_2009.tar.gz.partab", "README.md", "images.zip", "images_07.tar.gz", "xx.tar.gz"),
    ]

    assert archives_among(names) == [
        ArchiveFiles(2007, ("images_2007.tgz",), (), ("images_2007.tar.gz.partaa",)),
        ArchiveFiles(2008, ("images_2008.tar.gz",), (), ()),
        ArchiveFiles(2009, (), ("images_2009.tar.gz.partaa",), ("images_2009.tar.gz.partab",)),
        ArchiveFiles(
            None,
            ("images.tar.gz.partaa", "images.tar.gz.partab"),
            ("images.tar.gz.partac", "images.tar.gz.partae"),
            ("images.tar.gz.partad", "images.tar.gz.partaf"),
        ),
    ]


def test_parts_beyond_z_go_on_with_the_next_letter() -> None:
    """As split names them."""
    names = [f"images.tar.gz.part{a}{b}" for a in "ab" for b in "abcdefghijklmnopqrstuvwxyz"][:30]
    [archive] = archives_among(reversed(names))

    assert archive == ArchiveFiles(None, tuple(names), (), ())


def test_a_record_keeps_its_texts() -> None:
    """Blanks at the ends aside; a lone surrogate, which no file can hold, becomes a replacement."""
    text = b'\xef\xbb\xbf{"doi": " 10.1101/1 ", "title": "A\\n  b", "image_path": "images/a.png", '
    text += b'"caption": " c\\ud800d ", "recaption": null, "categories": "Cell Biology; Genetics", "more": 1}'

    assert read_record(text, "biorxiv") == PublishedRecord(
        arxiv_id=None,
        doi="10.1101/1",
        title="A b",
        image_path="images/a.png",
        caption="c\ufffdd",
        recaption="",
        categories=("Cell Biology", "Genetics"),
    )
    assert read_record(line(categories="hep-ph cs.CV"), "arxiv").categories == ("hep-ph", "cs.CV")
    assert read_record(line(categories=["a b", ""]), "arxiv").categories == ("a b",)


@given(
    st.binary(max_size=60)
    | st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=2)
            | st.dictionaries(
                st.sampled_from(
                    ["arxiv_id", "doi", "title", "image_path", "caption", "recaption", "categories"]
                ),
                inner,
            )
        ),
    ).map(lambda value: json.dumps(value).encode())
)
def test_any_line_is_a_record_or_malformed(text: bytes) -> None:
    """And what is a record can be written to a file."""
    try:
        record = read_record(text, "arxiv")
    except Malformed:
        return
    repr(record.digest())
    " ".join(filter(None, (record.title, record.caption, record.image_path, *record.categories))).encode()
    paper_of(record, "arxiv")


@pytest.mark.parametrize(
    ("source", "ids", "paper_id", "year", "is_id"),
    [
        ("arxiv", {"arxiv_id": "2301.01234v3"}, "2301.01234", 2023, True),
        ("arxiv", {"arxiv_id": "hep-ph0001001"}, "hep-ph/0001001", 2000, True),
        ("arxiv", {"arxiv_id": "http://arxiv.org/abs/math.GT/0309136"}, "math/0309136", 2003, True),
        ("arxiv", {"arxiv_id": "https://arxiv.org/pdf/2301.01234v1.pdf"}, "2301.01234", 2023, True),
        ("arxiv", {"arxiv_id": None, "doi": "10.48550/arXiv.2301.01234"}, "2301.01234", 2023, True),
        ("arxiv", {"arxiv_id": "2301.01234", "doi": "10.1/x"}, "2301.01234", 2023, False),
        ("arxiv", {"arxiv_id": "2399.01234"}, "2399.01234", None, False),
        ("biorxiv", {"arxiv_id": "2301.01234", "doi": "10.1101/2020.01.02.9"}, "10.1101/2020.01.02.9", 2020, True),
        ("biorxiv", {"arxiv_id": None, "doi": "https://doi.org/10.1101/ABC"}, "10.1101/abc", None, True),
        ("chemrxiv", {"arxiv_id": None, "doi": "10.26434/chemrxiv-2021-x1"}, "10.26434/chemrxiv-2021-x1", 2021, True),
        ("biorxiv", {"arxiv_id": None, "doi": "Not A Doi"}, "not a doi", None, False),
    ],
)  # fmt: skip
def test_whose_a_record_is(
    source: str, ids: dict[str, Any], paper_id: str, year: int | None, is_id: bool
) -> None:
    """arXiv's by their arXiv id, others by their DOI, whatever stands around it."""
    paper = paper_of(read_record(line(**ids), source), source)

    assert paper is not None
    assert (paper.paper_id, paper.year, paper.is_id) == (paper_id, year, is_id)


def test_a_record_of_nobody() -> None:
    """Neither id, or blanks."""
    assert paper_of(read_record(line(arxiv_id=" ", doi=None), "arxiv"), "arxiv") is None


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("images/a.png", "a.png"),
        ("./images_2007/x/a.png", "x/a.png"),
        ("images/images/a.png", "a.png"),
        ("images", "images"),
        ("x/images/a.png", "x/images/a.png"),
        ("/home/me/images/x/a.png", "x/a.png"),
        ("/a.png", "a.png"),
        ("x\\a.png", "x/a.png"),
        ("x//./a.png", "x/a.png"),
        ("..", None),
        ("images/../../etc/passwd", None),
        ("a\n.png", None),
        ("", None),
        ("images/" + "ü" * 600, None),
    ],
)
def test_a_path_is_brought_to_one_form(text: str, path: str | None) -> None:
    """Without what only one side writes; what leads outside has none."""
    found = joining_path(text)
    assert (found.path if found else None) == path


@given(st.text(max_size=30))
def test_bringing_a_path_to_its_form_twice_changes_nothing(text: str) -> None:
    """So both sides agree. No form leads outside."""
    found = joining_path(text)
    if found is not None:
        again = joining_path(found.path)
        assert again is not None
        assert (again.path, again.loose) == (found.path, found.loose)
        assert ".." not in found.path.split("/")


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("image_format", ["PNG", "JPEG"])
def test_an_image_says_how_large_it_is(mode: str, image_format: str) -> None:
    """As Pillow does, without decoding."""
    if (mode, image_format) in [("CMYK", "PNG"), ("RGBA", "JPEG"), ("P", "JPEG")]:
        mode = "RGB"
    stream = io.BytesIO()
    Image.new(mode, (123, 45)).save(stream, image_format, comment=b"\xff\xc0" * 50, progressive=True)

    assert image_header(stream.getvalue()) == ImageHeader(image_format.lower(), 123, 45)


@given(
    st.sampled_from([b"", b"\xff\xd8", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a"]),
    st.binary(max_size=80),
)
def test_any_bytes_have_a_header_or_are_refused(head: bytes, rest: bytes) -> None:
    """Nothing else is raised, nothing runs on."""
    try:
        header = image_header(head + rest)
    except Refused:
        return
    assert header.width_px > 0
    assert header.height_px > 0


def test_a_png_without_pixels_is_unreadable() -> None:
    """Whatever follows."""
    with pytest.raises(Refused, match="0 x 9 pixels"):
        image_header(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", 0, 9) + bytes(9))


def test_findings_are_counted_with_their_first_examples() -> None:
    """By source, in the order of the enum; examples are fit for a terminal."""
    findings = Findings()
    for i in range(7):
        findings.add("arxiv", Defect.ORPHAN_IMAGE, f"{i}\x1b[31m" + "x" * 500)
    findings.add("arxiv", Defect.LINE_MALFORMED, "line 3", 4)
    findings.add("biorxiv", Defect.YEAR_UNKNOWN, "")

    rows = findings.rows().to_dicts()
    assert [(row["source"], row["defect"], row["n"]) for row in rows] == [
        ("arxiv", "line_malformed", 4),
        ("arxiv", "orphan_image", 7),
        ("biorxiv", "year_unknown", 1),
    ]
    assert [each[:5] for each in rows[1]["examples"]] == [f"{i}�[31" for i in range(5)]
    assert max(map(len, rows[1]["examples"])) == 160
    assert findings.n(*DROPPED) == 5
