"""ChemRxiv by whichever route answers: the same papers, each once, each PDF as it was posted."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from s1mm_assets.archives import Kind, inspect
from s1mm_assets.resources.publishers import NotOfferedError, Offer, PublisherError
from s1mm_assets.resources.publishers.chemrxiv import ChemRxiv
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.patience import BusyError, Patience
from s1mm_assets.resources.publishers.web import Web
from s1mm_assets_tests.imitations.chemrxiv import Crossref, OpenEngage, Shelf, Version, example_versions, fill
from s1mm_assets_tests.imitations.publishers import Fault, ImitationPublishers

TODAY = date(2023, 6, 15)
PDF = b"%PDF-1.7\n" + bytes(range(256)) * 50
FIRST = Version(doi="10.26434/chemrxiv-2022-aaaaa", posted="2022-12-30", pdf=PDF)
SECOND = replace(FIRST, doi="10.26434/chemrxiv-2022-aaaaa-v2", posted="2023-03-31", version="2", pdf=PDF * 2)
OTHER = Version(doi="10.26434/chemrxiv-2022-bbbbb", posted="2023-01-02", licence="CC BY NC ND 4.0")
ALONE = Version(doi="10.26434/chemrxiv-2023-ccccc", posted="2023-06-15")


@pytest.fixture(scope="module")
def server() -> Iterator[ImitationPublishers]:
    with ImitationPublishers() as publishers:
        yield publishers


@pytest.fixture
def publishers(server: ImitationPublishers) -> ImitationPublishers:
    """The server, with four versions of three papers, and nothing asked yet."""
    shelve(server, FIRST, SECOND, OTHER, ALONE)
    server.requests.clear()
    server.faults.clear()
    return server


def shelve(publishers: ImitationPublishers, *versions: Version) -> Shelf:
    return fill(publishers, versions)


def client(publishers: ImitationPublishers, folder: Path, today: date = TODAY, **changed: Any) -> ChemRxiv:
    base = publishers.base
    web = Web(
        user_agent="s1mm-tests (nobody@example.org)",
        hosts=[base.removeprefix("http://")],
        patience=Patience(attempts=2, wait_s=0.001, max_wait_s=0.001),
    )
    return ChemRxiv(
        **{
            "web": web,
            "api": f"{base}/chemrxiv",
            "mirror": f"{base}/chemrxiv-mirror",
            "crossref": f"{base}/crossref",
            "landing": Landing(str(folder)),
            "today": lambda: today,
            **changed,
        }
    )


def block(publishers: ImitationPublishers, *names: str) -> None:
    for name in names:
        app = publishers.apps[name]
        assert isinstance(app, OpenEngage)
        app.is_blocked = True


def asked(publishers: ImitationPublishers) -> dict[str, int]:
    """How often each API was asked for a list."""
    counts = {"chemrxiv": 0, "chemrxiv-mirror": 0, "crossref": 0}
    for request in publishers.requests:
        _, name, what = request.path.split("/")[:3]
        counts[name] += what in ("items", "works")
    return counts


def by_id(offers: Any) -> dict[str | None, Offer]:
    found = {offer.paper_id: offer for offer in offers}
    assert len(found) == len(offers)
    return found


def received(publisher: ChemRxiv, offer: Offer, offset: int = 0) -> bytes:
    with publisher.open(offer, offset) as pieces:
        return b"".join(pieces)


# --- listing -----------------------------------------------------------------------------------------------


def test_by_the_api(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """The API alone is asked of months that hold papers; a later version belongs to the year of the paper."""
    december = Version(doi="10.26434/chemrxiv-2022-eeeee", posted="2022-12-01")
    shelve(publishers, FIRST, SECOND, OTHER, ALONE, december)
    publisher = client(publishers, tmp_path)
    of_2022, of_2023 = publisher.listing(2022), publisher.listing(2023)

    assert asked(publishers)["chemrxiv"] == 18 + 2
    empty = {
        request.query["searchDateFrom"][0] for request in publishers.requests if "mirror" in request.path
    }
    assert len(empty) == 14
    assert empty.isdisjoint({"2022-12-01", "2023-01-01", "2023-03-01", "2023-06-01"})
    assert by_id(of_2022.offers).keys() == {december.doi, FIRST.doi}
    offer = by_id(of_2022.offers)[FIRST.doi]
    assert (offer.paper_id, offer.version, offer.shard) == ("10.26434/chemrxiv-2022-aaaaa", "v2", "2022")
    assert offer.path == "papers/2022/10.26434_chemrxiv-2022-aaaaa.v2.pdf"
    assert offer.size == 2 * len(PDF)
    assert received(publisher, offer) == PDF * 2
    assert set(by_id(of_2023.offers)) == {"10.26434/chemrxiv-2022-bbbbb", "10.26434/chemrxiv-2023-ccccc"}
    assert [offer.shard for offer in of_2023.offers] == ["2023-01-02", "2023-06-15"]
    assert any(note.startswith("1 papers are placed by the year of their DOI") for note in of_2022.notes)
    assert "ChemRxiv's API (" in of_2022.notes[0]


def test_the_mirror_where_the_api_answers_403(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """The API is asked once, not for each month again; the notes say who answered and who did not."""
    block(publishers, "chemrxiv")
    listing = client(publishers, tmp_path).listing(2022)

    assert [offer.paper_id for offer in listing.offers] == ["10.26434/chemrxiv-2022-aaaaa"]
    assert asked(publishers)["chemrxiv"] == 1
    assert "the API's mirror (3 windows)" in listing.notes[0]
    assert any("ChemRxiv's API is out of order" in note and "403" in note for note in listing.notes)


@pytest.mark.parametrize("fault", ["403", "HTML", "nonsense", "no list", "cut", "500"])
def test_crossref_as_the_last_resort(publishers: ImitationPublishers, tmp_path: Path, fault: str) -> None:
    """Crossref knows version 1 too, so that nothing is uncertain; who downloads gets the same bytes."""
    broken = {
        "403": Fault("/items", times=99, status=403, body=b"<!DOCTYPE html><html></html>"),
        "HTML": Fault("/items", times=99, status=200, body=b"<!DOCTYPE html><html></html>"),
        "nonsense": Fault("/items", times=99, status=200, body=b'{"itemHits": 7}'),
        "no list": Fault("/items", times=99, status=200, body=b'{"itemHits": [], "totalCount": 5}'),
        "cut": Fault("/items", times=99, cut_after=10),
        "500": Fault("/items", times=99, status=500),
    }
    publishers.faults.append(broken[fault])
    publisher = client(publishers, tmp_path)
    listing = publisher.listing(2022)

    (offer,) = listing.offers
    assert offer.path == "papers/2022-12-30/10.26434_chemrxiv-2022-aaaaa.v2.pdf"
    assert received(publisher, offer) == PDF * 2
    assert received(publisher, offer, 300) == (PDF * 2)[300:]
    assert "Crossref (4 windows)" in listing.notes[0]
    assert len(listing.notes) == 3
    attempts = 1 if fault in ("403", "nonsense", "no list") else 2
    assert asked(publishers) == {"chemrxiv": attempts, "chemrxiv-mirror": attempts, "crossref": 18}


def test_where_no_route_answers(publishers: ImitationPublishers, tmp_path: Path) -> None:
    block(publishers, "chemrxiv", "chemrxiv-mirror")
    publishers.faults.append(Fault("/works", times=99, status=503))
    publisher = client(publishers, tmp_path)

    with pytest.raises(
        PublisherError, match=r"none of its routes.*API: .*mirror: .*Crossref: .*Try again later"
    ):
        publisher.listing(2022)
    with pytest.raises(PublisherError, match="none of its routes"):
        publisher.touched(TODAY, TODAY)
    assert Landing(str(tmp_path)).names("index") == []


def test_both_routes_give_the_same_papers(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """The same identifiers, versions and metadata, whoever lists them."""
    shelve(
        publishers,
        SECOND,
        FIRST,
        OTHER,
        Version(doi="10.26434/chemrxiv.14731779.v1", posted="2021-06-10"),
        Version(doi="10.26434/CHEMRXIV.9999019.v1", posted="2019-02-28"),
    )
    listed = []
    for folder in ("api", "crossref"):
        publisher = client(publishers, tmp_path / folder)
        found = [offer for year in (2019, 2021, 2022, 2023) for offer in publisher.listing(year).offers]
        listed.append(found)
        block(publishers, "chemrxiv", "chemrxiv-mirror")

    by_api, by_crossref = map(by_id, listed)
    assert len(by_api) == 4
    assert by_api.keys() == by_crossref.keys()
    for paper_id, offer in by_api.items():
        other = by_crossref[paper_id]
        assert (offer.version, offer.paper_id) == (other.version, paper_id)
        assert offer.metadata is not None
        assert other.metadata is not None
        assert replace(offer.metadata, first_posted=None) == replace(other.metadata, first_posted=None)


def test_years_without_papers(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """Before ChemRxiv there was none, and nobody is asked for the future."""
    publisher = client(publishers, tmp_path)

    assert [publisher.listing(year).offers for year in (1991, 2016, 2024)] == [[], [], []]
    assert publishers.requests == []


def test_an_answer_without_papers_is_not_believed(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """A mirror that holds others' papers, or has stopped, does not make months empty."""
    publishers.mount("chemrxiv", OpenEngage(Shelf([Version(doi="10.33774/coe-2022-x", posted="2022-12-05")])))
    publishers.mount("chemrxiv_mirror", OpenEngage(Shelf([])))
    listing = client(publishers, tmp_path).listing(2022)

    assert [offer.paper_id for offer in listing.offers] == ["10.26434/chemrxiv-2022-aaaaa"]
    assert any("10.33774/coe-2022-x" in note for note in listing.notes)


def test_what_open_engage_does_not_know_since_2026(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """Crossref is asked as well of the months since ChemRxiv left Open Engage, and what it says is joined."""
    left = Version(doi="10.26434/chemrxiv-2026-ddddd", posted="2026-01-05")
    moved = Version(doi="10.26434/chemrxiv.15007431/v1", posted="2026-01-25")
    new = replace(moved, doi="10.26434/chemrxiv.15007431/v2", posted="2026-03-01", version="2")
    publishers.mount("chemrxiv", OpenEngage(Shelf([left])))
    publishers.mount("crossref", Crossref(Shelf([moved, new])))
    listing = client(publishers, tmp_path, date(2026, 4, 1)).listing(2026)

    assert {paper_id: offer.version for paper_id, offer in by_id(listing.offers).items()} == {
        "10.26434/chemrxiv-2026-ddddd": "v1",
        "10.26434/chemrxiv.15007431": "v2",
    }
    assert by_id(listing.offers)["10.26434/chemrxiv.15007431"].shard == "2026-01-25"
    publishers.faults.append(Fault("/works", times=99, status=503))
    with pytest.raises(
        PublisherError, match=r"posted from 2026-01-01 to 2026-01-31.*Crossref: .*503.*Try again later"
    ):
        client(publishers, tmp_path / "other", date(2026, 4, 1)).listing(2026)
    assert Landing(str(tmp_path / "other")).names("index") == [], "what may not be all is not remembered"


@pytest.mark.parametrize("held", [(), ("10.33774/coe-2022-x",)], ids=["nothing", "others' papers"])
def test_an_outage_does_not_pass_for_nothing_posted(
    publishers: ImitationPublishers, tmp_path: Path, held: tuple[str, ...]
) -> None:
    """Where Crossref dies on the way, a mirror that knows no paper is not believed; closed months stay."""
    months = [Version(doi=f"10.26434/chemrxiv-2022-{n:05d}", posted=f"2022-{n:02d}-05") for n in range(1, 13)]
    shelve(publishers, *months)
    block(publishers, "chemrxiv")
    mirror = OpenEngage(
        Shelf([Version(doi=doi, posted=f"2022-{n:02d}-05") for doi in held for n in range(1, 13)])
    )
    publishers.mount("chemrxiv_mirror", mirror)
    publishers.faults.append(Fault("/works", n_before=3, times=99, status=503))
    today = date(2023, 1, 20)

    with pytest.raises(
        PublisherError,
        match=r"the API's mirror cannot tell .* from 2022-04-01 to 2022-04-30.*Crossref: .*503.*Try again later",
    ):
        client(publishers, tmp_path, today).listing(2022)
    assert Landing(str(tmp_path)).names("index") == ["2022-01.json", "2022-02.json", "2022-03.json"]
    with pytest.raises(PublisherError, match="the API's mirror cannot tell"):
        client(publishers, tmp_path, today).touched(date(2022, 4, 5), date(2022, 4, 5))
    publishers.faults.clear()
    publishers.requests.clear()
    assert len(client(publishers, tmp_path, today).listing(2022).offers) == 12
    assert asked(publishers)["crossref"] == 10


@pytest.mark.parametrize("message", [{"items": []}, {"items": [], "total-results": None}])
def test_an_empty_answer_that_counts_nothing_is_an_outage(
    publishers: ImitationPublishers, tmp_path: Path, message: dict[str, Any]
) -> None:
    """That nothing was posted is believed of an answer that says so, not of one that lacks all."""
    block(publishers, "chemrxiv", "chemrxiv-mirror")
    body = json.dumps({"status": "ok", "message": message}).encode()
    publishers.faults.append(Fault("/works", times=99, status=200, body=body))

    with pytest.raises(PublisherError, match=r"Crossref: .*no word of how many there are"):
        client(publishers, tmp_path).listing(2022)


def test_pages_that_end_early_are_an_outage(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """Though the last of them counts nothing."""
    versions = [Version(doi=f"10.26434/chemrxiv-2023-{n:05d}", posted="2023-05-31") for n in range(1200)]
    shelve(publishers, *versions)
    block(publishers, "chemrxiv", "chemrxiv-mirror")
    body = json.dumps({"status": "ok", "message": {"items": []}}).encode()
    publishers.faults.append(Fault("/works", n_before=5, times=99, status=200, body=body))

    with pytest.raises(PublisherError, match="1000 records came of 1200"):
        client(publishers, tmp_path).listing(2023)


def test_a_paper_lands_in_no_other_year_where_old_months_cannot_be_asked(
    publishers: ImitationPublishers, tmp_path: Path
) -> None:
    shelve(
        publishers,
        Version(doi="10.26434/chemrxiv.11111111.v1", posted="2019-11-01"),
        Version(doi="10.26434/chemrxiv.11111111.v2", posted="2020-02-01", version="2"),
    )
    block(publishers, "chemrxiv")
    publishers.mount("chemrxiv_mirror", OpenEngage(Shelf([])))
    publishers.faults.append(Fault("/works", n_before=6, times=99, status=503))  # the months of 2020

    with pytest.raises(PublisherError, match="cannot tell"):
        client(publishers, tmp_path, date(2020, 6, 15)).listing(2020)


def test_a_number_that_figshare_gave_is_of_one_year(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """A version of 2026 on figshare's number belongs to the year of figshare's version 1."""
    shelve(
        publishers,
        Version(doi="10.26434/chemrxiv.14731779.v1", posted="2019-05-10"),
        Version(doi="10.26434/chemrxiv.14731779/v2", posted="2026-01-20", version="2"),
    )
    block(publishers, "chemrxiv", "chemrxiv-mirror")
    publisher = client(publishers, tmp_path, date(2026, 2, 1))

    assert publisher.listing(2026).offers == []
    (offer,) = publisher.listing(2019).offers
    assert (offer.version, offer.shard) == ("v2", "2019-05-10")
    assert publisher.touched(date(2026, 1, 20), date(2026, 1, 20)) >= {2019, 2026}


def test_a_paper_is_of_one_year(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """Where a DOI says no year, months before the one asked for are searched for version 1."""
    versions = [
        Version(doi="10.26434/chemrxiv.11111111.v1", posted="2019-11-01"),
        Version(doi="10.26434/chemrxiv.11111111.v2", posted="2020-02-01", version="2"),
        Version(doi="10.26434/chemrxiv.22222222.v3", posted="2020-02-02", version="3"),
    ]
    shelve(publishers, *versions)
    block(publishers, "chemrxiv", "chemrxiv-mirror")
    publisher = client(publishers, tmp_path)
    found = {
        year: [offer.paper_id for offer in publisher.listing(year).offers] for year in (2018, 2019, 2020)
    }

    assert found == {
        2018: [],
        2019: ["10.26434/chemrxiv.11111111"],
        2020: ["10.26434/chemrxiv.22222222"],
    }


# --- windows and pages -------------------------------------------------------------------------------------


def test_windows_are_halved_where_the_api_cannot_reach(
    publishers: ImitationPublishers, tmp_path: Path
) -> None:
    """More items in a month than may be skipped over are asked for in halves; none is lost, none comes twice."""
    posted = [f"2023-05-{1 + n % 31:02d}" for n in range(310)]
    versions = [Version(doi=f"10.26434/chemrxiv-2023-{n:05d}", posted=day) for n, day in enumerate(posted)]
    shelve(publishers, *versions)
    engage = publishers.apps["chemrxiv"]
    assert isinstance(engage, OpenEngage)
    engage.max_skip = 100
    listing = client(publishers, tmp_path, reach=100).listing(2023)

    assert set(by_id(listing.offers)) == {version.doi for version in versions}
    assert max(int(request.query.get("skip", ["0"])[0]) for request in publishers.requests) < 100
    assert all(request.status == 200 for request in publishers.requests)
    engage.max_skip = 5
    listing = client(publishers, tmp_path / "day", reach=5).listing(2023)
    assert len(listing.offers) == 310
    assert any("items of 2023-05" in note for note in listing.notes), (
        "a single day is beyond reach: the mirror"
    )


def test_the_real_limit_is_kept() -> None:
    """The API fails from 30,000 on."""
    assert ChemRxiv.reach == OpenEngage.max_skip == 30_000


def test_pages_of_fifty(publishers: ImitationPublishers, tmp_path: Path) -> None:
    versions = [Version(doi=f"10.26434/chemrxiv-2023-{n:05d}", posted="2023-05-31") for n in range(120)]
    shelve(publishers, *versions)
    listing = client(publishers, tmp_path).listing(2023)

    assert len(by_id(listing.offers)) == 120
    skips = [request.query["skip"][0] for request in publishers.requests if "/items" in request.path]
    assert sorted(set(skips)) == ["0", "100", "50"]


def test_pages_by_cursor(publishers: ImitationPublishers, tmp_path: Path) -> None:
    versions = [Version(doi=f"10.26434/chemrxiv-2023-{n:05d}", posted="2023-05-31") for n in range(2300)]
    shelve(publishers, *versions)
    block(publishers, "chemrxiv", "chemrxiv-mirror")
    listing = client(publishers, tmp_path).listing(2023)

    assert len(by_id(listing.offers)) == 2300
    assert asked(publishers)["crossref"] == 5 + 3


def test_a_count_that_never_comes_true_is_no_endless_question(
    publishers: ImitationPublishers, tmp_path: Path
) -> None:
    engage = publishers.apps["chemrxiv"]
    assert isinstance(engage, OpenEngage)
    engage.overrides = {"totalCount": 10**6}
    mirror = publishers.apps["chemrxiv-mirror"]
    assert isinstance(mirror, OpenEngage)
    mirror.overrides = {"totalCount": None}
    listing = client(publishers, tmp_path).listing(2023)

    assert len(listing.offers) == 2
    assert len(publishers.requests) < 50


# --- the index ---------------------------------------------------------------------------------------------


def test_months_that_are_over_are_not_asked_again_soon(
    publishers: ImitationPublishers, tmp_path: Path
) -> None:
    """The month of today and the one before are asked again, the others not."""
    first = client(publishers, tmp_path).listing(2022)
    n_first = len(publishers.requests)
    again = client(publishers, tmp_path).listing(2022)

    windows = {
        request.query["searchDateFrom"][0]
        for request in publishers.requests[n_first:]
        if "/chemrxiv/" in request.path
    }
    assert windows == {"2023-05-01", "2023-06-01"}
    assert list(again.offers) == list(first.offers)
    assert "2022-12.json" in Landing(str(tmp_path)).names("index")
    assert "2023-05.json" not in Landing(str(tmp_path)).names("index")


def test_a_version_seen_first_dates_a_paper_for_ever(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """What the API lists no more, since a later version took its place, is remembered as it was."""
    shelve(publishers, FIRST)
    client(publishers, tmp_path, date(2023, 3, 1)).listing(2022)
    shelve(publishers, FIRST, SECOND)
    (offer,) = client(publishers, tmp_path).listing(2022).offers

    assert (offer.version, offer.shard) == ("v2", "2022-12-30")


def test_months_that_are_over_are_asked_again_after_60_days(
    publishers: ImitationPublishers, tmp_path: Path
) -> None:
    """Then a withdrawal and another licence are seen; where nobody answers, what is remembered stays."""
    old = client(publishers, tmp_path).listing(2022).offers
    changed = replace(SECOND, status="WITHDRAWN", licence="CC BY NC 4.0")
    shelve(publishers, FIRST, changed, OTHER, ALONE)
    frozen = client(publishers, tmp_path, TODAY + timedelta(days=60)).listing(2022).offers
    assert list(frozen) == list(old)

    late = TODAY + timedelta(days=61)
    publishers.faults.append(Fault("/(items|works)", times=99, status=503))
    with pytest.raises(PublisherError):
        client(publishers, tmp_path, late).listing(2022)
    publishers.faults.clear()
    assert list(client(publishers, tmp_path, TODAY).listing(2022).offers) == list(old)
    (offer,) = client(publishers, tmp_path, late).listing(2022).offers

    assert offer.metadata is not None
    assert offer.metadata.is_withdrawn
    assert offer.metadata.licence == "https://creativecommons.org/licenses/by-nc/4.0/"
    n_requests = len(publishers.requests)
    assert client(publishers, tmp_path, late).listing(2022).offers == [offer]
    assert len(publishers.requests) - n_requests <= 6, "two months are open"


def test_a_month_asked_in_the_future_is_asked_again(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """A clock that was wrong once freezes nothing for years."""
    client(publishers, tmp_path, date(2033, 1, 1)).listing(2022)
    shelve(publishers, FIRST, replace(SECOND, status="WITHDRAWN"), OTHER, ALONE)
    (offer,) = client(publishers, tmp_path).listing(2022).offers

    assert offer.metadata is not None
    assert offer.metadata.is_withdrawn


def test_the_same_version_by_another_route_is_the_same_file(
    publishers: ImitationPublishers, tmp_path: Path
) -> None:
    """Months that are asked again may be answered by another route: nothing lands elsewhere, or once more."""
    shelve(publishers, FIRST)
    (by_api,) = client(publishers, tmp_path, date(2023, 3, 1)).listing(2022).offers
    later = replace(FIRST, crossref={"posted": {"date-parts": [[2022, 12, 31]]}})
    shelve(publishers, later)
    block(publishers, "chemrxiv", "chemrxiv-mirror")
    publisher = client(publishers, tmp_path)
    (by_crossref,) = publisher.listing(2022).offers

    assert (by_crossref.path, by_crossref.origin) == (by_api.path, by_api.origin)
    publishers.faults.append(Fault("/doi/pdf/", times=99, status=404))
    assert received(publisher, by_crossref) == PDF, "the API's address is remembered"


def test_a_month_that_cannot_be_read_is_asked_again(publishers: ImitationPublishers, tmp_path: Path) -> None:
    first = client(publishers, tmp_path).listing(2022)
    Landing(str(tmp_path)).put("index/2023-03.json", b'{"format": 2, "preprints": [{}]}')
    again = client(publishers, tmp_path).listing(2022)

    assert list(again.offers) == list(first.offers)


# --- PDFs --------------------------------------------------------------------------------------------------


def asset(url: Any) -> dict[str, Any]:
    return {"asset": {"mimeType": "application/pdf", "fileSizeBytes": 100, "original": {"url": url}}}


@pytest.mark.parametrize(
    ("url", "is_offered"),
    [
        ("https://chemrxiv.org/engage/a.pdf", True),
        ("https://www.cambridge.org/engage/a.pdf", True),
        ("http://chemrxiv.org/engage/a.pdf", False),
        ("https://chemrxiv.org.example.com/a.pdf", False),
        ("https://someone@chemrxiv.org/a.pdf", False),
        ("https://chemrxiv.org:8443/a.pdf", False),
        ("https://169.254.169.254/latest/meta-data", False),
        ("http://127.0.0.1:1/a.pdf", False),
        ("https://chemrxiv.org\\@example.com/a.pdf", False),
    ],
)
def test_pdfs_are_only_asked_for_where_chemrxiv_is(
    publishers: ImitationPublishers, tmp_path: Path, url: str, is_offered: bool
) -> None:
    strange = replace(OTHER, engage=asset(url))
    shelve(publishers, strange, ALONE)
    publisher = client(publishers, tmp_path)
    listing = publisher.listing(2023)

    assert (OTHER.doi in by_id(listing.offers)) == is_offered
    assert any("not ChemRxiv's" in note for note in listing.notes) != is_offered
    if is_offered:
        with pytest.raises(
            NotOfferedError, match="no address of this publisher"
        ):  # as the tests' Web knows no other
            received(publisher, by_id(listing.offers)[OTHER.doi])
    assert not any(request.path == "/a.pdf" for request in publishers.requests)


def test_papers_without_a_pdf_are_counted(publishers: ImitationPublishers, tmp_path: Path) -> None:
    shelve(publishers, ALONE, replace(OTHER, engage={"asset": None}))
    listing = client(publishers, tmp_path).listing(2023)

    assert list(by_id(listing.offers)) == [ALONE.doi]
    assert f"1 papers have no PDF on offer, e.g. {OTHER.doi}" in listing.notes


def test_records_that_are_nonsense_are_counted(publishers: ImitationPublishers, tmp_path: Path) -> None:
    nonsense = replace(ALONE, doi=OTHER.doi, engage={"doi": ["10.26434"], "title": {}, "authors": 7})
    shelve(publishers, ALONE, nonsense)
    listing = client(publishers, tmp_path).listing(2023)

    assert list(by_id(listing.offers)) == [ALONE.doi]
    assert any(note.startswith("1 records are passed over") for note in listing.notes)


def test_a_page_that_asks_for_a_browser_is_no_pdf(publishers: ImitationPublishers, tmp_path: Path) -> None:
    publisher = client(publishers, tmp_path)
    (offer,) = publisher.listing(2022).offers
    engage = publishers.apps["chemrxiv"]
    assert isinstance(engage, OpenEngage)
    engage.asks_for_browser = True

    with pytest.raises(NotOfferedError, match="no PDF"):
        received(publisher, offer)


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/assets/", status=404),
        Fault("/assets/", status=410),
        Fault("/assets/", status=200, body=b"<!DOCTYPE html><html></html>"),
    ],
    ids=["404", "410", "HTML"],
)
def test_a_dead_address_is_followed_by_that_of_another_route(
    publishers: ImitationPublishers, tmp_path: Path, fault: Fault
) -> None:
    """Where two routes were asked; what is dead at both is refused, with what both said."""
    shelve(publishers, Version(doi="10.26434/chemrxiv-2026-ddddd", posted="2026-01-05", pdf=PDF))
    publisher = client(publishers, tmp_path, date(2026, 1, 20))
    (offer,) = publisher.listing(2026).offers
    assert offer.size is None, "the other file may be wrapped otherwise"
    publishers.faults.append(replace(fault))

    assert received(publisher, offer) == PDF
    assert [request.path.split("/")[2] for request in publishers.requests[-2:]] == ["assets", "doi"]
    publishers.faults += [replace(fault, times=1), Fault("/doi/pdf/", status=403)]
    with pytest.raises(NotOfferedError, match=r"/assets/.*; .*/doi/pdf/.* answers 403"):
        received(publisher, offer)


def test_a_busy_address_is_not_given_up_for_another(publishers: ImitationPublishers, tmp_path: Path) -> None:
    shelve(publishers, Version(doi="10.26434/chemrxiv-2026-ddddd", posted="2026-01-05", pdf=PDF))
    publisher = client(publishers, tmp_path, date(2026, 1, 20))
    (offer,) = publisher.listing(2026).offers
    publishers.faults.append(Fault("/assets/", status=503))

    with pytest.raises(BusyError):
        received(publisher, offer)
    assert received(publisher, offer) == PDF


@pytest.mark.parametrize(
    "origin", ["", "{", "[]", "{}", '{"url": 7}', '{"url": "https://chemrxiv.org/a.pdf"}']
)
def test_what_was_not_listed_is_not_asked_for(
    publishers: ImitationPublishers, tmp_path: Path, origin: str
) -> None:
    with pytest.raises(PublisherError, match="was not listed"):
        received(client(publishers, tmp_path), Offer(path="p", shard="s", origin=origin))
    assert publishers.requests == []


# --- what is new, and the examples -------------------------------------------------------------------------


def test_touched_years(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """One question; a version of a paper of another year names that year, or those it may be of."""
    publisher = client(publishers, tmp_path)

    assert publisher.touched(date(2023, 6, 15), TODAY) == {2023}
    assert len(publishers.requests) == 1
    assert publisher.touched(date(2023, 3, 31), TODAY) == {2022, 2023}
    assert publisher.touched(date(2030, 1, 1), TODAY) == {2023}
    assert publisher.touched(date(1990, 1, 1), TODAY) == {2022, 2023}
    assert Landing(str(tmp_path)).names("index") == []


def test_the_examples(publishers: ImitationPublishers, tmp_path: Path) -> None:
    """The example papers, posted in two years, land as PDFs that are read."""
    shelf = fill(publishers)
    publisher = client(publishers, tmp_path)
    offers = [offer for year in (2019, 2023) for offer in publisher.listing(year).offers]

    assert shelf.versions == example_versions()
    assert [offer.paper_id for offer in offers] == [
        "10.26434/chemrxiv.9999019",
        "10.26434/chemrxiv-2023-s01l5",
        "10.26434/chemrxiv-2023-c10ck",
    ]
    assert publisher.name == "chemrxiv"
    assert not publisher.is_paid
    for offer in offers:
        data = received(publisher, offer)
        inspection = inspect(data, offer.path.rpartition("/")[2])
        assert inspection.kind is Kind.PDF
        assert inspection.rejection is None
        assert len(data) == offer.size
