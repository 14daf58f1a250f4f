"""Tests of s1mm_assets.resources.hub_repository, against an imitation of the Hub with the real clients."""

import fcntl
import hashlib
import io
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from s1mm_assets.release.hub import PublicationSettings, differences, git_blob_of
from s1mm_assets.release.manifest import Edition, Manifest, ManifestFile, load_manifest
from s1mm_assets.resources import hub_client
from s1mm_assets.resources.hub_client import seconds_to_wait, telling, wait_before_retry
from s1mm_assets.resources.hub_repository import HubError, HubRepository, Uploaded
from s1mm_assets.resources.release_folder import LocalFolder
from s1mm_assets_tests.imitations.hub import WRITES, ImitationHub
from s1mm_assets_tests.release.shards import example

REPO = "someone/figures"
TOKEN = "hf_" + "a1b2c3d4e5f6" * 3
CARD = b"---\nlicense: cc-by-4.0\n---\n# Figures\n"
COMMIT = r"POST /api/datasets/someone/figures/commit/main"
PREUPLOAD = r"POST /api/datasets/someone/figures/preupload/main"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ImitationHub]:
    """A Hub, and an environment in which the clients reach it and no other."""
    from huggingface_hub import constants

    for name, value in environment(tmp_path).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # read when the module was imported
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", False)
    with ImitationHub(tmp_path / "hub", token=TOKEN) as hub:
        yield hub


def environment(tmp_path: Path) -> dict[str, str]:
    """What huggingface_hub and hf_xet read."""
    return {
        "HF_HOME": str(tmp_path / "hf_home"),
        "HF_TOKEN": TOKEN,
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }


def made(name: str, n_bytes: int = 3000) -> bytes:
    """A content that follows from its name."""
    return hashlib.shake_256(name.encode()).digest(n_bytes)


FILES = {
    "README.md": CARD,
    "croissant.json": b"{}\n",
    "arxiv/jsonl/2003.jsonl": b'{"caption": "old"}\n',
    "arxiv/jsonl/2023.jsonl": b'{"caption": "\xc3\xa4"}\n',
    "arxiv/images_2003.tar.gz": made("2003"),
    "arxiv/images_2023.tar.gz.partaa": made("2023 a", 70_000),
    "arxiv/images_2023.tar.gz.partab": made("2023 b"),
    "arxiv/data/2003/00000.parquet": made("2003 0"),
    "arxiv/data/2023/00000.parquet": made("2023 0"),
    "changes/1.jsonl": b"",
}
DATASET: dict[str, Any] = {
    "engines": [["vllm", "Qwen", "main", "3", 2]],
    "not_evaluated": [],
    "made_by": {"recaptions": {"versions": ["7"], "settings": [], "environment": []}},
    "licence_policy": "redistributable",
}


def release(
    folder: Path, files: Mapping[str, bytes] = FILES, *, version: int = 1
) -> tuple[LocalFolder, Manifest]:
    """A release in a folder, with its manifest."""
    import hf_xet

    listed = []
    for path, content in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
        listed.append(
            ManifestFile(
                path=path,
                n_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                xet=hf_xet.hash_files([str(folder / path)])[0].hash,
                n_rows=None,
            )
        )
    manifest = Manifest(
        made_from=hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest(),
        dataset=DATASET,
        files=tuple(listed),
        history=tuple(Edition(version=i + 1, n_records=2) for i in range(version)),
    )
    (folder / "manifest.json").write_bytes(manifest.render())
    return LocalFolder(folder), manifest


def repository(hub: ImitationHub, **fields: Any) -> HubRepository:
    return HubRepository(
        repo_id=REPO, endpoint=hub.endpoint, **{"max_commit_files": 3, "retry_wait_s": 0.01, **fields}
    )


def publish(hub: ImitationHub, folder: Path, files: Mapping[str, bytes] = FILES, **more: Any) -> Uploaded:
    """Make a release and upload it."""
    version = more.pop("version", 1)
    return repository(hub, **more).upload(*release(folder, files, version=version))


def writes(hub: ImitationHub) -> list[str]:
    return [request.line for request in hub.requests if WRITES.fullmatch(request.line)]


def sent(hub: ImitationHub, since: int = 0) -> list[str]:
    """Paths of files that were announced for upload."""
    return [path for request in hub.asked(PREUPLOAD)[since:] for path in request.note or ()]


def test_a_release_arrives_verified_and_tagged(hub: ImitationHub, tmp_path: Path) -> None:
    """Large files in Xet storage under the hashes of the manifest, small ones as they are; data before the card."""
    done = publish(hub, tmp_path / "release")

    tree = hub.tree(REPO)
    _, manifest = release(tmp_path / "release")
    assert set(tree) == {*FILES, "manifest.json", ".gitattributes"}
    for file in manifest.files:
        blob = tree[file.path]
        assert blob.n_bytes == file.n_bytes
        if file.path.endswith((".jsonl", ".md", ".json")):
            assert blob.content == FILES[file.path]
        else:
            assert (blob.sha256, blob.xet) == (file.sha256, file.xet)
    assert tree["manifest.json"].content == manifest.render()
    commits = [[path for _, path in request.note] for request in hub.asked(COMMIT)]
    assert [len(paths) for paths in commits] == [3, 3, 2, 3]
    assert set(commits[-1]) == {"README.md", "croissant.json", "manifest.json"}
    assert hub.repos[REPO].tags == {"v1": hub.repos[REPO].head}
    assert hub.repos[REPO].is_private
    assert (done.n_sent, done.n_commits, done.n_deleted, done.commit) == (11, 4, 0, hub.repos[REPO].head)


@pytest.mark.filterwarnings("ignore:Warnings while validating metadata")  # the example's card has none
def test_a_release_of_ours_arrives(hub: ImitationHub, tmp_path: Path) -> None:
    """One that was published from pieces, with the Xet hashes that were computed then."""
    example().publish(tmp_path / "release")
    manifest = load_manifest((tmp_path / "release" / "manifest.json").read_bytes())
    manifest = replace(manifest, dataset=DATASET)

    done = repository(hub).upload(LocalFolder(tmp_path / "release"), manifest)

    assert done.n_sent == len(manifest.files) + 1
    assert differences(manifest, repository(hub).listing(), small_blobs(manifest, tmp_path / "release")) == []


def small_blobs(manifest: Manifest, folder: Path) -> dict[str, str]:
    """What git calls the files of a release."""
    return {file.path: git_blob_of((folder / file.path).read_bytes()) for file in manifest.files}


def test_what_arrived_can_be_read_back(hub: ImitationHub, tmp_path: Path) -> None:
    """The listing says what the manifest says; a file of Xet storage comes back from the local store."""
    from huggingface_hub import HfApi

    publish(hub, tmp_path / "release")
    held = repository(hub).listing("v1")
    _, manifest = release(tmp_path / "release")

    assert held["arxiv/images_2003.tar.gz"].xet == manifest.files[4].xet
    assert load_manifest(repository(hub).open_small("manifest.json").read()) == load_manifest(
        manifest.render()
    )
    large = "arxiv/images_2023.tar.gz.partaa"
    assert repository(hub).open_small(large).read() == FILES[large]
    api = HfApi(endpoint=hub.endpoint, token=TOKEN)
    api.verify_repo_checksums(REPO, repo_type="dataset", local_dir=tmp_path / "release")
    assert api.whoami()["name"] == "someone"


def test_what_cannot_be_read_is_said(
    hub: ImitationHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No repository, no revision, no file, a file that is too large for memory."""
    with pytest.raises(HubError, match="someone/figures cannot be listed: RepositoryNotFoundError"):
        repository(hub).listing()
    hub.create(REPO, {"large.txt": b"12345"})
    with pytest.raises(HubError, match="cannot be listed: RevisionNotFoundError"):
        repository(hub).listing("v9")
    with pytest.raises(HubError, match="someone/figures has no gone"):
        repository(hub).open_small("gone")
    monkeypatch.setattr(hub_client, "MAX_SMALL_BYTES", 4)
    with pytest.raises(HubError, match=r"large\.txt of someone/figures has more than 4 bytes"):
        repository(hub).open_small("large.txt")


def test_a_second_upload_sends_nothing(hub: ImitationHub, tmp_path: Path) -> None:
    """What is there is not sent again, nor tagged again."""
    publish(hub, tmp_path / "release")
    before = len(hub.requests)

    done = publish(hub, tmp_path / "release")

    assert not [each for each in hub.requests[before:] if WRITES.fullmatch(each.line)]
    assert (done.n_sent, done.n_bytes_sent, done.n_commits, done.n_kept) == (0, 0, 0, 11)


def test_a_new_version_sends_what_changed_and_deletes_what_is_gone(hub: ImitationHub, tmp_path: Path) -> None:
    """Files of no release stay; deletions come with the new manifest, in the last commit."""
    publish(hub, tmp_path / "one")
    hub.put(REPO, {"docs/how to.md": b"by hand", "LICENSE": b"..."})
    before = len(hub.asked(PREUPLOAD))
    files = {path: content for path, content in FILES.items() if "2003" not in path}
    files |= {"arxiv/jsonl/2023.jsonl": b'{"caption": "new"}\n', "changes/2.jsonl": b"{}\n"}

    done = publish(hub, tmp_path / "two", files, version=2)

    assert set(sent(hub, before)) == {"arxiv/jsonl/2023.jsonl", "changes/2.jsonl", "manifest.json"}
    assert set(hub.tree(REPO)) == {*files, "manifest.json", ".gitattributes", "docs/how to.md", "LICENSE"}
    last = hub.asked(COMMIT)[-1].note
    assert sorted(path for kind, path in last if kind == "deletedFile") == [
        *("arxiv/data/2003/00000.parquet", "arxiv/images_2003.tar.gz", "arxiv/jsonl/2003.jsonl")
    ]
    assert ("file", "manifest.json") in last
    assert set(hub.repos[REPO].tags) == {"v1", "v2"}
    assert done.n_deleted == 3


def test_until_the_last_commit_the_old_release_is_shown(hub: ImitationHub, tmp_path: Path) -> None:
    """An upload that fails on the way leaves card and manifest of the version before."""
    publish(hub, tmp_path / "one")
    old = hub.tree(REPO)
    files = {**FILES, "README.md": CARD + b"More.\n", "arxiv/jsonl/2023.jsonl": b"{}\n"}
    files |= {f"arxiv/jsonl/{year}.jsonl": b"{}\n" for year in range(1991, 1995)}
    hub.fail(COMMIT, n_before=2, status=400)
    release_two = release(tmp_path / "two", files, version=2)

    with pytest.raises(
        HubError, match=r"after 6 files were sent, 5 of them committed in 2 commits.*run it again"
    ):
        repository(hub).upload(*release_two)

    assert hub.tree(REPO)["README.md"] == old["README.md"]
    assert hub.tree(REPO)["manifest.json"] == old["manifest.json"]
    assert repository(hub).upload(*release_two).n_commits == 1


def test_nothing_is_committed_before_everything_is_sent(hub: ImitationHub, tmp_path: Path) -> None:
    """While large files are sent, and where that fails, the repository is what it was; nothing is sent between."""
    publish(hub, tmp_path / "one", {"README.md": CARD})
    old, n_commits, n_announced = hub.tree(REPO), len(hub.asked(COMMIT)), len(hub.asked(PREUPLOAD))
    folder = release(tmp_path / "two", version=2)
    hub.before(PREUPLOAD, lambda: setattr(hub, "is_store_broken", True), n_before=1)

    with pytest.raises(HubError, match="stopped after 3 files were sent, 0 of them committed in 0 commits"):
        repository(hub).upload(*folder)

    assert hub.tree(REPO) == old
    assert len(hub.asked(COMMIT)) == n_commits
    hub.is_store_broken = False
    n_announced = len(hub.asked(PREUPLOAD))
    announced: list[str] = []
    hub.before(COMMIT, lambda: announced.extend(sent(hub, n_announced)))
    repository(hub).upload(*folder)
    assert sorted(announced) == sorted({*FILES} - {"README.md"})
    assert sent(hub, n_announced)[len(announced) :] == ["manifest.json"]


def test_a_small_file_that_changes_before_its_commit_is_not_committed(
    hub: ImitationHub, tmp_path: Path
) -> None:
    """Its content is read again then."""
    path = "arxiv/jsonl/2023.jsonl"
    hub.create(REPO)
    folder = release(tmp_path / "release")
    hub.before(COMMIT, lambda: (tmp_path / "release" / path).write_bytes(FILES[path].upper()))

    with pytest.raises(HubError, match=f"{path} is not what the manifest says"):
        repository(hub).upload(*folder)

    assert path not in hub.tree(REPO)


def test_a_dry_run_says_all_and_writes_nothing(hub: ImitationHub, tmp_path: Path) -> None:
    """Neither where there is no repository, nor where there is one; what it says is what is then done."""
    lines: list[str] = []
    folder = release(tmp_path / "one")
    said = repository(hub).upload(*folder, report=lines.append, is_dry_run=True)

    assert writes(hub) == []
    assert REPO not in hub.repos
    assert {line.split()[1] for line in lines if line.startswith("send ")} == {*FILES, "manifest.json"}
    done = repository(hub).upload(*folder)
    assert replace(done, commit=None, is_dry_run=True) == said
    assert said.n_bytes_sent == sum(map(len, FILES.values())) + len(folder[1].render())

    n_writes = len(writes(hub))
    files = {path: content for path, content in FILES.items() if "2003" not in path}
    lines.clear()
    said = repository(hub).upload(
        *release(tmp_path / "two", files, version=2), report=lines.append, is_dry_run=True
    )
    assert len(writes(hub)) == n_writes
    assert [line for line in lines if line.startswith("delete ")] == [
        *("delete arxiv/data/2003/00000.parquet", "delete arxiv/images_2003.tar.gz"),
        "delete arxiv/jsonl/2003.jsonl",
    ]
    assert (said.n_commits, said.n_sent, said.n_deleted, said.commit) == (1, 1, 3, None)


UPLOAD = """
import sys
from pathlib import Path
from s1mm_assets_tests.resources.test_hub_repository import *
hub = type("Hub", (), {"endpoint": sys.argv[1]})
folder = LocalFolder(Path(sys.argv[2]))
repository(hub).upload(folder, load_manifest(folder.open("manifest.json").read()))
"""


@pytest.mark.parametrize(
    ("route", "n_kept", "n_missing"),
    [
        (PREUPLOAD, 0, sum(len(FILES[f"arxiv/images_2023.tar.gz.part{part}"]) for part in ("aa", "ab"))),
        (COMMIT, 3, 0),
    ],
)
def test_after_a_kill_only_what_is_missing_is_stored(
    hub: ImitationHub, tmp_path: Path, route: str, n_kept: int, n_missing: int
) -> None:
    """The process dies when its second files are announced, and when its second commit is on the way.

    Args:
        route: What is asked for then.
        n_kept: Files that had been committed.
        n_missing: Bytes of large files that the store did not have.
    """
    folder = release(tmp_path / "release")
    reached, is_dead = threading.Event(), threading.Event()
    hub.before(route, reached.set, n_before=1)
    hub.before(route, is_dead.wait, n_before=1)
    hub.fail(route, n_before=1)  # the request that is on the way is lost with its process
    child = subprocess.Popen(
        [sys.executable, "-c", UPLOAD, hub.endpoint, str(tmp_path / "release")],
        env={**os.environ, **environment(tmp_path)},
    )
    try:
        assert reached.wait(120)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=60)
        is_dead.set()
    committed = set(hub.tree(REPO)) - {".gitattributes"}
    assert len(committed) == n_kept
    n_announced, stored = len(hub.asked(PREUPLOAD)), xorb_bytes(hub)

    done = repository(hub).upload(*folder)

    assert committed.isdisjoint(sent(hub, n_announced))
    assert done.n_kept == n_kept
    assert set(hub.tree(REPO)) == {*FILES, "manifest.json", ".gitattributes"}
    # What lay in the store already was not stored again.
    assert n_missing <= xorb_bytes(hub) - stored <= n_missing + 2_000


def xorb_bytes(hub: ImitationHub) -> int:
    """What the Xet store holds."""
    xorbs = (hub.cas / "xet" / "xorbs" / "xorbs").glob("default.*")
    return sum(path.stat().st_size for path in xorbs if path.suffix != ".tagset")


class RemoteFolder:
    """A folder that is not local, and looks at what is staged whenever a file of it is opened."""

    def __init__(self, files: Mapping[str, bytes], staging: Path) -> None:
        self._files, self._staging = files, staging
        self.most_staged = 0
        self.most_large = 0

    def files(self) -> dict[str, int]:
        return {path: len(content) for path, content in self._files.items()}

    def open(self, path: str) -> BinaryIO:
        staged = [each.stat().st_size for each in self._staging.rglob("*") if each.is_file()]
        self.most_staged = max(self.most_staged, len(staged))
        self.most_large = max(self.most_large, sum(size >= 3000 for size in staged))
        return io.BytesIO(self._files[path])


def test_a_folder_elsewhere_is_staged_a_few_files_at_a_time(hub: ImitationHub, tmp_path: Path) -> None:
    """Sent large files leave the disk before others come; nothing is left behind."""
    files = {**FILES, **{f"arxiv/data/2022/{i:05}.parquet": made(f"2022 {i}") for i in range(12)}}
    _, manifest = release(tmp_path / "release", files)
    (tmp_path / "staging").mkdir()
    folder = RemoteFolder(files, tmp_path / "staging")

    repository(hub, max_commit_files=50, max_staged_files=2, staging_folder=str(tmp_path / "staging")).upload(
        folder, manifest
    )

    assert folder.most_large == 1  # beside the one that is about to be written
    assert list((tmp_path / "staging").iterdir()) == []
    assert set(hub.tree(REPO)) == {*files, "manifest.json", ".gitattributes"}


def test_what_a_killed_upload_staged_is_removed(hub: ImitationHub, tmp_path: Path) -> None:
    """But not what another one, which lives, is sending, nor what is not of uploads."""
    _, manifest = release(tmp_path / "release")
    staging = tmp_path / "staging"
    for name in ("s1mm-upload-left", "s1mm-upload-used", "other"):
        (staging / name).mkdir(parents=True)
        (staging / name / "file").write_bytes(b"...")
    used = os.open(staging / "s1mm-upload-used", os.O_RDONLY)
    fcntl.flock(used, fcntl.LOCK_EX)

    repository(hub, staging_folder=str(staging)).upload(RemoteFolder(FILES, staging), manifest)

    os.close(used)
    assert sorted(path.name for path in staging.rglob("*")) == ["file", "file", "other", "s1mm-upload-used"]


def test_somebody_elses_commit_beside_ours_is_kept(hub: ImitationHub, tmp_path: Path) -> None:
    """A stale parent is no error where the other commit touches nothing of ours."""
    hub.create(REPO)
    hub.before(COMMIT, lambda: hub.put(REPO, {"docs/notes.md": b"hello"}), n_before=1)

    publish(hub, tmp_path / "release")

    assert hub.tree(REPO)["docs/notes.md"].content == b"hello"
    assert [request.status for request in hub.asked(COMMIT)] == [200, 412, 200, 200, 200]
    assert len(sent(hub)) == len(set(sent(hub)))


@pytest.mark.parametrize("theirs", [b"{}\n", None])
def test_somebody_elses_commit_on_our_paths_stops_us(
    hub: ImitationHub, tmp_path: Path, theirs: bytes | None
) -> None:
    """Whether they change or remove a file of the release."""
    path = "arxiv/jsonl/2003.jsonl"
    hub.create(REPO, {path: b'{"caption": "old"}\n'})
    hub.before(COMMIT, lambda: hub.put(REPO, {path: theirs}))

    with pytest.raises(HubError, match=r"somebody else has changed arxiv/jsonl/2003.jsonl"):
        publish(hub, tmp_path / "release")


@pytest.mark.parametrize("n_before", [0, 1, 2, 3])
def test_a_commit_whose_answer_was_lost_is_not_made_twice(
    hub: ImitationHub, tmp_path: Path, n_before: int
) -> None:
    """The next try finds a stale parent, and there the very files that it was about to commit, large or small."""
    hub.create(REPO)
    hub.fail(COMMIT, is_late=True, n_before=n_before)

    publish(hub, tmp_path / "release")

    status = [request.status for request in hub.asked(COMMIT)]
    assert status == [200] * n_before + [0, 412] + [200] * (3 - n_before)
    assert len(hub.repos[REPO].commits) == 1 + 4


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_hub_is_asked_again(hub: ImitationHub, tmp_path: Path, status: int) -> None:
    """Whatever is asked of it; the content is sent once."""
    for route in (
        *("GET /api/datasets/someone/figures", "POST /api/repos/create", COMMIT),
        *("GET /api/datasets/someone/figures/refs", "POST /api/datasets/someone/figures/tag/.*"),
    ):
        hub.fail(route, times=2, status=status, retry_after_s=0)

    publish(hub, tmp_path / "release")

    assert all(fault.times == 0 for fault in hub.faults)
    assert hub.repos[REPO].tags.keys() == {"v1"}
    assert len(sent(hub)) == len(set(sent(hub)))


@pytest.mark.parametrize("status", [0, 429, 503])
def test_a_busy_hub_is_asked_again_for_a_file(hub: ImitationHub, status: int) -> None:
    """By huggingface_hub, which looks twice for what it could not find at once."""
    hub.create(REPO, {"manifest.json": b"{}"})
    hub.fail("HEAD /datasets/someone/figures/resolve/main/manifest.json", status=status)

    assert repository(hub).open_small("manifest.json").read() == b"{}"
    assert hub.faults[0].times == 0


def test_the_hub_is_left_alone_as_long_as_it_asks(hub: ImitationHub, tmp_path: Path) -> None:
    """No request comes before Retry-After is over."""
    hub.create(REPO)
    hub.fail(COMMIT, status=429, retry_after_s=1)

    publish(hub, tmp_path / "release")

    refused, repeated, *_ = hub.asked(COMMIT)
    assert refused.status == 429
    assert repeated.time_s - refused.time_s >= 1


def test_waits_follow_the_headers_of_the_hub() -> None:
    """Retry-After in seconds, or the ratelimit header where nothing is left; else it is ours to choose."""
    assert seconds_to_wait({"Retry-After": "7"}) == 7
    assert seconds_to_wait({"ratelimit": '"api";r=0;t=55'}) == 55
    assert seconds_to_wait({"ratelimit": '"api";r=10;t=55'}) is None
    assert seconds_to_wait({"Retry-After": "Fri, 07 Mar 2025 12:24:27 GMT"}) is None
    assert wait_before_retry(ValueError("ours")) is False


def test_a_hub_that_stays_out_of_order_is_given_up(hub: ImitationHub, tmp_path: Path) -> None:
    """The error says what is sent and committed, and that the same call goes on from there."""
    hub.create(REPO)
    hub.fail(COMMIT, n_before=1, times=99, status=500)
    folder = release(tmp_path / "release")

    with pytest.raises(
        HubError,
        match="stopped after 10 files were sent, 3 of them committed in 1 commits; run it again to go on",
    ):
        repository(hub, attempts=3).upload(*folder)

    assert len(hub.asked(COMMIT)) == 1 + 3
    hub.faults.clear()
    assert repository(hub).upload(*folder).n_kept == 3


def test_a_broken_store_commits_nothing(hub: ImitationHub, tmp_path: Path) -> None:
    """Where the content could not be stored there is no commit that names it."""
    hub.create(REPO)
    hub.is_store_broken = True
    folder = release(tmp_path / "release")

    with pytest.raises(HubError, match="stopped after 0 files were sent"):
        repository(hub).upload(*folder)

    assert hub.asked(COMMIT) == []
    hub.is_store_broken = False
    repository(hub).upload(*folder)


def test_connections_that_are_cut_are_made_again(hub: ImitationHub, tmp_path: Path) -> None:
    """In the middle of looking, of announcing and of committing."""
    hub.create(REPO)
    for route in ("GET /api/datasets/someone/figures/tree/.*", PREUPLOAD, COMMIT):
        hub.fail(route)

    publish(hub, tmp_path / "release")

    assert all(fault.times == 0 for fault in hub.faults)


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # huggingface_hub, of httpx2
def test_without_xet_files_go_through_lfs(
    hub: ImitationHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The older protocol, with its verification; a Hub that lists no Xet hash is compared by SHA-256."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    hub.create(REPO)
    folder = release(tmp_path / "release")
    hub.is_verify_failing = True
    with pytest.raises(HubError, match="stopped after 0 files"):
        repository(hub).upload(*folder)
    assert hub.asked(COMMIT) == []

    hub.is_verify_failing = False
    hub.fail(COMMIT, status=400)
    with pytest.raises(HubError, match="stopped after 10 files were sent, 0 of them committed"):
        repository(hub).upload(*folder)
    n_stored = len(hub.asked("PUT /lfs/.*"))
    repository(hub).upload(*folder)

    assert len(hub.asked("PUT /lfs/.*")) == n_stored  # the Hub says that it has them
    blob = hub.tree(REPO)["arxiv/images_2003.tar.gz"]
    assert (blob.sha256, blob.xet) == (hashlib.sha256(made("2003")).hexdigest(), None)


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("arxiv/images_2023.tar.gz.partab", "another SHA-256"),
        ("arxiv/jsonl/2003.jsonl", "other content"),
        ("manifest.json", "other content"),
    ],
)
def test_what_the_hub_holds_is_verified(hub: ImitationHub, tmp_path: Path, path: str, what: str) -> None:
    """A file that the Hub holds otherwise than it was sent is named, and nothing is tagged."""
    hub.create(REPO)
    listing = r"GET /api/datasets/someone/figures/tree/.*"
    hub.before(listing, lambda: hub.damage(REPO, path), n_before=1)  # the one after the last commit

    with pytest.raises(HubError, match=f"{path} has {what}"):
        publish(hub, tmp_path / "release")
    assert hub.repos[REPO].tags == {}


@pytest.mark.parametrize("path", ["arxiv/images_2003.tar.gz", "arxiv/jsonl/2003.jsonl"])
def test_a_file_that_is_not_what_the_manifest_says_is_not_committed(
    hub: ImitationHub, tmp_path: Path, path: str
) -> None:
    """Neither a large one, nor a small one; nor is a short one sent."""
    hub.create(REPO)
    folder = release(tmp_path / "release")
    content = bytearray(FILES[path])
    content[7] ^= 1
    (tmp_path / "release" / path).write_bytes(content)

    with pytest.raises(HubError, match=f"{path} is not what the manifest says"):
        repository(hub).upload(*folder)
    (tmp_path / "release" / path).write_bytes(content[:-1])
    n_writes = len(writes(hub))
    with pytest.raises(HubError, match=f"{path} is not in the release"):
        repository(hub).upload(*folder)

    assert len(writes(hub)) == n_writes
    assert path not in hub.tree(REPO)


def test_a_small_file_is_compared_with_the_manifest_before_it_is_taken_for_theirs(
    hub: ImitationHub, tmp_path: Path
) -> None:
    """The same damage on both sides does not pass for what the manifest says."""
    path, odd = "arxiv/jsonl/2003.jsonl", b'{"caption": "odd"}\n'
    hub.create(REPO, {path: odd})
    folder = release(tmp_path / "release")
    (tmp_path / "release" / path).write_bytes(odd)

    with pytest.raises(HubError, match=f"{path} is not what the manifest says"):
        repository(hub).upload(*folder)
    assert writes(hub) == []


def test_versions_only_rise(hub: ImitationHub, tmp_path: Path) -> None:
    """Other content needs a higher version than the repository's; a tag of other content is in the way too."""
    publish(hub, tmp_path / "one", version=2)
    n_writes = len(writes(hub))
    other = {**FILES, "arxiv/jsonl/2003.jsonl": b"{}\n"}

    for version in (1, 2):
        with pytest.raises(
            HubError, match=r"holds version 2 .* version [12]: set version under .release. to 3"
        ):
            publish(hub, tmp_path / "two", other, version=version)
    hub.repos[REPO].tags["v3"] = hub.repos[REPO].head
    with pytest.raises(HubError, match="tag v3 marks another release"):
        publish(hub, tmp_path / "three", other, version=3)
    assert len(writes(hub)) == n_writes
    publish(hub, tmp_path / "four", other, version=4)


def test_a_foreign_repository_is_left_alone(hub: ImitationHub, tmp_path: Path) -> None:
    """Data that no manifest of ours speaks of is not deleted, and a manifest of others is not replaced."""
    hub.create(REPO, {"arxiv/jsonl/1999.jsonl": b"{}\n"})
    with pytest.raises(HubError, match=r"has no manifest.json, but 1 files .* arxiv/jsonl/1999.jsonl"):
        publish(hub, tmp_path / "release")
    hub.put(REPO, {"manifest.json": b'{"format": 1}'})
    with pytest.raises(HubError, match=r"a manifest.json that is not ours"):
        publish(hub, tmp_path / "release")

    assert writes(hub) == []


def test_what_others_have_in_a_repository_of_ours_is_not_deleted(hub: ImitationHub, tmp_path: Path) -> None:
    """Neither data that they added, nor another dataset's release."""
    publish(hub, tmp_path / "one")
    hub.put(REPO, {"arxiv/jsonl/1999.jsonl": b"{}\n"})
    n_writes, before = len(writes(hub)), hub.tree(REPO)
    with pytest.raises(HubError, match=r"does not list them, but 1 files .* arxiv/jsonl/1999.jsonl"):
        publish(hub, tmp_path / "two", {"README.md": CARD}, version=2)
    folder, manifest = release(tmp_path / "other", {"README.md": CARD}, version=2)
    other = replace(manifest, history=tuple(replace(each, n_records=9) for each in manifest.history))
    with pytest.raises(HubError, match="nothing was sent: the repository holds another dataset"):
        repository(hub).upload(folder, other)

    assert len(writes(hub)) == n_writes
    assert hub.tree(REPO) == before


def test_a_release_that_needs_permission_is_refused(hub: ImitationHub, tmp_path: Path) -> None:
    """Before anything is asked of the Hub; with the setting it is published."""
    folder, manifest = release(tmp_path / "release")
    manifest = replace(manifest, dataset={**DATASET, "engines": [["context", None, None, "1", 2]]})

    with pytest.raises(HubError, match=r"allow_context_recaptions = true under .publication."):
        repository(hub).upload(folder, manifest)
    assert hub.requests == []
    repository(hub).upload(folder, manifest, settings=PublicationSettings(allow_context_recaptions=True))


def test_what_the_hub_would_not_take_is_said_before_anything_is_sent(
    hub: ImitationHub, tmp_path: Path
) -> None:
    """A file of 200 GB, and what to set."""
    folder, manifest = release(tmp_path / "release")
    large = replace(manifest.files[4], n_bytes=200_000_000_000)
    manifest = replace(manifest, files=(*manifest.files[:4], large, *manifest.files[5:]))

    with pytest.raises(HubError, match=r"images_2003.tar.gz has 200,000,000,000 bytes.* lower part_bytes"):
        repository(hub).upload(folder, manifest)

    assert writes(hub) == []


def test_a_listing_of_several_pages_is_read_to_its_end(hub: ImitationHub, tmp_path: Path) -> None:
    """Else files would be sent again."""
    hub.page_files = 4
    publish(hub, tmp_path / "release")

    assert publish(hub, tmp_path / "release").n_sent == 0


def test_the_token_comes_from_the_environment_and_goes_nowhere_else(  # noqa: PLR0917 - fixtures
    hub: ImitationHub,
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Not into fields, messages, logs or files; without one, or with a wrong one, nothing is done."""
    caplog.set_level("DEBUG")
    lines: list[str] = []
    hub.fail(COMMIT, times=1, status=500)
    target = repository(hub)
    target.upload(*release(tmp_path / "release"), report=lines.append)
    # hf_xet logs where the first call of the process had its home, which another test may have made.
    homes = tmp_path_factory.getbasetemp().rglob("hf_home")
    written = [path for home in homes for path in home.rglob("*") if path.is_file()]

    said = [caplog.text, *capfd.readouterr(), *lines, repr(target), json.dumps(target.model_dump())]
    assert not [text for text in said if TOKEN in text]
    assert not [path for path in written if TOKEN.encode() in path.read_bytes()]
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(HubError, match="does not let the token in HF_TOKEN do this") as refused:
        target.upload(*release(tmp_path / "release"))
    assert "hf_wrong" not in str(refused.value)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(HubError, match="HF_TOKEN is not set"):
        target.listing()


@pytest.mark.parametrize("token", ["hf_first\nhf_second", "hf_first hf_second", "hf_first\u00e4"])
def test_what_cannot_be_a_token_is_not_shown(
    hub: ImitationHub, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], token: str
) -> None:
    """Clients would refuse it as a header, and quote it; a line end that was pasted with a token does no harm."""
    hub.create(REPO)
    monkeypatch.setenv("HF_TOKEN", token)

    with pytest.raises(HubError, match="HF_TOKEN holds characters that no token has") as refused:
        repository(hub).listing()

    assert "hf_first" not in "".join([*traceback.format_exception(refused.value), *capfd.readouterr()])
    assert hub.requests == []
    monkeypatch.setenv("HF_TOKEN", f"{TOKEN}\n")
    assert set(repository(hub).listing()) == {".gitattributes"}


@pytest.mark.parametrize("cause", [None, ValueError(f"bad header: Bearer {TOKEN}")])
def test_a_message_that_quotes_the_token_is_told_without_it(
    monkeypatch: pytest.MonkeyPatch, cause: ValueError | None
) -> None:
    """Nor does its traceback show it; one that does not quote it keeps its cause."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    said = "Error while uploading" if cause else f"bad header: Bearer {TOKEN}"

    with pytest.raises(HubError) as told, telling(lambda: "stopped: "):
        raise RuntimeError(said) from cause

    assert "bad header: Bearer ***" in str(told.value)
    assert TOKEN not in "".join(traceback.format_exception(told.value))
    with pytest.raises(HubError) as other, telling(lambda: ""):
        raise ValueError("no secret")
    assert isinstance(other.value.__cause__, ValueError)


def test_offline_nothing_is_tried(hub: ImitationHub, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the message says which variable to unset."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE is set"):
        repository(hub).listing()


def test_staging_uses_no_path_of_the_manifest(hub: ImitationHub, tmp_path: Path) -> None:
    """A manifest that names a path outside of everything is refused before a file is opened."""
    _, manifest = release(tmp_path / "release")
    outside = replace(manifest.files[0], path="../../outside.md")
    folder = RemoteFolder({"../../outside.md": CARD}, Path(tempfile.gettempdir()))

    with pytest.raises(HubError, match="is no path that the Hub takes"):
        repository(hub).upload(folder, replace(manifest, files=(outside,)))
    assert folder.most_staged == 0


def test_the_imitation_commits_all_or_nothing(hub: ImitationHub) -> None:
    """It refuses an unknown parent, and large files that were never stored, as the Hub does."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError

    repo = hub.create(REPO)
    before = repo.head
    head = {"key": "header", "value": {"summary": "s"}}
    file = {"key": "file", "value": {"path": "a.txt", "content": "YQ==", "encoding": "base64"}}
    missing = {"key": "lfsFile", "value": {"path": "b.bin", "algo": "sha256", "oid": "1" * 64, "size": 1}}
    for lines in (
        [head, file, missing],
        [{"key": "header", "value": {"summary": "s", "parentCommit": "f" * 40}}, file],
        [head, file, {"key": "deletedFile", "value": {"path": "c"}}],
    ):
        api = HfApi(endpoint=hub.endpoint, token=TOKEN)
        with pytest.raises(HfHubHTTPError):
            _post(hub, api, lines)
    assert repo.head == before


def _post(hub: ImitationHub, api: Any, lines: list[Any]) -> None:
    from huggingface_hub.utils._http import get_session, hf_raise_for_status

    body = "\n".join(map(json.dumps, lines)).encode()
    url = f"{hub.endpoint}/api/datasets/{REPO}/commit/main"
    hf_raise_for_status(
        get_session().post(url, content=body, headers={"authorization": f"Bearer {api.token}"})
    )
