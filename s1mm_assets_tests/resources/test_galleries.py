"""Galleries and reports, from tables of a store: what is shown, where it lies, and how verdicts come back."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from PIL import Image

from s1mm_assets.metrics.verdicts import COLUMNS, VerdictError
from s1mm_assets.resources import galleries, quality_report
from s1mm_assets.resources.settings import Settings
from s1mm_assets.resources.shard_garbage import collect
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.stages import Stage
from s1mm_assets.tables import TABLES, Decision, Metric, Paper, frame_of
from s1mm_assets_tests.metrics.test_stage import recaption
from s1mm_assets_tests.release.shards import picture
from s1mm_assets_tests.strategies import figure

KEY = "arxiv|2019"
KEPT, BLANK, ECHO, LOST = (f"arxiv:p#{i}.1" for i in range(1, 5))


def decision(figure_id: str, rejection: str | None) -> Decision:
    values = dict.fromkeys(Decision.__dataclass_fields__)
    known = {"figure_id": figure_id, "paper_id": "p", "rejection": rejection, "measured_value": 0.001}
    return Decision(**{**values, **known})  # type: ignore[arg-type]


def metric(figure_id: str, **scores: float) -> Metric:
    counts: dict[str, Any] = {"caption_length_chars": 10, "recaption_length_chars": 30, "n_claims": 1}
    lists: dict[str, Any] = {"n_grounded_claims": 1, "ungrounded_claims": ["7 GeV"], "flags": ["cut_off"]}
    ids = {"figure_id": figure_id, "paper_id": "p"}
    return Metric(**{**dict.fromkeys(Metric.__dataclass_fields__), **counts, **lists, **scores, **ids})


def tables() -> dict[str, dict[str, pl.DataFrame]]:
    """A kept figure, a blank one, one whose recaption was an echo, one without an image."""
    images = {KEPT: picture(1), BLANK: picture(2), ECHO: picture(3), LOST: None}
    figures = [figure(each, image=image, caption=f"Caption of {each}") for each, image in images.items()]
    counts: dict[str, Any] = {"authors": [], "warnings": [], "n_figures": 1, "n_rows": 1, "n_images": 1}
    paper = Paper(
        **{**dict.fromkeys(Paper.__dataclass_fields__), **counts, "paper_id": "p", "title": "On it"}
    )
    reasons = {KEPT: None, BLANK: "blank", ECHO: None, LOST: "graphics_missing"}
    found: dict[str, dict[str, list[Any]]] = {
        "figure_candidates": {"papers": [paper], "figures": figures},
        "filtered_figures": {"decisions": [decision(*each) for each in reasons.items()], "texts": []},
        "recaptions": {"recaptions": [recaption(KEPT, "A curve rises."), recaption(ECHO, None)]},
        "quality_metrics": {"metrics": [metric(KEPT, caption_clip_score=0.5, recaption_clip_score=0.75)]},
    }
    return {
        asset: {name: frame_of(TABLES[asset][name], rows) for name, rows in of_asset.items()}
        for asset, of_asset in found.items()
    }


@pytest.fixture
def store(tmp_path: Path) -> ShardStore:
    return ShardStore(uri=str(tmp_path / "store"))


@pytest.fixture
def handles(store: ShardStore) -> dict[str, ShardSet]:
    """The tables in a store."""
    made = {}
    for asset, of_asset in tables().items():

        def make(reader: Any, writer: Any, of_asset: dict[str, pl.DataFrame] = of_asset) -> None:
            for name, rows in of_asset.items():
                writer.write(name, rows)

        stage = Stage(asset=asset, version="1", tables=TABLES[asset], make=make)
        made[asset] = store.derive(stage, KEY, shards=["chunk_001"])
        store.pin(made[asset])
    return made


def shown(page: str) -> list[dict[str, Any]]:
    """The figures in a page's data."""
    data = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page, re.DOTALL)
    assert data
    figures: list[dict[str, Any]] = json.loads(data[1])["figures"]
    return figures


def test_the_gallery_shows_kept_and_rejected_figures(store: ShardStore, handles: dict[str, ShardSet]) -> None:
    """With what became of each at whichever door, and what was measured."""
    path = galleries.write_gallery(store, handles, seed=0)

    by_id = {each["figure_id"]: each for each in shown(Path(path).read_text())}
    assert set(by_id) == {KEPT, BLANK, ECHO, LOST}
    text = json.dumps(by_id)
    assert "A curve rises." in text
    assert "no_context" in text
    assert "On it" in text
    assert path.endswith("/galleries/arxiv/2019/gallery.html")


def test_the_same_tables_give_the_same_page(store: ShardStore, handles: dict[str, ShardSet]) -> None:
    """To the byte."""
    first = Path(galleries.write_gallery(store, handles, seed=0)).read_bytes()

    assert Path(galleries.write_gallery(store, handles, seed=0)).read_bytes() == first


def verdicts(
    store: ShardStore, handles: dict[str, ShardSet], *judgements: tuple[str, str], key: str = KEY
) -> bytes:
    """A file as the page saves it."""
    page = Path(galleries.write_gallery(store, handles, seed=0)).read_text()
    by_id = {each["figure_id"]: each for each in shown(page)}
    lines = [",".join(COLUMNS)]
    for figure_id, verdict in judgements:
        values = {"partition": key, "figure_id": figure_id, "verdict": verdict}
        values |= {"was": by_id[figure_id]["was"], "digest": by_id[figure_id]["digest"]}
        lines.append(",".join(values.get(name, "") for name in COLUMNS))
    return "\n".join(lines).encode()


def test_verdicts_come_back(store: ShardStore, handles: dict[str, ShardSet]) -> None:
    """A kept figure that is good, a rejection that is right, one that is wrong."""
    assert galleries.judged(store, handles) is None
    content = verdicts(store, handles, (KEPT, "good"), (BLANK, "bad"), (ECHO, "good"))

    assert galleries.put_verdicts(store, "mine.csv", content) == [KEY]

    found = galleries.judged(store, handles)
    assert found is not None
    assert (found.kept.n_judged, found.kept.n_right) == (1, 1)
    assert {reason: each.n_right for reason, each in found.by_reason.items()} == {"blank": 1, "no_context": 0}


@pytest.mark.parametrize("key", ["arxiv|2018", "../..|..", "arxiv|2019/../2019"])
def test_verdicts_on_another_partition_are_refused(
    store: ShardStore, handles: dict[str, ShardSet], key: str
) -> None:
    """No file is written where none should be."""
    content = verdicts(store, handles, (KEPT, "good"), key=key)
    before = sorted(Path(store.path()).rglob("*"))

    with pytest.raises(VerdictError, match=r"no partition|partition"):
        galleries.put_verdicts(store, "mine.csv", content)
    assert sorted(Path(store.path()).rglob("*")) == before


def test_garbage_collection_spares_what_people_judged(
    store: ShardStore, handles: dict[str, ShardSet]
) -> None:
    """And the page that they judged on."""
    galleries.put_verdicts(store, "mine.csv", verdicts(store, handles, (KEPT, "good")))

    collect(store, older_than_s=0)

    names = {path.name for path in Path(galleries.folder_of(store, KEY)).iterdir()}
    assert len(names) == 2
    assert "gallery.html" in names


def test_the_report_has_numbers_pictures_and_the_gallery(
    store: ShardStore, handles: dict[str, ShardSet]
) -> None:
    """Pictures are PNG in Markdown; what was not evaluated is named with its setting."""
    report = quality_report.written(store, list(handles.values()), Settings())

    assert report["measured"] == 1
    assert report["clip_score/n"] == 1
    assert "[metrics]" in str(report["pseudo_perplexity"])
    assert "[metrics]" in str(report["clip_score"])  # turned off, whatever the table holds
    assert isinstance(report["gallery"], dg.PathMetadataValue)
    for name in ("lengths", "subjects", "clip_scores"):
        picture_of = report[f"picture/{name}"]
        assert isinstance(picture_of, dg.MarkdownMetadataValue)
        encoded = re.search(r"base64,([^)]+)\)", picture_of.value or "")
        assert encoded
        assert Image.open(io.BytesIO(base64.b64decode(encoded[1]))).format == "PNG"
    assert "picture/pseudo_perplexity" not in report


def test_an_empty_partition_has_a_report(store: ShardStore) -> None:
    """Without figures, and without a failure."""
    assets = ("figure_candidates", "filtered_figures", "recaptions", "quality_metrics")
    empty = [ShardSet(asset=asset, partition=KEY) for asset in assets]

    report = quality_report.written(store, empty, Settings())

    assert report["measured"] == 0
