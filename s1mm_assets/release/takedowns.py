"""Papers and figures that must not be released, whatever their licence: a list that a publisher keeps.

A CSV file with a header; column `id` holds a paper ("arxiv:2301.01234"), a DOI, or one figure
("arxiv:2301.01234#3.1"), column `reason`, which may be missing, what the tombstone's readers are told.
"""

import csv
import io
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import polars as pl

DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:)?(10\.\d{4,9}/\S+)", re.I)
FIGURE = re.compile(r"#\d+\.\d+\Z")
NAMED = re.compile(r"[a-z_]+:\S.*")


class TakedownError(ValueError):
    """The list is not one; the message names the line."""


@dataclass(frozen=True, slots=True)
class Takedown:
    """One entry: what is taken out, and why."""

    id: str  # "arxiv:2301.01234", "arxiv:2301.01234#3.1", or a DOI in lower case
    reason: str


def read_takedowns(text: str) -> list[Takedown]:
    """Read a list.

    Raises:
        TakedownError: It has no column `id`, or an entry names neither paper, figure nor DOI.
    """
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    if "id" not in (rows.fieldnames or ()):
        raise TakedownError("the list of takedowns has no column id: its first line must be id,reason")
    return [entry(row, rows.line_num) for row in rows if any(row.values())]


def entry(row: Mapping[str, str | None], line: int) -> Takedown:
    """Read one row."""
    name, reason = (row.get("id") or "").strip(), (row.get("reason") or "").strip()
    if match := DOI.fullmatch(name):
        return Takedown(match[1].lower(), reason)
    if not NAMED.fullmatch(name):
        raise TakedownError(
            f"line {line} of the list of takedowns: {name!r} is neither source:paper, source:paper#figure.panel "
            "nor a DOI"
        )
    return Takedown(name, reason)


def by_shard(entries: Iterable[Takedown], source: str, metadata: pl.DataFrame) -> dict[str, dict[str, str]]:
    """Return what each shard must leave out: shard → "source:paper" or figure_id → reason.

    Args:
        entries: The whole list.
        source: Of the papers.
        metadata: Columns shard, paper_id and doi of the papers of a partition.
    """
    wanted = {each.id: each.reason for each in entries}
    found: dict[str, dict[str, str]] = {}
    if not wanted:
        return found
    figures: dict[str, list[str]] = {}
    for name in wanted:  # a paper's own id may end as a figure's does
        for paper in {name, FIGURE.sub("", name)}:
            figures.setdefault(paper, []).append(name)
    for shard, paper_id, doi in metadata.select("shard", "paper_id", "doi").iter_rows():
        paper = f"{source}:{paper_id}"
        hits = {name: wanted[name] for name in figures.get(paper, ())}
        if doi and doi.lower() in wanted:
            hits[paper] = wanted[doi.lower()]
        if hits:
            found.setdefault(shard, {}).update(hits)
    return found
