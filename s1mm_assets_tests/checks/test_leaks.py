"""Tests of the check that nothing leaks: it judges anew what was released, by what the sources say."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from s1mm_assets.checks.hf_release import leaked_images, leaked_texts
from s1mm_assets.release import ReleaseSettings, stage
from s1mm_assets.release.papers import IMAGE
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import TABLES
from s1mm_assets_tests.release.shards import Figure, tables_of

PARTITION, SHARD = "arxiv|2023", "chunk_001"
ARXIV = "http://arxiv.org/licenses/nonexclusive-distrib/1.0/"
OPEN, CLOSED = Figure(paper_id="2301.00001"), Figure(paper_id="2301.00002", licence=ARXIV)


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(uri=str(tmp_path / "store"))


def stored(store: ShardStore, figures: list[Figure]) -> list[ShardSet]:
    """The assets that a release is made from."""
    tables = tables_of(figures)

    def write(asset: str) -> Callable[[ShardReader, ShardWriter], None]:
        def make(_: ShardReader, writer: ShardWriter) -> None:
            for (of, name), rows in tables.items():
                if of == asset:
                    writer.write(name, rows)

        return make

    return [
        store.derive(
            Stage(asset=asset, version="1", tables=TABLES[asset], make=write(asset)),
            PARTITION,
            shards=[SHARD],
        )
        for asset in ("raw_archives", "figure_candidates", "recaptions", "quality_metrics", "duplicates")
    ]


def released(
    store: ShardStore, inputs: list[ShardSet], settings: ReleaseSettings
) -> tuple[pl.DataFrame, ShardSet]:
    pieces = store.derive(stage(settings), PARTITION, inputs=inputs)
    records = store.read(pieces, "records", ["figure_id", "paper_id", "image_sha256", "released_as"])
    return records.filter(pl.col("released_as") == IMAGE), pieces


def settings_with(tmp_path: Path, text: str) -> Settings:
    (tmp_path / "settings.toml").write_text(text)
    return Settings(path=str(tmp_path / "settings.toml"))


def test_what_may_be_shown_does_not_leak(store: ShardStore, tmp_path: Path) -> None:
    """By the policy that the settings have."""
    inputs = stored(store, [OPEN, CLOSED])
    shown, pieces = released(store, inputs, ReleaseSettings())

    assert shown["figure_id"].to_list() == [OPEN.figure_id]
    assert leaked_images(store, shown, inputs[0], inputs[1], Settings()).is_empty()
    assert leaked_texts(store, pieces).is_empty()
    stricter = settings_with(tmp_path, '[release]\nlicence_policy = "metadata-only"\n')
    assert len(leaked_images(store, shown, inputs[0], inputs[1], stricter)) == 1


@pytest.mark.parametrize(
    ("figure", "what"),
    [
        (CLOSED, f"its licence, {ARXIV}, does not allow it"),
        (replace(CLOSED, licence=None), "its licence, None, does not allow it"),
    ],
)
def test_an_image_that_its_licence_keeps_back_leaks(store: ShardStore, figure: Figure, what: str) -> None:
    """As where a partition was released by another policy."""
    inputs = stored(store, [OPEN, figure])
    shown, _ = released(store, inputs, ReleaseSettings(licence_policy="all"))

    assert leaked_images(store, shown, inputs[0], inputs[1], Settings()).rows() == [(figure.figure_id, what)]


@pytest.mark.parametrize("change", [{"is_withdrawn": True}, {"is_retracted": True}])
def test_what_was_withdrawn_since_leaks(store: ShardStore, change: dict[str, bool]) -> None:
    """The metadata that stand now count."""
    inputs = stored(store, [OPEN])
    shown, _ = released(store, inputs, ReleaseSettings())
    later = ShardStore(uri=str(Path(store.uri) / "later"))
    inputs = stored(later, [replace(OPEN, **change)])  # type: ignore[arg-type]

    assert leaked_images(later, shown, inputs[0], inputs[1], Settings()).rows() == [
        (OPEN.figure_id, "its paper is withdrawn or retracted")
    ]


@pytest.mark.parametrize("name", ["arxiv:2301.00001", "arxiv:2301.00001#1.1"])
def test_what_was_taken_down_since_leaks(store: ShardStore, tmp_path: Path, name: str) -> None:
    """A paper, or one figure of it."""
    inputs = stored(store, [OPEN])
    shown, _ = released(store, inputs, ReleaseSettings())
    (tmp_path / "list.csv").write_text(f"id,reason\n{name},court order\n")
    settings = settings_with(tmp_path, f'[release]\ntakedowns = "{tmp_path}/list.csv"\n')

    assert leaked_images(store, shown, inputs[0], inputs[1], settings).rows() == [
        (OPEN.figure_id, "it is taken down")
    ]


@pytest.mark.parametrize("column", ["caption", "parent_caption", "mentions", "recaption"])
def test_words_of_the_authors_in_a_recipe_leak(store: ShardStore, column: str) -> None:
    """Whatever column they stand in; a model's recaption does not."""
    quiet = {"figure_id": "a", "engine": "context"} | dict.fromkeys(
        ("caption", "sub_caption", "parent_caption", "mentions", "recaption")
    )
    lines = [
        quiet,
        quiet | {"figure_id": "b", column: ["theirs"]},
        quiet | {"engine": "vllm", "recaption": "x"},
    ]

    def make(_: ShardReader, writer: ShardWriter) -> None:
        with writer.file("recipes.jsonl") as stream:
            stream.write("".join(json.dumps(line) + "\n" for line in lines).encode())

    of_release = Stage(asset="hf_release", version="0", tables=TABLES["hf_release"], make=make)
    pieces = store.derive(of_release, PARTITION, shards=[SHARD])

    assert leaked_texts(store, pieces).rows() == [("b", f"its {column} stands in the recipe")]
