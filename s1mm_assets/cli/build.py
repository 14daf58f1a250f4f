"""`s1mm demo`, `build`, `retry` and `verify`: partitions, one after the other, in this process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import polars as pl
from rich.markup import escape

from s1mm_assets import reports
from s1mm_assets.cli.runs import PUBLICATION, STAGES, RunOutcome, materialize
from s1mm_assets.cli.terminal import UsageError, bars, err, out, table
from s1mm_assets.definitions import RELEASE, RENDERERS, SETTINGS, SOURCES, STORE
from s1mm_assets.partitions import source_and_year
from s1mm_assets.release.verify import Problem, verify
from s1mm_assets.resources.release_folder import LocalFolder

EXAMPLES = Path(__file__).parents[2] / "examples"


def pack_examples() -> None:
    """Pack the example corpus into the folder of sources."""
    script = EXAMPLES / "pack.py"
    if not script.exists():
        raise UsageError(f"there is no example corpus at {EXAMPLES}: run the demo from a checkout")
    subprocess.run([sys.executable, str(script), SOURCES.root], check=True)  # noqa: S603


def prepare() -> None:
    """Read every setting before the first partition starts, and say what is missing."""
    SETTINGS.as_dict()
    for line in RENDERERS.missing(RENDERERS.versions()):
        err.print(f"warning: {line}", highlight=False, markup=False)


def build_all(partitions: Sequence[str] | None) -> int:
    """Materialize partitions and the publication; return the exit code."""
    prepare()
    known = {*SOURCES.partitions(), *reports.partition_keys(STORE)}
    keys = list(partitions) if partitions else sorted(known, key=source_and_year)
    if not keys:
        raise UsageError(
            f"{SOURCES.root} holds no papers: set S1MM_SOURCES to a folder with arxiv/ or local/ in it"
        )
    start = time.monotonic()
    with instance() as dagster:
        is_sound = True
        for i, key in enumerate(keys, start=1):
            is_sound &= run(STAGES, key, dagster, f"{i}/{len(keys)} ")
        is_sound = is_sound and run([PUBLICATION], None, dagster)
    table(reports.status(STORE), as_json=False, title=f"Store {STORE.uri}", totals=True)
    if not is_sound:
        out.print("The release was left as it was: a partition or the publication failed.")
        return 1
    out.print(
        f"Release: {RELEASE.path} ({time.monotonic() - start:.0f} s). Look at its README.md, or:",
        markup=False,
    )
    out.print(f"  s1mm verify {RELEASE.path}", highlight=False, markup=False)
    return 0


def retry_failed(partitions: Sequence[str] | None) -> int:
    """Forget the shards with rows that the environment rejected, and materialize their partitions again."""
    prepare()
    found = environment_caused(partitions)
    if found.is_empty():
        out.print("nothing to retry: no row was rejected by the environment")
        return 0
    for asset, partition, shard in found.select("asset", "partition", "shard").unique().iter_rows():
        for name in ("figure_measures", asset) if asset == "filtered_figures" else (asset,):
            STORE.invalidate(name, partition, shard)
    is_sound = True
    with instance() as dagster:
        for key in found["partition"].unique(maintain_order=True):
            first = min(STAGES.index(asset) for asset in found.filter(partition=key)["asset"])
            is_sound &= run(STAGES[first:], key, dagster)
        is_sound = is_sound and run([PUBLICATION], None, dagster)
    left = environment_caused(partitions)
    out.print(f"{len(found) - len(left)} of {len(found)} rows mended")
    return 0 if is_sound else 1


def environment_caused(partitions: Sequence[str] | None) -> pl.DataFrame:
    """Return the rows that the environment rejected, at whatever door."""
    return reports.environment_caused(reports.failures(STORE, partitions=partitions, first_only=False))


def problems_of(release: Path) -> list[Problem]:
    """Return every defect of a release folder."""
    if not release.is_dir():
        raise UsageError(f"{release} is not a folder: name the folder of a release")
    return verify(LocalFolder(release))


def run(assets: Sequence[str], partition: str | None, dagster: dg.DagsterInstance, which: str = "") -> bool:
    """Materialize, and say in a line what became of it."""
    start = time.monotonic()
    name = partition or "publication"
    with bars(f"{which}{name}"):
        outcome = materialize(assets, partition, dagster)
    verdict = "[green]done[/green]" if outcome.is_success else "[red]failed[/red]"
    seconds = time.monotonic() - start
    out.print(f"{which}{name}: {verdict} in {seconds:.1f} s{escape(remarks(outcome))}", highlight=False)
    return outcome.is_success


def remarks(outcome: RunOutcome) -> str:
    """Return what a line on a run adds: errors and failed checks."""
    parts = []
    if outcome.error:
        parts.append(outcome.error)
    if outcome.failed_checks:
        parts.append(f"checks failed: {', '.join(outcome.failed_checks)}")
    if outcome.warned_checks:
        parts.append(f"checks warn: {', '.join(outcome.warned_checks)}")
    return "".join(f"\n    {part}" for part in parts)


@contextmanager
def instance() -> Iterator[dg.DagsterInstance]:
    """The instance of DAGSTER_HOME, where its runs show in the UI; without one, none is kept."""
    if os.environ.get("DAGSTER_HOME"):
        with dg.DagsterInstance.get() as kept:
            yield kept
    else:
        err.print("DAGSTER_HOME is not set: these runs will not show in the Dagster UI")
        with dg.DagsterInstance.ephemeral() as ephemeral:
            yield ephemeral
