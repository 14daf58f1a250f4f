"""Nature Communications: what is listed, what is asked for again, and whose bytes arrive."""

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from s1mm_assets.archives import Kind, inspect, open_bundle
from s1mm_assets.archives.pmc import read_origin
from s1mm_assets.extraction.papers import PaperRead, PaperReader
from s1mm_assets.extraction.pdf import PdfSettings
from s1mm_assets.extraction.rows import PaperJob
from s1mm_assets.resources.publishers import (
    ChangedError,
    Listing,
    NotOfferedError,
    Offer,
    Publisher,
    PublisherError,
    nature_communications,
)
from s1mm_assets.resources.publishers.acquire import Acquisition
from s1mm_assets.resources.publishers.bucket import Bucket
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.nature_communications import BUCKET, CHANGED, NatureCommunications
from s1mm_assets.resources.publishers.patience import Patience, is_transient
from s1mm_assets.resources.publishers.terms import AcquisitionSettings
from s1mm_assets.resources.publishers.usage import Usage
from s1mm_assets.resources.publishers.web import Web
from s1mm_assets_tests.extraction.pdf.reading import SMALL, Told
from s1mm_assets_tests.extraction.raster.drawings import ToldRenderers
from s1mm_assets_tests.imitations.europepmc import EuropePmcImitation, fill, put_package, record
from s1mm_assets_tests.imitations.publishers import Fault, ImitationPublishers

pytestmark = pytest.mark.filterwarnings("default")  # moto and botocore warn of their own dependencies

TODAY = date(2024, 3, 9)
QUICK = Patience(attempts=2, wait_s=0.01, max_wait_s=0.01)
XML = b"<article><front/><body/></article>"


@pytest.fixture
def europepmc() -> EuropePmcImitation:
    return EuropePmcImitation()


@pytest.fixture
def publishers(europepmc: EuropePmcImitation) -> Iterator[ImitationPublishers]:
    with ImitationPublishers(europepmc=europepmc) as running:
        yield running


@pytest.fixture
def client(publishers: ImitationPublishers, tmp_path: Path) -> NatureCommunications:
    return client_of(publishers, tmp_path)


def client_of(publishers: ImitationPublishers, folder: Path) -> NatureCommunications:
    host = urlsplit(publishers.base).netloc
    return NatureCommunications(
        web=Web(user_agent="tests", hosts={host}, patience=QUICK),
        bucket=Bucket(BUCKET, endpoint=f"{publishers.base}/s3", is_unsigned=True, patience=QUICK),
        europepmc=f"{publishers.base}/europepmc",
        landing=Landing(str(folder)),
        today=lambda: TODAY,
    )


def put(publishers: ImitationPublishers, pmcid: str, version: int = 1, /, **says: object) -> None:
    """A small paper in the bucket."""
    stem = f"{pmcid}.{version}"
    put_package(
        publishers, pmcid, version, {f"{stem}.xml": XML, f"{pmcid}_Fig1.jpg": b"\xff\xd8\xff" * 999}, **says
    )


def offer_of(listing: Listing, pmcid: str) -> Offer:
    (offer,) = [each for each in listing.offers if each.paper_id == pmcid]
    return offer


def read(client: NatureCommunications, offer: Offer, offset: int = 0) -> bytes:
    with client.open(offer, offset) as pieces:
        return b"".join(pieces)


def asked(publishers: ImitationPublishers, since: int = 0) -> list[str]:
    """What was asked for: of the bucket the prefix or key, of Europe PMC the cursor."""
    return [
        request.query.get(
            "prefix", request.query.get("cursorMark", [request.path.removeprefix(f"/s3/{BUCKET}/")])
        )[0]
        for request in publishers.requests[since:]
    ]


# --- the listing -------------------------------------------------------------------------------------------


def test_it_is_a_publisher(client: NatureCommunications) -> None:
    publisher: Publisher = client

    assert (publisher.name, publisher.is_paid) == ("nature_communications", False)


@pytest.mark.parametrize(
    "repeats", [True, False], ids=["the last cursor is repeated", "an empty page ends it"]
)
def test_all_pages_are_read(
    client: NatureCommunications,
    publishers: ImitationPublishers,
    europepmc: EuropePmcImitation,
    repeats: bool,
) -> None:
    """Until the cursor is repeated, or none is named."""
    europepmc.repeats_last_cursor, europepmc.max_page_size = repeats, 2
    ids = [f"PMC900000{number}" for number in range(4)]
    europepmc.records = [record(pmcid, "2023-05-06") for pmcid in ids]
    for pmcid in ids:
        put(publishers, pmcid)

    listing = client.listing(2023)

    assert [each.paper_id for each in listing.offers] == ids
    assert listing.notes == []
    cursors = [each.query["cursorMark"][0] for each in publishers.requests if each.path.endswith("/search")]
    assert len(cursors) == len(set(cursors)) == (2 if repeats else 3)


def test_a_year_takes_few_requests(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """A thousand records a page, and one listing for a hundred ids."""
    europepmc.records = [record(f"PMC{9_000_000 + number}", "2023-05-06") for number in range(2001)]

    listing = client.listing(2023)

    assert listing.offers == []
    assert listing.notes == ["2,001 articles that are not in the bucket: left out"]
    paths = [request.path for request in publishers.requests]
    assert len([path for path in paths if path.endswith("/search")]) == 4  # and an empty page
    assert len([path for path in paths if path.startswith("/s3/")]) == 21


def test_neighbours_in_the_bucket_are_not_taken(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """The listing of a hundred ids shows papers of other journals too."""
    europepmc.records = [record("PMC9000001", "2023-05-06"), record("PMC9000003", "2023-05-06")]
    for pmcid in ("PMC9000001", "PMC9000002", "PMC9000003"):
        put(publishers, pmcid)

    assert [each.paper_id for each in client.listing(2023).offers] == ["PMC9000001", "PMC9000003"]
    assert "PMC9000002.1/" not in asked(publishers)


def test_what_is_no_article_of_the_year_is_left_out_with_a_note(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """Whatever the search gives: each record is looked at again."""
    for pmcid in ("PMC9000001", "PMC9000002", "PMC9000003"):
        put(publishers, pmcid)
    europepmc.records = [record("PMC9000001", "2023-05-06")] * 2
    europepmc.strays = [
        record("PMC9000002", "2023-05-06", journalIssn="0028-0836; "),
        record("PMC9000003", "2022-05-06"),
        record(None, "2023-05-06"),
        record("../../x", "2023-05-06"),
        "nonsense",
        None,
    ]

    listing = client.listing(2023)

    assert [each.paper_id for each in listing.offers] == ["PMC9000001"]
    assert listing.notes == [
        "2 records that cannot be read: left out",
        "1 records of other journals than ISSN 2041-1723: left out",
        "2 articles without a PMC id: left out",
        "1 articles first published in another year: left out",
    ]


def test_an_offer_says_all_that_is_known(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """The newest version is the one that is offered: the tenth comes after the ninth."""
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    for version in (1, 9, 10):
        put(
            publishers,
            "PMC9000001",
            version,
            doi=f"10.1038/v{version}",
            license_code="CC BY-NC-ND",
            is_retracted=True,
        )

    (offer,) = client.listing(2023).offers

    assert (offer.path, offer.shard) == ("papers/2023-05-06/PMC9000001.v10.tar", "2023-05-06")
    assert (offer.paper_id, offer.version, offer.md5) == ("PMC9000001", "v10", None)
    assert offer.size == len(read(client, offer))
    assert offer.metadata is not None
    assert (offer.metadata.doi, offer.metadata.licence) == ("10.1038/v10", "CC BY-NC-ND")
    assert (offer.metadata.is_retracted, offer.metadata.licence_read) == (True, "2024-03-09")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        (("xml", "pdf"), {"pdf_url": ...}),
        (("pdf",), {"xml_url": ...}),
        (("xml",), {"license_code": ...}),
        (("xml",), {"license_code": None, "media_urls": ...}),
        (("xml",), {"license_code": "TDM", "is_retracted": ...}),
    ],
)
def test_metadata_may_lack_anything(
    client: NatureCommunications,
    publishers: ImitationPublishers,
    europepmc: EuropePmcImitation,
    files: tuple[str, ...],
    says: dict[str, object],
) -> None:
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put_package(publishers, "PMC9000001", 1, {f"PMC9000001.1.{form}": b"%PDF-" for form in files}, **says)

    (offer,) = client.listing(2023).offers

    assert [each.name for each in read_origin(offer.origin)[1]] == [f"PMC9000001.1.{form}" for form in files]
    assert offer.metadata is not None
    assert offer.metadata.licence == ("CC BY" if "license_code" not in says else None)
    assert offer.metadata.is_retracted is (None if "is_retracted" in says else False)


def test_papers_that_cannot_be_used_are_left_out_with_a_note(
    client: NatureCommunications,
    publishers: ImitationPublishers,
    europepmc: EuropePmcImitation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One paper that is nonsense costs no other."""
    monkeypatch.setattr(nature_communications, "MAX_FILES", 4)
    monkeypatch.setattr(nature_communications, "MAX_METADATA_BYTES", 5_000)
    europepmc.records = [record(f"PMC900000{number}", "2023-05-06") for number in range(1, 7)]
    put(publishers, "PMC9000001")
    publishers.put(BUCKET, "metadata/PMC9000002.1.json", b"[" * 4_000)
    put_package(publishers, "PMC9000003", 1, {})
    put(publishers, "PMC9000004", pmcid="PMC1")
    put_package(publishers, "PMC9000005", 1, {f"{number}.jpg": b"." for number in range(5)})
    put(publishers, "PMC9000006", title="x" * 5_000)

    listing = client.listing(2023)

    assert [each.paper_id for each in listing.offers] == ["PMC9000001"]
    assert listing.notes == [
        "3 articles whose metadata cannot be read: left out",
        "1 articles without XML and PDF: left out",
        "1 articles of more than 5000 files: left out",
    ]


def test_hostile_names_are_left_out_with_a_note(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    hostile = {
        "a/../../b.jpg": b".",
        "c\\d.jpg": b".",
        "x" * 300 + ".jpg": b".",
        "/etc/e.jpg": b".",
        ".f.jpg": b".",
    }
    put_package(
        publishers, "PMC9000001", 1, {"PMC9000001.1.xml": XML, "g_Fig1.jpg": b".", "h.mp4": b".", **hostile}
    )

    listing = client.listing(2023)

    (offer,) = listing.offers
    assert [each.name for each in read_origin(offer.origin)[1]] == ["PMC9000001.1.xml", "g_Fig1.jpg"]
    assert listing.notes == [
        "1 supplementary files (videos, spreadsheets, archives …): left out of the articles' tars",
        "5 files with unsafe names: left out of the articles' tars",
    ]


@pytest.mark.parametrize("body", [b"<html>closed</html>", b'{"resultList": null}', b"[]", b'{"a": '])
def test_an_answer_that_is_none_is_an_outage(
    client: NatureCommunications, publishers: ImitationPublishers, body: bytes
) -> None:
    publishers.faults.append(Fault("/search", times=9, status=200, body=body))

    with pytest.raises(PublisherError, match="search does not answer as it should"):
        client.listing(2023)


def test_a_refused_search_is_an_outage(client: NatureCommunications, publishers: ImitationPublishers) -> None:
    publishers.faults.append(Fault("/search", status=403))

    with pytest.raises(PublisherError, match="403"):
        client.listing(2023)


def test_a_search_that_gives_too_little_is_asked_again_and_then_an_outage(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """Articles that are missing from an answer are not taken for such as are not offered any more."""
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put(publishers, "PMC9000001")
    body = json.dumps({"hitCount": 7, "resultList": {"result": []}}).encode()
    publishers.faults.append(Fault("/search", status=200, body=body))

    listing = client.listing(2023)

    assert [each.paper_id for each in listing.offers] == ["PMC9000001"]
    assert listing.notes == []
    publishers.faults.append(Fault("/search", times=99, status=200, body=body))
    with pytest.raises(PublisherError, match="counts 7 records and gave 0: try again later"):
        client.listing(2023)
    with pytest.raises(PublisherError, match="counts 7 records and gave 0"):
        client.touched(TODAY, TODAY)
    publishers.faults.clear()
    assert client.listing(2023) == listing


def test_pages_that_end_early_are_an_outage(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """Though the last of them counts nothing."""
    europepmc.max_page_size = 1
    europepmc.records = [record("PMC9000001", "2023-05-06"), record("PMC9000002", "2023-05-06")]
    body = json.dumps({"resultList": {"result": []}}).encode()
    publishers.faults += [Fault("/search", n_before=n, status=200, body=body) for n in (1, 2)]

    with pytest.raises(PublisherError, match="counts 2 records and gave 1"):
        client.listing(2023)
    publishers.faults.append(Fault("/search", times=2, status=200, body=body))
    with pytest.raises(PublisherError, match="counts None records and gave 0"):
        client.listing(2023)


def test_a_search_without_end_is_an_outage(
    client: NatureCommunications,
    publishers: ImitationPublishers,
    europepmc: EuropePmcImitation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nature_communications, "MAX_PAGES", 3)
    europepmc.max_page_size = 1
    europepmc.records = [record("PMC9000001", "2023-05-06")] * 9

    with pytest.raises(PublisherError, match="no end: 3 records"):
        client.listing(2023)


@pytest.mark.parametrize("code", ["AccessDenied", "NoSuchKey"])
def test_metadata_that_are_refused_are_an_outage_unless_they_are_gone(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation, code: str
) -> None:
    """A bucket that shuts this machine out does not take its articles out of the listing."""
    europepmc.records = [record("PMC9000001", "2023-05-06"), record("PMC9000002", "2023-05-06")]
    put(publishers, "PMC9000001")
    put(publishers, "PMC9000002")
    body = f"<Error><Code>{code}</Code><Message>No.</Message></Error>".encode()
    status = 404 if code == "NoSuchKey" else 403
    publishers.faults.append(Fault(r"metadata/PMC9000002\.1\.json", status=status, body=body))

    if status == 403:
        with pytest.raises(PublisherError, match=r"PMC9000002\.1\.json: AccessDenied.*still open to all"):
            client.listing(2023)
    else:
        listing = client.listing(2023)
        assert [each.paper_id for each in listing.offers] == ["PMC9000001"]
        assert listing.notes == ["1 articles that are not in the bucket: left out"]
    assert len(client.listing(2023).offers) == 2


# --- what is asked for again -------------------------------------------------------------------------------


def test_only_what_changed_is_asked_for_again(
    client: NatureCommunications,
    publishers: ImitationPublishers,
    europepmc: EuropePmcImitation,
    tmp_path: Path,
) -> None:
    """Of articles that have not changed, nothing but the listing of their hundred."""
    europepmc.records = [record("PMC9000001", "2023-05-06"), record("PMC9000002", "2023-05-06")]
    put(publishers, "PMC9000001")
    put(publishers, "PMC9000002")
    first = client.listing(2023)
    assert set(asked(publishers)) > {"metadata/PMC9000001.1.json", "PMC9000001.1/"}

    at = len(publishers.requests)
    later = replace(client_of(publishers, tmp_path), today=lambda: date(2024, 4, 1))
    assert later.listing(2023) == first
    assert asked(publishers, at)[2:] == ["metadata/PMC90000"]

    put(publishers, "PMC9000002", is_retracted=True)
    put(publishers, "PMC9000001", 2)
    at = len(publishers.requests)
    second = later.listing(2023)
    assert sorted(asked(publishers, at)[3:]) == [
        "PMC9000001.2/",
        "PMC9000002.1/",
        "metadata/PMC9000001.2.json",
        "metadata/PMC9000002.1.json",
    ]
    retracted = offer_of(second, "PMC9000002").metadata
    assert retracted is not None
    assert (retracted.is_retracted, retracted.licence_read) == (True, "2024-04-01")
    assert offer_of(second, "PMC9000001").version == "v2"


def test_a_listing_that_broke_off_goes_on(
    client: NatureCommunications,
    publishers: ImitationPublishers,
    europepmc: EuropePmcImitation,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What was learnt in steps before is not asked for again."""
    monkeypatch.setattr(nature_communications, "STEP", 2)
    ids = [f"PMC900000{number}" for number in range(1, 6)]
    europepmc.records = [record(pmcid, "2023-05-06") for pmcid in ids]
    for pmcid in ids:
        put(publishers, pmcid)
    publishers.faults.append(Fault("metadata/PMC9000005", times=2, status=503))
    with pytest.raises(PublisherError):
        client.listing(2023)

    at = len(publishers.requests)
    assert [each.paper_id for each in client.listing(2023).offers] == ids
    assert asked(publishers, at)[3:] == ["metadata/PMC9000005.1.json", "PMC9000005.1/"]


# --- bytes -------------------------------------------------------------------------------------------------


def test_every_offset_gives_the_same_bytes(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """In headers, members, paddings and the trailer, and at their edges."""
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put(publishers, "PMC9000001")
    (offer,) = client.listing(2023).offers
    whole = read(client, offer)
    assert len(whole) == offer.size
    edges = {at + by for at in range(0, len(whole) + 1, 512) for by in (-1, 0, 1, 100)}
    edges |= {512 + len(XML) + by for by in (-1, 0, 1)} | {1536 + 2997 + by for by in (-1, 0, 1)}

    for offset in sorted(edge for edge in edges if 0 <= edge <= len(whole)):
        assert read(client, offer, offset) == whole[offset:]


def test_only_the_members_that_are_missing_are_read(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """A transfer that broke off in the image asks for the rest of the image."""
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put(publishers, "PMC9000001")
    (offer,) = client.listing(2023).offers
    at = len(publishers.requests)

    read(client, offer, 1536 + 1000)

    (request,) = publishers.requests[at:]
    assert (request.path, request.range) == (f"/s3/{BUCKET}/PMC9000001.1/PMC9000001_Fig1.jpg", "bytes=1000-")


def test_a_cut_transfer_goes_on_where_it_broke_off(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put(publishers, "PMC9000001")
    (offer,) = client.listing(2023).offers
    whole, received = read(client, offer), bytearray()
    publishers.faults.append(Fault("Fig1", times=2, cut_after=700))

    n_broken = 0
    while len(received) < len(whole):
        try:
            with client.open(offer, len(received)) as pieces:
                for piece in pieces:
                    received += piece
        except Exception as error:
            if not is_transient(error):
                raise
            n_broken += 1

    assert received == whole
    assert n_broken == 2
    assert client.landing.names(CHANGED) == []


def test_a_member_that_ends_early_ends_the_tar(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """So that whoever reads sees how much is missing; nothing takes the place of the lost bytes."""
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put(publishers, "PMC9000001")
    (offer,) = client.listing(2023).offers
    origin = json.loads(offer.origin)
    origin["files"][1] |= {"size": 5000, "md5": None}

    received = read(client, replace(offer, origin=json.dumps(origin)))

    assert len(received) == 512 + 512 + 512 + 2997


def test_a_member_that_does_not_end_is_refused(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put(publishers, "PMC9000001")
    (offer,) = client.listing(2023).offers
    origin = json.loads(offer.origin)
    origin["files"][1] |= {"size": 2996, "md5": None}

    with pytest.raises(ChangedError, match="more than the 2,996 bytes"):
        read(client, replace(offer, origin=json.dumps(origin)))


def test_a_file_that_changed_since_the_listing_is_refused(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """And learnt anew by the next listing, though the metadata are as they were."""
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put(publishers, "PMC9000001", xml_url=..., media_urls=...)
    (offer,) = client.listing(2023).offers
    publishers.put(BUCKET, "PMC9000001.1/PMC9000001_Fig1.jpg", b"\xff\xd8\xffanother")

    with pytest.raises(ChangedError), client.open(offer, 0) as pieces:
        list(pieces)

    assert client.landing.names(CHANGED) == ["PMC9000001.1"]
    (again,) = client.listing(2023).offers
    assert b"another" in read(client, again)
    assert again.size == len(read(client, again))
    assert client.landing.names(CHANGED) == []


def test_a_member_that_changed_is_not_gone_on_with(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """From its middle it is asked with its etag; the changed one, of the same size and name, is another origin."""
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put(publishers, "PMC9000001", xml_url=..., media_urls=...)
    (offer,) = client.listing(2023).offers
    middle = 1536 + 1000
    publishers.put(BUCKET, "PMC9000001.1/PMC9000001_Fig1.jpg", b"\xff\xd8\xfe" * 999)

    with pytest.raises(ChangedError):
        read(client, offer, middle)

    (again,) = client.listing(2023).offers
    assert (again.path, again.size) == (offer.path, offer.size)
    assert again.origin != offer.origin
    assert read(client, again, middle) == read(client, again)[middle:]


@pytest.mark.parametrize("says", ["etag", "size"])
def test_an_origin_tells_every_member(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation, says: str
) -> None:
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put(publishers, "PMC9000001")
    (offer,) = client.listing(2023).offers

    files = json.loads(offer.origin)["files"]

    listed = {each.key: each for each in client.bucket.list("PMC9000001.1/")}
    assert [each["name"] for each in files] == ["PMC9000001.1.xml", "PMC9000001_Fig1.jpg"]
    for each in files:
        assert each[says]
        assert each[says] == getattr(listed[f"PMC9000001.1/{each['name']}"], says)


def test_a_member_without_an_etag_is_not_gone_on_with(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """It is read from its beginning: nothing else would tell whether it is the same."""
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put(publishers, "PMC9000001")
    (offer,) = client.listing(2023).offers
    origin = json.loads(offer.origin)
    origin["files"][1]["etag"] = ""
    unmarked = replace(offer, origin=json.dumps(origin))

    with pytest.raises(ChangedError, match="no etag"):
        read(client, unmarked, 1536 + 1000)
    assert read(client, unmarked, 1536) == read(client, offer, 1536)


def test_a_file_that_is_gone_is_refused(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    put(publishers, "PMC9000001")
    (offer,) = client.listing(2023).offers
    publishers.remove(BUCKET, "PMC9000001.1/PMC9000001_Fig1.jpg")

    with pytest.raises(NotOfferedError), client.open(offer, 2000) as pieces:
        list(pieces)

    (again,) = client.listing(2023).offers
    assert [each.name for each in read_origin(again.origin)[1]] == ["PMC9000001.1.xml"]


def test_bytes_that_are_not_those_of_the_metadata_are_refused(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """The MD5 is that of the address in the metadata; it is compared where a member is read from its beginning."""
    europepmc.records = [record("PMC9000001", "2023-05-06")]
    address = f"s3://{BUCKET}/PMC9000001.1/PMC9000001_Fig1.jpg?md5={'0' * 32}"
    put(publishers, "PMC9000001", media_urls=[address])
    (offer,) = client.listing(2023).offers

    with pytest.raises(ChangedError, match=r"Fig1\.jpg has MD5"), client.open(offer, 0) as pieces:
        list(pieces)

    assert len(read(client, offer, 2000)) == (offer.size or 0) - 2000


def test_a_year_lands_over_a_connection_that_breaks(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """What lands is what is read at once; what came before a break is not fetched again."""
    ids = [f"PMC900000{number}" for number in range(1, 4)]
    europepmc.records = [record(pmcid, "2023-05-06") for pmcid in ids]
    for pmcid in ids:
        put(publishers, pmcid)
    publishers.faults.append(Fault("Fig1", times=3, cut_after=700))
    terms = AcquisitionSettings(min_free_gib=0, transfers=1)
    acquisition = Acquisition(
        client, client.landing, 2023, terms, Usage(), report=lambda _: None, patience=QUICK
    )

    acquired = acquisition.run()

    assert (acquired.n_listed, acquired.n_landed, acquired.n_refused) == (3, 3, 0)
    for offer in client.listing(2023).offers:
        assert client.landing.read(offer.path) == read(client, offer)
    ranges = [each.range for each in publishers.requests if each.path.endswith("PMC9000001_Fig1.jpg")]
    assert ranges[0] is None
    assert all(ranges[1:4])


# --- news --------------------------------------------------------------------------------------------------


def test_news_name_their_years(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """New articles, articles received late, and retractions; by one request, and an empty page."""
    retracted = "retracted publication; journal article"
    europepmc.records = [
        record("PMC1", "2024-03-01"),
        record("PMC2", "2023-12-30", fullTextReceivedDate="2024-03-02"),
        record("PMC3", "2015-01-01", dateOfRevision="2024-03-03", pubType=retracted),
        record("PMC4", "2016-01-01", dateOfRevision="2024-03-03"),
        record("PMC5", "2017-01-01"),
    ]
    europepmc.strays = [record("PMC6", "2018-01-01", journalIssn="0028-0836"), {"firstPublicationDate": 3}]

    assert client.touched(date(2024, 3, 1), TODAY) == {2024, 2023, 2015}
    assert len(publishers.requests) == 2
    europepmc.strays = []
    assert client.touched(date(2024, 3, 10), TODAY) == set()


# --- the example papers ------------------------------------------------------------------------------------


def extracted(bundle: bytes) -> PaperRead:
    """A package as a worker reads it."""
    reader = PaperReader(
        read_bundle=lambda *_: open_bundle(bundle),
        renderers=ToldRenderers(),
        raster=SMALL,
        detector=Told(),
        pdf=PdfSettings(),
    )
    job = PaperJob(source="nature_communications", paper_id="p", uri="p", offset=0, length=len(bundle))
    found = reader(job)
    assert isinstance(found, PaperRead)
    return found


def test_example_papers_arrive_as_their_extractors_read_them(
    client: NatureCommunications, publishers: ImitationPublishers, europepmc: EuropePmcImitation
) -> None:
    """Both articles in XML yield their figures with images; the one without is a PDF."""
    fill(publishers, europepmc)

    (reef,) = client.listing(2019).offers
    soil, tun = client.listing(2023).offers

    found = inspect(read(client, reef))
    assert (found.kind, found.rejection, found.n_members) == (Kind.JATS, None, 6)
    figures = extracted(read(client, reef)).figures
    assert [(each.figure_number, each.rejection) for each in figures] == [("1", None), ("2", None)]
    assert all(each.image for each in figures)
    assert (tun.paper_id, tun.version) == ("PMC99990034", "v2")
    assert inspect(read(client, tun)).kind is Kind.JATS
    assert extracted(read(client, tun)).figures[0].image
    assert inspect(read(client, soil)).kind is Kind.PDF
    assert soil.metadata is not None
    assert soil.metadata.authors == ["Beltran A", "Mwangi J"]
    assert reef.metadata is not None
    assert (reef.metadata.authors, reef.metadata.licence) == ([], "CC0")
