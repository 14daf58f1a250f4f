"""`s1mm batch`: recaptions by `vllm run-batch` on a cluster that this one does not reach."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import polars as pl

from s1mm_assets.cli.terminal import UsageError, bars, out, table
from s1mm_assets.definitions import SETTINGS, STORE, VLLM, WORKERS
from s1mm_assets.resources.captioners.batch_requests import write_batch
from s1mm_assets.resources.captioners.batch_results import BatchRead, read_batch
from s1mm_assets.resources.captioners.registry import Captioners
from s1mm_assets.resources.captioners.vllm import VllmCaptioner


@contextmanager
def engine() -> Iterator[VllmCaptioner]:
    """Give the engine that the settings name; it starts no server."""
    captioners = Captioners(settings=SETTINGS, servers=VLLM)
    with WORKERS as workers, captioners.opened(STORE, workers.map, logging.getLogger(__name__)) as captioner:
        if not isinstance(captioner, VllmCaptioner):
            raise UsageError(
                "batches are for the engine vllm: set [recaptioning] engine, model and model_revision "
                "in the file that S1MM_SETTINGS names"
            )
        yield captioner


def write(partition: str, folder: Path, max_mib: int) -> None:
    """Write what is still to be asked, and say what was written."""
    with engine() as captioner, bars(partition):
        written = write_batch(captioner, partition, folder, max_mib * 2**20)
    for path in written.files:
        out.print(f"{path} {path.stat().st_size / 2**20:.1f} MiB", markup=False, highlight=False)
    for line in written.unsendable:
        out.print(f"not sent, and rejected by the build: {line}", markup=False, highlight=False)
    out.print(
        f"{partition}: {written.n_requests:,} requests in {len(written.files)} files; "
        f"{written.n_answered:,} figures have their answer in the log",
        markup=False,
        highlight=False,
    )
    if written.n_requests == 0:
        out.print(f"  s1mm build --partition '{partition}'", markup=False, highlight=False)


def read(partition: str, results: Sequence[Path]) -> None:
    """Log the answers, and say what became of each result."""
    with engine() as captioner:
        report = read_batch(captioner, partition, results)
    table(counted(report), as_json=False, title=f"Results for {partition}")
    command = f"batch write --partition '{partition}' FOLDER" if report.n_to_ask else "build"
    out.print(
        f"{report.n_to_ask:,} figures still have no answer that can be used. Next:\n  s1mm {command}",
        markup=False,
        highlight=False,
    )


def counted(report: BatchRead) -> pl.DataFrame:
    """Return what became of the results, counted, with examples."""
    rows = [
        {"outcome": outcome, "results": n, "examples": "\n".join(report.examples[outcome])}
        for outcome, n in sorted(report.outcomes.items(), key=lambda item: (-item[1], item[0]))
    ]
    return pl.DataFrame(rows, schema={"outcome": pl.String, "results": pl.Int64, "examples": pl.String})
