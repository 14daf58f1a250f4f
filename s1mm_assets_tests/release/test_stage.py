"""Tests of s1mm_assets.release.stage and of the pieces that it writes."""

import hashlib
import io
import json
from dataclasses import replace
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest

from s1mm_assets.release import SUMMARISED, ReleaseSettings, summary
from s1mm_assets.release.image_archives import END, members
from s1mm_assets.release.records import RECORD
from s1mm_assets.release.streamable import rows
from s1mm_assets.tables import ReleaseFile, ReleaseRecord, schema_of
from s1mm_assets_tests.release.shards import Figure, MemoryShard, make, tables_of

FIGURES = [
    Figure(
        number=1,
        panel=1,
        doi="10.1/x",
        categories=["cs.CV", "cs.CL"],
        mentions=["See Fig. 1."],
        licence="CC0",  # as a code, not an id
    ),
    Figure(number=1, panel=2, is_filtered=True),
    Figure(number=2, rejection="no_context"),
    Figure(number=3, image_format="jpeg"),
    *(Figure(number=n, paper_id="odd.name/ü") for n in range(1, 6)),
]
N_RELEASED = 7


@pytest.fixture(scope="module")
def made() -> MemoryShard:
    return make(FIGURES, settings=ReleaseSettings(row_group_rows=2))


def lines(shard: MemoryShard) -> list[dict[str, Any]]:
    return [json.loads(line) for line in shard.files["records.jsonl"].decode().splitlines()]


def test_every_metric_is_accounted_for(made: MemoryShard) -> None:
    """What quality_metrics has is released or says why not, in the order of the figures."""
    records = made.table("records")

    assert records.schema == schema_of(ReleaseRecord)
    assert records["figure_id"].to_list() == [each.figure_id for each in FIGURES if not each.is_filtered]
    assert records.filter(pl.col("rejection").is_not_null())["rejection"].to_list() == ["no_context"]
    assert records.filter(pl.col("image_path").is_null())["figure_id"].to_list() == [FIGURES[2].figure_id]


def test_a_record_says_what_is_known(made: MemoryShard) -> None:
    """Ids, texts, image and recaption of one figure; what nobody evaluated is null."""
    record = lines(made)[0]

    assert list(record) == RECORD.names
    assert (record["doi"], record["arxiv_id"], record["licence"]) == ("10.1/x", None, "CC0-1.0")
    assert (record["source"], record["year"], record["title"]) == ("arxiv", 2023, "A title")
    assert record["categories"] == ["cs.CV", "cs.CL"]
    assert record["mentions"] == ["See Fig. 1."]
    assert record["image_path"] == "2301_01234/f1_p1.png"
    assert record["image_sha256"] == hashlib.sha256(FIGURES[0].content or b"").hexdigest()
    assert (record["engine"], record["model"]) == ("context", None)
    assert (record["grounding"], record["recaption_clip_score"]) == (0.5, None)


def test_the_images_are_those_of_the_records(made: MemoryShard) -> None:
    """Every image_path is a member with that digest, and there is no other member."""
    archive = io.BytesIO(made.files["images.tar.gz"] + END)

    assert [(member.name, member.sha256) for member in members(archive)] == [
        (record["image_path"], record["image_sha256"]) for record in lines(made)
    ]


def test_parquet_holds_the_same_and_the_images(made: MemoryShard) -> None:
    """Rows equal the records, in row groups of the size set, with the bytes of each image."""
    data = io.BytesIO(made.files["data.parquet"])
    read = list(rows(data))

    assert [{name: row[name] for name in RECORD.names} for row in read] == lines(made)
    assert [hashlib.sha256(row["image"]["bytes"]).hexdigest() for row in read] == [
        record["image_sha256"] for record in lines(made)
    ]
    metadata = pq.ParquetFile(data).metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [2, 2, 2, 1]


def test_a_damaged_page_does_not_pass(made: MemoryShard) -> None:
    """Every page has a checksum: a flipped bit in an image is an error."""
    data = bytearray(made.files["data.parquet"])
    image = FIGURES[0].content or b""
    data[data.index(image) + len(image) // 2] ^= 1

    with pytest.raises(OSError, match="CRC"):
        list(rows(io.BytesIO(bytes(data))))


def test_files_are_described(made: MemoryShard) -> None:
    """Length, digest and rows of each piece, and where it goes."""
    files = made.table("files")

    assert files.schema == schema_of(ReleaseFile)
    for row in files.iter_rows(named=True):
        content = made.files[row["piece"]]
        assert (row["n_bytes"], row["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert files["n_rows"].to_list() == [*[N_RELEASED] * 3, 2]
    assert files["path"].to_list() == [
        *("arxiv/jsonl/2023.jsonl", "arxiv/images_2023.tar.gz", "arxiv/data/2023/*.parquet"),
        "arxiv/attribution/2023.jsonl",
    ]
    counted = summary(files.select(SUMMARISED))
    assert counted["records_released"] == N_RELEASED
    assert counted["images_bytes"] == len(made.files["images.tar.gz"])


@pytest.mark.parametrize("figures", [[], [Figure(rejection="no_context")], [Figure(is_filtered=True)]])
def test_nothing_to_release_gives_no_files(figures: list[Figure]) -> None:
    """A shard without released rows writes empty tables, or rejections alone, and no file."""
    shard = make(figures)

    assert shard.files == {}
    assert shard.table("files").is_empty()
    assert summary(shard.table("files"))["records_released"] == 0


def test_the_same_rows_give_the_same_bytes(made: MemoryShard) -> None:
    """Two runs write equal files and tables."""
    again = make(FIGURES, settings=ReleaseSettings(row_group_rows=2))

    assert again.files == made.files
    assert again.table("records").equals(made.table("records"))
    assert again.table("files").equals(made.table("files"))


CONTRADICTIONS = {
    "its image is not the one": ("figure_candidates", "figures", pl.lit("0" * 64).alias("sha256")),
    "has no image": ("figure_candidates", "figures", pl.lit(None, pl.Binary).alias("image")),
    "neither a recaption": ("recaptions", "recaptions", pl.lit(None, pl.String).alias("recaption")),
    "no such figure": ("figure_candidates", "figures", pl.lit("arxiv:9#1.1").alias("figure_id")),
}


@pytest.mark.parametrize("message", CONTRADICTIONS)
def test_tables_that_contradict_one_another_are_refused(message: str) -> None:
    """A release that would be wrong is not made: the message names the figure."""
    figure = Figure()
    asset, table, change = CONTRADICTIONS[message]
    inputs = tables_of([figure])
    inputs[asset, table] = inputs[asset, table].with_columns(change)

    with pytest.raises(ValueError, match=f"{figure.figure_id}: .*{message}"):
        make([figure], inputs=inputs)


@pytest.mark.parametrize("key", [("figure_candidates", "figures"), ("quality_metrics", "metrics")])
def test_a_figure_that_is_there_twice_is_refused(key: tuple[str, str]) -> None:
    """Duplicate ids would give one path two images."""
    inputs = tables_of([Figure()])
    inputs[key] = pl.concat([inputs[key], inputs[key]])

    with pytest.raises(ValueError, match=r"arxiv:2301.01234#1.1: .*tw"):
        make([Figure()], inputs=inputs)


@pytest.mark.parametrize("key", [("recaptions", "recaptions"), ("quality_metrics", "metrics")])
def test_a_rejection_of_either_table_counts(key: tuple[str, str]) -> None:
    """A row that recaptions or metrics turned away is not released."""
    inputs = tables_of([Figure()])
    inputs[key] = inputs[key].with_columns(rejection=pl.lit("no_context"))

    shard = make([Figure()], inputs=inputs)

    assert shard.table("records")["rejection"].to_list() == ["no_context"]
    assert shard.files == {}


def test_what_another_partition_releases_is_rejected_here() -> None:
    """The row names the figure that is kept; an earlier rejection stays."""
    figures = [Figure(duplicate_of="arxiv:1#1.1"), Figure(number=2, duplicate_of="x", rejection="no_context")]

    shard = make([*figures, Figure(number=3)])

    assert shard.table("records").select("rejection", "evidence").rows() == [
        ("near_duplicate", "arxiv:1#1.1"),
        ("no_context", None),
        (None, None),
    ]
    assert [record["image_path"] for record in lines(shard)] == ["2301_01234/f3_p1.png"]


def test_what_scores_below_the_threshold_is_held_back() -> None:
    """With its score; the threshold itself passes, and so does what has no score. By default nothing is held back."""
    scores = [0.299, 0.3, None]
    figures = [Figure(number=n, clip_score=score) for n, score in enumerate(scores, start=1)]

    held = make(figures, settings=ReleaseSettings(min_clip_score=0.3)).table("records")

    assert held["rejection"].to_list() == ["clip_below_threshold", None, None]
    assert held["evidence"].to_list() == ["recaption_clip_score 0.299, below 0.3", None, None]
    assert make(figures).table("records")["rejection"].null_count() == 3


def test_a_paper_without_metadata_is_released_with_nulls() -> None:
    """Both ids are there, null; categories are an empty list, and the licence, not known, keeps the image back."""
    inputs = tables_of([Figure(doi="10.1/x")])
    for key in (("raw_archives", "metadata"), ("figure_candidates", "papers")):
        inputs[key] = inputs[key].clear()

    shard = make([Figure()], inputs=inputs)

    record = json.loads(shard.files["recipes.jsonl"])
    assert [record[name] for name in ("doi", "arxiv_id", "title", "licence")] == [None] * 4
    assert record["categories"] == []
    assert set(shard.files) == {"recipes.jsonl"}


def test_how_archives_are_joined_does_not_shape_a_shard() -> None:
    """It makes no shard outdated; what goes into the pieces does."""
    settings = ReleaseSettings(part_bytes=10, single_archive_sources=["arxiv"])

    assert make([], settings=settings).stage.settings == make([]).stage.settings
    changed = make([], settings=replace(settings, row_group_rows=7, licence_policy="all")).stage.settings
    assert (changed["row_group_rows"], changed["licence_policy"]) == (7, "all")


@pytest.mark.parametrize(
    "values",
    [
        {"part_bytes": 0},
        {"row_group_rows": 0},
        {"single_archive_sources": "arxiv"},
        {"min_clip_score": 2.6},
        {"licence_policy": "none"},
        {"redistributable": "CC-BY"},
        {"version": -1},
        {"repository": "../x"},
    ],
)
def test_settings_that_cut_nothing_are_refused(values: dict[str, Any]) -> None:
    """The message names the setting."""
    with pytest.raises(ValueError, match=next(iter(values))):
        ReleaseSettings(**values)
