"""What fills the folder of sources: one small client for each publisher, and what all of them share.

A client lists what its publisher offers of a year, and opens one offer as a stream of bytes. How bytes land, are
verified, resumed, counted and paid for is the same for all, and no client's business. What is read from the folder
afterwards is `resources/sources`; what a publisher's formats mean is `archives`.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from datetime import date
from typing import Protocol

from s1mm_assets.tables import Metadata

METADATA_SHARD = "metadata"
"""The shard of offers that hold no papers but what is known of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """One file as a publisher offers it; it lands as one file."""

    path: str  # where it lands, below the source's folder; another version has another path
    shard: str  # of raw_archives: letters, digits and "._-" alone
    origin: str  # JSON: what the client needs to open it
    paper_id: str | None = None  # None: it holds several papers, or none
    version: str | None = None  # "v2", where the publisher says
    size: int | None = None  # bytes; None: the publisher does not say
    md5: str | None = None  # hex, of all its bytes; None: the publisher does not say
    metadata: Metadata | None = None  # of the paper


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """What a publisher offers of one year: the newest version of every paper first posted in it."""

    offers: Sequence[Offer]
    notes: Sequence[str] = field(default_factory=tuple)  # what a person should know: "api.… answers 403"


class PublisherError(Exception):
    """A publisher cannot be asked as things are; the message says what to do. An outage, or a setting."""


class NotOfferedError(Exception):
    """The publisher will not give this one file, however often it is asked; the message is the evidence."""

    status: int | None = None  # of HTTP


class Publisher(Protocol):
    """What landing needs of a publisher."""

    @property
    def name(self) -> str:
        """The source's name in partition keys."""

    @property
    def is_paid(self) -> bool:
        """Whether whoever downloads pays for bytes and requests."""

    def listing(self, year: int) -> Listing:
        """Ask what is offered of one year.

        Raises:
            PublisherError: It cannot be asked, or does not answer as it should, after retries.
        """

    def open(self, offer: Offer, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """Open an offer's bytes from an offset on; one attempt: what is transient is retried by the caller.

        Raises:
            NotOfferedError: This file is refused, or is not what it should be: 403, 404, HTML where a PDF should be.
            ChangedError: It is another file than when it was listed.
        """

    def touched(self, since: date, until: date) -> set[int]:
        """Return the years of which something new was offered on some days, both included; by few requests.

        A publisher that does not say when may answer with all that has not landed.
        """


class ChangedError(Exception):
    """A file is another than the one that was listed, or than the one whose beginning was read."""
