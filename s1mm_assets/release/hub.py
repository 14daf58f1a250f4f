"""What may be published on the Hugging Face Hub, and which files go there in which commit.

Rules alone: what the repository holds is handed in as it lists it, what is to be done is handed back.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from s1mm_assets.release.layout import (
    ATTRIBUTION,
    CHANGES,
    DATA,
    IMAGES,
    RECIPES,
    RECORDS,
    TOMBSTONES,
    WEBDATASET,
)
from s1mm_assets.release.manifest import NAME, Manifest, ManifestFile
from s1mm_assets.release.settings import ReleaseSettings

CONTEXT_ENGINE = "context"
DATA_PATHS = (RECORDS, IMAGES, DATA, WEBDATASET, RECIPES, TOMBSTONES, ATTRIBUTION, CHANGES)
"""What a release calls its data; a repository may hold other files, which are left alone."""
BESIDE_DATA = re.compile(r"README\.md|ATTRIBUTION\.md|croissant\.json|manifest\.json|pictures/[^/]+")
"""What else a release holds. What is called neither so nor as data is never deleted, whoever lists it."""

# https://huggingface.co/docs/hub/repositories-recommendations, and "< 200 GB per file"
MOST_FILES = 100_000  # in a repository
MOST_ENTRIES = 10_000  # in one of its folders
MOST_FILE_BYTES = 200_000_000_000
FORBIDDEN_NAMES = {"", ".", "..", ".git", ".cache"}  # huggingface_hub.utils.FORBIDDEN_FOLDERS, and git's own


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicationSettings:
    """What may go to the Hub although nobody would expect it there. It shapes no data."""

    allow_context_recaptions: bool = False  # composed of the paper's own sentences, written by no model
    allow_not_evaluated: bool = False  # scores that no record has
    allow_mixed_prompts: bool = False
    allow_mixed_models: bool = False  # engines, models or their revisions
    allow_mixed_versions: bool = False  # of the code that made the partitions
    allow_unlicensed: bool = False  # images whose licence does not let others pass them on

    def __post_init__(self) -> None:
        """Refuse what is neither yes nor no."""
        for each in fields(self):
            if not isinstance(getattr(self, each.name), bool):
                raise ValueError(f"{each.name} is true or false")


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """A file as a repository lists it."""

    n_bytes: int
    sha256: str | None = None  # of a large file; the others have only their name in git
    xet: str | None = None  # of a large file in Xet storage
    git_blob: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CommitLimits:
    """How much goes into one commit."""

    max_files: int = 50  # the Hub advises 50 to 100
    max_bytes: int = 100_000_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadPlan:
    """What a repository lacks, has too much, and has already."""

    commits: tuple[tuple[ManifestFile, ...], ...]  # of data, in order
    last: tuple[ManifestFile, ...]  # with the manifest, in the last commit
    is_manifest_sent: bool  # the last commit brings another manifest.json
    deletions: tuple[str, ...]  # in the last commit
    n_kept: int  # files that are there
    left_alone: tuple[str, ...]  # paths that are not of a release

    @property
    def files(self) -> list[ManifestFile]:
        """Every file that is sent but for the manifest."""
        return [file for commit in self.commits for file in commit] + list(self.last)

    @property
    def has_last(self) -> bool:
        """Whether there is a last commit."""
        return bool(self.last or self.deletions or self.is_manifest_sent)


def refusals(manifest: Manifest, settings: PublicationSettings) -> list[str]:
    """Return why a release may not be published; nothing where it may.

    Each reason says what there is, with counts of records where they are known, and which setting allows it.
    What the manifest does not say counts as a reason, which no setting allows.
    """
    dataset = manifest.dataset
    known = ("engines", "not_evaluated", "made_by", "licence_policy")
    found = [
        f"manifest.json does not say {key!r}: make the release again" for key in known if key not in dataset
    ]
    engines = [tuple(each) for each in dataset.get("engines", [])]
    for reason, setting in (
        (_context_recaptions(engines), "allow_context_recaptions"),
        (_not_evaluated(dataset), "allow_not_evaluated"),
        (_mixed("prompts", engines, slice(3, 4)), "allow_mixed_prompts"),
        (_mixed("models", engines, slice(0, 3)), "allow_mixed_models"),
        (_mixed_versions(dataset), "allow_mixed_versions"),
        (_unlicensed(dataset), "allow_unlicensed"),
    ):
        if reason and not getattr(settings, setting):
            found.append(f"{reason}: {setting} = true under [publication] allows it")
    return found


def _context_recaptions(engines: Iterable[Sequence[Any]]) -> str | None:
    n_records = sum(each[4] for each in engines if each[0] == CONTEXT_ENGINE)
    if not n_records:
        return None
    return f"{n_records:,} records have recaptions of the {CONTEXT_ENGINE} engine, which no model has written"


def _not_evaluated(dataset: Mapping[str, Any]) -> str | None:
    names = dataset.get("not_evaluated", [])
    return f"not evaluated: {', '.join(names)}" if names else None


def _mixed(what: str, engines: Iterable[Sequence[Any]], columns: slice) -> str | None:
    counts: Counter[str] = Counter()
    for each in engines:
        counts[" ".join(str(value) for value in each[columns] if value is not None)] += each[4]
    listed = [f"{name or 'unknown'} ({n:,} records)" for name, n in sorted(counts.items()) if n]
    return f"recaptions of {len(listed)} {what}: {', '.join(listed)}" if len(listed) > 1 else None


def _mixed_versions(dataset: Mapping[str, Any]) -> str | None:
    listed = [
        f"{asset} {', '.join(sorted(map(str, made['versions'])))}"
        for asset, made in sorted(dataset.get("made_by", {}).items())
        if len(set(made.get("versions", []))) > 1
    ]
    return f"partitions made by different versions of the code: {'; '.join(listed)}" if listed else None


def _unlicensed(dataset: Mapping[str, Any]) -> str | None:
    licences = ReleaseSettings(
        licence_policy=dataset.get("licence_policy", "all"),
        redistributable=dataset.get("redistributable", ()),
    )
    beyond = licences.beyond_redistribution()
    if not beyond:
        return None
    return f"images are released whose licence does not let others pass them on: {', '.join(beyond)}"


def version_conflict(manifest: Manifest, theirs: Manifest) -> str | None:
    """Say why a release may not follow the one that a repository holds; None where it may.

    It may where it is the same release or a later version of the same dataset: its history begins with theirs.
    """
    is_same = (theirs.version, theirs.made_from) == (manifest.version, manifest.made_from)
    if theirs.version >= manifest.version and not is_same:
        return (
            f"the repository holds version {theirs.version} with other content, this is version "
            f"{manifest.version}: set version under [release] to {theirs.version + 1} or more"
        )
    if manifest.history[: len(theirs.history)] != theirs.history:
        return (
            f"the repository holds another dataset, whose version {theirs.version} is not in the history of this "
            "one: publish to another repository, or rename that one"
        )
    return None


def plan_upload(
    manifest: Manifest,
    stored: Mapping[str, Stored],
    *,
    of_theirs: Iterable[str] | None,
    git_blobs: Mapping[str, str],
    limits: CommitLimits,
) -> UploadPlan:
    """Return what makes a repository hold a release.

    Data goes first, so that a repository that was left half-way still shows its old manifest and card. Deleted is
    only what their manifest lists and a release could have made.

    Args:
        manifest: Of the release.
        stored: What the repository holds.
        of_theirs: Paths in the manifest that the repository holds; None where it holds none.
        git_blobs: Names in git of those files of ours (manifest.json too) that may equal small files of theirs.
        limits: How much goes into one commit.

    Raises:
        ValueError: The repository holds data in a release's places, and no manifest says whose they are.
    """
    own = {file.path for file in manifest.files} | {NAME}
    sent = [
        file
        for file in sorted(manifest.files, key=lambda file: file.path)
        if not is_there(file, stored.get(file.path), git_blobs.get(file.path))
    ]
    others = sorted(set(stored) - own)
    listed = set(of_theirs or ())
    unlisted = [path for path in others if is_data(path) and path not in listed]
    if unlisted:
        lack = f"no {NAME}" if of_theirs is None else f"a {NAME} that does not list them"
        raise ValueError(
            f"the repository has {lack}, but {len(unlisted):,} files where a release has its data, such as "
            f"{unlisted[0]}: remove them, or publish to another repository"
        )
    surplus = tuple(path for path in others if path in listed and is_of_release(path))
    manifest_there = stored.get(NAME)
    return UploadPlan(
        commits=tuple(in_commits([file for file in sent if "/" in file.path], limits)),
        last=tuple(file for file in sent if "/" not in file.path),
        is_manifest_sent=manifest_there is None or not is_manifest_there(manifest, manifest_there),
        deletions=surplus,
        n_kept=len(manifest.files) - len(sent),
        left_alone=tuple(path for path in others if path not in surplus),
    )


def is_data(path: str) -> bool:
    """Whether a release calls its data so."""
    return any(pattern.fullmatch(path) for pattern in DATA_PATHS)


def is_of_release(path: str) -> bool:
    """Whether a release calls one of its files so, data or not."""
    return is_data(path) or BESIDE_DATA.fullmatch(path) is not None


def is_there(file: ManifestFile, stored: Stored | None, git_blob: str | None) -> bool:
    """Whether a repository holds a file as the manifest describes it.

    Args:
        file: The manifest's entry.
        stored: The repository's entry under the same path.
        git_blob: What git calls our content, where it is known.
    """
    if stored is None or stored.n_bytes != file.n_bytes:
        return False
    if stored.sha256 is None:
        return git_blob is not None and stored.git_blob == git_blob
    return stored.sha256 == file.sha256 and stored.xet in {None, file.xet}


def is_manifest_there(manifest: Manifest, stored: Stored) -> bool:
    """Whether a repository holds this manifest."""
    content = manifest.render()
    if stored.sha256 is not None:
        return stored.sha256 == hashlib.sha256(content).hexdigest()
    return stored.git_blob == git_blob_of(content)


def in_commits(files: Iterable[ManifestFile], limits: CommitLimits) -> list[tuple[ManifestFile, ...]]:
    """Part files into commits; one that is larger than a commit has a commit of its own."""
    commits: list[list[ManifestFile]] = []
    n_bytes = 0
    for file in files:
        is_full = commits and (
            len(commits[-1]) >= limits.max_files or n_bytes + file.n_bytes > limits.max_bytes
        )
        if is_full or not commits:
            commits.append([])
            n_bytes = 0
        commits[-1].append(file)
        n_bytes += file.n_bytes
    return [tuple(commit) for commit in commits]


def over_limits(manifest: Manifest, stored: Iterable[str]) -> list[str]:
    """Return what of a release the Hub would not take, beside what a repository holds; nothing where it takes all.

    What is to be deleted counts too, because it goes with the last commit.
    """
    paths = {file.path for file in manifest.files} | {NAME} | set(stored)
    found = []
    if len(paths) >= MOST_FILES:
        found.append(
            f"the repository would hold {len(paths):,} files, the Hub takes fewer than {MOST_FILES:,}: raise "
            "part_bytes under [release], or publish fewer sources in one repository"
        )
    children: dict[str, set[str]] = {}
    for path in paths:
        parts = path.split("/")
        for i, name in enumerate(parts):
            children.setdefault("/".join(parts[:i]), set()).add(name)
    found += [
        f"{folder or 'the root'} would hold {len(names):,} entries, the Hub takes fewer than {MOST_ENTRIES:,} in a "
        "folder: raise part_bytes under [release], or land larger chunks"
        for folder, names in sorted(children.items())
        if len(names) >= MOST_ENTRIES
    ]
    found += [
        f"{file.path!r} is no path that the Hub takes"
        for file in manifest.files
        if not FORBIDDEN_NAMES.isdisjoint(file.path.split("/"))
    ]
    found += [
        f"{file.path} has {file.n_bytes:,} bytes, the Hub takes fewer than {MOST_FILE_BYTES:,} in a file: lower "
        "part_bytes under [release]"
        for file in manifest.files
        if file.n_bytes >= MOST_FILE_BYTES
    ]
    return found


def differences(manifest: Manifest, stored: Mapping[str, Stored], git_blobs: Mapping[str, str]) -> list[str]:
    """Return in what a repository differs from a release; nothing where it holds it.

    Args:
        manifest: Of the release.
        stored: What the repository holds.
        git_blobs: What git calls those files of ours that the repository holds as small ones.
    """
    found = []
    for file in sorted(manifest.files, key=lambda file: file.path):
        there = stored.get(file.path)
        if there is None:
            found.append(f"{file.path} is missing")
        elif there.n_bytes != file.n_bytes:
            found.append(f"{file.path} has {there.n_bytes:,} bytes, not {file.n_bytes:,}")
        elif there.sha256 not in {None, file.sha256}:
            found.append(f"{file.path} has another SHA-256")
        elif there.xet not in {None, file.xet}:
            found.append(f"{file.path} has another Xet hash")
        elif not is_there(file, there, git_blobs.get(file.path)):
            found.append(f"{file.path} has other content")
    manifest_there = stored.get(NAME)
    if manifest_there is None:
        found.append(f"{NAME} is missing")
    elif not is_manifest_there(manifest, manifest_there):
        found.append(f"{NAME} has other content")
    extra = [path for path in stored if is_data(path)]
    listed = {file.path for file in manifest.files}
    return found + [f"{path} is not of this release" for path in sorted(set(extra) - listed)]


def changed_by_others(before: Mapping[str, Stored], after: Mapping[str, Stored]) -> set[str]:
    """Return the paths that two listings of a repository differ in."""
    return {path for path in set(before) | set(after) if before.get(path) != after.get(path)}


def git_blob_of(content: bytes) -> str:
    """Return what git calls a content: how the Hub identifies small files."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()  # noqa: S324
