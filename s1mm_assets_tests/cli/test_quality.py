"""Quality by the command: models from a folder score a partition, a bad one is stopped, people judge."""

import csv
import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest

from s1mm_assets.metrics.verdicts import COLUMNS
from s1mm_assets.tables import Metric, columns_of
from s1mm_assets_tests.cli.conftest import PARTITION
from s1mm_assets_tests.resources import tiny_bert, tiny_clip

if TYPE_CHECKING:
    from s1mm_assets_tests.test_pipeline import Home


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A masked language model and a CLIP model with random weights."""
    folder = tmp_path_factory.mktemp("models")
    tiny_bert.make(folder / "bert")
    tiny_clip.write_tiny_clip(folder / "clip")
    return folder


def settings_of(models: Path, **checks: float) -> str:
    """Every measure is taken, of some or of all figures."""
    lines = [
        f"{name} = {value}" for name, value in {"min_clip_uplift": -2.0, "clip_floor": 0.0, **checks}.items()
    ]
    return f"""
[texts]
sample_share = 0.1
[metrics]
pseudo_perplexity = true
pseudo_perplexity_share = 0.4
masked_language_model = "{models / "bert"}"
clip_score = true
clip_model = "local-dir:{models / "clip"}"
clip_weights = ""
[checks]
{chr(10).join(lines)}
"""


def with_settings(home: "Home", text: str) -> "Home":
    assert home.settings is not None
    home.settings.write_text(text)
    return home


def metrics_of(home: "Home") -> pl.DataFrame:
    handle = home.store.pinned("quality_metrics", PARTITION)
    assert handle is not None
    return home.store.read(handle, "metrics", columns_of(Metric))


@pytest.mark.needs("gs", "pdftoppm")
def test_models_score_people_judge_and_a_bad_partition_is_stopped(home: "Home", models: Path) -> None:
    """One partition from its settings to its release, and then with thresholds that it does not reach."""
    with_settings(home, settings_of(models)).build("--until", "hf_release", "--partition", PARTITION)

    metrics = metrics_of(home)
    for column in ("caption_clip_score", "recaption_clip_score", "recaption_whole_clip_score"):
        assert metrics[column].null_count() == 0
        assert metrics[column].is_between(0, 2.5).all()
    sampled = metrics["recaption_pseudo_perplexity"].drop_nulls()
    assert 0 < len(sampled) < len(metrics)
    assert (sampled > 1).all()
    released = home.store.pinned("hf_release", PARTITION)
    assert released is not None

    page = judge(home)
    assert page.count(b"data:image/") > 0
    done = home.run("build", "--until", "quality_metrics", "--partition", PARTITION)
    assert "people_judge_kept_figures_good" not in done.stdout + done.stderr  # judged, and good enough

    bad = with_settings(home, settings_of(models, clip_floor=2.4, min_share_above_clip_floor=0.9))
    stopped = bad.run("build", "--partition", PARTITION)
    assert stopped.returncode == 1
    assert "checks failed: recaptions_fit_their_images" in stopped.stdout
    assert "hf_release" not in stopped.stdout
    assert not home.release.exists()


def judge(home: "Home") -> bytes:
    """Judge all kept figures good, as the page would save it; return the page."""
    page = home.folder / "gallery.html"
    assert home.run("gallery", PARTITION, "--out", str(page)).returncode == 0
    data = re.search(r'<script[^>]*type="application/json"[^>]*>(.*?)</script>', page.read_text(), re.DOTALL)
    assert data
    stream = io.StringIO()
    rows = csv.DictWriter(stream, COLUMNS)
    rows.writeheader()
    for figure in json.loads(data[1])["figures"]:
        if figure["was"] == "kept":
            values = {"partition": PARTITION, "figure_id": figure["figure_id"], "verdict": "good"}
            rows.writerow({**dict.fromkeys(COLUMNS, ""), **values, "was": "kept", "digest": figure["digest"]})
    file = home.folder / "verdicts.csv"
    file.write_text(stream.getvalue())
    done = home.run("verdicts", str(file))
    assert done.returncode == 0, done.stderr
    assert PARTITION in done.stdout
    return page.read_bytes()


def test_a_missing_model_is_said_before_anything_is_done(home: "Home") -> None:
    """In one line, with what to do."""
    with_settings(home, '[metrics]\npseudo_perplexity = true\nmasked_language_model = "/no/such/folder"\n')

    done = home.run("build", "--partition", PARTITION)

    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "/no/such/folder" in done.stderr


def test_a_gallery_that_is_not_there_yet(home: "Home") -> None:
    """It says what makes it; so does a file that holds no verdicts."""
    done = home.run("gallery", PARTITION)
    assert done.returncode == 2
    assert "quality_metrics" in done.stderr

    wrong = home.folder / "wrong.csv"
    wrong.write_text("a,b\n1,2\n")
    refused = home.run("verdicts", str(wrong))
    assert refused.returncode == 2
    assert "wrong.csv, line 1" in refused.stderr
