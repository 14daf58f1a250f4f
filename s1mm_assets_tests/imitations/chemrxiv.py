"""ChemRxiv in small: the Open Engage API with its PDFs, and Crossref's works of ChemRxiv's prefix.

    shelf = Shelf([Version(doi="10.26434/chemrxiv-2025-81glw", posted="2025-09-15", pdf=pdf)])
    ImitationPublishers(chemrxiv=OpenEngage(shelf), chemrxiv_mirror=OpenEngage(shelf), crossref=Crossref(shelf))

Open Engage lists the newest version of each paper, newest first, at most 50 a page and none after the 30,000th. Its
`searchDateTo` is an instant, as it is for a date without a time of day. Crossref lists each version.
"""

import hashlib
import importlib
import json
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote

from s1mm_assets_tests.imitations.wsgi import WsgiApp

EXAMPLES = Path(__file__).parents[2] / "examples"
LICENCES = {"CC BY 4.0": "by/4.0", "CC BY NC 4.0": "by-nc/4.0", "CC BY NC ND 4.0": "by-nc-nd/4.0"}
CHALLENGE = b"<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"
MEMBERS_URL = "https://pubs.acs.org/tdm"
SELECTABLE = frozenset(
    {
        "abstract",
        "author",
        "created",
        "deposited",
        "DOI",
        "group-title",
        "issued",
        "license",
        "link",
        "posted",
    }
    | {"prefix", "publisher", "relation", "resource", "subtitle", "title", "type", "update-to"}
)


@dataclass(frozen=True, kw_only=True)
class Version:
    """One version of a paper."""

    doi: str  # as registered
    posted: str  # ISO date
    pdf: bytes = b"%PDF-1.4\n%%EOF\n"
    version: str = "1"
    title: str = "Tunnelling in ice"
    abstract: str = "We measure."
    authors: Sequence[tuple[str, str]] = (("Péter", "Szalay"),)
    category: str = "Physical Chemistry"
    licence: str = "CC BY 4.0"
    status: str = "PUBLISHED"
    engage: Mapping[str, Any] = field(default_factory=dict)  # of the item, otherwise than it would be
    crossref: Mapping[str, Any] = field(default_factory=dict)  # of the record

    @property
    def paper(self) -> str:
        """The DOI without version."""
        return re.sub(r"[./-]v\d+$", "", self.doi.lower())

    @property
    def item_id(self) -> str:
        """As Open Engage numbers its items."""
        return hashlib.sha256(self.doi.encode()).hexdigest()[:24]

    def item(self, base: str) -> dict[str, Any]:
        """The version as Open Engage gives it."""
        at = f"{self.posted}T13:35:38.016Z"
        licence = {"id": "5cc9d9bf7d4e0000ac04ef25", "name": self.licence, "description": ""}
        if self.licence in LICENCES:
            licence["url"] = f"https://creativecommons.org/licenses/{LICENCES[self.licence]}/"
        return {
            "id": self.item_id,
            "doi": self.doi,
            "vor": None,
            "title": self.title,
            "abstract": self.abstract,
            "contentType": {"id": "5ce663395846762193c9c430", "name": "Working Paper"},
            "categories": [{"id": "605c72ef153207001f6470ce", "name": self.category, "description": ""}],
            "subject": {"id": "5e68cb1bd1f19d49ce3ac739", "name": "Chemistry", "description": ""},
            "status": self.status,
            "statusDate": at,
            "funders": [],
            "authors": [
                {"orcid": None, "title": "", "firstName": given, "lastName": family, "institutions": []}
                for given, family in self.authors
            ],
            "metrics": [{"description": "Abstract Views", "value": 100}],
            "version": self.version,
            "submittedDate": at,
            "publishedDate": at,
            "approvedDate": at,
            "keywords": [],
            "suppItems": [],
            "asset": {
                "id": self.item_id[::-1],
                "mimeType": "application/pdf",
                "fileName": "paper.pdf",
                "fileSizeBytes": len(self.pdf),
                "original": {"url": f"{base}/assets/orp/resource/item/{self.item_id}/original/paper.pdf"},
            },
            "license": licence,
            **self.engage,
        }

    def work(self, site: str) -> dict[str, Any]:
        """The version as Crossref gives it."""
        day = {"date-parts": [[int(part) for part in self.posted.split("-")]]}
        return {
            "DOI": self.doi.lower(),
            "type": "posted-content",
            "subtype": "preprint",
            "prefix": "10.26434",
            "publisher": "American Chemical Society (ACS)",
            "title": [self.title],
            "abstract": f"<jats:title>Abstract</jats:title><jats:p>{self.abstract}</jats:p>",
            "author": [
                {"given": given, "family": family, "sequence": "additional", "affiliation": []}
                for given, family in self.authors
            ],
            "group-title": self.category,
            "posted": day,
            "issued": day,
            "created": {**day, "date-time": f"{self.posted}T14:00:00Z"},
            "deposited": {**day, "date-time": f"{self.posted}T14:00:01Z"},
            "license": [
                {"URL": MEMBERS_URL, "start": day, "delay-in-days": 0, "content-version": "tdm"},
                {
                    "URL": f"https://creativecommons.org/licenses/{LICENCES.get(self.licence, 'by/4.0')}/",
                    "start": day,
                    "delay-in-days": 0,
                    "content-version": "unspecified",
                },
            ],
            "link": [
                {
                    "URL": f"{site}/doi/pdf/{self.doi}",
                    "content-type": "application/pdf",
                    "content-version": "vor",
                    "intended-application": "text-mining",
                }
            ],
            "resource": {"primary": {"URL": f"{site}/doi/full/{self.doi}"}},
            **self.crossref,
        }


@dataclass
class Shelf:
    """All versions that were posted: what the API, its mirror and Crossref know alike."""

    versions: list[Version] = field(default_factory=list)

    def newest(self) -> list[Version]:
        """The newest version of each paper, the last posted first."""
        newest: dict[str, Version] = {}
        for version in sorted(self.versions, key=lambda each: (each.posted, each.version)):
            newest[version.paper] = version
        return sorted(newest.values(), key=lambda each: each.posted, reverse=True)


@dataclass
class OpenEngage:
    """The API and the PDFs."""

    shelf: Shelf
    mount: str = "chemrxiv"
    is_blocked: bool = False  # 403 with a page that asks for a browser, as since January 2026
    asks_for_browser: bool = False  # instead of a PDF
    max_skip: int = 30_000
    only: str = ""  # papers of this prefix alone: a mirror that holds others'
    overrides: Mapping[str, Any] = field(default_factory=dict)  # of an answer

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer."""
        path, query = environ["PATH_INFO"], parse_qs(environ.get("QUERY_STRING", ""))
        base = f"http://{environ['HTTP_HOST']}/{self.mount}"
        if path == "/items":
            return self._items(query, base, start_response)
        for version in self.shelf.versions:
            if version.item_id in path or unquote(path).lower() == f"/doi/pdf/{version.doi.lower()}":
                if self.asks_for_browser:
                    return answered(start_response, "200 OK", CHALLENGE, "text/html")
                return ranged(environ, start_response, version.pdf)
        return answered(start_response, "404 Not Found", b"Not Found", "text/html")

    def _items(self, query: dict[str, list[str]], base: str, start_response: Any) -> Iterable[bytes]:
        if self.is_blocked:
            return answered(start_response, "403 Forbidden", CHALLENGE, "text/html")
        limit, skip = int(query.get("limit", ["10"])[0]), int(query.get("skip", ["0"])[0])
        if limit > 50 or skip >= self.max_skip:
            return said(start_response, {"message": "limit or skip out of range"}, "400 Bad Request")
        first, end = query["searchDateFrom"][0], query["searchDateTo"][0]
        found = [
            version
            for version in self.shelf.newest()
            if first <= version.posted < end and version.doi.lower().startswith(self.only)
        ]
        hits = [{"item": version.item(base)} for version in found[skip : skip + limit]]
        return said(start_response, {"totalCount": len(found), "itemHits": hits, **self.overrides})


@dataclass
class Crossref:
    """`/works` of the prefix."""

    shelf: Shelf
    site: str = "chemrxiv"  # where the imitation of ChemRxiv is mounted
    max_rows: int = 1000
    cursors: dict[str, tuple[str, int]] = field(default_factory=dict)  # → filter, offset

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        """Answer."""
        query = {name: values[0] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        if environ["PATH_INFO"] != "/works":
            return answered(start_response, "404 Not Found", b"Resource not found.", "text/plain")
        fields = query["select"].split(",") if "select" in query else sorted(SELECTABLE)
        filters = dict(each.split(":", 1) for each in query.get("filter", "").split(",") if each)
        cursor = query.get("cursor", "*")
        is_known = cursor == "*" or self.cursors.get(cursor, ("", 0))[0] == query.get("filter")
        if not is_known or int(query.get("rows", "20")) > self.max_rows or not SELECTABLE.issuperset(fields):
            return said(
                start_response, {"status": "failed", "message-type": "validation-failure"}, "400 Bad Request"
            )
        found = [each for each in self.shelf.versions if self._is_asked(each, filters)]
        start = 0 if cursor == "*" else self.cursors[cursor][1]
        page = found[start : start + int(query.get("rows", "20"))]
        site = f"http://{environ['HTTP_HOST']}/{self.site}"
        works = [{name: value for name, value in each.work(site).items() if name in fields} for each in page]
        token = f"DnF1ZXJ5{len(self.cursors)}+/=="  # as theirs, it must be quoted
        self.cursors[token] = (query.get("filter", ""), start + len(page))
        message = {"facets": {}, "total-results": len(found), "items": works, "next-cursor": token}
        return said(start_response, {"status": "ok", "message-type": "work-list", "message": message})

    @staticmethod
    def _is_asked(version: Version, filters: Mapping[str, str]) -> bool:
        first, last = filters.get("from-posted-date", ""), filters.get("until-posted-date", "9")
        is_theirs = filters.get("prefix") == "10.26434" and filters.get("type") == "posted-content"
        return is_theirs and first <= version.posted <= last


def said(start_response: Any, answer: Mapping[str, Any], status: str = "200 OK") -> Iterable[bytes]:
    """Answer with JSON."""
    return answered(start_response, status, json.dumps(answer).encode(), "application/json")


def answered(start_response: Any, status: str, body: bytes, kind: str) -> Iterable[bytes]:
    """Answer."""
    start_response(status, [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def ranged(environ: Mapping[str, Any], start_response: Any, data: bytes) -> Iterable[bytes]:
    """Answer with a file, or with the part from the byte that is asked for."""
    match = re.fullmatch(r"bytes=(\d+)-", environ.get("HTTP_RANGE", ""))
    if not match:
        return answered(start_response, "200 OK", data, "application/pdf")
    start = int(match[1])
    if start >= len(data):
        return answered(start_response, "416 Range Not Satisfiable", b"", "text/plain")
    headers = [("Content-Range", f"bytes {start}-{len(data) - 1}/{len(data)}")]
    headers += [("Content-Type", "application/pdf"), ("Content-Length", str(len(data) - start))]
    start_response("206 Partial Content", headers)
    return [data[start:]]


# --- the example corpus ------------------------------------------------------------------------------------

EXAMPLE_DOIS = {  # name of the example → its versions
    "zebrafish-heart": (("10.26434/chemrxiv.9999019.v1", "2019-07-31"),),
    "soil-microbes": (
        ("10.26434/chemrxiv-2023-s01l5", "2023-02-14"),
        ("10.26434/chemrxiv-2023-s01l5-v2", "2023-05-16"),
    ),
    "optical-clock": (("10.26434/chemrxiv-2023-c10ck", "2023-02-27"),),
}


class Mounts(Protocol):
    """What takes APIs: ImitationPublishers."""

    def mount(self, name: str, app: WsgiApp) -> None:
        """Put an API below the base."""


def example_versions() -> list[Version]:
    """Return three of the example papers as if ChemRxiv had posted them, in 2019 and 2023."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        pack = importlib.import_module("pack")
    finally:
        sys.path.remove(str(EXAMPLES))
    papers = {paper["name"]: paper for paper in pack.papers()}
    versions = []
    for name, posted in EXAMPLE_DOIS.items():
        said_of = papers[name]["metadata"]
        names = [each.split(maxsplit=1) for each in _authors(said_of)]
        versions += [
            Version(
                doi=doi,
                posted=day,
                pdf=pack.delivery(papers[name]),
                version=str(number),
                title=said_of["title"],
                abstract=" ".join(said_of["abstract"].split()),
                authors=[(given, family) for given, family in names],
            )
            for number, (doi, day) in enumerate(posted, start=1)
        ]
    return versions


def _authors(metadata: Mapping[str, Any]) -> list[str]:
    said_of = metadata["authors"]
    return re.split(r",\s*|\s+and\s+", said_of) if isinstance(said_of, str) else list(said_of)


def fill(publishers: Mounts, versions: Iterable[Version] | None = None) -> Shelf:
    """Mount ChemRxiv's API, its mirror and Crossref, with the example papers where no others are given."""
    shelf = Shelf(list(example_versions() if versions is None else versions))
    publishers.mount("chemrxiv", OpenEngage(shelf))
    publishers.mount("chemrxiv_mirror", OpenEngage(shelf, mount="chemrxiv-mirror"))
    publishers.mount("crossref", Crossref(shelf))
    return shelf
