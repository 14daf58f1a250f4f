"""Two of the stages behind filtered_figures: measure every image once, then decide. The third is in texts.py.

They are apart because measuring decodes images and deciding does not: a changed threshold decodes nothing.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl

from s1mm_assets.filtering.rules import DECIDED_COLUMNS, MEASURE_COLUMNS, decide
from s1mm_assets.filtering.settings import FilterSettings
from s1mm_assets.stages import Failed, MapItems, ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Decision, FigureText, Measure, columns_of, frame_of

if TYPE_CHECKING:
    from s1mm_assets.filtering.measures import MeasureJob

VERSION = "3"
ACROSS_VERSION = "2"  # of across.py
BATCH_FIGURES = 16  # a task of one small image would cost more to send than to do
BATCH_BYTES = 8 * 2**20

FIGURES = "figure_candidates"
MEASURES = "figure_measures"
TEXTS = "figure_texts"


def measure_stage(*, map_items: MapItems, environment: Mapping[str, str]) -> Stage:
    """Return the stage that looks at every image: one `Measure` per figure, in order.

    Args:
        map_items: Measures images apart from this process.
        environment: Version of the decoder, by the name "pillow".
    """

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        from s1mm_assets.filtering.measures import unmeasured

        seen: list[tuple[str, str | None]] = []
        measured = _in_batches(_jobs(reader, seen), map_items)
        left = {figure_id for figure_id, rejection in seen if not rejection} - measured.keys()
        if left:
            measured |= _one_by_one((job for job in _jobs(reader, []) if job.figure_id in left), map_items)
        rows = [
            unmeasured(figure_id, rejection, None) if rejection else measured[figure_id]
            for figure_id, rejection in seen
        ]
        writer.write("measures", frame_of(Measure, rows))
        if measured:
            writer.used("pillow")

    return Stage(
        asset=MEASURES,
        version=VERSION,
        tables={"measures": Measure},
        make=make,
        reads={FIGURES: {"figures": ("figure_id", "image", "rejection")}},
        environment=environment,
    )


def _jobs(reader: ShardReader, seen: list[tuple[str, str | None]]) -> Iterator[MeasureJob]:
    """Yield a job per figure that extraction did not reject; note every figure in `seen`, with its rejection."""
    from s1mm_assets.filtering.measures import MeasureJob

    for figures in reader.scan(FIGURES, "figures"):
        for figure_id, image, rejection in figures.select("figure_id", "image", "rejection").iter_rows():
            seen.append((figure_id, rejection))
            if rejection is None:
                yield MeasureJob(figure_id, image)


def batches(jobs: Iterable[MeasureJob]) -> Iterator[list[MeasureJob]]:
    """Group jobs into tasks of up to `BATCH_FIGURES` images and, past the first, `BATCH_BYTES` bytes."""
    batch: list[MeasureJob] = []
    n_bytes = 0
    for job in jobs:
        size = len(job.image or b"")
        if batch and (len(batch) == BATCH_FIGURES or n_bytes + size > BATCH_BYTES):
            yield batch
            batch, n_bytes = [], 0
        batch.append(job)
        n_bytes += size
    if batch:
        yield batch


def _in_batches(jobs: Iterable[MeasureJob], map_items: MapItems) -> dict[str, Measure]:
    """Measure images in batches; the figures of a batch that failed are missing from the answer."""
    from s1mm_assets.filtering.measures import measure_batch

    results = map_items(measure_batch, batches(jobs), what="batches of images")
    return {each.figure_id: each for batch in results if not isinstance(batch, Failed) for each in batch}


def _one_by_one(jobs: Iterable[MeasureJob], map_items: MapItems) -> dict[str, Measure]:
    """Measure images singly, so that the one that fails costs no other."""
    from s1mm_assets.filtering.measures import measure, unmeasured

    names: deque[str] = deque()

    def named() -> Iterator[MeasureJob]:
        for job in jobs:
            names.append(job.figure_id)
            yield job

    measured = {}
    for result in map_items(measure, named(), what="images, one by one"):
        figure_id = names.popleft()
        if isinstance(result, Failed):
            result = unmeasured(figure_id, result.rejection, result.evidence)  # noqa: PLW2901
        measured[figure_id] = result
    return measured


def decide_stage(*, settings: FilterSettings, duplicates: pl.DataFrame) -> Stage:
    """Return the stage that decides on every figure: one `Decision` per figure, in order.

    Args:
        settings: The thresholds.
        duplicates: What `find_duplicates` returned for the whole partition. A shard's own rows are part of its
            fingerprint, so that a new shard alters only those whose figures it duplicates.
    """
    by_shard = {str(shard): rows for (shard,), rows in duplicates.partition_by("shard", as_dict=True).items()}
    none = duplicates.clear()

    def make(reader: ShardReader, writer: ShardWriter) -> None:
        figures = reader.read(FIGURES, "figures")
        measures = reader.read(MEASURES, "measures")
        texts = reader.read(TEXTS, "texts")
        found = by_shard.get(reader.shard, none)
        writer.write("decisions", decide(figures, measures, found, settings, texts=[texts]))
        writer.write("texts", texts)

    def shard_inputs(shard: str) -> dict[str, str]:
        rows = by_shard.get(shard, none).sort("figure_id").write_csv()
        return {"duplicates": hashlib.sha256(rows.encode()).hexdigest()}

    return Stage(
        asset="filtered_figures",
        version=VERSION,
        tables={"decisions": Decision, "texts": FigureText},
        make=make,
        reads={
            FIGURES: {"figures": DECIDED_COLUMNS},
            MEASURES: {"measures": MEASURE_COLUMNS},
            TEXTS: {"texts": tuple(columns_of(FigureText))},
        },
        settings=asdict(settings),
        shard_inputs=shard_inputs,
    )


def summary(decisions: pl.DataFrame) -> dict[str, Any]:
    """Return what a partition's decisions came to, from their `rejection`: counts for people to read."""
    rejections = decisions.drop_nulls("rejection").group_by("rejection").len()
    return {
        "figures": len(decisions),
        "kept": decisions["rejection"].null_count(),
        "rejected": dict(rejections.sort("len", "rejection", descending=[True, False]).iter_rows()),
    }
