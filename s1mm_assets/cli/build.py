"""`s1mm demo`, `build` and `retry`: partitions, one after the other, in this process."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import polars as pl
from rich.markup import escape

from s1mm_assets import metrics, reports
from s1mm_assets.archives import INSPECTIONS
from s1mm_assets.cli.runs import DUPLICATES, LANDING, PUBLICATION, STAGES, RunOutcome, materialize
from s1mm_assets.cli.terminal import UsageError, bars, err, out, table
from s1mm_assets.definitions import (
    CLIP_ENCODERS,
    LAYOUT,
    MASKED_LANGUAGE_MODELS,
    RELEASE,
    RENDERERS,
    SETTINGS,
    SOURCES,
    STORE,
    VLLM,
)
from s1mm_assets.partitions import source_and_year
from s1mm_assets.recaptioning.faults import RULES
from s1mm_assets.resources import text_reader
from s1mm_assets.resources.captioners.answer_log import AnswerLog
from s1mm_assets.resources.published_import import imported_partitions
from s1mm_assets.resources.release_pieces import left_behind
from s1mm_assets.tables import ENVIRONMENT_CAUSED, Rejection

EXAMPLES = Path(__file__).parents[2] / "examples"
*BEFORE, RELEASE_STAGE = STAGES  # duplicates of all partitions are sought between them
MADE_BEFORE = {  # what is made on the way to an asset, and is to be forgotten with it
    "raw_archives": (INSPECTIONS,),
    "filtered_figures": ("figure_measures", "figure_texts"),
}
UNTIL = (LANDING, *BEFORE, DUPLICATES, RELEASE_STAGE)
ANSWERED = frozenset(reason for reason, _ in RULES)  # reasons that lie in a model's answer


def pack_examples() -> None:
    """Pack the example corpus into the folder of sources."""
    script = EXAMPLES / "pack.py"
    if not script.exists():
        raise UsageError(f"there is no example corpus at {EXAMPLES}: run the demo from a checkout")
    subprocess.run([sys.executable, str(script), SOURCES.root], check=True)  # noqa: S603


def prepare() -> None:
    """Read every setting before the first partition starts, and say what is missing.

    Raises:
        ModelMissingError, ClipUnavailableError: A model that is to score cannot be had.
    """
    SETTINGS.as_dict()
    metrics.score_stages(
        SETTINGS.metrics,
        masked_model=MASKED_LANGUAGE_MODELS.model,
        clip_component=CLIP_ENCODERS.component,
        clip_encoder=CLIP_ENCODERS.encoder,
    )
    missing = RENDERERS.missing(RENDERERS.versions())
    missing += LAYOUT.missing(LAYOUT.versions(SETTINGS.pdf.detector))
    missing += text_reader.missing(SETTINGS.texts)
    if SETTINGS.recaptioning.engine == "vllm":
        missing += VLLM.missing()
    for line in missing:
        err.print(f"warning: {line}", highlight=False, markup=False)


def build_all(partitions: Sequence[str] | None, until: str | None = None) -> int:
    """Materialize partitions, up to an asset or with the publication; return the exit code."""
    if until is not None and until not in UNTIL:
        raise UsageError(f"{until} is no asset of a partition; there are: {', '.join(UNTIL)}")
    prepare()
    keys = list(
        partitions or sorted({*SOURCES.partitions(), *reports.partition_keys(STORE)}, key=source_and_year)
    )
    if not keys:
        raise UsageError(
            f"{SOURCES.root} holds no papers: set S1MM_SOURCES to a folder with arxiv/ or local/ in it"
        )
    start = time.monotonic()
    with instance() as dagster:
        imported = imported_partitions(STORE)  # they have no source: only their scores can be made anew
        work = {key: BEFORE[-1:] if key in imported else stages_of(key) for key in keys}
        is_sound = run_all(work, dagster, until)
    table(reports.status(STORE, SOURCES), as_json=False, title=f"Store {STORE.uri}", totals=True)
    if not is_sound:
        out.print("The release was left as it was: a partition or the publication failed.")
        return 1
    if until is not None:
        return 0
    out.print(
        f"Release: {RELEASE.path} ({time.monotonic() - start:.0f} s). Look at its README.md, or:",
        markup=False,
    )
    out.print(f"  s1mm verify {RELEASE.path}", highlight=False, markup=False)
    return 0


def stages_of(key: str) -> list[str]:
    """Return the assets of a partition up to quality_metrics; landing first, where its publisher is asked."""
    source, _ = source_and_year(key)
    return [*([LANDING] if source in SETTINGS.acquisition.publishers else []), *BEFORE]


def run_all(work: Mapping[str, Sequence[str]], dagster: dg.DagsterInstance, until: str | None = None) -> bool:
    """Materialize assets of partitions, then what joins partitions: duplicates, the releases, the publication.

    Args:
        work: Partition → its assets, up to quality_metrics.
        dagster: The instance.
        until: Stop after this asset.

    Returns:
        Whether all of it succeeded. A partition that failed is not released, and nothing is published then.
    """
    last = UNTIL.index(until) if until else len(UNTIL)
    before = {key: [stage for stage in stages if UNTIL.index(stage) <= last] for key, stages in work.items()}
    sound = each_of({key: stages for key, stages in before.items() if stages}, dagster)
    failed = {key for key, stages in before.items() if stages} - sound
    if last < UNTIL.index(DUPLICATES):
        return not failed
    if len(failed) == len(work) or not run([DUPLICATES], None, dagster).is_success:
        return False
    if until == DUPLICATES:
        return not failed
    keys = sorted({*work, *left_behind(STORE)} - failed, key=source_and_year)
    released = each_of(dict.fromkeys(keys, (RELEASE_STAGE,)), dagster)
    if failed or released != set(keys):
        return False
    return until is not None or run([PUBLICATION], None, dagster).is_success


def each_of(work: Mapping[str, Sequence[str]], dagster: dg.DagsterInstance) -> set[str]:
    """Materialize assets of one partition after the other, also after one that failed, but not in an outage.

    Returns:
        The partitions that succeeded.
    """
    sound = set()
    for i, (key, stages) in enumerate(work.items(), start=1):
        outcome = run(stages, key, dagster, f"{i}/{len(work)} ")
        if outcome.is_success:
            sound.add(key)
        if outcome.is_outage:
            out.print(f"stopped: {len(work) - i} partitions are left; what was answered is kept")
            break
    return sound


def retry_failed(partitions: Sequence[str] | None, reasons: Sequence[Rejection] = ()) -> int:
    """Forget the shards with rows that were rejected for some reasons, and materialize their partitions again.

    Args:
        partitions: Only these; all where not given.
        reasons: Only these; all that the environment causes where none is given.
    """
    refuse_unrepeatable(reasons)
    prepare()
    imported = imported_partitions(STORE)
    if imported and any(partitions is None or key in partitions for key in imported):
        err.print(f"left alone: {', '.join(sorted(imported))} were imported; run s1mm import again for them")
    kept = partitions if partitions is not None else reports.partition_keys(STORE)
    partitions = [key for key in kept if key not in imported]
    found = rejected_for(reasons, partitions)
    if found.is_empty():
        said = ", ".join(reasons) or "what the environment causes"
        out.print(f"nothing to retry: no row was rejected for {said}", highlight=False)
        return 0
    forget_answers(found)
    for asset, partition, shard in found.select("asset", "partition", "shard").unique().iter_rows():
        for name in (*MADE_BEFORE.get(asset, ()), asset):
            STORE.invalidate(name, partition, shard)
    work = {
        key: BEFORE[min(STAGES.index(asset) for asset in found.filter(partition=key)["asset"]) :]
        for key in found["partition"].unique(maintain_order=True)
    }
    with instance() as dagster:
        is_sound = run_all(work, dagster)
    left = rejected_for(reasons, partitions)
    n_rows, n_left = (each.n_unique(["partition", "id"]) for each in (found, left))  # met at several doors
    out.print(f"{n_rows - n_left} of {n_rows} rows mended")
    return 0 if is_sound else 1


def refuse_unrepeatable(reasons: Sequence[Rejection]) -> None:
    """Refuse reasons that lie in the paper: only other code or settings change them, and then a build does."""
    for reason in reasons:
        if reason not in ENVIRONMENT_CAUSED | ANSWERED:
            raise UsageError(
                f"{reason} lies in the paper: doing it again gives it again. After a change of code or settings "
                "`s1mm build` does again what it touches. To be retried are: "
                + ", ".join(sorted(ENVIRONMENT_CAUSED | ANSWERED))
            )
        if reason in ANSWERED and SETTINGS.recaptioning.engine != "vllm":
            raise UsageError(
                f"{reason} is of a model's answer, and [recaptioning] engine is "
                f"{SETTINGS.recaptioning.engine}: set it to vllm to ask again"
            )


def rejected_for(reasons: Sequence[Rejection], partitions: Sequence[str] | None) -> pl.DataFrame:
    """Return the rows rejected for these reasons, or by the environment, at whatever door."""
    found = reports.failures(STORE, partitions=partitions, first_only=False)
    if not reasons:
        return reports.environment_caused(found)
    return found.filter(pl.col("rejection").is_in([reason.value for reason in reasons]))


def forget_answers(found: pl.DataFrame) -> None:
    """Forget what models answered about figures rejected for it, so that these are asked again, and no others."""
    is_answered = pl.col("rejection").is_in([reason.value for reason in ANSWERED])
    answered = found.filter(is_answered & (pl.col("asset") == "recaptions"))
    for partition, shard in answered.select("partition", "shard").unique(maintain_order=True).iter_rows():
        figure_ids = answered.filter(partition=partition, shard=shard)["id"]
        with AnswerLog.open(STORE, partition, shard) as log:
            log.forget(figure_ids.to_list())


def run(
    assets: Sequence[str], partition: str | None, dagster: dg.DagsterInstance, which: str = ""
) -> RunOutcome:
    """Materialize, and say in a line what became of it."""
    start = time.monotonic()
    name = partition or (DUPLICATES if DUPLICATES in assets else "publication")
    with bars(f"{which}{name}"):
        outcome = materialize(assets, partition, dagster)
    verdict = "[green]done[/green]" if outcome.is_success else "[red]failed[/red]"
    seconds = time.monotonic() - start
    out.print(f"{which}{name}: {verdict} in {seconds:.1f} s{escape(remarks(outcome))}", highlight=False)
    return outcome


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
