"""bioRxiv and medRxiv: packages known before they are paid for, once ever; papers of a year; what is new."""

import gc
import random
import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from s1mm_assets.archives.bundle import Kind, inspect, open_bundle
from s1mm_assets.archives.openrxiv import Package
from s1mm_assets.extraction.papers import PaperRead, PaperReader
from s1mm_assets.extraction.pdf import PdfSettings
from s1mm_assets.extraction.rows import PaperJob
from s1mm_assets.resources.publishers import ChangedError, Listing, PublisherError, openrxiv
from s1mm_assets.resources.publishers.bucket import Bucket
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.openrxiv import (
    KEPT_DAYS,
    REFUSED_AT_ONCE,
    OpenRxiv,
    Versions,
    allow_all,
    newest_packages,
)
from s1mm_assets.resources.publishers.patience import Patience
from s1mm_assets.resources.publishers.web import Web
from s1mm_assets_tests.extraction.pdf.reading import SMALL, Told
from s1mm_assets_tests.extraction.raster.drawings import ToldRenderers
from s1mm_assets_tests.imitations.openrxiv import OpenRxivDetails, article, fill, key_of, meca
from s1mm_assets_tests.imitations.publishers import Fault, ImitationPublishers

BUCKET = "biorxiv-src-monthly"
HASTY = Patience(attempts=2, wait_s=0.0, max_wait_s=0.0)
TODAY = date(2024, 6, 15)
JANUARY, MARCH = "Current_Content/January_2024/", "Current_Content/March_2024/"


@pytest.fixture
def details() -> OpenRxivDetails:
    return OpenRxivDetails()


@pytest.fixture
def publishers(details: OpenRxivDetails, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImitationPublishers]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    with ImitationPublishers(details=details) as server:
        yield server


class Asking:
    """Clients of one imitation and one folder, and what they asked."""

    def __init__(self, publishers: ImitationPublishers, folder: Path) -> None:
        self.publishers, self.folder = publishers, folder

    def client(self, server: str = "biorxiv", today: date = TODAY) -> OpenRxiv:
        base = self.publishers.base
        web = Web(user_agent="test", hosts={base.removeprefix("http://")}, patience=HASTY)
        return OpenRxiv(server, self.bucket(server), web, f"{base}/details", self.landing, lambda: today)

    def bucket(self, server: str = "biorxiv") -> Bucket:
        return Bucket(
            f"{server}-src-monthly",
            endpoint=f"{self.publishers.base}/s3",
            is_requester_pays=True,
            patience=HASTY,
        )

    @property
    def landing(self) -> Landing:
        return Landing(str(self.folder))

    def listing(self, year: int = 2024, server: str = "biorxiv", today: date = TODAY) -> Listing:
        return self.client(server, today).listing(year)

    def asked(self, path: str) -> list[str]:
        """The paths that were asked since the last time, and match."""
        found = [each.path for each in self.publishers.requests if re.search(path, each.path)]
        self.publishers.requests.clear()
        return found


@pytest.fixture
def asking(publishers: ImitationPublishers, tmp_path: Path) -> Asking:
    return Asking(publishers, tmp_path / "biorxiv")


def put(publishers: ImitationPublishers, doi: str, version: int, folder: str, seed: int = 0) -> bytes:
    """Put a package into the bucket, one that is longer than its end; return it."""
    number = doi.rpartition(".")[2]
    image = random.Random(seed).randbytes(40_000)
    data = meca({f"{number}.xml": article(doi, version), f"{number}v{version}_fig1.tif": image})
    publishers.put(BUCKET, key_of(folder, f"{doi}v{version}"), data)
    return data


def papers(listing: Listing) -> dict[str, str]:
    """What is offered: DOI → path."""
    return {str(offer.paper_id): offer.path for offer in listing.offers}


def doi_of(number: int, day: str = "2024.01.20") -> str:
    return f"10.1101/{day}.{number}"


# --- a year ------------------------------------------------------------------------------------------------


def test_a_year_lists_the_newest_version_of_its_papers(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """By the day of the first version, whatever the DOI says; metadata are those of the version that is offered."""
    one, two, other = doi_of(577001), doi_of(577002, "2023.12.30"), doi_of(577003)
    details.post("biorxiv", one, 1, "2024-01-25", license="cc_no", title="First")
    details.post("biorxiv", one, 2, "2024-03-02", license="cc_by", title="Second")
    details.post("biorxiv", one, 3, "2024-06-14", title="Third, of which there is no package yet")
    details.post("biorxiv", two, 1, "2024-01-02")
    details.post("biorxiv", other, 1, "2023-12-31")
    details.post("biorxiv", other, 2, "2024-01-10")
    put(publishers, one, 1, JANUARY)
    put(publishers, other, 2, JANUARY)
    put(publishers, two, 1, JANUARY)
    newest = put(publishers, one, 2, MARCH)

    listing = asking.listing()

    assert papers(listing) == {
        two: "papers/2024-01-02/10.1101_2023.12.30.577002.v1.meca",
        one: "papers/2024-01-25/10.1101_2024.01.20.577001.v2.meca",
    }
    offer = listing.offers[1]
    assert (offer.shard, offer.version, offer.size) == ("2024-01-25", "v2", len(newest))
    assert offer.metadata is not None
    record = offer.metadata
    assert (record.doi, record.title, record.licence, record.version) == (one, "Second", "cc_by", "v2")
    assert (record.first_posted, record.updated, record.licence_read) == (
        "2024-01-25",
        "2024-03-02",
        "2024-03-02",
    )
    assert (record.authors, record.categories) == (["C. Okafor", "P. M. Lind"], ["neuroscience"])
    assert record.abstract == "What was done, and what was found."
    assert not record.is_withdrawn
    assert listing.notes == []


def test_an_offer_is_opened_from_any_byte(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """And not where its object was replaced since. No etag is taken for an MD5: of some objects it is none."""
    details.post("biorxiv", doi_of(577001), 1, "2024-01-25")
    data = put(publishers, doi_of(577001), 1, JANUARY)
    (offer,) = asking.listing().offers
    client = asking.client()

    assert offer.md5 is None
    assert offer.size == len(data)
    with client.open(offer, 0) as pieces:
        assert b"".join(pieces) == data
    with client.open(offer, 100) as pieces:
        assert b"".join(pieces) == data[100:]
    put(publishers, doi_of(577001), 1, JANUARY, seed=1)
    with pytest.raises(ChangedError), client.open(offer, 100) as pieces:
        b"".join(pieces)


def test_both_prefixes_and_old_dois_are_papers(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    dois = ["10.1101/446694", "10.64898/2025.12.19.695336", doi_of(577001)]
    for doi in dois:
        details.post("biorxiv", doi, 1, "2024-02-01")
        put(publishers, doi, 1, JANUARY)

    assert sorted(papers(asking.listing())) == sorted(dois)


def test_a_paper_taken_back_is_known(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """By a later version that has no package; not by an earlier one that was followed by another."""
    gone, back = doi_of(577001), doi_of(577002)
    for doi in (gone, back):
        details.post("biorxiv", doi, 1, "2024-01-25")
        details.post("biorxiv", doi, 2, "2024-02-25", title="WITHDRAWN: On it")
        put(publishers, doi, 1, JANUARY)
    details.post("biorxiv", back, 3, "2024-03-25")
    put(publishers, back, 3, MARCH)

    withdrawn = {
        offer.paper_id: offer.metadata.is_withdrawn for offer in asking.listing().offers if offer.metadata
    }

    assert withdrawn == {gone: True, back: False}


def test_years_before_and_to_come_hold_nothing(asking: Asking) -> None:
    assert asking.listing(2012).offers == ()
    assert asking.listing(2025).offers == ()
    assert asking.asked(".") == []


# --- what is asked -----------------------------------------------------------------------------------------


def test_a_package_is_read_once_ever(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """A later listing lists; it reads what is new or another, and offers nothing that is gone."""
    for number in range(577001, 577006):
        details.post("biorxiv", doi_of(number), 1, "2024-01-25")
        put(publishers, doi_of(number), 1, JANUARY)
    first = asking.listing()
    assert len(asking.asked(r"\.meca$")) == 2 * 5  # the end, and the beginning of the article

    assert asking.listing() == first
    assert len(asking.asked("^/s3/")) == 3  # two levels of folders, one folder

    put(publishers, doi_of(577001), 1, JANUARY, seed=1)
    publishers.remove(BUCKET, key_of(JANUARY, f"{doi_of(577002)}v1"))
    second = asking.listing()
    assert set(asking.asked(r"\.meca$")) == {f"/s3/{BUCKET}/" + key_of(JANUARY, f"{doi_of(577001)}v1")}
    assert set(papers(first)) - set(papers(second)) == {doi_of(577002)}
    assert first.offers[0].origin != second.offers[0].origin

    publishers.remove(BUCKET, key_of(JANUARY, f"{doi_of(577003)}v1"))
    assert len(asking.listing().offers) == 3
    asking.asked(".")
    asking.listing()
    assert len(asking.asked("^/s3/")) == 3


def test_little_of_a_package_is_read(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """However large it is."""
    details.post("biorxiv", doi_of(577001), 1, "2024-01-25")
    noise = random.Random(0).randbytes(1_000_000)
    files = {"577001.xml": article(doi_of(577001), body=noise.hex()), "577001v1_fig1.tif": noise}
    publishers.put(BUCKET, key_of(JANUARY, "large"), meca(files))

    assert len(asking.listing().offers) == 1
    assert sum(each.n_bytes for each in publishers.requests if each.path.endswith(".meca")) < 40_000


def test_what_was_read_before_an_outage_is_kept(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """The listing fails, with what to do; the next reads the others alone."""
    for number in range(577001, 577041):
        details.post("biorxiv", doi_of(number), 1, "2024-01-25")
        put(publishers, doi_of(number), 1, JANUARY)
    publishers.faults.append(Fault(r"\.meca$", times=1_000, n_before=30, status=503))
    with pytest.raises(PublisherError, match="try again later"):
        asking.listing()
    n_read = len((asking.folder / "index" / "Current_Content.January_2024.jsonl").read_bytes().splitlines())
    assert n_read >= 10
    publishers.faults.clear()
    publishers.requests.clear()

    assert len(asking.listing().offers) == 40
    assert len(set(asking.asked(r"\.meca$"))) == 40 - n_read


def test_closed_months_are_asked_once_ever(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """The present month and the one before are asked again, pages of them all; months to come are not."""
    for number in range(577001, 577066):
        details.post("biorxiv", doi_of(number), 1, "2024-01-25")
    asking.listing()
    first = asking.asked("^/details/")
    assert len(first) == 6 + 2
    assert [path.rpartition("/")[2] for path in first[:3]] == ["0", "30", "60"]

    listing = asking.listing()
    assert asking.asked("^/details/") == [
        "/details/biorxiv/2024-05-01/2024-05-31/0",
        "/details/biorxiv/2024-06-01/2024-06-30/0",
    ]
    assert any("65 papers of 65 have no package" in note for note in listing.notes)


def test_later_months_are_asked_as_long_as_a_row_is_missing(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """The licence is that of the revision; no month is asked that can say nothing of the year."""
    doi = doi_of(500001, "2022.05.01")
    details.post("biorxiv", doi, 1, "2022-05-01", license="cc_by")
    details.post("biorxiv", doi, 2, "2023-02-10", license="cc_no")
    put(publishers, doi, 1, "Current_Content/May_2022/")
    put(publishers, doi, 2, "Current_Content/February_2023/")

    (offer,) = asking.listing(2022).offers

    assert offer.metadata is not None
    assert (offer.version, offer.metadata.licence, offer.shard) == ("v2", "cc_no", "2022-05-01")
    asked = asking.asked("^/details/")
    assert asked[-1] == "/details/biorxiv/2023-02-01/2023-02-28/0"
    assert len(asked) == 14


def test_a_version_the_api_does_not_know_is_described_by_the_one_before(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    details.post("biorxiv", doi_of(577001), 1, "2024-01-25", title="Known")
    put(publishers, doi_of(577001), 2, MARCH)

    (offer,) = asking.listing().offers

    assert offer.metadata is not None
    assert (offer.version, offer.metadata.version, offer.metadata.title) == ("v2", "v2", "Known")


def test_a_month_with_fewer_rows_than_announced_is_asked_again(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """What came is used, and said; nothing of it is taken for the whole."""
    details.post("biorxiv", doi_of(577001), 1, "2024-01-25")
    put(publishers, doi_of(577001), 1, JANUARY)
    details.n_withheld = 2

    listing = asking.listing()

    assert len(listing.offers) == 1
    assert [note for note in listing.notes if "fewer rows" in note and "2024-01" in note]
    details.n_withheld = 0
    publishers.requests.clear()
    assert asking.listing().notes == []
    assert "/details/biorxiv/2024-01-01/2024-01-31/0" in asking.asked("^/details/")


def test_a_row_that_comes_in_while_pages_are_read_is_not_lost(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """It moves another onto the next page, which comes twice: as many rows as announced, and not all of them."""
    dois = [doi_of(number) for number in range(577001, 577041)]
    for doi in dois:
        details.post("biorxiv", doi, 1, "2024-01-25")
    late = doi_of(577000)
    publishers.faults.append(
        Fault(
            "/2024-01-01/2024-01-31/30$",
            meanwhile=lambda: details.post("biorxiv", late, 1, "2024-01-20"),
        )
    )

    notes = asking.listing().notes
    assert any("fewer rows" in note and "2024-01" in note for note in notes)
    assert any("40 papers of 40" in note for note in notes)
    notes = asking.listing().notes
    assert any("41 papers of 41" in note for note in notes)
    asking.asked(".")
    asking.listing()
    assert not [path for path in asking.asked("^/details/") if "/2024-01-01/" in path]


def test_pages_that_repeat_themselves_are_not_a_month(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """Where the API does not heed the cursor it is not asked on and on, and nothing is kept."""
    for number in range(577001, 577066):
        details.post("biorxiv", doi_of(number), 1, "2024-01-25")
    details.heeds_cursors = False

    notes = asking.listing().notes
    assert len([path for path in asking.asked("^/details/") if "/2024-01-01/" in path]) == 2
    assert any("fewer rows" in note and "2024-01" in note for note in notes)
    details.heeds_cursors = True
    assert any("65 papers of 65" in note for note in asking.listing().notes)


def test_a_month_without_any_rows_is_asked_again(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """None is since the server began; before, one is kept as it is."""
    details.post("biorxiv", doi_of(577001), 1, "2024-01-25")
    put(publishers, doi_of(577001), 1, JANUARY)
    nothing = b'{"messages": [{"status": "no posts found"}], "collection": []}'
    publishers.faults.append(Fault("/2024-01-01/", status=200, body=nothing))

    listing = asking.listing()
    assert listing.offers == []
    assert any("no rows at all for 2024-01" in note for note in listing.notes)
    again = asking.listing()
    assert (len(again.offers), again.notes) == (1, [])

    asking.listing(2013)
    asking.asked(".")
    asking.listing(2013)
    assert asking.asked("^/details/") == []


def test_what_is_kept_of_a_month_expires(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """Licences are changed in rows of long ago, papers taken back, and rows put in; an outage does not undo them."""
    row = details.post("biorxiv", doi_of(577001), 1, "2024-01-25", license="cc_by")
    put(publishers, doi_of(577001), 1, JANUARY)
    put(publishers, doi_of(577002), 1, JANUARY)
    asking.listing()
    row.update(license="cc_no", type="withdrawn")
    details.post("biorxiv", doi_of(577002), 1, "2024-01-26")

    def found(days: int) -> list[tuple[str | None, bool]]:
        offers = asking.listing(today=TODAY + timedelta(days)).offers
        return [(each.metadata.licence, each.metadata.is_withdrawn) for each in offers if each.metadata]

    assert found(KEPT_DAYS) == [("cc_by", False)]
    nothing = b'{"messages": [{"status": "no posts found"}], "collection": []}'
    publishers.faults.append(Fault("/2024-01-01/", status=200, body=nothing))
    assert found(KEPT_DAYS + 1) == [("cc_by", False)]
    assert found(KEPT_DAYS + 1) == [("cc_no", True), ("cc_by", False)]
    row.update(license="cc0")
    assert found(-1) == [("cc0", True), ("cc_by", False)]  # what was asked on a day to come is none to go by


def test_papers_are_gone_through_as_often_however_many_there_are(
    asking: Asking,
    publishers: ImitationPublishers,
    details: OpenRxivDetails,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A year has tens of thousands; what takes all of them for each of them takes minutes."""

    class Watched(dict[str, object]):
        n_passes = 0

        def items(self) -> object:  # type: ignore[override]
            Watched.n_passes += 1
            return super().items()

        def __iter__(self) -> Iterator[str]:
            Watched.n_passes += 1
            return super().__iter__()

    class WatchedVersions(Versions):
        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, Watched(value) if isinstance(value, dict) else value)

    monkeypatch.setattr(openrxiv, "Versions", WatchedVersions)
    n_passes = []
    for numbers in (range(577001, 577003), range(577003, 577011)):
        for number in numbers:
            details.post("biorxiv", doi_of(number), 1, "2024-01-25")
            put(publishers, doi_of(number), 1, JANUARY)
        (asking.folder / "index" / "details" / "2024-01.jsonl").unlink(missing_ok=True)
        Watched.n_passes = 0
        assert len(asking.listing().offers) == numbers.stop - 577001
        n_passes.append(Watched.n_passes)

    assert n_passes[0] == n_passes[1] > 0


def test_one_folders_packages_are_held_at_a_time(asking: Asking, publishers: ImitationPublishers) -> None:
    """Whether they were known before or not; a bucket has hundreds of thousands."""
    folders = [
        "Back_Content/Batch_01/",
        *(f"Current_Content/{name}_2024/" for name in ("May", "June", "July")),
    ]
    for number, folder in enumerate(folders * 3):
        put(publishers, doi_of(577001 + number), 1, folder)
    held: list[int] = []

    def is_wanted(doi: str) -> bool:
        held.append(sum(type(each) is Package for each in gc.get_objects()))  # isinstance asks proxies
        return False

    for _ in range(2):
        newest_packages(asking.bucket(), asking.landing, 2024, is_wanted, allow_all)

    assert len(held) == 2 * 12
    assert max(held) <= 6  # of a folder, and of the one before as long as its last is looked at


# --- papers that lack something ----------------------------------------------------------------------------


def test_without_a_first_version_the_year_of_the_doi_counts(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """Whenever it was revised; of one without any row it is said that it is passed over."""
    same, later, unknown = doi_of(577001), doi_of(577002, "2022.11.30"), doi_of(577003, "2022.12.01")
    details.post("biorxiv", same, 2, "2024-02-25")
    details.post("biorxiv", later, 3, "2023-02-25", title="Third")
    put(publishers, same, 2, MARCH)
    put(publishers, later, 1, "Current_Content/December_2022/")
    put(publishers, later, 2, "Current_Content/January_2023/")
    put(publishers, unknown, 1, "Current_Content/December_2022/")

    old, between, new = asking.listing(2022), asking.listing(2023), asking.listing(2024)

    assert papers(new) == {same: "papers/2024-02-25/10.1101_2024.01.20.577001.v2.meca"}
    assert [note for note in new.notes if "lack their first version" in note and same in note] == new.notes
    assert papers(old) == {later: "papers/2022/10.1101_2022.11.30.577002.v2.meca"}
    assert old.offers[0].metadata is not None
    assert old.offers[0].metadata.title == "Third"
    assert any("lack their first version" in note and later in note for note in old.notes)
    assert any("no row" in note and unknown in note for note in old.notes)
    assert (between.offers, between.notes) == ([], [])


def test_a_doi_of_december_may_be_of_a_paper_of_january(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """The first version decides, though its package came into the folder of December."""
    doi = doi_of(577001, "2023.12.30")
    details.post("biorxiv", doi, 1, "2024-01-01")
    put(publishers, doi, 1, "Current_Content/December_2023/")

    old, new = asking.listing(2023), asking.listing(2024)

    assert (old.offers, old.notes) == ([], [])
    assert papers(new) == {doi: "papers/2024-01-01/10.1101_2023.12.30.577001.v1.meca"}


def test_back_batches_may_hold_any_year(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    details.post("biorxiv", doi_of(577001), 1, "2024-01-25")
    put(publishers, doi_of(577001), 1, "Back_Content/Batch_12/")

    assert list(papers(asking.listing())) == [doi_of(577001)]


def test_without_a_year_in_the_doi_either_the_oldest_row_counts(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """Once the years before are known not to hold the paper; until then it is noted."""
    lost, older = "10.1101/000123", "10.1101/000045"
    details.post("biorxiv", older, 1, "2013-12-01")
    details.post("biorxiv", older, 2, "2014-06-01")
    details.post("biorxiv", lost, 2, "2014-05-01")
    details.post("biorxiv", lost, 3, "2015-05-01")
    for doi, version in ((older, 2), (lost, 2), (lost, 3)):
        put(publishers, doi, version, "Back_Content/Batch_01/")

    early = asking.listing(2014)
    assert early.offers == []
    (note,) = early.notes
    assert note.startswith("2 papers have neither")
    assert "listed: 2013; among" in note
    assert list(papers(asking.listing(2013))) == [older]
    again = asking.listing(2014)
    assert papers(again) == {lost: "papers/2014-05-01/10.1101_000123.v3.meca"}
    assert [note for note in again.notes if "lack their first version" in note] == again.notes
    after = asking.listing(2015)
    assert (after.offers, after.notes) == ([], [])
    assert asking.client().touched(date(2015, 5, 1), date(2015, 5, 2)) == {2014}


# --- defects -----------------------------------------------------------------------------------------------


def test_of_packages_of_one_version_the_newest_counts(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """By the month of its folder, which no order of letters gives; the others are counted."""
    details.post("biorxiv", doi_of(577001), 1, "2024-01-25")
    for folder in (JANUARY, MARCH, "Current_Content/April_2024/"):
        put(publishers, doi_of(577001), 1, folder)

    listing = asking.listing()

    assert ["April_2024" in offer.origin for offer in listing.offers] == [True]
    assert [note[:2] for note in listing.notes] == ["2 "]


def test_packages_that_cannot_be_told_are_counted_with_evidence(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """They are in the index, and not read again; so are those of defects that can be read through."""
    details.post("biorxiv", doi_of(577001), 1, "2024-01-25")
    nested = meca({"577001.xml": b" " + article(doi_of(577001)).replace(b"A paper", b"A&nbsp;&")}, "577001/")
    publishers.put(BUCKET, key_of(JANUARY, "nested"), nested)
    publishers.put(BUCKET, f"{JANUARY}html.meca", b"<html>")
    publishers.put(BUCKET, f"{JANUARY}empty.meca", b"")
    publishers.put(BUCKET, f"{JANUARY}notes.txt", b"no package")

    listing = asking.listing()

    assert list(papers(listing)) == [doi_of(577001)]
    (note,) = listing.notes
    assert note.startswith("2 packages cannot be told")
    assert "html.meca: zip: no directory" in note
    asking.asked(".")
    assert asking.listing() == listing
    assert asking.asked(r"\.meca$") == []


def test_a_package_that_is_refused_is_tried_again(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """One is a note; where all are, it is the bucket."""
    for number in range(577001, 577001 + REFUSED_AT_ONCE):
        details.post("biorxiv", doi_of(number), 1, "2024-01-25")
        put(publishers, doi_of(number), 1, JANUARY)
    publishers.faults.append(Fault(r"\.meca$", times=1, status=403))
    listing = asking.listing()
    assert len(listing.offers) == REFUSED_AT_ONCE - 1
    assert any(note.startswith("1 packages were refused") for note in listing.notes)
    assert len(asking.listing().offers) == REFUSED_AT_ONCE

    (asking.folder / "index" / "Current_Content.January_2024.jsonl").unlink()
    publishers.faults.append(Fault(r"\.meca$", times=1_000, status=403))
    with pytest.raises(PublisherError, match="pay for it"):
        asking.listing()


def test_an_index_that_was_damaged_is_made_again(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    details.post("biorxiv", doi_of(577001), 1, "2024-01-25")
    put(publishers, doi_of(577001), 1, JANUARY)
    listing = asking.listing()
    for path in (asking.folder / "index").rglob("*.*"):
        path.write_bytes(path.read_bytes()[:-3] + b"\xff")

    assert asking.listing() == listing


@pytest.mark.parametrize(
    "fault",
    [
        Fault("^/details/", times=9, status=404),
        Fault("^/details/", times=9, status=500),
        Fault("^/details/", times=9, status=200, body=b"<html>Just a moment</html>"),
        Fault("^/details/", times=9, status=200, body=b'{"messages": "no"}'),
        Fault("^/s3/", times=9, status=403),
    ],
    ids=["404", "500", "HTML", "nonsense", "bucket"],
)
def test_a_publisher_out_of_order_says_so(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails, fault: Fault
) -> None:
    publishers.faults.append(fault)

    with pytest.raises(PublisherError):
        asking.listing()


# --- what is new -------------------------------------------------------------------------------------------


def test_what_was_touched_is_told_by_a_request_or_two(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """New papers by their day, revisions by what a listing found, else by their DOIs; others are passed over."""
    details.post("biorxiv", doi_of(577001), 1, "2024-06-10")
    details.post("biorxiv", doi_of(577002, "2021.03.04"), 3, "2024-06-11")
    details.post("biorxiv", "10.1101/446694", 4, "2024-06-11")
    details.post("biorxiv", doi_of(577003, "2015.01.01"), 1, "2024-06-01")
    client = asking.client()

    assert client.touched(date(2024, 6, 10), TODAY) == {2024, 2021}
    assert asking.asked(".") == ["/details/biorxiv/2024-06-10/2024-06-15/0"]

    details.post("biorxiv", "10.1101/446694", 1, "2018-10-18")
    details.post("biorxiv", doi_of(577002, "2021.03.04"), 1, "2022-01-01")
    asking.listing(2018)
    asking.listing(2022)
    assert client.touched(date(2024, 6, 10), TODAY) == {2024, 2022, 2018}
    assert client.touched(date(2024, 6, 10), date(2024, 6, 10)) == {2024}
    assert client.touched(date(2024, 6, 14), TODAY) == set()
    asking.asked(".")
    assert client.touched(date(2024, 6, 16), date(2024, 6, 20)) == set()
    assert client.touched(date(2024, 6, 10), date(2024, 6, 9)) == set()
    assert asking.asked(".") == []


# --- the example corpus ------------------------------------------------------------------------------------


def test_medrxiv_is_asked_by_its_own_name(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """Of 2019 its papers lie in a back batch; counts are numbers there."""
    fill(publishers, details)

    old, new = asking.listing(2019, "medrxiv"), asking.listing(2023, "medrxiv")

    assert list(papers(old).values()) == ["papers/2019-07-31/10.5555_2019.07.31.999901.v1.meca"]
    assert list(papers(new).values()) == ["papers/2023-02-14/10.5555_2023.02.14.999912.v2.meca"]
    assert (old.notes, new.notes) == ([], [])
    assert asking.client("medrxiv").name == "medrxiv"
    assert asking.client("medrxiv").is_paid
    with pytest.raises(ValueError, match="arxiv"):
        asking.client("arxiv")


def test_packages_are_read_by_the_pipeline(
    asking: Asking, publishers: ImitationPublishers, details: OpenRxivDetails
) -> None:
    """What lands is a MECA package whose figures are found."""
    fill(publishers, details)
    client = asking.client()
    landed = {}
    for year in (2019, 2023):
        for offer in client.listing(year).offers:
            with client.open(offer, 0) as pieces:
                landed[offer.path] = b"".join(pieces)

    found = {path: figures_of(path, data) for path, data in landed.items()}

    assert {inspect(data, path).kind for path, data in landed.items()} == {Kind.MECA}
    assert found == {
        "papers/2019-08-14/10.5555_2019.08.14.999917.v1.meca": ["1", "2"],
        "papers/2023-05-09/10.5555_2023.05.09.999934.v2.meca": ["1", "2"],
    }


def figures_of(name: str, data: bytes) -> list[str | None]:
    """The figures of a package that have an image, as the pipeline reads it."""
    bundle = open_bundle(data, name)
    reader = PaperReader(
        read_bundle=lambda *_: bundle,
        renderers=ToldRenderers(),
        raster=SMALL,
        detector=Told(),
        pdf=PdfSettings(),
    )
    read = reader(PaperJob(source="biorxiv", paper_id="p", uri="p", offset=0, length=1))
    assert isinstance(read, PaperRead)
    assert read.paper.method == "jats"
    return [figure.figure_number for figure in read.figures if figure.image is not None]
