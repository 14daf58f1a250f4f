"""[acquisition]: who is asked for papers, by whom, and what it may cost. It changes no data, only which has landed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

PUBLISHERS = ("arxiv", "biorxiv", "medrxiv", "chemrxiv", "nature_communications")
PAID = frozenset({"arxiv", "biorxiv", "medrxiv"})  # by whoever downloads: requester-pays buckets
CONTACT = re.compile(r"[^\s()<>@]+@[^\s()<>@]+\.[^\s()<>@]+|https?://[^\s()<>]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class AcquisitionSettings:
    """Who is asked, and on what terms."""

    publishers: Sequence[
        str
    ] = ()  # of these papers are fetched; of the others only what lies in S1MM_SOURCES is read
    contact: str = ""  # an e-mail address or a page: whom publishers can write to; goes into the User-Agent
    max_usd: float = (
        1.0  # of one run of one partition, where whoever downloads pays; above it nothing is begun
    )
    usd_per_gb: float = 0.09  # of what leaves a bucket; 0 within the bucket's own region
    usd_per_1000_requests: float = 0.0004  # S3's price of reading; listing costs more, and is rare
    transfers: int = 4  # files that come at the same time
    max_file_gib: float = 8.0
    min_free_gib: float = 20.0  # room that must be left on the disk
    ask_refused_again_after_days: float = 7.0

    def __post_init__(self) -> None:
        """Refuse terms under which nobody should be asked."""
        for name in self.publishers:
            if name not in PUBLISHERS:
                raise ValueError(f"publishers names {name!r}; there are: {', '.join(PUBLISHERS)}")
        if (self.publishers or self.contact) and not CONTACT.fullmatch(self.contact):
            raise ValueError(
                "contact must be an e-mail address or a page: publishers ask that bulk readers say who they are"
            )
        if self.transfers < 1:
            raise ValueError("transfers must be at least 1")
        for name in (
            "max_usd",
            "usd_per_gb",
            "usd_per_1000_requests",
            "min_free_gib",
            "ask_refused_again_after_days",
        ):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0")
        if not self.max_file_gib > 0:
            raise ValueError("max_file_gib must be above 0")
