"""Receiving one file: from where it broke off, as often as it takes, and never more than may be paid for.

What comes goes into a part; the part gets the file's name once it is whole and is what was listed.
"""

import errno
import threading
from dataclasses import dataclass, field
from time import monotonic

from s1mm_assets.resources.publishers import (
    METADATA_SHARD,
    ChangedError,
    NotOfferedError,
    Offer,
    Publisher,
    PublisherError,
)
from s1mm_assets.resources.publishers.landing import DamagedError, Landing, Part
from s1mm_assets.resources.publishers.ledger import origin_of
from s1mm_assets.resources.publishers.patience import BusyError, Patience, is_transient
from s1mm_assets.resources.publishers.terms import AcquisitionSettings
from s1mm_assets.resources.publishers.usage import Usage

GIB = 2**30
NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
READINGS = 2  # of a file whose bytes were not those that are listed, before it is refused
SLOW_AFTER_S, SLOW_BYTES_PER_S = 120.0, 1_000.0  # a transfer that is slower over this time is an outage


class StoppedError(Exception):
    """The run ended meanwhile; the part stays."""


class ShortError(BusyError):
    """The answer ended before the file did."""


@dataclass
class Reception:
    """What receives the files of one run."""

    publisher: Publisher
    landing: Landing
    terms: AcquisitionSettings
    usage: Usage
    patience: Patience
    is_stopped: threading.Event = field(default_factory=threading.Event)

    def fetched(self, offer: Offer) -> tuple[int, str]:
        """Receive one file and give it its name; return its size and MD5.

        Raises:
            NotOfferedError: It is refused, or what comes is again and again not what was listed.
            PublisherError: The publisher is down, there is no room, or no more may be paid.
        """
        try:
            part = self.landing.part(offer.path, origin=origin_of(offer), resumes=is_fixed(offer))
        except ValueError as error:  # a path that leaves the folder
            raise NotOfferedError(str(error)) from error
        except OSError as error:
            raise told(error, self.landing) from error
        try:
            return self._whole(offer, part)
        except OSError as error:
            raise told(error, self.landing) from error
        finally:
            part.close()

    def _whole(self, offer: Offer, part: Part) -> tuple[int, str]:
        for reading in range(1, READINGS + 1):
            try:
                self._receive(offer, part)
                return self._named(offer, part)
            except (DamagedError, ChangedError, ShortError) as error:
                part.discard()
                if reading == READINGS or not self._may_pay_for(offer.size or 0):
                    raise NotOfferedError(
                        f"it is not what was listed, after {reading} readings: {error}"
                    ) from error
        raise AssertionError("unreachable: the last reading returns or raises")

    def _named(self, offer: Offer, part: Part) -> tuple[int, str]:
        """Give a part its file's name, after as many attempts as patience allows: a bucket of one's own may be busy."""
        for attempt in self.patience.rounds():
            with attempt:
                return part.finish(size=offer.size, md5=offer.md5)
        raise AssertionError("unreachable: the last error passes through")

    def _receive(self, offer: Offer, part: Part) -> None:
        """Receive what is missing of a file, going on where a connection breaks off as long as enough comes.

        Raises:
            ShortError: The publisher sends less than it listed, and nothing more.
        """
        while offer.size is None or part.offset < offer.size:
            before, started = part.offset, monotonic()
            try:
                for attempt in self.patience.rounds():
                    with attempt:
                        if part.offset and not is_fixed(offer):
                            part.discard()  # what would come after it may be of another file
                        self._receive_once(offer, part)
            except Exception as error:
                if not is_transient(error):
                    raise
                received = part.offset - before
                if received > 0 and received >= SLOW_BYTES_PER_S * (monotonic() - started):
                    continue
                if isinstance(error, ShortError) and received == 0:
                    raise
                raise PublisherError(
                    f"{offer.path} broke off at byte {part.offset:,} ({type(error).__name__}: {error}), asked "
                    f"{self.patience.attempts} times: try again later, it goes on from there"
                ) from error
            else:
                return

    def _receive_once(self, offer: Offer, part: Part) -> None:
        self._go_on()
        if not self._may_pay_for(0):
            raise PublisherError(
                f"[acquisition] max_usd = {self.terms.max_usd:,.2f} is spent: more had to be asked for again than was "
                "foreseen; what was landed is kept"
            )
        start, started = part.offset, monotonic()
        is_file = offer.shard != METADATA_SHARD  # metadata come as slowly as their publisher wishes
        most = min(offer.size or GIB * self.terms.max_file_gib, GIB * self.terms.max_file_gib)
        with self.publisher.open(offer, part.offset) as pieces:
            for piece in pieces:
                self._go_on()
                if part.offset + len(piece) > most:
                    raise NotOfferedError(f"more than {most:,.0f} bytes came")
                part.append(piece)
                elapsed_s = monotonic() - started
                is_slow = part.offset - start < SLOW_BYTES_PER_S * elapsed_s
                if is_file and is_slow and elapsed_s > SLOW_AFTER_S:
                    raise BusyError(f"{part.offset - start} bytes in {elapsed_s:.0f} s")
        if offer.size is not None and part.offset < offer.size:
            raise ShortError(f"the answer ended at byte {part.offset:,} of {offer.size:,}")
        if offer.size is None and is_file and not part.offset:
            raise NotOfferedError("nothing came")

    def _go_on(self) -> None:
        if self.is_stopped.is_set():
            raise StoppedError

    def _may_pay_for(self, n_bytes: int) -> bool:
        """Whether some bytes more stay within what a run may cost."""
        gb, per_1000 = self.terms.usd_per_gb, self.terms.usd_per_1000_requests
        more = n_bytes / 1e9 * gb if self.publisher.is_paid else 0.0
        return self.usage.so_far().usd(gb, per_1000) + more <= self.terms.max_usd


def is_fixed(offer: Offer) -> bool:
    """Whether what is opened again can be no other file: an MD5 would tell, or an etag is asked with."""
    return offer.md5 is not None or "etag" in offer.origin


def told(error: OSError, landing: Landing) -> Exception:
    """Return what an error of the disk means; the error itself where it says so best."""
    if error.errno in NO_ROOM:
        return PublisherError(f"the disk of {landing.root} is full: make room, and run again")
    if error.errno == errno.ENAMETOOLONG:
        return NotOfferedError(f"its name is too long for this disk: {error}")
    return error
