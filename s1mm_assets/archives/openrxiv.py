"""What bioRxiv and medRxiv publish: folders of MECA packages, their front matter, and the rows of the details API.

Formats only. A package is a zip of manifest.xml, an article in JATS, its PDF and its images; its key says nothing of
the paper, so it is known by its directory, its manifest and the beginning of its article. Those are read here by
narrow patterns over bounded text instead of a parser: the defects met (blanks before the declaration, bare "&",
entities of HTML, attributes without a blank between) then make no difference. Asking is
`resources/publishers/openrxiv.py`.
"""

import html
import json
import posixpath
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any
from urllib.parse import quote, unquote

from s1mm_assets.archives.limits import MIB, Refused
from s1mm_assets.archives.zip_directory import (
    ReadRange,
    ZipMember,
    read_beginning,
    read_directory,
    with_tail,
)
from s1mm_assets.tables import Metadata, Rejection

CURRENT, BACK = "Current_Content/", "Back_Content/"
# fmt: off
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)
# fmt: on
FOLDER = re.compile(r"([A-Za-z]{3,9})_(\d{4})", re.ASCII)

MAX_MANIFEST_BYTES = MIB
HEADS = (16 * 1024, 64 * 1024)  # packed bytes of an article: where the first do not tell, more is read
MAX_HEAD_BYTES = 512 * 1024  # unpacked
MAX_ARTICLES = 3  # of a package; one of the first gives the DOI, or none does
MAX_NAMES = 200  # of a package's files: where these agree on a version, it is that
NOT_THE_ARTICLE = frozenset({"manifest.xml", "transfer.xml", "directives.xml", "peer_review.xml"})
IMAGES = frozenset({"tif", "tiff", "gif", "jpg", "jpeg", "png", "eps", "svg", "bmp", "webp"})

TAG = re.compile(r"<(?:[\w.-]{1,40}:)?(item|instance)\b([^<>]{0,2000})>")
ATTRIBUTE = re.compile(r"(?:[\w.-]{1,40}:)?([\w.-]{1,80})\s{0,9}=\s{0,9}(?:\"([^\"]*)\"|'([^']*)')")
PAPER_TYPE = re.compile(r"article|manuscript|full-?text", re.I)
FRONT_END = re.compile(r"</(?:article-meta|front)\s*>|<body\b")
ARTICLE_ID = re.compile(r"<article-id\b([^<>]{0,400})>([^<]{1,400})<")
PUB_ID_TYPE = re.compile(r"pub-id-type\s{0,9}=\s{0,9}[\"']doi[\"']", re.I)
VERSION = re.compile(r"<article-version\b[^<>]{0,400}>\s{0,99}(\d{1,3})(?:\.(\d{1,3}))?\s{0,99}<")
IN_ID = re.compile(r"(?<=\d)v(\d{1,3})\s{0,9}$")
IN_NAME = re.compile(r"(?<!\d)\d{4,9}v(\d{1,3})[_.]")
RESOLVER = re.compile(r"^(?:https?://(?:dx\.)?doi\.org/|doi:|info:doi/)\s{0,9}", re.I)
DOI = re.compile(r"10\.\d{4,9}/[a-z0-9][a-z0-9._;()/:-]{0,79}", re.ASCII)
DATED = re.compile(r"10\.\d{4,9}/(20\d\d)\.(?:0[1-9]|1[0-2])\.\d\d\.\d+", re.ASCII)

MARKS = re.compile(r"[OC]_(?:SCPLOW|SCPCAP|LI|ST_ABS|TEXTBOX)")
FIGURE_MARKS = re.compile(r"O_(FIG|TBL).{0,1000}?C_\1", re.S)
WITHDRAWN = re.compile(r"^\W{0,9}withdrawn\b|\bhas been withdrawn\b", re.I)
ROW_FIELDS = ("doi", "version", "date", "title", "authors", "abstract", "category", "license", "type")
MAX_TEXT, MAX_AUTHORS, MAX_NAME, MAX_WORD = 40_000, 3_500, 300, 200
MAX_PAGE_ROWS = 10_000


class DetailsError(ValueError):
    """An answer of the details API is none."""


# --- folders -----------------------------------------------------------------------------------------------


def month_of_folder(folder: str) -> tuple[int, int] | None:
    """Return year and month of "Current_Content/January_2024/"; None of any other."""
    match = FOLDER.fullmatch(folder.rstrip("/").rpartition("/")[2])
    months = [name for name in MONTHS if match and name.startswith(match[1].lower())]
    return (int(match[2]), MONTHS.index(months[0]) + 1) if match and len(months) == 1 else None


def folders_of_year(folders: Collection[str], year: int) -> list[str]:
    """Return the folders that can hold any version of a paper first posted in a year, the oldest first.

    Those are the months from the December before on, since what is posted in the first days of a year can lie there,
    and all back batches: most of what they hold is older than the months, not all. A folder of another name is taken
    along: nothing says what it holds.
    """
    return [
        folder
        for folder in sorted(set(folders), key=folder_age)
        if folder.startswith(BACK) or (month_of_folder(folder) or (year, 0)) >= (year - 1, 12)
    ]


def folder_age(folder: str) -> tuple[int, int, str]:
    """Sort folders as they were filled: back batches, what bears no month, months."""
    return (*(month_of_folder(folder) or (0, 0 if folder.startswith(BACK) else 1)), folder)


def index_path(folder: str) -> str:
    """Return where the index of a folder is kept; no two folders share a file.

    Raises:
        ValueError: Its name is too long for that of a file.
    """
    name = quote(folder.strip("/"), safe=" ").replace(".", "%2E").replace("%2F", ".").replace(" ", "%20")
    if len(name) > 180:
        raise ValueError(f"{folder[:80]!r}… is too long a name")
    return f"index/{name}.jsonl"


# --- packages ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package, as the index remembers it."""

    key: str
    size: int  # bytes
    etag: str
    doi: str | None = None  # lower case
    version: int | None = None  # None: the package does not say
    kinds: Mapping[str, Sequence[int]] = field(
        default_factory=dict
    )  # xml, pdf, image, other → files, unpacked bytes
    fault: str | None = None  # why it could not be read

    @property
    def number(self) -> int:
        """Its version; a package that gives none is the first."""
        return self.version or 1

    @property
    def age(self) -> tuple[tuple[int, int, str], str]:
        """Sort packages from old to new, by folder and key."""
        folder = "/".join(self.key.split("/")[:2])
        return folder_age(f"{folder}/"), self.key


def inspect_package(key: str, size: int, etag: str, tail: bytes, read: ReadRange) -> Package:
    """Say what a package is: from its end, the beginning of its article, and its manifest where several may be that.

    Never raises over what the bytes are: `fault` is the evidence then. What `read` raises passes through.

    Args:
        key: In the bucket.
        size: Bytes of the package.
        etag: As listed.
        tail: Its last bytes: `zip_directory.TAIL_BYTES`, or all.
        read: Reads a range of it.
    """
    try:
        members = read_directory(size, tail, read)
        doi, version = _identity(members, with_tail(size, tail, read))
    except Refused as refused:
        return Package(key=key, size=size, etag=etag, fault=refused.evidence)
    fault = None if doi else f"no DOI at the beginning of an article, {len(members)} files"
    return Package(
        key=key, size=size, etag=etag, doi=doi, version=version, kinds=kinds_of(members), fault=fault
    )


def kinds_of(members: Sequence[ZipMember]) -> dict[str, list[int]]:
    """Count files and unpacked bytes by kind: xml, pdf, image, other."""
    kinds: dict[str, list[int]] = {}
    for member in members:
        extension = posixpath.splitext(member.name)[1].lstrip(".").lower()
        kind = extension if extension in ("xml", "pdf") else "image" if extension in IMAGES else "other"
        counted = kinds.setdefault(kind, [0, 0])
        counted[0] += 1
        counted[1] += member.unpacked_bytes
    return kinds


def _identity(members: Sequence[ZipMember], read: ReadRange) -> tuple[str | None, int | None]:
    """Return DOI and version, of the first article that gives a DOI.

    Raises:
        Refused: No member is an article, or the article cannot be unpacked.
    """
    by_path = {_tidy(member.name): member for member in members}
    articles = articles_among(list(by_path), "", "")
    if len(articles) > 1:  # else the manifest could say nothing new
        articles = articles_among(list(by_path), *_manifest(by_path, read))
    if not articles:
        raise Refused(Rejection.NO_TEX, f"no article in XML among {len(members)} files")
    for path in articles[:MAX_ARTICLES]:
        doi, version = _identity_in(by_path[path], read)
        if doi:
            return doi, version or _version_in_names(list(by_path))
    return None, None


def _manifest(by_path: Mapping[str, ZipMember], read: ReadRange) -> tuple[str, str]:
    """Return path and text of the manifest nearest to the root; empty where there is none, or none to be read."""
    paths = [path for path in by_path if posixpath.basename(path).lower() == "manifest.xml"]
    if not paths:
        return "", ""
    path = min(paths, key=lambda each: (each.count("/"), each))
    try:
        data = read_beginning(by_path[path], read, MAX_MANIFEST_BYTES, MAX_MANIFEST_BYTES)
    except Refused:
        return path, ""  # the names of the files tell enough
    return path, _text(data)


def articles_among(paths: Sequence[str], manifest_path: str, manifest: str) -> list[str]:
    """Return what may be the article, the likeliest first: what the manifest says, else XML near to the root.

    Args:
        paths: Of all members, tidied.
        manifest_path: Of the manifest: what it names lies beside it, whatever folder it was put into.
        manifest: Its text, of any dialect.
    """
    folder = posixpath.dirname(manifest_path)
    by_name = {path.lower(): path for path in sorted(paths, reverse=True)}
    listed = []
    for href in _articles_listed(manifest):
        named = _tidy(unquote(html.unescape(href)))
        for candidate in (posixpath.join(folder, named), named):
            if candidate.lower() in by_name:
                listed.append(by_name[candidate.lower()])
                break
    others = [path for path in paths if path.lower().endswith(".xml")]
    others.sort(key=lambda path: ("content/" not in f"/{path}", path.count("/"), path))
    return [
        path
        for path in dict.fromkeys([*listed, *others])
        if posixpath.basename(path).lower() not in NOT_THE_ARTICLE
    ]


def _articles_listed(manifest: str) -> Iterator[str]:
    """Yield the XML files that a manifest gives as the paper."""
    kind = ""
    for tag in TAG.finditer(_without_comments(manifest)):
        found = {name: one or other for name, one, other in ATTRIBUTE.findall(tag[2])}
        if tag[1] == "item":
            kind = found.get("item-type") or found.get("type") or ""
            continue
        href = found.get("href", "")
        is_xml = "xml" in found.get("media-type", "").lower() or href.lower().endswith(".xml")
        if href and is_xml and PAPER_TYPE.search(kind):
            yield href


def _identity_in(member: ZipMember, read: ReadRange) -> tuple[str | None, int | None]:
    """Return DOI and version that an article gives, from as little of it as tells them."""
    doi, version = None, None
    for n_packed in HEADS:
        text = _text(read_beginning(member, read, n_packed, MAX_HEAD_BYTES))
        doi, version = front_matter(text)
        if (doi and version) or FRONT_END.search(text) or member.packed_bytes <= n_packed:
            break
    return doi, version


def front_matter(text: str) -> tuple[str | None, int | None]:
    """Return DOI and version, as the beginning of an article in JATS gives them; null where it does not.

    The version is the number after the point of `<article-version>1.2</article-version>`, else that of an
    identifier such as "biorxiv;2022.03.15.484463v1".
    """
    text = _without_comments(text)
    end = FRONT_END.search(text)
    front = text[: end.start()] if end else text
    ids = [(match[1], " ".join(html.unescape(match[2]).split())) for match in ARTICLE_ID.finditer(front)]
    said = [tidy_doi(value) for attributes, value in ids if PUB_ID_TYPE.search(attributes)]
    numbers = [int(match[2] or match[1]) for match in VERSION.finditer(front)]
    numbers += [int(match[1]) for _, value in ids if (match := IN_ID.search(value))]
    return next((doi for doi in said if doi), None), next((number for number in numbers if number), None)


def tidy_doi(text: str) -> str | None:
    """Return a DOI in lower case, without resolver and version; None where the text is none."""
    doi = RESOLVER.sub("", text.strip()[:400]).lower()
    doi = re.sub(r"(?<=\d)v\d{1,3}$", "", doi)
    return doi if DOI.fullmatch(doi) and ".." not in doi else None


def year_of_doi(doi: str) -> int | None:
    """Return the year that a DOI is dated by: "10.1101/2024.01.25.577295"; None of "10.1101/446694"."""
    match = DATED.fullmatch(doi)
    return int(match[1]) if match else None


def _version_in_names(paths: Sequence[str]) -> int | None:
    """Return the version that images bear in their names ("577295v2_fig1.tif"); None where they do not agree."""
    names = [posixpath.basename(path) for path in paths[:MAX_NAMES]]
    found = {int(match[1]) for name in names if (match := IN_NAME.search(name))}
    return found.pop() or None if len(found) == 1 else None


def _tidy(path: str) -> str:
    return posixpath.normpath(path.replace("\\", "/").strip()).lstrip("/")


def _text(data: bytes) -> str:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace")
    return data.decode("utf-8", "replace")


def _without_comments(text: str) -> str:
    """Return XML without its comments; one that is not closed hides all that follows."""
    pieces, at = [], 0
    while (start := text.find("<!--", at)) >= 0:
        pieces.append(text[at:start])
        end = text.find("-->", start + 4)
        if end < 0:
            return "".join(pieces)
        at = end + 3
    return "".join([*pieces, text[at:]])


def write_index(packages: Sequence[Package]) -> bytes:
    """Return an index: one line of JSON for each package, in order of key."""
    ordered = sorted(packages, key=lambda package: package.key)
    return "".join(f"{json.dumps(asdict(package))}\n" for package in ordered).encode("ascii")


def read_index(data: bytes) -> dict[str, Package]:
    """Return the packages of an index by key; a line that cannot be read is passed over, and read anew therefore."""
    packages = {}
    for line in data.splitlines():
        try:
            package = Package(**json.loads(line))
        except (ValueError, TypeError):
            continue
        packages[package.key] = package
    return packages


# --- the details API ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A row of the details API: one version of one paper."""

    doi: str  # lower case
    number: int
    posted: str  # ISO date
    title: str | None
    authors: tuple[str, ...]
    abstract: str | None
    category: str | None
    licence: str | None  # the API's own word: "cc_by", …, "cc_no"
    is_withdrawn: bool


@dataclass(frozen=True, slots=True)
class Page:
    """An answer of the details API."""

    rows: Sequence[dict[str, Any]]  # with the fields that are read
    total: int  # rows that the API says there are in the whole window


def read_page(data: bytes) -> Page:
    """Read one answer of the details API.

    Raises:
        DetailsError: It is no JSON, or says that something is wrong.
    """
    try:
        answer = json.loads(data)
        messages, rows = answer.get("messages"), answer.get("collection")
    except (ValueError, AttributeError, RecursionError) as error:
        raise DetailsError(f"no JSON object: {error}") from None
    message = messages[0] if isinstance(messages, list) and messages else None
    if not isinstance(message, dict) or not isinstance(rows, list) or len(rows) > MAX_PAGE_ROWS:
        raise DetailsError("no messages, or no collection")
    status = str(message.get("status"))[:200]
    if status != "ok" and (rows or "no posts" not in status):
        raise DetailsError(f"its status is {status!r}")
    kept = [
        {name: row[name] for name in ROW_FIELDS if name in row} if isinstance(row, dict) else {}
        for row in rows
    ]
    return Page(kept, _whole(message.get("total")))


@dataclass(frozen=True, slots=True)
class KeptRows:
    """The rows of a window, as they were once."""

    rows: list[dict[str, Any]]
    asked: date


def write_rows(kept: KeptRows) -> bytes:
    """Return rows as lines of JSON; their number, and the day on which they were asked for, first."""
    first = {"n_rows": len(kept.rows), "asked": kept.asked.isoformat()}
    return "".join(f"{json.dumps(line)}\n" for line in (first, *kept.rows)).encode("ascii")


def read_rows(data: bytes) -> KeptRows | None:
    """Return the rows of `write_rows`; None where it is not that, in whole."""
    try:
        first, *rows = (json.loads(line) for line in data.splitlines())
        n_rows, asked = first["n_rows"], date.fromisoformat(first["asked"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None
    is_whole = n_rows == len(rows) and all(isinstance(row, dict) for row in rows)
    return KeptRows(rows, asked) if is_whole else None


def row_key(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what tells a row from another: paper, version, and the day, since one version can have two rows."""
    return tuple(str(row.get(name))[:400] for name in ("doi", "version", "date"))


def _whole(number: Any) -> int:
    """Return a count that is given as number or as text; 0 where it is none."""
    try:
        return min(max(int(str(number)[:20]), 0), 10**9)
    except ValueError:
        return 0


def read_row(row: Mapping[str, Any]) -> Version | None:
    """Read a row; None where it lacks what it is known by: DOI, version, date."""
    doi, number, posted = (
        tidy_doi(_words(row.get("doi"), 400)),
        _whole(row.get("version")),
        _day(row.get("date")),
    )
    if doi is None or not 0 < number < 1000 or posted is None:
        return None
    title = tidy_text(row.get("title"))
    return Version(
        doi=doi,
        number=number,
        posted=posted,
        title=title,
        authors=authors_in(_words(row.get("authors"), MAX_AUTHORS * MAX_NAME)),
        abstract=tidy_text(row.get("abstract")),
        category=_words(row.get("category"), MAX_WORD) or None,
        licence=_words(row.get("license"), MAX_WORD) or None,
        is_withdrawn="withdrawn" in _words(row.get("type"), MAX_WORD).lower()
        or bool(WITHDRAWN.search(title or "")),
    )


def _day(text: Any) -> str | None:
    try:
        return date.fromisoformat(str(text)[:10]).isoformat()
    except ValueError:
        return None


def _words(value: Any, n_chars: int) -> str:
    """Return a text without doubled blanks; empty where it is none, or says that there is none."""
    text = " ".join(value[:n_chars].split()) if isinstance(value, str) else ""
    text = text.encode("utf-8", "replace").decode("utf-8")  # JSON can hold halves of characters
    return "" if text in ("NA", "N/A") else text


def tidy_text(value: Any) -> str | None:
    """Return a title or an abstract without the marks that the API leaves of lists, headings and small capitals."""
    text = FIGURE_MARKS.sub(" ", _words(value, MAX_TEXT))
    text = MARKS.sub(lambda mark: "" if "SCP" in mark[0] else " ", text)
    return " ".join(text.split()) or None


def authors_in(text: str) -> tuple[str, ...]:
    """Return "F. Last" for each of "Last, F.; …"; who has no comma stays as written."""
    names = []
    for author in text.split(";")[:MAX_AUTHORS]:
        family, _, given = author.partition(",")
        names.append(" ".join(f"{given} {family}".split())[:MAX_NAME])
    return tuple(name for name in names if name)


def metadata_of(first: Version, newest: Version, *, version: int, is_withdrawn: bool) -> Metadata:
    """Return the record of a paper.

    Args:
        first: Its first version.
        newest: The version that is described: title, abstract, authors, category and licence are of it.
        version: That of the package.
        is_withdrawn: Whether it was taken back, by whatever version.
    """
    return Metadata(
        paper_id=first.doi,
        arxiv_id=None,
        doi=first.doi,
        title=newest.title,
        abstract=newest.abstract,
        authors=list(newest.authors),
        categories=[newest.category] if newest.category else [],
        licence=newest.licence,
        first_posted=first.posted,
        updated=newest.posted,
        version=f"v{version}",
        is_withdrawn=is_withdrawn,
        licence_read=newest.posted,  # the API's row gives the licence of that version
    )
