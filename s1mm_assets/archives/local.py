"""What a folder of papers says by its file names and by the `metadata.jsonl` beside them."""

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from s1mm_assets.archives.arxiv import bare_metadata, parse_id
from s1mm_assets.archives.bundle import DELIVERY_SUFFIXES, without_suffix
from s1mm_assets.tables import Metadata, columns_of

METADATA_FILE = "metadata.jsonl"
LISTS = frozenset({"authors", "categories"})


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
    """Whether a file of a local folder is a paper: by its suffix, and not hidden."""
    parts = path.split("/")
    is_hidden = any(part.startswith((".", "__MACOSX")) for part in parts)
    return not is_hidden and parts[-1].lower().endswith(DELIVERY_SUFFIXES)


def paper_id_of(path: str) -> str:
    """Return the paper_id of a local file: its name without .tar.gz, .gz, .tar, .zip, .meca, .tgz or .pdf.

    A name such as "hep-ph0001001" is an old arXiv identifier, and gets its slash back.
    """
    stem = without_suffix(path)
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
        base = path.rpartition("/")[2]
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
        is_right = isinstance(value, bool if key == "is_withdrawn" else str)
    if not is_right:
        raise ValueError(f"{key} is {value!r}")
    return value


def metadata_of(paper_id: str, record: Record | None) -> Metadata:
    """Return what the id and its record say of a paper; the record counts more."""
    known = bare_metadata(paper_id)
    return replace(known, **record.values) if record else known
