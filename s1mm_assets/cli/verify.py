"""`s1mm verify`: is a release whole, wherever it is?"""

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rich.progress import (
    BarColumn,
    DownloadColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

from s1mm_assets.cli.terminal import LINE_INTERVAL_S, UsageError, err, out
from s1mm_assets.release.verify import verify
from s1mm_assets.resources.hub_repository import HubError, HubRepository
from s1mm_assets.resources.release_bucket import ReleaseBucket
from s1mm_assets.resources.release_verifier import Progress, ReleaseVerifier, Verification, VerificationError

HUB = re.compile(r"hf://datasets/(?P<repo_id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?/?", re.ASCII)
SCHEME = "hf://"


def check(target: str, *, bytes_only: bool, n_workers: int, state: Path | None, as_json: bool) -> int:
    """Verify a release and say what is wrong with it; return the exit code.

    Raises:
        UsageError: There is nothing to verify, or not now.
    """
    try:
        done = verified(target, bytes_only=bytes_only, n_workers=n_workers, state=state)
    except (HubError, VerificationError) as error:
        raise UsageError(str(error)) from error
    if as_json:
        sys.stdout.write(
            json.dumps({"release": target, "is_sound": done.is_sound, **asdict(done)}, indent=1) + "\n"
        )
    else:
        show(target, done)
    return 0 if done.is_sound else 1


def verified(target: str, *, bytes_only: bool, n_workers: int, state: Path | None) -> Verification:
    """Verify a folder or a repository."""
    if target.startswith(SCHEME):
        match = HUB.fullmatch(target)
        if match is None:
            raise UsageError(
                f"{target} is not hf://datasets/<owner>/<name> or hf://datasets/<owner>/<name>@<revision>"
            )
        repository = HubRepository(repo_id=match["repo_id"])
        return ReleaseVerifier().verify_repository(repository, match["revision"] or "main")
    if "://" in target:
        return in_bucket(target)
    root = Path(target)
    if not root.is_dir():
        raise UsageError(
            f"{target} is not a folder: name the folder of a release, or hf://datasets/<owner>/<name>, or an s3://…"
        )
    with progress_line() as told:
        verifier = ReleaseVerifier(n_workers=n_workers, state=state, show=told)
        return verifier.verify_folder(root, bytes_only=bytes_only)


def in_bucket(target: str) -> Verification:
    """Verify the release below a prefix of an object store, in this process."""
    published = ReleaseBucket(path=target).published()
    files = published.files()
    return Verification(
        problems=tuple(verify(published)),
        notes=("Xet hashes are compared only of a release in a local folder",),
        n_files=len(files),
        n_bytes=sum(files.values()),
    )


def show(target: str, done: Verification) -> None:
    """Print what is wrong, a line each, and what that comes to."""
    for problem in done.problems:
        line = f"{problem.kind} {problem.path}: {problem.detail}"
        out.print(printable(line), highlight=False, markup=False)
    for text in done.notes:
        out.print(printable(f"note: {text}"), highlight=False, markup=False)
    n = len(done.problems)
    verdict = "sound, as far as it was checked" if done.notes else "sound"
    if n:
        verdict = "1 problem" if n == 1 else f"{n:,} problems"
    size = f"{done.n_files:,} files, {done.n_bytes / 1e9:,.1f} GB"
    resumed = f", {done.n_resumed:,} of them read before" if done.n_resumed else ""
    out.print(f"{target}: {verdict} ({size}{resumed})", highlight=False, markup=False)


def printable(text: str) -> str:
    """Return a text that does nothing to a terminal: what is no plain character is escaped."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


@contextmanager
def progress_line() -> Iterator[Callable[[Progress], None]]:
    """Lend what shows how far a verification is, on stderr: a bar, or now and then a line where nobody looks."""
    columns = (
        *(TextColumn("verify {task.fields[files]}"), BarColumn(), DownloadColumn()),
        *(TransferSpeedColumn(), TimeRemainingColumn()),
    )
    with Bars(*columns, console=err, transient=True, disable=not err.is_terminal) as bars:
        bar = bars.add_task("verify", total=None, files="")
        next_line = time.monotonic() + LINE_INTERVAL_S

        def told(progress: Progress) -> None:
            nonlocal next_line
            files = f"{progress.n_files_done:,}/{progress.n_files:,} files"
            bars.update(bar, completed=progress.n_bytes_done, total=progress.n_bytes, files=files)
            if not err.is_terminal and time.monotonic() > next_line:
                gigabytes = f"{progress.n_bytes_done / 1e9:,.1f}/{progress.n_bytes / 1e9:,.1f} GB"
                err.print(f"verify: {files}, {gigabytes}", markup=False, highlight=False)
                next_line = time.monotonic() + LINE_INTERVAL_S

        yield told
