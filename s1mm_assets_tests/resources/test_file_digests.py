"""Tests of s1mm_assets.resources.file_digests."""

import hashlib
import random
from pathlib import Path

import hf_xet
import pytest

from s1mm_assets.resources.file_digests import digesting


@pytest.mark.parametrize("n_bytes", [0, 1, 65_537, 9_000_001])
def test_a_stream_has_the_digests_of_its_file(tmp_path: Path, n_bytes: int) -> None:
    """Whatever the sizes of what is written."""
    content = random.Random(n_bytes).randbytes(n_bytes)
    (tmp_path / "file").write_bytes(content)
    cuts = sorted(random.Random(1).choices(range(n_bytes + 1), k=5))

    with digesting() as digests:
        for start, end in zip([0, *cuts], [*cuts, n_bytes], strict=True):
            digests.update(content[start:end])
        sha256, xet = digests.finish()

    assert sha256 == hashlib.sha256(content).hexdigest()
    assert xet == hf_xet.hash_files([str(tmp_path / "file")])[0].hash


def test_an_error_on_the_way_ends_it() -> None:
    """No thread waits for more, and no handle stays open."""
    before = len(list(Path("/proc/self/fd").iterdir()))

    def fail() -> None:
        with digesting() as digests:
            digests.update(b"x" * 3_000_000)
            raise RuntimeError("half-way")

    with pytest.raises(RuntimeError, match="half-way"):
        fail()

    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 4  # what hf_xet's runtime keeps


def test_many_files_leave_nothing_open() -> None:
    """Thousands of files make one release."""

    def digest() -> int:
        with digesting() as digests:
            digests.update(b"abc")
            digests.finish()
        return len(list(Path("/proc/self/fd").iterdir()))

    first = digest()
    assert [digest() for _ in range(20)][-1] <= first
