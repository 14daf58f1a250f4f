"""arXiv as a publisher, over real HTTP and S3 on loopback."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from s1mm_assets.archives.arxiv import ChunkFile, pack_chunk, read_manifest
from s1mm_assets.resources.publishers import (
    METADATA_SHARD,
    ChangedError,
    Listing,
    NotOfferedError,
    Offer,
    Publisher,
    PublisherError,
)
from s1mm_assets.resources.publishers.arxiv import MANIFEST_KEY, OLDER, Arxiv, e_print
from s1mm_assets.resources.publishers.bucket import Bucket
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.patience import Patience
from s1mm_assets.resources.publishers.web import Web
from s1mm_assets.resources.sources.arxiv import ArxivSource, index_chunk
from s1mm_assets_tests.archives.packing import PAPER, PDF, TEX, gz, tar, tar_gz
from s1mm_assets_tests.imitations.oai import OaiImitation, fill, publish_manifest
from s1mm_assets_tests.imitations.publishers import Fault, ImitationPublishers

TODAY = date(2023, 1, 18)  # a Wednesday
PATIENCE = Patience(attempts=3, wait_s=0.0, max_wait_s=0.0)

Chunks = list[tuple[ChunkFile, bytes]]


def row(paper_id: str, updated: str, title: str = "T") -> dict[str, Any]:
    versions = [{"version": "v1", "created": "Sun, 1 Jan 2023 10:00:00 GMT"}]
    return {"id": paper_id, "title": title, "authors": "A. Doe", "versions": versions, "update_date": updated}


@pytest.fixture(scope="module")
def server() -> Iterator[ImitationPublishers]:
    patch = pytest.MonkeyPatch()
    patch.setenv("AWS_ACCESS_KEY_ID", "test")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with ImitationPublishers() as publishers:
        yield publishers
    patch.undo()


@pytest.fixture
def publishers(server: ImitationPublishers) -> ImitationPublishers:
    """The server, with nothing published and nothing asked."""
    server._empty_buckets()
    server.faults.clear()
    server.requests.clear()
    return server


@pytest.fixture
def oai(publishers: ImitationPublishers) -> OaiImitation:
    imitation = OaiImitation(page_size=2)
    publishers.mount("oai", imitation)
    publishers.mount("arxiv", imitation)
    return imitation


@pytest.fixture
def published(publishers: ImitationPublishers, oai: OaiImitation) -> Chunks:
    chunks = [
        pack_chunk([("2301.00001", gz(TEX)), ("2301.00002", tar_gz(PAPER))], "2301", 1),
        pack_chunk([("2301.00003", PDF)], "2301", 2),
        pack_chunk([("2212.00001", gz(TEX))], "2212", 1),
    ]
    publish(publishers, chunks)
    return chunks


def publish(publishers: ImitationPublishers, chunks: Chunks) -> None:
    for chunk, data in chunks:
        publishers.put("arxiv", chunk.filename, data)
    publish_manifest(publishers, [chunk for chunk, _ in chunks])


@pytest.fixture
def web(publishers: ImitationPublishers) -> Web:
    host = publishers.base.removeprefix("http://")
    return Web(user_agent="test (a@b.org)", hosts={host}, patience=PATIENCE)


@pytest.fixture(scope="module")
def bucket(server: ImitationPublishers) -> Bucket:
    return Bucket("arxiv", endpoint=f"{server.base}/s3", is_requester_pays=True, patience=PATIENCE)


@pytest.fixture
def client(publishers: ImitationPublishers, bucket: Bucket, web: Web, tmp_path: Path) -> Arxiv:
    return Arxiv(bucket, web, f"{publishers.base}/oai", Landing(str(tmp_path)), lambda: TODAY)


def chunks_of(listing: Listing) -> list[Offer]:
    return [offer for offer in listing.offers if offer.shard != METADATA_SHARD]


def windows_of(listing: Listing) -> list[Offer]:
    return [offer for offer in listing.offers if offer.shard == METADATA_SHARD]


def received(client: Arxiv, offer: Offer, offset: int = 0) -> bytes:
    with client.open(offer, offset) as pieces:
        return b"".join(pieces)


def rows(client: Arxiv, first: str, last: str) -> list[dict[str, Any]]:
    origin = json.dumps({"from": first, "until": last})
    data = received(client, Offer(path=f"oai/{first}_{last}.jsonl", shard="metadata", origin=origin))
    return [json.loads(line) for line in data.splitlines() if line]


def land(client: Arxiv, tmp_path: Path, offers: list[Offer]) -> None:
    """As an acquisition does: chunks are indexed by the MD5 that they were verified by."""
    for offer in offers:
        (tmp_path / offer.path).parent.mkdir(exist_ok=True)
        (tmp_path / offer.path).write_bytes(received(client, offer))
        if offer.md5:
            index_chunk(str(tmp_path), offer.path, offer.md5)


# --- chunks ------------------------------------------------------------------------------------------------


def test_the_chunks_of_a_year_are_offered(client: Arxiv, published: Chunks, tmp_path: Path) -> None:
    publisher: Publisher = client
    listing = publisher.listing(2023)

    assert (publisher.name, publisher.is_paid) == ("arxiv", True)
    assert [(offer.path, offer.shard, offer.size, offer.md5) for offer in chunks_of(listing)] == [
        (chunk.filename, chunk.name, len(data), chunk.md5sum) for chunk, data in published[:2]
    ]
    assert (tmp_path / MANIFEST_KEY).read_bytes() == client.bucket.get(MANIFEST_KEY)
    assert chunks_of(client.listing(1999)) == []


def test_a_chunk_is_opened_where_it_broke_off(client: Arxiv, published: Chunks) -> None:
    offer = chunks_of(client.listing(2023))[0]

    assert received(client, offer) == published[0][1]
    assert received(client, offer, 600) == published[0][1][600:]


def test_a_chunk_that_was_packed_anew_since_is_another(
    client: Arxiv, published: Chunks, publishers: ImitationPublishers
) -> None:
    offer = chunks_of(client.listing(2023))[0]
    publishers.put("arxiv", published[0][0].filename, published[1][1])

    with pytest.raises(ChangedError), client.open(offer, 600):
        pass


def test_the_size_is_the_buckets_where_the_manifest_tells_that_of_the_papers(
    client: Arxiv, published: Chunks, publishers: ImitationPublishers, tmp_path: Path
) -> None:
    """As arXiv's own manifest does; what is landed so is whole, and read."""
    smaller = [replace(chunk, size=chunk.size - 5_000) for chunk, _ in published]
    publish_manifest(publishers, smaller)
    listing = client.listing(2023)
    land(client, tmp_path, chunks_of(listing))
    source = ArxivSource(root=str(tmp_path))

    assert [offer.size for offer in chunks_of(listing)] == [len(data) for _, data in published[:2]]
    given = [each.paper_id for chunk in source.chunks(2023) for each in source.deliveries(chunk.name, 2023)]
    assert given == ["2301.00001", "2301.00002", "2301.00003"]


def test_what_manifest_and_bucket_do_not_agree_on_is_noted(
    client: Arxiv, published: Chunks, publishers: ImitationPublishers
) -> None:
    """What is another object by the bucket's own word is not paid for, until the two agree."""
    publishers.remove("arxiv", published[0][0].filename)
    publishers.put("arxiv", published[1][0].filename, b"another")
    listing = client.listing(2023)

    assert [(offer.shard, offer.size) for offer in chunks_of(listing)] == [("arXiv_src_2301_001", None)]
    assert any("2301_001.tar is in the manifest and not in the bucket" in note for note in listing.notes)
    assert any("2301_002.tar is not offered: bucket and manifest disagree" in note for note in listing.notes)
    publishers.put("arxiv", published[1][0].filename, published[1][1])
    assert len(chunks_of(client.listing(2023))) == 2


def test_chunks_come_before_windows(client: Arxiv, published: Chunks) -> None:
    """What is wrong with metadata then holds up no chunk."""
    listing = client.listing(2023)

    assert listing.offers == [*chunks_of(listing), *windows_of(listing)]
    assert chunks_of(listing)
    assert windows_of(listing)


@pytest.mark.parametrize("cut", [0, 300, -20])
def test_a_manifest_that_is_not_whole_is_not_landed(
    client: Arxiv, published: Chunks, publishers: ImitationPublishers, tmp_path: Path, cut: int
) -> None:
    """The one that is there stays."""
    client.listing(2023)
    before = (tmp_path / MANIFEST_KEY).read_bytes()
    publishers.put("arxiv", MANIFEST_KEY, before[:cut])

    with pytest.raises(PublisherError, match="Try again later"):
        client.listing(2023)
    assert (tmp_path / MANIFEST_KEY).read_bytes() == before


@pytest.mark.parametrize("xml", [b"<Error><Code>AccessDenied</Code></Error>", b"<arXivSRC/>"])
def test_a_manifest_without_chunks_is_none(
    client: Arxiv, publishers: ImitationPublishers, xml: bytes, tmp_path: Path
) -> None:
    publishers.put("arxiv", MANIFEST_KEY, xml)

    with pytest.raises(PublisherError, match="lists no chunk"):
        client.listing(2023)
    assert not (tmp_path / "src").exists()


def test_a_manifest_that_is_refused_says_what_to_do(client: Arxiv) -> None:
    with pytest.raises(PublisherError, match="AWS_ACCESS_KEY_ID"):
        client.listing(2023)


def test_a_manifest_that_stays_as_it_is_is_not_landed_again(
    client: Arxiv, published: Chunks, tmp_path: Path
) -> None:
    client.listing(2023)
    before = (tmp_path / MANIFEST_KEY).stat().st_ino
    client.listing(2023)

    assert (tmp_path / MANIFEST_KEY).stat().st_ino == before


# --- what is new -------------------------------------------------------------------------------------------


def touched(client: Arxiv) -> set[int]:
    return client.touched(TODAY, TODAY)


def test_all_years_are_new_at_first(client: Arxiv, published: Chunks) -> None:
    assert touched(client) == {2022, 2023}


def test_years_are_touched_until_their_chunks_have_landed(
    client: Arxiv, published: Chunks, publishers: ImitationPublishers, tmp_path: Path
) -> None:
    """A listing alone, as of a dry run, hides nothing. One request tells."""
    land(client, tmp_path, chunks_of(client.listing(2022)))
    chunks = chunks_of(client.listing(2023))
    land(client, tmp_path, chunks[:1])
    publishers.requests.clear()

    assert touched(client) == {2023}
    assert len(publishers.requests) == 1
    land(client, tmp_path, chunks[1:])
    assert touched(client) == set()
    publish(publishers, [*published, pack_chunk([("2212.00009", PDF)], "2212", 2)])
    assert touched(client) == {2022}


def test_a_chunk_that_was_packed_anew_is_new_until_it_has_landed(
    client: Arxiv, published: Chunks, publishers: ImitationPublishers, tmp_path: Path
) -> None:
    """Also after its manifest has landed, by listings of this year or of another."""
    for year in (2022, 2023):
        land(client, tmp_path, chunks_of(client.listing(year)))
    publish(publishers, [*published[:2], pack_chunk([("2212.00001", PDF)], "2212", 1)])

    assert touched(client) == {2022}
    for year in (2023, 2022, 2022):
        offers = chunks_of(client.listing(year))
        assert touched(client) == {2022}
    land(client, tmp_path, offers)
    assert touched(client) == set()
    client.listing(2022)
    assert (tmp_path / OLDER).read_bytes() == b"[]"
    assert touched(client) == set()


def test_indexes_are_read_only_where_manifests_differ(
    client: Arxiv, published: Chunks, publishers: ImitationPublishers, tmp_path: Path
) -> None:
    """So an index that is another's counts only there; a chunk without one is what the manifest lists."""
    for year in (2022, 2023):
        land(client, tmp_path, chunks_of(client.listing(year)))
    index = tmp_path / "index" / "arXiv_src_2301_001.jsonl"
    index.write_bytes(index.read_bytes().replace(published[0][0].md5sum.encode(), b"0" * 32))
    (tmp_path / "index" / "arXiv_src_2212_001.jsonl").unlink()
    assert touched(client) == set()

    publish(publishers, [*published[:2], pack_chunk([("2212.00001", PDF)], "2212", 1)])
    assert touched(client) == set()
    publish(publishers, [pack_chunk([("2301.00001", PDF)], "2301", 1), *published[1:]])
    assert touched(client) == {2023}


@pytest.mark.parametrize("text", [b"", b"{", b"\xff", b"5", b"[5, null]", b'{"a": 1}'])
def test_a_damaged_record_of_older_chunks_is_none(
    client: Arxiv, published: Chunks, tmp_path: Path, text: bytes
) -> None:
    for year in (2022, 2023):
        land(client, tmp_path, chunks_of(client.listing(year)))
    (tmp_path / OLDER).write_bytes(text)

    assert touched(client) == set()


def test_a_chunk_packed_anew_breaks_no_year_that_was_good(
    client: Arxiv, published: Chunks, publishers: ImitationPublishers, tmp_path: Path
) -> None:
    """Its papers are those that landed, until the new ones have."""

    def papers() -> dict[str, bytes]:
        source = ArxivSource(root=str(tmp_path))
        return {
            each.paper_id: source.reader()(each.uri, each.offset, each.length)
            for chunk in source.chunks(2022)
            for each in source.deliveries(chunk.name, 2022)
        }

    land(client, tmp_path, chunks_of(client.listing(2022)))
    publish(publishers, [*published[:2], pack_chunk([("2212.00001", PDF)], "2212", 1)])
    client.listing(2023)
    assert papers() == {"2212.00001": gz(TEX)}
    land(client, tmp_path, chunks_of(client.listing(2022)))
    assert papers() == {"2212.00001": PDF}


# --- windows -----------------------------------------------------------------------------------------------


def test_windows_begin_with_the_year_where_there_is_no_snapshot(client: Arxiv, published: Chunks) -> None:
    listing = client.listing(2023)
    (first, *_, last) = windows_of(listing)

    assert (first.path, last.path) == ("oai/2023-01-01_2023-01-01.jsonl", "oai/2023-01-16_2023-01-17.jsonl")
    assert (first.size, first.md5, first.paper_id) == (None, None, None)
    assert "no metadata snapshot" in listing.notes[0]
    assert windows_of(client.listing(1991))[0].path == "oai/2005-09-16_2005-09-18.jsonl"  # arXiv's earliest


def test_windows_begin_where_the_snapshot_ends(client: Arxiv, published: Chunks, tmp_path: Path) -> None:
    """With its newest day, which was not over; dates that cannot be and dates in texts do not count."""
    lines = [
        {"id": "2301.00001", "update_date": "2023-01-10"},
        {"id": "2301.00002", "update_date": "2023-01-11", "abstract": '"update_date":"2023-01-13"'},
        {"id": "hep-th/9711200", "update_date": "2009-01-01"},
        {"id": "hep-th/9711201", "update_date": "2999-01-01"},
        {"id": "hep-th/9711202", "update_date": "2022-99-99"},
    ]
    (tmp_path / "metadata.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    listing = client.listing(2022)

    assert [offer.path for offer in windows_of(listing)] == [
        "oai/2023-01-11_2023-01-15.jsonl",
        "oai/2023-01-16_2023-01-17.jsonl",
    ]
    assert listing.notes == []


def test_windows_that_landed_are_offered_again_and_followed(
    client: Arxiv, published: Chunks, tmp_path: Path
) -> None:
    land(client, tmp_path, windows_of(client.listing(2023)))
    (tmp_path / "oai" / "2023-02-31_2023-03-01.jsonl").write_bytes(b"")  # none of ours
    later = replace(client, today=lambda: TODAY + timedelta(days=6))

    assert [offer.path for offer in windows_of(later.listing(2023))][-4:] == [
        "oai/2023-01-09_2023-01-15.jsonl",
        "oai/2023-01-16_2023-01-17.jsonl",
        "oai/2023-01-18_2023-01-22.jsonl",
        "oai/2023-01-23_2023-01-23.jsonl",
    ]


@pytest.mark.parametrize("has_old_tokens", [False, True])
def test_a_window_holds_the_rows_of_all_its_pages(
    client: Arxiv, oai: OaiImitation, publishers: ImitationPublishers, has_old_tokens: bool
) -> None:
    oai.has_old_tokens = has_old_tokens
    for n in range(5):
        oai.put(row(f"2301.0000{n}", f"2023-01-0{n + 2}"))
    oai.put(row("2301.00008", "2023-01-09"))
    oai.delete("2301.00007", "2023-01-08")
    found = rows(client, "2023-01-02", "2023-01-08")

    assert [each["id"] for each in found] == [*(f"2301.0000{n}" for n in range(5)), "2301.00007"]
    assert found[0]["authors_parsed"] == [["Doe", "A.", ""]]
    assert found[-1] == {"id": "2301.00007", "deleted": True, "update_date": "2023-01-08"}
    walk = [["from", "metadataPrefix", "until", "verb"], *[["resumptionToken", "verb"]] * 2]
    assert [sorted(each.query) for each in publishers.requests] == walk * 2
    assert publishers.requests[0].query["metadataPrefix"] == ["arXivRaw"]


def test_a_window_of_one_page_is_asked_for_once(
    client: Arxiv, oai: OaiImitation, publishers: ImitationPublishers
) -> None:
    oai.put(row("2301.00001", "2023-01-03"))
    oai.put(row("2301.00002", "2023-01-03"))

    assert len(rows(client, "2023-01-02", "2023-01-08")) == 2
    assert len(publishers.requests) == 1


def test_a_record_that_slides_over_the_edge_of_a_page_is_not_lost(
    client: Arxiv, oai: OaiImitation, publishers: ImitationPublishers
) -> None:
    """The first is updated while the window is walked, and leaves it; twice."""
    for n in range(7):
        oai.put(row(f"2301.0000{n}", "2023-01-03"))
    publishers.faults += [
        Fault("/oai", n_before=1, meanwhile=lambda: oai.put(row("2301.00000", "2023-01-18"))),
        Fault("/oai", n_before=4, meanwhile=lambda: oai.put(row("2301.00001", "2023-01-18"))),
    ]

    found = [each["id"] for each in rows(client, "2023-01-02", "2023-01-08")]
    assert sorted(found) == [f"2301.0000{n}" for n in range(7)]
    assert found.index("2301.00002") > found.index("2301.00006")  # by the second walk
    assert all(fault.times == 0 for fault in publishers.faults)


def test_a_window_is_walked_three_times_at_most(
    client: Arxiv, oai: OaiImitation, publishers: ImitationPublishers
) -> None:
    """Though every walk brings a paper that was not seen before."""

    def more(n: int) -> Callable[[], None]:
        return lambda: oai.put(row(f"2301.0001{n}", "2023-01-04"))

    for n in range(3):
        oai.put(row(f"2301.0000{n}", "2023-01-03"))
    publishers.faults += [Fault("/oai", n_before=n, meanwhile=more(n)) for n in (2, 4, 6, 8)]

    assert len(rows(client, "2023-01-02", "2023-01-08")) == 5
    assert len(publishers.requests) == 7  # two pages, two, three


def test_a_page_that_is_gone_begins_the_window_anew(
    client: Arxiv, oai: OaiImitation, publishers: ImitationPublishers
) -> None:
    """What was to be on it slid to the page before."""
    for n in range(3):
        oai.put(row(f"2301.0000{n}", "2023-01-03"))
    publishers.faults.append(
        Fault("/oai", n_before=1, meanwhile=lambda: oai.put(row("2301.00000", "2023-01-18")))
    )

    found = [each["id"] for each in rows(client, "2023-01-02", "2023-01-08")]
    assert found == ["2301.00000", "2301.00001", "2301.00002"]


def test_a_last_page_that_is_always_empty_is_the_end(
    client: Arxiv, oai: OaiImitation, publishers: ImitationPublishers
) -> None:
    """The same walk again brings nothing new."""
    for n in range(3):
        oai.put(row(f"2301.0000{n}", "2023-01-03"))
    gone = b"<OAI-PMH><error code='noRecordsMatch'>No records match</error></OAI-PMH>"
    publishers.faults += [Fault("/oai", n_before=n, status=200, body=gone) for n in (1, 2)]

    assert len(rows(client, "2023-01-02", "2023-01-08")) == 2
    assert len(publishers.requests) == 4


def test_a_window_that_is_wrong_in_its_middle_is_begun_anew_by_the_caller(
    client: Arxiv, published: Chunks
) -> None:
    with pytest.raises(ChangedError, match="begin anew"):
        received(client, windows_of(client.listing(2023))[0], 1)


def test_a_window_without_records_is_a_blank_line(client: Arxiv, oai: OaiImitation) -> None:
    oai.put(row("2301.00001", "2023-01-09"))
    origin = json.dumps({"from": "2023-01-02", "until": "2023-01-08"})

    assert received(client, Offer(path="oai/a.jsonl", shard="metadata", origin=origin)) == b"\n"


@pytest.mark.parametrize("n_expiring", [1, 3])
def test_a_token_that_expired_begins_the_window_anew_and_no_row_comes_twice(
    client: Arxiv, oai: OaiImitation, n_expiring: int
) -> None:
    for n in range(5):
        oai.put(row(f"2301.0000{n}", "2023-01-03"))
    oai.n_expiring = n_expiring

    assert [each["id"] for each in rows(client, "2023-01-02", "2023-01-08")] == [
        f"2301.0000{n}" for n in range(5)
    ]


def test_tokens_that_expire_again_and_again_are_reported(client: Arxiv, oai: OaiImitation) -> None:
    for n in range(5):
        oai.put(row(f"2301.0000{n}", "2023-01-03"))
    oai.n_expiring = 4

    with pytest.raises(NotOfferedError, match="break off within its pages 4 times"):
        rows(client, "2023-01-02", "2023-01-08")


def test_a_busy_service_is_asked_again(
    client: Arxiv, oai: OaiImitation, publishers: ImitationPublishers
) -> None:
    oai.put(row("2301.00001", "2023-01-03"))
    oai.n_busy = 2

    assert len(rows(client, "2023-01-02", "2023-01-08")) == 1
    assert [each.status for each in publishers.requests] == [503, 503, 200]


@pytest.mark.parametrize(
    ("body", "evidence"),
    [
        (b"<OAI-PMH><ListRecords><record>", "not sound XML"),
        (b"<OAI-PMH><error code='badArgument'>from</error></OAI-PMH>", "badArgument: from"),
        (b'<!DOCTYPE a [<!ENTITY a "b">]><OAI-PMH>&a;</OAI-PMH>', "not sound XML"),
        (b"<OAI-PMH><ListRecords><resumptionToken>1</resumptionToken></ListRecords></OAI-PMH>", "no end"),
    ],
)
def test_a_window_that_cannot_be_read_is_refused(
    client: Arxiv, oai: OaiImitation, publishers: ImitationPublishers, body: bytes, evidence: str
) -> None:
    """It alone: what is refused is on record and asked for again later, and the run goes on."""
    publishers.faults.append(Fault("/oai", times=9, status=200, body=body))

    with pytest.raises(NotOfferedError, match=evidence):
        rows(client, "2023-01-02", "2023-01-08")


@pytest.mark.parametrize(
    "fault",
    [
        Fault("/oai", times=9, status=200, body=b"<html><body>Down</body></html>"),
        Fault("/oai", times=9, status=503),
    ],
)
def test_a_service_that_is_down_ends_the_run(
    client: Arxiv, oai: OaiImitation, publishers: ImitationPublishers, fault: Fault
) -> None:
    publishers.faults.append(replace(fault))

    with pytest.raises(PublisherError, match="try again later"):
        rows(client, "2023-01-02", "2023-01-08")


def test_a_connection_that_is_cut_within_a_page_loses_nothing(
    client: Arxiv, oai: OaiImitation, publishers: ImitationPublishers
) -> None:
    for n in range(5):
        oai.put(row(f"2301.0000{n}", "2023-01-03"))
    publishers.faults.append(Fault("/oai", n_before=1, cut_after=500))

    assert len(rows(client, "2023-01-02", "2023-01-08")) == 5


# --- one paper ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("paper_id", "sent", "name", "data"),
    [
        ("2301.00001v2", tar_gz(PAPER), "2301.00001v2.tar.gz", tar_gz(PAPER)),
        ("hep-th/9711200", gz(TEX), "hep-th9711200.gz", gz(TEX)),
        ("2301.00001", PDF, "2301.00001.pdf", PDF),
        ("2301.00001", tar(PAPER), "2301.00001.tar.gz", tar_gz(PAPER)),  # unpacked by HTTP on its way
        ("2301.00001", TEX, "2301.00001.gz", gz(TEX)),
        ("2301.00001", b"\x1f\x8b\x08broken", "2301.00001.gz", b"\x1f\x8b\x08broken"),
    ],
)
def test_a_lone_paper_is_downloaded(
    *,
    web: Web,
    oai: OaiImitation,
    publishers: ImitationPublishers,
    paper_id: str,
    sent: bytes,
    name: str,
    data: bytes,
) -> None:
    oai.e_prints[paper_id] = sent

    assert e_print(web, f"{publishers.base}/arxiv", f"arXiv:{paper_id}") == (name, data)


@pytest.mark.parametrize(
    ("paper_id", "sent", "evidence"),
    [
        ("2301.00001", b"<!DOCTYPE html><html><body>Source unavailable</body></html>", "html, no source"),
        ("2301.00001", b"", "empty, no source"),
        ("2301.00002", TEX, "gives no source of 2301.00001 .*404"),
    ],
)
def test_a_paper_without_source_is_not_offered(
    *, web: Web, oai: OaiImitation, publishers: ImitationPublishers, paper_id: str, sent: bytes, evidence: str
) -> None:
    oai.e_prints[paper_id] = sent

    with pytest.raises(NotOfferedError, match=evidence):
        e_print(web, f"{publishers.base}/arxiv", "2301.00001")


@pytest.mark.parametrize("paper_id", ["", "../../etc/passwd", "2301.1", "2301.00001?x=1", "9" * 9_999])
def test_what_is_no_identifier_is_not_asked_for(
    web: Web, publishers: ImitationPublishers, paper_id: str
) -> None:
    with pytest.raises(NotOfferedError, match="no arXiv identifier"):
        e_print(web, f"{publishers.base}/arxiv", paper_id)
    assert publishers.requests == []


# --- the example corpus ------------------------------------------------------------------------------------


def test_the_example_corpus_lands_whole(
    client: Arxiv, publishers: ImitationPublishers, web: Web, tmp_path: Path
) -> None:
    """Chunks, metadata of every paper, and a lone paper, as from arXiv itself."""
    arxiv = fill(publishers)
    client = replace(client, today=lambda: date(2023, 3, 8))
    years = {chunk.year for chunk in read_manifest(client.bucket.get(MANIFEST_KEY))}
    assert years == {1998, 2006, 2012, 2019, 2023}
    for year in (2019, 2023):
        land(client, tmp_path, chunks_of(client.listing(year)))
    land(client, tmp_path, windows_of(client.listing(2023)))
    source = ArxivSource(root=str(tmp_path))

    for year in (2019, 2023):
        for chunk in source.chunks(year):
            for each in source.deliveries(chunk.name, year):
                data = source.reader()(each.uri, each.offset, each.length)
                assert data == arxiv.e_prints[each.paper_id]
                assert e_print(web, f"{publishers.base}/arxiv", each.paper_id)[1] == data
    papers = [held.paper_id for held in arxiv.records.values() if held.paper_id.startswith("2302.")]
    found = source.metadata(2023, papers)
    assert sorted(found) == sorted(papers)
    assert all(each.title and each.authors and each.licence for each in found.values())
