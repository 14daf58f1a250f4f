"""Tests of s1mm_assets.resources.release_bucket: a release on a real S3 server."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from pyarrow import fs as pafs

from s1mm_assets.cli.verify import in_bucket
from s1mm_assets.release import PublicationError, ReleaseSettings
from s1mm_assets.release.verify import verify
from s1mm_assets.resources.release_bucket import BucketFolder, BuildingFolder, ReleaseBucket
from s1mm_assets_tests.release.shards import Pieces, example, tree

pytestmark = pytest.mark.filterwarnings("default")  # moto and botocore warn of their own dependencies


@pytest.fixture(scope="module")
def pieces() -> Pieces:
    return example()


@pytest.fixture
def bucket(s3_uri: str, request: pytest.FixtureRequest) -> ReleaseBucket:
    """A prefix of one's own."""
    name = hashlib.sha256(request.node.name.encode()).hexdigest()[:12]
    return ReleaseBucket(path=s3_uri.replace("/data?", f"/{name}?"))


def content_of(bucket: ReleaseBucket) -> dict[str, bytes]:
    folder = bucket.published()
    return {path: folder.open(path).read() for path in folder.files()}


def publish(pieces: Pieces, bucket: Any, **settings: Any) -> Any:
    return pieces.publish(Path("unused"), target=bucket, settings=ReleaseSettings(**settings))


def test_a_bucket_holds_the_same_release_as_a_folder(
    pieces: Pieces, bucket: ReleaseBucket, tmp_path: Path
) -> None:
    """To the byte; it verifies, nothing is written on this machine, and a second publication does no work."""
    pieces.publish(tmp_path / "local", settings=ReleaseSettings(part_bytes=300))
    tmp_path.chmod(0o500)

    first = publish(pieces, bucket, part_bytes=300)

    assert content_of(bucket) == tree(tmp_path / "local")
    assert verify(bucket.published()) == []
    assert publish(pieces, bucket, part_bytes=300).n_written == 0
    assert content_of(bucket) == tree(tmp_path / "local")
    assert first.n_records == 9
    assert in_bucket(bucket.path).is_sound


def test_versions_take_turns(pieces: Pieces, bucket: ReleaseBucket) -> None:
    """The release before stands until the new one is whole; then it goes."""
    fewer = Pieces([])
    fewer.pieces, fewer._files = [each for each in pieces.pieces if each.source == "arxiv"], pieces._files
    for n, each in enumerate((pieces, fewer, pieces, fewer), start=1):
        publish(each, bucket)
        names = {path.split("/")[0] for path in bucket._folder("").files()}
        assert names == {"current.json", ("release-a", "release-b")[(n - 1) % 2]}
        assert json.loads(content_of(bucket)["manifest.json"])["version"] == n
        assert verify(bucket.published()) == []


class Stopping(ReleaseBucket):
    """A bucket whose writer dies while it writes the n-th file."""

    after: int

    @contextmanager
    def building(self) -> Iterator[Any]:
        with super().building() as folder:
            yield StoppingFolder(folder, self.after)


class StoppingFolder:
    def __init__(self, folder: BuildingFolder, after: int) -> None:
        self._folder, self._left = folder, after
        self.files, self.open, self.remove = folder.files, folder.open, folder.remove

    @contextmanager
    def create(self, path: str) -> Iterator[BinaryIO]:
        self._left -= 1
        with self._folder.create(path) as stream:
            if self._left < 0:
                stream.write(b"half")
                raise KeyboardInterrupt
            yield stream


@pytest.mark.parametrize("after", [1, 12])
def test_a_kill_leaves_the_release_before(pieces: Pieces, bucket: ReleaseBucket, after: int) -> None:
    """And the next publication goes on from the files that were finished."""
    fewer = Pieces([])
    fewer.pieces, fewer._files = [each for each in pieces.pieces if each.source == "local"], pieces._files
    publish(fewer, bucket)
    before = content_of(bucket)

    with pytest.raises(KeyboardInterrupt):
        publish(pieces, Stopping(path=bucket.path, after=after))
    assert content_of(bucket) == before

    done = publish(pieces, bucket)
    assert done.n_kept >= after // 2
    assert verify(bucket.published()) == []


@pytest.mark.parametrize("path", ["../x", "/etc/passwd", "a/../../x"])
def test_no_path_leaves_the_prefix(tmp_path: Path, path: str) -> None:
    """As in a local folder."""
    with pytest.raises(ValueError, match="leaves the release"):
        BucketFolder(pafs.LocalFileSystem(), str(tmp_path)).open(path)


def test_a_damaged_piece_leaves_the_release_before(pieces: Pieces, bucket: ReleaseBucket) -> None:
    """The error says which partition to make again."""
    publish(pieces, bucket)
    before = content_of(bucket)
    damaged = Pieces([])
    damaged.pieces = [each for each in pieces.pieces if each.source == "local"]
    damaged._files = {key: content[:-1] + b"?" for key, content in pieces._files.items()}

    with pytest.raises(PublicationError, match=r"materialize hf_release for local\|2023 again"):
        publish(damaged, bucket)
    assert content_of(bucket) == before
