"""One upload of a release to the Hub: what is missing is sent, then committed, verified and tagged."""

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from s1mm_assets.release.folders import ReadableFolder
from s1mm_assets.release.hub import (
    CommitLimits,
    Stored,
    UploadPlan,
    changed_by_others,
    differences,
    git_blob_of,
    is_manifest_there,
    is_there,
    over_limits,
    plan_upload,
    version_conflict,
)
from s1mm_assets.release.manifest import NAME, Manifest, ManifestError, ManifestFile, load_manifest
from s1mm_assets.resources.hub_client import TOKEN, HubClient, HubError, StaleParentError, telling
from s1mm_assets.resources.hub_staging import (
    addition,
    remove_staged,
    require_as_listed,
    sent_at_once,
    stage_small,
    staging_folder,
)

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

MOST_STALE = 10  # commits by others that one commit of ours gives way to
MOST_NAMED = 20  # paths in one message
GIT_ATTRIBUTES = ".gitattributes"  # the Hub's own, in every repository
MAX_GIT_BYTES = 50_000_000  # the Hub keeps files up to 10 MB in git; larger ones are not read to compare


@dataclass(frozen=True, slots=True, kw_only=True)
class Uploaded:
    """What an upload came to, or would in a dry run."""

    repo_id: str
    version: int
    tag: str
    commit: str | None  # that holds the release; None in a dry run
    n_sent: int  # files, manifest.json with them
    n_bytes_sent: int
    n_kept: int  # files that the repository had
    n_deleted: int
    n_commits: int
    is_dry_run: bool


class Upload:
    """The state of one upload: what the repository is known to hold, and how far it has come."""

    def __init__(
        self,
        client: HubClient,
        release: ReadableFolder,
        manifest: Manifest,
        *,
        limits: CommitLimits,
        max_staged_files: int,
        staging_folder: str,
        report: Callable[[str], None],
    ) -> None:
        self._client = client
        self._release = release
        self._manifest = manifest
        self._limits = limits
        self._max_staged_files = max_staged_files
        self._staging_folder = staging_folder
        self._report = report
        self._files = {file.path: file for file in manifest.files}
        self._head: str | None = None
        self._stored: dict[str, Stored] = {}
        self._git_blobs: dict[str, str] = {}
        self._sent: dict[str, CommitOperationAdd] = {}  # fewer than the Hub's 100,000 files
        self._n_committed = 0
        self._n_commits = 0
        self._tag = f"v{manifest.version}"

    def pretend(self) -> Uploaded:
        """Say what would be sent and deleted."""
        with self._explaining():
            plan = self._plan()
        for i, files in enumerate(self._all_commits(plan)):
            self._report(
                f"commit {i + 1}: {len(files):,} files, {sum(file.n_bytes for file in files):,} bytes"
            )
            for file in files:
                self._report(f"send {file.path} ({file.n_bytes:,} bytes)")
        for path in plan.deletions:
            self._report(f"delete {path}")
        self._report_plan(plan)
        return self._uploaded(plan, commit=None)

    def run(self, *, is_private: bool) -> Uploaded:
        """Upload, verify and tag."""
        with self._explaining():
            plan = self._plan()
            self._report_plan(plan)
            if self._head is None:
                self._client.create(is_private=is_private)
                self._look()
            with staging_folder(self._staging_folder) as staging:
                for files in (*plan.commits, plan.last):
                    self._send(files, staging, n_all=len(plan.files))
                self._commit_all(plan, staging)
            self._look()
        self._verify()
        with self._explaining():
            self._put_tag()
        return self._uploaded(plan, commit=self._head)

    # Before anything is sent

    def _look(self) -> None:
        """Read what the repository holds now."""
        self._head = self._client.head()
        self._stored = {} if self._head is None else self._client.listing(self._head)

    def _plan(self) -> UploadPlan:
        self._look()
        problems = over_limits(self._manifest, self._stored) or self._not_in_release()
        if problems:
            raise HubError("nothing was sent: " + some_of(problems))
        theirs = self._their_manifest()
        self._require_version(theirs)
        try:
            return plan_upload(
                self._manifest,
                self._stored,
                of_theirs=None if theirs is None else [file.path for file in theirs.files],
                git_blobs=self._git_blobs_beside(self._stored),
                limits=self._limits,
            )
        except ValueError as error:
            raise HubError(f"nothing was sent: {error}") from error

    def _not_in_release(self) -> list[str]:
        lengths = self._release.files()
        return [
            f"{path} is not in the release with {file.n_bytes:,} bytes: publish the release again"
            for path, file in sorted(self._files.items())
            if lengths.get(path) != file.n_bytes
        ]

    def _their_manifest(self) -> Manifest | None:
        if NAME not in self._stored or self._head is None:
            return None
        try:
            return load_manifest(self._client.read(NAME, self._head))
        except ManifestError as error:
            raise HubError(
                f"{self._client.repo_id} holds a {NAME} that is not ours ({error}): remove it, or publish to another "
                "repository"
            ) from error

    def _require_version(self, theirs: Manifest | None) -> None:
        conflict = None if theirs is None else version_conflict(self._manifest, theirs)
        if conflict:
            raise HubError(f"nothing was sent: {conflict}")
        if self._head is None or self._tag not in self._client.tags():
            return
        if self._client.read(NAME, self._tag) != self._manifest.render():
            raise HubError(
                f"nothing was sent: the tag {self._tag} marks another release: set a higher version under [release]"
            )

    def _git_blobs_beside(self, stored: Mapping[str, Stored]) -> dict[str, str]:
        """Return git's names of those files of ours that the repository may hold as small ones."""
        for path, file in self._files.items():
            there = stored.get(path)
            is_small = there is not None and there.sha256 is None and there.n_bytes == file.n_bytes
            if is_small and path not in self._git_blobs and file.n_bytes <= MAX_GIT_BYTES:
                with self._release.open(path) as stream:
                    content = stream.read(file.n_bytes + 1)
                if hashlib.sha256(content).hexdigest() != file.sha256:
                    raise HubError(f"{path} is not what the manifest says: publish the release again")
                self._git_blobs[path] = git_blob_of(content)
        return self._git_blobs

    # Sending

    def _send(self, files: Sequence[ManifestFile], staging: Path, *, n_all: int) -> None:
        """Send the content of large files, and learn which files are small; nothing is committed."""
        for group in sent_at_once(self._release, files, self._max_staged_files):
            additions = [addition(self._release, file, staging) for file in group]
            self._client.send(additions)
            for file, sent in zip(group, additions, strict=True):
                require_as_listed(file, sent)
                self._sent[file.path] = sent
            remove_staged(staging)
            self._report(f"sent {len(self._sent):,} of {n_all:,} files")

    def _commit_all(self, plan: UploadPlan, staging: Path) -> None:
        """Commit what was sent; deletions and the manifest come with the last commit."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        for files in plan.commits:
            self._commit_files(files, staging, f"Data of version {self._manifest.version}")
        if plan.has_last:
            more: list[CommitOperationAdd | CommitOperationDelete] = []
            if plan.is_manifest_sent:
                more.append(CommitOperationAdd(NAME, self._manifest.render()))
            more += [CommitOperationDelete(path, is_folder=False) for path in plan.deletions]
            self._commit_files(plan.last, staging, f"Version {self._manifest.version}", more)

    def _commit_files(
        self,
        files: Sequence[ManifestFile],
        staging: Path,
        message: str,
        more: "Sequence[CommitOperationAdd | CommitOperationDelete]" = (),
    ) -> None:
        for file in files:
            stage_small(self._release, file, self._sent[file.path], staging)
        operations = [*(self._sent[file.path] for file in files), *more]
        self._commit(operations, message)
        remove_staged(staging)
        self._n_committed += len(files)
        self._n_commits += 1
        self._report(f"commit {self._n_commits}: {len(operations):,} files added, replaced or deleted")

    def _commit(
        self, operations: "Sequence[CommitOperationAdd | CommitOperationDelete]", message: str
    ) -> None:
        """Commit on top of what we know of; where others were faster, on top of theirs if it leaves ours alone."""
        for _ in range(MOST_STALE):
            if self._head is None:
                raise HubError(self._nowhere())
            try:
                self._head = self._client.commit(operations, parent=self._head, message=message)
                return
            except StaleParentError:
                self._catch_up([each.path_in_repo for each in operations])
            operations = [each for each in operations if not self._is_done(each)]
            if not operations:
                return
        raise HubError(f"others have committed to {self._client.repo_id} {MOST_STALE} times meanwhile")

    def _catch_up(self, paths: Iterable[str]) -> None:
        """Read what others have committed.

        Raises:
            HubError: They have changed something that the release has, or that is about to be deleted.
        """
        before = self._stored
        self._look()
        self._git_blobs_beside(self._stored)
        ours = {*self._files, NAME, *paths}
        changed = sorted(changed_by_others(before, self._stored) & ours)
        touched = [path for path in changed if path in self._stored and not self._is_ours(path)]
        touched += [path for path in changed if path not in self._stored and path in self._files]
        if touched:
            raise HubError(
                f"somebody else has changed {some_of(touched)} meanwhile: find out who publishes to "
                f"{self._client.repo_id}, then run it again"
            )

    def _is_ours(self, path: str) -> bool:
        """Whether the repository, as it was last looked at, holds what the release has under a path."""
        there = self._stored.get(path)
        if path == NAME:
            return there is not None and is_manifest_there(self._manifest, there)
        if path not in self._files:
            return False
        return is_there(self._files[path], there, self._git_blobs.get(path))

    def _is_done(self, operation: "CommitOperationAdd | CommitOperationDelete") -> bool:
        """Whether the repository is as an operation would make it: its answer was lost, or others have done it."""
        path = operation.path_in_repo
        if path in self._files or path == NAME:
            return self._is_ours(path)
        return path not in self._stored

    # After it

    def _verify(self) -> None:
        found = differences(self._manifest, self._stored, self._git_blobs_beside(self._stored))
        if found:
            raise HubError(
                f"{self._client.repo_id} does not hold what was sent: {some_of(found)}. Delete these files there, "
                "then run it again"
            )
        self._report(f"verified: {len(self._files) + 1:,} files as the manifest says")

    def _put_tag(self) -> None:
        if self._head is None:
            raise HubError(self._nowhere())
        if self._tag not in self._client.tags():
            self._client.tag(self._tag, self._head)
        if self._client.tags().get(self._tag) == self._head:
            return
        found = self._client.listing(self._tag)
        if differences(self._manifest, found, self._git_blobs_beside(found)):
            raise HubError(
                f"the release is uploaded, but the tag {self._tag} marks another one: set a higher version under "
                "[release], or remove the tag"
            )

    # Saying it

    def _nowhere(self) -> str:
        return f"{self._client.repo_id} is not there, or the token in {TOKEN} may not see it"

    def _explaining(self) -> AbstractContextManager[None]:
        """Let errors say how far the upload has come."""
        return telling(
            lambda: (
                f"{self._client.repo_id}: stopped after {len(self._sent):,} files were sent, {self._n_committed:,} of "
                f"them committed in {self._n_commits:,} commits; run it again to go on. "
            )
        )

    def _report_plan(self, plan: UploadPlan) -> None:
        done = self._uploaded(plan, commit=None)
        self._report(
            f"version {done.version} to {done.repo_id}: {done.n_sent:,} files with {done.n_bytes_sent:,} bytes to "
            f"send in {done.n_commits:,} commits, {done.n_kept:,} there already, {done.n_deleted:,} to delete"
        )
        if others := [path for path in plan.left_alone if path != GIT_ATTRIBUTES]:
            self._report(f"not of a release, left alone: {some_of(others)}")

    def _all_commits(self, plan: UploadPlan) -> list[tuple[ManifestFile, ...]]:
        """Return the commits with what would be in them, manifest.json too."""
        last = plan.last
        if plan.is_manifest_sent:
            last += (self._manifest_file(),)
        return [*plan.commits, last] if plan.has_last else list(plan.commits)

    def _manifest_file(self) -> ManifestFile:
        content = self._manifest.render()
        digest = hashlib.sha256(content).hexdigest()
        return ManifestFile(path=NAME, n_bytes=len(content), sha256=digest, xet="", n_rows=None)

    def _uploaded(self, plan: UploadPlan, *, commit: str | None) -> Uploaded:
        sent = [file for files in self._all_commits(plan) for file in files]
        return Uploaded(
            repo_id=self._client.repo_id,
            version=self._manifest.version,
            tag=self._tag,
            commit=commit,
            n_sent=len(sent),
            n_bytes_sent=sum(file.n_bytes for file in sent),
            n_kept=plan.n_kept + (not plan.is_manifest_sent),
            n_deleted=len(plan.deletions),
            n_commits=len(self._all_commits(plan)),
            is_dry_run=commit is None,
        )


def some_of(texts: Sequence[str]) -> str:
    """Join texts to a line, and say how many are left out."""
    more = f" and {len(texts) - MOST_NAMED:,} more" if len(texts) > MOST_NAMED else ""
    return "; ".join(texts[:MOST_NAMED]) + more
