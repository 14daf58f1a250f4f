"""`s1mm verify`: what it prints, and its exit codes."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from s1mm_assets.cli import verify
from s1mm_assets.release.problems import Problem
from s1mm_assets.resources.release_verifier import Verification
from s1mm_assets_tests.release.shards import example

S1MM = Path(sys.executable).with_name("s1mm")
IMAGES = "arxiv/images_2023.tar.gz"


@pytest.fixture
def release(tmp_path: Path) -> Path:
    example().publish(tmp_path / "release")
    return tmp_path / "release"


def s1mm_verify(*arguments: str | Path, cache: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    env.pop("DAGSTER_HOME", None)
    return subprocess.run([S1MM, "verify", *arguments], env=env, capture_output=True, text=True, check=False)


def test_a_sound_release_is_said_to_be(release: Path, tmp_path: Path) -> None:
    """Exit code 0, one line, and nothing stays in the cache."""
    done = s1mm_verify(release, "--workers", "1", cache=tmp_path / "cache")

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip().startswith(f"{release}: sound (")
    assert list((tmp_path / "cache/s1mm/verify").iterdir()) == []


def test_what_is_wrong_is_said(release: Path, tmp_path: Path) -> None:
    """Exit code 1; the same for people and as JSON, in a state folder of one's choice."""
    content = bytearray((release / IMAGES).read_bytes())
    content[100] ^= 1
    (release / IMAGES).write_bytes(content)

    text = s1mm_verify(release, "--bytes-only", "--workers", "1", cache=tmp_path / "cache")
    data = s1mm_verify(
        *(release, "--json", "--bytes-only", "--state", tmp_path / "state"), cache=tmp_path / "other"
    )

    assert text.returncode == data.returncode == 1
    found = json.loads(data.stdout)
    assert found["is_sound"] is False
    assert [(each["kind"], each["path"]) for each in found["problems"]] == [("changed", IMAGES)]
    assert f"changed {IMAGES}: {found['problems'][0]['detail']}\n" in text.stdout
    assert f"{release}: 1 problem (" in text.stdout
    assert (tmp_path / "state").exists()
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere", "nowhere is not a folder: name the folder of a release, or hf://"),
        ("hf://models/a/b", "hf://models/a/b is not hf://datasets/<owner>/<name>"),
        ("hf://datasets/a/b/c", "is not hf://datasets/<owner>/<name>"),
    ],
)
def test_a_wrong_call_is_answered_in_a_line(tmp_path: Path, target: str, message: str) -> None:
    """Exit code 2, no traceback."""
    done = s1mm_verify(target, cache=tmp_path)

    assert done.returncode == 2, done.stdout + done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("target", "repo_id", "revision"),
    [
        ("hf://datasets/owner/name", "owner/name", None),
        ("hf://datasets/owner/name@v1", "owner/name", "v1"),
        ("hf://datasets/owner/na.me@refs/pr/1", "owner/na.me", "refs/pr/1"),
    ],
)
def test_a_repository_is_named_as_the_hub_names_it(target: str, repo_id: str, revision: str | None) -> None:
    """Owner, name, and a branch, tag or commit."""
    match = verify.HUB.fullmatch(target)

    assert match is not None
    assert (match["repo_id"], match["revision"]) == (repo_id, revision)


def test_names_do_nothing_to_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """Escape sequences and line breaks in a hostile release's names are shown, not obeyed."""
    problem = Problem(kind="extra", path="a\x1b[2J\n\udcff", detail="is not in the manifest")

    verify.show("x", Verification(problems=(problem,), notes=("note\r",)))

    printed = capsys.readouterr().out
    assert "extra a\\x1b[2J\\n\\udcff: is not in the manifest\n" in printed
    assert "note: note\\r\n" in printed
