"""Tests of s1mm_assets.resources.release_folder; its swaps are tested with publication."""

import fcntl
from pathlib import Path

import pytest

from s1mm_assets.resources.release_folder import LocalFolder, ReleaseFolder, ReleaseFolderError


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    """An error while it is written leaves what was there before."""
    folder = LocalFolder(tmp_path)
    with folder.create("a/b.txt") as stream:
        stream.write(b"first")
    with pytest.raises(TypeError), folder.create("a/b.txt") as stream:
        stream.write("not bytes")  # type: ignore[call-overload]

    with folder.open("a/b.txt") as stream:
        assert stream.read() == b"first"


@pytest.mark.parametrize("path", ["../x", "a/../../x", "/etc/passwd"])
def test_no_path_leaves_the_folder(tmp_path: Path, path: str) -> None:
    """Whether to read, to write or to remove."""
    folder = LocalFolder(tmp_path / "inside")

    for use in (folder.open, folder.remove, lambda path: folder.create(path).__enter__()):
        with pytest.raises(ValueError, match="leaves the release"):
            use(path)


def test_files_are_listed_with_their_lengths(tmp_path: Path) -> None:
    """In the order of their paths; a folder that is not there has none."""
    folder = LocalFolder(tmp_path / "folder")
    assert folder.files() == {}
    for path in ("b", "a/c/d", "a.x"):
        with folder.create(path) as stream:
            stream.write(path.encode())

    assert folder.files() == {"a.x": 3, "a/c/d": 5, "b": 1}


def test_an_empty_folder_goes_with_its_last_file(tmp_path: Path) -> None:
    """Removing the last file of a source removes the source."""
    folder = LocalFolder(tmp_path)
    for path in ("a/b/c", "a/d"):
        with folder.create(path) as stream:
            stream.write(b"")

    folder.remove("a/b/c")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a", "d"]
    folder.remove("a/d")
    assert list(tmp_path.iterdir()) == []


def test_there_is_one_writer_at_a_time(tmp_path: Path) -> None:
    """A second publication is refused while the first is at work, and let in afterwards."""
    release = ReleaseFolder(path=str(tmp_path / "release"))

    refused = pytest.raises(ReleaseFolderError, match="another process")
    with release.building(), refused, release.building():
        pass
    with release.building() as folder:
        assert folder.files() == {}


def test_a_folder_that_was_dropped_meanwhile_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The lock must be on the folder that stands, not on one that the last writer has just removed."""
    release = ReleaseFolder(path=str(tmp_path / "release"))
    monkeypatch.setattr(fcntl, "flock", lambda handle, how: release.discard_building())

    with pytest.raises(ReleaseFolderError, match="another process"), release.building():
        pass
