"""arXiv's answers to OAI-PMH requests, as rows in the shape of its JSON-lines metadata snapshot.

Formats only: what a page of an answer says. Asking, and going from page to page, is
`resources/publishers/arxiv.py`; what a row means is `archives/arxiv.py`.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from typing import Any
from xml.etree import (
    ElementTree as ET,
)  # for its types and errors: what comes from outside goes to defusedxml

import defusedxml
import defusedxml.ElementTree

from s1mm_assets.archives.arxiv import parse_id

EARLIEST = date(2005, 9, 16)
"""No record of arXiv's has an older datestamp; a window that ends before it is refused."""

FORBIDDEN = re.compile(
    r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
)  # in XML; some abstracts hold it
REFERENCE = re.compile(r"&#(?:x([0-9A-Fa-f]+)|([0-9]+));", re.ASCII)
MAX_DIGITS = 9  # of a reference to anything that there is; leading zeros aside
MAX_MESSAGE = 200  # characters of what a publisher says that are repeated in an error
COLLECTIVE = re.compile(r"\b(?:collaborations?|consortium|group|team)\b", re.I)
SUFFIX = re.compile(r"(?:jr|sr)\.?|i{2,3}|iv", re.I)
ET_AL = re.compile(r"(?:et\.? al\.?|others)", re.I)
PARTICLES = frozenset(
    {
        "da",
        "de",
        "del",
        "della",
        "den",
        "der",
        "di",
        "dos",
        "du",
        "la",
        "le",
        "ten",
        "ter",
        "van",
        "von",
        "zu",
    }
)

Row = dict[str, Any]  # a row of the snapshot; of a deleted record: id, deleted, update_date


class OaiError(ValueError):
    """The publisher answers with an error, or with what is no answer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code or 'no OAI-PMH answer'}: {message[:MAX_MESSAGE]}")
        self.code = code  # the protocol's; "" where it is no answer


@dataclass(frozen=True, slots=True)
class Page:
    """One answer to ListRecords or GetRecord."""

    rows: list[Row]
    token: str | None  # to ask for the next page with, as it is; None on the last one
    notes: list[str]  # which records could not be read, and why


def read_page(xml: bytes) -> Page:
    """Read an answer in arXivRaw or arXiv.

    Bytes that are no UTF-8 are replaced, and what no XML may hold is dropped, so that one bad abstract costs no page.

    Raises:
        OaiError: It is an error of the protocol (noRecordsMatch, badResumptionToken …), or no answer at all.
    """
    rows, notes, token = [], [], None
    for element in _body_of(_root_of(xml)):
        if _local(element) == "resumptionToken":
            token = (element.text or "").strip() or None
        elif _local(element) == "record":
            try:
                rows.append(row_of(element))
            except ValueError as error:
                notes.append(f"a record was passed over: {error}")
    if len(notes) > 1 and not rows:
        raise OaiError("", f"not one of {len(notes)} records can be read; {notes[0]}")
    return Page(rows, token, notes)


def _body_of(root: ET.Element) -> ET.Element:
    for element in root:
        if _local(element) == "error":
            raise OaiError(str(element.get("code") or "error"), _text(element) or "")
    body = next((each for each in root if _local(each) in ("ListRecords", "GetRecord")), None)
    if _local(root) != "OAI-PMH" or body is None:
        raise OaiError("", f"the answer is a {_local(root)} without records")
    return body


def _root_of(xml: bytes) -> ET.Element:
    text = REFERENCE.sub(_reference, FORBIDDEN.sub("", xml.decode("utf-8-sig", "replace")))
    try:
        root: ET.Element = defusedxml.ElementTree.fromstring(text, forbid_dtd=True)
    except (ET.ParseError, defusedxml.DefusedXmlException, ValueError, LookupError) as error:
        raise OaiError("", f"it is not sound XML: {error}") from None
    return root


def _reference(match: re.Match[str]) -> str:
    """Return a character reference as it is; nothing where it refers to what no XML may hold."""
    digits = (match[1] or match[2]).lstrip("0") or "0"
    code = int(digits, 16 if match[1] else 10) if len(digits) <= MAX_DIGITS else sys.maxunicode + 1
    return "" if code > sys.maxunicode or FORBIDDEN.match(chr(code)) else match[0]


def row_of(record: ET.Element) -> Row:
    """Read one record, in arXivRaw or arXiv, or deleted.

    Raises:
        ValueError: It has no header, no arXiv identifier, no date, or no metadata.
    """
    header = _child(record, "header")
    if header is None:
        raise ValueError("it has no header")
    identifier = (_field(header, "identifier") or "").removeprefix("oai:arXiv.org:")
    arxiv_id = parse_id(identifier)
    if arxiv_id is None:
        raise ValueError(f"{identifier[:80]!r} is no arXiv identifier")
    updated = _day(_field(header, "datestamp"), arxiv_id.paper_id)
    if header.get("status") == "deleted":
        return {"id": arxiv_id.paper_id, "deleted": True, "update_date": updated}
    metadata = _child(record, "metadata")
    found = next(iter(metadata), None) if metadata is not None else None
    if found is None or _local(found) not in ("arXivRaw", "arXiv"):
        raise ValueError(f"{arxiv_id.paper_id} has no metadata in arXivRaw or arXiv")
    own = _of_raw(found) if _local(found) == "arXivRaw" else _of_arxiv(found)
    return _row(arxiv_id.paper_id, found, own, updated)


def _row(paper_id: str, found: ET.Element, own: Row, updated: str) -> Row:
    """Return a row with its keys in the snapshot's order, the identifier first."""
    named = {key: _field(found, key) for key in ("title", "comments", "journal-ref", "doi", "report-no")}
    return {
        "id": paper_id,
        "submitter": _field(found, "submitter"),
        "authors": own["authors"],
        **named,
        "categories": _field(found, "categories"),
        "license": _field(found, "license"),
        "abstract": _field(found, "abstract"),
        "versions": own["versions"],
        "update_date": updated,
        "authors_parsed": own["authors_parsed"],
    }


def _of_raw(found: ET.Element) -> Row:
    versions = [
        {"version": each.get("version"), "created": _field(each, "date")}
        for each in found
        if _local(each) == "version"
    ]
    authors = _field(found, "authors")
    return {"authors": authors, "versions": versions, "authors_parsed": parse_authors(authors or "")}


def _of_arxiv(found: ET.Element) -> Row:
    """Authors are elements here; of versions only the days of the first and of the last are told."""
    listed = _child(found, "authors")
    parsed = [
        [_field(author, part) or "" for part in ("keyname", "forenames", "suffix")]
        for author in (listed if listed is not None else ())
    ]
    created, updated = _field(found, "created"), _field(found, "updated")
    versions: list[dict[str, str | None]] = [{"version": "v1", "created": _mail_date(created)}]
    if updated:
        versions.append({"version": None, "created": _mail_date(updated)})
    names = (" ".join(part for part in (given, family, suffix) if part) for family, given, suffix in parsed)
    return {"authors": ", ".join(names) or None, "versions": versions, "authors_parsed": parsed}


def _mail_date(day: str | None) -> str | None:
    """Return "Thu, 09 Jan 2014 00:00:00 GMT" of "2014-01-09", as the snapshot writes times."""
    try:
        return format_datetime(datetime.fromisoformat(day or "").replace(tzinfo=UTC), usegmt=True)
    except ValueError:
        return None


def _day(text: str | None, paper_id: str) -> str:
    try:
        return date.fromisoformat((text or "")[:10]).isoformat()
    except ValueError:
        raise ValueError(f"{paper_id} has the datestamp {(text or '')[:40]!r}") from None


def _local(element: ET.Element) -> str:
    """Return a tag without its namespace."""
    return str(element.tag).rpartition("}")[2]


def _child(element: ET.Element, tag: str) -> ET.Element | None:
    return next((child for child in element if _local(child) == tag), None)


def _field(element: ET.Element, tag: str) -> str | None:
    child = _child(element, tag)
    return _text(child) if child is not None else None


def _text(element: ET.Element) -> str | None:
    text = element.text or ""
    return text if text.strip() else None


# --- windows -----------------------------------------------------------------------------------------------


def windows(first: date, last: date, landed: Iterable[tuple[date, date]]) -> list[tuple[date, date]]:
    """Cover the days from `first` to `last`: by the windows that have landed, and between them by weeks from Monday.

    No day lies in two windows, but where two that have landed overlap; none lies in no window. A week that was not
    over when it landed is followed by what was left of it.

    Args:
        first: The first day of which datestamps are asked for.
        last: The last one.
        landed: First and last day of each window that is there.

    Returns:
        First and last day of each window, in order; at most seven days each, but for those that have landed.
    """
    taken = [(begin, end) for begin, end in sorted(landed) if first <= end and begin <= last]
    found, day, one = [], first, timedelta(days=1)
    for begin, end in [*taken, (last + one, last)]:
        while day < begin:
            until = min(day + timedelta(days=6 - day.weekday()), begin - one)
            found.append((day, until))
            day = until + one
        day = max(day, end + one)
    return sorted([*found, *taken])


# --- authors -----------------------------------------------------------------------------------------------


def parse_authors(text: str) -> list[list[str]]:
    """Return [family, given, suffix] of each author that a line of authors names.

    Authors are parted by commas and "and"; affiliations in parentheses are dropped; braces and TeX accents are left
    as they are. "A. de Marrais, N. Evans II and the BABAR Collaboration" gives three.
    """
    parsed: list[list[str]] = []
    for name in _names(_without_parentheses(text)):
        if SUFFIX.fullmatch(name) and parsed:
            parsed[-1][2] = name  # "J. Doe, Jr."
        elif not ET_AL.fullmatch(name):
            parsed.append(_parsed(name))
    return parsed


def _without_parentheses(text: str) -> str:
    kept, depth = [], 0
    for piece in re.split(r"(\\.|[()])", text, flags=re.S):
        if piece == "(":
            depth += 1
        elif piece == ")":
            depth = max(depth - 1, 0)
        elif not depth:
            kept.append(piece)
    return "".join(kept)


def _names(text: str) -> Iterator[str]:
    """Yield what stands between commas, colons and the word "and", outside of braces."""
    words: list[str] = []
    depth = 0
    for piece in re.split(r"(\\.|[{},:;\s])", text, flags=re.S):
        depth += (piece == "{") - (piece == "}" and depth > 0)
        is_space = piece.isspace()
        if not depth and (piece in (",", ":", ";") or (piece == "and" and _ends_word(words))):
            yield from _joined(words)
            words = []
        elif piece:
            words.append(" " if is_space else piece)
    yield from _joined(words)


def _ends_word(words: list[str]) -> bool:
    return not words or words[-1] == " "


def _joined(words: list[str]) -> Iterator[str]:
    name = " ".join("".join(words).split())
    if name:
        yield name


def _parsed(name: str) -> list[str]:
    words = name.split()
    if COLLECTIVE.search(name) or len(words) == 1:
        return [name, "", ""]
    suffix = words.pop() if len(words) > 2 and SUFFIX.fullmatch(words[-1]) else ""
    at = len(words) - 1
    while at > 1 and words[at - 1] in PARTICLES:
        at -= 1
    return [" ".join(words[at:]), " ".join(words[:at]), suffix]
