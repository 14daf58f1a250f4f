"""The layout in which S1-MMAlign is published: names of folders and archives, a line of its records, their defects.

    <source>/jsonl/*.jsonl           a record per line: doi or arxiv_id, title, image_path, caption, recaption …
    <source>/images_<year>.tar.gz    or images.tar.gz; either cut into .partaa, .partab …

Formats and rows only: where the files lie and how they are joined is `resources/published_index.py`. All of it is
read tolerantly, and each deviation has a name in `Defect`.
"""

import hashlib
import itertools
import json
import re
import struct
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import polars as pl

from s1mm_assets.archives.arxiv import parse_id
from s1mm_assets.archives.limits import MIB, Refused
from s1mm_assets.tables import Archive, FigureCandidate, Metadata, Paper, Recaption, Rejection

VERSION = "1"
METHOD = "published"  # of figures; kind of archives, engine and prompt of recaptions
MAX_LINE_BYTES = MIB
MAX_ID_CHARS = 200
MAX_PATH_BYTES = 1024
MAX_IMAGE_BYTES = 128 * MIB
MAX_PAPER_RECORDS = 10_000
MAX_PAPER_BYTES = 128 * MIB  # of its lines
N_EXAMPLES = 5
POINTER = b"version https://git-lfs.github.com/spec/"


class Defect(StrEnum):
    """What can be wrong with a published folder."""

    LINE_MALFORMED = "line_malformed"  # no JSON, no object, a value of a wrong type
    LINE_TOO_LONG = "line_too_long"
    IDS_MISSING = "ids_missing"
    YEAR_UNKNOWN = "year_unknown"
    DUPLICATE_RECORD = "duplicate_record"  # the same record again
    RECORD_REPLACED = "record_replaced"  # a later line says something else of the same image
    PAPER_TOO_LARGE = "paper_too_large"  # more records than one paper can have
    ID_IS_NONE = "id_is_none"  # an id that neither arXiv nor a DOI registrar would give
    PATH_UNJOINABLE = "path_unjoinable"
    PATH_PREFIXED = "path_prefixed"  # images/ and the like, which the archive does not have, or the reverse
    PATH_DOTTED = "path_dotted"
    PATH_SHARED = "path_shared"  # several papers name one image, which is given to none of them
    CAPTION_EMPTY = "caption_empty"
    RECAPTION_EMPTY = "recaption_empty"
    PAPER_IN_TWO_YEARS = "paper_in_two_years"
    IN_TWO_SOURCES = "in_two_sources"
    IMAGE_MISSING = "image_missing"
    JOINED_LOOSELY = "joined_loosely"  # the names differ in dots, case or slashes only
    ORPHAN_IMAGE = "orphan_image"
    IMAGE_TWICE = "image_twice"  # under two names
    FOLDER_UNKNOWN = "folder_unknown"  # of no source of ours; its records are not read
    ARCHIVE_MISSING = "archive_missing"
    ARCHIVE_PART_MISSING = "archive_part_missing"
    ARCHIVE_TRUNCATED = "archive_truncated"
    ARCHIVE_CORRUPT = "archive_corrupt"
    ARCHIVE_TOO_LARGE = "archive_too_large"
    ARCHIVE_GOES_ON = "archive_goes_on"  # after its end, as where two were written one after another
    ARCHIVE_SHADOWED = "archive_shadowed"  # it is there in parts too, or under two names
    MEMBER_REFUSED = "member_refused"  # links, devices, names that lead outside
    MEMBER_TWICE = "member_twice"
    POINTER_FILE = "pointer_file"  # the content was not downloaded
    IMAGE_UNREADABLE = "image_unreadable"
    IMAGE_UNSUPPORTED = "image_unsupported"
    IMAGE_TOO_LARGE = "image_too_large"


DROPPED = frozenset(
    {
        Defect.LINE_MALFORMED,
        Defect.LINE_TOO_LONG,
        Defect.IDS_MISSING,
        Defect.YEAR_UNKNOWN,
        Defect.DUPLICATE_RECORD,
        Defect.RECORD_REPLACED,
        Defect.PAPER_TOO_LARGE,
    }
)
"""Of these lines none becomes a row. Every other line becomes one."""


FINDING = pl.Schema(
    [("source", pl.String()), ("defect", pl.String()), ("n", pl.Int64()), ("examples", pl.List(pl.String))]
)


class Findings:
    """How often each defect was met in each source, with the first examples."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, Defect], int] = defaultdict(int)
        self._examples: dict[tuple[str, Defect], list[str]] = defaultdict(list)

    def add(self, source: str, defect: Defect, example: str, n: int = 1) -> None:
        """Count a defect `n` times."""
        self._counts[source, defect] += n
        if len(self._examples[source, defect]) < N_EXAMPLES:
            self._examples[source, defect].append(printable(example))

    def n(self, *defects: Defect) -> int:
        """Return how often any of these was met, over all sources."""
        return sum(n for (_, defect), n in self._counts.items() if defect in defects)

    def rows(self) -> pl.DataFrame:
        """Return source, defect, n and examples, in the order of sources and of `Defect`."""
        order = list(Defect)
        keys = sorted(self._counts, key=lambda key: (key[0], order.index(key[1])))
        columns = {
            "source": [source for source, _ in keys],
            "defect": [defect.value for _, defect in keys],
            "n": [self._counts[key] for key in keys],
            "examples": [self._examples[key] for key in keys],
        }
        return pl.DataFrame(columns, schema=FINDING)


def printable(text: str) -> str:
    """Return the beginning of an untrusted text, fit for a terminal."""
    return "".join(each if each.isprintable() else "�" for each in text[:160])


# --- names of folders and files ----------------------------------------------------------------------------

SOURCE_NAMES = {
    "arxiv": "arxiv",
    "biorxiv": "biorxiv",
    "medrxiv": "medrxiv",
    "chemrxiv": "chemrxiv",
    "naturecommunications": "nature_communications",
    "naturecommunication": "nature_communications",
    "naturecomms": "nature_communications",
    "natcommun": "nature_communications",
    "ncomms": "nature_communications",
}
ARCHIVE_NAME = re.compile(r"images(?:[_-](\d{4}))?\.(?:tar\.gz|tgz)(?:\.part([a-z]{2,3}))?", re.I | re.ASCII)
YEAR_IN_NAME = re.compile(r"(?<!\d)(19\d\d|20\d\d)(?!\d)", re.ASCII)


def source_of(folder: str) -> str | None:
    """Return our name of the source that a folder is called after, in any spelling; None where it is none."""
    return SOURCE_NAMES.get(re.sub(r"[^a-z]", "", folder.casefold()))


def year_in(name: str) -> int | None:
    """Return the year that a file's name holds."""
    match = YEAR_IN_NAME.search(name)
    return int(match[1]) if match else None


@dataclass(frozen=True, slots=True)
class ArchiveFiles:
    """An image archive: whole, or in parts that are read one after another."""

    year: int | None  # of yearly archives
    files: tuple[str, ...]  # names, in order, up to the first part that is missing
    missing: tuple[str, ...]  # names of parts that others show to have been there
    shadowed: tuple[str, ...]  # names that are there and not read


def archives_among(names: Iterable[str]) -> list[ArchiveFiles]:
    """Group file names to archives, yearly ones first. Whether the last part is missing, no name can tell."""
    whole: dict[int | None, list[str]] = defaultdict(list)
    parts: dict[int | None, dict[str, str]] = defaultdict(dict)
    for name in sorted(names):
        if match := ARCHIVE_NAME.fullmatch(name):
            year = int(match[1]) if match[1] else None
            if match[2]:
                parts[year].setdefault(match[2].lower(), name)
            else:
                whole[year].append(name)
    years = sorted({*whole, *parts}, key=lambda year: (year is None, year or 0))
    return [_archive(year, whole[year], parts[year]) for year in years]


def _archive(year: int | None, whole: Sequence[str], parts: dict[str, str]) -> ArchiveFiles:
    if whole:
        return ArchiveFiles(year, (whole[0],), (), (*whole[1:], *parts.values()))
    last = max(parts, key=lambda part: (len(part), part))
    n_letters = len(last)
    letters = "abcdefghijklmnopqrstuvwxyz"
    expected = ["".join(each) for each in itertools.product(letters, repeat=n_letters)]
    expected = expected[: expected.index(last) + 1]
    read = list(itertools.takewhile(lambda part: part in parts, expected))
    stem = parts[last][: -len(last)]
    return ArchiveFiles(
        year,
        tuple(parts[part] for part in read),
        tuple(stem + part for part in expected if part not in parts),
        tuple(name for part, name in sorted(parts.items()) if part not in read),
    )


# --- one record --------------------------------------------------------------------------------------------


class Malformed(ValueError):  # noqa: N818 - says what is the matter
    """A line is no record; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedRecord:
    """One line. What is missing is None; texts are as they stand."""

    arxiv_id: str | None
    doi: str | None
    title: str | None
    image_path: str | None
    caption: str
    recaption: str
    categories: tuple[str, ...]

    def digest(self) -> bytes:
        """Return 16 bytes that are the same for the same record."""
        text = json.dumps(asdict(self), sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).digest()


def read_record(line: bytes, source: str) -> PublishedRecord:
    """Read one line.

    Raises:
        Malformed: It is no JSON object, or a value has a wrong type.
    """
    try:
        values = json.loads(line.removeprefix(b"\xef\xbb\xbf").decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise Malformed(f"no JSON: {type(error).__name__}") from None
    if not isinstance(values, dict):
        raise Malformed("no JSON object")
    return PublishedRecord(
        arxiv_id=_id(values, "arxiv_id"),
        doi=_id(values, "doi"),
        title=" ".join((_text(values, "title") or "").split()) or None,
        image_path=_text(values, "image_path") or None,
        caption=(_text(values, "caption") or "").strip(),
        recaption=(_text(values, "recaption") or "").strip(),
        categories=_categories(values.get("categories"), source),
    )


def sound(text: str) -> str:
    """Return a text without lone surrogates, which JSON can hold and no file can."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _text(values: dict[str, Any], key: str) -> str | None:
    value = values.get(key)
    if value is not None and not isinstance(value, str):
        raise Malformed(f"{key} is of type {type(value).__name__}")
    return None if value is None else sound(value)


def _id(values: dict[str, Any], key: str) -> str | None:
    text = (_text(values, key) or "").strip()
    if len(text) > MAX_ID_CHARS or not text.isprintable():
        raise Malformed(f"{key} is no id")
    return text or None


def _categories(value: Any, source: str) -> tuple[str, ...]:
    """Read a list, or a text: of arXiv parted by blanks too, elsewhere names have blanks in them."""
    if isinstance(value, str):
        value = re.split(r"[\s,;]+" if source == "arxiv" else r"\s*[,;]\s*", value)
    if value is not None and not (isinstance(value, list) and all(isinstance(each, str) for each in value)):
        raise Malformed("categories is neither a text nor a list of texts")
    return tuple(sound(each).strip() for each in value or () if each.strip())


# --- whose it is -------------------------------------------------------------------------------------------

ARXIV_ADDRESS = re.compile(r"(?:https?://(?:www\.)?arxiv\.org/(?:abs|pdf)/)|10\.48550/arxiv\.", re.I)
DOI_ADDRESS = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:\s*)", re.I)
DOI = re.compile(r"10\.\d{4,9}/\S+", re.ASCII)
YEAR_IN_DOI = (  # of bioRxiv and medRxiv, since December 2019
    re.compile(r"10\.(?:1101|64898)/(20\d\d)\.\d\d\.\d\d\.", re.ASCII),
    re.compile(r"10\.26434/chemrxiv-(20\d\d)-", re.ASCII),
)


@dataclass(frozen=True, slots=True)
class PaperName:
    """Whose a record is."""

    paper_id: str
    arxiv_id: str | None  # as arXiv writes it, without version
    doi: str | None  # in lower case
    year: int | None  # that the id tells
    is_id: bool  # whether it is one that could have been given


def paper_of(record: PublishedRecord, source: str) -> PaperName | None:
    """Return whose a record is; None where it has neither id."""
    text = (record.arxiv_id or "").removesuffix(".pdf")
    doi = DOI_ADDRESS.sub("", record.doi or "", count=1).lower() or None
    of_doi = ARXIV_ADDRESS.sub("", doi, count=1) if doi and ARXIV_ADDRESS.match(doi) else ""
    arxiv = parse_id(ARXIV_ADDRESS.sub("", text, count=1)) or parse_id(of_doi)
    is_doi = bool(doi and DOI.fullmatch(doi))
    named = {
        "arxiv": arxiv.paper_id if arxiv else None,
        "doi": doi if is_doi else None,
    }
    first, second = ("arxiv", "doi") if source == "arxiv" else ("doi", "arxiv")
    paper_id = named[first] or named[second] or record.arxiv_id or doi
    if paper_id is None:
        return None
    years = [int(match[1]) for each in YEAR_IN_DOI if (match := each.match(doi or ""))]
    year = arxiv.year if arxiv and (source == "arxiv" or not years) else next(iter(years), None)
    is_id = (not record.arxiv_id or arxiv is not None) and (not doi or is_doi)
    return PaperName(paper_id, named["arxiv"], named["doi"], year, is_id)


# --- by what image and record join -------------------------------------------------------------------------

CONTROL = re.compile(r"[\x00-\x1f\x7f]")
PREFIX = re.compile(r"images?(?:[_-]\d{4})?", re.I | re.ASCII)


@dataclass(frozen=True, slots=True)
class JoiningPath:
    """An image's name as both sides are compared by it."""

    path: str  # without "./" and "images/"
    loose: str  # the same, where dots, slashes and case make no difference
    is_prefixed: bool
    is_dotted: bool  # before its extension


def joining_path(text: str) -> JoiningPath | None:
    """Return what an image path or a member's name is joined by; None where it leads outside, or nowhere."""
    text = unicodedata.normalize("NFC", text.strip()).replace("\\", "/")
    parts = [part for part in text.split("/") if part not in ("", ".")]
    if not parts or ".." in parts or CONTROL.search(text) or len(text.encode()) > MAX_PATH_BYTES:
        return None
    if text.startswith("/"):  # a path on somebody's disk
        prefixes = [i for i, part in enumerate(parts[:-1]) if PREFIX.fullmatch(part)]
        parts = parts[prefixes[-1] :] if prefixes else parts
    n_prefixes = len(list(itertools.takewhile(PREFIX.fullmatch, parts[:-1])))
    parts = parts[n_prefixes:]
    stem, dot, extension = parts[-1].rpartition(".")
    path = "/".join(parts)
    flat = re.sub(r"[./]", "_", "/".join([*parts[:-1], stem if dot else parts[-1]])).casefold()
    loose = f"{flat}.{extension.casefold()}" if dot else flat
    return JoiningPath(path, loose, bool(n_prefixes), bool(dot) and "." in stem)


# --- images ------------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n"
OTHER_FORMATS = (b"GIF8", b"BM", b"II*\0", b"MM\0*", b"RIFF", b"%PDF", b"%!PS", b"<svg", b"<?xml")
FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # JPEG markers that say how large it is
ALONE = frozenset({0x01, *range(0xD0, 0xD9)})  # JPEG markers without content


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image says of itself; whether it decodes is for the filters to see."""

    image_format: str  # png, jpeg
    width_px: int
    height_px: int


def image_header(image: bytes) -> ImageHeader:
    """Read format and size of a PNG or JPEG.

    Raises:
        Refused: image_unsupported or image_unreadable.
    """
    if image.startswith(PNG) and image[12:16] == b"IHDR" and len(image) >= 24:
        header = ImageHeader("png", *struct.unpack(">II", image[16:24]))
    elif image.startswith(b"\xff\xd8"):
        header = ImageHeader("jpeg", *_jpeg_size(image))
    elif image.startswith(OTHER_FORMATS):
        raise Refused(Rejection.IMAGE_UNSUPPORTED, f"neither PNG nor JPEG: begins {image[:4]!r}")
    else:
        raise Refused(Rejection.IMAGE_UNREADABLE, f"no image: {len(image)} bytes, begins {image[:4]!r}")
    if not (header.width_px and header.height_px):
        raise Refused(Rejection.IMAGE_UNREADABLE, f"{header.width_px} x {header.height_px} pixels")
    return header


def _jpeg_size(image: bytes) -> tuple[int, int]:
    at = 2
    while at + 9 <= len(image) and image[at] == 0xFF:
        marker = image[at + 1]
        if marker in FRAMES:
            height, width = struct.unpack(">HH", image[at + 5 : at + 9])
            return width, height
        if marker == 0xFF:
            at += 1
        elif marker in ALONE:
            at += 2
        else:
            at += 2 + max(2, int.from_bytes(image[at + 2 : at + 4], "big"))
    raise Refused(Rejection.IMAGE_UNREADABLE, "a JPEG without a frame")


# --- rows --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedFigure:
    """One record, and where its image is."""

    figure_id: str
    paper_id: str
    record: PublishedRecord
    uri: str  # of its line: the file, relative to the published folder
    line: int  # from 1
    offset: int
    line_bytes: int
    line_sha256: bytes
    member: str | None  # its image's name in the archive; None where there is none
    member_bytes: int | None
    is_shared: bool = False  # there is an image of this name, but other papers name it too


def figure_row(figure: PublishedFigure, image: bytes | None) -> FigureCandidate:
    """Return the row of one figure; without its image, with a rejection."""
    header: ImageHeader | None = None
    rejection: Rejection | None = None
    evidence = None
    if figure.member is None:
        rejection, evidence = Rejection.GRAPHICS_MISSING, figure.record.image_path or "no image_path"
        if figure.is_shared:
            evidence = f"{evidence}: other papers name it too"
    elif image is None:
        rejection, evidence = Rejection.IMAGE_TOO_LARGE, f"{figure.member_bytes} bytes"
    else:
        try:
            header = image_header(image)
        except Refused as error:
            rejection, evidence = error.rejection, error.evidence
    kept = image if header is not None else None
    return FigureCandidate(
        figure_id=figure.figure_id,
        paper_id=figure.paper_id,
        figure_number=None,
        method=METHOD,
        environment=None,
        labels=[],
        caption=figure.record.caption,
        sub_caption=None,
        parent_caption=None,
        caption_raw=None,
        mentions=[],
        graphics_path=figure.record.image_path,
        image_member=figure.member,
        page=None,
        bbox=None,
        confidence=None,
        image=kept,
        image_format=header.image_format if header else None,
        image_size_bytes=len(kept) if kept is not None else None,
        source_size_bytes=figure.member_bytes,
        width_px=header.width_px if header else None,
        height_px=header.height_px if header else None,
        sha256=hashlib.sha256(kept).hexdigest() if kept is not None else None,
        renderer="none" if kept is not None else None,
        rejection=rejection,
        evidence=evidence,
    )


def archive_row(figures: Sequence[PublishedFigure], source: str, year: int) -> Archive:
    """Return the row of one paper: its lines are what was delivered."""
    lines = hashlib.sha256(b"".join(figure.line_sha256 for figure in figures))
    n_images = sum(figure.member is not None for figure in figures)
    return Archive(
        paper_id=figures[0].paper_id,
        source=source,
        year=year,
        kind=METHOD,
        uri=figures[0].uri,
        offset=figures[0].offset,
        length=sum(figure.line_bytes for figure in figures),
        sha256=lines.hexdigest(),
        unpacked_bytes=sum(figure.member_bytes or 0 for figure in figures),
        n_members=len(figures),
        n_images=n_images,
        rejection=None if n_images else Rejection.NO_IMAGES,
        evidence=None if n_images else f"{len(figures)} records, none with its image",
    )


def metadata_row(figures: Sequence[PublishedFigure], source: str, known: Metadata | None = None) -> Metadata:
    """Return what is known of a paper, and where nothing is, what its records say: the first that says something."""
    records = [figure.record for figure in figures]
    names = [name for record in records if (name := paper_of(record, source))]
    said = Metadata(
        paper_id=figures[0].paper_id,
        arxiv_id=next((name.arxiv_id for name in names if name.arxiv_id), None),
        doi=next((name.doi for name in names if name.doi), None),
        title=next((record.title for record in records if record.title), None),
        abstract=None,
        authors=[],
        categories=list(next((record.categories for record in records if record.categories), ())),
        licence=None,
        first_posted=None,
        updated=None,
        version=None,
        is_withdrawn=False,
    )
    if known is None:
        return said
    return replace(
        known,
        arxiv_id=known.arxiv_id or said.arxiv_id,
        doi=known.doi or said.doi,
        title=known.title or said.title,
        categories=known.categories or said.categories,
    )


def paper_row(metadata: Metadata, *, n_rows: int, n_images: int) -> Paper:
    """Return the row of a paper that was read as far as its records go."""
    return Paper(
        paper_id=metadata.paper_id,
        method=METHOD,
        main_file=None,
        encoding=None,
        title=metadata.title,
        abstract=metadata.abstract,
        authors=metadata.authors,
        n_figures=n_rows,
        n_rows=n_rows,
        n_images=n_images,
        warnings=[],
        rejection=None,
        evidence=None,
    )


def recaption_row(figure: PublishedFigure) -> Recaption:
    """Return a figure's published recaption. With what prompt and weights it was made, the layout does not say."""
    text = figure.record.recaption
    return Recaption(
        figure_id=figure.figure_id,
        paper_id=figure.paper_id,
        recaption=text or None,
        engine=METHOD,
        model=None,
        model_revision=None,
        prompt_version=METHOD,
        prompt_sha256=METHOD,
        n_prompt_tokens=None,
        n_completion_tokens=None,
        finish_reason=None,
        flags=[],
        rejection=None if text else Rejection.ANSWER_EMPTY,
        evidence=None if text else "the record has no recaption",
    )
