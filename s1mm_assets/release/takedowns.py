"""Papers and figures that must not be released, whatever their licence: a list that a publisher keeps.

A CSV file with a header. Column `id` holds a paper ("arxiv:2301.01234"), a DOI, one figure ("arxiv:2301.01234#3.1"), or
an image ("sha256:…", which holds however figures are counted); column `reason`, which may be missing, what the
tombstone's readers are told.
"""

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

import polars as pl

DOI = re.compile(r"(?:https?://(?:dx\.)?doi\.org/|doi:\s*)?(10\.\d{4,9}/\S+)", re.I)
ARXIV_DOI = re.compile(r"10\.48550/arxiv\.(.+)")
DOI_VERSION = re.compile(r"(?<=\d)v\d+\Z|[-.]v\d+\Z")  # bioRxiv's, ChemRxiv's
NAMED = re.compile(r"([a-z_]+):(\S.*)")
FIGURE = re.compile(r"#[1-9]\d*\.[1-9]\d*\Z")
IMAGE = re.compile(r"sha256:([0-9a-f]{64})", re.I)
FREE_IDS = "local"  # a source whose ids are file names: anything may stand in them


class TakedownError(ValueError):
    """The list is not one; the message names the line."""


@dataclass(frozen=True, slots=True)
class Takedown:
    """One entry: what is taken out, and why."""

    id: str  # "arxiv:2301.01234", "arxiv:2301.01234#3.1", "sha256:…", or a DOI: as `paper_key` and `doi_key` have it
    reason: str


def read_takedowns(text: str, sources: Collection[str]) -> list[Takedown]:
    """Read a list.

    Args:
        text: The file.
        sources: Names of the sources that there are.

    Raises:
        TakedownError: It has no column `id`, or an entry names neither paper, figure, image nor DOI.
    """
    rows = csv.DictReader(io.StringIO(text.removeprefix("\ufeff")))
    if "id" not in (rows.fieldnames or ()):
        raise TakedownError("the list of takedowns has no column id: its first line must be id,reason")
    return [entry(row, rows.line_num, sources) for row in rows if any(row.values())]


def entry(row: Mapping[str, str | None], line: int, sources: Collection[str]) -> Takedown:
    """Read one row."""
    name, reason = (row.get("id") or "").strip(), (row.get("reason") or "").strip()
    if IMAGE.fullmatch(name):
        return Takedown(name.lower(), reason)
    if DOI.fullmatch(name):
        return Takedown(doi_key(name), reason)
    match = NAMED.fullmatch(name)
    if match is None or match[1] not in sources or ("#" in name and not may_have_mark(match[1], name)):
        raise TakedownError(
            f"line {line} of the list of takedowns: {name!r} is neither source:paper, source:paper#figure.panel, "
            f"sha256:… nor a DOI; sources are {', '.join(sources)}"
        )
    figure = FIGURE.search(name)
    paper = name[: figure.start()] if figure else name
    return Takedown(paper_key(paper) + (figure[0] if figure else ""), reason)


def may_have_mark(source: str, name: str) -> bool:
    """Whether a "#" may stand in a name: before a figure, or in the name of a file."""
    return source == FREE_IDS or FIGURE.search(name) is not None


def doi_key(doi: str) -> str:
    """Return what two ways to write a DOI have in common; of one that arXiv gave, the paper."""
    match = DOI.fullmatch(doi.strip())
    bare = (match[1] if match else doi).lower().rstrip(".,;)")
    if arxiv := ARXIV_DOI.fullmatch(bare):
        return paper_key(f"arxiv:{arxiv[1]}")
    return DOI_VERSION.sub("", bare)


def paper_key(paper: str) -> str:
    """Return "source:paper" without what says the same paper otherwise: arXiv's version and subject class."""
    if not paper.startswith("arxiv:"):
        return paper
    return re.sub(r"\.[A-Za-z-]{2,}/", "/", re.sub(r"(?<=\d)v[1-9]\d*\Z", "", paper))


def by_shard(
    entries: Iterable[Takedown], source: str, metadata: pl.DataFrame, images: pl.DataFrame
) -> dict[str, dict[str, str]]:
    """Return what each shard must leave out: shard → "source:paper", figure_id or "sha256:…" → reason.

    Args:
        entries: The whole list.
        source: Of the papers.
        metadata: Columns shard, paper_id and doi of the papers of a partition.
        images: Columns shard and sha256 of its figures; needed where an entry names an image.
    """
    wanted = {each.id: each.reason for each in entries}
    found: dict[str, dict[str, str]] = {}
    if not wanted:
        return found
    figures: dict[str, list[str]] = {}
    for name in wanted:
        if FIGURE.search(name):
            figures.setdefault(FIGURE.sub("", name), []).append(name)
    for shard, paper_id, doi in metadata.select("shard", "paper_id", "doi").iter_rows():
        paper = f"{source}:{paper_id}"
        key = paper_key(paper)
        hits = {paper + name[len(key) :]: wanted[name] for name in figures.get(key, ())}
        for name in (key, doi_key(doi) if doi else ""):
            if name in wanted:
                hits[paper] = wanted[name]
        if hits:
            found.setdefault(shard, {}).update(hits)
    for shard, sha256 in images.select("shard", "sha256").unique(maintain_order=True).iter_rows():
        if (name := f"sha256:{sha256}") in wanted:
            found.setdefault(shard, {})[name] = wanted[name]
    return found


def without_effect(
    entries: Iterable[Takedown], source_papers: Collection[str], images: Collection[str]
) -> list[str]:
    """Return the entries that name nothing that there is, in order.

    Args:
        entries: The list.
        source_papers: `paper_key` of every paper, and `doi_key` of every DOI.
        images: SHA-256 of every figure, where an entry names an image.
    """
    known = {*source_papers, *(f"sha256:{each}" for each in images)}
    return [each.id for each in entries if FIGURE.sub("", each.id) not in known and each.id not in known]
