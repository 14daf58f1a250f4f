"""`s1mm import`: from a published folder to a release of ours, and what was wrong with the folder."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import polars as pl

from s1mm_assets.checks.figure_candidates import figure_candidates_hold
from s1mm_assets.checks.recaptions import recaptions_hold
from s1mm_assets.cli.build import UNTIL, instance, prepare, run, run_all
from s1mm_assets.cli.runs import QUIET, first_error
from s1mm_assets.cli.terminal import UsageError, out, table
from s1mm_assets.definitions import SOURCES, STORE, defs
from s1mm_assets.partitions import SOURCE_BY_YEAR
from s1mm_assets.resources.published_import import PublishedImport, as_json
from s1mm_assets.resources.published_index import PublishedError
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.tables import Metadata

IMPORTED = ("raw_archives", "figure_candidates")
FILTERED, RECAPTIONS, MEASURED = "filtered_figures", "recaptions", "quality_metrics"
CHECKS = {"figure_candidates": [figure_candidates_hold], RECAPTIONS: [recaptions_hold]}
STOPS = (*UNTIL[1:], "hf_publication")


@contextmanager
def plainly() -> Iterator[None]:
    """Let what is wrong with a folder be said in a line."""
    try:
        yield
    except PublishedError as error:
        raise UsageError(str(error)) from error


def import_folder(
    folder: Path,
    partitions: Sequence[str] | None,
    *,
    report: Path | None,
    fallback_year: int | None,
    until: str,
    scratch: Path | None,
) -> int:
    """Import partitions of a published folder, go on to an asset, and say what was wrong; return the exit code.

    Args:
        folder: Holds arXiv/, bioRxiv/ and so on.
        partitions: Only these; all where not given.
        report: Where the defects go as JSON.
        fallback_year: Of papers whose year nothing tells.
        until: The last asset that is filled.
        scratch: Where the index and images on their way lie; the system's folder for such where not given.
    """
    if until not in STOPS:
        raise UsageError(f"{until} is no asset to stop after; there are: {', '.join(STOPS)}")
    prepare()
    with (
        plainly(),
        PublishedImport(
            folder, STORE, report=say, metadata=known, fallback_year=fallback_year, scratch=scratch
        ) as importing,
        instance() as dagster,
    ):
        keys = importing.land(partitions)
        sound = [key for key in keys if go_to_recaptions(importing, key, until, dagster)]
        tell(importing, report)
        if len(sound) < len(keys):
            out.print("The release was left as it was: a partition failed.")
            return 1
        if STOPS.index(until) <= STOPS.index(RECAPTIONS):
            return 0
        work = dict.fromkeys(keys, (MEASURED,))
        return 0 if run_all(work, dagster, None if until == STOPS[-1] else until) else 1


def tell(importing: PublishedImport, report: Path | None) -> None:
    """Print what was wrong with the folder and where its lines went; write it down too."""
    tally = importing.tally()
    defects = importing.findings.rows()
    shown = defects.with_columns(pl.col("examples").list.join("\n"))
    table(shown, as_json=False, title="Defects of the published folder")
    out.print(
        f"{tally.lines:,} lines: {tally.rows:,} rows, {tally.dropped:,} of no use as above, "
        f"{tally.not_chosen:,} of other partitions",
        highlight=False,
    )
    if report is not None:
        text = json.dumps(as_json(tally, importing.findings), ensure_ascii=False, indent=1)
        report.write_text(text + "\n", encoding="utf-8")


def known(source: str, year: int, paper_ids: Sequence[str]) -> Mapping[str, Metadata]:
    """Return what a source of ours says of papers, such as arXiv's metadata snapshot; nothing where it is not there."""
    if not Path(SOURCES.folder(source)).is_dir():
        return {}
    return SOURCES.of(source).metadata(year, paper_ids)


def go_to_recaptions(importing: PublishedImport, key: str, until: str, dagster: dg.DagsterInstance) -> bool:
    """Filter a partition that was landed, and fill its recaptions; return whether every check holds."""
    if not all(enters(asset, key, dagster) for asset in IMPORTED):
        return False
    if until == IMPORTED[-1]:
        return True
    if not run([FILTERED], key, dagster).is_success:
        return False
    importing.count_images(key)
    if until == FILTERED:
        return True
    importing.recaption(key)
    return enters(RECAPTIONS, key, dagster)


def enters(asset: str, key: str, dagster: dg.DagsterInstance) -> bool:
    """Let Dagster know of a partition that was filled outside of its runs, and run the asset's blocking checks.

    Those of raw_archives compare with what a source lists, and an import has none.
    """

    @dg.asset(name=asset, partitions_def=SOURCE_BY_YEAR, io_manager_key="shards")
    def imported(store: ShardStore) -> ShardSet:
        handle = store.pinned(asset, key)
        if handle is None:
            raise PublishedError(f"{asset} was not filled for {key}")
        return handle

    result = dg.materialize(
        [imported, *CHECKS.get(asset, ())],
        partition_key=key,
        instance=dagster,
        resources=defs.resources,
        run_config=QUIET,
        raise_on_error=False,
    )
    failed = [
        each.check_name
        for each in result.get_asset_check_evaluations()
        if not each.passed and each.severity == dg.AssetCheckSeverity.ERROR
    ]
    if failed or not result.success:
        why = f"checks failed: {', '.join(failed)}" if failed else first_error(result)
        out.print(f"{key}: {asset}: {why}", highlight=False, markup=False)
    return result.success and not failed


def say(line: str) -> None:
    """Say what was begun; shards that were done before are passed over."""
    if not line.endswith((": unchanged", ": started")):
        out.print(line, highlight=False, markup=False)
