"""Every publisher of this installation.

A new one is a client in this folder, its formats in `archives`, and a line in `CLIENTS` here.
"""

from collections.abc import Callable
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import dagster as dg

from s1mm_assets.resources.publishers import NotOfferedError, Offer, Publisher, PublisherError
from s1mm_assets.resources.publishers.bucket import Bucket
from s1mm_assets.resources.publishers.landing import Landing
from s1mm_assets.resources.publishers.patience import Patience
from s1mm_assets.resources.publishers.terms import AcquisitionSettings
from s1mm_assets.resources.publishers.usage import GB, Usage, Used
from s1mm_assets.resources.publishers.web import Web

if TYPE_CHECKING:
    from s1mm_assets.resources.publishers.acquire import Acquisition, Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoints:
    """Where publishers are asked; base addresses without a slash at the end."""

    s3: str | None = None  # None: Amazon's
    oai: str = "https://oaipmh.arxiv.org/oai"
    arxiv: str = "https://export.arxiv.org"
    details: str = "https://api.biorxiv.org/details"
    chemrxiv: str = "https://chemrxiv.org/engage/chemrxiv/public-api/v1"
    chemrxiv_mirror: str = "https://www.cambridge.org/engage/coe/public-api/v1"
    crossref: str = "https://api.crossref.org"
    europepmc: str = "https://www.ebi.ac.uk/europepmc/webservices/rest"

    @classmethod
    def at(cls, base: str) -> "Endpoints":
        """Return those of a mirror: `<base>/oai`, `<base>/chemrxiv-mirror` …; the publishers' own where base is ""."""
        if not base:
            return cls()
        return cls(**{each.name: f"{base.rstrip('/')}/{each.name.replace('_', '-')}" for each in fields(cls)})

    def hosts(self, *names: str) -> set[str]:
        """Return hosts with their ports."""
        return {urlsplit(getattr(self, name)).netloc for name in names}


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a client is made with."""

    endpoints: Endpoints
    landing: Landing
    usage: Usage
    patience: Patience
    terms: AcquisitionSettings
    report: "Report"

    def web(self, *names: str) -> Web:
        """Return HTTP to the hosts of some endpoints."""
        return Web(
            user_agent=user_agent(self.terms.contact),
            hosts=self.endpoints.hosts(*names),
            usage=self.usage,
            patience=self.patience,
        )

    def bucket(self, name: str, *, is_paid: bool) -> Bucket:
        """Return a bucket: one that the requester pays for, or one that is open to all."""
        return Bucket(
            name,
            endpoint=self.endpoints.s3,
            is_requester_pays=is_paid,
            is_unsigned=not is_paid,
            user_agent=user_agent(self.terms.contact),
            usage=self.usage,
            patience=self.patience,
        )

    def allow(self, what: str, n_requests: int, n_bytes: int) -> None:
        """Refuse what would cost more than one run may; say what costs something.

        Raises:
            PublisherError: It would.
        """
        used = Used(n_requests, n_bytes, n_requests, n_bytes)
        usd = used.usd(self.terms.usd_per_gb, self.terms.usd_per_1000_requests)
        if usd > self.terms.max_usd:
            raise PublisherError(
                f"{what} takes {n_requests:,} requests and {n_bytes / GB:,.2f} GB, once ever, and would cost about "
                f"{usd:,.2f} USD; [acquisition] max_usd allows {self.terms.max_usd:,.2f}: raise it, or run within the "
                "bucket's region and set usd_per_gb = 0"
            )
        if n_requests:
            self.report(f"{what}: {n_requests:,} requests, about {usd:,.4f} USD")


def today() -> date:
    """Return the day, as publishers count it."""
    return datetime.now(UTC).date()


def _arxiv(by: Means) -> Publisher:
    from s1mm_assets.resources.publishers.arxiv import Arxiv

    return Arxiv(by.bucket("arxiv", is_paid=True), by.web("oai"), by.endpoints.oai, by.landing, today)


def _openrxiv(server: str) -> Callable[[Means], Publisher]:
    def client(by: Means) -> Publisher:
        from s1mm_assets.resources.publishers.openrxiv import OpenRxiv

        bucket = by.bucket(f"{server}-src-monthly", is_paid=True)
        details = by.endpoints.details
        return OpenRxiv(server, bucket, by.web("details"), details, by.landing, today, by.allow)

    return client


def _chemrxiv(by: Means) -> Publisher:
    from s1mm_assets.resources.publishers.chemrxiv import ChemRxiv

    ends = by.endpoints
    web = by.web("chemrxiv", "chemrxiv_mirror", "crossref")
    return ChemRxiv(web, ends.chemrxiv, ends.chemrxiv_mirror, ends.crossref, by.landing, today)


def _nature_communications(by: Means) -> Publisher:
    from s1mm_assets.resources.publishers.nature_communications import NatureCommunications

    bucket = by.bucket("pmc-oa-opendata", is_paid=False)
    return NatureCommunications(by.web("europepmc"), bucket, by.endpoints.europepmc, by.landing, today)


CLIENTS: dict[str, Callable[[Means], Publisher]] = {
    "arxiv": _arxiv,
    "biorxiv": _openrxiv("biorxiv"),
    "medrxiv": _openrxiv("medrxiv"),
    "chemrxiv": _chemrxiv,
    "nature_communications": _nature_communications,
}


class Publishers(dg.ConfigurableResource[Any]):
    """Who is asked for papers; a mirror of all of them where an address is given."""

    mirror: str = ""

    def acquisition(
        self,
        source: str,
        year: int,
        *,
        folder: str,
        terms: AcquisitionSettings,
        report: "Report",
        patience: Patience = Patience(),  # noqa: B008 - frozen
    ) -> "Acquisition":
        """Return the landing of one year of a source.

        Args:
            source: In `CLIENTS`.
            year: Of first posting.
            folder: The source's, where papers land: a path or `s3://…`.
            terms: On which it is asked.
            report: Is told of progress.
            patience: With a publisher that does not answer.

        Raises:
            PublisherError: The settings do not ask this publisher.
        """
        from s1mm_assets.resources.publishers.acquire import Acquisition

        by = self.means(source, folder=folder, terms=terms, patience=patience, report=report)
        return Acquisition(
            publisher=CLIENTS[source](by),
            landing=by.landing,
            year=year,
            terms=terms,
            usage=by.usage,
            report=report,
            patience=patience,
            verified=lambda offer, md5: _index(folder, offer, md5) if source == "arxiv" else None,
        )

    def client(
        self, source: str, *, folder: str, terms: AcquisitionSettings, patience: Patience
    ) -> Publisher:
        """Return a publisher's client alone.

        Raises:
            PublisherError: The settings do not ask this publisher.
        """
        by = self.means(source, folder=folder, terms=terms, patience=patience, report=lambda line: None)
        return CLIENTS[source](by)

    def e_print(self, arxiv_id: str, contact: str) -> tuple[str, bytes]:
        """Return the source of one paper on arXiv: a file name, and its bytes.

        Raises:
            PublisherError: No contact is set; arXiv does not answer; it is no identifier, or there is no source of it.
        """
        from s1mm_assets.resources.publishers.arxiv import e_print

        if not contact:
            raise PublisherError("set [acquisition] contact: arXiv asks that programs say whom to write to")
        ends = Endpoints.at(self.mirror)
        web = Web(user_agent=user_agent(contact), hosts=ends.hosts("arxiv"))
        try:
            return e_print(web, ends.arxiv, arxiv_id)
        except NotOfferedError as error:
            raise PublisherError(str(error)) from error

    def means(
        self, source: str, *, folder: str, terms: AcquisitionSettings, patience: Patience, report: "Report"
    ) -> Means:
        """Return what a source's client is made with.

        Raises:
            PublisherError: The settings do not ask this publisher.
        """
        if source not in terms.publishers:
            raise PublisherError(
                f'{source} is not asked for papers: put it into [acquisition] publishers = ["{source}"], with a contact'
            )
        return Means(
            endpoints=Endpoints.at(self.mirror),
            landing=Landing(folder),
            usage=Usage(),
            patience=patience,
            terms=terms,
            report=report,
        )


def user_agent(contact: str) -> str:
    """Return what the program says of itself to publishers."""
    return f"s1mm-assets/{version('s1mm-assets')} ({contact})"


def _index(folder: str, offer: Offer, md5: str) -> None:
    from s1mm_assets.resources.sources.arxiv import index_chunk

    if offer.path.endswith(".tar"):
        index_chunk(folder, offer.path, md5)
