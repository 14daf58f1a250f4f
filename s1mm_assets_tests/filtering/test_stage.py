"""Measuring and deciding, shard by shard."""

import polars as pl
from polars.testing import assert_frame_equal

from s1mm_assets.filtering import (
    FilterSettings,
    MeasureJob,
    decide_stage,
    find_duplicates,
    measure,
    measure_stage,
    summary,
    survivors,
)
from s1mm_assets.filtering.stage import BATCH_BYTES, BATCH_FIGURES, batches
from s1mm_assets.tables import FigureCandidate, FigureText, frame_of
from s1mm_assets_tests.fakes import FailingMap, map_here, run
from s1mm_assets_tests.filtering import drawings
from s1mm_assets_tests.strategies import SHA256S, figure

SETTINGS = FilterSettings()
PLOT, TABLE, BLANK = (drawings.png(draw()) for draw in (drawings.plot, drawings.table, drawings.blank))
PILLOW = {"pillow": "test"}
KEY = ("figure_candidates", "figures")
MEASURES = ("figure_measures", "measures")
TEXTS = ("figure_texts", "texts")
READ = frame_of(FigureText, [FigureText(figure_id="arxiv:p#1.1", lines=[], rejection=None, evidence=None)])


def figures() -> pl.DataFrame:
    """A shard: a plot, its copy, a table, a blank page, a missing file, bytes that are no image."""
    return frame_of(
        FigureCandidate,
        [
            figure("arxiv:p#1.1", image=PLOT, sha256=SHA256S[0]),
            figure("arxiv:p#2.1", image=PLOT, sha256=SHA256S[0]),
            figure("arxiv:p#3.1", image=TABLE, sha256=SHA256S[1]),
            figure("arxiv:p#4.1", image=BLANK, sha256=SHA256S[2]),
            figure("arxiv:p#5.1", image=None, sha256=None, rejection="graphics_missing", evidence="a.eps"),
            figure("arxiv:p#6.1", image=b"no image", sha256=SHA256S[3]),
        ],
    )


def test_one_measure_per_figure_in_order() -> None:
    """Each figure has a row, with its measures or with why there are none."""
    measures = run(measure_stage(map_items=map_here, environment=PILLOW), {KEY: figures()})["measures"]

    assert measures["figure_id"].to_list() == figures()["figure_id"].to_list()
    assert measures["rejection"].to_list() == [*[None] * 4, "graphics_missing", "image_unreadable"]


def test_a_crash_costs_only_its_figure() -> None:
    """The batch that crashed is measured again singly, and the one that crashes again is a row."""
    lost = FailingMap(lambda job: job_holds(job, "arxiv:p#3.1"))

    measures = run(measure_stage(map_items=lost, environment=PILLOW), {KEY: figures()})["measures"]

    undisturbed = run(measure_stage(map_items=map_here, environment=PILLOW), {KEY: figures()})["measures"]
    is_lost = pl.col("figure_id") == "arxiv:p#3.1"
    assert_frame_equal(measures.filter(~is_lost), undisturbed.filter(~is_lost))
    assert measures.filter(is_lost)["rejection"].to_list() == ["worker_crashed"]
    assert measures.filter(is_lost)["evidence"].to_list() == ["signal 9"]
    assert lost.n_items == [1, 5]  # one batch, then its five images


def job_holds(job: MeasureJob | list[MeasureJob], figure_id: str) -> bool:
    """Whether a task measures this figure."""
    return any(each.figure_id == figure_id for each in (job if isinstance(job, list) else [job]))


def test_tasks_are_neither_tiny_nor_huge() -> None:
    """A task ends at a number of images or of bytes, and nothing is left out."""
    jobs = [MeasureJob(str(i), b"") for i in range(BATCH_FIGURES + 1)]
    jobs += [MeasureJob("large", bytes(BATCH_BYTES)), MeasureJob("small", b"x")]

    tasks = list(batches(jobs))

    assert [len(task) for task in tasks] == [BATCH_FIGURES, 2, 1]
    assert [job for task in tasks for job in task] == jobs


def decided(duplicates: pl.DataFrame, measures: pl.DataFrame) -> pl.DataFrame:
    """The decisions on the shard above."""
    stage = decide_stage(settings=SETTINGS, duplicates=duplicates)
    tables = run(stage, {KEY: figures(), MEASURES: measures, TEXTS: READ})
    assert_frame_equal(tables["texts"], READ)  # handed on to those who ask
    return tables["decisions"]


def test_from_images_to_decisions() -> None:
    """The plot is kept once; table, blank page, missing and broken file say why they are not."""
    measures = run(measure_stage(map_items=map_here, environment=PILLOW), {KEY: figures()})["measures"]
    kept = survivors(figures().with_columns(shard=pl.lit("chunk_001")), measures, SETTINGS)
    decisions = decided(find_duplicates(kept, bits=SETTINGS.near_duplicate_bits), measures)

    assert decisions["rejection"].to_list() == [
        *(None, "exact_duplicate", "table_as_image", "blank", "graphics_missing", "image_unreadable")
    ]
    assert decisions["duplicate_of"].to_list() == [None, "arxiv:p#1.1", *[None] * 4]
    assert decisions["evidence"].to_list()[4:] == ["a.eps", "neither PNG nor JPEG"]
    assert summary(decisions.select("rejection"))["kept"] == 1
    assert decisions["caption_hash"].null_count() == 0


def test_deciding_reads_no_image() -> None:
    """A changed threshold decodes nothing."""
    reads = decide_stage(settings=SETTINGS, duplicates=find_duplicates(no_survivors(), bits=0)).reads

    assert "image" not in reads["figure_candidates"]["figures"]


def no_survivors() -> pl.DataFrame:
    """No figure at all."""
    measures = run(measure_stage(map_items=map_here, environment=PILLOW), {KEY: figures().clear()})[
        "measures"
    ]
    return survivors(figures().clear().with_columns(shard=pl.lit("s")), measures, SETTINGS)


def test_only_the_shards_with_other_duplicates_are_done_again() -> None:
    """A shard's inputs change with its own duplicates, not with those of other shards."""
    detail = measure(MeasureJob("x", PLOT)).detail_hash
    rows = [
        ("s1", "a:p#1.1", SHA256S[0], detail, bytes(16)),
        ("s2", "a:q#1.1", SHA256S[1], bytes(128), bytes(16)),
        ("s3", "a:r#1.1", SHA256S[0], detail, bytes(16)),
    ]
    table = pl.DataFrame(rows, schema=no_survivors().schema, orient="row")

    before = decide_stage(settings=SETTINGS, duplicates=find_duplicates(table[:2], bits=32)).shard_inputs
    after = decide_stage(settings=SETTINGS, duplicates=find_duplicates(table, bits=32)).shard_inputs

    assert before("s1") == after("s1")
    assert before("s2") == after("s2")
    assert before("s3") != after("s3")
