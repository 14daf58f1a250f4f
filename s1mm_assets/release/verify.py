"""Verification: is a release, wherever it was copied to, still whole, and do its parts join?

Each file is read once (`contents`), then what was remembered of them is joined (`joins`). Every defect is reported;
none raises. `verify` does it in this process; `resources.release_verifier` in many, resumably.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory

from s1mm_assets.release import joins
from s1mm_assets.release.contents import HEX, KINDS, TABLES, OpenFile, Reading, Task, read
from s1mm_assets.release.folders import ReadableFolder
from s1mm_assets.release.hub import Stored
from s1mm_assets.release.layout import IMAGES, RECORDS
from s1mm_assets.release.manifest import NAME, Manifest, ManifestError, ManifestFile, load_manifest
from s1mm_assets.release.pointers import MAX_BYTES, Pointer, pointer_in
from s1mm_assets.release.problems import MAX_LISTED, Problem, Problems
from s1mm_assets.release.settings import SHARED_ALIKE, ReleaseSettings

__all__ = ["MAX_LISTED", "Plan", "Problem", "Problems", "check_remote", "plan", "verify"]

MAX_MANIFEST_BYTES = 64 * 2**20
MAX_PATH_BYTES = 1024
MAX_SMALL_BYTES = 16 * 2**20  # of a file that is fetched because its listing has no digest of its content
IGNORED = (".cache/", ".git/", ".gitattributes")  # what a download from the Hub leaves beside the release
TEXTS = re.compile(r"[A-Za-z0-9_-]+(?:\.(?:md|json|txt|cff))?|pictures/[a-z0-9_]+\.png")
"""What a release may hold beside the files whose content is checked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What there is to read of a release."""

    manifest: Manifest
    tasks: tuple[Task, ...]
    pointers: tuple[str, ...]  # files whose content is not there, only what it should be

    def first(self) -> list[Task]:
        """Return the tasks that need to know nothing of others, the longest first."""
        return longest_first(task for task in self.tasks if task.kind != "images")

    def second(self, readings: Mapping[str, Reading]) -> list[Task]:
        """Return the archives, each with what its records say that it holds, the longest first."""
        return longest_first(
            replace(task, n_image_bytes=sum(self._image_bytes(task, readings)))
            for task in self.tasks
            if task.kind == "images"
        )

    def _image_bytes(self, archive: Task, readings: Mapping[str, Reading]) -> Iterable[int]:
        for task in self.tasks:
            if (task.kind, task.source) == ("records", archive.source) and archive.year in (None, task.year):
                yield readings[task.name].n_image_bytes


def longest_first(tasks: Iterable[Task]) -> list[Task]:
    """Return tasks in the order in which many workers finish them soonest."""
    return sorted(tasks, key=lambda task: (-task.n_bytes, task.name))


def verify(folder: ReadableFolder) -> list[Problem]:
    """Return every defect of a release; none means that it is as published, and that its parts join.

    Xet hashes are not compared: SHA-256 says the same of bytes that are at hand.

    Kinds: manifest, missing, truncated, changed, extra, link (files); stray (in the manifest, where nobody reads it);
    unreadable (a file that cannot be read to its end); record, recipe, tombstone, attribution, change, sample (a line
    or sample that is none); image_path (a name that no image has); duplicate_figure_id, duplicate_image_path;
    <what>_missing, _changed, _orphan, _twice (image, data, webdataset, attribution: against the records),
    <what>_withheld (there, though its licence keeps it back), text_given_away (in a recipe), tombstone_released,
    licence_not_allowed (by the policy in the manifest); rows (a file's against the manifest, and the manifest's own
    against its history).
    """
    problems = Problems()
    made = plan(folder.files(), folder.open, problems)
    if made is None:
        return problems.listed()
    readings: dict[str, Reading] = {}
    with TemporaryDirectory() as tables:
        for tasks in (made.first, lambda: made.second(readings)):
            for task in tasks():
                readings[task.name] = read(task, folder.open, table_of(Path(tables), task))
        return conclude(made, readings, Path(tables), problems)


def table_of(folder: Path, task: Task) -> Path | None:
    """Return where a task's table stands, None where it has none."""
    if task.kind not in TABLES:
        return None
    return folder / f"{hashlib.sha256(task.name.encode()).hexdigest()[:32]}.parquet"


def plan(
    files: Mapping[str, int], open_file: OpenFile, problems: Problems, *, bytes_only: bool = False
) -> Plan | None:
    """Compare the names of files with the manifest, and say what there is to read.

    Args:
        files: Path → length in bytes, of all files.
        open_file: Opens one of them.
        problems: Where defects go.
        bytes_only: Compare lengths and digests alone.

    Returns:
        None where there is no manifest to compare with.
    """
    present = {
        path: n_bytes for path, n_bytes in files.items() if not path.startswith(IGNORED) and path != ".git"
    }
    manifest = read_manifest(present, open_file, problems)
    if manifest is None:
        return None
    check_listed(manifest, problems)
    listed = {file.path: file for file in manifest.files}
    pointers = check_present(present, listed, open_file, problems)
    readable = [path for path in present if path != NAME and path not in pointers and is_safe(path)]
    if bytes_only:
        alone = set(readable)
    else:  # an archive is not to be read while one of its parts is a pointer
        alone = {path for path in readable if whole_of(path) in {whole_of(pointer) for pointer in pointers}}
    tasks = tasks_of(readable, present, listed, alone)
    return Plan(manifest=manifest, tasks=tuple(tasks), pointers=tuple(sorted(pointers)))


def read_manifest(present: Mapping[str, int], open_file: OpenFile, problems: Problems) -> Manifest | None:
    """Return the manifest without the entries that no release has, or None with a problem that says why not."""
    if NAME not in present:
        problems.add("manifest", NAME, "there is none: this is not a release, or not all of one")
        return None
    try:
        with open_file(NAME) as stream:
            content = stream.read(MAX_MANIFEST_BYTES + 1)
        return parsed_manifest(content, problems)
    except (OSError, OverflowError, ManifestError) as error:
        problems.add("manifest", NAME, str(error))
        return None


def parsed_manifest(content: bytes, problems: Problems) -> Manifest:
    """Return the manifest in a file's bytes, without the entries that no release has.

    Raises:
        ManifestError, OverflowError: There is none.
    """
    if len(content) > MAX_MANIFEST_BYTES:
        raise ManifestError(f"{NAME} is longer than {MAX_MANIFEST_BYTES:,} bytes")
    if pointer_in(content):
        raise ManifestError(f"{NAME} is a git-LFS pointer: `git lfs pull --include {NAME}` fetches it")
    manifest = load_manifest(content)
    files: dict[str, ManifestFile] = {}
    for file in manifest.files:
        if defect := defect_of(file, files):
            problems.add("manifest", NAME, f"{file.path[:MAX_PATH_BYTES]!r}: {defect}")
        else:
            files[name_of(file.path)] = file
    return replace(manifest, files=tuple(files.values()))


def defect_of(file: ManifestFile, before: Mapping[str, ManifestFile]) -> str | None:
    """Say what is wrong with an entry of the manifest, None where nothing is."""
    if not is_safe(file.path):
        return "is no path in a release"
    if twin := before.get(name_of(file.path)):
        return "is listed twice" if twin.path == file.path else f"is on some systems the file {twin.path!r}"
    if name_of(file.path) == NAME:
        return "lists itself"
    if file.n_bytes < 0 or (file.n_rows or 0) < 0:
        return "has a negative length"
    if not HEX.fullmatch(file.sha256) or not HEX.fullmatch(file.xet):
        return "has no digest"
    return None


def is_safe(path: str) -> bool:
    """Whether a path stays in the release and names one file on every system."""
    try:
        n_bytes = len(path.encode())
    except UnicodeEncodeError:
        return False
    is_plain = path.isprintable() and "\\" not in path
    return (
        is_plain
        and n_bytes <= MAX_PATH_BYTES
        and not any(
            part == "" or part.startswith(".") or part.endswith((".", " ")) for part in path.split("/")
        )
    )


def name_of(path: str) -> str:
    """Return what paths share that are one file where neither case nor the composition of letters tells them apart."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def check_listed(manifest: Manifest, problems: Problems) -> None:
    """Note what the manifest alone says is wrong: files that nobody reads, records that went with their files."""
    for file in manifest.files:
        if kind_of(whole_of(file.path))[0] == "bytes" and not TEXTS.fullmatch(file.path):
            problems.add("stray", file.path, "is in the manifest, and no file that a release has")
    n_listed = sum(file.n_rows or 0 for file in manifest.files if RECORDS.fullmatch(file.path))
    n_records = manifest.history[-1].n_records
    if n_listed != n_records:
        problems.add("rows", NAME, f"{n_listed:,} records in its files, {n_records:,} in its history")


def policy_of(manifest: Manifest, problems: Problems) -> ReleaseSettings | None:
    """Return what the manifest says of licences, None where it says nothing."""
    dataset = manifest.dataset
    if "licence_policy" not in dataset:
        return None
    listed = dataset.get("redistributable", SHARED_ALIKE)
    try:
        if not isinstance(listed, list | tuple) or not all(isinstance(each, str) for each in listed):
            raise ValueError("redistributable is no list of licences")
        return ReleaseSettings(licence_policy=dataset["licence_policy"], redistributable=tuple(listed))
    except ValueError as error:
        problems.add("manifest", NAME, str(error)[:MAX_PATH_BYTES])
        return None


def check_present(
    present: Mapping[str, int], listed: Mapping[str, ManifestFile], open_file: OpenFile, problems: Problems
) -> set[str]:
    """Compare which files there are; return those that are pointers to their content."""
    pointers = set()
    for path, file in listed.items():
        n_bytes = present.get(path)
        if n_bytes is None:
            problems.add("missing", path, f"{file.n_bytes:,} bytes are not there")
        elif n_bytes <= MAX_BYTES and (pointer := pointer_at(path, file, open_file)):
            pointers.add(path)
            check_pointer(file, pointer, problems)
    for path in sorted(set(present) - set(listed) - {NAME}):
        problems.add("extra", path, "is not in the manifest")
    return pointers


def pointer_at(path: str, file: ManifestFile, open_file: OpenFile) -> Pointer | None:
    """Return the pointer that stands in a file's place, None where there is none."""
    try:
        with open_file(path) as stream:
            content = stream.read(MAX_BYTES + 1)
    except OSError:
        return None  # reading it will say so
    return None if hashlib.sha256(content).hexdigest() == file.sha256 else pointer_in(content)


def check_pointer(file: ManifestFile, pointer: Pointer, problems: Problems) -> None:
    """Compare what a pointer names with the manifest."""
    if (pointer.sha256, pointer.n_bytes) != (file.sha256, file.n_bytes):
        detail = f"the pointer names {pointer.n_bytes:,} bytes of sha256 {pointer.sha256}"
        problems.add("changed", file.path, f"{detail}, the manifest {file.n_bytes:,} of {file.sha256}")


def tasks_of(
    paths: Iterable[str],
    present: Mapping[str, int],
    listed: Mapping[str, ManifestFile],
    alone: Collection[str],
) -> Iterator[Task]:
    """Yield what there is to read: every file, the parts of an archive as one.

    Args:
        paths: Of the files to read.
        present: Path → length in bytes.
        listed: Path → what the manifest says.
        alone: Files of which only length and digests are compared.
    """
    named = sorted((path if path in alone else whole_of(path), path) for path in paths)
    for name, group in groupby(named, key=lambda each: each[0]):
        own = tuple(path for _, path in group)
        kind, source, year = ("bytes", "", None) if name in alone else kind_of(name)
        yield Task(
            kind=kind,
            name=name,
            paths=own,
            listed=tuple(listed.get(path) for path in own),
            n_bytes=sum(present[path] for path in own),
            source=source,
            year=year,
        )


def whole_of(path: str) -> str:
    """Return the archive that a file is a part of, else the file."""
    match = IMAGES.fullmatch(path)
    return match["archive"] if match else path


def kind_of(name: str) -> tuple[str, str, int | None]:
    """Return what a file of a release is, and of which source and year."""
    for kind, pattern in KINDS.items():
        if match := pattern.fullmatch(name):
            groups = match.groupdict()
            year = groups.get("year")
            return kind, groups.get("source") or "", int(year) if year else None
    return "bytes", "", None


def check_remote(stored: Mapping[str, Stored], open_small: OpenFile, problems: Problems) -> Manifest | None:
    """Compare what a repository lists with its manifest, without reading content that the listing has digests of.

    Args:
        stored: Path → what the repository says of it.
        open_small: Opens a file of at most `MAX_SMALL_BYTES`.
        problems: Where defects go.

    Returns:
        The manifest, None where there is none.
    """
    present = {path: file.n_bytes for path, file in stored.items() if not path.startswith(IGNORED)}
    manifest = read_manifest(present, open_small, problems)
    if manifest is None:
        return None
    check_listed(manifest, problems)
    listed = {file.path: file for file in manifest.files}
    for path, file in listed.items():
        n_bytes = present.get(path)
        if n_bytes is None:
            problems.add("missing", path, f"{file.n_bytes:,} bytes are not there")
        elif n_bytes < file.n_bytes:
            problems.add("truncated", path, f"{n_bytes:,} of {file.n_bytes:,} bytes")
        elif n_bytes > file.n_bytes:
            problems.add("changed", path, f"{n_bytes:,} bytes, {file.n_bytes:,} in the manifest")
        else:
            check_stored(file, stored[path], open_small, problems)
    for path in sorted(set(present) - set(listed) - {NAME}):
        problems.add("extra", path, "is not in the manifest")
    return manifest


def check_stored(file: ManifestFile, stored: Stored, open_small: OpenFile, problems: Problems) -> None:
    """Compare one file of a repository, of the right length, with the manifest."""
    sha256 = stored.sha256
    if sha256 is None:  # a name in git says nothing that the manifest says too
        if file.n_bytes > MAX_SMALL_BYTES:
            problems.add(
                "unreadable", file.path, "the repository knows no digest of it, and it is too long to fetch"
            )
            return
        with open_small(file.path) as stream:
            sha256 = hashlib.sha256(stream.read(MAX_SMALL_BYTES + 1)).hexdigest()
    if sha256 != file.sha256:
        problems.add("changed", file.path, f"sha256 is {sha256}, {file.sha256} in the manifest")
    elif stored.xet not in (None, file.xet):
        problems.add("changed", file.path, f"Xet hash is {stored.xet}, {file.xet} in the manifest")


def conclude(made: Plan, readings: Mapping[str, Reading], tables: Path, problems: Problems) -> list[Problem]:
    """Join what was read, and return all problems."""
    found = []
    n_rows = {file.path: file.n_rows for file in made.manifest.files}
    unchecked = {kind_of(whole_of(path)) for path in made.pointers}
    for task in made.tasks:
        reading = readings[task.name]
        problems.take(reading.problems)
        expected, table = n_rows.get(task.name), table_of(tables, task)
        if reading.n_rows is None:
            unchecked.add((task.kind, task.source, task.year))  # nothing, unless its process was lost
        elif task.name in n_rows and reading.n_rows != expected:  # of an archive in parts none is listed
            problems.add("rows", task.name, f"{reading.n_rows:,} rows, {expected} in the manifest")
        if table and reading.n_rows is not None:
            found.append(
                joins.Table(
                    kind=task.kind, source=task.source, year=task.year, file=table, n_rows=reading.n_rows
                )
            )
    policy = policy_of(made.manifest, problems)
    joins.check(
        joins.Tables(found, frozenset(unchecked)), problems, policy.allows if policy is not None else None
    )
    return problems.listed()
