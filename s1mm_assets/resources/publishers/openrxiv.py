"""bioRxiv and medRxiv: a bucket of MECA packages that whoever downloads pays for, and the details API.

No key says which paper a package is. So its end and the beginning of its article are read, once ever, and remembered
below `index/` in the source's folder; only then is it known whether it is worth its bytes.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

from s1mm_assets.archives.openrxiv import (
    BACK,
    CURRENT,
    DetailsError,
    KeptRows,
    Package,
    Version,
    folders_of_year,
    index_path,
    inspect_package,
    metadata_of,
    read_index,
    read_page,
    read_row,
    read_rows,
    row_key,
    write_index,
    write_rows,
    year_of_doi,
)
from s1mm_assets.archives.papers import file_stem_of
from s1mm_assets.archives.zip_directory import TAIL_BYTES
from s1mm_assets.resources.publishers import (
    ChangedError,
    Listing,
    NotOfferedError,
    Offer,
    PublisherError,
)
from s1mm_assets.resources.publishers.bucket import Bucket, BucketFile
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.web import Web

BEGAN = {"biorxiv": date(2013, 11, 1), "medrxiv": date(2019, 6, 1)}  # since then no month is without papers
KEPT_DAYS = 180  # that an answer of the details API about a month that is over counts
READERS = 8  # threads that read packages
STEP = 100  # packages whose readings a kill loses at most
REFUSED_AT_ONCE = 25  # where a step yields nothing else, the bucket is shut, not some packages
MAX_PAGES = 5_000  # of one window; ten times the busiest month
N_EXAMPLES = 5
PACKAGE_REQUESTS, PACKAGE_BYTES = 2, 64 * 1024  # what telling what a package is takes, about

Allow = Callable[[str, int, int], None]
"""(what, requests, bytes) → nothing, or PublisherError: asked before requests that cost more than a few."""


def allow_all(what: str, n_requests: int, n_bytes: int) -> None:
    """Set no limit."""


class OpenRxiv:
    """One of the two servers; they differ by name."""

    def __init__(  # noqa: PLR0917 - what it needs, and no options
        self,
        server: str,
        bucket: Bucket,
        web: Web,
        details: str,
        landing: Landing,
        today: Callable[[], date],
        allow: Allow = allow_all,
    ) -> None:
        """Ask nothing yet.

        Args:
            server: "biorxiv" or "medrxiv".
            bucket: `<server>-src-monthly`.
            web: For the details API.
            details: Its base address, without a slash at the end.
            landing: The source's folder; what is learnt of packages and papers is kept below its `index/`.
            today: Tells the day.
            allow: Is asked before packages are read to tell what they are; the first year takes hundreds of thousands.
        """
        if server not in BEGAN:
            raise ValueError(f"{server!r} is none of {', '.join(BEGAN)}")
        self._server, self._began = server, BEGAN[server]
        self._bucket = bucket
        self._landing = landing
        self._today = today
        self._allow = allow
        self._details = Details(f"{details}/{server}", web, landing, today, self._began)

    @property
    def name(self) -> str:
        """The source's name in partition keys."""
        return self._server

    @property
    def is_paid(self) -> bool:
        """Whoever downloads pays."""
        return True

    def listing(self, year: int) -> Listing:
        """Return the newest package of each paper first posted in a year, by the details API's first versions.

        Where the API lacks a paper's first version, the year of its DOI counts, else that of its oldest row; such
        papers are noted, and so are those that cannot be placed.

        What the first asking takes, for all years together: a request of the API for each 30 versions (those of the
        year's own months; then month by month as long as the row of a newest package is missing, since it gives
        that version's licence and title), and one to three small range reads for each package in the back batches
        and in the folders of months from the December before on. Packages are read once ever, rows of months that
        are over once in `KEPT_DAYS`. Asking each revised paper alone would take more.

        Raises:
            PublisherError: API or bucket cannot be asked, or do not answer as they should.
        """
        if not self._began.year <= year <= self._today().year:
            return Listing(offers=())
        self._details.notes.clear()
        versions = Versions()
        for month in range(1, 13):
            versions.take(self._details.month(year, month))
        versions.keep_those_that_may_be_of(year)
        found = newest_packages(
            self._bucket,
            self._landing,
            year,
            lambda doi: doi in versions.by_doi or year_of_doi(doi) == year,
            self._allow,
        )
        unplaced = self._place_undated(year, versions, found.newest)
        self._complete(year, versions, found.newest)
        papers = PapersOfYear(year, versions, found.newest)
        self._remember(year, papers.firsts)
        notes = [*self._details.notes, *found.notes(), *unplaced, *papers.notes()]
        offers = [
            _offer(first, versions.by_doi[doi], found.newest[doi])
            for doi, first in papers.firsts.items()
            if doi in found.newest
        ]
        return Listing(offers=sorted(offers, key=lambda offer: (offer.shard, offer.path)), notes=notes)

    def _place_undated(self, year: int, versions: "Versions", newest: dict[str, Package]) -> list[str]:
        """Forget papers without a first version and without a year in their DOIs, but for those of the year.

        Such DOIs were given before 2020: most of these papers were first posted in a year before, and revised in this
        one. The others are those that no year before holds, which is known of the years that were listed.

        Returns:
            A note, where years were not listed.
        """
        undated = {doi for doi in versions.by_doi if versions.year_of(doi) is None}
        unplaced = undated & newest.keys()
        before = range(self._began.year, year)
        if unplaced:
            unplaced -= {doi for doi, other in self._remembered().items() if other in before}
        unlisted = [str(each) for each in before if self._landing.read(_years_path(each)) is None]
        for doi in undated if unlisted else undated - unplaced:
            del versions.by_doi[doi]
            newest.pop(doi, None)
        if not (unlisted and unplaced):
            return []
        return [
            f"{len(unplaced)} papers have neither a first version in the details API's rows of {year} nor a year in "
            f"their DOIs: whether any is of {year} shows once these years are listed: {', '.join(unlisted)}; among "
            f"them {Examples(sorted(unplaced))}"
        ]

    def _complete(self, year: int, versions: "Versions", newest: Mapping[str, Package]) -> None:
        """Add the rows of later months, as long as that of a newest package is missing.

        Of papers without a first version the December before is looked at too: a DOI can be a few days off.
        """
        without_first = {doi for doi in newest if 1 not in versions.by_doi.get(doi, {})}
        if without_first and year > self._began.year:
            versions.take(self._details.month(year - 1, 12), only=without_first)
        lacking = {doi for doi, package in newest.items() if versions.lacks(doi, package.number, year)}
        months = (
            (later, month) for later in range(year + 1, self._today().year + 1) for month in range(1, 13)
        )
        for later, month in months:
            if not lacking:
                break
            versions.take(self._details.month(later, month), only=newest)
            lacking = {doi for doi in lacking if versions.lacks(doi, newest[doi].number, year)}

    def open(self, offer: Offer, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """Open a package's bytes from an offset on.

        Raises:
            NotOfferedError: It is not there any more, or refused.
            ChangedError: It is another than when it was listed.
        """
        origin = json.loads(offer.origin)
        return self._bucket.open(str(origin["key"]), offset, str(origin["etag"]))

    def touched(self, since: date, until: date) -> set[int]:
        """Return the years of the papers of which versions were posted on some days: one request for each 30.

        A first version is of the year of its day. A revision is of the year that a listing found for its paper, else
        of the year that its DOI is dated by; else it is passed over.

        Raises:
            PublisherError: The API cannot be asked, or does not answer as it should.
        """
        until = min(until, self._today())
        if since > until:
            return set()
        versions = [each for each in map(read_row, self._details.window(since, until).rows) if each]
        remembered = self._remembered() if any(each.number > 1 for each in versions) else {}
        years = {
            int(each.posted[:4]) if each.number == 1 else remembered.get(each.doi, year_of_doi(each.doi))
            for each in versions
        }
        return {year for year in years if year is not None}

    def _remember(self, year: int, dois: Collection[str]) -> None:
        """Keep which papers of a year do not bear it in their DOIs: a revision of one touches this year."""
        lines = "".join(f"{doi}\n" for doi in sorted(dois) if year_of_doi(doi) != year).encode("ascii")
        if self._landing.read(_years_path(year)) != lines:
            self._landing.put(_years_path(year), lines)

    def _remembered(self) -> dict[str, int]:
        years = range(self._began.year, self._today().year + 1)
        kept = {year: self._landing.read(_years_path(year)) or b"" for year in reversed(years)}
        return {doi: year for year, lines in kept.items() for doi in lines.decode("ascii", "replace").split()}


def _years_path(year: int) -> str:
    return f"index/years/{year}.txt"


def _offer(first: Version, rows: Mapping[int, Version], package: Package) -> Offer:
    """Return a package as it is offered, without an MD5.

    Its etag is the MD5 of most objects, but not of those that are encrypted by a key of their owner's: these bear 32
    hexadecimal digits as well, and no listing tells one from the other. An MD5 that is none would refuse every package
    after it was paid for, twice; a damaged transfer is seen without it: by its size, and by the CRC of each member
    once the package is read (`archives.bundle`). Bytes that were changed since have another etag, which `open`
    demands, and which is part of `origin`.
    """
    described = (
        rows.get(package.number)
        or rows[max((number for number in rows if number <= package.number), default=min(rows))]
    )
    is_withdrawn = any(row.is_withdrawn for number, row in rows.items() if number >= described.number)
    version = f"v{package.number}"
    return Offer(
        path=f"papers/{first.posted}/{file_stem_of(first.doi)}.{version}.meca",
        shard=first.posted,
        origin=json.dumps({"key": package.key, "etag": package.etag}),
        paper_id=first.doi,
        version=version,
        size=package.size,
        metadata=metadata_of(first, described, version=package.number, is_withdrawn=is_withdrawn),
    )


class Examples:
    """How many there are of something, and a few names of them."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Count some."""
        self.n = 0
        self._names: list[str] = []
        for name in names:
            self.add(name)

    def add(self, name: str) -> None:
        """Count one more."""
        self.n += 1
        if len(self._names) < N_EXAMPLES:
            self._names.append(name[:200])

    def __str__(self) -> str:
        """The names."""
        return ", ".join(self._names) + (" …" if self.n > N_EXAMPLES else "")


# --- papers ------------------------------------------------------------------------------------------------


@dataclass
class Versions:
    """The versions of some papers."""

    by_doi: dict[str, dict[int, Version]] = field(default_factory=dict)
    n_unreadable: int = 0

    def take(self, rows: Sequence[dict[str, object]], only: Collection[str] | None = None) -> None:
        """Add rows of the details API; of one version that comes twice the first day counts."""
        for row in rows:
            version = read_row(row)
            if version is None:
                self.n_unreadable += 1
            elif only is None or version.doi in only:
                known = self.by_doi.setdefault(version.doi, {})
                earlier = known.get(version.number)
                if earlier is None or version.posted < earlier.posted:
                    known[version.number] = version

    def year_of(self, doi: str) -> int | None:
        """Return the year of a paper's first version, else that of its DOI; None where neither is known."""
        first = self.by_doi.get(doi, {}).get(1)
        return int(first.posted[:4]) if first else year_of_doi(doi)

    def keep_those_that_may_be_of(self, year: int) -> None:
        """Forget the papers that are of another year."""
        self.by_doi = {doi: rows for doi, rows in self.by_doi.items() if self.year_of(doi) in (year, None)}

    def lacks(self, doi: str, number: int, year: int) -> bool:
        """Say whether later rows could tell of a version of what may be a paper of a year."""
        return number not in self.by_doi.get(doi, {}) and self.year_of(doi) in (year, None)


class PapersOfYear:
    """The first version of each paper of a year, and what is amiss with some."""

    def __init__(self, year: int, versions: Versions, newest: Collection[str]) -> None:
        """Look through the papers that have rows, and those that have packages."""
        self.firsts: dict[str, Version] = {}
        self._year, self._versions = year, versions
        self._without_package, self._without_first = Examples(), Examples()
        self._without_row = Examples(sorted(doi for doi in newest if doi not in versions.by_doi))
        for doi in sorted(versions.by_doi):
            rows = versions.by_doi[doi]
            if versions.year_of(doi) not in (year, None) or not (1 in rows or doi in newest):
                continue
            self.firsts[doi] = rows.get(1) or _oldest(rows, year)
            if doi not in newest:
                self._without_package.add(doi)
            elif 1 not in rows:
                self._without_first.add(doi)

    def notes(self) -> Iterator[str]:
        """Say what has no package, no row, no first version, and what could not be read."""
        if self._without_package.n:
            n = len(self.firsts)
            yield f"{self._without_package.n} papers of {n} have no package yet: {self._without_package}"
        if self._without_first.n:
            yield (
                f"{self._without_first.n} papers lack their first version in the details API, and count as of "
                f"{self._year} by their DOIs or oldest rows: {self._without_first}"
            )
        if self._without_row.n:
            yield (
                f"{self._without_row.n} papers of {self._year} by their DOIs have packages, but no row in the "
                f"details API: passed over: {self._without_row}"
            )
        if self._versions.n_unreadable:
            yield f"{self._versions.n_unreadable} rows of the details API lack DOI, version or date: passed over"


def _oldest(rows: Mapping[int, Version], year: int) -> Version:
    """Return the oldest version of a paper; of its day the year alone where it was posted in a later one."""
    oldest = rows[min(rows)]
    return oldest if oldest.posted.startswith(f"{year}-") else replace(oldest, posted=str(year))


# --- the details API ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """What the API gives of some days."""

    rows: list[dict[str, object]]  # each once
    is_whole: bool  # as many as it says there are, and it says that there are some


class Details:
    """The details API of one server, by months.

    The rows of a month that is over are kept and count for `KEPT_DAYS`; then they are asked for again, since licences
    are changed, papers taken back and rows put in afterwards.
    """

    def __init__(self, base: str, web: Web, landing: Landing, today: Callable[[], date], began: date) -> None:
        """Ask nothing yet."""
        self.notes: list[str] = []
        self._base, self._web, self._landing, self._today = base, web, landing, today
        self._began = began

    def month(self, year: int, month: int) -> list[dict[str, object]]:
        """Return the rows of a month: none of one to come.

        The present month and the one before are asked at each time, since rows still change then; and so is one of
        which fewer rows came than there are, or none: what was kept of it before is not forgotten over that.

        Raises:
            PublisherError: The API cannot be asked, or does not answer as it should.
        """
        first, today = date(year, month, 1), self._today()
        if first > today:
            return []
        path = f"index/details/{first:%Y-%m}.jsonl"
        is_over = (today.year * 12 + today.month) - (year * 12 + month) > 1
        kept = read_rows(self._landing.read(path) or b"") if is_over else None
        if kept and 0 <= (today - kept.asked).days <= KEPT_DAYS:
            return kept.rows
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        window = self.window(first, last)
        if window.is_whole or (first < self._began and not window.rows):
            if is_over:
                self._landing.put(path, write_rows(KeptRows(window.rows, today)))
            return window.rows
        if window.rows or last < today:
            what = "fewer rows than it announces" if window.rows else "no rows at all"
            self.notes.append(f"{self._base}: {what} for {first:%Y-%m}; asked again next time")
        rows = {row_key(row): row for row in [*(kept.rows if kept else ()), *window.rows]}
        return list(rows.values())

    def window(self, since: date, until: date) -> Window:
        """Return the rows of some days, both included.

        Raises:
            PublisherError: The API cannot be asked, or does not answer as it should.
        """
        rows: dict[tuple[str, ...], dict[str, object]] = {}
        cursor = total = 0
        for _ in range(MAX_PAGES):
            url = f"{self._base}/{since.isoformat()}/{until.isoformat()}/{cursor}"
            try:
                page = read_page(self._web.get(url, expects="json"))
            except (DetailsError, NotOfferedError) as error:
                raise PublisherError(
                    f"{url} is no answer of the details API ({error}): look at it in a browser, and try again later"
                ) from error
            n_before = len(rows)
            rows |= {row_key(row): row for row in page.rows}  # one that moved on a page comes twice
            cursor += len(page.rows)
            total = max(total, page.total)  # an empty page says 0
            if len(rows) == n_before or cursor >= total > 0:
                return Window(list(rows.values()), is_whole=len(rows) >= total > 0)
        raise PublisherError(
            f"{self._base} gives more than {MAX_PAGES} pages for {since} to {until}: try again later"
        )


# --- the index of packages ---------------------------------------------------------------------------------


@dataclass
class Found:
    """Packages of some papers."""

    newest: dict[str, Package] = field(default_factory=dict)  # by DOI; without their kinds
    seen: set[tuple[str, int]] = field(default_factory=set)
    again: Examples = field(default_factory=Examples)
    faults: Examples = field(default_factory=Examples)
    refused: Examples = field(default_factory=Examples)

    def take(self, package: Package, is_wanted: Callable[[str], bool]) -> None:
        """Note a package; of several of one version the newest counts, by folder and key."""
        if package.fault:
            self.faults.add(f"{package.key}: {package.fault}")
        elif package.doi is not None and is_wanted(package.doi):
            if (package.doi, package.number) in self.seen:
                self.again.add(package.key)
            self.seen.add((package.doi, package.number))
            other = self.newest.get(package.doi)
            if other is None or (package.number, package.age) > (other.number, other.age):
                self.newest[package.doi] = replace(package, kinds={})

    def notes(self) -> Iterator[str]:
        """Say what came twice, and what could not be read."""
        for examples, what in (
            (self.again, "packages hold a paper and version that another holds too; the newest counts"),
            (self.faults, "packages cannot be told what they are, and are left out"),
            (
                self.refused,
                "packages were refused, or changed while they were read; they are tried again next time",
            ),
        ):
            if examples.n:
                yield f"{examples.n} {what}: {examples}"


def newest_packages(
    bucket: Bucket, landing: Landing, year: int, is_wanted: Callable[[str], bool], allow: Allow
) -> Found:
    """Return the newest package of each of some papers, after bringing the index up to date.

    One folder's packages are held at a time, hundreds of thousands being too many.

    Args:
        bucket: Of the server.
        landing: Where the index is kept.
        year: Of the papers.
        is_wanted: Says it of a paper, by its DOI.
        allow: Is asked before packages are read.

    Raises:
        PublisherError: The bucket cannot be read, or reading what is new in it would cost too much.
    """
    found = Found()
    folders = [folder for root in (BACK, CURRENT) for folder in bucket.folders(root)]
    indexes = [FolderIndex(bucket, landing, folder) for folder in folders_of_year(folders, year)]
    n_new = sum(index.n_new() for index in indexes)
    what = f"telling what {n_new:,} packages of s3://{bucket.name} are"
    allow(what, n_new * PACKAGE_REQUESTS, n_new * PACKAGE_BYTES)
    for index in indexes:
        for package in index.packages(found.refused):
            found.take(package, is_wanted)
    return found


class FolderIndex:
    """What is known of the packages of one folder of the bucket; it lies in the landing's `index/`."""

    def __init__(self, bucket: Bucket, landing: Landing, folder: str) -> None:
        """Read nothing yet."""
        self._bucket, self._landing, self._folder = bucket, landing, folder
        self._is_current = False
        try:
            self._path = index_path(folder)
        except ValueError as error:
            raise PublisherError(f"s3://{bucket.name}/ has a folder that is none: {error}") from None

    def n_new(self) -> int:
        """List the folder; return how many of its packages are new or have changed.

        Raises:
            PublisherError: The bucket cannot be listed.
        """
        known = self._known()
        kept, new = self._compared(known)
        self._is_current = not new and len(kept) == len(known)
        return len(new)

    def packages(self, refused: Examples) -> Iterable[Package]:
        """Return all packages of the folder; where it has changed it is listed again, and what is new in it read.

        Args:
            refused: Takes those that could not be read now.

        Raises:
            PublisherError: The bucket cannot be read; what was read of it so far is kept.
        """
        known = self._known()
        if self._is_current:
            return known.values()
        kept, new = self._compared(known)
        if not new:
            self._landing.put(self._path, write_index(list(kept.values())))  # without those that are gone
        for start in range(0, len(new), STEP):
            try:
                self._read(new[start : start + STEP], kept, refused)
            finally:
                self._landing.put(self._path, write_index(list(kept.values())))
        return kept.values()

    def _known(self) -> dict[str, Package]:
        return read_index(self._landing.read(self._path) or b"")

    def _compared(self, known: Mapping[str, Package]) -> tuple[dict[str, Package], list[BucketFile]]:
        """List the folder; return what is known of the packages that are there, and those that are new or another."""
        kept: dict[str, Package] = {}
        new: list[BucketFile] = []
        for file in self._bucket.list(self._folder):
            if not file.key.lower().endswith(".meca"):
                continue
            package = known.get(file.key)
            if package and (package.size, package.etag) == (file.size, file.etag):
                kept[file.key] = package
            else:
                new.append(file)
        return kept, new

    def _read(self, step: Sequence[BucketFile], kept: dict[str, Package], refused: Examples) -> None:
        """Read some packages in some threads; the first error ends the step, with those kept that were read."""
        threads = ThreadPoolExecutor(READERS, thread_name_prefix="packages")
        try:
            futures = [threads.submit(self._inspected, file) for file in step]
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            threads.shutdown(wait=True, cancel_futures=True)
        done = [each for each in futures if not each.cancelled()]
        failed = [each for each in done if each.exception() is not None]
        read = [each.result() for each in done if each not in failed]
        kept.update((package.key, package) for package in read if isinstance(package, Package))
        words = [each for each in read if isinstance(each, str)]
        for each in words:
            refused.add(each)
        if failed:
            _raise(failed[0])
        if len(words) == len(step) >= REFUSED_AT_ONCE:
            raise PublisherError(
                f"s3://{self._bucket.name} refused {len(words)} packages in a row, among them {words[0]}: see "
                "whether these credentials may read it and pay for it"
            )

    def _inspected(self, file: BucketFile) -> Package | str:
        """Return what a package is; the words of a refusal where it cannot be read now."""

        def read(start: int, end: int) -> bytes:
            return self._bucket.get(file.key, start=start, end=end, max_bytes=end - start)

        try:
            tail = self._bucket.tail(file.key, min(file.size, TAIL_BYTES)) if file.size else b""
            return inspect_package(file.key, file.size, file.etag, tail, read)
        except (NotOfferedError, ChangedError) as error:
            return f"{file.key}: {error}"


def _raise(failed: "Future[Package | str]") -> None:
    failed.result()
