"""What ChemRxiv's routes list is read alike, and a paper has one identifier, one year and one newest version."""

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.archives.chemrxiv import (
    LAUNCH,
    LEFT_ENGAGE,
    Month,
    PageError,
    Preprint,
    crossref_params,
    crossref_preprint,
    engage_preprint,
    index_bytes,
    joined,
    metadata_of,
    month_after,
    months_from,
    papers_of,
    possible_years,
    read_crossref_page,
    read_doi,
    read_engage_page,
    read_index,
    undecided_since,
)
from s1mm_assets.release.licences import read_licence
from s1mm_assets_tests.imitations.chemrxiv import Version

BASE = "https://chemrxiv.org/engage"
V1 = Version(doi="10.26434/chemrxiv-2025-81glw", posted="2025-09-15")


def item(version: Version = V1, /, **changed: Any) -> dict[str, Any]:
    return version.item(BASE) | changed


def work(version: Version = V1, /, **changed: Any) -> dict[str, Any]:
    return version.work(BASE) | changed


def preprint(doi: str, posted: str | None, **changed: Any) -> Preprint:
    said = Version(doi=doi, posted=posted or "2020-01-01")
    return replace(crossref_preprint(said.work(BASE)), posted=posted, **changed)


# --- DOIs --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "paper_id", "version", "year_minted"),
    [
        ("10.26434/chemrxiv-2025-81glw", "10.26434/chemrxiv-2025-81glw", 1, 2025),
        ("10.26434/chemrxiv-2025-81glw-v12", "10.26434/chemrxiv-2025-81glw", 12, 2025),
        ("10.26434/chemrxiv-2024-abcde/v2", "10.26434/chemrxiv-2024-abcde", 2, 2024),
        ("10.26434/chemrxiv.14731779.v1", "10.26434/chemrxiv.14731779", 1, None),
        ("10.26434/chemrxiv.14731779", "10.26434/chemrxiv.14731779", None, None),
        ("10.26434/chemrxiv.15007431/v3", "10.26434/chemrxiv.15007431", 3, None),
        ("https://doi.org/10.26434/ChemRxiv-2025-81GLW-V2", "10.26434/chemrxiv-2025-81glw", 2, 2025),
    ],
)
def test_dois_of_all_shapes(text: str, paper_id: str, version: int | None, year_minted: int | None) -> None:
    doi = read_doi(text)

    assert doi is not None
    assert (doi.paper_id, doi.version, doi.year_minted) == (paper_id, version, year_minted)
    assert doi.is_of_2026 == ("15007431" in text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10.26434",
        "10.26434/",
        "10.26434/chemrxiv",
        "10.26434/chemrxiv-25-81glw",
        "10.26434/chemrxiv-2025-81glw.v2",
        "10.26434/chemrxiv.14731779-v2",
        "10.26434/chemrxiv.14731779.v0",
        "10.26434/chemrxiv.14731779.v1000",
        "10.26434/chemrxiv-2025-../../etc",
        "10.26434/chemrxiv-2025-81glw/v2/v3",
        "10.26434/chemrxiv-2025-81glw x",
        "10.33774/coe-2021-abcde",
        "10.26434/chemrxiv-２０２５-81glw",
    ],
)
def test_what_is_no_doi_of_a_paper(text: str) -> None:
    assert read_doi(text) is None


@given(st.text(max_size=40), st.text(max_size=400))
def test_identifiers_of_papers_are_safe_and_have_no_version(name: str, rest: str) -> None:
    """Whatever the text, a paper_id is lower case, of a few characters, and the same when it is read again."""
    for text in (rest, f"10.26434/chemrxiv-2025-{name}", f"10.26434/chemrxiv.{name}"):
        doi = read_doi(text)
        if doi:
            again = read_doi(doi.paper_id)
            assert again is not None
            assert again.paper_id == doi.paper_id
            assert set(doi.paper_id) <= set("abcdefghijklmnopqrstuvwxyz0123456789.-/")


# --- records -----------------------------------------------------------------------------------------------


@pytest.mark.corpus
def test_a_real_item(corpus: Path) -> None:
    """An item that the API gave reads in full, and so do the DOIs that Crossref and others listed."""
    folder = corpus / "samples" / "chemrxiv"
    read = engage_preprint(json.loads((folder / "openengage_item_2025.transcribed.json").read_bytes()))
    metadata = metadata_of(papers_of([read])[0])

    assert (metadata.paper_id, metadata.version) == ("10.26434/chemrxiv-2025-81glw", "v1")
    assert (metadata.first_posted, metadata.updated) == ("2025-09-15", "2025-09-15")
    assert metadata.authors == ["Dávid Jelenfi", "Péter G. Szalay"]
    assert metadata.categories == ["Theoretical and Computational Chemistry"]
    assert read_licence(metadata.licence).spdx == "CC-BY-NC-ND-4.0"
    assert read.size == 1793478
    assert read.pdf_url is not None
    assert read.pdf_url.startswith("https://chemrxiv.org/engage/api-gateway/chemrxiv/assets/")
    daily = json.loads((folder / "crossref_prefix_daily_2026-08-14.json").read_bytes())["dois"]
    lines = (folder / "dashboard_id_doi.head.txt").read_text("ascii").splitlines()
    listed = [line.split('"')[3] for line in lines if line.count('"') == 4]
    assert len(daily) == 21
    assert len(listed) > 10
    assert all(read_doi(doi) for doi in [*daily, *listed])


@pytest.mark.corpus
def test_a_real_record_of_a_journal_is_passed_over(corpus: Path) -> None:
    record = json.loads((corpus / "samples/chemrxiv/crossref_works_single.json").read_bytes())
    page = read_crossref_page(json.dumps({"message": {"items": [record], "total-results": 1}}).encode())

    assert page.preprints == []
    assert page.passed_over == [
        "'10.1002/(sici)1097-461x(1998)66:4<261::aid-qua1>3.0.co;2-t': its DOI is no paper of ChemRxiv's"
    ]


def test_both_routes_say_the_same_of_a_version() -> None:
    """What the API and Crossref give of one version differs only in the PDF's address and size."""
    for doi in ("10.26434/chemrxiv-2025-81glw-v2", "10.26434/chemrxiv.14731779.v2"):
        version = Version(doi=doi, posted="2025-09-15", version="2", licence="CC BY NC 4.0")
        by_api, by_crossref = engage_preprint(item(version)), crossref_preprint(work(version))

        assert replace(by_api, pdf_url=None, size=None) == replace(by_crossref, pdf_url=None)
        assert by_api.paper_id == doi[:-3]
        assert by_api.size == len(version.pdf)


def test_texts_lose_tags_and_line_ends() -> None:
    jats = (
        "<jats:title>Abstract</jats:title>\n <jats:sec><jats:title>Aim</jats:title><jats:p>CO<jats:sub>2</jats:sub>"
        " at p &lt; 5\n bar &amp; more</jats:p></jats:sec>"
    )
    read = crossref_preprint(work(abstract=jats, title=["Si<sub>3</sub>N<sub>4</sub>\n films"]))
    plain = engage_preprint(
        item(abstract="<p class='x'>if a<b and c>d\r\n</p><p>H<sub>2</sub>O\ud800\x00</p>")
    )

    assert read.abstract == "Aim CO2 at p < 5 bar & more"
    assert read.title == "Si3N4 films"
    assert plain.abstract == "if a<b and c>d H2O"


def test_a_version_is_that_of_the_api_else_that_of_the_doi() -> None:
    assert engage_preprint(item(version="3")).version == 3
    assert engage_preprint(item(version=2)).version == 2
    for nonsense in (None, "", "x", "0", True, [1], "1e3", 10**30):
        assert engage_preprint(item(version=nonsense)).version == 1


@pytest.mark.parametrize(
    ("licences", "spdx"),
    [
        ([("https://creativecommons.org/licenses/by/4.0/", "unspecified")], "CC-BY-4.0"),
        ([("https://creativecommons.org/licenses/by-nc/4.0/", "vor")], "CC-BY-NC-4.0"),
        ([("https://creativecommons.org/licenses/by/4.0/", "tdm")], None),
        (
            [
                ("https://example.org/tdm", "tdm"),
                ("https://creativecommons.org/licenses/by-nc-nd/4.0/", "unspecified"),
            ],
            "CC-BY-NC-ND-4.0",
        ),
        (
            [
                ("https://creativecommons.org/licenses/by/4.0/", "vor"),
                ("https://creativecommons.org/licenses/by-nc/4.0/", "unspecified"),
            ],
            None,
        ),
        ([(7, "vor"), (None, None)], None),
    ],
)
def test_licences_by_crossref(licences: list[tuple[Any, Any]], spdx: str | None) -> None:
    """Licences of text mining are none of the content, and those that contradict one another are none at all."""
    said = [{"URL": url, "content-version": version} for url, version in licences]

    assert read_licence(crossref_preprint(work(license=said)).licence).spdx == spdx


@pytest.mark.parametrize(
    ("licence", "spdx"),
    [
        ({"name": "CC BY NC ND 4.0"}, "CC-BY-NC-ND-4.0"),
        ({"name": "CC BY 4.0", "url": "https://chemrxiv.org/licences"}, "CC-BY-4.0"),
        ({"name": None, "url": "https://creativecommons.org/licenses/by-nc/4.0/"}, "CC-BY-NC-4.0"),
        ({"name": "Content Not for Reuse"}, None),
        (None, None),
        ("CC BY 4.0", None),
    ],
)
def test_licences_by_the_api(licence: Any, spdx: str | None) -> None:
    assert read_licence(engage_preprint(item(license=licence)).licence).spdx == spdx


@pytest.mark.parametrize(
    ("title", "is_withdrawn"),
    [
        ("WITHDRAWN: Tunnelling in ice", True),
        ("Tunnelling in ice [Withdrawn]", True),
        ("(Withdrawn) Tunnelling in ice", True),
        ("Withdrawn electrons tunnel in ice", False),
        ("Charge density withdrawn", False),
    ],
)
def test_withdrawn_by_title(title: str, is_withdrawn: bool) -> None:
    assert engage_preprint(item(title=title)).is_withdrawn == is_withdrawn
    assert crossref_preprint(work(title=[title])).is_withdrawn == is_withdrawn


def test_withdrawn_by_status() -> None:
    assert engage_preprint(item(status="WITHDRAWN")).is_withdrawn
    assert not engage_preprint(item(status=None)).is_withdrawn


def test_where_a_pdf_lies_by_crossref() -> None:
    """A link that is declared to be a PDF, else one that is named so, else the record's own address if it is."""
    pdf, page = "https://chemrxiv.org/doi/pdf/10.26434/x", "https://chemrxiv.org/doi/full/10.26434/x"
    declared = {"URL": page, "content-type": "application/pdf"}
    named = {"URL": pdf, "content-type": "unspecified"}

    assert crossref_preprint(work(link=[named, declared])).pdf_url == page
    assert crossref_preprint(work(link=[{"URL": page, "content-type": "text/html"}, named])).pdf_url == pdf
    assert crossref_preprint(work(link=[], resource={"primary": {"URL": pdf}})).pdf_url == pdf
    assert crossref_preprint(work(link=None, resource={"primary": {"URL": page}})).pdf_url is None


@pytest.mark.parametrize(
    "asset",
    [
        None,
        [],
        {"mimeType": "text/html", "original": {"url": "https://chemrxiv.org/a.pdf"}},
        {"mimeType": "application/pdf", "original": None},
        {"mimeType": "application/pdf", "original": {"url": "file:///etc/passwd"}},
        {"mimeType": "application/pdf", "original": {"url": "https://chemrxiv.org/a\nb.pdf"}},
        {"mimeType": "application/pdf", "original": {"url": "https://[chemrxiv.org/a.pdf"}},
        {"mimeType": "application/pdf", "original": {"url": "https://chemrxiv.org/" + "a" * 5000}},
    ],
)
def test_what_is_no_pdf_on_offer(asset: Any) -> None:
    assert engage_preprint(item(asset=asset)).pdf_url is None


@pytest.mark.parametrize("size", [None, 0, -1, True, "5", 2.5, 2**40])
def test_sizes_that_no_pdf_has_are_not_believed(size: Any) -> None:
    asset = V1.item(BASE)["asset"] | {"fileSizeBytes": size}

    assert engage_preprint(item(asset=asset)).size is None


@pytest.mark.parametrize(
    ("parts", "posted"),
    [
        ([2024, 1, 25], "2024-01-25"),
        ([2024, 1], "2024-01"),
        ([2024], "2024"),
        ([2024, None, 5], "2024"),
        ([2024, 13], None),
        ([1024, 1, 1], None),
        ([10**30, 1, 1], None),
        ([None], None),
        (["2024"], None),
        ([], None),
    ],
)
def test_dates_by_crossref(parts: list[Any], posted: str | None) -> None:
    said = {"date-parts": [parts]}

    assert crossref_preprint(work(posted=said, issued=None, created=7)).posted == posted


# --- pages -------------------------------------------------------------------------------------------------

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(sorted(V1.item(BASE))), JSON)
def test_a_field_that_is_nonsense_costs_one_item_at_most(name: str, value: Any) -> None:
    sound = Version(doi="10.26434/chemrxiv-2025-22222", posted="2025-09-16").item(BASE)
    hits = [{"item": item(**{name: value})}, {"item": sound}, value]
    page = read_engage_page(json.dumps({"itemHits": hits, "totalCount": value}).encode())

    assert page.n_records == 3
    assert len(page.preprints) + len(page.passed_over) == 3
    assert page.preprints[-1].doi == "10.26434/chemrxiv-2025-22222"
    assert papers_of(page.preprints)
    assert (
        read_index(
            index_bytes(Month(asked="2025-10-01", routes=[], preprints=page.preprints, n_passed_over=0))
        )
        is not None
    )


@given(st.sampled_from(sorted(V1.work(BASE))), JSON)
def test_a_field_that_is_nonsense_costs_one_record_at_most(name: str, value: Any) -> None:
    sound = Version(doi="10.26434/chemrxiv-2025-22222", posted="2025-09-16").work(BASE)
    message = {
        "items": [work(**{name: value}), sound, value],
        "total-results": value,
        "next-cursor": value,
    }
    page = read_crossref_page(json.dumps({"message": message}).encode())

    assert page.n_records == 3
    assert len(page.preprints) + len(page.passed_over) == 3
    assert page.preprints[-1].doi == "10.26434/chemrxiv-2025-22222"
    assert all(possible_years(each) for each in page.preprints)


@pytest.mark.parametrize(
    "data", [b"", b"<html>", b"[]", b"null", b"{}", b'{"itemHits": {}}', b'{"message": []}', b"[" * 10**6]
)
def test_answers_that_are_none(data: bytes) -> None:
    for read in (read_engage_page, read_crossref_page):
        with pytest.raises(PageError):
            read(data)


def test_crossref_is_asked_up_to_the_day_before() -> None:
    asked = crossref_params(date(2024, 2, 1), date(2024, 3, 1), "*")["filter"]

    assert "from-posted-date:2024-02-01,until-posted-date:2024-02-29" in asked


# --- papers ------------------------------------------------------------------------------------------------


def test_a_paper_is_its_newest_version_of_the_year_of_its_first() -> None:
    """Version 1 says when: it may be posted in the January after its DOI was minted."""
    old = preprint("10.26434/chemrxiv-2022-aaaaa", "2023-01-03")
    new = preprint("10.26434/chemrxiv-2022-aaaaa-v10", "2024-05-01")
    between = preprint("10.26434/chemrxiv-2022-aaaaa-v9", "2025-05-01")

    (paper,) = papers_of([between, new, old])

    assert paper.newest == new
    assert (paper.first_posted, paper.year, paper.is_sure) == ("2023-01-03", 2023, True)
    assert metadata_of(paper).updated == "2024-05-01"


@pytest.mark.parametrize(
    ("doi", "posted", "first_posted"),
    [
        ("10.26434/chemrxiv-2022-aaaaa-v2", "2024-05-01", "2022"),
        ("10.26434/chemrxiv.12345678.v2", "2020-05-01", "2020-05-01"),
        ("10.26434/chemrxiv.12345678", "2020-05", "2020-05"),
        ("10.26434/chemrxiv.15007431/v2", "2026-08-14", "2026-08-14"),
    ],
)
def test_without_its_first_version_a_paper_is_placed_by_what_is_known(
    doi: str, posted: str, first_posted: str
) -> None:
    (paper,) = papers_of([preprint(doi, posted)])

    assert (paper.first_posted, paper.is_sure) == (first_posted, False)


def test_of_two_records_of_a_version_the_one_with_a_pdf_counts() -> None:
    without = preprint("10.26434/chemrxiv.15007431/v1", "2026-08-15", pdf_url=None)
    offered = preprint("10.26434/chemrxiv.15007431/v1", "2026-08-14")

    for records in ([without, offered], [offered, without]):
        (paper,) = papers_of(records)
        assert paper.newest == offered


def test_a_version_is_withdrawn_if_one_route_says_so() -> None:
    """And its PDF may lie wherever one of them says, at the address of the record that counts first."""
    withdrawn = preprint("10.26434/chemrxiv.15007431/v1", "2026-08-14", pdf_url=None, is_withdrawn=True)
    one = preprint(
        "10.26434/chemrxiv.15007431/v1", "2026-08-14", pdf_url="https://a/1", other_pdf_urls=["https://c/1"]
    )
    other = preprint("10.26434/chemrxiv.15007431/v1", "2026-08-15", pdf_url="https://b/1")
    older = preprint("10.26434/chemrxiv.15007431", "2026-08-13", pdf_url="https://d/1")

    (paper,) = papers_of([older, one, withdrawn, other])

    assert metadata_of(paper).is_withdrawn
    assert paper.pdf_urls == ["https://b/1", "https://a/1", "https://c/1"]


def test_since_when_version_1_must_be_sought() -> None:
    numbered = preprint("10.26434/chemrxiv.12345678.v2", "2020-05-01")
    of_2026 = preprint("10.26434/chemrxiv.15007431/v2", "2026-08-14")
    first = preprint("10.26434/chemrxiv.12345678.v1", "2019-05-01")

    assert undecided_since([preprint("10.26434/chemrxiv-2022-aaaaa-v2", "2024-05-01")]) is None
    assert undecided_since([numbered, of_2026]) == LAUNCH
    assert undecided_since([numbered, first, of_2026]) == LEFT_ENGAGE
    assert undecided_since([numbered, first]) is None


@pytest.mark.parametrize("version", ["/v1", "/v2"])
def test_a_number_of_figshares_that_goes_on_since_2026_is_sought_from_the_launch_on(version: str) -> None:
    """So that the paper is of one year, whichever is listed: that of its first version."""
    old = preprint("10.26434/chemrxiv.14731779.v1", "2019-05-01")
    new = preprint(f"10.26434/chemrxiv.14731779{version}", "2026-08-14")

    assert undecided_since([new]) == LAUNCH
    assert undecided_since([preprint("10.26434/chemrxiv.15000000/v2", "2026-08-14")]) == LEFT_ENGAGE
    assert {2019, 2026} <= possible_years(new)
    assert [paper.year for paper in papers_of([new, old])] == [2019]


@pytest.mark.parametrize(
    ("doi", "posted", "years"),
    [
        ("10.26434/chemrxiv-2022-aaaaa", "2023-01-03", {2023}),
        ("10.26434/chemrxiv-2022-aaaaa-v2", "2024-05-01", {2022, 2023}),
        ("10.26434/chemrxiv-2024-aaaaa-v2", "2024-05-01", {2024}),
        ("10.26434/chemrxiv.12345678.v2", "2019-05-01", {2017, 2018, 2019}),
        ("10.26434/chemrxiv.12345678.v3", "2024-05-01", {2017, 2018, 2019, 2020, 2021}),
        ("10.26434/chemrxiv.15007431/v2", "2027-08-14", {2026, 2027}),
        ("10.26434/chemrxiv.15000000/v1", "2027-08-14", {2027}),
        ("10.26434/chemrxiv.14731779/v2", "2026-08-14", {2017, 2018, 2019, 2020, 2021, 2026}),
        ("10.26434/chemrxiv.14731779/v1", "2026-08-14", {2017, 2018, 2019, 2020, 2021, 2026}),
        ("10.26434/chemrxiv.14731779.v1", "2019-05-01", {2019}),
    ],
)
def test_the_years_that_a_version_may_belong_to(doi: str, posted: str, years: set[int]) -> None:
    assert possible_years(preprint(doi, posted)) == years


# --- months ------------------------------------------------------------------------------------------------


def test_months() -> None:
    assert months_from(date(2023, 11, 30), date(2024, 2, 1)) == [
        date(2023, 11, 1),
        date(2023, 12, 1),
        date(2024, 1, 1),
        date(2024, 2, 1),
    ]
    assert months_from(date(2024, 2, 1), date(2024, 1, 31)) == []
    assert month_after(date(2024, 1, 31), -1) == date(2023, 12, 1)
    assert month_after(date(2024, 12, 31), 1) == date(2025, 1, 1)


def test_a_month_is_remembered_as_it_was() -> None:
    month = Month(
        asked="2025-12-01",
        routes=["Crossref"],
        preprints=[crossref_preprint(work())],
        n_passed_over=2,
        passed_over=["x: y"],
    )

    assert read_index(index_bytes(month)) == month


def month(*preprints: Preprint, asked: str = "2025-10-01") -> Month:
    return Month(asked=asked, routes=["Crossref"], preprints=preprints, n_passed_over=0)


def test_a_month_that_is_asked_for_again_loses_nothing() -> None:
    """What is said now counts; the day stays, and so do versions that are listed no more, and addresses."""
    doi = "10.26434/chemrxiv-2025-81glw"
    first = preprint(doi, "2025-09-15", pdf_url="https://a/1", licence="CC BY 4.0")
    second = preprint(f"{doi}-v2", "2025-09-20", pdf_url="https://a/2", is_withdrawn=True)
    again = replace(
        second, posted="2025-09-19", pdf_url="https://b/2", licence="CC BY NC 4.0", is_withdrawn=False
    )
    new = preprint("10.26434/chemrxiv-2025-22222", "2025-09-30")

    found = joined(month(first, second), month(again, new, asked="2026-01-01"))

    expected = replace(again, posted="2025-09-20", is_withdrawn=True, other_pdf_urls=["https://a/2"])
    assert found == replace(month(asked="2026-01-01"), preprints=[expected, new, first])
    once_more = joined(found, month(second))
    assert once_more.preprints[0].other_pdf_urls == ["https://b/2"]
    assert once_more.preprints[0].pdf_url == "https://a/2"
    assert read_index(index_bytes(replace(found, passed_over=[]))) == replace(found, passed_over=[])


@pytest.mark.parametrize("asked", [None, 7, "", "yesterday", "2025-13-01"])
def test_a_month_of_which_nobody_knows_when_it_was_asked_is_not_believed(asked: Any) -> None:
    row = json.loads(index_bytes(month(crossref_preprint(work()))))

    assert read_index(json.dumps(row).encode()) is not None
    assert read_index(json.dumps(row | {"asked": asked}).encode()) is None


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b"{}", b'{"format": 1}', b'{"format": 2}'])
def test_what_is_no_month_is_not_believed(data: bytes) -> None:
    assert read_index(data) is None
    assert (
        read_index(index_bytes(Month(asked="2025-10-01", routes=[], preprints=[], n_passed_over=0))[:-1])
        is None
    )


@pytest.mark.parametrize(
    "changed",
    [
        {"posted": "../../etc"},
        {"posted": 7},
        {"version": "2"},
        {"doi": "10.1101/2020.01.01"},
        {"doi": None},
        {"paper_id": "10.26434/chemrxiv-2025-xxxxx"},
        {"pdf_url": 7},
        {"other_pdf_urls": [7]},
        {"other_pdf_urls": None},
        {"more": 1},
    ],
)
def test_a_remembered_preprint_that_was_changed_is_not_believed(changed: dict[str, Any]) -> None:
    month = Month(asked="2025-10-01", routes=[], preprints=[crossref_preprint(work())], n_passed_over=0)
    row = json.loads(index_bytes(month))
    row["preprints"][0] |= changed

    assert read_index(json.dumps(row).encode()) is None
