"""`s1mm acquire` and `s1mm fetch`: papers from their publishers, asked from a terminal."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from s1mm_assets.cli.terminal import UsageError, err, out
from s1mm_assets.definitions import PUBLISHERS, SETTINGS, SOURCES
from s1mm_assets.partitions import source_and_year
from s1mm_assets.resources.publishers import PublisherError
from s1mm_assets.resources.publishers.acquire import Acquired, Acquisition
from s1mm_assets.resources.publishers.usage import GB
from s1mm_assets.resources.sources.reading import SourceError


def land(partitions: Sequence[str], *, is_dry_run: bool, max_usd: float | None) -> int:
    """Land partitions one after the other, also after one that failed; return the exit code."""
    terms = SETTINGS.acquisition
    if max_usd is not None:
        terms = replace(terms, max_usd=max_usd)
    is_sound = True
    for key in partitions:
        source, year = source_and_year(key)
        try:
            acquisition = PUBLISHERS.acquisition(
                source,
                year,
                folder=SOURCES.folder_to_fill(source),
                terms=terms,
                report=lambda line, key=key: err.print(f"{key} {line}", markup=False, highlight=False),  # type: ignore[misc]
            )
            say(key, acquisition, is_dry_run=is_dry_run)
        except (PublisherError, SourceError) as error:
            err.print(f"{key} {error}", markup=False, highlight=False, style="red")
            is_sound = False
    return 0 if is_sound else 1


def say(key: str, acquisition: Acquisition, *, is_dry_run: bool) -> None:
    """Land one partition, or list it, and say what became of it."""
    if is_dry_run:
        todo = acquisition.todo()
        lines = [todo.told(), *todo.notes]
    else:
        lines = done(acquisition.run())
    for line in lines:
        out.print(f"{key} {line}", markup=False, highlight=False)


def done(acquired: Acquired) -> list[str]:
    """Return what a run did, in words."""
    cost = f"; {acquired.usd:,.4f} USD, {acquired.spent.usd:,.4f} so far" if acquired.spent.usd else ""
    what = f"{acquired.n_landed:,} files are there, {acquired.n_new:,} of them new, {acquired.n_bytes / GB:,.2f} GB"
    return [f"{what}; {acquired.n_refused:,} refused{cost}", *acquired.told()]


def fetch_paper(arxiv_id: str, folder: Path) -> None:
    """Fetch one paper's source into a folder.

    Raises:
        UsageError: It is no identifier, or arXiv has no source of it.
    """
    name, data = PUBLISHERS.e_print(arxiv_id, SETTINGS.acquisition.contact)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    if target.exists():
        raise UsageError(f"{target} is there already")
    target.write_bytes(data)
    out.print(f"{target} ({len(data):,} bytes); next: s1mm extract {target}", markup=False, highlight=False)
