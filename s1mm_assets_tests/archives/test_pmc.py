"""PMC's metadata and Europe PMC's answers as they come, and a paper's loose files as the bytes of one tar."""

import io
import json
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.archives.pmc import (
    MAX_MEMBER_BYTES,
    Article,
    LooseFile,
    Omission,
    Package,
    PmcError,
    iso_date,
    landing_path,
    licence_of,
    metadata_of,
    metadata_prefixes,
    news_query,
    origin_of,
    packing_of,
    read_article,
    read_index,
    read_origin,
    read_package,
    read_page,
    tar_from,
    version_of,
    write_index,
    year_query,
)
from s1mm_assets.release.licences import read_licence
from s1mm_assets_tests.imitations.europepmc import core, lite, parsed, record

ID, ETAG = "PMC7759461", "0" * 32
XML, PDF, FIGURE, THUMB = f"{ID}.1.xml", f"{ID}.1.pdf", "41467_Fig1_HTML.jpg", "41467_Fig1_HTML.gif"
METADATA = {
    "pmcid": ID,
    "version": 1,
    "doi": "10.1038/S41467-020-2649-2",
    "title": "Array <i>programming</i> &amp; more",
    "license_code": "CC BY",
    "is_retracted": False,
    "xml_url": f"s3://pmc-oa-opendata/{ID}.1/{XML}?md5={'A' * 32}",
    "pdf_url": f"s3://pmc-oa-opendata/{ID}.1/{PDF}?md5={'b' * 32}",
    "media_urls": [
        f"s3://pmc-oa-opendata/{ID}.1/{FIGURE}?md5={'c' * 32}",
        None,
        7,
        "s3://x",
        "file:///etc/passwd",
    ],
}


def listed(*names: str, size: int = 10) -> list[LooseFile]:
    return [LooseFile(name, size, ETAG) for name in names]


def package(*names: str, size: int = 10, says: Any = METADATA, files: Sequence[LooseFile] = ()) -> Package:
    """What is learnt of a version with these files."""
    return read_package(
        json.dumps(says).encode(),
        pmcid=ID,
        version=1,
        etag="e",
        read="2026-01-02",
        listed=[*listed(*names, size=size), *files],
    )


def names_in(found: Package) -> list[str]:
    return [each.name for each in packing_of(found).files]


def article(**others: Any) -> Article:
    found = read_article(lite(record(ID, "2023-05-06", **others)))
    assert isinstance(found, Article)
    return found


# --- Europe PMC --------------------------------------------------------------------------------------------


def test_an_article_of_a_short_answer() -> None:
    found = article(doi="10.1038/ABC", title="On CO&lt;sub&gt;2&lt;/sub&gt;,\n p &lt; 0.05.")

    assert (found.pmcid, found.first_published, found.doi) == (ID, "2023-05-06", "10.1038/abc")
    assert found.title == "On CO2, p < 0.05."
    assert (found.authors, found.are_full_names) == (("Doe JB", "van der Berg A"), False)


def test_an_article_of_a_long_answer() -> None:
    """It has the abstract and full names; what is no name there is passed over."""
    listed_authors = [
        {"firstName": "Jane B", "lastName": "Doe"},
        {"collectiveName": "The Consortium"},
        {"lastName": ["x"]},
        None,
    ]
    found = read_article(
        core(
            record(
                ID, "2023-05-06", abstractText="<h4>Aim</h4>We count.", authorList={"author": listed_authors}
            )
        )
    )

    assert isinstance(found, Article)
    assert (found.abstract, found.authors) == ("Aim We count.", ("Jane B Doe", "The Consortium"))
    assert found.are_full_names


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (None, Omission.NO_RECORD),
        ([ID], Omission.NO_RECORD),
        (
            record(ID, "2023-05-06", journalIssn="0028-0836; 1476-4687; ", journalInfo=None),
            Omission.OTHER_JOURNAL,
        ),
        (
            record(ID, "2023-05-06", journalIssn=None, journalInfo=None, journalTitle="Nature"),
            Omission.OTHER_JOURNAL,
        ),
        (
            record(ID, "2023-05-06", journalIssn=["2041-1723"], journalInfo={"journal": 3}),
            Omission.OTHER_JOURNAL,
        ),
        (record(None, "2023-05-06"), Omission.NOT_IN_PMC),
        (record("PMC1/../../x", "2023-05-06"), Omission.NOT_IN_PMC),
        (record("PMC1\u0662", "2023-05-06"), Omission.NOT_IN_PMC),
        (record("PMC" + "1" * 300, "2023-05-06"), Omission.NOT_IN_PMC),
        (record(ID, "2023"), Omission.NO_DATE),
        (record(ID, "2023-02-30"), Omission.NO_DATE),
    ],
)
def test_a_record_that_is_no_article_says_why(given: Any, why: Omission) -> None:
    assert read_article(given) is why


@pytest.mark.parametrize(
    "journal",
    [
        {"journalIssn": "2041-1723; "},
        {"journalIssn": "1234-567x; 2041-1723; "},
        {"journalIssn": None, "journalTitle": None},  # core: journalInfo alone
        {"journalIssn": None, "journalInfo": None, "journalTitle": "Nat Commun"},
    ],
)
def test_the_journal_is_known_by_issn_and_without_one_by_its_title(journal: dict[str, Any]) -> None:
    assert isinstance(read_article(record(ID, "2023-05-06", **journal)), Article)


@pytest.mark.parametrize(
    "answer",
    [b"", b"<html>", b"[]", b"{}", b'{"resultList": []}', b'{"resultList": {"result": {}}}', b"[" * 100_000],
)
def test_an_answer_that_is_none_is_refused(answer: bytes) -> None:
    with pytest.raises(PmcError):
        read_page(answer)


def test_the_last_page_has_no_cursor() -> None:
    def page(**says: Any) -> bytes:
        return json.dumps({"hitCount": 1, **says}).encode()

    one: dict[str, list[Any]] = {"result": [{}]}
    assert read_page(page(resultList=one, nextCursorMark="x")).next_cursor == "x"
    assert read_page(page(resultList=one)).next_cursor is None
    assert read_page(page(resultList=one, nextCursorMark=["x"])).next_cursor is None
    assert read_page(page(resultList={"result": []}, nextCursorMark="x")).next_cursor is None


def test_queries_find_what_they_are_for() -> None:
    """A year's articles by first publication; news by publication, index, full text, and retraction."""
    of_year, news = parsed(year_query(2023)), parsed(news_query(date(2024, 3, 1), date(2024, 3, 9)))
    old = record(ID, "2023-12-31")

    assert of_year(old)
    assert not of_year(record(ID, "2024-01-01"))
    assert not of_year(record(ID, "2023-05-06", isOpenAccess="N"))
    assert not news(old)
    assert not news(old | {"dateOfRevision": "2024-03-02"})
    assert news(old | {"firstIndexDate": "2024-03-02"})
    assert news(old | {"fullTextReceivedDate": "2024-03-09"})
    assert news(old | {"dateOfRevision": "2024-03-02", "pubType": "retracted publication; journal article"})


@pytest.mark.corpus
def test_real_answers_are_read(corpus: Path) -> None:
    """None of their records is of the journal; with its ISSN each of those in PMC would be an article."""
    folder = corpus / "samples/pmc"
    for name in ("europepmc_search_cancer.json", "europepmc_search_cancer_page2.json"):
        page = read_page((folder / name).read_bytes())
        assert page.next_cursor
        assert {read_article(each) for each in page.records} == {Omission.OTHER_JOURNAL}
        ours = [read_article({**each, "journalIssn": "2041-1723; "}) for each in page.records]
        assert [each.pmcid for each in ours if isinstance(each, Article)] == [
            each["pmcid"] for each in page.records if "pmcid" in each
        ]
    assert read_page((folder / "europepmc_search_no_results.json").read_bytes()).next_cursor is None
    full = read_page((folder / "europepmc_search_core.2records.json").read_bytes()).records[0]
    full["journalInfo"]["journal"]["essn"], full["pmcid"] = "2041-1723", ID
    found = read_article(full)
    assert isinstance(found, Article)
    assert found.authors[1] == "Daphne A Haas-Kogan"


@pytest.mark.corpus
def test_real_metadata_are_read(corpus: Path) -> None:
    data = (corpus / "samples/pmc/pmc-oa-opendata_PMC7759461.1.transcribed.json").read_bytes()
    found = read_package(data, pmcid=ID, version=1, etag="e", read="2026-01-02", listed=listed(XML, PDF))

    assert (found.xml, found.pdf, found.licence, found.is_retracted) == (XML, PDF, "CC BY", False)
    assert found.files[0].md5 == "2ba36e61fa9eb4950c9daef9c9f58812"


# --- the bucket --------------------------------------------------------------------------------------------


def test_articles_of_one_hundred_are_listed_together() -> None:
    """Unless there is one alone, or the id is so short that its hundred's prefix begins many others."""
    asked = metadata_prefixes(
        ["PMC7759461", "PMC7759499", "PMC7759500", "PMC12", "PMC13", "PMC12", "PMC1200"]
    )

    assert asked == [
        "metadata/PMC12.",
        "metadata/PMC1200.",
        "metadata/PMC13.",
        "metadata/PMC77594",
        "metadata/PMC7759500.",
    ]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        (f"metadata/{ID}.12.json", (ID, 12)),
        (f"metadata/{ID}.json", None),
        (f"metadata/{ID}.0.json", None),
        (f"metadata/{ID}.1.json.bak", None),
        (f"metadata/../{ID}.1.json", None),
        (f"metadata/{ID}.99999.json", None),
    ],
)
def test_versions_are_read_from_keys(key: str, expected: tuple[str, int] | None) -> None:
    assert version_of(key) == expected


def test_metadata_and_listing_make_a_package() -> None:
    """The MD5 is that of the metadata; where they give none the etag's, if it is one."""
    odd = LooseFile("parts.tif", 10, f"{ETAG}-7")
    found = package(XML, PDF, FIGURE, THUMB, files=[odd])

    assert (found.xml, found.pdf, found.doi) == (XML, PDF, "10.1038/s41467-020-2649-2")
    assert found.title == "Array programming & more"
    assert [each.md5 for each in found.files] == ["a" * 32, "b" * 32, "c" * 32, ETAG, None]


def test_an_md5_of_another_versions_file_is_not_its_own() -> None:
    other = [f"s3://pmc-oa-opendata/{ID}.2/{FIGURE}?md5={'d' * 32}"]

    assert package(FIGURE, says={"media_urls": other}).files[0].md5 == ETAG


def test_what_metadata_lack_is_not_known() -> None:
    """Without addresses the files are found by their names; all else is null."""
    found = package(XML, PDF, says={})

    assert (found.xml, found.pdf) == (XML, PDF)
    assert (found.doi, found.title, found.licence, found.is_retracted) == (None, None, None, None)
    assert (package("only.nxml", says={}).xml, package("a.xml", "b.xml", says={}).xml) == ("only.nxml", None)


@pytest.mark.parametrize(
    "says",
    [
        dict.fromkeys(METADATA),
        dict.fromkeys(METADATA, 1e300) | {"pmcid": ID, "version": 1},
        {key: {"a": [None]} for key in METADATA} | {"pmcid": ID, "version": "1"},
        {"xml_url": "s3://pmc-oa-opendata/PMC1.1/PMC1.1.xml", "pdf_url": f"s3://b/{ID}.1/../x.pdf"},
    ],
    ids=["null", "numbers", "objects", "other folders"],
)
def test_values_of_other_kinds_count_as_missing(says: dict[str, Any]) -> None:
    found = package(XML, PDF, says=says)

    assert (found.xml, found.pdf, found.doi, found.title, found.licence) == (XML, PDF, None, None, None)


@pytest.mark.parametrize(
    "says", [{"pmcid": "PMC1"}, {"pmcid": 7759461}, {"version": 2}, {"version": [1]}, []]
)
def test_metadata_of_another_paper_are_refused(says: Any) -> None:
    with pytest.raises(PmcError):
        package(XML, says=says)


@pytest.mark.parametrize(
    ("code", "spdx"),
    [
        ("CC BY", "LicenseRef-CC-BY"),
        ("CC BY-NC", "LicenseRef-CC-BY-NC"),
        ("CC BY-NC-ND", "LicenseRef-CC-BY-NC-ND"),
        ("CC BY-SA", "LicenseRef-CC-BY-SA"),
        ("CC BY-ND 4.0", "CC-BY-ND-4.0"),
        ("CC0", "CC0-1.0"),
    ],
)
def test_licence_codes_are_such_as_the_release_reads(code: str, spdx: str) -> None:
    assert licence_of(f" {code}") == code
    assert read_licence(code).spdx == spdx


@pytest.mark.parametrize("code", ["TDM", "NO-CC CODE", "", None, 4, ["CC BY"], "CC BY or so", "CC BY" * 1000])
def test_other_codes_are_no_licence(code: Any) -> None:
    assert licence_of(code) is None


@pytest.mark.parametrize(
    ("value", "expected"), [(True, True), ("yes", True), ("No", False), (None, None), (1, None)]
)
def test_retraction_is_what_the_metadata_say(value: Any, expected: bool | None) -> None:
    assert package(XML, says={"is_retracted": value}).is_retracted is expected


# --- which files land --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        ([PDF, THUMB, FIGURE, XML], [XML, THUMB, FIGURE]),
        ([PDF, XML], [XML, PDF]),
        (
            [PDF, XML, "41467_Equ1_HTML.jpg", "41467_Tab2_HTML.gif"],
            [XML, "41467_Equ1_HTML.jpg", "41467_Tab2_HTML.gif", PDF],
        ),
        ([PDF, FIGURE], [PDF]),
        ([XML], [XML]),
        ([FIGURE], []),
        ([], []),
    ],
    ids=["all", "no image", "images of equations", "no XML", "XML alone", "neither", "nothing"],
)
def test_which_files_land(names: list[str], expected: list[str]) -> None:
    """XML first, then images; the PDF only where there is no XML, or no image of a figure."""
    assert names_in(package(*names)) == expected


def test_what_is_left_out_is_counted() -> None:
    """Supplements, files too large and files whose names are none; the text and the PDF are forms of the article."""
    large = LooseFile("huge.tif", MAX_MEMBER_BYTES + 1, ETAG)
    packing = packing_of(
        package(XML, PDF, FIGURE, f"{ID}.1.txt", "MOESM1_ESM.pdf", "a.mp4", "b.xlsx", "..", files=[large])
    )

    assert [each.name for each in packing.files] == [XML, FIGURE]
    assert (packing.n_supplements, packing.n_too_large, packing.n_badly_named) == (3, 1, 1)


@pytest.mark.parametrize(
    "name",
    [
        "../a.jpg",
        "/etc/a.jpg",
        "a/b.jpg",
        "a\\b.jpg",
        "..",
        ".hidden.jpg",
        "",
        "a\0.jpg",
        "a\n.jpg",
        "-rf.jpg",
        "x" * 300 + ".jpg",
    ],
)
def test_names_that_are_none_never_come_into_a_tar(name: str) -> None:
    packing = packing_of(package(XML, FIGURE, name))

    assert [each.name for each in packing.files] == [XML, FIGURE]
    assert packing.n_badly_named == 1


def test_empty_files_do_not_count() -> None:
    assert names_in(package(PDF, files=[LooseFile(XML, 0, ETAG)])) == [PDF]


# --- the tar -----------------------------------------------------------------------------------------------


def read_from(files: Sequence[LooseFile], contents: dict[str, bytes], offset: int) -> bytes:
    """The tar from an offset on, its members read as asked for."""
    pieces = tar_from(files, offset)
    return b"".join(
        piece if isinstance(piece, bytes) else contents[piece.file.name][piece.start :] for piece in pieces
    )


def test_the_tar_is_the_same_from_every_offset() -> None:
    """From the middle of a header, a member, its padding, and the trailer."""
    contents = {"a.xml": b"<article/>", "b" * 120 + ".jpg": bytes(range(256)) * 2, "c.jpg": b"x" * 513}
    files = [LooseFile(name, len(data), ETAG) for name, data in contents.items()]
    whole = read_from(files, contents, 0)

    with tarfile.open(fileobj=io.BytesIO(whole)) as tar:
        assert {each.name: tar.extractfile(each).read() for each in tar} == contents  # type: ignore[union-attr]
    for offset in range(len(whole) + 1):
        assert read_from(files, contents, offset) == whole[offset:]


@given(st.lists(st.integers(1, 2000), min_size=1, max_size=4), st.data())
def test_the_size_is_told_before_anything_is_read(sizes: list[int], data: st.DataObject) -> None:
    """Whatever the sizes are, as many bytes come as the packing says, less the offset."""
    images = [LooseFile(f"f{number}.jpg", size, ETAG) for number, size in enumerate(sizes)]
    packing = packing_of(package(XML, files=images))
    offset = data.draw(st.integers(0, packing.size))
    contents = {each.name: bytes(each.size) for each in packing.files}

    assert len(read_from(packing.files, contents, offset)) == packing.size - offset


def test_an_origin_says_what_is_to_be_read() -> None:
    found = package(XML, FIGURE)

    assert read_origin(origin_of(found, found.files)) == (f"{ID}.1/", list(found.files))
    assert landing_path(article(), found) == f"papers/2023-05-06/{ID}.v1.tar"


# --- the record and the index ------------------------------------------------------------------------------


def test_the_record_of_a_paper() -> None:
    """The bucket's metadata count more than the search's; short names are given only where no XML has full ones."""
    found = metadata_of(article(doi="10.1038/x", title="Other."), package(XML))

    assert (found.paper_id, found.version, found.first_posted) == (ID, "v1", "2023-05-06")
    assert (found.doi, found.title) == ("10.1038/s41467-020-2649-2", "Array programming & more")
    assert (found.licence, found.licence_read, found.is_retracted) == ("CC BY", "2026-01-02", False)
    assert (found.authors, found.abstract) == ([], None)
    assert metadata_of(article(), package(PDF)).authors == ["Doe JB", "van der Berg A"]
    without = metadata_of(article(doi="10.1038/x"), package(XML, says={"license_code": None}))
    assert (without.doi, without.title, without.licence, without.licence_read) == (
        "10.1038/x",
        "A paper.",
        None,
        None,
    )


def test_an_index_is_read_as_it_was_written() -> None:
    """A line that is none, or of another form, is as if it were not there."""
    known = package(XML, FIGURE)
    written = write_index([known, replace(known, pmcid="PMC1")])
    other_form = write_index([replace(known, pmcid="PMC2", form=0)])

    assert read_index(written) == {"PMC1": replace(known, pmcid="PMC1"), ID: known}
    assert read_index(b'[]\n{}\n{"files": 3}\nnull\n\xff\n' + written[:-40] + b"\n" + other_form) == {
        "PMC1": replace(known, pmcid="PMC1")
    }
    assert read_index(None) == {}


@pytest.mark.parametrize(
    "text", ["2023-13-01", "20230101", "2023-W01-1", "٢٠٢٣-01-01", None, 20230101, "2023-01-01T00"]
)
def test_dates_that_are_none(text: Any) -> None:
    assert iso_date(text) is None
