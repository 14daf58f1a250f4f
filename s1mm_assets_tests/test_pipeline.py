"""The example corpus through the whole graph: what `make demo` does, killed, repeated and changed."""

import gzip
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from PIL import Image, ImageOps

from s1mm_assets.reports import failures, status
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets_tests import pinned
from s1mm_assets_tests.imitations.hub import WRITES, ImitationHub

ROOT = Path(__file__).parents[1]
S1MM = Path(sys.executable).with_name("s1mm")
EXAMPLES = ROOT / "examples"
PAPERS = [json.loads(line) for line in (EXAMPLES / "papers.jsonl").read_text("utf-8").splitlines()]
RELEASED = ["figure_id", "image_path", "image_sha256", "rejection"]
WITH_POSTSCRIPT = "arxiv|1998"  # a partition whose figures are all EPS
PINNED = {  # asset → table → the columns that no renderer shapes, in the pipeline's order
    "raw_archives": {
        "archives": ["paper_id", "year", "kind", "n_members", "n_images", "rejection"],
        "metadata": [
            "paper_id",
            "arxiv_id",
            "doi",
            "title",
            "authors",
            "categories",
            "licence",
            "first_posted",
        ],
    },
    "figure_candidates": {
        "papers": ["paper_id", "title", "abstract", "n_figures", "n_rows", "rejection"],
        "figures": [
            "figure_id",
            "figure_number",
            "labels",
            "caption",
            "mentions",
            "image_member",
            "rejection",
        ],
    },
    "filtered_figures": {"decisions": ["figure_id", "rejection", "duplicate_of"]},
    "recaptions": {"recaptions": ["figure_id", "recaption", "prompt_version", "flags"]},
    "quality_metrics": {
        "metrics": [
            *("figure_id", "recaption_length_chars", "n_claims", "ungrounded_claims"),
            *("flags", "recaption_language", "subject"),
        ]
    },
    "duplicates": {"duplicates": ["figure_id", "duplicate_of"]},
    "hf_release": {"records": ["figure_id", "image_path", "rejection"]},
}


class Home:
    """Sources, store and release of one installation, and the `s1mm` command on them."""

    def __init__(self, folder: Path, sources: Path) -> None:
        self.folder = folder
        self.sources = sources
        self.settings: Path | None = None

    @property
    def store(self) -> ShardStore:
        return ShardStore(uri=str(self.folder / "store"))

    @property
    def release(self) -> Path:
        return self.folder / "release"

    def environment(self, **changes: str) -> dict[str, str]:
        env = {**os.environ, "S1MM_SOURCES": str(self.sources), "S1MM_STORE": str(self.folder / "store")}
        env |= {"S1MM_RELEASE": str(self.release), "S1MM_WORKERS": "2", **changes}
        env.pop("DAGSTER_HOME", None)
        if self.settings:
            env["S1MM_SETTINGS"] = str(self.settings)
        return env

    def run(self, *arguments: str, **changes: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [S1MM, *arguments], env=self.environment(**changes), capture_output=True, text=True, check=False
        )

    def build(self, *arguments: str) -> None:
        done = self.run("build", *arguments)
        assert done.returncode == 0, done.stdout + done.stderr

    def commits(self) -> dict[str, float]:
        """When each shard was committed."""
        folder = self.folder / "store"
        return {
            str(path.relative_to(folder)): path.stat().st_mtime_ns
            for path in folder.glob("[a-z]*/*/*/*/commit.json")
        }


def only(*partitions: str) -> list[str]:
    """The options of `s1mm build` that name partitions."""
    return [word for partition in partitions for word in ("--partition", partition)]


def digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """What `s1mm demo` builds, which tests must not change."""
    folder = tmp_path_factory.mktemp("built")
    home = Home(folder, folder / "sources")
    done = home.run("demo", "--folder", str(folder), S1MM_STORE="/nonexistent", S1MM_SOURCES="/nonexistent")
    assert done.returncode == 0, done.stdout + done.stderr
    return home


@pytest.fixture
def copy(built: Home, tmp_path: Path) -> Home:
    """A finished build of one's own."""
    shutil.copytree(built.folder, tmp_path / "home")
    return Home(tmp_path / "home", built.sources)


pytestmark = [pytest.mark.xdist_group("pipeline"), pytest.mark.needs("gs", "pdftoppm")]


def records_in(release: Path) -> list[dict[str, Any]]:
    """The records of a release, with and without image."""
    paths = [*release.glob("*/jsonl/*.jsonl"), *release.glob("*/recipes/*.jsonl")]
    return [json.loads(line) for path in paths for line in path.read_text().splitlines()]


def test_every_example_gives_what_its_author_expects(built: Home) -> None:
    """Rows, released figures and rejections, paper by paper, as counted by hand in the TeX."""
    expected = {
        row["paper_id"]: row
        for row in map(json.loads, (EXAMPLES / "expected.jsonl").read_text().splitlines())
    }
    found = failures(built.store)
    papers = found.with_columns(pl.col("id").str.replace("^[a-z_]+:", "").str.split("#").list.first())
    rejected: dict[str, Counter[str]] = {}
    for paper_id, rejection in papers.select("id", "rejection").iter_rows():
        rejected.setdefault(paper_id, Counter())[rejection] += 1
    released = Counter(record["paper_id"] for record in records_in(built.release))

    got = {
        paper_id: {"released": released[paper_id], "rejections": dict(rejected.get(paper_id, {}))}
        for paper_id in expected
    }

    assert got == {
        paper_id: {"released": row["released"], "rejections": row["rejections"]}
        for paper_id, row in expected.items()
    }


def test_outputs_change_only_with_a_version(built: Home) -> None:
    """What the examples give is pinned beside each stage's VERSION: other outputs need another version.

    After a change, raise the VERSION of the stage that caused it and run `make golden`. Other examples give
    other outputs too: change them in a commit of their own, and run `make golden`.
    """
    recorded, examples = pinned.recorded(), digest_of_examples()
    found = {asset: pinned_outputs(built.store, asset) for asset in PINNED}
    cause = next((asset for asset in PINNED if found[asset] != recorded.get(asset)), None)
    if cause is not None and recorded.get("examples") == examples:
        pinned.require_another_version(cause, found[cause], recorded[cause])
    pinned.require_recorded({"examples": examples, **found})


def digest_of_examples() -> str:
    """Digest of all that the example corpus is packed from."""
    paths = [*EXAMPLES.glob("*.py"), EXAMPLES / "papers.jsonl", *(EXAMPLES / "papers").rglob("*")]
    digest = hashlib.sha256()
    for path in sorted(path for path in paths if path.is_file()):
        digest.update(f"{path.relative_to(EXAMPLES).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def pinned_outputs(store: ShardStore, asset: str) -> dict[str, str]:
    """Version and digest of what an asset gave, without what a renderer or its version shapes."""
    digest = hashlib.sha256()
    versions = set()
    for key in store.partitions(asset):
        handle = store.pinned(asset, key)
        assert handle is not None
        versions |= {commit.made_from["version"] for commit in handle.shards}
        for table, columns in PINNED[asset].items():
            digest.update(store.read(handle, table, columns).write_json().encode())
    [version] = versions
    return {"version": version, "digest": digest.hexdigest()}


def test_figures_on_pages_are_cut_out_as_they_were_set(built: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a PDF each figure is found whole, with its caption; of a package, the one whose image is missing."""
    monkeypatch.syspath_prepend(str(EXAMPLES))
    draw, typeset, plates = (import_module(name) for name in ("draw", "typeset", "figures"))
    papers = {each["paper_id"]: f"{each['name']}/paper.txt" for each in PAPERS if each["form"] == "pdf"}
    papers["2023.05.09.999934v1"] = "tun-waking/content/999934.txt"
    found = figures_from_pages(built.store)

    assert set(found["paper_id"]) == set(papers)
    for paper_id, path in papers.items():
        text = (EXAMPLES / "papers" / path).read_text("ascii")
        are_set = {plate.caption: plate for plate in typeset.typeset(text, plates.PLATES).plates}
        rows = found.filter(paper_id=paper_id).to_dicts()
        shown = {caption: plate for row in rows for caption, plate in are_set.items() if is_of(row, caption)}
        n_figures = 1 if paper_id.startswith("2023.05") else len(are_set)
        assert len(rows) == len(shown) == n_figures
        for row, plate in zip(rows, shown.values(), strict=True):
            assert row["page"] == plate.page
            assert row["confidence"] > 0.8
            assert row["bbox"] == pytest.approx(inked(draw.raster(plate.drawing, 72), plate.bbox), abs=6)
    [filled] = found.filter(method="jats").to_dicts()
    assert filled["figure_number"] == "2"
    assert filled["evidence"] == "cut out of the PDF; its own file: graphics_missing"


def figures_from_pages(store: ShardStore) -> pl.DataFrame:
    """The figures that were cut out of pages, of all partitions."""
    columns = ["paper_id", "figure_number", "method", "caption", "page", "bbox", "confidence", "evidence"]
    handles = [store.pinned("figure_candidates", key) for key in store.partitions("figure_candidates")]
    rows = pl.concat([store.read(handle, "figures", columns) for handle in handles if handle is not None])
    return rows.filter(pl.col("bbox").is_not_null())


def is_of(row: dict[str, Any], caption: str) -> bool:
    """Whether a caption as it was set is that of a row: "Figure 1: Cells." is 1 and "Cells."."""
    return caption in (f"Figure {row['figure_number']}{mark} {row['caption']}" for mark in ".:")


def inked(drawing: Image.Image, bbox: tuple[float, float, float, float]) -> list[float]:
    """Where a drawing, scaled into a box, is not white."""
    inside = ImageOps.invert(drawing).getbbox()
    assert inside is not None
    scale = (bbox[2] - bbox[0]) / drawing.width
    return [bbox[i % 2] + scale * side for i, side in enumerate(inside)]


def test_nothing_is_lost_between_the_doors(built: Home) -> None:
    """Every figure row is released or rejected, once."""
    totals = status(built.store).sum()
    turned_away = failures(built.store).filter(pl.col("id").str.contains("#"))

    assert totals["figures"][0] == totals["released"][0] + len(turned_away)


def test_a_release_verifies(built: Home) -> None:
    """`s1mm verify` finds nothing wrong, and finds a flipped bit."""
    assert built.run("verify", str(built.release)).returncode == 0


def test_what_licences_keep_back_can_be_rebuilt(built: Home, tmp_path: Path) -> None:
    """From the papers, every image to the byte and every caption: a release that verifies; without them, none."""
    recipes = [record for record in records_in(built.release) if "recipe" in record]
    assert recipes

    done = built.run(
        "rehydrate", str(built.release), "--papers", str(built.sources), "--out", str(tmp_path / "rebuilt")
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert built.run("verify", str(tmp_path / "rebuilt")).returncode == 0
    rebuilt = {record["figure_id"]: record for record in records_in(tmp_path / "rebuilt")}
    assert rebuilt.keys() == {record["figure_id"] for record in recipes}
    for record in recipes:
        caption = rebuilt[record["figure_id"]]["caption"]
        assert hashlib.sha256(caption.encode()).hexdigest() == record["recipe"]["caption_sha256"]
        assert rebuilt[record["figure_id"]]["image_sha256"] == record["image_sha256"]


def test_other_papers_rebuild_nothing(built: Home, tmp_path: Path) -> None:
    """Each figure says why: the paper is not there, or its image is another."""
    recipes = [record for record in records_in(built.release) if "recipe" in record]
    paper_id = next(record["paper_id"] for record in recipes if record["method"] == "latex")
    (tmp_path / "papers").mkdir()
    source = rb"\documentclass{article}\begin{document}\begin{figure}\caption{None}\end{figure}\end{document}"
    (tmp_path / "papers" / f"{paper_id.replace('/', '')}.tex.gz").write_bytes(gzip.compress(source))

    done = built.run(
        *("rehydrate", str(built.release), "--papers", str(tmp_path / "papers")),
        *("--out", str(tmp_path / "rebuilt"), "--report", str(tmp_path / "report.jsonl")),
    )

    assert done.returncode == 1, done.stdout + done.stderr
    failed = [json.loads(line) for line in (tmp_path / "report.jsonl").read_text().splitlines()]
    assert {each["figure_id"] for each in failed} == {record["figure_id"] for record in recipes}
    assert {each["outcome"] for each in failed if f":{paper_id}#" not in each["figure_id"]} == {
        "paper not among your papers"
    }
    assert not records_in(tmp_path / "rebuilt")


ALLOWED = """[release]
repository = "lab/figures"
[publication]
allow_context_recaptions = true
allow_not_evaluated = true
"""


def test_a_release_is_refused_then_sent_then_verified_on_the_hub(copy: Home, tmp_path: Path) -> None:
    """Nothing is sent where it is refused, or asked what would be; in the end the Hub holds the release's files."""
    token = "_".join(("hf", "a1b2c3d4e5f6" * 3))
    with ImitationHub(tmp_path / "hub", token=token) as hub:
        changes = {
            "HF_ENDPOINT": hub.endpoint,
            "HF_TOKEN": token,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_OFFLINE": "0",
        }

        refused = copy.run("publish", "lab/figures", **changes)
        assert refused.returncode == 2
        assert "allow_context_recaptions" in refused.stderr
        assert "allow_not_evaluated" in refused.stderr

        copy.settings = tmp_path / "s1mm.toml"
        copy.settings.write_text(ALLOWED)
        dry = copy.run("publish", "--dry-run", **changes)
        assert dry.returncode == 0, dry.stdout + dry.stderr
        assert not hub.asked(WRITES.pattern)

        sent = copy.run("publish", **changes)
        assert sent.returncode == 0, sent.stdout + sent.stderr
        assert set(hub.tree("lab/figures")) - {".gitattributes"} == set(digests(copy.release))
        assert "datasets/lab/figures@v1" in sent.stdout
        assert token not in sent.stdout + sent.stderr

        verified = copy.run("verify", "hf://datasets/lab/figures", **changes)
        assert verified.returncode == 0, verified.stdout + verified.stderr
        hub.damage("lab/figures", "arxiv/images_2019.tar.gz")
        damaged = copy.run("verify", "hf://datasets/lab/figures", **changes)
        assert damaged.returncode == 1
        assert "arxiv/images_2019.tar.gz" in damaged.stdout


def test_a_damaged_release_does_not_verify(copy: Home) -> None:
    """One changed byte is named, with its file."""
    victim = next(copy.release.glob("*/images_*.tar.gz"))
    data = bytearray(victim.read_bytes())
    data[len(data) // 2] ^= 1
    victim.write_bytes(data)

    done = copy.run("verify", str(copy.release))

    assert done.returncode == 1
    assert victim.name in done.stdout


def test_a_second_build_does_nothing(copy: Home) -> None:
    """No shard is made again and the release is left as it is."""
    before, release = copy.commits(), digests(copy.release)
    times = {path: path.stat().st_mtime_ns for path in copy.release.rglob("*")}

    copy.build()

    assert copy.commits() == before
    assert digests(copy.release) == release
    assert {path: path.stat().st_mtime_ns for path in copy.release.rglob("*")} == times


def test_a_changed_threshold_makes_again_what_it_touches(copy: Home, tmp_path: Path) -> None:
    """Decisions of every shard are made again, images of none; recaptions only where the kept set changed."""
    before = copy.commits()
    copy.settings = tmp_path / "s1mm.toml"
    copy.settings.write_text("[filtering]\nmin_image_size_bytes = 41000\n")

    copy.build(*only("arxiv|2019", "local|2019"))

    after = {path: moment for path, moment in copy.commits().items() if path.split("/")[2] == "2019"}
    shards = Counter(path.split("/")[0] for path in after)
    remade = Counter(path.split("/")[0] for path, moment in after.items() if before[path] != moment)
    assert remade["raw_archives"] == remade["figure_candidates"] == remade["figure_measures"] == 0
    assert remade["filtered_figures"] == shards["filtered_figures"]
    assert 0 < remade["recaptions"] < shards["recaptions"]


def test_killed_ten_times_the_release_is_the_same(built: Home, tmp_path: Path) -> None:
    """Kill -9 at random moments, then one run to the end: byte for byte the undisturbed release.

    The killed builds are of a few partitions, in which papers are read in every way, so that ten kills go through
    all stages of them.
    """
    home = Home(tmp_path / "home", built.sources)
    moments = random.Random(3)
    finished: dict[str, float] = {}
    for _ in range(10):
        with subprocess.Popen(
            [S1MM, "build", *only("arxiv|2019", "local|2019", "local|2023")],
            env=home.environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        ) as process:
            n_before = len(home.commits())
            deadline = time.monotonic() + 60
            while process.poll() is None and len(home.commits()) <= n_before and time.monotonic() < deadline:
                time.sleep(0.05)
            time.sleep(moments.uniform(0, 1.5))
            process.send_signal(signal.SIGKILL)
        now = home.commits()
        assert {path: moment for path, moment in now.items() if path in finished} == finished
        finished = now

    home.build()

    assert digests(home.release) == digests(built.release)
    assert {path: moment for path, moment in home.commits().items() if path in finished} == finished


def test_a_missing_ghostscript_is_mended_later(built: Home, tmp_path: Path) -> None:
    """Rows say renderer_missing and how to install it; `s1mm retry` mends them, and nothing else is lost."""
    home = Home(tmp_path / "home", built.sources)
    without = tmp_path / "bin"
    without.mkdir()
    for program in ("pdftoppm", "pdfinfo"):
        found = shutil.which(program)
        if found:
            (without / program).symlink_to(found)

    crippled = home.run("build", *only(WITH_POSTSCRIPT), PATH=str(without))
    missing = failures(home.store, reason="renderer_missing")
    assert len(missing) > 0
    assert "ghostscript" in missing["evidence"][0].lower()
    assert "ghostscript is not installed" in crippled.stderr
    assert crippled.returncode == 0, crippled.stdout + crippled.stderr

    retried = home.run("retry")

    assert retried.returncode == 0, retried.stdout + retried.stderr
    assert failures(home.store, reason="renderer_missing").is_empty()
    assert released_rows(home, WITH_POSTSCRIPT).equals(released_rows(built, WITH_POSTSCRIPT))


def released_rows(home: Home, partition: str) -> pl.DataFrame:
    """What a partition's release says of each figure, images included by their digest."""
    handle = home.store.pinned("hf_release", partition)
    assert handle is not None
    return home.store.read(handle, "records", RELEASED)
