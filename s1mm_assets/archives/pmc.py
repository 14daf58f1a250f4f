"""PMC's open-data bucket, and Europe PMC's search that says which papers to look for in it.

The bucket holds loose files below `PMC<id>.<version>/`, and of each paper what it is in
`metadata/PMC<id>.<version>.json`. A paper is packed as one tar, whose bytes follow from names and sizes alone: any of
them can be told before the files are read, and so from any offset. Pure functions; who asks is
`resources/publishers/nature_communications`.
"""

import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any

from s1mm_assets.archives.limits import MIB
from s1mm_assets.archives.local import tar_length, tar_pieces
from s1mm_assets.archives.papers import file_stem_of
from s1mm_assets.archives.sniff import IMAGE_EXTENSIONS, extension_of
from s1mm_assets.tables import Metadata

ISSN = "2041-1723"
JOURNALS = frozenset({"nat commun", "nature communications"})
PAGE_SIZE = 1000  # the most that Europe PMC gives
FIRST_CURSOR = "*"
METADATA = "metadata/"
MAX_METADATA_BYTES = 4 * MIB
MAX_MEMBER_BYTES = 512 * MIB
MAX_FILES = 5_000  # of one paper
MAX_AUTHORS = 10_000
IMAGES = (IMAGE_EXTENSIONS - {"pdf"}) | {"webp", "jp2", "emf", "jpe"}
ARTICLES = frozenset({"xml", "nxml"})
OTHER_FORMS = frozenset({"txt", "json", "pdf"})  # of the article, not beside it

PMCID = re.compile(r"PMC[1-9][0-9]{0,9}")
METADATA_KEY = re.compile(rf"{METADATA}({PMCID.pattern})\.([1-9][0-9]{{0,3}})\.json")
FILE_NAME = re.compile(r"[\w(\[][\w .()\[\]+,=@~&'%#!$^{}-]{0,199}")
FILE_URL = re.compile(
    rf"s3://[\w.-]{{1,63}}/({PMCID.pattern}\.[1-9][0-9]{{0,3}})/([^/?]+)(?:\?md5=([0-9a-fA-F]{{32}}))?"
)
MD5 = re.compile(r"[0-9a-f]{32}")
DOI = re.compile(r"10\.\d{4,9}/[^\s\"<>\\]{1,200}")
LICENCE = re.compile(r"CC0|CC[ -]BY(?:-NC)?(?:-(?:SA|ND))?(?:[ -]\d\.\d)?", re.I)
NO_FIGURE = re.compile(r"_(?:I?Equ?|Tab|Sch[oe]m)[a-z]*\d", re.I)  # Springer's names of equations and tables
TAG = re.compile(r"</?([A-Za-z][A-Za-z0-9:-]{0,40})(?:\s[^<>]{0,200})?/?>")
WITHIN_WORDS = frozenset(
    {"i", "b", "u", "em", "strong", "sub", "sup", "sc", "span", "italic", "bold"}
)  # tags
INDEX_FORM = 1  # raised when `read_package` reads otherwise: what was learnt before is then learnt again
HUNDRED = 2  # digits
LEAST_DIGITS = 7  # of an id whose hundred is asked for at once: its prefix begins few other ids

Json = dict[str, Any]


class PmcError(ValueError):
    """An answer is none; the message says what it is instead."""


# --- Europe PMC --------------------------------------------------------------------------------------------


def year_query(year: int) -> str:
    """Return the search for the journal's open articles first published in a year."""
    return f'ISSN:"{ISSN}" AND OPEN_ACCESS:y AND FIRST_PDATE:[{year}-01-01 TO {year}-12-31]'


def news_query(since: date, until: date) -> str:
    """Return the search for what is new since a day: articles, full texts and retractions.

    Not every change of a record: they are revised for years, for the sake of keywords and citations, and each would
    ask for its whole year again.
    """
    days = f"[{since:%Y-%m-%d} TO {until:%Y-%m-%d}]"
    news = f"FIRST_PDATE:{days} OR FIRST_IDATE:{days} OR FT_CDATE:{days}"
    retracted = f'(PUB_TYPE:"Retracted Publication" AND UPDATE_DATE:{days})'
    return f'ISSN:"{ISSN}" AND OPEN_ACCESS:y AND ({news} OR {retracted})'


def search_params(query: str, cursor: str = FIRST_CURSOR) -> dict[str, str]:
    """Return the parameters of one page of a search."""
    return {
        "query": query,
        "format": "json",
        "resultType": "lite",
        "pageSize": str(PAGE_SIZE),
        "cursorMark": cursor,
    }


@dataclass(frozen=True, slots=True)
class SearchPage:
    """One page of an answer."""

    records: Sequence[Any]
    next_cursor: str | None  # None: it was the last
    n_hits: int | None  # of the whole search


def read_page(data: bytes) -> SearchPage:
    """Read an answer of the search.

    Raises:
        PmcError: It is no such answer.
    """
    answer = _object(data)
    result_list = answer.get("resultList")
    records = result_list.get("result") if isinstance(result_list, dict) else None
    if not isinstance(records, list):
        raise PmcError(f"an answer without resultList.result: {data[:80]!r}")
    cursor, n_hits = answer.get("nextCursorMark"), answer.get("hitCount")
    return SearchPage(
        records=records,
        next_cursor=cursor if isinstance(cursor, str) and 0 < len(cursor) <= 2000 and records else None,
        n_hits=n_hits if type(n_hits) is int else None,
    )


class Omission(StrEnum):
    """Why a record of the search, or what the bucket has of it, is no offer; as a note says it."""

    NO_RECORD = "records that cannot be read"
    OTHER_JOURNAL = f"records of other journals than ISSN {ISSN}"
    NOT_IN_PMC = "articles without a PMC id"
    NO_DATE = "articles without a date of first publication"
    OTHER_YEAR = "articles first published in another year"
    NOT_IN_BUCKET = "articles that are not in the bucket"
    BAD_METADATA = "articles whose metadata cannot be read"
    NO_FILES = "articles without XML and PDF"
    TOO_MANY_FILES = f"articles of more than {MAX_FILES} files"


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """What Europe PMC says of an article."""

    pmcid: str
    first_published: str  # ISO date
    doi: str | None
    title: str | None
    abstract: str | None  # of answers with resultType=core alone
    authors: tuple[str, ...]
    are_full_names: bool  # "Jane B Doe" of core, rather than "Doe JB"


def read_article(record: Any) -> Article | Omission:
    """Read a record of the search, of resultType lite or core."""
    if not isinstance(record, dict):
        return Omission.NO_RECORD
    if not _is_ours(record):
        return Omission.OTHER_JOURNAL
    pmcid, published = record.get("pmcid"), record.get("firstPublicationDate")
    if not isinstance(pmcid, str) or not PMCID.fullmatch(pmcid):
        return Omission.NOT_IN_PMC
    day = iso_date(published)
    if day is None:
        return Omission.NO_DATE
    full = _full_names(record)
    return Article(
        pmcid=pmcid,
        first_published=day,
        doi=_doi(record.get("doi")),
        title=_plain(record.get("title"), 2_000),
        abstract=_plain(record.get("abstractText"), 50_000),
        authors=full or _short_names(record.get("authorString")),
        are_full_names=bool(full),
    )


def _is_ours(record: Json) -> bool:
    """Whether the record itself names the journal: by ISSN, or by title where it has no ISSN."""
    issns, title = record.get("journalIssn"), record.get("journalTitle")
    journal = _within(_within(record, "journalInfo"), "journal")
    found = {each.strip().upper() for each in str(issns or "").split(";")}
    found |= {str(journal.get(key) or "").strip().upper() for key in ("issn", "essn")}
    found.discard("")
    if found:
        return ISSN in found
    titles = {title, journal.get("title"), journal.get("medlineAbbreviation")}
    return any(isinstance(each, str) and each.strip().lower() in JOURNALS for each in titles)


def _full_names(record: Json) -> tuple[str, ...]:
    listed = _within(record, "authorList").get("author")
    names = []
    for author in listed[:MAX_AUTHORS] if isinstance(listed, list) else ():
        if isinstance(author, dict):
            parts = [_plain(author.get(key), 200) for key in ("firstName", "lastName")]
            names.append(" ".join(filter(None, parts)) or _plain(author.get("collectiveName"), 200))
    return tuple(name for name in names if name)


def _short_names(text: Any) -> tuple[str, ...]:
    whole = _plain(text, 200 * MAX_AUTHORS)
    return tuple(name for name in (whole or "").removesuffix(".").split(", ") if name)[:MAX_AUTHORS]


# --- the bucket --------------------------------------------------------------------------------------------


def metadata_prefixes(pmcids: Iterable[str]) -> list[str]:
    """Return the prefixes whose listings hold the metadata of some articles.

    Articles whose ids lie in one hundred are listed by one request: a journal's articles are deposited in rows, and a
    hundred ids fit on one page. An article that is alone in its hundred is listed alone.
    """
    hundreds: dict[str, list[str]] = {}
    for pmcid in dict.fromkeys(pmcids):
        is_long = len(pmcid) >= len("PMC") + LEAST_DIGITS
        hundreds.setdefault(pmcid[:-HUNDRED] if is_long else f"{pmcid}.", []).append(pmcid)
    return sorted(
        METADATA + (hundred if len(them) > 1 else f"{them[0]}.") for hundred, them in hundreds.items()
    )


def metadata_key(pmcid: str, version: int) -> str:
    """Return where the metadata of one version lies."""
    return f"{METADATA}{pmcid}.{version}.json"


def version_of(key: str) -> tuple[str, int] | None:
    """Return PMC id and version of a key below `metadata/`; None where it is another file."""
    match = METADATA_KEY.fullmatch(key)
    return (match[1], int(match[2])) if match else None


@dataclass(frozen=True, slots=True)
class LooseFile:
    """A file of a paper, as the bucket lists it."""

    name: str  # below the folder of its version
    size: int  # bytes
    etag: str
    md5: str | None = None  # hex; as the metadata say, else where the etag is one


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """What was learnt of one version of a paper: a line of the index."""

    pmcid: str
    version: int
    etag: str  # of the metadata: it names the MD5 of every file, so that it changes with them
    read: str  # ISO date when they were read
    doi: str | None
    title: str | None
    licence: str | None
    is_retracted: bool | None
    xml: str | None
    pdf: str | None
    files: tuple[LooseFile, ...]
    form: int = INDEX_FORM

    @property
    def folder(self) -> str:
        """Where its files lie, with a slash at the end."""
        return f"{self.pmcid}.{self.version}/"


def read_package(
    data: bytes, *, pmcid: str, version: int, etag: str, read: str, listed: Iterable[LooseFile]
) -> Package:
    """Put together what metadata and listing say of a version.

    Raises:
        PmcError: The metadata are none, or of another paper.
    """
    said = _object(data)
    if said.get("pmcid") not in (None, pmcid) or str(said.get("version") or version) != str(version):
        raise PmcError(f"of {pmcid}.{version}, found {str(said.get('pmcid'))[:20]!r}")
    addresses = [said.get("xml_url"), said.get("pdf_url")]
    media = said.get("media_urls")
    xml, pdf = (_file_at(address, f"{pmcid}.{version}") for address in addresses)
    others = media[:MAX_FILES] if isinstance(media, list) else []
    md5s = dict(filter(None, (xml, pdf, *(_file_at(each, f"{pmcid}.{version}") for each in others))))
    files = tuple(
        LooseFile(each.name, each.size, each.etag, md5s.get(each.name) or _md5(each.etag)) for each in listed
    )
    names = {each.name for each in files}
    return Package(
        pmcid=pmcid,
        version=version,
        etag=etag,
        read=read,
        doi=_doi(said.get("doi")),
        title=_plain(said.get("title"), 2_000),
        licence=licence_of(said.get("license_code")),
        is_retracted=_flag(said.get("is_retracted")),
        xml=_article(names, xml[0] if xml else f"{pmcid}.{version}.xml"),
        pdf=next((name for name in (pdf[0] if pdf else "", f"{pmcid}.{version}.pdf") if name in names), None),
        files=files,
    )


def _article(names: Iterable[str], expected: str) -> str | None:
    """Return the article's XML: as the metadata name it, or the only one there is."""
    found = [name for name in names if extension_of(name) in ARTICLES]
    if expected in found:
        return expected
    return found[0] if len(found) == 1 else None


def _file_at(address: Any, folder: str) -> tuple[str, str | None] | None:
    """Return name and MD5 of an address such as "s3://bucket/PMC1.1/a.jpg?md5=…", of this version's files."""
    match = FILE_URL.fullmatch(address) if isinstance(address, str) else None
    if match is None or match[1] != folder:
        return None
    return match[2], match[3].lower() if match[3] else None


def licence_of(code: Any) -> str | None:
    """Return PMC's licence code where it names a licence: "CC BY-NC"; of "TDM", "NO-CC CODE" and null nothing."""
    return code.strip() if isinstance(code, str) and LICENCE.fullmatch(code.strip()) else None


def _flag(value: Any) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "yes": True, "y": True, "false": False, "no": False, "n": False}.get(
            value.lower()
        )
    return value if isinstance(value, bool) else None


# --- one paper as one tar ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Packing:
    """Which files of a paper land, in the order of the tar, and how many do not."""

    files: tuple[LooseFile, ...]
    n_supplements: int = 0
    n_too_large: int = 0
    n_badly_named: int = 0

    @property
    def size(self) -> int:
        """Bytes of the tar."""
        return tar_length({each.name: each.size for each in self.files})


def packing_of(package: Package) -> Packing:
    """Choose the files: the XML and its images, or the PDF; both, where no image can be one of a figure.

    Whether an image is one of a figure is told by its name: reading the XML would cost a request for each paper.
    """
    named = {each.name: each for each in package.files if FILE_NAME.fullmatch(each.name)}
    small = {name: each for name, each in named.items() if 0 < each.size <= MAX_MEMBER_BYTES}
    xml, pdf = small.get(package.xml or ""), small.get(package.pdf or "")
    images = [small[name] for name in sorted(small) if extension_of(name) in IMAGES]
    has_figures = xml is not None and any(not NO_FIGURE.search(each.name) for each in images)
    chosen = [*([xml, *images] if xml else ()), *([pdf] if pdf and not has_figures else ())]
    forms = {package.xml, package.pdf, *(f"{package.folder[:-1]}.{form}" for form in OTHER_FORMS)}
    beside = [name for name in small if extension_of(name) not in IMAGES and name not in forms]
    return Packing(
        files=tuple(chosen),
        n_supplements=len(beside),
        n_too_large=sum(each.size > MAX_MEMBER_BYTES for each in named.values()),
        n_badly_named=len(package.files) - len(named),
    )


@dataclass(frozen=True, slots=True)
class Reading:
    """A member whose bytes come next in the tar, from `start` on."""

    file: LooseFile
    start: int


def tar_from(files: Sequence[LooseFile], offset: int) -> Iterator[bytes | Reading]:
    """Yield a tar from one of its bytes on: what is around the members, and which of them to read from where."""
    by_name = {each.name: each for each in files}
    at = 0
    for piece in tar_pieces([(each.name, each.size) for each in files]):
        length = by_name[piece].size if isinstance(piece, str) else len(piece)
        start = max(offset - at, 0)
        at += length
        if start >= length:
            continue
        yield Reading(by_name[piece], start) if isinstance(piece, str) else piece[start:]


def origin_of(package: Package, files: Sequence[LooseFile]) -> str:
    """Return what is needed to read a paper, as JSON."""
    rows = [asdict(each) for each in files]
    return json.dumps({"folder": package.folder, "files": rows}, separators=(",", ":"))


def read_origin(origin: str) -> tuple[str, list[LooseFile]]:
    """Return the folder and the files of a paper."""
    said = json.loads(origin)
    return said["folder"], [LooseFile(**row) for row in said["files"]]


def landing_path(article: Article, package: Package) -> str:
    """Return where a paper lands below its source's folder."""
    return f"papers/{article.first_published}/{file_stem_of(package.pmcid)}.v{package.version}.tar"


def metadata_of(article: Article, package: Package) -> Metadata:
    """Return the bibliographic record.

    Names as Europe PMC's short answers abbreviate them ("Doe JB") are given only where no XML has them in full.
    """
    return Metadata(
        paper_id=package.pmcid,
        arxiv_id=None,
        doi=package.doi or article.doi,
        title=package.title or article.title,
        abstract=article.abstract,
        authors=list(article.authors) if article.are_full_names or package.xml is None else [],
        categories=[],
        licence=package.licence,
        first_posted=article.first_published,
        updated=None,
        version=f"v{package.version}",
        is_withdrawn=False,
        is_retracted=package.is_retracted,
        licence_read=package.read if package.licence else None,
    )


# --- the index ---------------------------------------------------------------------------------------------


def write_index(packages: Iterable[Package]) -> bytes:
    """Return the index: one line of JSON for each paper, in order of PMC id."""
    lines = [
        json.dumps(asdict(each), separators=(",", ":"))
        for each in sorted(packages, key=lambda each: each.pmcid)
    ]
    return "".join(f"{line}\n" for line in lines).encode("ascii")


def read_index(data: bytes | None) -> dict[str, Package]:
    """Read an index: PMC id → what is known. A line that cannot be read is learnt again, as if it were not there."""
    packages = {}
    for line in (data or b"").splitlines():
        try:
            row = json.loads(line)
            files = tuple(LooseFile(**each) for each in row.pop("files"))
            package = Package(**row, files=files)
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            continue
        if package.form == INDEX_FORM:
            packages[package.pmcid] = package
    return packages


# --- values ------------------------------------------------------------------------------------------------


def iso_date(text: Any) -> str | None:
    """Return an ISO date as it is; of anything else nothing."""
    if not isinstance(text, str) or not re.fullmatch(r"[12][0-9]{3}-[0-9]{2}-[0-9]{2}", text):
        return None
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        return None


def _object(data: bytes) -> Json:
    try:
        said = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise PmcError(f"no JSON ({type(error).__name__}): {data[:80]!r}") from None
    if not isinstance(said, dict):
        raise PmcError(f"no JSON object: {data[:80]!r}")
    return said


def _within(said: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    inner = said.get(key)
    return inner if isinstance(inner, dict) else {}


def _plain(text: Any, max_chars: int) -> str | None:
    """Return a text without tags, folded to one line; None where it is no text, or nothing is left."""
    if not isinstance(text, str):
        return None
    unescaped = html.unescape(text[: 2 * max_chars])
    bare = TAG.sub(lambda tag: "" if tag[1].lower() in WITHIN_WORDS else " ", unescaped)
    whole = " ".join(bare.encode("utf-8", "replace").decode("utf-8").split())
    return whole[:max_chars] or None


def _doi(text: Any) -> str | None:
    return text.strip().lower() if isinstance(text, str) and DOI.fullmatch(text.strip()) else None


def _md5(etag: str) -> str | None:
    return etag.lower() if MD5.fullmatch(etag.lower()) else None
