"""`s1mm demo`, `build`, `retry` and `verify`: partitions, one after the other, in this process."""

import os
import runpy
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg

from s1mm_assets import reports
from s1mm_assets.cli.runs import PUBLICATION, STAGES, RunOutcome, materialize
from s1mm_assets.cli.terminal import UsageError, bars, err, out, table
from s1mm_assets.definitions import RELEASE, SOURCES, STORE
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.release.verify import Problem, verify
from s1mm_assets.resources.release_folder import LocalFolder

EXAMPLES = Path(__file__).parents[2] / "examples"


def pack_examples() -> None:
    """Pack the example corpus into the folder of sources."""
    script = EXAMPLES / "pack.py"
    if not script.exists():
        raise UsageError(f"there is no example corpus at {EXAMPLES}: run the demo from a checkout")
    runpy.run_path(str(script))["pack"](Path(SOURCES.root))


def build_all(partitions: Sequence[str] | None) -> int:
    """Materialize partitions and the publication; return the exit code."""
    keys = list(partitions) if partitions else SOURCES.partitions()
    unknown = [key for key in keys if not SOURCE_BY_YEAR.has_partition_key(key)]
    if unknown:
        raise UsageError(f"{unknown[0]} is not a partition: write 'source|year', for example 'arxiv|2019'")
    if not keys:
        raise UsageError(
            f"{SOURCES.root} holds no papers: set S1MM_SOURCES to a folder with arxiv/ or local/ in it"
        )
    start = time.monotonic()
    with instance() as dagster:
        is_sound = True
        for i, key in enumerate(keys, start=1):
            is_sound &= run(STAGES, key, dagster, f"{i}/{len(keys)} ")
        is_sound &= run([PUBLICATION], None, dagster)
    table(reports.status(STORE), as_json=False, title=f"Store {STORE.uri}", totals=True)
    out.print(f"Release: {RELEASE.path} ({time.monotonic() - start:.0f} s). Look at its README.md, or:")
    out.print(f"  s1mm verify {RELEASE.path}", highlight=False)
    return 0 if is_sound else 1


def retry_failed(partitions: Sequence[str] | None) -> int:
    """Forget the shards with rows that the environment rejected, and materialize their partitions again."""
    found = reports.environment_caused(reports.failures(STORE, partitions=partitions))
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
        is_sound &= run([PUBLICATION], None, dagster)
    left = reports.environment_caused(reports.failures(STORE, partitions=partitions))
    out.print(f"{len(found) - len(left)} of {len(found)} rows mended")
    return 0 if is_sound else 1


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
    out.print(
        f"{which}{name}: {verdict} in {time.monotonic() - start:.1f} s{remarks(outcome)}", highlight=False
    )
    return outcome.is_success


def remarks(outcome: RunOutcome) -> str:
    """Return what a line on a run adds: errors and failed checks."""
    parts = []
    if outcome.error:
        parts.append(outcome.error)
    if outcome.failed_checks:
        parts.append(f"checks failed: {', '.join(outcome.failed_checks)}")
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
