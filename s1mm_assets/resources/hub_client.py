"""One dataset repository on the Hugging Face Hub, as huggingface_hub speaks to it: calls, retries, errors.

The token comes from the environment at the moment of a call; it is no field, and stands in no message.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from s1mm_assets.release.hub import Stored

if TYPE_CHECKING:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

TOKEN = "HF_TOKEN"  # noqa: S105 - the name of the variable
MAX_SMALL_BYTES = 256_000_000  # what is read into memory; a manifest of 100,000 files has about 30 MB
MAX_RETRY_AFTER_S = 3_600.0
STALE = 412

Result = TypeVar("Result")


class HubError(Exception):
    """The Hub cannot be used as it was asked to; the message says what to do."""


class StaleParentError(Exception):
    """Somebody else has committed since."""


class HubClient:
    """A dataset repository by its name."""

    def __init__(self, repo_id: str, endpoint: str, *, attempts: int, retry_wait_s: float) -> None:
        self.repo_id = repo_id
        self._endpoint = endpoint or None
        self._attempts = attempts
        self._retry_wait_s = retry_wait_s
        self._named: dict[str, Any] = {"repo_id": repo_id, "repo_type": "dataset"}

    def head(self) -> str | None:
        """Return the newest commit; None where there is no repository, or none that the token may see."""
        from huggingface_hub.errors import RepositoryNotFoundError

        try:
            return str(self._patiently(lambda api: api.repo_info(**self._named)).sha)
        except RepositoryNotFoundError:
            return None

    def create(self, *, is_private: bool) -> None:
        """Make the repository, unless it is there."""
        self._patiently(lambda api: api.create_repo(**self._named, private=is_private, exist_ok=True))

    def listing(self, revision: str) -> dict[str, Stored]:
        """Return every file of a commit, a branch or a tag."""
        from huggingface_hub.hf_api import RepoFile

        found = self._patiently(
            lambda api: list(api.list_repo_tree(**self._named, recursive=True, revision=revision))
        )
        return {each.path: stored_as(each) for each in found if isinstance(each, RepoFile)}

    def read(self, path: str, revision: str) -> bytes:
        """Return the content of a small file.

        Raises:
            HubError: It is not there, or larger than what is read into memory.
        """
        about = self._patiently(
            lambda api: api.get_paths_info(**self._named, paths=[path], revision=revision)
        )
        if not about:
            raise HubError(f"{self.repo_id} has no {path}")
        if getattr(about[0], "size", MAX_SMALL_BYTES + 1) > MAX_SMALL_BYTES:
            raise HubError(f"{path} of {self.repo_id} has more than {MAX_SMALL_BYTES:,} bytes")
        with tempfile.TemporaryDirectory() as folder:
            file = self._patiently(
                lambda api: api.hf_hub_download(
                    **self._named, filename=path, revision=revision, local_dir=folder
                )
            )
            return Path(file).read_bytes()

    def send(self, additions: "Sequence[CommitOperationAdd]") -> None:
        """Send the content of large files ahead of their commit; huggingface_hub and hf_xet retry by themselves."""
        with speaking() as api_of:
            api_of(self._endpoint).preupload_lfs_files(self.repo_id, additions, repo_type="dataset")

    def commit(
        self,
        operations: "Sequence[CommitOperationAdd | CommitOperationDelete]",
        *,
        parent: str,
        message: str,
    ) -> str:
        """Commit what was sent, small files and deletions; return the new commit.

        Raises:
            StaleParentError: `parent` is not the newest commit any more; also where an answer was lost and the
                commit had been made.
        """
        from huggingface_hub.errors import HfHubHTTPError

        try:
            made = self._patiently(
                lambda api: api.create_commit(
                    **self._named, operations=operations, commit_message=message, parent_commit=parent
                )
            )
        except HfHubHTTPError as error:
            if error.response.status_code == STALE:
                raise StaleParentError(str(error)) from error
            raise
        return str(made.oid)

    def tags(self) -> Mapping[str, str]:
        """Return the commits that tags name."""
        found = self._patiently(lambda api: api.list_repo_refs(**self._named))
        return {tag.name: tag.target_commit for tag in found.tags}

    def tag(self, name: str, revision: str) -> None:
        """Name a commit; nothing happens where the name is taken."""
        self._patiently(lambda api: api.create_tag(**self._named, tag=name, revision=revision, exist_ok=True))

    def _patiently(self, call: "Callable[[HfApi], Result]") -> Result:
        """Make a call, again where the Hub is busy or out of order."""
        import stamina

        with speaking() as api_of:
            for attempt in stamina.retry_context(
                on=wait_before_retry,
                attempts=self._attempts,
                timeout=None,
                wait_initial=self._retry_wait_s,
                wait_max=max(self._retry_wait_s, 60.0),
                wait_jitter=self._retry_wait_s,
            ):
                with attempt:
                    return call(api_of(self._endpoint))
        raise AssertionError("unreachable: the last attempt raises")  # pragma: no cover


def stored_as(file: Any) -> Stored:
    """Return a `RepoFile` as the rules of publication see it."""
    if file.lfs is None:
        return Stored(n_bytes=file.size, git_blob=file.blob_id)
    return Stored(n_bytes=file.size, sha256=file.lfs.sha256, xet=file.xet_hash)


def wait_before_retry(error: Exception) -> bool | float:
    """Say whether a call is worth repeating; a number is how many seconds the Hub wants to be left alone."""
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    if isinstance(error, HfHubHTTPError):
        status = error.response.status_code
        if status != httpx2.codes.TOO_MANY_REQUESTS and not error.response.is_server_error:
            return False
        asked_s = seconds_to_wait(error.response.headers)
        return True if asked_s is None else min(asked_s, MAX_RETRY_AFTER_S)
    return isinstance(error, httpx2.TransportError)


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """Return what Retry-After, or else the Hub's own `ratelimit` header, asks for."""
    from huggingface_hub.utils import parse_ratelimit_headers  # type: ignore[attr-defined]  # not in __all__

    retry_after = headers.get("Retry-After", "")
    if retry_after.isdigit():
        return float(retry_after)
    limit = parse_ratelimit_headers(headers)
    return float(limit.reset_in_seconds) if limit is not None and limit.remaining == 0 else None


@contextmanager
def speaking() -> "Iterator[Callable[[str | None], HfApi]]":
    """Lend a way to the Hub, without progress bars.

    Raises:
        HubError: There is no token, or none that could be one; or the network is turned off.
    """
    from huggingface_hub import HfApi, constants
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    token = token_of_environment()
    if not token:
        raise HubError(
            f"{TOKEN} is not set: give a token that may write to the repository in the environment"
        )
    if not re.fullmatch(r"[!-~]+", token):  # clients refuse such a header, and quote it
        raise HubError(f"{TOKEN} holds characters that no token has: paste it again, on one line")
    if constants.HF_HUB_OFFLINE:
        raise HubError("HF_HUB_OFFLINE is set, so nothing can be sent: unset it")
    had_bars = not are_progress_bars_disabled()
    if had_bars:
        disable_progress_bars()
    try:
        yield lambda endpoint: HfApi(endpoint=endpoint, token=token, library_name="s1mm-assets")
    finally:
        if had_bars:
            enable_progress_bars()


@contextmanager
def telling(prefix: Callable[[], str]) -> Iterator[None]:
    """Turn errors of the Hub, the network and the disk into one that says what they mean.

    Args:
        prefix: What the message begins with, asked for when there is an error.

    Raises:
        HubError: There was one.
    """
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield
    except (HfHubHTTPError, httpx2.HTTPError, OSError, RuntimeError, ValueError) as error:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
        hint = f"The Hub does not let the token in {TOKEN} do this. " if status in {401, 403} else ""
        # A traceback shows the causes' messages as they are.
        cause = None if any(masked(said) != said for said in causes(error)) else error
        raise HubError(masked(f"{prefix()}{hint}{told(error)}")) from cause


def token_of_environment() -> str:
    """Return the token; empty where there is none."""
    return os.environ.get(TOKEN, "").strip()


def masked(text: str) -> str:
    """Return a text with *** for the token, as it is and as `repr` writes it."""
    token = token_of_environment()
    for written in {token, repr(token)[1:-1]} - {""}:
        text = text.replace(written, "***")
    return text


def causes(error: BaseException | None) -> Iterator[str]:
    """Yield what an error and those that led to it say."""
    seen: set[int] = set()
    waiting = [error]
    while waiting:
        each = waiting.pop()
        if each is not None and id(each) not in seen:
            seen.add(id(each))
            yield f"{each} {each!r}"
            waiting += [each.__cause__, each.__context__]


def told(error: Exception) -> str:
    """Return what an error says on one line; of a file's upload huggingface_hub tells the reason in the cause only."""
    cause = error.__cause__ if isinstance(error, RuntimeError) else None
    said = f"{type(error).__name__}: {error}" + ("" if cause is None else f" {type(cause).__name__}: {cause}")
    return " ".join(said.split())
