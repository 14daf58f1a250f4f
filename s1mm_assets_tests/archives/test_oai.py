"""arXiv's OAI-PMH answers: rows as in its snapshot, tokens of both kinds, errors, and what is no answer."""

import json
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.archives.arxiv import metadata_of
from s1mm_assets.archives.oai import OaiError, Page, parse_authors, read_page, windows

HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n<OAI-PMH xmlns="http://www.openarchives.org/OAI/2.0/">'
RAW = """<metadata><arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/">
 <id>2301.00001</id><submitter>A. Doe</submitter>
 <version version="v1"><date>Sun, 1 Jan 2023 10:00:00 GMT</date><size>1kb</size></version>
 <version version="v2"><date>Tue, 3 Jan 2023 10:00:00 GMT</date><size>2kb</size><source_type>D</source_type></version>
 <title>One &lt; two\n  lines</title><authors>A. Doe and B. Roe</authors><categories>cs.LG stat.ML</categories>
 <comments>1 page</comments><report-no>R-1</report-no><journal-ref>J 1</journal-ref><doi>10.1/a</doi>
 <license>http://a/</license><abstract>  Short.\n</abstract></arXivRaw></metadata>"""


def record(
    paper_id: str = "2301.00001", datestamp: str = "2023-01-04", rest: str = RAW, status: str = ""
) -> str:
    header = f"<identifier>oai:arXiv.org:{paper_id}</identifier><datestamp>{datestamp}</datestamp>"
    return f"<record><header{status}>{header}</header>{rest}</record>"


def page_of(*records: str, token: str = "") -> Page:
    return read_page(f"{HEAD}<ListRecords>{''.join(records)}{token}</ListRecords></OAI-PMH>".encode())


def test_a_record_gives_a_row_as_in_the_snapshot() -> None:
    (row,) = page_of(record()).rows

    assert row == {
        "id": "2301.00001",
        "submitter": "A. Doe",
        "authors": "A. Doe and B. Roe",
        "title": "One < two\n  lines",
        "comments": "1 page",
        "journal-ref": "J 1",
        "doi": "10.1/a",
        "report-no": "R-1",
        "categories": "cs.LG stat.ML",
        "license": "http://a/",
        "abstract": "  Short.\n",
        "versions": [
            {"version": "v1", "created": "Sun, 1 Jan 2023 10:00:00 GMT"},
            {"version": "v2", "created": "Tue, 3 Jan 2023 10:00:00 GMT"},
        ],
        "update_date": "2023-01-04",
        "authors_parsed": [["Doe", "A.", ""], ["Roe", "B.", ""]],
    }
    assert next(iter(row)) == "id"  # it is sought at the beginning of a line
    assert metadata_of(row).first_posted == "2023-01-01"


def test_what_a_record_does_not_say_is_null() -> None:
    bare = '<metadata><arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/"><title> </title></arXivRaw></metadata>'
    (row,) = page_of(record("hep-th/9711200", rest=bare)).rows

    assert row["id"] == "hep-th/9711200"
    assert {key for key, value in row.items() if value} == {"id", "update_date"}
    assert metadata_of(row).authors == []


def test_a_record_in_arxiv_tells_the_days_of_the_first_and_the_last_version() -> None:
    rest = """<metadata><arXiv xmlns="http://arxiv.org/OAI/arXiv/"><id>1401.2122</id><created>2014-01-09</created>
     <updated>2017-10-23</updated><authors><author><keyname>Doe</keyname><forenames>A.</forenames><suffix>Jr</suffix>
     </author><author><keyname>BABAR Collaboration</keyname></author></authors></arXiv></metadata>"""
    (row,) = page_of(record("1401.2122", rest=rest)).rows
    read = metadata_of(row)

    assert row["authors"] == "A. Doe Jr, BABAR Collaboration"
    assert read.authors == ["A. Doe Jr", "BABAR Collaboration"]
    assert (read.first_posted, read.version) == ("2014-01-09", None)


def test_a_deleted_record_says_so() -> None:
    (row,) = page_of(record("adap-org/9712004", "2026-09-20", "", ' status="deleted"')).rows

    assert row == {"id": "adap-org/9712004", "deleted": True, "update_date": "2026-09-20"}


@pytest.mark.parametrize(
    ("element", "token"),
    [
        (
            "<resumptionToken cursor='0' completeListSize='1090'>6460044|1001</resumptionToken>",
            "6460044|1001",
        ),
        (
            "<resumptionToken expirationDate='2026-09-26T00:00:00Z'>verb%3DListRecords%26skip%3D1300</resumptionToken>",
            "verb%3DListRecords%26skip%3D1300",
        ),
        ("<resumptionToken/>", None),
        ("<resumptionToken> \n</resumptionToken>", None),
        ("", None),
    ],
)
def test_tokens_are_given_as_they_are(element: str, token: str | None) -> None:
    assert page_of(record(), token=element).token == token


@pytest.mark.parametrize(
    ("damaged", "evidence"),
    [
        (record("../../etc/passwd"), "no arXiv identifier"),
        (record("9" * 10_000), "no arXiv identifier"),
        (record(datestamp="yesterday"), "2301.00001 has the datestamp 'yesterday'"),
        (record(datestamp="2023-02-31"), "has the datestamp"),
        (record(rest=""), "no metadata"),
        (record(rest="<metadata/>"), "no metadata"),
        (record(rest="<metadata><dc/></metadata>"), "no metadata"),
        ("<record/>", "no header"),
    ],
)
def test_a_record_that_cannot_be_read_is_passed_over_with_a_note(damaged: str, evidence: str) -> None:
    page = page_of(record("2301.00002"), damaged, record("2301.00003"))

    assert [row["id"] for row in page.rows] == ["2301.00002", "2301.00003"]
    assert len(page.notes) == 1
    assert evidence in page.notes[0]
    assert len(page.notes[0]) < 300


def test_a_page_of_which_nothing_can_be_read_is_no_answer() -> None:
    """An empty week would be kept for good."""
    with pytest.raises(OaiError, match="not one of 2 records"):
        page_of(record(rest="<metadata><dc/></metadata>"), record(rest="<metadata><dc/></metadata>"))


@pytest.mark.parametrize("code", ["noRecordsMatch", "badResumptionToken", "badArgument"])
def test_an_error_gives_its_code_and_the_words(code: str) -> None:
    with pytest.raises(OaiError, match=f"{code}: So it is") as caught:
        read_page(f"{HEAD}<error code='{code}'>So it is{'!' * 10_000}</error></OAI-PMH>".encode())

    assert caught.value.code == code
    assert len(str(caught.value)) < 300


BOMB = '<!DOCTYPE a [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<OAI-PMH",
        b"\xff\xfe\x00",
        b"<html><body>Down for maintenance</body></html>",
        b"<ListRecords/>",
        f"{HEAD}</OAI-PMH>".encode(),
        f"{BOMB}<OAI-PMH><ListRecords>&b;</ListRecords></OAI-PMH>".encode(),
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd"><OAI-PMH><ListRecords/></OAI-PMH>',
        b'<?xml version="1.0" encoding="no-such"?><OAI-PMH/>',
    ],
)
def test_what_is_no_answer_is_refused(data: bytes) -> None:
    with pytest.raises(OaiError) as caught:
        read_page(data)

    assert caught.value.code == ""


def test_control_characters_in_an_abstract_are_no_reason_to_lose_a_page() -> None:
    data = f"{HEAD}<ListRecords>{record()}</ListRecords></OAI-PMH>".replace("Short.", "Sh\x0bort.\x00")

    assert read_page(data.encode()).rows[0]["abstract"] == "  Short.\n"


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (b"Sh&#11;ort&#x0b;.&#0;", "Short."),
        (b"Sh&#xD800;o&#xdfff;r&#65535;t&#xFFFE;.", "Short."),
        (b"Short.&#x110000;&#99999999999999;&#" + b"9" * 9_999 + b";", "Short."),
        (b"&#83;h&#x6f;rt.&#9;&#x10FFFF;&#000000000000065;", "Short.\t\U0010ffffA"),
        (b"Sh\xff\xfeort\xe9.", "Sh\ufffd\ufffdort\ufffd."),
        (b"Sh\xed\xa0\x80ort\xef\xbf\xbe.", "Sh\ufffd\ufffd\ufffdort."),
        ("Café".encode(), "Café"),
    ],
)
def test_what_no_xml_may_hold_is_no_reason_to_lose_a_page(written: bytes, read: str) -> None:
    """As characters, as references to them, and as bytes that are no UTF-8."""
    whole = f"{HEAD}<ListRecords>{record()}</ListRecords></OAI-PMH>".encode()

    for mark in (b"", b"\xef\xbb\xbf"):
        (row,) = read_page(mark + whole.replace(b"Short.", written)).rows
        assert row["abstract"] == f"  {read}\n"


@given(st.binary(max_size=400))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for whole in (data, HEAD.encode() + b"<ListRecords>" + data + b"</ListRecords></OAI-PMH>"):
        with suppress(OaiError):
            read_page(whole)


@given(st.integers(0, 2**24), st.sampled_from(["&#{};", "&#x{:x};", "&#x{:07X};"]))
def test_no_character_reference_costs_a_page(code: int, form: str) -> None:
    data = f"{HEAD}<ListRecords>{record()}</ListRecords></OAI-PMH>".replace("Short.", form.format(code))

    assert len(read_page(data.encode()).rows) == 1


# --- authors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("A. Doe, B. C. Roe and D. Poe", [["Doe", "A.", ""], ["Roe", "B. C.", ""], ["Poe", "D.", ""]]),
        ("A. Doe, and\n  B. Roe", [["Doe", "A.", ""], ["Roe", "B.", ""]]),
        ("Robert P. C. de Marrais", [["de Marrais", "Robert P. C.", ""]]),
        ("Neal J. Evans II, J. Doe, Jr.", [["Evans", "Neal J.", "II"], ["Doe", "J.", "Jr."]]),
        (
            "The BABAR Collaboration: B. Aubert, et al",
            [["The BABAR Collaboration", "", ""], ["Aubert", "B.", ""]],
        ),
        (
            "A. Doe (1 and 2) and B. Roe (1) ((1) CREST, Japan, (2) Kyiv)",
            [["Doe", "A.", ""], ["Roe", "B.", ""]],
        ),
        (
            "P\\'eter E. Frenkel, S. \\c{S}en, {A, B} Doe",
            [["Frenkel", "P\\'eter E.", ""], ["\\c{S}en", "S.", ""], ["Doe", "{A, B}", ""]],
        ),
        ("Sandy Brand, Anders And", [["Brand", "Sandy", ""], ["And", "Anders", ""]]),
        ("Plato", [["Plato", "", ""]]),
        ("A. Doe (unclosed, B. Roe", [["Doe", "A.", ""]]),
        ("", []),
        (" , and ,", []),
    ],
)
def test_authors_are_parted(text: str, parsed: list[list[str]]) -> None:
    assert parse_authors(text) == parsed


@given(st.lists(st.text("ab{}()\\', ;:and", max_size=20)).map(" and ".join))
def test_every_author_has_three_parts_and_a_family_name(text: str) -> None:
    for family, given_names, suffix in parse_authors(text):
        assert family.strip()
        assert isinstance(given_names + suffix, str)


# --- windows -----------------------------------------------------------------------------------------------


def days(*texts: str) -> list[tuple[date, date]]:
    return [(date.fromisoformat(a), date.fromisoformat(b)) for a, b in (text.split() for text in texts)]


def test_windows_are_weeks_from_monday() -> None:
    first, last = date(2023, 1, 1), date(2023, 1, 17)  # a Sunday; a Tuesday

    assert windows(first, last, []) == days(
        "2023-01-01 2023-01-01", "2023-01-02 2023-01-08", "2023-01-09 2023-01-15", "2023-01-16 2023-01-17"
    )


def test_a_week_that_was_not_over_is_followed_by_its_rest() -> None:
    landed = days("2023-01-09 2023-01-15", "2023-01-16 2023-01-17")

    assert windows(date(2023, 1, 9), date(2023, 1, 25), landed) == [
        *landed,
        *days("2023-01-18 2023-01-22", "2023-01-23 2023-01-25"),
    ]
    assert windows(date(2023, 1, 9), date(2023, 1, 17), landed) == landed
    assert windows(date(2023, 2, 1), date(2023, 1, 17), landed) == []


def test_windows_that_landed_within_one_another_leave_no_gap_and_are_not_asked_for_again() -> None:
    landed = days("2023-01-02 2023-01-08", "2023-01-03 2023-01-04")

    assert windows(date(2023, 1, 2), date(2023, 1, 10), landed) == [*landed, *days("2023-01-09 2023-01-10")]


DAYS = st.integers(0, 20).map(lambda n: date(2023, 1, 1) + timedelta(days=n))


@given(DAYS, DAYS, st.lists(st.tuples(DAYS, st.integers(0, 6))))
def test_every_day_lies_in_a_window_and_in_no_two_new_ones(
    first: date, last: date, begun: list[tuple[date, int]]
) -> None:
    landed = sorted({(day, day + timedelta(days=n)) for day, n in begun})
    found = windows(first, last, landed)
    new = [each for each in found if each not in landed]
    of_new = [day for window in new for day in _days_of(window)]
    of_landed = {day for window in landed for day in _days_of(window)}

    assert len(of_new) == len(set(of_new))
    assert not of_landed & set(of_new)
    assert {day for day in _days_of((first, last)) if day not in of_landed} == set(of_new)
    assert all(len(_days_of(window)) <= 7 and window[0] >= first for window in new)
    assert windows(first, last, found) == found


def _days_of(window: tuple[date, date]) -> list[date]:
    return [window[0] + timedelta(days=n) for n in range((window[1] - window[0]).days + 1)]


# --- real answers ------------------------------------------------------------------------------------------


def summary(page: Page) -> dict[str, Any]:
    return {row["id"]: row.get("license", "deleted") for row in page.rows}


@pytest.mark.corpus
def test_real_answers_are_read(corpus: Path) -> None:
    """What arXiv has answered over the years, in both formats, gives rows that the snapshot's reader takes."""
    samples = corpus / "samples" / "arxiv"
    nonexclusive = "http://arxiv.org/licenses/nonexclusive-distrib/1.0/"
    pages = {path.name: read_page(path.read_bytes()) for path in samples.glob("oai_arXiv*.xml")}

    assert summary(pages["oai_arXivRaw_GetRecord.xml"]) == {"1810.09584": nonexclusive}
    assert summary(pages["oai_arXivRaw_GetRecord_2026.transcribed.xml"]) == {"1412.6980": nonexclusive}
    assert summary(pages["oai_arXiv_ListRecords_2026.transcribed.xml"]) == {
        "adap-org/9710003": None,
        "adap-org/9712004": "deleted",
    }
    tokens = {page.token for page in pages.values()}
    assert tokens == {None, "verb%3DListRecords%26metadataPrefix%3DarXiv%26skip%3D1300"}
    for page in pages.values():
        read = [metadata_of(row) for row in page.rows if "deleted" not in row]
        assert all(row.title and row.authors and row.first_posted and row.updated for row in read)
        assert page.notes == []
    with pytest.raises(OaiError, match="noRecordsMatch"):
        read_page((samples / "oai_errors.transcribed.xml").read_bytes())


@pytest.mark.corpus
def test_authors_are_parted_as_arxiv_parts_them(corpus: Path) -> None:
    """Family names, over the first rows of the snapshot; accents and runs of initials apart, which stay as written."""
    lines = (corpus / "samples" / "arxiv" / "kaggle_snapshot_head.jsonl").read_text().splitlines()
    rows = [row for row in map(json.loads, lines) if "\\" not in row["authors"]]
    differ = [
        row["authors"]
        for row in rows
        if [each[0] for each in parse_authors(row["authors"])] != [each[0] for each in row["authors_parsed"]]
    ]

    assert len(rows) > 30
    assert differ == ["J.P.Hague and N.d'Ambrumenil"]
