"""What a folder of papers says by its file names and by the `metadata.jsonl` beside them.

A paper is a file, or a folder of loose files (an article in XML and its images, as PMC gives them, or a MECA
package unpacked). Such a folder is read as the tar that its files make, so that it is one delivery like any other.
"""

import json
import re
import tarfile
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from s1mm_assets.archives.arxiv import bare_metadata, parse_id
from s1mm_assets.archives.bundle import DELIVERY_SUFFIXES, without_suffix
from s1mm_assets.archives.sniff import IMAGE_EXTENSIONS, extension_of
from s1mm_assets.tables import Metadata, columns_of

METADATA_FILE = "metadata.jsonl"
MANIFEST = "manifest.xml"
SERVICE_FILES = frozenset({MANIFEST, "transfer.xml", "directives.xml", "peer_review.xml"})  # MECA
ARTICLE_EXTENSIONS = frozenset({"xml", "nxml"})
TAR_BLOCK = 512
LISTS = frozenset({"authors", "categories"})
FLAGS = frozenset({"is_withdrawn", "is_retracted"})


class MetadataError(ValueError):
    """A `metadata.jsonl` is not as it should be; the message names file and line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One line of a `metadata.jsonl`: of which paper it speaks, and what it says."""

    paper_id: str | None
    file: str | None  # relative to the folder of the metadata.jsonl
    year: int | None
    values: Mapping[str, Any]  # fields of tables.Metadata


def is_delivery(path: str) -> bool:
    """Whether a file of a local folder is a paper by itself: by its suffix, and not hidden."""
    name = path.rpartition("/")[2].lower()
    return not is_hidden(path) and name not in SERVICE_FILES and name.endswith(DELIVERY_SUFFIXES)


def is_hidden(path: str) -> bool:
    """Whether a file or a folder above it is one that systems hide."""
    return any(part.startswith((".", "__MACOSX")) for part in path.split("/"))


def is_loose_file(path: str) -> bool:
    """Whether a file in the folder of a paper is part of it: not hidden, and not the record of papers."""
    return not is_hidden(path) and path.rpartition("/")[2] != METADATA_FILE


def papers_in(paths: Iterable[str]) -> dict[str, list[str]]:
    """Return the papers among the files of a folder: path of the paper → the files that it is made of.

    A file that `is_delivery` is a paper. A subfolder is one paper, its path ending in a slash, where it holds a
    MECA manifest, or a single XML file with images, or with no PDF but its own; what lies in it is no paper by
    itself. The folder as a whole never is.
    """
    visible = sorted(path for path in paths if is_loose_file(path))
    below: dict[str, list[str]] = {}
    for path in visible:
        folder = ""
        for part in path.split("/")[:-1]:
            folder += f"{part}/"
            below.setdefault(folder, []).append(path)
    papers: dict[str, list[str]] = {}
    for folder, files in sorted(below.items()):  # a folder comes before those in it
        if not any(folder.startswith(found) for found in papers) and _is_package(folder, files):
            papers[folder] = files
    packed = {path for files in papers.values() for path in files}
    papers |= {path: [path] for path in visible if path not in packed and is_delivery(path)}
    return dict(sorted(papers.items()))


def _is_package(folder: str, files: Iterable[str]) -> bool:
    names = [path[len(folder) :].lower() for path in files]
    if MANIFEST in names:
        return True
    articles = [
        name
        for name in names
        if extension_of(name) in ARTICLE_EXTENSIONS and name.rpartition("/")[2] not in SERVICE_FILES
    ]
    if len(articles) != 1 or "/" in articles[0]:
        return False
    pdfs = [name for name in names if extension_of(name) == "pdf"]
    has_images = any(extension_of(name) in IMAGE_EXTENSIONS - {"pdf"} for name in names)
    return has_images or pdfs == [f"{articles[0].rpartition('.')[0]}.pdf"]


def tar_pieces(files: Iterable[tuple[str, int]]) -> Iterator[bytes | str]:
    """Yield the tar of some files in pieces: what tar puts around them, and for each file its name.

    The same names and sizes give the same pieces: no clock, owner or mode is in them.

    Args:
        files: Name in the tar, and size in bytes, in order.
    """
    for name, size in files:
        info = tarfile.TarInfo(name)
        info.size = size
        yield info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")
        yield name
        yield bytes(-size % TAR_BLOCK)
    yield bytes(2 * TAR_BLOCK)


def tar_length(files: Mapping[str, int]) -> int:
    """Return how many bytes the tar of some files has: name → size."""
    pieces = tar_pieces(files.items())
    return sum(files[piece] if isinstance(piece, str) else len(piece) for piece in pieces)


def paper_id_of(path: str) -> str:
    """Return the paper_id of a local file or folder: its name without .tar.gz, .pdf and so on.

    A name such as "hep-ph0001001" is an old arXiv identifier, and gets its slash back.
    """
    stem = without_suffix(path.rstrip("/"))
    arxiv_id = parse_id(stem)
    return arxiv_id.paper_id + (arxiv_id.version or "") if arxiv_id else stem


def unique_ids(paths: Iterable[str]) -> dict[str, str]:
    """Return path → paper_id, each id once.

    Two papers of one name both stay. The first in order of path has the id; the next keep their extension,
    and where that is taken too, their whole path: of "a.pdf" and "a.tar.gz", the former is "a", the latter
    "a.tar.gz".
    """
    ids: dict[str, str] = {}
    taken: set[str] = set()
    for path in sorted(paths):
        base = path.rstrip("/").rpartition("/")[2]
        candidates = [paper_id_of(path), base, path]
        paper_id = next((each for each in candidates if each not in taken), path)
        while paper_id in taken:
            paper_id += "~"
        taken.add(paper_id)
        ids[path] = paper_id
    return ids


def year_of_record(record: Record) -> int | None:
    """Return the year that a record gives, or that of its first posting."""
    if record.year is not None:
        return record.year
    first_posted = str(record.values.get("first_posted") or "")
    return int(first_posted[:4]) if re.match(r"\d{4}(?:-|$)", first_posted) else None


def read_records(text: str, where: str) -> list[Record]:
    """Read a `metadata.jsonl`.

    Each line is an object with `paper_id` or `file`, optionally `year`, and any fields of tables.Metadata;
    other keys are ignored.

    Raises:
        MetadataError: A line is no such object.
    """
    records = []
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            records.append(_record(json.loads(line)))
        except ValueError as error:
            raise MetadataError(f"{where}, line {number}: {error}") from None
    return records


def _record(row: Any) -> Record:
    if not isinstance(row, dict) or not (row.get("paper_id") or row.get("file")):
        raise ValueError('expected an object with "paper_id" or "file"')
    year = row.get("year")
    if year is not None and not str(year).isdecimal():
        raise ValueError(f"year is {year!r}")
    keys = [key for key in columns_of(Metadata) if key != "paper_id" and row.get(key) is not None]
    return Record(
        paper_id=row.get("paper_id"),
        file=row.get("file"),
        year=int(year) if year is not None else None,
        values={key: _value(key, row[key]) for key in keys},
    )


def _value(key: str, value: Any) -> Any:
    if key in LISTS and isinstance(value, str):
        value = value.split() if key == "categories" else [value]
    if key in LISTS:
        is_right = isinstance(value, list) and all(isinstance(each, str) for each in value)
    else:
        is_right = isinstance(value, bool if key in FLAGS else str)
    if not is_right:
        raise ValueError(f"{key} is {value!r}")
    return value


def metadata_of(paper_id: str, record: Record | None) -> Metadata:
    """Return what the id and its record say of a paper; the record counts more."""
    known = bare_metadata(paper_id)
    return replace(known, **record.values) if record else known
