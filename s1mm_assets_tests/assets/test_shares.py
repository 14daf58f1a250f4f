"""A partition over several step pods gives what one step gives, also where a pod is killed."""

import gzip
import io
import json
import os
import re
import signal
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from s1mm_assets.assets.shares import WHOLE, Share
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import Commit, ShardSet

BIN = Path(sys.executable).parent
PARTITION = "local|2020"
STAGES = [
    *("raw_archives", "figure_candidates", "filtered_figures"),
    *("recaptions", "quality_metrics", "hf_release"),
]
POINTS = [(x, y) for x in range(8) for y in range(6)]

TEX = r"""\documentclass{article}\begin{document}\title{Paper NUMBER}\maketitle
Figure~\ref{f} shows the grid of measured shades in experiment NUMBER.
\begin{figure}\includegraphics{plot}\caption{Measured shades of experiment NUMBER, by position.}\label{f}\end{figure}
\end{document}"""


def test_shares_are_the_whole() -> None:
    """Each shard is in one share, in order, whether there are fewer or more of them than pods."""
    for n_shards in (0, 1, 3, 8):
        names = [f"s{i}" for i in range(n_shards)]
        shares = [Share(i, 4).names(names) for i in range(4)]
        assert sorted(name for share in shares for name in share) == names
        assert WHOLE.names(names) == names


def test_a_share_is_told_by_its_key() -> None:
    """It is all that Dagster hands to the step."""
    assert Share.of_key(Share(1, 4).key) == Share(1, 4)
    assert Share(1, 4).key == "2_of_4"


def test_handles_are_cut_alike() -> None:
    """A stage refuses handles with different shards."""
    commits = tuple(
        Commit(
            asset="a",
            partition="p",
            shard=name,
            schema_version=1,
            fingerprint="",
            made_from={},
            environment={},
        )
        for name in "abcde"
    )
    handle = ShardSet(asset="a", partition="p", shards=commits)

    cut = Share(1, 2).of(handle, handle)

    assert [[commit.shard for commit in each.shards] for each in cut] == [["b", "d"], ["b", "d"]]


def paper(folder: Path, number: int) -> dict[str, object]:
    """Write a bundle with one figure, and return its line of metadata."""
    image = Image.new("RGB", (400, 300), "white")
    for i, (x, y) in enumerate(POINTS):
        shade = (37 * number + 53 * i) % 256
        image.paste((shade, 255 - shade, (shade * 7) % 256), (x * 50, y * 50, x * 50 + 40, y * 50 + 40))
    for x in range(400):
        image.putpixel((x, (x * x + number * 31) % 300), (0, 0, 0))
    png = io.BytesIO()
    image.resize((800, 600)).save(png, "PNG", compress_level=0)
    tex = TEX.replace("NUMBER", str(number))
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, data in (("main.tex", tex.encode()), ("plot.png", png.getvalue())):
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    (folder / f"paper{number}.tar.gz").write_bytes(gzip.compress(packed.getvalue(), mtime=0))
    return {"file": f"paper{number}.tar.gz", "title": f"Paper {number}", "first_posted": "2020-02-03"}


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of local papers, of one year, in several shards."""
    folder = tmp_path_factory.mktemp("sources")
    (folder / "local").mkdir()
    lines = [json.dumps(paper(folder / "local", number)) for number in range(12)]
    (folder / "local" / "metadata.jsonl").write_text("\n".join(lines) + "\n")
    return folder


def started(folder: Path, sources: Path, pods: int, *command: str | Path) -> "subprocess.Popen[str]":
    """Start a command on a store of its own, with every asset over some pods."""
    (folder / "dagster").mkdir(parents=True)
    (folder / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    sections = [f"[steps.{asset}]\npods = {pods}\n" for asset in STAGES]
    (folder / "s1mm.toml").write_text("".join(sections))
    known = {name: value for name, value in os.environ.items() if not name.startswith("S1MM_")}
    places = {
        "S1MM_SOURCES": sources,
        "S1MM_STORE": folder / "store",
        "S1MM_RELEASE": folder / "release",
        "S1MM_SETTINGS": folder / "s1mm.toml",
        "DAGSTER_HOME": folder / "dagster",
    }
    return subprocess.Popen(
        command,
        env={**known, **{name: str(place) for name, place in places.items()}, "S1MM_WORKERS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def pinned(folder: Path) -> dict[str, str]:
    """The digest of each asset's partition."""
    store = ShardStore(uri=str(folder / "store"))
    handles = [store.pinned(asset, PARTITION) for asset in STAGES]
    return {each.asset: each.digest() for each in handles if each}


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory, sources: Path) -> Path:
    """What one step for each asset makes."""
    folder = tmp_path_factory.mktemp("alone")
    process = started(folder / "home", sources, 1, BIN / "s1mm", "build", "--partition", PARTITION)
    said = process.communicate(timeout=900)[1]
    assert process.returncode == 0, said
    return folder / "home"


def test_four_pods_give_what_one_gives(tmp_path: Path, sources: Path, alone: Path) -> None:
    """Every asset that can be spread: the same keys, tables and digests."""
    process = started(tmp_path / "home", sources, 4, BIN / "s1mm", "build", "--partition", PARTITION)
    said = process.communicate(timeout=900)[1]

    assert process.returncode == 0, said
    assert list(pinned(alone)) == STAGES
    assert pinned(tmp_path / "home") == pinned(alone)


def test_the_share_of_a_killed_pod_is_made_by_another(tmp_path: Path, sources: Path, alone: Path) -> None:
    """In the same run, a process of its own for each share."""
    assets = ("--select", "raw_archives,figure_candidates", "--partition", PARTITION)
    process = started(
        tmp_path / "home",
        sources,
        4,
        *(BIN / "dagster", "asset", "materialize", "-m", "s1mm_assets.definitions", *assets),
    )
    killed, lines = None, []
    with process:
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            found = re.search(r" - (\d+) - \S*figure_candidates_share\[2_of_4\] - STEP_START", line)
            if found and killed is None:
                killed = int(found[1])
                os.kill(killed, signal.SIGKILL)
    said = "".join(lines)

    assert process.returncode == 0, said
    assert killed is not None
    assert "STEP_RESTARTED" in said
    made = pinned(tmp_path / "home")
    assert made == {asset: pinned(alone)[asset] for asset in STAGES[:2]}
