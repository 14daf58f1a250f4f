"""Nature Communications, from PMC's open-data bucket: Europe PMC says which articles, the bucket has their files.

What a year's articles are made of is remembered below `index/` where they land, so that of an article that has not
changed only the listing of its metadata is asked for again: one request for all articles of a hundred PMC ids.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any

from s1mm_assets.archives.limits import MIB
from s1mm_assets.archives.pmc import (
    FIRST_CURSOR,
    MAX_FILES,
    MAX_MEMBER_BYTES,
    MAX_METADATA_BYTES,
    Article,
    LooseFile,
    Omission,
    Package,
    PmcError,
    Reading,
    landing_path,
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
    search_params,
    tar_from,
    version_of,
    write_index,
    year_query,
)
from s1mm_assets.resources.publishers import ChangedError, Listing, NotOfferedError, Offer, PublisherError
from s1mm_assets.resources.publishers.bucket import Bucket, BucketFile
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.web import Web

BUCKET = "pmc-oa-opendata"
THREADS = 8
STEP = 500  # articles between writings of the index
MAX_PAGES = 1_000  # of a search
READINGS = 2  # of a search that gives fewer records than it counts
NOT_THERE = 404
CHANGED = "index/changed"  # names of versions whose files were not what the index says


@dataclass(frozen=True, slots=True)
class _Newest:
    """The newest version of an article, by its metadata."""

    version: int
    file: BucketFile


@dataclass(frozen=True)
class NatureCommunications:
    """The journal's open articles; each lands as one tar of its XML and images, or of its PDF."""

    web: Web
    bucket: Bucket
    europepmc: str  # base URL of Europe PMC's REST service
    landing: Landing
    today: Callable[[], date]

    @property
    def name(self) -> str:
        """The source's name in partition keys."""
        return "nature_communications"

    @property
    def is_paid(self) -> bool:
        """The bucket is public: nobody pays."""
        return False

    def listing(self, year: int) -> Listing:
        """Return the newest version of every article first published in a year.

        Raises:
            PublisherError: Europe PMC or the bucket cannot be asked, or does not answer as it should.
        """
        records = self._search(year_query(year))
        articles, omitted = _articles_of(records, year)
        packages = self._packages(year, articles, omitted)
        offers, said = _offers(articles, packages, omitted)
        notes = [f"{omitted[each]:,} {each}: left out" for each in Omission if omitted[each]]
        return Listing(offers=offers, notes=[*notes, *said])

    def touched(self, since: date, until: date) -> set[int]:
        """Return the years of articles that were published, received in full or retracted on some days.

        Raises:
            PublisherError: Europe PMC cannot be asked, or does not answer as it should.
        """
        records = self._search(news_query(since, max(since, until)))
        found = [read_article(record) for record in records]
        return {int(each.first_published[:4]) for each in found if isinstance(each, Article)}

    # --- what there is -------------------------------------------------------------------------------------

    def _search(self, query: str) -> list[Any]:
        """Return all records of a search: as many as it counts, at the first or the second reading of its pages."""
        for _ in range(READINGS):
            records, n_hits = self._walk(query)
            if len(records) >= (1 if n_hits is None else n_hits):  # nothing is believed where it is said
                return records
        raise PublisherError(
            f"{self.europepmc}/search counts {n_hits} records and gave {len(records)}: try again later"
        )

    def _walk(self, query: str) -> tuple[list[Any], int | None]:
        """Return the records of all pages of a search, and how many it counts."""
        records: list[Any] = []
        cursor: str | None = FIRST_CURSOR
        seen: set[str] = set()
        n_hits = None
        while cursor is not None and cursor not in seen:  # the last page names itself as the next, or none
            if len(seen) == MAX_PAGES:
                raise PublisherError(f"{self.europepmc}/search has no end: {len(records):,} records and more")
            seen.add(cursor)
            try:
                page = read_page(
                    self.web.get(
                        f"{self.europepmc}/search", params=search_params(query, cursor), expects="json"
                    )
                )
            except (NotOfferedError, PmcError) as error:
                raise PublisherError(
                    f"{self.europepmc}/search does not answer as it should: {error}. Look whether its form has changed"
                ) from error
            records += page.records
            n_hits = n_hits if page.n_hits is None else page.n_hits
            cursor = page.next_cursor
        return records, n_hits

    def _packages(
        self, year: int, articles: Mapping[str, Article], omitted: Counter[Omission]
    ) -> dict[str, Package]:
        """Return what each article's newest version is made of; only what is new or changed is asked for."""
        index = f"index/{year}.jsonl"
        known = read_index(self.landing.read(index))
        changed = set(self.landing.names(CHANGED))
        with ThreadPoolExecutor(THREADS, thread_name_prefix="pmc") as pool:
            listed = pool.map(self._newest, metadata_prefixes(articles))
            newest = {pmcid: each for found in listed for pmcid, each in found.items() if pmcid in articles}
            wanted = [
                pmcid for pmcid, each in newest.items() if not _is_known(known.get(pmcid), each, changed)
            ]
            for at in range(0, len(wanted), STEP):
                step = wanted[at : at + STEP]
                learnt = pool.map(lambda pmcid: self._learn(pmcid, newest[pmcid]), step)
                _take(known, dict(zip(step, learnt, strict=True)), omitted)
                self.landing.put(index, write_index(known.values()))
        for name in changed & {f"{pmcid}.{newest[pmcid].version}" for pmcid in wanted}:
            self.landing.remove(f"{CHANGED}/{name}")
        omitted[Omission.NOT_IN_BUCKET] += len(articles) - len(newest)
        return {pmcid: known[pmcid] for pmcid in newest if pmcid in known}

    def _newest(self, prefix: str) -> dict[str, _Newest]:
        """Return the newest version of each article whose metadata lie below a prefix."""
        newest: dict[str, _Newest] = {}
        for file in self.bucket.list(prefix):
            if found := version_of(file.key):
                pmcid, version = found
                if pmcid not in newest or version > newest[pmcid].version:
                    newest[pmcid] = _Newest(version, file)
        return newest

    def _learn(self, pmcid: str, newest: _Newest) -> Package | Omission:
        """Ask for the metadata and the files of one version."""
        if newest.file.size > MAX_METADATA_BYTES:
            return Omission.BAD_METADATA
        try:
            data = self.bucket.get(newest.file.key, max_bytes=MAX_METADATA_BYTES)
        except NotOfferedError as error:
            if error.status == NOT_THERE:
                return Omission.NOT_IN_BUCKET
            raise PublisherError(
                f"{error}: metadata that are listed are refused. Look whether the bucket is still open to all; what "
                "was listed and landed so far is kept"
            ) from error
        folder = f"{pmcid}.{newest.version}/"
        listed = list(islice(self.bucket.list(folder), MAX_FILES + 1))
        if len(listed) > MAX_FILES:
            return Omission.TOO_MANY_FILES
        try:
            return read_package(
                data,
                pmcid=pmcid,
                version=newest.version,
                etag=newest.file.etag,
                read=self.today().isoformat(),
                listed=[LooseFile(each.key.removeprefix(folder), each.size, each.etag) for each in listed],
            )
        except PmcError:
            return Omission.BAD_METADATA

    # --- its bytes -----------------------------------------------------------------------------------------

    @contextmanager
    def open(self, offer: Offer, offset: int) -> Iterator[Iterator[bytes]]:
        """Open an article's tar from an offset on; its members are read one after the other, in one attempt each.

        A member read from its beginning is compared with its MD5. Where that differs it is `ChangedError`: what was
        landed of this article is worth nothing, all others are as good as before, and the next listing learns anew
        what it is made of.

        Raises:
            NotOfferedError: A file is not there any more.
            ChangedError: A file is another than when it was listed.
        """
        folder, files = read_origin(offer.origin)
        with closing(self._tar(folder, files, offset)) as pieces:
            yield pieces

    def _tar(self, folder: str, files: Sequence[LooseFile], offset: int) -> Generator[bytes, None, None]:
        try:
            for piece in tar_from(files, offset):
                if isinstance(piece, bytes):
                    yield piece
                elif not (yield from self._member(folder, piece)):
                    return  # cut: whoever reads sees that bytes are missing, and goes on from there
        except (ChangedError, NotOfferedError):
            self.landing.put(f"{CHANGED}/{folder[:-1]}", b"")
            raise

    def _member(self, folder: str, reading: Reading) -> Generator[bytes, None, bool]:
        """Yield a member's bytes; return whether all of them came."""
        file, left = reading.file, reading.file.size - reading.start
        if reading.start and not file.etag:
            raise ChangedError(f"{folder}{file.name} has no etag: what comes next may be of another file")
        digest = hashlib.md5(usedforsecurity=False)
        with self.bucket.open(folder + file.name, reading.start, file.etag or None) as pieces:
            for piece in pieces:
                left -= len(piece)
                if left < 0:
                    raise ChangedError(
                        f"{folder}{file.name} has more than the {file.size:,} bytes it was listed with"
                    )
                digest.update(piece)
                yield piece
        if left:
            return False
        if file.md5 and not reading.start and digest.hexdigest() != file.md5:
            raise ChangedError(f"{folder}{file.name} has MD5 {digest.hexdigest()}, expected {file.md5}")
        return True


def _articles_of(records: Sequence[Any], year: int) -> tuple[dict[str, Article], Counter[Omission]]:
    """Return the articles of a year by PMC id, each once, and what was left out."""
    articles: dict[str, Article] = {}
    omitted: Counter[Omission] = Counter()
    for record in records:
        found = read_article(record)
        if isinstance(found, Article) and found.first_published[:4] != str(year):
            found = Omission.OTHER_YEAR
        if isinstance(found, Article):
            articles.setdefault(found.pmcid, found)
        else:
            omitted[found] += 1
    return articles, omitted


def _is_known(package: Package | None, newest: _Newest, changed: set[str]) -> bool:
    """Whether the index still says what a version is made of."""
    if package is None or f"{package.pmcid}.{package.version}" in changed:
        return False
    return bool(package.etag) and (package.version, package.etag) == (newest.version, newest.file.etag)


def _take(
    known: dict[str, Package], learnt: Mapping[str, Package | Omission], omitted: Counter[Omission]
) -> None:
    """Replace what is known of some articles by what was learnt of them."""
    for pmcid, found in learnt.items():
        known.pop(pmcid, None)
        if isinstance(found, Package):
            known[pmcid] = found
        else:
            omitted[found] += 1


def _offers(
    articles: Mapping[str, Article], packages: Mapping[str, Package], omitted: Counter[Omission]
) -> tuple[list[Offer], list[str]]:
    """Return an offer for each article that has files, and what is left out of them."""
    offers, beside = [], Counter[str]()
    for pmcid, package in packages.items():
        article, packing = articles[pmcid], packing_of(package)
        if not packing.files:
            omitted[Omission.NO_FILES] += 1
            continue
        beside["supplementary files (videos, spreadsheets, archives …)"] += packing.n_supplements
        beside[f"files of more than {MAX_MEMBER_BYTES // MIB} MiB"] += packing.n_too_large
        beside["files with unsafe names"] += packing.n_badly_named
        offers.append(
            Offer(
                path=landing_path(article, package),
                shard=article.first_published,
                origin=origin_of(package, packing.files),
                paper_id=pmcid,
                version=f"v{package.version}",
                size=packing.size,
                metadata=metadata_of(article, package),
            )
        )
    offers.sort(key=lambda offer: offer.path)
    return offers, [f"{n:,} {what}: left out of the articles' tars" for what, n in beside.items() if n]
