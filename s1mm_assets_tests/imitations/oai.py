"""arXiv's OAI-PMH service and its e-prints in small, as one WSGI application.

    arxiv = OaiImitation(page_size=2)
    arxiv.put(row)                  # a row of arXiv's JSON-lines snapshot
    arxiv.delete("2301.00001", "2023-02-01")
    with ImitationPublishers(oai=arxiv, arxiv=arxiv) as publishers: …

Errors of the protocol have status 200. A token is the query of the next page, url-encoded once, as the value of an
element; sent back as a parameter it is encoded once more, as any value is. One that has expired, or is none, is a
badResumptionToken.
"""

import importlib
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import parse_qs, parse_qsl, quote, unquote, urlencode
from xml.etree import ElementTree as ET

from s1mm_assets.archives.arxiv import ChunkFile, manifest_xml, read_manifest
from s1mm_assets.resources.sources.arxiv import MANIFEST
from s1mm_assets_tests.imitations.publishers import ImitationPublishers

EXAMPLES = Path(__file__).parents[2] / "examples"
EARLIEST = date(2005, 9, 16)
NAMESPACE = "http://www.openarchives.org/OAI/2.0/"
PREFIXES = ("arXiv", "arXivRaw")
ARGUMENTS = frozenset({"verb", "metadataPrefix", "from", "until", "set"})
SINGLE = (
    "title",
    "authors",
    "categories",
    "comments",
    "report-no",
    "journal-ref",
    "doi",
    "license",
    "abstract",
)

Row = Mapping[str, Any]


class ProtocolError(Exception):
    """An error of the protocol: its code, and what is said."""


@dataclass(frozen=True)
class Held:
    """A record: its row, or None where it is deleted."""

    paper_id: str
    datestamp: str
    row: Row | None


@dataclass
class OaiImitation:
    """The service. What is settable may be set at any time."""

    page_size: int = 1_300
    has_old_tokens: bool = False  # "6460044|1001", as until 2024
    n_busy: int = 0  # as many requests are answered 503
    retry_after_s: int = 0  # and asked to come again then
    n_expiring: int = 0  # as many tokens have expired when they are sent
    records: dict[str, Held] = field(default_factory=dict)
    e_prints: dict[str, bytes] = field(default_factory=dict)  # by id, also with version
    _old_tokens: dict[str, dict[str, str]] = field(default_factory=dict)

    def put(self, row: Row, datestamp: str = "") -> None:
        """Take a row of the snapshot as a record, replacing the paper's earlier one."""
        self.records[row["id"]] = Held(row["id"], datestamp or row["update_date"], row)

    def delete(self, paper_id: str, datestamp: str) -> None:
        """Delete a record, as of a day."""
        self.records[paper_id] = Held(paper_id, datestamp, None)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Answer a request to either service."""
        path = environ["PATH_INFO"]
        if path.startswith("/e-print/"):
            return self._e_print(path.removeprefix("/e-print/"), start_response)
        if self.n_busy:
            self.n_busy -= 1
            start_response("503 Service Unavailable", [("Retry-After", str(self.retry_after_s))])
            return [b"<html><body>Please come again.</body></html>"]
        query = parse_qs(environ.get("QUERY_STRING", ""), keep_blank_values=True)
        root = ET.Element("OAI-PMH", xmlns=NAMESPACE)
        ET.SubElement(root, "responseDate").text = "2026-09-14T13:32:46Z"
        ET.SubElement(root, "request").text = "http://oaipmh.arxiv.org/oai"
        try:
            root.append(self._list_records({name: values[0] for name, values in query.items()}))
        except ProtocolError as error:
            code, said = error.args
            ET.SubElement(root, "error", code=code).text = said
        body = b'<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, "utf-8")
        body = body.replace(
            b'expirationDate="2026-09-15T00:00:00Z"', b"expirationDate='2026-09-15T00:00:00Z'"
        )
        headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(body)))]
        start_response("200 OK", headers)
        return [body]

    def _e_print(self, paper_id: str, start_response: Callable[..., Any]) -> Iterable[bytes]:
        data = self.e_prints.get(paper_id)
        if data is None:
            start_response("404 Not Found", [("Content-Type", "text/html")])
            return [b"<!DOCTYPE html><html><body>No document for that id</body></html>"]
        is_pdf = data.startswith(b"%PDF-")
        kind = [("Content-Type", "application/pdf")] if is_pdf else [("Content-Type", "application/gzip")]
        start_response("200 OK", [*kind, ("Content-Length", str(len(data)))])
        return [data]

    # --- ListRecords ---------------------------------------------------------------------------------------

    def _list_records(self, query: dict[str, str]) -> ET.Element:
        if query.get("verb") != "ListRecords":
            raise ProtocolError("badVerb", f"{query.get('verb')!r} is not imitated")
        asked = self._of_token(query) if "resumptionToken" in query else {**query, "skip": "0"}
        found = self._found(asked)
        skip = int(asked["skip"])
        page = found[skip : skip + self.page_size]
        if not page:
            raise ProtocolError("noRecordsMatch", "No records match")
        listed = ET.Element("ListRecords")
        for held in page:
            listed.append(_record(held, asked["metadataPrefix"]))
        if skip + self.page_size < len(found):
            listed.append(self._token(asked, skip, len(found)))
        elif skip:
            ET.SubElement(listed, "resumptionToken")  # the last page of several has an empty one
        return listed

    def _found(self, asked: Mapping[str, str]) -> list[Held]:
        if unknown := set(asked) - ARGUMENTS - {"skip"}:
            raise ProtocolError("badArgument", f"Unallowed parameter: {', '.join(sorted(unknown))}")
        if asked.get("metadataPrefix") not in PREFIXES:
            raise ProtocolError("cannotDisseminateFormat", "Did not recognize requested format")
        first, last = _day(asked.get("from") or str(EARLIEST)), _day(asked.get("until") or "9999-12-31")
        if last < first or last < EARLIEST:
            raise ProtocolError("badArgument", "until date too early")
        found = [each for each in self.records.values() if first <= _day(each.datestamp) <= last]
        return sorted(found, key=lambda each: (each.datestamp, each.paper_id))

    def _token(self, asked: Mapping[str, str], skip: int, total: int) -> ET.Element:
        rest = {**asked, "skip": str(skip + self.page_size)}
        if self.has_old_tokens:
            element = ET.Element("resumptionToken", cursor=str(skip), completeListSize=str(total))
            element.text = f"{6460044 + len(self._old_tokens)}|{skip + self.page_size + 1}"
            self._old_tokens[element.text] = rest
            return element
        element = ET.Element("resumptionToken", expirationDate="2026-09-15T00:00:00Z")
        element.text = quote(urlencode(rest))
        return element

    def _of_token(self, query: Mapping[str, str]) -> dict[str, str]:
        if set(query) != {"verb", "resumptionToken"}:
            raise ProtocolError("badArgument", "No other parameters allowed with resumptionToken")
        token = query["resumptionToken"]
        if self.n_expiring:
            self.n_expiring -= 1
            raise ProtocolError("badResumptionToken", "Token has expired.")
        asked = self._old_tokens.get(token) or dict(parse_qsl(unquote(token)))
        if quote(unquote(token)) != token and token not in self._old_tokens:
            raise ProtocolError("badResumptionToken", "Token is not as it was given.")
        if not asked.get("skip", "").isdigit():
            raise ProtocolError("badResumptionToken", "Token structure is invalid.")
        return asked


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ProtocolError("badArgument", f"{text!r} is no day") from None


def _record(held: Held, prefix: str) -> ET.Element:
    record = ET.Element("record")
    header = ET.SubElement(record, "header", {} if held.row else {"status": "deleted"})
    ET.SubElement(header, "identifier").text = f"oai:arXiv.org:{held.paper_id}"
    ET.SubElement(header, "datestamp").text = held.datestamp
    if held.row:
        metadata = ET.SubElement(record, "metadata")
        metadata.append(_raw(held.row) if prefix == "arXivRaw" else _arxiv(held.row))
    return record


def _raw(row: Row) -> ET.Element:
    found = ET.Element("arXivRaw", xmlns="http://arxiv.org/OAI/arXivRaw/")
    ET.SubElement(found, "id").text = row["id"]
    ET.SubElement(found, "submitter").text = row.get("submitter")
    for version in row.get("versions") or ():
        element = ET.SubElement(found, "version", version=version["version"])
        ET.SubElement(element, "date").text = version["created"]
        ET.SubElement(element, "size").text = "12kb"
        ET.SubElement(element, "source_type").text = "D"
    _add_single(found, row, SINGLE)
    return found


def _arxiv(row: Row) -> ET.Element:
    found = ET.Element("arXiv", xmlns="http://arxiv.org/OAI/arXiv/")
    ET.SubElement(found, "id").text = row["id"]
    ET.SubElement(found, "created").text = row["update_date"]
    authors = ET.SubElement(found, "authors")
    for names in row.get("authors_parsed") or ():
        author = ET.SubElement(authors, "author")
        for tag, name in zip(("keyname", "forenames", "suffix"), names, strict=False):
            if name:
                ET.SubElement(author, tag).text = name
    _add_single(found, row, [tag for tag in SINGLE if tag != "authors"])
    return found


def _add_single(found: ET.Element, row: Row, tags: Iterable[str]) -> None:
    for tag in tags:
        if row.get(tag) is not None:
            ET.SubElement(found, tag).text = row[tag]


# --- the example corpus ------------------------------------------------------------------------------------


def fill(publishers: ImitationPublishers) -> OaiImitation:
    """Publish the arXiv papers of the example corpus: chunks, manifest, records, e-prints.

    The manifest's sizes are those of the papers in a chunk, without the tar, as in arXiv's own.
    """
    pack, arxiv = _pack(), OaiImitation()
    papers = [paper for paper in pack.papers() if paper["source"] == "arxiv"]
    with tempfile.TemporaryDirectory() as folder:
        pack.pack_arxiv(papers, Path(folder))
        listed = read_manifest((Path(folder) / "src" / MANIFEST).read_bytes())
        for chunk in listed:
            publishers.put("arxiv", chunk.filename, (Path(folder) / chunk.filename).read_bytes())
    sizes: dict[str, int] = {}
    for paper in papers:
        data = pack.delivery(paper)
        chunk_name = f"src/arXiv_src_{pack.yymm_of(paper['paper_id'])}_{paper.get('chunk', 1):03d}.tar"
        sizes[chunk_name] = sizes.get(chunk_name, 0) + len(data)
        arxiv.put(paper["metadata"], max(paper["metadata"]["update_date"], str(EARLIEST)))
        arxiv.e_prints[paper["paper_id"]] = data
    publish_manifest(publishers, [replace(chunk, size=sizes[chunk.filename]) for chunk in listed])
    publishers.mount("oai", arxiv)
    publishers.mount("arxiv", arxiv)
    return arxiv


def publish_manifest(publishers: ImitationPublishers, chunks: Iterable[ChunkFile]) -> None:
    """Put a manifest into arXiv's bucket."""
    publishers.put("arxiv", f"src/{MANIFEST}", manifest_xml(chunks, "Mon Mar  6 08:00:00 2023"))


def _pack() -> ModuleType:
    """The script that packs the example corpus, imported."""
    sys.path.insert(0, str(EXAMPLES))
    try:
        return importlib.import_module("pack")
    finally:
        sys.path.remove(str(EXAMPLES))
