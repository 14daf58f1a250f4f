"""What arXiv publishes is read as it is, and what packs papers like arXiv can be read back."""

import io
import json
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s1mm_assets.archives.arxiv import (
    ManifestError,
    bare_metadata,
    chunk_members,
    file_stem,
    manifest_xml,
    metadata_of,
    pack_chunk,
    parse_id,
    read_manifest,
)
from s1mm_assets.archives.limits import Refused
from s1mm_assets_tests.archives.packing import PAPER, PDF, TEX, gz, header, tar, tar_gz

PAPERS = [
    ("hep-ph/0001001", gz(TEX)),
    ("astro-ph/0001002", tar_gz(PAPER)),
    ("math/0001003", PDF),
]


@pytest.mark.parametrize(
    ("text", "paper_id", "year", "month", "version"),
    [
        ("2301.01234", "2301.01234", 2023, 1, None),
        ("2301.01234v12", "2301.01234", 2023, 1, "v12"),
        ("arXiv:0704.0001", "0704.0001", 2007, 4, None),
        ("1412.8777", "1412.8777", 2014, 12, None),
        ("1501.00001", "1501.00001", 2015, 1, None),
        ("hep-ph/0001001", "hep-ph/0001001", 2000, 1, None),
        ("hep-ph0001001", "hep-ph/0001001", 2000, 1, None),
        ("hep-th/9108001v1", "hep-th/9108001", 1991, 8, "v1"),
        ("math.GT/0309136", "math/0309136", 2003, 9, None),
        ("math.GT0309136", "math/0309136", 2003, 9, None),
        ("cond-mat.dis-nn/0703001", "cond-mat/0703001", 2007, 3, None),
        ("cs/0703999", "cs/0703999", 2007, 3, None),
    ],
)
def test_identifiers_of_all_eras(
    text: str, paper_id: str, year: int, month: int, version: str | None
) -> None:
    arxiv_id = parse_id(text)

    assert arxiv_id is not None
    assert (arxiv_id.paper_id, arxiv_id.year, arxiv_id.month, arxiv_id.version) == (
        paper_id,
        year,
        month,
        version,
    )


@pytest.mark.parametrize(
    "text",
    [
        "",
        "paper",
        "9901011",
        "2301.1234",  # four digits after 1412
        "0704.00012",  # five before 1501
        "0703.00001",
        "0703.0001",  # before the new scheme
        "2313.00001",  # month 13
        "hep-ph/0704001",  # after the old scheme
        "hep-ph/0013001",
        "upload0001001",  # no archive of that name
        "stat/0001001",
        "2301.01234v0",
        "2301.01234\n",
        "２３０１.01234",
        "2301.０1234",
    ],
)
def test_what_is_no_identifier(text: str) -> None:
    assert parse_id(text) is None


@settings(deadline=None)
@given(st.text(max_size=30))
def test_any_text_is_an_identifier_or_not(text: str) -> None:
    """A canonical identifier reads as itself."""
    arxiv_id = parse_id(text)

    if arxiv_id:
        assert parse_id(arxiv_id.paper_id) is not None


@settings(deadline=None)
@given(st.integers(0, 99), st.integers(1, 12), st.integers(1, 999), st.sampled_from(["hep-ph", "math", "cs"]))
def test_file_names_lead_back_to_the_identifier(yy: int, month: int, number: int, archive: str) -> None:
    for text in (f"{yy:02d}{month:02d}.{number:04d}", f"{yy:02d}{month:02d}.{number:05d}"):
        if found := parse_id(text):
            assert parse_id(file_stem(found.paper_id)) == found
            assert text.startswith(found.yymm)
    if found := parse_id(f"{archive}/{yy:02d}{month:02d}{number:03d}"):
        assert parse_id(file_stem(found.paper_id)) == found


def test_an_identifier_says_little_of_a_paper() -> None:
    """Everything that an identifier does not say is null."""
    row = bare_metadata("2301.00001v2")

    assert (row.paper_id, row.arxiv_id, row.version) == ("2301.00001v2", "2301.00001", "v2")
    assert (row.title, row.licence, row.first_posted, row.authors) == (None, None, None, [])
    assert bare_metadata("paper").arxiv_id is None


# --- chunks ------------------------------------------------------------------------------------------------


def test_a_packed_chunk_is_read_back() -> None:
    """Members are named as arXiv names them, and each lies where the index says."""
    _, data = pack_chunk(PAPERS, "0001", 1)
    members = {each.paper_id: each for each in chunk_members(io.BytesIO(data))}

    assert list(members) == ["astro-ph/0001002", "hep-ph/0001001", "math/0001003"]
    for paper_id, content in PAPERS:
        each = members[paper_id]
        assert data[each.offset : each.offset + each.length] == content
    assert members["math/0001003"].extension == "pdf"
    with tarfile.open(fileobj=io.BytesIO(data)) as container:
        assert container.getnames()[0] == "0001/astro-ph0001002.gz"


def test_packing_twice_gives_the_same_bytes() -> None:
    """Neither a clock nor the order of the papers shows."""
    assert pack_chunk(PAPERS, "0001", 1) == pack_chunk(PAPERS[::-1], "0001", 1)


def test_members_are_sought_over_not_read() -> None:
    """Indexing a chunk of 500 MB costs its headers."""

    class Counting(io.BytesIO):
        n_read = 0

        def read(self, n_bytes: int | None = -1, /) -> bytes:
            data = super().read(n_bytes)
            self.n_read += len(data)
            return data

    _, data = pack_chunk([(f"2301.{i:05d}", bytes(100_000)) for i in range(1, 11)], "2301", 1)
    stream = Counting(data)

    assert len(list(chunk_members(stream))) == 10
    assert stream.n_read < 20_000


@pytest.mark.parametrize("n_bytes", [300, 700, 1500])
def test_a_chunk_cut_short_is_refused(n_bytes: int) -> None:
    _, data = pack_chunk(PAPERS, "0001", 1)

    with pytest.raises(Refused):
        list(chunk_members(io.BytesIO(data[:n_bytes])))


@pytest.mark.parametrize("size", [b"\x80" + b"\xff" * 11, b"77777777777\0"])
def test_a_chunk_that_declares_what_cannot_be_is_refused(size: bytes) -> None:
    with pytest.raises(Refused):
        list(chunk_members(io.BytesIO(header(b"2301/2301.00001.gz", size))))


def test_a_member_that_is_named_otherwise_is_a_delivery_too() -> None:
    members = list(chunk_members(io.BytesIO(tar({"2301/odd name.gz": b"1", "2301/2301.00001": b"2"}))))

    assert [each.paper_id for each in members] == ["odd name", "2301.00001"]


def test_a_written_manifest_is_read_back() -> None:
    chunks = [pack_chunk(PAPERS, "0001", 2)[0], pack_chunk(PAPERS[:1], "0001", 1)[0]]

    assert read_manifest(manifest_xml(chunks)) == chunks[::-1]
    assert (chunks[0].year, chunks[0].name, chunks[0].num_items) == (2000, "arXiv_src_0001_002", 3)


@pytest.mark.parametrize(
    ("times", "counts"),
    [
        (("2023-01-02 00:00:00", "2023-01-01 00:00:00"), 0),
        (("2023-01-01 00:00:00", "2023-01-02 00:00:00"), 1),
        (("2023-01-01 00:00:00", "2023-01-01 00:00:00"), 1),
        (("2023-01-01 00:00:00", ""), 1),
        (("Sun Jan  1 00:00:00 2023", "2022-01-01 00:00:00"), 1),
    ],
)
def test_of_two_entries_for_one_chunk_the_later_counts(times: tuple[str, str], counts: int) -> None:
    """By their times, where both tell one; else by their places."""
    chunk = pack_chunk(PAPERS, "0001", 1)[0]
    entries = [replace(chunk, md5sum=f"{n}" * 32, timestamp=time) for n, time in enumerate(times)]
    other = pack_chunk(PAPERS, "0001", 2)[0]

    assert read_manifest(manifest_xml([*entries, other])) == [entries[counts], other]


ENTITIES = (
    b'<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;">]><arXivSRC>&y;&y;&y;</arXivSRC>'
)
SOUND = manifest_xml([pack_chunk(PAPERS, "0001", 1)[0]])


@pytest.mark.parametrize(
    "xml",
    [
        b"",
        b"<arXivSRC><file>",
        ENTITIES,
        b"<arXivSRC><file></file></arXivSRC>",
        SOUND.replace(b"<size>", b"<size>x"),
        SOUND.replace(b"src/arXiv", b"../../arXiv"),
        SOUND.replace(b"<md5sum>", b"<md5sum>zz"),
        SOUND.replace(b"<yymm>0001", b"<yymm>1"),
    ],
    ids=range(8),
)
def test_a_manifest_that_is_none_is_refused(xml: bytes) -> None:
    with pytest.raises(ManifestError):
        read_manifest(xml)


# --- the snapshot ------------------------------------------------------------------------------------------


def test_a_row_of_the_snapshot_becomes_metadata() -> None:
    """Authors as they sign, white space folded, the licence's URL, the day of the first version."""
    row = metadata_of(
        {
            "id": "math/0309136",
            "authors_parsed": [
                ["Balázs", "C.", ""],
                ["Kennedy", "J. F.", "Jr."],
                ["ATLAS Collaboration", "", ""],
            ],
            "title": "A title\n  over lines",
            "abstract": "  An abstract\nof $x$.\n",
            "comments": "This paper has been withdrawn by the author",
            "doi": "10.1/a 10.1/b",
            "categories": "math.GT hep-th",
            "license": "http://creativecommons.org/licenses/by/4.0/",
            "versions": [
                {"version": "v1", "created": "Mon, 8 Sep 2003 01:02:03 GMT"},
                {"version": "v2", "created": "Tue, 9 Sep 2003 01:02:03 GMT"},
            ],
            "update_date": "2009-11-10",
        }
    )

    assert row.authors == ["C. Balázs", "J. F. Kennedy Jr.", "ATLAS Collaboration"]
    assert (row.title, row.abstract, row.doi) == ("A title over lines", "An abstract of $x$.", "10.1/a")
    assert (row.first_posted, row.updated, row.version) == ("2003-09-08", "2009-11-10", "v2")
    assert row.categories == ["math.GT", "hep-th"]
    assert row.licence == "http://creativecommons.org/licenses/by/4.0/"
    assert row.is_withdrawn


def test_a_bare_row_has_nulls() -> None:
    row = metadata_of({"id": "2301.00001", "license": None, "versions": [{"created": "some day"}]})

    assert row == bare_metadata("2301.00001")


def test_a_row_without_an_identifier_is_refused() -> None:
    with pytest.raises(ValueError, match="no arXiv identifier"):
        metadata_of({"id": "0"})


@pytest.mark.corpus
def test_real_manifests_are_read(corpus: Path) -> None:
    """All excerpts of arXiv's own manifest, with every identifier in them."""
    paths = sorted((corpus / "samples" / "arxiv").glob("arXiv_src_manifest*.xml"))
    assert paths
    for path in paths:
        chunks = read_manifest(path.read_bytes())
        assert chunks, path.name
        for chunk in chunks:
            first, last = parse_id(chunk.first_item), parse_id(chunk.last_item)
            assert first, chunk
            assert last, chunk
            assert first.year == last.year == chunk.year
            assert first.yymm == chunk.yymm


@pytest.mark.corpus
def test_real_snapshot_rows_are_read(corpus: Path) -> None:
    snapshot = corpus / "samples" / "arxiv" / "kaggle_snapshot_head.jsonl"
    rows = [json.loads(line) for line in snapshot.read_text().splitlines()]
    read = [metadata_of(row) for row in rows]

    assert all(row.title and row.abstract and row.authors and row.categories for row in read)
    assert all((row.first_posted or "").startswith("2007-0") for row in read)
    assert read[0].authors == ["C. Balázs", "E. L. Berger", "P. M. Nadolsky", "C. -P. Yuan"]
