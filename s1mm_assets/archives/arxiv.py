"""What arXiv publishes: identifiers of all eras, the manifest of chunks, chunk tars, the metadata snapshot.

Formats only: where the files lie and how they get here is `resources/sources/arxiv.py`.
"""

from __future__ import annotations

import calendar
import hashlib
import io
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from s1mm_assets.archives.sniff import Form, form_of
from s1mm_assets.archives.tar import ForwardStream, tar_entries
from s1mm_assets.tables import Metadata

if TYPE_CHECKING:
    from xml.etree import ElementTree as ET

# fmt: off
OLD_ARCHIVES = frozenset(
    {
        "acc-phys", "adap-org", "alg-geom", "ao-sci", "astro-ph", "atom-ph", "bayes-an", "chao-dyn",
        "chem-ph", "cmp-lg", "comp-gas", "cond-mat", "cs", "dg-ga", "funct-an", "gr-qc", "hep-ex",
        "hep-lat", "hep-ph", "hep-th", "math", "math-ph", "mtrl-th", "nlin", "nucl-ex", "nucl-th",
        "patt-sol", "physics", "plasm-ph", "q-alg", "q-bio", "quant-ph", "solv-int", "supr-con",
    }
)
# fmt: on
"""The archives that papers were posted to before April 2007."""

NEW_ID = re.compile(r"(\d\d)(\d\d)\.(\d{4,5})(v[1-9]\d*)?", re.ASCII)
OLD_ID = re.compile(r"([a-z]+(?:-[a-z]+)?)(?:\.[A-Za-z-]{2,})?/?(\d\d)(\d\d)(\d{3})(v[1-9]\d*)?", re.ASCII)
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", re.ASCII)  # of a chunk; sorts as text
WITHDRAWN = re.compile(r"\b(?:has|have) been withdrawn\b|^\W*withdrawn\b|\bwithdrawn by\b", re.I)


class ManifestError(ValueError):
    """The manifest of chunks is not what arXiv publishes."""


# --- identifiers -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArxivId:
    """An identifier, read."""

    paper_id: str  # "2301.01234", "hep-ph/0001001": without version and subject class
    year: int
    month: int
    version: str | None  # "v2"

    @property
    def yymm(self) -> str:
        """Year and month as chunks are named after them."""
        return f"{self.year % 100:02d}{self.month:02d}"


def parse_id(text: str) -> ArxivId | None:
    """Read an arXiv identifier of any era; None where the text is none.

    Understands "2301.01234", "0704.0001v2", "hep-ph/0001001", "math.GT/0309136", the same without the slash
    (as files are named), and a leading "arXiv:". Four digits were given out from 0704 to 1412, five since
    1501.
    """
    text = text.removeprefix("arXiv:").removeprefix("arxiv:")
    if match := NEW_ID.fullmatch(text):
        yy, mm, number, version = match.groups()
        is_four = "0704" <= yy + mm <= "1412"
        is_known = is_four or yy + mm >= "1501"
        if is_known and len(number) == (4 if is_four else 5) and "01" <= mm <= "12":
            return ArxivId(f"{yy}{mm}.{number}", 2000 + int(yy), int(mm), version)
        return None
    if match := OLD_ID.fullmatch(text):
        archive, yy, mm, number, version = match.groups()
        year = year_of_yymm(yy + mm)
        if archive in OLD_ARCHIVES and "01" <= mm <= "12" and (1991, 1) <= (year, int(mm)) <= (2007, 3):
            return ArxivId(f"{archive}/{yy}{mm}{number}", year, int(mm), version)
    return None


def year_of_yymm(yymm: str) -> int:
    """Return the year that two digits stand for: arXiv began in 1991."""
    yy = int(yymm[:2])
    return 1900 + yy if yy >= 91 else 2000 + yy


def file_stem(paper_id: str) -> str:
    """Return an identifier as files are named after it: without the slash."""
    return paper_id.replace("/", "")


def bare_metadata(paper_id: str) -> Metadata:
    """Return what an identifier alone says of a paper; everything else is null."""
    arxiv_id = parse_id(paper_id)
    return Metadata(
        paper_id=paper_id,
        arxiv_id=arxiv_id.paper_id if arxiv_id else None,
        doi=None,
        title=None,
        abstract=None,
        authors=[],
        categories=[],
        licence=None,
        first_posted=None,
        updated=None,
        version=arxiv_id.version if arxiv_id else None,
        is_withdrawn=False,
    )


# --- the manifest ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ChunkFile:
    """One chunk tar, as the manifest describes it."""

    filename: str  # "src/arXiv_src_2301_001.tar"
    yymm: str
    seq_num: int
    size: int  # bytes of its papers; the tar around them takes about a hundredth more
    md5sum: str  # of the tar
    content_md5sum: str  # of the members' bytes, one after the other
    first_item: str  # "2301.00001", "astro-ph0001001"
    last_item: str
    num_items: int
    timestamp: str

    @property
    def name(self) -> str:
        """The tar's base name without extension."""
        return self.filename.rpartition("/")[2].removesuffix(".tar")

    @property
    def year(self) -> int:
        """The year its papers were first posted."""
        return year_of_yymm(self.yymm)


def read_manifest(xml: bytes) -> list[ChunkFile]:
    """Return the chunks that a manifest lists, ordered by year, month and number.

    Of two entries for one chunk, the one with the later timestamp counts, else the one that stands later.

    Raises:
        ManifestError: It is no XML, declares entities, or lacks or garbles an element.
    """
    from xml.etree.ElementTree import ParseError

    import defusedxml
    import defusedxml.ElementTree

    try:
        root = defusedxml.ElementTree.fromstring(xml)
    except (ParseError, defusedxml.DefusedXmlException, ValueError) as error:
        raise ManifestError(f"the manifest is not sound XML: {error}") from None
    chunks: dict[str, ChunkFile] = {}
    for chunk in map(_chunk_file, root.iter("file")):
        before = chunks.get(chunk.name)
        if before is None or not _is_older(chunk, before):
            chunks[chunk.name] = chunk
    return sorted(chunks.values(), key=lambda chunk: (chunk.year, chunk.yymm, chunk.seq_num, chunk.filename))


def _is_older(chunk: ChunkFile, other: ChunkFile) -> bool:
    times = chunk.timestamp, other.timestamp
    return all(map(TIMESTAMP.fullmatch, times)) and times[0] < times[1]


def _chunk_file(element: ET.Element) -> ChunkFile:
    texts = {child.tag: (child.text or "").strip() for child in element}
    filename = texts.get("filename", "")
    try:
        chunk = ChunkFile(
            filename=filename,
            yymm=texts["yymm"],
            seq_num=int(texts["seq_num"]),
            size=int(texts["size"]),
            md5sum=texts["md5sum"].lower(),
            content_md5sum=texts.get("content_md5sum", "").lower(),
            first_item=texts.get("first_item", ""),
            last_item=texts.get("last_item", ""),
            num_items=int(texts["num_items"]),
            timestamp=texts.get("timestamp", ""),
        )
    except (KeyError, ValueError) as error:
        raise ManifestError(f"the manifest's entry {filename!r} lacks or garbles {error}") from None
    is_safe = re.fullmatch(r"(?:src/)?[A-Za-z0-9_-]+\.tar", filename)
    if (
        not is_safe
        or not re.fullmatch(r"\d{4}", chunk.yymm)
        or not re.fullmatch(r"[0-9a-f]{32}", chunk.md5sum)
    ):
        raise ManifestError(
            f"the manifest's entry {filename!r} is none: yymm {chunk.yymm!r}, MD5 {chunk.md5sum!r}"
        )
    return chunk


def manifest_xml(chunks: Iterable[ChunkFile], timestamp: str = "") -> bytes:
    """Write a manifest as arXiv does: files in order of name, the manifest's own timestamp last."""
    from xml.etree import ElementTree as ET  # writes only: what comes from outside goes to defusedxml

    root = ET.Element("arXivSRC")
    for chunk in sorted(chunks, key=lambda each: each.filename):
        element = ET.SubElement(root, "file")
        for tag in sorted(ChunkFile.__dataclass_fields__):
            ET.SubElement(element, tag).text = str(getattr(chunk, tag))
    ET.SubElement(root, "timestamp").text = timestamp
    ET.indent(root)
    return b"<?xml version='1.0' standalone='yes'?>\n" + ET.tostring(root) + b"\n"


# --- chunk tars --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ChunkMember:
    """Where one paper lies in a chunk tar."""

    paper_id: str
    offset: int  # of its bytes in the tar
    length: int
    extension: str  # "gz" or "pdf"


def chunk_members(stream: ForwardStream) -> Iterator[ChunkMember]:
    """Yield where the papers lie, from the headers alone; members are sought over where the stream can seek.

    A member whose name is no arXiv identifier is a delivery too: its name without extension is its paper_id.

    Raises:
        Refused: The tar is corrupt or truncated.
    """
    for entry in tar_entries(stream):
        if entry.is_folder or entry.oddity:
            continue
        base = entry.name.decode("utf-8", "replace").rpartition("/")[2]
        stem, dot, extension = base.rpartition(".")
        if not dot or extension not in ("gz", "pdf"):
            stem, extension = base, ""
        arxiv_id = parse_id(stem)
        paper_id = arxiv_id.paper_id if arxiv_id else stem
        yield ChunkMember(paper_id, entry.offset, entry.size, extension)


def pack_chunk(papers: Sequence[tuple[str, bytes]], yymm: str, seq_num: int) -> tuple[ChunkFile, bytes]:
    """Pack papers into a chunk tar as arXiv does: members `YYMM/<id>.gz` or `.pdf`, in order of their names.

    Args:
        papers: Identifier and bytes as delivered; a PDF is known by its content.
        yymm: Year and month of the chunk; also its time, so that equal papers give equal bytes.
        seq_num: The chunk's number in its month, from 1.

    Returns:
        The chunk's entry in the manifest, and the tar.
    """
    named = sorted((f"{file_stem(paper_id)}.{_extension(data)}", data) for paper_id, data in papers)
    modified = datetime(year_of_yymm(yymm), int(yymm[2:]), 1, tzinfo=UTC)
    packed, content = io.BytesIO(), hashlib.md5(usedforsecurity=False)
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name, data in named:
            info = tarfile.TarInfo(f"{yymm}/{name}")
            info.size, info.mtime = len(data), calendar.timegm(modified.timetuple())
            tar.addfile(info, io.BytesIO(data))
            content.update(data)
    data = packed.getvalue()
    items = [name.rpartition(".")[0] for name, _ in named]
    entry = ChunkFile(
        filename=f"src/arXiv_src_{yymm}_{seq_num:03d}.tar",
        yymm=yymm,
        seq_num=seq_num,
        size=len(data),
        md5sum=hashlib.md5(data, usedforsecurity=False).hexdigest(),
        content_md5sum=content.hexdigest(),
        first_item=items[0] if items else "",
        last_item=items[-1] if items else "",
        num_items=len(items),
        timestamp=f"{modified:%Y-%m-%d %H:%M:%S}",
    )
    return entry, data


def _extension(data: bytes) -> str:
    return "pdf" if form_of(data) is Form.PDF else "gz"


# --- the metadata snapshot ---------------------------------------------------------------------------------


def metadata_of(row: Mapping[str, Any]) -> Metadata:
    """Read one row of the JSON-lines snapshot (the fields of arXiv's own dump).

    Raises:
        ValueError: The row has no arXiv identifier.
    """
    arxiv_id = parse_id(str(row.get("id")))
    if arxiv_id is None:
        raise ValueError(f"{row.get('id')!r} is no arXiv identifier")
    versions = row.get("versions") or [{}]
    return Metadata(
        paper_id=arxiv_id.paper_id,
        arxiv_id=arxiv_id.paper_id,
        doi=next(iter((row.get("doi") or "").split()), None),  # some rows hold several
        title=_folded(row.get("title")),
        abstract=_folded(row.get("abstract")),
        authors=[_author(names) for names in row.get("authors_parsed") or []],
        categories=(row.get("categories") or "").split(),
        licence=row.get("license") or None,
        first_posted=_date_of(versions[0].get("created")),
        updated=row.get("update_date") or None,
        version=versions[-1].get("version"),
        is_withdrawn=bool(WITHDRAWN.search(row.get("comments") or "")),
        licence_read=row.get("update_date") or None,  # of this row: another paper's news change nothing here
    )


def _folded(text: str | None) -> str | None:
    return " ".join(text.split()) or None if text else None


def _author(names: Sequence[str]) -> str:
    """Return "Given Family Suffix" from [family, given, suffix, affiliations …]."""
    family, given, suffix = [*names, "", "", ""][:3]
    return " ".join(" ".join((given, family, suffix)).split())


def _date_of(created: str | None) -> str | None:
    """Return the ISO date of "Mon, 2 Apr 2007 19:18:42 GMT"."""
    try:
        return parsedate_to_datetime(created or "").date().isoformat()
    except ValueError:
        return None
