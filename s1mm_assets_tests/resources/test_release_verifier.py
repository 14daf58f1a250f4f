"""Tests of s1mm_assets.resources.release_verifier: many processes, kills, links, and what only a real file has."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from s1mm_assets.release.hub import Stored
from s1mm_assets.release.manifest import load_manifest
from s1mm_assets.release.problems import Problem, Problems
from s1mm_assets.release.streamable import DATA as STREAMABLE
from s1mm_assets.release.verify import plan
from s1mm_assets.resources.file_digests import xet_hash
from s1mm_assets.resources.release_folder import LocalFolder
from s1mm_assets.resources.release_verifier import (
    PipedXet,
    Progress,
    Reader,
    ReleaseVerifier,
    VerificationError,
    default_state,
    files_below,
    state_of,
)
from s1mm_assets_tests.release.shards import example

IMAGES = "arxiv/images_2023.tar.gz"
DATA = "arxiv/data/2023/00000.parquet"
RECORDS = "arxiv/jsonl/2023.jsonl"
KILLED = """
import os, signal, sys
from pathlib import Path
from s1mm_assets.resources import release_verifier as module

whole, n_left = module.settled, int(sys.argv[3])

def settled(task, reading, problems):
    global n_left
    n_left -= 1
    if not n_left:
        os.kill(os.getpid(), signal.SIGKILL)
    return whole(task, reading, problems)

module.settled = settled
module.ReleaseVerifier(n_workers=1, state=Path(sys.argv[2])).verify_folder(Path(sys.argv[1]))
"""


@pytest.fixture
def release(tmp_path: Path) -> Path:
    example().publish(tmp_path / "release")
    return tmp_path / "release"


@pytest.fixture
def verifier(tmp_path: Path) -> Iterator[ReleaseVerifier]:
    verifier = ReleaseVerifier(n_workers=2, state=tmp_path / "state")
    yield verifier
    verifier.pool.close()


def kinds(problems: tuple[Problem, ...]) -> set[tuple[str, str]]:
    return {(problem.kind, problem.path) for problem in problems}


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("bytes_only", [False, True])
def test_a_release_as_published_is_sound(
    release: Path, verifier: ReleaseVerifier, *, bytes_only: bool
) -> None:
    """Every file is counted, and nothing stays behind."""
    done = verifier.verify_folder(release, bytes_only=bytes_only)

    assert done.is_sound
    assert done.problems == ()
    assert done.notes == ()
    assert done.n_files == len(load_manifest((release / "manifest.json").read_bytes()).files)
    assert done.n_bytes == sum(
        path.stat().st_size for path in release.rglob("*") if path.is_file() and path.name != "manifest.json"
    )
    assert list((verifier.state or Path()).iterdir()) == []


def test_what_is_wrong_is_found_in_parallel(release: Path, verifier: ReleaseVerifier) -> None:
    """The file by its digest, and the image in it by its record."""
    flip(release / IMAGES)
    flip(release / DATA)

    assert {("changed", IMAGES), ("changed", DATA)} <= kinds(verifier.verify_folder(release).problems)
    assert kinds(verifier.verify_folder(release, bytes_only=True).problems) == {
        ("changed", IMAGES),
        ("changed", DATA),
    }


def test_a_wrong_xet_hash_is_found(release: Path, verifier: ReleaseVerifier) -> None:
    """Though SHA-256 agrees; bytes-only mode does not look."""
    manifest = load_manifest((release / "manifest.json").read_bytes())
    files = [replace(file, xet="0" * 64) if file.path == IMAGES else file for file in manifest.files]
    (release / "manifest.json").write_bytes(replace(manifest, files=tuple(files)).render())

    (problem,) = verifier.verify_folder(release).problems

    assert (problem.kind, problem.path) == ("changed", IMAGES)
    assert "Xet" in problem.detail
    assert verifier.verify_folder(release, bytes_only=True).is_sound


@pytest.mark.parametrize("n_bytes", [0, 1, 65_536, 3 << 20])
def test_the_xet_hash_is_the_one_of_the_file(tmp_path: Path, n_bytes: int) -> None:
    """Read in pieces that fit no page, through a pipe."""
    file = tmp_path / "file"
    file.write_bytes(os.urandom(n_bytes))
    buffer = bytearray(100_001)

    with file.open("rb") as stream:
        xet = PipedXet(stream)
        while n := stream.readinto(buffer):
            xet.update(memoryview(buffer)[:n])
        found = xet.finish()
        xet.close()

    assert found == xet_hash(file)


def test_a_hash_that_is_given_up_leaves_nothing(tmp_path: Path) -> None:
    """Neither a thread that waits nor an open pipe."""
    (tmp_path / "file").write_bytes(bytes(100))
    descriptors = Path("/proc/self/fd")
    before = len(list(descriptors.iterdir()))

    with (tmp_path / "file").open("rb") as stream:
        PipedXet(stream).close()

    assert len(list(descriptors.iterdir())) == before


def killed(release: Path, state: Path, after: int) -> None:
    """Verify in a process that is killed when that many tasks are done."""
    done = subprocess.run(
        [sys.executable, "-c", KILLED, release, state, str(after)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr


def outcomes(state: Path) -> int:
    return len(list(state.glob("*/*.json")))


def test_a_killed_verification_goes_on(release: Path, verifier: ReleaseVerifier, tmp_path: Path) -> None:
    """What was read is not read again; the outcome is the same, and then everything is forgotten."""
    killed(release, tmp_path / "state", after=4)
    n_kept = outcomes(tmp_path / "state")

    done = verifier.verify_folder(release)

    assert done.is_sound
    assert 4 <= n_kept <= done.n_resumed < done.n_files
    assert verifier.verify_folder(release).n_resumed == 0


def test_what_was_wrong_before_the_kill_is_still_reported(
    release: Path, verifier: ReleaseVerifier, tmp_path: Path
) -> None:
    """A problem found is kept, and so are the tables for the joins."""
    flip(release / DATA)
    (release / RECORDS).write_bytes(b"{}\n" + (release / RECORDS).read_bytes())
    fresh = verifier.verify_folder(release)
    killed(release, tmp_path / "state", after=12)

    again = verifier.verify_folder(release)

    assert again.n_resumed >= 11
    assert sorted(map(str, again.problems)) == sorted(map(str, fresh.problems))


def test_a_file_that_changed_since_is_read_again(
    release: Path, verifier: ReleaseVerifier, tmp_path: Path
) -> None:
    """By its times of change: the one that everybody can set back, and the one that nobody can."""
    killed(release, tmp_path / "state", after=12)
    before = {path: (release / path).stat() for path in (RECORDS, DATA)}
    for path in before:
        flip(release / path)
    os.utime(release / DATA, ns=(before[DATA].st_atime_ns, before[DATA].st_mtime_ns))
    os.utime(release / RECORDS, ns=(before[RECORDS].st_atime_ns, before[RECORDS].st_mtime_ns + 1))

    found = kinds(verifier.verify_folder(release).problems)

    assert ("changed", RECORDS) in found
    assert ("changed", DATA) in found


def test_state_that_is_broken_is_not_used(release: Path, verifier: ReleaseVerifier, tmp_path: Path) -> None:
    """Outcomes cut short, tables gone: read again."""
    killed(release, tmp_path / "state", after=12)
    for i, path in enumerate(sorted((tmp_path / "state").glob("*/*.json"))):
        if i % 2:
            path.write_text(path.read_text()[:50])
    for table in (tmp_path / "state").glob("*/*.parquet"):
        table.unlink()

    done = verifier.verify_folder(release)

    assert done.is_sound
    assert done.n_resumed <= 1


@pytest.mark.parametrize("content", [b"", b"PAR1", None])
def test_a_table_that_a_power_loss_took_is_made_again(
    release: Path, verifier: ReleaseVerifier, tmp_path: Path, content: bytes | None
) -> None:
    """Empty, or damaged where only its rows would say so."""
    killed(release, tmp_path / "state", after=12)
    tables = list((tmp_path / "state").glob("*/*.parquet"))
    for table in tables:
        if content is None:
            flip(table)
        else:
            table.write_bytes(content)

    done = verifier.verify_folder(release)

    assert len(tables) > 3
    assert done.problems == ()


def test_what_is_kept_is_on_the_disk_before_it_has_its_name(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tables and outcomes: otherwise a power loss leaves names without bytes."""
    root, state = release, tmp_path / "kept"
    state.mkdir()
    made = plan(files_below(root, Problems()), LocalFolder(root).open, Problems())
    assert made is not None
    numbers = {task.name: i for i, task in enumerate(made.tasks)}
    (state / "progress").write_bytes(bytes(8 * len(numbers)))
    synced: list[int] = []
    fsync = os.fsync

    def noted(handle: int) -> None:
        synced.append(os.fstat(handle).st_ino)
        fsync(handle)

    monkeypatch.setattr(os, "fsync", noted)
    task = next(task for task in made.tasks if task.name == RECORDS)
    Reader(str(root), str(state), with_xet=False)((numbers[RECORDS], task))

    kept = [path.stat().st_ino for path in state.iterdir() if path.name != "progress"]
    assert len(kept) == 2
    assert sorted(synced) == sorted(kept)


def test_folders_in_folders_are_not_followed_for_ever(release: Path, verifier: ReleaseVerifier) -> None:
    """Where they begin to be too deep is said."""
    release.joinpath(*"d" * 50).mkdir(parents=True)

    (problem,) = verifier.verify_folder(release).problems

    assert problem.kind == "extra"
    assert problem.path == "/".join("d" * 13)


def test_another_manifest_is_another_verification(
    release: Path, verifier: ReleaseVerifier, tmp_path: Path
) -> None:
    """Nothing is resumed from before it changed."""
    killed(release, tmp_path / "state", after=5)
    manifest = load_manifest((release / "manifest.json").read_bytes())
    (release / "manifest.json").write_bytes(replace(manifest, made_from="other").render())

    assert verifier.verify_folder(release).n_resumed == 0


def test_one_verification_at_a_time(release: Path, verifier: ReleaseVerifier, tmp_path: Path) -> None:
    """The second says so."""
    with (
        state_of(tmp_path / "state", release.absolute(), bytes_only=False),
        pytest.raises(VerificationError, match="another process"),
    ):
        verifier.verify_folder(release)
    assert verifier.verify_folder(release).is_sound


def test_state_goes_to_the_users_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where XDG says."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    assert default_state() == tmp_path / "s1mm" / "verify"


def test_links_are_not_followed_out_of_the_release(
    release: Path, verifier: ReleaseVerifier, tmp_path: Path
) -> None:
    """Files, folders and links to nothing; a link to a file of the release is that file."""
    outside = tmp_path / "outside"
    (release / DATA).rename(outside)
    (release / DATA).symlink_to(outside)
    (release / "folder").symlink_to(tmp_path)
    (release / "nowhere").symlink_to("absent")
    (release / "loop").symlink_to("loop")
    (release / RECORDS).rename(release / ".cache")
    (release / ".cache").rename(release / "arxiv/jsonl/real")
    (release / RECORDS).symlink_to("real")

    found = kinds(verifier.verify_folder(release).problems)

    assert {each for each in found if each[0] != "data_missing"} == {
        *(("link", DATA), ("missing", DATA), ("link", "folder"), ("link", "nowhere"), ("link", "loop")),
        ("extra", "arxiv/jsonl/real"),
    }


def test_a_pipe_is_not_opened(release: Path, verifier: ReleaseVerifier) -> None:
    """It would wait for ever."""
    (release / "README.md").unlink()
    os.mkfifo(release / "README.md")

    assert kinds(verifier.verify_folder(release).problems) == {("missing", "README.md")}


def test_names_that_are_no_unicode_are_extra(release: Path, verifier: ReleaseVerifier) -> None:
    """And not read."""
    name = os.fsdecode(b"\xff.jsonl")
    (release / "arxiv" / "jsonl" / name).write_bytes(b"{}\n")

    assert kinds(verifier.verify_folder(release).problems) == {("extra", f"arxiv/jsonl/{name}")}


def test_pointers_are_noted(release: Path, verifier: ReleaseVerifier) -> None:
    """What was not checked is said, and is no problem."""
    listed = {file.path: file for file in load_manifest((release / "manifest.json").read_bytes()).files}
    (release / IMAGES).write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{listed[IMAGES].sha256}\n"
        f"size {listed[IMAGES].n_bytes}\n"
    )

    done = verifier.verify_folder(release)

    assert done.is_sound
    assert "1 files are git-LFS pointers, such as arxiv/images_2023.tar.gz" in done.notes[0]


def test_progress_comes_to_its_end(release: Path, tmp_path: Path) -> None:
    """The last that is told is that all is done."""
    told: list[Progress] = []
    verifier = ReleaseVerifier(n_workers=1, state=tmp_path / "state", show=told.append)

    verifier.verify_folder(release)
    verifier.pool.close()

    assert told[-1].n_files == told[-1].n_files_done > 0
    assert told[-1].n_bytes == told[-1].n_bytes_done > 0


def test_parquet_that_fills_the_memory_costs_its_file_alone(release: Path, verifier: ReleaseVerifier) -> None:
    """A page of a few kilobytes that stands for gigabytes: said of that file, and the others are checked."""
    rows = pq.read_table(release / DATA).to_pylist()
    bomb = pa.array(["x" * (32 << 20)])
    rows = [{**rows[0], "caption": None}] * 200
    table = pa.Table.from_pylist(rows, schema=STREAMABLE)
    captions = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), bomb)
    table = table.set_column(table.schema.get_field_index("caption"), "caption", captions)
    writer = {"compression": "zstd", "dictionary_pagesize_limit": 1 << 30, "store_schema": False}
    pq.write_table(table.replace_schema_metadata(STREAMABLE.metadata), release / DATA, **writer)
    flip(release / "README.md")
    assert (release / DATA).stat().st_size < 1 << 20

    problems = verifier.verify_folder(release).problems

    assert kinds(problems) == {("unreadable", DATA), ("changed", "README.md")}
    assert "out_of_memory" in next(each.detail for each in problems if each.path == DATA)


class Listed:
    """A repository that holds a release as the Hub lists it."""

    def __init__(self, folder: Path) -> None:
        self._folder = LocalFolder(folder)
        self.opened: list[tuple[str, str]] = []

    def listing(self, revision: str = "main") -> dict[str, Stored]:
        assert revision == "v1"
        manifest = load_manifest((self._folder.root / "manifest.json").read_bytes())
        listed = {
            file.path: Stored(n_bytes=file.n_bytes, sha256=file.sha256, xet=file.xet)
            for file in manifest.files
        }
        small = {path: Stored(n_bytes=n, git_blob="0" * 40) for path, n in self._folder.files().items()}
        return {**small, **{path: file for path, file in listed.items() if path != "README.md"}}

    def open_small(self, path: str, revision: str = "main") -> BinaryIO:
        self.opened.append((path, revision))
        return self._folder.open(path)


def test_a_repository_is_verified_by_its_listing(release: Path, verifier: ReleaseVerifier) -> None:
    """At one revision; only the manifest and what git stores itself is fetched."""
    repository = Listed(release)

    done = verifier.verify_repository(repository, "v1")

    assert done.is_sound
    assert repository.opened == [("manifest.json", "v1"), ("README.md", "v1")]
    assert "joins were not checked" in done.notes[0]
