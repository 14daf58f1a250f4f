"""The dataset repository on the Hugging Face Hub that releases are published in."""

import io
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

import dagster as dg

from s1mm_assets.release.folders import ReadableFolder
from s1mm_assets.release.hub import CommitLimits, PublicationSettings, Stored, refusals
from s1mm_assets.release.manifest import Manifest
from s1mm_assets.resources.hub_client import HubClient, HubError, telling
from s1mm_assets.resources.hub_upload import Upload, Uploaded

__all__ = ["HubError", "HubRepository", "Stored", "Uploaded"]


class HubRepository(dg.ConfigurableResource[Any]):
    """A dataset repository. The token is read from HF_TOKEN whenever the Hub is called."""

    repo_id: str  # "<user or organization>/<name>"
    endpoint: str = ""  # empty: huggingface.co, or HF_ENDPOINT
    private: bool = True  # a repository that is made; one that stands stays as it is
    max_commit_files: int = 50
    max_commit_bytes: int = 100_000_000_000
    max_staged_files: int = 2  # files on disk at once to be sent, where the release is not in a local folder
    staging_folder: str = ""  # where they are put; empty: the system's
    attempts: int = 6  # of a call that the Hub is too busy for
    retry_wait_s: float = 1.0  # before the second; doubles up to a minute, unless the Hub names a time

    def upload(
        self,
        release: ReadableFolder,
        manifest: Manifest,
        *,
        settings: PublicationSettings | None = None,
        report: Callable[[str], None] = lambda line: None,
        is_dry_run: bool = False,
    ) -> Uploaded:
        """Make the repository hold a release, verify that it does, and tag it `v<version>`.

        What is there is not sent again, so after a kill or an error the same call goes on. Nothing is committed
        before the content of every large file is sent: so long the repository shows the release before. The commits
        then follow each other at once, with README.md, manifest.json and the deletions in the last one. The Hub may
        drop content that nobody commits for a day; the same call sends it again.

        Args:
            release: The files that the manifest lists.
            manifest: Of the release.
            settings: What may be published although it is not as good as it should be; by default nothing.
            report: Receives a line per step; in a dry run, per file and deletion.
            is_dry_run: Say what would be done, and do nothing.

        Raises:
            HubError: The release may not be published, the Hub does not take it, somebody else publishes at the same
                time, the Hub is out of order for longer than the attempts last, or what it holds is not what was sent.
        """
        reasons = refusals(manifest, settings or PublicationSettings())
        if reasons:
            raise HubError("not published: " + "; ".join(reasons))
        upload = Upload(
            self._client(),
            release,
            manifest,
            limits=CommitLimits(max_files=self.max_commit_files, max_bytes=self.max_commit_bytes),
            max_staged_files=self.max_staged_files,
            staging_folder=self.staging_folder,
            report=report,
        )
        return upload.pretend() if is_dry_run else upload.run(is_private=self.private)

    def listing(self, revision: str = "main") -> Mapping[str, Stored]:
        """Return every file that the repository holds, with what the Hub says of it.

        Raises:
            HubError: There is no such repository or revision, or the Hub does not answer.
        """
        with telling(lambda: f"{self.repo_id} cannot be listed: "):
            return self._client().listing(revision)

    def open_small(self, path: str, revision: str = "main") -> BinaryIO:
        """Open a file that fits into memory, such as manifest.json.

        Raises:
            HubError: It is not there, or too large.
        """
        with telling(lambda: f"{path} of {self.repo_id} cannot be read: "):
            return io.BytesIO(self._client().read(path, revision))

    def _client(self) -> HubClient:
        return HubClient(self.repo_id, self.endpoint, attempts=self.attempts, retry_wait_s=self.retry_wait_s)
