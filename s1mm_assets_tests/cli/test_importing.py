"""`s1mm import`: a published folder to a release of ours that verifies, and the report of what was wrong."""

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from s1mm_assets.reports import failures, status
from s1mm_assets_tests.resources.test_published_import import (
    Imported,
    packed,
    picture,
    record,
    sha256,
    write,
)
from s1mm_assets_tests.test_pipeline import Home

ARXIV, BIORXIV = "arxiv|2007", "biorxiv|2020"
DOI = "10.1101/2020.01.02.123456"
LICENCES = {
    "0704.0001": "http://creativecommons.org/licenses/by/4.0/",
    "0704.0002": "http://arxiv.org/licenses/nonexclusive-distrib/1.0/",
}

pytestmark = pytest.mark.xdist_group("importing")


def published(folder: Path) -> Path:
    """Two sources: four papers with images, one without, an image of both, and lines of no use."""
    images = {f"{i}.png": picture(i) for i in range(8)}
    both = packed([("b0.png", picture(20)), ("b1.png", images["3.png"])])
    lines: list[dict[str, Any] | bytes] = [
        record(f"0704.000{i // 2 + 1}", f"images/{name}") for i, name in enumerate(images)
    ]
    lines += [
        b"{bad",
        record("0704.0005", "images/gone.png"),
        record(
            "0704.0001", "images/0.png", recaption="Three curves over energy, as published the second time."
        ),
        record("0704.0006", "images/half.png"),
        record("0704.0007", "images/silent.png", recaption=""),
    ]
    more = [("half.png", picture(30)[:-9_000]), ("silent.png", picture(31)), ("orphan.png", picture(32))]
    return write(
        folder,
        {
            "arXiv/jsonl/2007.jsonl": lines,
            "arXiv/images_2007.tar.gz": packed([*images.items(), *more]),
            "bioRxiv/jsonl/biorxiv.jsonl": [
                record("", f"images/b{i}.png", arxiv_id=None, doi=DOI, categories=["Cell Biology"])
                for i in range(2)
            ],
            "bioRxiv/images.tar.gz.partaa": both[:20_000],
            "bioRxiv/images.tar.gz.partab": both[20_000:],
        },
    )


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, subprocess.CompletedProcess[str], Any]:
    """The folder above, imported and released with every image; the report. Not to be changed."""
    folder = tmp_path_factory.mktemp("imported")
    home = Home(folder, folder / "sources")
    home.settings = folder / "s1mm.toml"
    home.settings.write_text('[release]\nlicence_policy = "all"\n')
    published(folder / "S1-MMAlign")
    report = folder / "report.json"
    ran = home.run("import", str(folder / "S1-MMAlign"), "--report", str(report))
    return home, ran, json.loads(report.read_text("utf-8"))


def test_the_release_verifies_and_joins(
    done: tuple[Home, subprocess.CompletedProcess[str], Any],
) -> None:
    """Every check of every door held, and each record's image is the published one."""
    home, ran, _ = done
    assert ran.returncode == 0, ran.stdout + ran.stderr
    verified = home.run("verify", str(home.release))
    assert verified.returncode == 0, verified.stdout + verified.stderr

    lines = (home.release / "arxiv" / "jsonl" / "2007.jsonl").read_text("utf-8").splitlines()
    records = {row["figure_id"]: row for row in map(json.loads, lines)}
    assert list(records) == [f"arxiv:0704.000{paper}#{i}.1" for paper in range(1, 5) for i in (1, 2)]
    with tarfile.open(home.release / "arxiv" / "images_2007.tar.gz") as tar:
        for i, row in enumerate(records.values()):
            member = tar.extractfile(row["image_path"])
            assert member is not None
            assert sha256(member.read()) == sha256(picture(i))
            assert row["caption"].endswith(f"as in images/{i}.png.")
            assert (row["engine"], row["prompt_version"], row["method"]) == ("published",) * 3
    assert records["arxiv:0704.0001#1.1"]["recaption"].endswith("the second time.")
    rows = pl.read_parquet(home.release / "biorxiv" / "data" / "2020" / "00000.parquet")
    assert rows["figure_id"].to_list() == [f"biorxiv:{DOI}#1.1"]


def test_what_does_not_reach_the_release_says_why(
    done: tuple[Home, subprocess.CompletedProcess[str], Any],
) -> None:
    """At the door where it was turned away."""
    home, _, _ = done
    found = failures(home.store).select("asset", "id", "rejection").rows()

    assert found == [
        ("raw_archives", "0704.0005", "no_images"),
        ("figure_candidates", "arxiv:0704.0005#1.1", "graphics_missing"),
        ("filtered_figures", "arxiv:0704.0006#1.1", "image_unreadable"),
        ("recaptions", "arxiv:0704.0007#1.1", "answer_empty"),
        ("hf_release", f"biorxiv:{DOI}#2.1", "exact_duplicate"),
    ]


def test_the_report_says_what_was_wrong_and_loses_no_line(
    done: tuple[Home, subprocess.CompletedProcess[str], Any],
) -> None:
    """In the terminal and as JSON."""
    home, ran, report = done
    counts = {row["defect"]: row["n"] for row in report["defects"] if row["source"] == "arxiv"}

    assert counts == {
        "line_malformed": 1,
        "record_replaced": 1,
        "path_prefixed": 12,
        "recaption_empty": 1,
        "image_missing": 1,
        "orphan_image": 1,
        "image_unreadable": 1,
    }
    assert (report["lines"], report["rows"], report["dropped"], report["not_chosen"]) == (15, 13, 2, 0)
    assert sum(status(home.store)["figures"]) == report["rows"]
    assert "arXiv/jsonl/2007.jsonl:9: no JSON" in ran.stdout
    assert "15 lines: 13 rows, 2 of no use as above" in ran.stdout


def test_an_import_again_changes_nothing(
    done: tuple[Home, subprocess.CompletedProcess[str], Any],
) -> None:
    """Every shard stands; figures and recaptions are not made again."""
    home, _, _ = done
    before = home.commits()
    again = home.run("import", str(home.folder / "S1-MMAlign"), "--until", "quality_metrics")

    assert again.returncode == 0, again.stdout + again.stderr
    assert home.commits() == before


def test_a_build_leaves_what_was_imported(
    done: tuple[Home, subprocess.CompletedProcess[str], Any],
) -> None:
    """It has no source to be made from again: a build passes over it, and a retry says so."""
    home, _, _ = done
    home.sources.mkdir(exist_ok=True)
    before = (home.release / "manifest.json").read_bytes()

    built, retried = home.run("build"), home.run("retry")

    assert built.returncode == 0, built.stdout + built.stderr
    assert (home.release / "manifest.json").read_bytes() == before
    assert retried.returncode == 0, retried.stdout + retried.stderr
    assert "run s1mm import again" in retried.stderr


def test_without_licences_only_recipes_are_released_and_with_them_images(tmp_path: Path) -> None:
    """arXiv's metadata beside the sources say which images may be passed on; nothing else has changed."""
    home = Home(tmp_path, tmp_path / "sources")
    folder = published(tmp_path / "S1-MMAlign")
    rows = [
        {"id": paper_id, "license": licence, "title": "T", "update_date": "2024-01-01"}
        for paper_id, licence in LICENCES.items()
    ]
    write(home.sources, {"arxiv/metadata.jsonl": rows})
    ran = home.run("import", str(folder), "--partition", ARXIV)

    assert ran.returncode == 0, ran.stdout + ran.stderr
    released = (home.release / "arxiv" / "jsonl" / "2007.jsonl").read_text("utf-8").splitlines()
    assert {json.loads(line)["paper_id"] for line in released} == {"0704.0001"}
    assert len((home.release / "arxiv" / "recipes" / "2007.jsonl").read_text("utf-8").splitlines()) == 6
    assert not (home.release / "biorxiv").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--until", "nowhere"], "nowhere is no asset to stop after"),
        (["--partition", "arxiv|2019"], "no records for arxiv|2019; it has: arxiv|2007, biorxiv|2020"),
        (["--partition", "arxiv"], "arxiv is not a partition"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(arguments: list[str], says: str, tmp_path: Path) -> None:
    """Exit code 2, and the store is left as it was."""
    home = Home(tmp_path, tmp_path / "sources")
    ran = home.run("import", str(published(tmp_path / "S1-MMAlign")), *arguments)

    assert ran.returncode == 2
    assert says in ran.stderr
    assert not (tmp_path / "store" / "raw_archives").exists()


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    """Also one that is not there."""
    home = Home(tmp_path, tmp_path / "sources")
    ran = home.run("import", str(tmp_path / "nothing"))

    assert ran.returncode == 2
    assert "holds no <source>/jsonl/*.jsonl" in ran.stderr


def test_a_stop_before_the_filters_leaves_figures_only(tmp_path: Path) -> None:
    """With --until figure_candidates; a later call goes on from there."""
    home = Home(tmp_path, tmp_path / "sources")
    folder = published(tmp_path / "S1-MMAlign")
    first = home.run("import", str(folder), "--until", "figure_candidates")

    assert first.returncode == 0, first.stdout + first.stderr
    assert home.store.partitions("filtered_figures") == []
    assert home.store.partitions("figure_candidates") == [ARXIV, BIORXIV]
    assert Imported(folder, home.store).n_walks == 0
