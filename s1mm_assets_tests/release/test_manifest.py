"""Tests of s1mm_assets.release.manifest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s1mm_assets.release.manifest import Edition, Manifest, ManifestError, ManifestFile, load_manifest

FILES = st.builds(
    ManifestFile,
    path=st.text(),
    n_bytes=st.integers(0, 2**60),
    sha256=st.text("0123456789abcdef"),
    xet=st.text("0123456789abcdef"),
    n_rows=st.none() | st.integers(0, 2**40),
)


@given(st.lists(FILES, unique_by=lambda file: file.path))
def test_a_manifest_survives_its_file(files: list[ManifestFile]) -> None:
    """Reading gives back what was written, in the order of the paths, whatever order they came in."""
    history = (Edition(version=1, n_records=3, n_added=3), Edition(version=4, n_records=2, n_removed=1))
    manifest = Manifest(made_from="0", dataset={"a": [1, "ä"]}, files=tuple(files), history=history)
    turned = Manifest(made_from="0", dataset={"a": [1, "ä"]}, files=tuple(reversed(files)), history=history)

    assert manifest.render() == turned.render()
    read = load_manifest(manifest.render())
    assert read.files == tuple(sorted(files, key=lambda file: file.path))
    assert (read.made_from, read.dataset) == (manifest.made_from, manifest.dataset)
    assert (read.version, read.history) == (4, history)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff",
        b'{"format": 2}',
        b'{"format": 1}',
        b'{"format": 1, "made_from": "", "dataset": {}, "files": [{"path": "a"}]}',
        b'{"format": 1, "made_from": "", "dataset": {}, "files": 3}',
        b'{"format": 1, "made_from": "", "dataset": {}, "files": [[]]}',
        b"[" * 100_000,
    ],
)
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    """Damage and other formats give the one error."""
    with pytest.raises(ManifestError, match=r"manifest\.json"):
        load_manifest(data)
