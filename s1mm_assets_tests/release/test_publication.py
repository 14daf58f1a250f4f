"""Tests of s1mm_assets.release.publication and layout."""

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from s1mm_assets.release import PublicationError, ReleaseSettings
from s1mm_assets.release.layout import layout
from s1mm_assets.release.manifest import load_manifest
from s1mm_assets.release.verify import verify
from s1mm_assets.resources.release_folder import LocalFolder
from s1mm_assets_tests.release.shards import Pieces, example, tree

LAYOUT = [
    "README.md",
    "arxiv/attribution/2003.jsonl",
    "arxiv/attribution/2023.jsonl",
    "arxiv/data/2003/00000.parquet",
    "arxiv/data/2023/00000.parquet",
    "arxiv/data/2023/00001.parquet",
    "arxiv/images_2003.tar.gz",
    "arxiv/images_2023.tar.gz",
    "arxiv/jsonl/2003.jsonl",
    "arxiv/jsonl/2023.jsonl",
    "local/attribution/2023.jsonl",
    "local/data/2023/00000.parquet",
    "local/images_2023.tar.gz",
    "local/jsonl/2023.jsonl",
    "manifest.json",
]


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    return example()


def paths_of(records: Path) -> list[str]:
    return [json.loads(line)["image_path"] for line in records.read_text().splitlines()]


def member_names(archive: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as read:
        return read.getnames()


def test_the_layout_is_the_papers(pieces: Pieces, tmp_path: Path) -> None:
    """Records, archives and Parquet of every partition that has rows; a shard without any leaves no gap."""
    publication = pieces.publish(tmp_path / "release")

    assert sorted(tree(tmp_path / "release")) == LAYOUT
    assert (publication.n_records, publication.n_files) == (9, 14)
    assert publication.n_bytes == sum(
        len(content) for path, content in tree(tmp_path / "release").items() if path != "manifest.json"
    )
    assert verify(LocalFolder(tmp_path / "release")) == []
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_pieces_are_joined_in_the_order_of_shards(pieces: Pieces, tmp_path: Path) -> None:
    """The archive's members follow the records, one to one, and GNU tar reads it without complaint."""
    pieces.publish(tmp_path / "release")

    archive = tmp_path / "release/arxiv/images_2023.tar.gz"
    tar = subprocess.run(["tar", "tzf", str(archive)], capture_output=True, text=True, check=True)
    assert tar.stdout.splitlines() == paths_of(tmp_path / "release/arxiv/jsonl/2023.jsonl")
    assert tar.stderr == ""
    with tarfile.open(archive, "r|gz") as stream:  # as WebDataset reads: it knows one gzip member
        assert stream.getnames() == tar.stdout.splitlines()


def test_a_source_may_have_one_archive(pieces: Pieces, tmp_path: Path) -> None:
    """All years of that source in images.tar.gz; other sources keep one per year."""
    pieces.publish(tmp_path / "r", settings=ReleaseSettings(single_archive_sources=["arxiv"]))

    files = tree(tmp_path / "r")
    assert [path for path in files if ".tar" in path] == ["arxiv/images.tar.gz", "local/images_2023.tar.gz"]
    assert member_names(files["arxiv/images.tar.gz"]) == [
        *paths_of(tmp_path / "r/arxiv/jsonl/2003.jsonl"),
        *paths_of(tmp_path / "r/arxiv/jsonl/2023.jsonl"),
    ]
    assert verify(LocalFolder(tmp_path / "r")) == []


@pytest.mark.parametrize("part_bytes", [97, 256, 500])
def test_parts_join_to_the_archive(pieces: Pieces, tmp_path: Path, part_bytes: int) -> None:
    """`cat` of the parts is the archive that would not have been cut, wherever the seams fall."""
    pieces.publish(tmp_path / "whole")
    pieces.publish(tmp_path / "cut", settings=ReleaseSettings(part_bytes=part_bytes))

    name = "arxiv/images_2003.tar.gz"
    parts = sorted((tmp_path / "cut/arxiv").glob("images_2003.tar.gz.part*"))
    whole = (tmp_path / "whole" / name).read_bytes()
    assert [part.name[-2:] for part in parts[:2]] == ["aa", "ab"]
    assert [part.stat().st_size for part in parts[:-1]] == [part_bytes] * (len(parts) - 1)
    assert b"".join(part.read_bytes() for part in parts) == whole
    assert len(parts) == -(-len(whole) // part_bytes)
    assert verify(LocalFolder(tmp_path / "cut")) == []


def test_an_archive_as_long_as_a_part_is_not_cut(pieces: Pieces) -> None:
    """The limit itself still fits."""
    whole = {part.path: part.end for part in layout(pieces.pieces, ReleaseSettings())}
    limit = whole["arxiv/images_2003.tar.gz"]

    cut = [part.path for part in layout(pieces.pieces, ReleaseSettings(part_bytes=limit))]
    assert "arxiv/images_2003.tar.gz" in cut
    cut = [part.path for part in layout(pieces.pieces, ReleaseSettings(part_bytes=limit - 1))]
    assert "arxiv/images_2003.tar.gz.partab" in cut


def test_more_parts_than_names_are_refused(pieces: Pieces) -> None:
    """A part after .partzz would have no name that sorts."""
    huge = [replace(piece, n_bytes=10**6) for piece in pieces.pieces]

    with pytest.raises(ValueError, match="part_bytes is too small"):
        layout(huge, ReleaseSettings(part_bytes=1000))


def test_a_piece_of_an_older_version_is_refused(pieces: Pieces) -> None:
    """Without its checksum an archive has no footer: the message says what to do."""
    old = [replace(piece, unpacked=None) for piece in pieces.pieces]

    with pytest.raises(ValueError, match=r"materialize hf_release for arxiv\|2003 again"):
        layout(old, ReleaseSettings())


def test_nothing_to_release_is_a_release_too(tmp_path: Path) -> None:
    """A card and a manifest."""
    publication = Pieces([]).publish(tmp_path / "release")

    assert sorted(tree(tmp_path / "release")) == ["README.md", "manifest.json"]
    assert publication.n_records == 0
    assert verify(LocalFolder(tmp_path / "release")) == []


def test_two_publications_have_equal_bytes(pieces: Pieces, tmp_path: Path) -> None:
    """The order in which pieces are given does not matter."""
    first = pieces.publish(tmp_path / "a")
    again = Pieces([])
    again.pieces, again._files = pieces.pieces[::-1], pieces._files
    second = again.publish(tmp_path / "b")

    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert first == second


def test_a_publication_without_changes_does_no_work(pieces: Pieces, tmp_path: Path) -> None:
    """No piece is opened, no file is touched, the manifest's digest is the same."""
    first = pieces.publish(tmp_path / "release")
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "release").rglob("*")}
    unopened = Pieces([])
    unopened.pieces = pieces.pieces

    second = unopened.publish(tmp_path / "release")

    assert second == replace(first, n_written=0, n_kept=first.n_files)
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "release").rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


@pytest.mark.parametrize("damage", ["extra", "missing", "truncated"])
def test_a_release_that_is_not_whole_is_made_again(pieces: Pieces, tmp_path: Path, damage: str) -> None:
    """What stands under the name is only kept if its files are those of its manifest."""
    pieces.publish(tmp_path / "release")
    expected = tree(tmp_path / "release")
    damaged = tmp_path / "release/arxiv/jsonl/2023.jsonl"
    match damage:
        case "extra":
            (tmp_path / "release/arxiv/extra").write_text("x")
        case "missing":
            damaged.unlink()
        case _:
            os.truncate(damaged, 10)

    pieces.publish(tmp_path / "release")

    assert tree(tmp_path / "release") == expected


@pytest.mark.parametrize("damage", ["no manifest", "half a manifest"])
def test_what_is_no_release_is_not_replaced(pieces: Pieces, tmp_path: Path, damage: str) -> None:
    """Versions would begin anew, or somebody's other files would go: the error says what to do."""
    pieces.publish(tmp_path / "release")
    manifest = tmp_path / "release/manifest.json"
    manifest.unlink() if damage == "no manifest" else os.truncate(manifest, 100)
    before = tree(tmp_path / "release")

    with pytest.raises(PublicationError, match="move it away to begin with version 1"):
        pieces.publish(tmp_path / "release")

    assert tree(tmp_path / "release") == before


def test_a_changed_partition_changes_the_release(pieces: Pieces, tmp_path: Path) -> None:
    """What is no longer there goes, is listed as removed, and nothing else changes but what is written of versions."""
    pieces.publish(tmp_path / "release")
    before = tree(tmp_path / "release")
    fewer = Pieces([])
    fewer.pieces = [piece for piece in pieces.pieces if piece.source == "arxiv"]
    fewer._files = pieces._files

    fewer.publish(tmp_path / "release")

    after = tree(tmp_path / "release")
    assert not any(path.startswith("local/") for path in after)
    new = {"manifest.json", "README.md", "changes/2.jsonl"}
    assert {path: after[path] for path in after if path not in new} == {
        path: before[path] for path in after if path not in new
    }
    [removed] = map(json.loads, after["changes/2.jsonl"].splitlines())
    assert (removed["change"], removed["source"], removed["columns"]) == ("removed", "local", [])
    history = load_manifest(after["manifest.json"]).history
    assert [(each.version, each.n_added, each.n_removed, each.n_changed) for each in history] == [
        (1, 9, 0, 0),
        (2, 0, 1, 0),
    ]


def test_the_manifest_says_what_the_release_was_made_with(pieces: Pieces, tmp_path: Path) -> None:
    """Settings are handed in; every file but the manifest is listed, with rows where it has rows."""
    pieces.publish(tmp_path / "release")
    manifest = load_manifest((tmp_path / "release/manifest.json").read_bytes())

    assert manifest.dataset == {"thresholds": {"min_bytes": 5120}}
    assert [file.path for file in manifest.files] == LAYOUT[:-1]
    n_rows = {file.path: file.n_rows for file in manifest.files}
    assert n_rows["arxiv/images_2023.tar.gz"] == n_rows["arxiv/jsonl/2023.jsonl"] == 5
    assert n_rows["README.md"] is None


def test_a_damaged_piece_is_not_published(pieces: Pieces, tmp_path: Path) -> None:
    """The error names the partition to be made again; the release that stands is untouched."""
    pieces.publish(tmp_path / "release")
    before = tree(tmp_path / "release")
    damaged = Pieces([])
    damaged.pieces = [piece for piece in pieces.pieces if piece.source == "arxiv"]
    key = ("arxiv", 2023, "chunk_003", "data.parquet")
    content = bytearray(pieces._files[key])
    content[100] ^= 1
    damaged._files = {**pieces._files, key: bytes(content)}

    with pytest.raises(
        PublicationError, match=r"chunk_003 is damaged: materialize hf_release for arxiv\|2023"
    ):
        damaged.publish(tmp_path / "release")

    assert tree(tmp_path / "release") == before


def test_a_piece_that_comes_twice_is_refused(pieces: Pieces) -> None:
    """It would give every record of its shard twice."""
    with pytest.raises(ValueError, match=r"chunk_001 has attribution\.jsonl twice"):
        layout([*pieces.pieces, *pieces.pieces], ReleaseSettings())


class Killed(BaseException):
    """What a test kills a publication with."""


@contextmanager
def killed_after(n_steps: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Kill at the n-th moment at which something on disk changes; counts the moments."""
    steps = [0]

    def step(function: Callable[..., Any]) -> Callable[..., Any]:
        def killing(*args: Any, **kwargs: Any) -> Any:
            steps[0] += 1
            if steps[0] > n_steps:
                raise Killed
            return function(*args, **kwargs)

        return killing

    with monkeypatch.context() as patch:
        for owner, name in ((Path, "rename"), (Path, "replace"), (Path, "unlink"), (shutil, "rmtree")):
            patch.setattr(owner, name, step(getattr(owner, name)))
        patch.setattr(os, "fsync", step(lambda handle: None))
        yield steps


@pytest.mark.parametrize("has_old_release", [False, True])
def test_a_kill_at_any_step_leaves_no_half_release(
    pieces: Pieces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_old_release: bool
) -> None:
    """Under the name there is the old release, the new one or nothing; the next publication ends the same."""
    old = Pieces([])
    old.pieces = [piece for piece in pieces.pieces if piece.source == "local"]
    old._files = pieces._files
    if has_old_release:
        old.publish(tmp_path / "old")
        shutil.copytree(tmp_path / "old", tmp_path / "new")
    with killed_after(10**9, monkeypatch) as steps:
        pieces.publish(tmp_path / "new")
    wholes = [tree(tmp_path / name) for name in ("old", "new")]

    assert steps[0] > 2 * len(wholes[1])
    for n_steps in range(steps[0]):
        release = tmp_path / f"run_{n_steps}" / "release"
        if has_old_release:
            shutil.copytree(tmp_path / "old", release)
        with killed_after(n_steps, monkeypatch), pytest.raises(Killed):
            pieces.publish(release)
        assert tree(release) in (wholes if release.exists() else [{}])

        with killed_after(10**9, monkeypatch):
            pieces.publish(release)
        assert tree(release) == wholes[1]
        assert [path.name for path in release.parent.iterdir()] == ["release"]


def test_what_an_interrupted_publication_left_does_not_slip_in(
    pieces: Pieces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A release that is published after another was killed holds its own files alone."""
    fewer = Pieces([])
    fewer.pieces = [piece for piece in pieces.pieces if piece.source == "local"]
    fewer._files = pieces._files
    fewer.publish(tmp_path / "undisturbed")
    with killed_after(9, monkeypatch), pytest.raises(Killed):
        pieces.publish(tmp_path / "release")

    fewer.publish(tmp_path / "release")

    assert tree(tmp_path / "release") == tree(tmp_path / "undisturbed")


def test_finished_files_are_not_written_again(
    pieces: Pieces, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill, whole files are kept, and one that was damaged meanwhile is made again."""
    pieces.publish(tmp_path / "undisturbed")
    with killed_after(9, monkeypatch), pytest.raises(Killed):
        pieces.publish(tmp_path / "release")
    built = sorted(path for path in (tmp_path / ".release.building/release").rglob("*") if path.is_file())
    assert len(built) >= 2
    content = bytearray(built[0].read_bytes())
    content[-1] ^= 1
    built[0].write_bytes(content)

    publication = pieces.publish(tmp_path / "release")

    assert 0 < publication.n_kept < len(built)
    assert tree(tmp_path / "release") == tree(tmp_path / "undisturbed")


FULL = """
import resource, sys
from pathlib import Path
from s1mm_assets_tests.release.shards import example

n_bytes, folder = int(sys.argv[1]), Path(sys.argv[2])
pieces = example()
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, most))
try:
    pieces.publish(folder)
except OSError as error:
    print(type(error).__name__, error)
    sys.exit(3)
"""


@pytest.mark.parametrize("n_bytes", [10, 700, 3_000])
def test_a_disk_that_takes_no_more_leaves_the_release_before(
    pieces: Pieces, tmp_path: Path, n_bytes: int
) -> None:
    """The system's error says so, nothing hangs, and with room again the publication ends as if nothing had been."""
    old = Pieces([])
    old.pieces = [piece for piece in pieces.pieces if piece.source == "local"]
    old._files = pieces._files
    for name in ("release", "undisturbed"):
        old.publish(tmp_path / name)
    before = tree(tmp_path / "release")

    full = subprocess.run(
        [sys.executable, "-c", FULL, str(n_bytes), str(tmp_path / "release")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert full.returncode == 3, full.stdout + full.stderr
    assert "File too large" in full.stdout
    assert tree(tmp_path / "release") == before
    for name in ("release", "undisturbed"):
        pieces.publish(tmp_path / name)
    assert tree(tmp_path / "release") == tree(tmp_path / "undisturbed")
