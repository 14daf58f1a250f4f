"""Landing what a publisher offers of one year: never twice, never half, never beyond what it may cost.

A file that came whole, with the size and MD5 that were listed, gets its name and a line in the ledger. One that breaks
off goes on where it broke off, in this run or the next. What the publisher refuses is on record with its words. A
publisher that is down, a full disk or a bill too high end the run; what landed stays.
"""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from time import monotonic

from s1mm_assets.resources.publishers import (
    METADATA_SHARD,
    NotOfferedError,
    Offer,
    Publisher,
    PublisherError,
)
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.ledger import Ledger, Line, Record, Spent, now, origin_of
from s1mm_assets.resources.publishers.patience import Patience
from s1mm_assets.resources.publishers.reception import Reception, StoppedError, is_fixed, told
from s1mm_assets.resources.publishers.terms import AcquisitionSettings
from s1mm_assets.resources.publishers.usage import GB, Usage, Used

GIB = 2**30
FLUSH_EVERY_S = 10.0
REPORT_EVERY_S = 10.0
EXAMPLES = 10  # of what is told
REFUSED_IN_A_ROW = 25  # without anything landed between: then it is the publisher, not the files

Report = Callable[[str], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Todo:
    """What a run would do."""

    offers: Sequence[Offer]  # to be fetched, or there without being on record
    n_metadata: int  # of them, files of metadata; the next two count files of papers
    n_listed: int
    n_there: int  # files that have landed before
    n_bytes: int  # of the offers; where sizes are not told, those of others
    usd: float
    notes: Sequence[str]

    def told(self) -> str:
        """Return it in words."""
        metadata = f" and {self.n_metadata:,} of metadata" if self.n_metadata else ""
        cost = f", about {self.usd:,.2f} USD" if self.usd else ""
        return (
            f"{self.n_listed:,} files listed, {self.n_there:,} are there; "
            f"{len(self.offers) - self.n_metadata:,}{metadata} to fetch, {self.n_bytes / GB:,.2f} GB{cost}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Acquired:
    """What is there after a run; files are those of papers."""

    n_listed: int
    n_landed: int  # files that are there
    n_new: int  # of them by this run
    n_bytes: int  # of the files that are there
    n_refused: int
    refused: Sequence[str]  # some of them, with the publisher's words
    replaced: Sequence[str]  # papers of which a newer version landed by this run
    n_not_offered: int  # papers that were listed once and are not any more; they stay
    used: Used  # by this run
    usd: float  # of this run
    spent: Spent  # of all runs
    notes: Sequence[str]

    def told(self) -> list[str]:
        """Return what a person should read: the publisher's oddities, refusals, and papers that were replaced."""
        replaced = [
            f"{paper_id}: a newer version replaces the one that was there" for paper_id in self.replaced
        ]
        return [*self.notes, *(f"refused: {each}" for each in self.refused), *replaced[:EXAMPLES]]


@dataclass
class Acquisition:
    """One year of one publisher."""

    publisher: Publisher
    landing: Landing
    year: int
    terms: AcquisitionSettings
    usage: Usage
    report: Report
    patience: Patience = field(default_factory=Patience)
    # Told of each file that landed, with its MD5.
    verified: Callable[[Offer, str], None] = lambda offer, md5: None
    _lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    _is_stopped: threading.Event = field(default_factory=threading.Event, repr=False)  # by the first error

    def __post_init__(self) -> None:
        self._ledger = Ledger(self.landing)
        self._reception = Reception(
            self.publisher, self.landing, self.terms, self.usage, self.patience, self._is_stopped
        )
        self._noted = Used()
        self._n_not_offered = 0
        self._refused_in_a_row = 0
        self._unrecorded: set[str] = set()  # files that are there, but in no line
        self._flushed_at = self._reported_at = monotonic()

    # --- what there is to do -------------------------------------------------------------------------------

    def todo(self) -> Todo:
        """List the year, and say what of it is not there yet.

        Raises:
            PublisherError: The publisher cannot be asked.
        """
        try:
            listing = self.publisher.listing(self.year)
        finally:
            self._note_usage()
            with suppress(OSError):  # of a full disk; the publisher's own error counts more
                self._ledger.flush()
        _refuse_twins(listing.offers)
        self._n_not_offered = self._ledger.put_listing(self.year, listing.offers)
        known = self._ledger.record(self.year)
        present = self._present(listing.offers)
        self._unrecorded = set()
        missing = [offer for offer in listing.offers if not self._is_there(offer, known, present)]
        to_fetch = [offer for offer in missing if offer.path not in self._unrecorded]
        n_bytes = _bytes_of(to_fetch, listing.offers)
        n_paid = (len(to_fetch), n_bytes) if self.publisher.is_paid else (0, 0)
        n_listed, n_missing = _n_papers_in(listing.offers), _n_papers_in(missing)
        return Todo(
            offers=missing,
            n_metadata=len(missing) - n_missing,
            n_listed=n_listed,
            n_there=n_listed - n_missing,
            n_bytes=n_bytes,
            usd=self._usd(Used(*n_paid, *n_paid)),
            notes=tuple(listing.notes),
        )

    def _present(self, offers: Sequence[Offer]) -> dict[str, int]:
        """Return the sizes of the files that lie in the folders of some offers, by path."""
        present: dict[str, int] = {}
        for folder in sorted({offer.path.rpartition("/")[0] for offer in offers}):
            with suppress(ValueError):  # a path that leaves the folder: refused when its turn comes
                for name, size in self.landing.sizes(folder):
                    present[f"{folder}/{name}".lstrip("/")] = size
        return present

    def _is_there(self, offer: Offer, known: Record, present: Mapping[str, int]) -> bool:
        line, size = known.lines.get(offer.path), present.get(offer.path)
        if line and line.refused is None and offer.md5 and (line.md5, line.size) == (offer.md5, size):
            return True  # wherever it comes from now
        is_elsewhere = line is not None and line.origin not in (None, origin_of(offer))
        if line and line.refused is not None:
            again = datetime.fromisoformat(line.at) + timedelta(days=self.terms.ask_refused_again_after_days)
            return not is_elsewhere and datetime.now(UTC) < again
        if is_elsewhere and is_fixed(offer):
            return False  # another file of the same name; without an etag another address says nothing
        if size is None:
            return False
        if line:
            return size == line.size and offer.md5 in (None, line.md5)
        if offer.size in (None, size):
            self._unrecorded.add(offer.path)
        return False

    # --- doing it ------------------------------------------------------------------------------------------

    def run(self) -> Acquired:
        """Land what is not there yet.

        Raises:
            PublisherError: The publisher is down, the disk is full, or it would cost more than it may. What landed
                is kept.
        """
        try:
            return self._run()
        except OSError as error:
            raise told(error, self.landing) from error

    def _run(self) -> Acquired:
        todo = self.todo()
        self._allow(todo)
        before = self._ledger.record(self.year)
        self.report(todo.told())
        try:
            landed = self._land_all(todo, before)
        finally:
            self._note_usage()
            with suppress(OSError):  # of a full disk; lines are written again from the files
                self._ledger.tidy(self.year)
        return self._acquired(todo, landed, before)

    def _allow(self, todo: Todo) -> None:
        name = f"{self.publisher.name}|{self.year}"
        if todo.usd + self._usd(self.usage.so_far()) > self.terms.max_usd:
            raise PublisherError(
                f"{name}: {len(todo.offers):,} files of {todo.n_bytes / GB:,.1f} GB would cost about {todo.usd:,.2f} "
                f"USD, and [acquisition] max_usd allows {self.terms.max_usd:,.2f}: raise it, or fetch from within the "
                "bucket's region and set usd_per_gb = 0"
            )
        self._require_room(todo.n_bytes if todo.offers else None)

    def _require_room(self, n_bytes: int | None = 0) -> None:
        """Refuse to fill the disk beyond what is to be left."""
        free = self.landing.free_bytes()
        if n_bytes is not None and free is not None and free < n_bytes + self.terms.min_free_gib * GIB:
            raise PublisherError(
                f"{self.publisher.name}|{self.year}: {n_bytes / GB:,.1f} GB would leave less than [acquisition] "
                f"min_free_gib = {self.terms.min_free_gib:g} of the {free / GIB:,.1f} GiB that are free: make room"
            )

    def _land_all(self, todo: Todo, before: Record) -> list[Line]:
        """Land offers in some threads; the first error ends all, after the others have let go of their parts."""
        landed: list[Line] = []
        started = monotonic()
        with ThreadPoolExecutor(self.terms.transfers, thread_name_prefix="landing") as threads:
            waiting = {threads.submit(self._land, offer, before) for offer in todo.offers}
            n_all = len(waiting)
            try:
                while waiting:
                    done, waiting = wait(waiting, timeout=1.0, return_when=FIRST_EXCEPTION)
                    landed += [line for line in map(Future.result, done) if line]
                    self._tick(f"{n_all - len(waiting):,} of {n_all:,} files", started)
            finally:
                self._is_stopped.set()
                self.patience.is_over.set()  # whoever waits to ask again stops waiting
                threads.shutdown(wait=True, cancel_futures=True)
                self.patience.is_over.clear()
        return landed

    def _tick(self, progress: str, started: float) -> None:
        at = monotonic()
        if at - self._flushed_at > FLUSH_EVERY_S:
            self._flushed_at = at
            self._note_usage()
            with self._lock:
                self._ledger.flush()
            self._require_room()
        if at - self._reported_at > REPORT_EVERY_S:
            self._reported_at = at
            n_bytes = self.usage.so_far().n_bytes
            self.report(
                f"{progress}, {n_bytes / GB:,.2f} GB received, {n_bytes / 1e6 / (at - started):,.1f} MB/s"
            )

    def _land(self, offer: Offer, known: Record) -> Line | None:
        """Land one file, or put on record why not; None where the run was stopped meanwhile."""
        if self._is_stopped.is_set():
            return None
        try:
            size, md5 = self._found(offer) or self._reception.fetched(offer)
            self.verified(offer, md5)
        except NotOfferedError as error:
            self._refuse(offer, str(error), is_news=offer.path not in known.refused)
            return None
        except StoppedError:
            return None  # what stopped the run speaks for itself
        except BaseException:
            self._is_stopped.set()  # here, before this thread takes the next file
            raise
        with self._lock:
            self._refused_in_a_row = 0
            self._ledger.note(self.year, line := _line(offer, size, md5))
        return line

    def _refuse(self, offer: Offer, evidence: str, *, is_news: bool) -> None:
        with self._lock:
            self._refused_in_a_row += is_news  # what was refused before says nothing of the publisher
            self._ledger.note(self.year, replace(_line(offer, None, None), refused=evidence[:500]))
            if self._refused_in_a_row >= REFUSED_IN_A_ROW:
                self._is_stopped.set()
                raise PublisherError(
                    f"{self.publisher.name} refused {self._refused_in_a_row} files in a row, the last with: "
                    f"{evidence}. It may have shut this machine out: look before you run again"
                )

    def _found(self, offer: Offer) -> tuple[int, str] | None:
        """Return size and MD5 of a file that is there and right, and of which the ledger has no line.

        A kill came between the file's name and its line; or somebody put it there.
        """
        if offer.path not in self._unrecorded:
            return None
        size, md5 = self.landing.digest(offer.path)
        if offer.size not in (None, size) or offer.md5 not in (None, md5):
            return None
        left_over = self.landing.part(
            offer.path, origin="", resumes=False
        )  # by a kill between the join and its end
        left_over.close()
        return size, md5

    # --- afterwards ----------------------------------------------------------------------------------------

    def _note_usage(self) -> None:
        with self._lock:
            so_far = self.usage.so_far()
            new = so_far.less(self._noted)
            self._noted = so_far
            if new != Used():
                usd = self._usd(new)
                self._ledger.note(self.year, Spent(n_requests=new.n_requests, n_bytes=new.n_bytes, usd=usd))

    def _usd(self, used: Used) -> float:
        return used.usd(self.terms.usd_per_gb, self.terms.usd_per_1000_requests)

    def _acquired(self, todo: Todo, landed: Sequence[Line], before: Record) -> Acquired:
        known = self._ledger.record(self.year)
        there = [line for line in known.landed.values() if line.shard != METADATA_SHARD]
        used = self.usage.so_far()
        had = {line.paper_id for line in before.landed.values() if line.paper_id}
        return Acquired(
            n_listed=todo.n_listed,
            n_landed=len(there),
            n_new=sum(line.shard != METADATA_SHARD for line in landed),
            n_bytes=sum(line.size or 0 for line in there),
            n_refused=len(known.refused),
            refused=[f"{path}: {line.refused}" for path, line in sorted(known.refused.items())][:EXAMPLES],
            replaced=sorted({line.paper_id for line in landed if line.paper_id in had and line.paper_id}),
            n_not_offered=self._n_not_offered,
            used=used,
            usd=self._usd(used),
            spent=known.spent,
            notes=todo.notes,
        )


def _n_papers_in(offers: Sequence[Offer]) -> int:
    """Return how many files hold papers, not metadata."""
    return sum(offer.shard != METADATA_SHARD for offer in offers)


def _refuse_twins(offers: Sequence[Offer]) -> None:
    paths = Counter(offer.path for offer in offers)
    twins = sorted(path for path, n in paths.items() if n > 1)
    if twins:
        raise PublisherError(
            f"{len(twins)} files are offered twice, {twins[0]} first: this is a fault of the client"
        )


def _bytes_of(missing: Sequence[Offer], listed: Sequence[Offer]) -> int:
    """Return the bytes of offers; of papers whose size is not told, the mean of the others'; of metadata none."""
    told = [offer.size for offer in listed if offer.size is not None]
    mean = sum(told) / len(told) if told else 0
    return int(sum(offer.size or (mean if offer.paper_id else 0) for offer in missing))


def _line(offer: Offer, size: int | None, md5: str | None) -> Line:
    return Line(
        path=offer.path,
        at=now(),
        size=size,
        md5=md5,
        paper_id=offer.paper_id,
        version=offer.version,
        shard=offer.shard,
        origin=origin_of(offer),
    )
