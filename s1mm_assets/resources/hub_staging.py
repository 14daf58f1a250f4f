"""Files of a release as huggingface_hub takes them: by their path, or staged on disk where they have none."""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from s1mm_assets.release.folders import ReadableFolder
from s1mm_assets.release.manifest import ManifestFile
from s1mm_assets.resources.hub_client import HubError
from s1mm_assets.resources.release_folder import LocalFolder, is_locked

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd

STAGING = "s1mm-upload-"
CHUNK = 1 << 20


@contextmanager
def staging_folder(parent: str) -> Iterator[Path]:
    """Lend an empty folder, which is removed afterwards; those that killed uploads left behind are removed first.

    Args:
        parent: Where; empty: where the system has its temporary files.
    """
    place = Path(parent or tempfile.gettempdir())
    for left in place.glob(f"{STAGING}*"):
        with suppress(OSError):  # another user's, or gone
            remove_unlocked(left)
    with tempfile.TemporaryDirectory(prefix=STAGING, dir=place) as made:
        handle = os.open(made, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # ends with the process, however that ends
            yield Path(made)
        finally:
            os.close(handle)


def remove_unlocked(folder: Path) -> None:
    """Remove a folder of staged files unless an upload is using it."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        if is_locked(handle, folder):
            shutil.rmtree(folder)
    finally:
        os.close(handle)


def sent_at_once(
    release: ReadableFolder, files: Sequence[ManifestFile], max_staged_files: int
) -> Iterator[Sequence[ManifestFile]]:
    """Part files into those that are sent at once: all of a local folder, few of what has to be staged."""
    size = len(files) if isinstance(release, LocalFolder) else max_staged_files
    for start in range(0, len(files), max(size, 1)):
        yield files[start : start + size]


def addition(release: ReadableFolder, file: ManifestFile, staging: Path) -> "CommitOperationAdd":
    """Return the operation that adds a file to a repository; what is not local is copied to disk."""
    from huggingface_hub import CommitOperationAdd

    if isinstance(release, LocalFolder):
        return CommitOperationAdd(file.path, str(release.path(file.path)))
    # A name of our own: what a manifest calls a file says nothing of where it may be written.
    staged = staging / hashlib.sha256(file.path.encode()).hexdigest()
    with release.open(file.path) as source, staged.open("wb") as target:
        shutil.copyfileobj(source, target, CHUNK)
    return CommitOperationAdd(file.path, str(staged))


def require_as_listed(file: ManifestFile, sent: "CommitOperationAdd") -> None:
    """Compare what was sent with the manifest, before it is committed.

    Raises:
        HubError: The file has changed since the manifest was written.
    """
    if sent.upload_info.sha256.hex() != file.sha256:
        raise HubError(f"{file.path} is not what the manifest says, and was not committed: publish it again")


def remove_staged(staging: Path) -> None:
    """Remove what was staged: large files have been sent or committed, small ones are staged again to be committed."""
    for path in staging.iterdir():
        path.unlink()


def stage_small(
    release: ReadableFolder, file: ManifestFile, sent: "CommitOperationAdd", staging: Path
) -> None:
    """Put a file where its operation reads it from, if its content goes into the commit itself.

    Raises:
        HubError: The file has changed since the manifest was written.
    """
    # huggingface_hub keeps no content of what it has sent, but for the digest that the commit names.
    if sent.path_or_fileobj:
        require_as_listed(file, addition(release, file, staging))
