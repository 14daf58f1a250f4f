"""bioRxiv and medRxiv: a bucket of MECA packages that whoever downloads pays for, and the details API.

No key says which paper a package is. So its end and the beginning of its article are read, once ever, and remembered
below `index/` in the source's folder; only then is it known whether it is worth its bytes.
"""

import json
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import islice

from s1mm_assets.archives.openrxiv import (
    BACK,
    CURRENT,
    DetailsError,
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

SERVERS = ("biorxiv", "medrxiv")
FIRST_YEAR = 2013
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
        if server not in SERVERS:
            raise ValueError(f"{server!r} is none of {', '.join(SERVERS)}")
        self._server = server
        self._bucket = bucket
        self._landing = landing
        self._today = today
        self._allow = allow
        self._details = Details(f"{details}/{server}", web, landing, today)

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

        What the first asking takes, once ever for all years together: a request of the API for each 30 versions
        (those of the year's own months; then month by month as long as the row of a newest package is missing,
        since it gives that version's licence and title), and one to three small range reads for each package in
        the folders from the year's January on. Asking each revised paper alone would take more.

        Raises:
            PublisherError: API or bucket cannot be asked, or do not answer as they should.
        """
        if not FIRST_YEAR <= year <= self._today().year:
            return Listing(offers=())
        self._details.notes.clear()
        versions = Versions()
        for month in range(1, 13):
            versions.take(self._details.month(year, month))
        versions.keep_those_first_posted_in(year)
        found = newest_packages(self._bucket, self._landing, year, versions.firsts, self._allow)
        lacking = {doi for doi, package in found.newest.items() if package.number not in versions.by_doi[doi]}
        months = (
            (later, month) for later in range(year + 1, self._today().year + 1) for month in range(1, 13)
        )
        for later, month in months:
            if not lacking:
                break
            versions.take(self._details.month(later, month), only=versions.firsts)
            lacking = {doi for doi in lacking if found.newest[doi].number not in versions.by_doi[doi]}
        self._remember(year, versions.firsts)
        notes = [*self._details.notes, *found.notes, *versions.notes(found.newest)]
        offers = [self._offer(versions, package) for package in found.newest.values()]
        return Listing(offers=sorted(offers, key=lambda offer: (offer.shard, offer.path)), notes=notes)

    def open(self, offer: Offer, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """Open a package's bytes from an offset on.

        Raises:
            NotOfferedError: It is not there any more, or refused.
            ChangedError: It is another than when it was listed.
        """
        origin = json.loads(offer.origin)
        return self._bucket.open(str(origin["key"]), offset, str(origin["etag"]))

    def touched(self, since: date) -> set[int]:
        """Return the years of the papers of which versions were posted since a day: one request for each 30.

        A first version is of the year of its day. A revision is of the year that a listing found for its paper, else
        of the year that its DOI is dated by; else it is passed over.

        Raises:
            PublisherError: The API cannot be asked, or does not answer as it should.
        """
        if since > self._today():
            return set()
        versions = [each for each in map(read_row, self._details.window(since, self._today()).rows) if each]
        remembered = self._remembered() if any(each.number > 1 for each in versions) else {}
        years = {
            int(each.posted[:4]) if each.number == 1 else remembered.get(each.doi, year_of_doi(each.doi))
            for each in versions
        }
        return {year for year in years if year is not None}

    def _offer(self, versions: "Versions", package: Package) -> Offer:
        first = versions.firsts[package.doi or ""]
        rows = versions.by_doi[first.doi]
        described = rows.get(package.number) or rows[max(n for n in rows if n <= package.number)]
        is_withdrawn = any(row.is_withdrawn for number, row in rows.items() if number >= described.number)
        version = f"v{package.number}"
        return Offer(
            path=f"papers/{first.posted}/{file_stem_of(first.doi)}.{version}.meca",
            shard=first.posted,
            origin=json.dumps({"key": package.key, "etag": package.etag}),
            paper_id=first.doi,
            version=version,
            size=package.size,
            md5=package.md5,
            metadata=metadata_of(first, described, version=package.number, is_withdrawn=is_withdrawn),
        )

    def _remember(self, year: int, dois: Collection[str]) -> None:
        """Keep which papers of a year do not bear it in their DOIs: a revision of one touches this year."""
        lines = "".join(f"{doi}\n" for doi in sorted(dois) if year_of_doi(doi) != year).encode("ascii")
        if self._landing.read(_years_path(year)) != lines:
            self._landing.put(_years_path(year), lines)

    def _remembered(self) -> dict[str, int]:
        years = range(FIRST_YEAR, self._today().year + 1)
        kept = {year: self._landing.read(_years_path(year)) or b"" for year in years}
        return {doi: year for year, lines in kept.items() for doi in lines.decode("ascii", "replace").split()}


def _years_path(year: int) -> str:
    return f"index/years/{year}.txt"


@dataclass
class Versions:
    """The versions of some papers."""

    by_doi: dict[str, dict[int, Version]] = field(default_factory=dict)
    n_unreadable: int = 0

    @property
    def firsts(self) -> dict[str, Version]:
        """The first version of each paper that has one."""
        return {doi: rows[1] for doi, rows in self.by_doi.items() if 1 in rows}

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

    def keep_those_first_posted_in(self, year: int) -> None:
        """Forget the others."""
        of_year = {doi for doi, first in self.firsts.items() if int(first.posted[:4]) == year}
        self.by_doi = {doi: rows for doi, rows in self.by_doi.items() if doi in of_year}

    def notes(self, newest: Collection[str]) -> Iterator[str]:
        """Say what has no package, and what could not be read."""
        without = sorted(set(self.by_doi) - set(newest))
        if without:
            yield f"{len(without)} papers of {len(self.by_doi)} have no package yet: {_examples(without)}"
        if self.n_unreadable:
            yield f"{self.n_unreadable} rows of the details API lack DOI, version or date: passed over"


# --- the details API ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Window:
    """What the API gives of some days."""

    rows: list[dict[str, object]]
    is_whole: bool  # as many as it says there are


class Details:
    """The details API of one server, by months. A month that is over for good is asked once ever."""

    def __init__(self, base: str, web: Web, landing: Landing, today: Callable[[], date]) -> None:
        """Ask nothing yet."""
        self.notes: list[str] = []
        self._base, self._web, self._landing, self._today = base, web, landing, today

    def month(self, year: int, month: int) -> list[dict[str, object]]:
        """Return the rows of a month: none of one to come.

        The present month and the one before are asked at each time, since rows still change then.

        Raises:
            PublisherError: The API cannot be asked, or does not answer as it should.
        """
        first, today = date(year, month, 1), self._today()
        if first > today:
            return []
        path = f"index/details/{first:%Y-%m}.jsonl"
        is_over = (today.year * 12 + today.month) - (year * 12 + month) > 1
        kept = read_rows(self._landing.read(path) or b"") if is_over else None
        if kept is not None:
            return kept
        last = (first + timedelta(days=31)).replace(day=1) - timedelta(days=1)
        window = self.window(first, last)
        if not window.is_whole:
            self.notes.append(
                f"{self._base}: fewer rows than it announces for {first:%Y-%m}; asked again next time"
            )
        elif is_over:
            self._landing.put(path, write_rows(window.rows))
        return window.rows

    def window(self, since: date, until: date) -> Window:
        """Return the rows of some days, both included.

        Raises:
            PublisherError: The API cannot be asked, or does not answer as it should.
        """
        rows: list[dict[str, object]] = []
        total = 0
        for _ in range(MAX_PAGES):
            url = f"{self._base}/{since.isoformat()}/{until.isoformat()}/{len(rows)}"
            try:
                page = read_page(self._web.get(url, expects="json"))
            except (DetailsError, NotOfferedError) as error:
                raise PublisherError(
                    f"{url} is no answer of the details API ({error}): look at it in a browser, and try again later"
                ) from error
            rows += page.rows
            total = max(total, page.total)  # an empty page says 0
            if not page.rows or len(rows) >= total > 0:
                return Window(rows, len(rows) >= total)
        raise PublisherError(
            f"{self._base} gives more than {MAX_PAGES} pages for {since} to {until}: try again later"
        )


# --- the index of packages ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Found:
    """Packages of the papers of a year."""

    newest: dict[str, Package]  # by DOI
    notes: list[str]


def newest_packages(
    bucket: Bucket, landing: Landing, year: int, dois: Collection[str], allow: Allow
) -> Found:
    """Return the newest package of each of some papers, after bringing the index up to date.

    Of several packages of one version the newest counts, by folder and key.

    Raises:
        PublisherError: The bucket cannot be read, or reading what is new in it would cost too much.
    """
    newest: dict[str, Package] = {}
    seen: set[tuple[str, int]] = set()
    again: list[str] = []
    faults: list[str] = []
    refused: list[str] = []
    folders = [folder for root in (BACK, CURRENT) for folder in bucket.folders(root)]
    indexes = [FolderIndex(bucket, landing, folder) for folder in folders_of_year(folders, year)]
    n_new = sum(index.listed() for index in indexes)
    what = f"telling what {n_new:,} packages of s3://{bucket.name} are"
    allow(what, n_new * PACKAGE_REQUESTS, n_new * PACKAGE_BYTES)
    for index in indexes:
        for package in index.brought_up_to_date():
            if package.fault:
                faults.append(f"{package.key}: {package.fault}")
            elif package.doi is not None and package.doi in dois:
                again += [package.key] if (package.doi, package.number) in seen else []
                seen.add((package.doi, package.number))
                other = newest.get(package.doi)
                if other is None or (package.number, package.age) > (other.number, other.age):
                    newest[package.doi] = package
        refused += index.refused
    said = [
        (again, "packages hold a paper and version that another holds too; the newest counts"),
        (faults, "packages cannot be told what they are, and are left out"),
        (refused, "packages were refused, or changed while they were read; they are tried again next time"),
    ]
    return Found(newest, [f"{len(keys)} {what}: {_examples(keys)}" for keys, what in said if keys])


class FolderIndex:
    """What is known of the packages of one folder of the bucket."""

    def __init__(self, bucket: Bucket, landing: Landing, folder: str) -> None:
        """Read nothing yet."""
        self.refused: list[str] = []
        self._bucket, self._landing, self._folder = bucket, landing, folder
        self._kept: dict[str, Package] = {}
        self._new: list[BucketFile] = []
        try:
            self._path = index_path(folder)
        except ValueError as error:
            raise PublisherError(f"s3://{bucket.name}/ has a folder that is none: {error}") from None

    def listed(self) -> int:
        """List the folder; return how many of its packages are new or have changed.

        Raises:
            PublisherError: The bucket cannot be listed.
        """
        known = read_index(self._landing.read(self._path) or b"")
        files = [file for file in self._bucket.list(self._folder) if file.key.lower().endswith(".meca")]
        self._kept = {
            file.key: known[file.key]
            for file in files
            if file.key in known and (known[file.key].size, known[file.key].etag) == (file.size, file.etag)
        }
        self._new = [file for file in files if file.key not in self._kept]
        return len(self._new)

    def brought_up_to_date(self) -> list[Package]:
        """Read what is new or has changed in the folder as it was listed, and return all its packages.

        Raises:
            PublisherError: The bucket cannot be read; what was read of it so far is kept.
        """
        new = iter(self._new)
        while step := list(islice(new, STEP)):
            try:
                self._read(step, self._kept)
            finally:
                self._landing.put(self._path, write_index(list(self._kept.values())))
        return list(self._kept.values())

    def _read(self, step: Sequence[BucketFile], kept: dict[str, Package]) -> None:
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
        refused = [each for each in read if isinstance(each, str)]
        self.refused += refused
        if failed:
            _raise(failed[0])
        if len(refused) == len(step) >= REFUSED_AT_ONCE:
            raise PublisherError(
                f"s3://{self._bucket.name} refused {len(refused)} packages in a row, among them {refused[0]}: see "
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


def _examples(names: Sequence[str]) -> str:
    return ", ".join(name[:200] for name in names[:N_EXAMPLES]) + (" …" if len(names) > N_EXAMPLES else "")
