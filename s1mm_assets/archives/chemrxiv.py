"""What ChemRxiv publishes: DOIs of its three platforms, items of the Open Engage API, Crossref's posted content.

Formats only: who is asked, and in which order, is `resources/publishers/chemrxiv.py`.

ChemRxiv lay on figshare from August 2017, on Cambridge's Open Engage from 2021, and lies on Wiley's platform since
January 2026. Crossref knows every version of all three as a record of its own; Open Engage lists the newest alone.
"""

import html
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import date, timedelta
from itertools import takewhile
from typing import Any
from urllib.parse import quote, urlsplit

from s1mm_assets.tables import Metadata

PREFIX = "10.26434"
LAUNCH = date(2017, 8, 1)
LEFT_ENGAGE = date(2026, 1, 1)  # the month in which it did: what Open Engage lists of it and later is not all
FIGSHARE_YEARS = range(2017, 2022)
FIGSHARE_NUMBERS = range(15_000_000)  # of papers; 14,7xx,xxx in the summer of 2021
PAGE_ITEMS = 50  # what Open Engage gives at most
PAGE_ROWS = 1000  # what Crossref gives at most
CROSSREF_FIELDS = (
    "DOI,title,abstract,author,group-title,license,link,resource,posted,issued,created,deposited"
)

MINTED_WITH_YEAR = re.compile(r"chemrxiv-(20\d\d)-[a-z0-9]{3,12}")
NUMBERED = re.compile(r"chemrxiv\.[1-9]\d{2,11}")
VERSION = re.compile(r"([./-])v([1-9]\d{0,2})$", re.ASCII)
KNOWN_DAY = re.compile(r"20\d\d(?:-\d\d(?:-\d\d)?)?", re.ASCII)
RESOLVER = re.compile(r"^(?:https?://(?:dx\.)?doi\.org/|doi:\s*)")
DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
HTML_TAG = re.compile(
    r"</?(?:p|br|div|span|sub|sup|i|b|u|em|strong|a|ul|ol|li|h[1-6])(?:\s+[\w:-]+\s*=[^<>]{0,500})?\s*/?>",
    re.I,
)
XML_TAG = re.compile(r"<[^<>]{0,500}>")
BLOCK_TAG = re.compile(
    r"</?(?:\w+:)?(?:p|br|div|li|ul|ol|h[1-6]|title|sec|list|list-item|disp-formula)\b", re.I
)
ABSTRACT_TITLE = re.compile(r"^\s*<(?:\w+:)?title>\s*abstract\s*</(?:\w+:)?title>", re.I)
CONTROL = re.compile(r"[\x00-\x1f\x7f]+")
WITHDRAWN_TITLE = re.compile(
    r"^\W*(?:withdrawn|retracted)\s*[:\])–—-]|[\[(](?:withdrawn|retracted)\b[^\])]{0,60}[\])]\s*$", re.I
)
PDF = "application/pdf"
MAX_TEXT, MAX_URL, MAX_AUTHORS = 100_000, 2_000, 5_000
MAX_PDF_BYTES = 2**31
MAX_EXAMPLES = 5


class PageError(ValueError):
    """An answer is not what the API gives: it is out of order."""


# --- DOIs --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Doi:
    """A DOI of ChemRxiv's, read."""

    paper_id: str  # "10.26434/chemrxiv-2025-81glw", "10.26434/chemrxiv.14731779": without version, lower case
    version: int | None  # None: that of figshare's DOIs which stand for all versions
    year_minted: int | None  # a paper may be posted in the January after
    is_of_2026: bool = False  # or later: this version, by its shape
    may_be_of_figshare: bool = False  # the paper, by its number


def read_doi(text: str) -> Doi | None:
    """Read a DOI of any of the three shapes; None where it is no paper of ChemRxiv's.

    Understands "10.26434/chemrxiv.14731779.v1" (figshare), "10.26434/chemrxiv-2025-81glw" (version 1) and
    "…-v2" (Open Engage), "10.26434/chemrxiv.15007431/v1" (since 2026), and a resolver before it.
    """
    doi = RESOLVER.sub("", text[:300].strip().lower())
    match = VERSION.search(doi)
    paper_id, mark, version = (doi[: match.start()], match[1], int(match[2])) if match else (doi, "", None)
    prefix, _, name = paper_id.partition("/")
    if prefix != PREFIX:
        return None
    if minted := MINTED_WITH_YEAR.fullmatch(name):
        return Doi(paper_id, version or 1, int(minted[1])) if mark != "." else None
    if NUMBERED.fullmatch(name) and mark != "-":
        is_low = int(name.rpartition(".")[2]) in FIGSHARE_NUMBERS
        return Doi(paper_id, version, None, is_of_2026=mark == "/", may_be_of_figshare=is_low)
    return None


# --- one version of a paper --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprint:
    """One version of a paper, as one of the routes lists it."""

    doi: str  # as registered, lower case
    paper_id: str
    version: int | None
    posted: str | None  # ISO date of this version, or the part of it that is known
    stated: str | None  # ISO date of the record
    title: str | None
    abstract: str | None
    authors: Sequence[str]
    categories: Sequence[str]
    licence: str | None
    is_withdrawn: bool
    pdf_url: str | None
    size: int | None  # bytes of the PDF, where it is said
    other_pdf_urls: Sequence[str] = field(default_factory=list)  # where it was said to lie when asked before


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One answer of a route."""

    n_records: int  # readable or not
    total: int | None  # of the whole question
    cursor: str | None  # of the next page, by Crossref
    preprints: Sequence[Preprint]
    passed_over: Sequence[str]  # of each record that is not read: which, and why


def _page(
    records: Any, total: Any, cursor: Any, read: Callable[[Mapping[str, Any]], Preprint], doi_of: str
) -> Page:
    if not isinstance(records, list):
        raise PageError(f"the answer holds no list of records, but {str(records)[:80]!r}")
    preprints, passed_over = [], []
    for record in records:
        try:
            preprints.append(read(_mapping(record)))
        except ValueError as error:
            passed_over.append(f"{str(_mapping(record).get(doi_of))[:80]!r}: {error}")
    is_count = isinstance(total, int) and not isinstance(total, bool) and total >= 0
    return Page(
        n_records=len(records),
        total=total if is_count else None,
        cursor=cursor if isinstance(cursor, str) and 0 < len(cursor) <= MAX_URL else None,
        preprints=preprints,
        passed_over=passed_over,
    )


def _answer(data: bytes) -> Mapping[str, Any]:
    try:
        answer = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PageError(f"the answer is no JSON: {str(error)[:80]}") from None
    return _mapping(answer)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _string(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _text(value: Any, tag: re.Pattern[str]) -> str | None:
    """Return a text without tags, entities and line ends; None where nothing is left."""
    if not isinstance(value, str):
        return None
    kept = tag.sub(lambda found: " " if BLOCK_TAG.match(found[0]) else "", value[:MAX_TEXT])
    plain = html.unescape(kept).encode("utf-8", "ignore").decode()  # lone surrogates can be stored nowhere
    return " ".join(CONTROL.sub(" ", plain).split()) or None


def _texts(values: Iterable[Any], tag: re.Pattern[str]) -> list[str]:
    texts = (_text(value, tag) for value in values)
    return [text for text in texts if text]


def _day(value: Any) -> str | None:
    """Return the ISO date that a timestamp begins with; None of a day on which there was no ChemRxiv."""
    match = DAY.match(_string(value))
    try:
        day = date.fromisoformat(match[0]) if match else None
    except ValueError:
        return None
    return day.isoformat() if day and LAUNCH.year <= day.year < 2100 else None


def _url(value: Any) -> str | None:
    """Return an address as it may be asked; None where it is none."""
    if not isinstance(value, str) or len(value) > MAX_URL or CONTROL.search(value):
        return None
    try:
        url = quote(value.strip(), safe="%/:=&?~+!$,;'@()*[]")
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def _placed(doi: str) -> Doi:
    read = read_doi(doi)
    if read is None:
        raise ValueError("its DOI is no paper of ChemRxiv's")
    return read


def _require_time(doi: Doi, posted: str | None) -> None:
    if posted is None and doi.year_minted is None:
        raise ValueError("nothing says when it was posted")


# --- Open Engage -------------------------------------------------------------------------------------------


def engage_params(first: date, end: date, skip: int) -> dict[str, str]:
    """Return what a page of `items` is asked by: items of the days from `first` to the one before `end`.

    The API takes the end for an instant, or for a day: that day's items may be among them.
    """
    return {
        "limit": str(PAGE_ITEMS),
        "skip": str(skip),
        "sort": "PUBLISHED_DATE_DESC",
        "searchDateFrom": first.isoformat(),
        "searchDateTo": end.isoformat(),
    }


def read_engage_page(data: bytes) -> Page:
    """Read a page of `items`.

    Raises:
        PageError: It is none.
    """
    answer = _answer(data)
    hits = answer.get("itemHits")
    items = [_mapping(hit).get("item", hit) for hit in hits] if isinstance(hits, list) else hits
    return _page(items, answer.get("totalCount"), None, engage_preprint, "doi")


def engage_preprint(item: Mapping[str, Any]) -> Preprint:
    """Read one item.

    Raises:
        ValueError: It is no paper of ChemRxiv's, or nothing says when it was posted.
    """
    doi = _placed(_string(item.get("doi")))
    days = [_day(item.get(name)) for name in ("publishedDate", "approvedDate", "statusDate", "submittedDate")]
    posted = next((day for day in days if day), None)
    _require_time(doi, posted)
    said = item.get("version")
    version = str(said) if isinstance(said, int | str) else ""
    asset = _mapping(item.get("asset"))
    url = _url(_mapping(asset.get("original")).get("url"))
    is_pdf = asset.get("mimeType") == PDF or (not asset.get("mimeType") and _is_named_pdf(url))
    title = _text(item.get("title"), HTML_TAG)
    return Preprint(
        doi=_string(item.get("doi")).strip().lower(),
        paper_id=doi.paper_id,
        version=int(version) if re.fullmatch(r"[1-9]\d{0,2}", version, re.ASCII) else doi.version,
        posted=posted,
        stated=_day(item.get("statusDate")) or posted,
        title=title,
        abstract=_text(item.get("abstract"), HTML_TAG),
        authors=_names(item.get("authors"), "firstName", "lastName"),
        categories=_texts((_mapping(each).get("name") for each in _list(item.get("categories"))), HTML_TAG),
        licence=_engage_licence(_mapping(item.get("license"))),
        is_withdrawn="WITHDRAW" in _string(item.get("status")).upper() or _is_withdrawn(title),
        pdf_url=url if is_pdf else None,
        size=_size(asset.get("fileSizeBytes")) if is_pdf else None,
    )


def _engage_licence(licence: Mapping[str, Any]) -> str | None:
    """Return the licence's address where it is one of Creative Commons, else its name: "CC BY NC ND 4.0"."""
    url = _url(licence.get("url"))
    is_read = "creativecommons.org" in (url or "")
    return url if is_read else _text(licence.get("name"), HTML_TAG) or url


def _size(value: Any) -> int | None:
    is_size = isinstance(value, int) and not isinstance(value, bool) and 0 < value < MAX_PDF_BYTES
    return value if is_size else None


def _names(people: Any, first: str, last: str) -> list[str]:
    named = []
    for person in _list(people)[:MAX_AUTHORS]:
        parts = _texts((_mapping(person).get(name) for name in (first, last, "suffix")), XML_TAG)
        parts = parts or _texts([_mapping(person).get("name")], XML_TAG)
        if parts:
            named.append(" ".join(parts))
    return named


def _is_named_pdf(url: str | None) -> bool:
    path = urlsplit(url or "").path.lower()
    return path.endswith(".pdf") or "/doi/pdf/" in path


def _is_withdrawn(title: str | None) -> bool:
    return bool(WITHDRAWN_TITLE.search(title or ""))


# --- Crossref ----------------------------------------------------------------------------------------------


def crossref_params(first: date, end: date, cursor: str) -> dict[str, str]:
    """Return what a page of `works` is asked by: posted from `first` to the day before `end`."""
    last = end - timedelta(days=1)
    return {
        "filter": f"prefix:{PREFIX},type:posted-content,from-posted-date:{first},until-posted-date:{last}",
        "select": CROSSREF_FIELDS,
        "rows": str(PAGE_ROWS),
        "cursor": cursor,
    }


def read_crossref_page(data: bytes) -> Page:
    """Read a page of `works`.

    Raises:
        PageError: It is none.
    """
    message = _mapping(_answer(data).get("message"))
    total, cursor = message.get("total-results"), message.get("next-cursor")
    return _page(message.get("items"), total, cursor, crossref_preprint, "DOI")


def crossref_preprint(work: Mapping[str, Any]) -> Preprint:
    """Read one record of posted content.

    Raises:
        ValueError: It is no paper of ChemRxiv's, or nothing says when it was posted.
    """
    doi = _placed(_string(work.get("DOI")))
    days = (_date_parts(work.get(name)) for name in ("posted", "issued", "created"))
    posted = next((day for day in days if day), None)
    _require_time(doi, posted)
    titles = work.get("title")
    title = _text(titles[0] if isinstance(titles, list) and titles else titles, XML_TAG)
    return Preprint(
        doi=_string(work.get("DOI")).strip().lower(),
        paper_id=doi.paper_id,
        version=doi.version,
        posted=posted,
        stated=_date_parts(work.get("deposited")) or posted,
        title=title,
        abstract=_text(ABSTRACT_TITLE.sub("", _string(work.get("abstract"))[:MAX_TEXT]), XML_TAG),
        authors=_names(work.get("author"), "given", "family"),
        categories=_texts([work.get("group-title")], XML_TAG),
        licence=_crossref_licence(work),
        is_withdrawn=_is_withdrawn(title),
        pdf_url=_crossref_pdf(work),
        size=None,
    )


def _date_parts(value: Any) -> str | None:
    """Return "2024-01-25", "2024-01" or "2024" of {"date-parts": [[2024, 1, 25]]}; None where it is no date."""
    rows = _list(_mapping(value).get("date-parts"))
    parts = list(takewhile(lambda part: type(part) is int, _list(rows[0])[:3])) if rows else []
    year, month, day_of_month = [*parts, 1, 1, 1][:3]
    try:
        day = date(year, month, day_of_month) if parts else None
    except (ValueError, OverflowError):
        return None
    if day is None or not LAUNCH.year <= day.year < 2100:
        return None
    return day.isoformat()[: (4, 7, 10)[len(parts) - 1]]


def _crossref_licence(work: Mapping[str, Any]) -> str | None:
    """Return the licences of the content, which must agree to be believed; those of text mining are others."""
    found = []
    for licence in map(_mapping, _list(work.get("license"))):
        url = _url(licence.get("URL"))
        if url and licence.get("content-version") in (None, "vor", "unspecified") and url not in found:
            found.append(url)
    return " | ".join(found[:MAX_EXAMPLES]) or None


def _crossref_pdf(work: Mapping[str, Any]) -> str | None:
    links = [_mapping(link) for link in _list(work.get("link"))]
    declared = [_url(link.get("URL")) for link in links if link.get("content-type") == PDF]
    primary = _mapping(_mapping(work.get("resource")).get("primary")).get("URL")
    named = [url for url in [*(_url(link.get("URL")) for link in links), _url(primary)] if _is_named_pdf(url)]
    return next((url for url in [*declared, *named] if url), None)


# --- papers ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """A paper: its newest version, and when its first was posted."""

    newest: Preprint
    pdf_urls: Sequence[str]  # where its PDF may lie, by all routes; what is said now comes first
    first_posted: str  # ISO date, or the year alone
    is_sure: bool  # whether it is the date of version 1

    @property
    def year(self) -> int:
        """The year it belongs to."""
        return int(self.first_posted[:4])


def papers_of(preprints: Iterable[Preprint]) -> list[Paper]:
    """Return each paper once, by its newest version, in order of first posting and identifier.

    A paper was first posted when its version 1 was, where one of the preprints is that. Else it belongs to the year
    in its DOI (that of Open Engage: the day is not known then), else to the day of the oldest version known.
    Of two records of one version the one with a PDF counts, then the later; withdrawn it is if one of them says so.
    """
    versions: dict[str, list[Preprint]] = {}
    for preprint in preprints:
        versions.setdefault(preprint.paper_id, []).append(preprint)
    papers = [_paper(paper_id, found) for paper_id, found in versions.items()]
    return sorted(papers, key=lambda paper: (paper.first_posted, paper.newest.paper_id))


def _paper(paper_id: str, versions: Sequence[Preprint]) -> Paper:
    newest = max(
        versions, key=lambda each: (each.version or 0, bool(each.pdf_url), each.posted or "", each.doi)
    )
    same = [newest, *(each for each in versions if each.version == newest.version)]
    said = [each.pdf_url for each in same] + [url for each in same for url in each.other_pdf_urls]
    first = [each.posted for each in versions if each.version == 1 and each.posted]
    return Paper(
        newest=replace(newest, is_withdrawn=any(each.is_withdrawn for each in same)),
        pdf_urls=list(dict.fromkeys(url for url in said if url)),
        first_posted=min(first) if first else _likely_posted(paper_id, versions),
        is_sure=bool(first),
    )


def _likely_posted(paper_id: str, versions: Sequence[Preprint]) -> str:
    """Return when a paper was first posted, as far as it is known without version 1."""
    doi = read_doi(paper_id)
    known = min((each.posted for each in versions if each.posted), default="")
    return str(doi.year_minted) if doi and doi.year_minted else known


def undecided_since(preprints: Iterable[Preprint]) -> date | None:
    """Return from when on version 1 must be sought of papers whose year is not known without it; None: of none."""
    known = [(each, read_doi(each.doi)) for each in preprints]
    decided = {each.paper_id for each, doi in known if doi and _is_first(each, doi)}
    open_dois = [doi for each, doi in known if doi and each.paper_id not in decided]
    starts = [
        LEFT_ENGAGE if doi.is_of_2026 and not doi.may_be_of_figshare else LAUNCH
        for doi in open_dois
        if doi.year_minted is None
    ]
    return min(starts, default=None)


def _is_first(preprint: Preprint, doi: Doi) -> bool:
    """Whether a preprint tells a paper's year: version 1, unless that of 2026 may follow figshare's of one number."""
    may_follow = doi.is_of_2026 and doi.may_be_of_figshare
    return preprint.version == 1 and bool(preprint.posted) and not may_follow


def possible_years(preprint: Preprint) -> set[int]:
    """Return the years that a paper may belong to, by what one of its versions says."""
    posted = int(preprint.posted[:4]) if preprint.posted else None
    doi = read_doi(preprint.doi)
    if posted and doi and _is_first(preprint, doi):
        return {posted}
    if doi and doi.year_minted:  # posted in that year, or in the January after
        return {doi.year_minted, min(doi.year_minted + 1, posted or doi.year_minted)}
    if posted is None or doi is None:
        return set()
    years = {posted} if preprint.version is None else set()
    if doi.is_of_2026:
        years.update(range(LEFT_ENGAGE.year, posted + 1))
    if doi.may_be_of_figshare or not doi.is_of_2026:
        years.update(range(FIGSHARE_YEARS.start, min(posted + 1, FIGSHARE_YEARS.stop)))
    return years


def metadata_of(paper: Paper) -> Metadata:
    """Return what is known of a paper."""
    newest = paper.newest
    return Metadata(
        paper_id=newest.paper_id,
        arxiv_id=None,
        doi=newest.doi,
        title=newest.title,
        abstract=newest.abstract,
        authors=list(newest.authors),
        categories=list(newest.categories),
        licence=newest.licence,
        first_posted=paper.first_posted,
        updated=newest.posted,
        version=version_name(newest),
        is_withdrawn=newest.is_withdrawn,
        licence_read=newest.stated,
    )


def version_name(preprint: Preprint) -> str | None:
    """Return a version as it is written: "v2"."""
    return f"v{preprint.version}" if preprint.version else None


# --- months, as they are remembered ------------------------------------------------------------------------

INDEX_FORMAT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """What was listed of one month."""

    asked: str  # ISO date: when
    routes: Sequence[str]  # who answered
    preprints: Sequence[Preprint]
    n_passed_over: int
    passed_over: Sequence[str] = field(default_factory=tuple)  # examples


def joined(before: Month, now: Month) -> Month:
    """Return what a month holds by what was said of it before and what is said now.

    What is said now counts, but for the day of posting: a paper stays of one year, and lies where it lay, whichever
    route says it. Versions that are listed no more, as Open Engage does with all but the newest, stay as they were,
    and so do withdrawals and the addresses of PDFs.
    """
    known: dict[tuple[str, int | None], list[Preprint]] = {}
    for preprint in before.preprints:
        known.setdefault((preprint.paper_id, preprint.version), []).append(preprint)
    preprints = [_joined(known.get((each.paper_id, each.version), []), each) for each in now.preprints]
    listed = {(each.paper_id, each.version) for each in now.preprints}
    kept = [each for version, found in known.items() if version not in listed for each in found]
    return replace(now, preprints=[*preprints, *kept])


def _joined(before: Sequence[Preprint], now: Preprint) -> Preprint:
    said = [url for each in before for url in (each.pdf_url, *each.other_pdf_urls)]
    others = dict.fromkeys([*now.other_pdf_urls, *said])
    return replace(
        now,
        posted=next((each.posted for each in before if each.posted), now.posted),
        is_withdrawn=now.is_withdrawn or any(each.is_withdrawn for each in before),
        other_pdf_urls=[url for url in others if url and url != now.pdf_url],
    )


def months_from(first: date, last: date) -> list[date]:
    """Return the first days of the months from that of `first` to that of `last`, both included."""
    count = (last.year - first.year) * 12 + last.month - first.month
    return [month_after(first, n) for n in range(count + 1)]


def month_after(day: date, n_months: int) -> date:
    """Return the first day of the month that comes some months after that of a day; before, where negative."""
    months = day.year * 12 + day.month - 1 + n_months
    return date(months // 12, months % 12 + 1, 1)


def index_bytes(month: Month) -> bytes:
    """Write a month as it is remembered: JSON."""
    return json.dumps({"format": INDEX_FORMAT, **asdict(month)}).encode("ascii")


def read_index(data: bytes) -> Month | None:
    """Read a month that was remembered; None where that is not what it is."""
    try:
        row = json.loads(data)
        if row.pop("format") != INDEX_FORMAT:
            return None
        preprints = [Preprint(**each) for each in row.pop("preprints")]
        date.fromisoformat(row["asked"])
        return Month(preprints=preprints, **row) if all(map(_is_sound, preprints)) else None
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None


def _is_sound(preprint: Preprint) -> bool:
    """Whether a preprint can be placed: what becomes part of a path, or is compared, is what it was."""
    doi = read_doi(preprint.doi)
    is_known = doi is not None and doi.paper_id == preprint.paper_id
    is_dated = (
        bool(KNOWN_DAY.fullmatch(preprint.posted)) if preprint.posted else bool(doi and doi.year_minted)
    )
    urls = [preprint.pdf_url or "", *preprint.other_pdf_urls]
    is_addressed = all(isinstance(url, str) for url in urls)
    return is_known and is_dated and is_addressed and type(preprint.version) in (int, type(None))
