"""A publisher whose offers are the objects of a bucket: the least that can be landed from."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from s1mm_assets.resources.publishers import Listing, Offer
from s1mm_assets.resources.publishers.acquire import Acquisition
from s1mm_assets.resources.publishers.bucket import Bucket
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.patience import Patience
from s1mm_assets.resources.publishers.terms import AcquisitionSettings
from s1mm_assets.resources.publishers.usage import Usage
from s1mm_assets_tests.imitations.publishers import ImitationPublishers

YEAR = 2019
HASTE = Patience(attempts=3, wait_s=0.01, max_wait_s=0.02, max_retry_after_s=0.5)
TERMS = AcquisitionSettings(
    publishers=("arxiv",), contact="someone@example.org", min_free_gib=0.0, transfers=2
)


@dataclass
class BucketPublisher:
    """Offers every object below `src/`, with the MD5 that its etag is."""

    bucket: Bucket
    name: str = "arxiv"
    is_paid: bool = True
    meanwhile: Callable[[], object] = lambda: None  # happens after the listing

    def listing(self, year: int) -> Listing:  # noqa: ARG002
        """Return one offer an object."""
        offers = [
            Offer(
                path=each.key,
                shard="all",
                origin=json.dumps({"key": each.key, "etag": each.etag}),
                paper_id=Path(each.key).stem.split(".")[0],
                version=Path(each.key).stem.partition(".")[2] or None,
                size=each.size,
                md5=each.etag,
            )
            for each in self.bucket.list("src/")
        ]
        self.meanwhile()
        return Listing(offers=offers)

    def open(self, offer: Offer, offset: int) -> AbstractContextManager[Iterator[bytes]]:
        """Open an object."""
        origin = json.loads(offer.origin)
        return self.bucket.open(origin["key"], offset, origin["etag"])

    def touched(self, since: date, until: date) -> set[int]:  # noqa: ARG002
        """Nothing."""
        return set()


def acquisition(
    publishers: ImitationPublishers,
    root: str,
    *,
    terms: AcquisitionSettings = TERMS,
    patience: Patience = HASTE,
    report: Callable[[str], object] = lambda line: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Acquisition:
    """The landing of the bucket `arxiv` into a folder."""
    usage = Usage()
    bucket = Bucket(
        "arxiv", endpoint=f"{publishers.base}/s3", is_requester_pays=True, usage=usage, patience=patience
    )
    return Acquisition(
        publisher=BucketPublisher(bucket, meanwhile=meanwhile),
        landing=Landing(root),
        year=YEAR,
        terms=terms,
        usage=usage,
        report=report,
        patience=patience,
    )
