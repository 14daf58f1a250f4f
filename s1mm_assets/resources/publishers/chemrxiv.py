"""ChemRxiv: the Open Engage API, its mirror where that is out of order, Crossref as the last resort; PDFs by HTTP.

What a month held is remembered below `index/` where papers land, once the month after it is over too. Such a month is
asked for again when it was asked more than `ASK_AGAIN_AFTER_DAYS` days ago: versions are withdrawn, licences and the
addresses of PDFs change. Remove `index/` to ask for all of it anew.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import chain
from urllib.parse import urlsplit

from s1mm_assets.archives.chemrxiv import (
    LAUNCH,
    LEFT_ENGAGE,
    MAX_EXAMPLES,
    PAGE_ITEMS,
    PAGE_ROWS,
    Month,
    Page,
    PageError,
    Paper,
    Preprint,
    crossref_params,
    engage_params,
    index_bytes,
    joined,
    metadata_of,
    month_after,
    months_from,
    papers_of,
    possible_years,
    read_crossref_page,
    read_engage_page,
    read_index,
    undecided_since,
    version_name,
)
from s1mm_assets.archives.papers import file_stem_of
from s1mm_assets.resources.publishers import Listing, NotOfferedError, Offer, PublisherError
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.web import Web

HOSTS = frozenset({"chemrxiv.org", "www.cambridge.org"})
REACH = 30_000  # items: the API fails where it is asked to skip as many
MAX_PAGES = 200  # of one window, by Crossref
ASK_AGAIN_AFTER_DAYS = 60  # for a month that is over
API, MIRROR, CROSSREF = "ChemRxiv's API", "the API's mirror", "Crossref"
NOBODY = "nobody, as nothing was posted"  # as all say who answered


@dataclass(frozen=True)
class ChemRxiv:
    """The preprint server for chemistry; each paper lands as the PDF of its newest version."""

    web: Web
    api: str  # base URL of the Open Engage API
    mirror: str  # the same API elsewhere
    crossref: str
    landing: Landing
    today: Callable[[], date]
    reach: int = REACH
    # Not in an offer's origin: another address of one version, since another route answered, is no other file.
    _addresses: dict[str, list[str]] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The source's name in partition keys."""
        return "chemrxiv"

    @property
    def is_paid(self) -> bool:
        """Nobody pays."""
        return False

    def listing(self, year: int) -> Listing:
        """Ask for the papers first posted in a year, each by its newest version, whenever that was posted.

        A paper was first posted when its version 1 was; where no route lists that, it belongs to the year in its DOI,
        else to the day of the oldest version that is listed. So the months from the year on up to this day are
        asked for, and those before it only where a version listed in them leaves the paper's year open.

        Raises:
            PublisherError: No route answers, or none of those who do knows what was posted.
        """
        if not LAUNCH.year <= year <= self.today().year:
            return Listing(offers=[])
        asking = _Asking(self)
        first = max(LAUNCH, date(year, 1, 1))
        preprints = asking.months(months_from(first, self.today()))
        since = undecided_since(preprints)
        if since and since < first:
            preprints += asking.months(months_from(since, month_after(first, -1)))
        papers = [paper for paper in papers_of(preprints) if paper.year == year]
        offers = [offer for offer in map(self._offer, papers) if offer]
        return Listing(offers=offers, notes=[*asking.notes(), *self._paper_notes(papers, offers)])

    def _offer(self, paper: Paper) -> Offer | None:
        newest = paper.newest
        urls = [url for url in paper.pdf_urls if self._is_known(url)]
        if not urls:
            return None
        version = version_name(newest)
        stem = file_stem_of(newest.paper_id)
        origin = json.dumps({"paper": newest.paper_id, "version": version})
        self._addresses[origin] = urls
        return Offer(
            path=f"papers/{paper.first_posted}/{stem}{f'.{version}' if version else ''}.pdf",
            shard=paper.first_posted,
            origin=origin,
            paper_id=newest.paper_id,
            version=version,
            size=newest.size if urls == [newest.pdf_url] else None,  # it may be wrapped otherwise elsewhere
            metadata=metadata_of(paper),
        )

    def _is_known(self, url: str) -> bool:
        """Whether an address is ChemRxiv's, or lies where this client is told to ask."""
        try:
            parts = urlsplit(url)
            own = [urlsplit(base) for base in (self.api, self.mirror, self.crossref)]
        except ValueError:
            return False
        is_theirs = parts.scheme == "https" and parts.netloc in HOSTS
        return is_theirs or (parts.scheme, parts.netloc) in [(base.scheme, base.netloc) for base in own]

    def _paper_notes(self, papers: Sequence[Paper], offers: Sequence[Offer]) -> Iterator[str]:
        offered = {offer.paper_id for offer in offers}
        left = [paper for paper in papers if paper.newest.paper_id not in offered]
        bare = [paper.newest.doi for paper in left if not paper.pdf_urls]
        yield from _counted(bare, "papers have no PDF on offer")
        strange = [paper.pdf_urls[0] for paper in left if paper.pdf_urls]
        yield from _counted(
            strange, "PDFs are not offered, since they lie at addresses that are not ChemRxiv's"
        )
        unsure = [paper.newest.doi for paper in papers if not paper.is_sure]
        yield from _counted(
            unsure,
            "papers are placed by the year of their DOI, or by the oldest version listed: no route lists version 1",
        )

    @contextmanager
    def open(self, offer: Offer, offset: int) -> Iterator[Iterator[bytes]]:
        """Open a PDF's bytes, at the first of its addresses that gives a PDF; one attempt.

        Raises:
            NotOfferedError: It is refused everywhere, or is no PDF: a page that asks for a browser, for one.
            PublisherError: The offer is of no listing of this client's.
        """
        refusals: list[NotOfferedError] = []
        for url in self._addresses.get(offer.origin, ()):
            with ExitStack() as opened:
                try:
                    pieces = opened.enter_context(self.web.open(url, offset, expects="pdf"))
                    first = next(pieces, b"")  # what is no PDF is refused here
                except NotOfferedError as error:
                    refusals.append(error)
                    continue
                yield chain((first,) if first else (), pieces)
                return
        if not refusals:
            raise PublisherError(f"{offer.path[:200]} was not listed before: ask for the listing of its year")
        refused = NotOfferedError("; ".join(map(str, refusals)))
        refused.status = refusals[-1].status
        raise refused

    def touched(self, since: date, until: date) -> set[int]:
        """Return the years of the papers of which a version was posted on some days.

        Of a paper whose version 1 is not among these all years are named that it may belong to.

        Raises:
            PublisherError: No route answers, or none of those who do knows what was posted.
        """
        end = min(until, self.today()) + timedelta(days=1)
        start = max(LAUNCH, min(since, self.today()) - timedelta(days=1))  # registered a day late
        month = _Asking(self).window(start, end)
        return {year for preprint in month.preprints for year in possible_years(preprint)}

    def _by_engage(self, base: str, first: date, end: date) -> list[Page]:
        """Ask for the items from a day on up to the day before `end`, in windows of what the API can reach."""
        page = self._items(base, first, end, 0)
        if page.total is not None and page.total > self.reach:
            middle = first + (end - first) // 2
            if middle == first:
                raise PublisherError(
                    f"{base}/items: {page.total} items of {first}, of which it shows {self.reach}"
                )
            return self._by_engage(base, first, middle) + self._by_engage(base, middle, end)
        pages, n_items = [page], page.n_records
        while page.n_records and (
            n_items < page.total if page.total is not None else page.n_records >= PAGE_ITEMS
        ):
            if n_items >= self.reach:
                raise PublisherError(f"{base}/items: more than {self.reach} items from {first} to {end}")
            page = self._items(base, first, end, n_items)
            pages.append(page)
            n_items += page.n_records
        return _whole(pages, f"{base}/items from {first} to {end}")

    def _items(self, base: str, first: date, end: date, skip: int) -> Page:
        data = self.web.get(f"{base}/items", params=engage_params(first, end, skip), expects="json")
        return read_engage_page(data)

    def _by_crossref(self, base: str, first: date, end: date) -> list[Page]:
        """Ask for the records posted from a day on up to the day before `end`."""
        pages: list[Page] = []
        cursor: str | None = "*"
        while cursor and len(pages) < MAX_PAGES:
            data = self.web.get(f"{base}/works", params=crossref_params(first, end, cursor), expects="json")
            page = read_crossref_page(data)
            pages.append(page)
            n_records = sum(each.n_records for each in pages)
            is_last = page.n_records < PAGE_ROWS if page.total is None else n_records >= page.total
            cursor = None if is_last or not page.n_records else page.cursor
        return _whole(pages, f"{base}/works from {first} to {end}")


def _whole(pages: list[Page], question: str) -> list[Page]:
    """Return the pages of one question, if they hold as many records as the answer says there are."""
    n_records = sum(page.n_records for page in pages)
    total = next((page.total for page in reversed(pages) if page.total is not None), None)
    if total is None and not n_records:
        raise PublisherError(f"{question}: no records came, and no word of how many there are")
    if total is not None and n_records < total:
        raise PublisherError(f"{question}: {n_records} records came of {total}")
    return pages


def _counted(found: Sequence[str | None], what: str) -> Iterator[str]:
    if found:
        yield f"{len(found)} {what}, e.g. {', '.join(map(str, found[:MAX_EXAMPLES]))}"


@dataclass
class _Asking:
    """One round of questions: a route that did not answer one of them is asked none of the next."""

    publisher: ChemRxiv
    out: dict[str, str] = field(default_factory=dict)  # route → why it is not asked
    n_windows: Counter[str] = field(default_factory=Counter)  # by route
    n_remembered: int = 0
    n_passed_over: int = 0
    passed_over: list[str] = field(default_factory=list)

    def months(self, firsts: Iterable[date]) -> list[Preprint]:
        """Return what was posted in some months, by the index where it has them."""
        return [preprint for first in firsts for preprint in self._month(first).preprints]

    def _month(self, first: date) -> Month:
        landing, path = self.publisher.landing, f"index/{first:%Y-%m}.json"
        is_closed = first < month_after(self.publisher.today(), -1)
        data = landing.read(path) if is_closed else None
        remembered = read_index(data) if data else None
        if remembered and self._is_fresh(remembered):
            self.n_remembered += 1
            month = remembered
        else:
            month = self.window(first, month_after(first, 1))
            if remembered:
                month = joined(remembered, month)
            if is_closed:
                landing.put(path, index_bytes(month))
        self.n_passed_over += month.n_passed_over
        self.passed_over += month.passed_over
        return month

    def _is_fresh(self, month: Month) -> bool:
        age = self.publisher.today() - date.fromisoformat(month.asked)
        return timedelta(0) <= age <= timedelta(days=ASK_AGAIN_AFTER_DAYS)

    def window(self, first: date, end: date) -> Month:
        """Return what was posted from a day on up to the day before `end`, by the first route that knows any of it.

        An answer without a single paper is not believed before the next route gives the same: a mirror may hold
        others' papers, or none. Of what was posted since ChemRxiv left Open Engage, Crossref is asked in any case.
        Nothing, and nothing since then, was posted where Crossref says so: where it is out of order, nobody knows.

        Raises:
            PublisherError: No route answers, or none of those who do knows what was posted.
        """
        answers: dict[str, list[Page]] = {}
        for route, base, ask in self._routes():
            is_known = any(page.preprints for pages in answers.values() for page in pages)
            if route in self.out or (is_known and not (route == CROSSREF and end > LEFT_ENGAGE)):
                continue
            try:
                answers[route] = ask(base, first, end)
            except (NotOfferedError, PublisherError, PageError) as error:
                self.out[route] = str(error)[:300]
        telling = [route for route, pages in answers.items() if any(page.preprints for page in pages)]
        if CROSSREF not in answers and (not telling or end > LEFT_ENGAGE):
            raise self._outage(answers, first, end)
        self.n_windows.update(telling or [NOBODY])
        return _month_of(answers, self.publisher.today())

    def _outage(self, answers: Iterable[str], first: date, end: date) -> PublisherError:
        said = "; ".join(f"{route}: {why}" for route, why in self.out.items())
        what = "ChemRxiv can be asked by none of its routes"
        if answered := " and ".join(answers):
            what = (
                f"{answered} cannot tell what ChemRxiv posted from {first} to {end - timedelta(days=1)}, and who can "
                "is out of order"
            )
        return PublisherError(
            f"{what} ({said}). Try again later, or from another network; what was listed and landed so far is kept"
        )

    def _routes(self) -> list[tuple[str, str, Callable[[str, date, date], list[Page]]]]:
        by = self.publisher
        return [
            (API, by.api, by._by_engage),
            (MIRROR, by.mirror, by._by_engage),
            (CROSSREF, by.crossref, by._by_crossref),
        ]

    def notes(self) -> Iterator[str]:
        """Yield who answered, who did not, and what was not read."""
        asked = [f"{route} ({n} windows)" for route, n in self.n_windows.items()]
        remembered = [f"index/ ({self.n_remembered} months that are over)"] if self.n_remembered else []
        yield f"listed by {', '.join([*asked, *remembered])}"
        for route, why in self.out.items():
            yield f"{route} is out of order: {why}"
        if self.n_passed_over:
            examples = "; ".join(self.passed_over[:MAX_EXAMPLES])
            yield f"{self.n_passed_over} records are passed over, e.g. {examples}"


def _month_of(answers: dict[str, list[Page]], asked: date) -> Month:
    pages = [page for found in answers.values() for page in found]
    passed_over = [each for page in pages for each in page.passed_over]
    return Month(
        asked=asked.isoformat(),
        routes=list(answers),
        preprints=[preprint for page in pages for preprint in page.preprints],
        n_passed_over=len(passed_over),
        passed_over=passed_over[:MAX_EXAMPLES],
    )
