"""The verification of a release by many processes, which a kill does not send back to its start.

Each task's outcome is kept in a state folder until the verification has come to its end:

    <state>/<digest of folder, manifest and mode>/
        progress                 8 bytes per task: how many of its bytes were read
        <task>.json              what reading a task came to, and which files it was
        <task>.parquet           what is to be joined

A task is not done again while its files are the ones that they were, by length, inode and times of change, and its
table is the one that was written: a power loss may leave any file empty.
"""

import fcntl
import hashlib
import json
import os
import shutil
import struct
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import BinaryIO, Protocol

from s1mm_assets.release.contents import Reading, Task, read
from s1mm_assets.release.hub import Stored
from s1mm_assets.release.manifest import NAME
from s1mm_assets.release.problems import Problem, Problems
from s1mm_assets.release.verify import Plan, check_remote, conclude, plan, table_of
from s1mm_assets.resources.file_digests import PIPE_BYTES, hash_and_close
from s1mm_assets.resources.release_folder import LocalFolder, is_locked
from s1mm_assets.resources.worker_pool import WorkerPool
from s1mm_assets.stages import Failed

VERSION = 2  # of what is kept in the state folder
COUNTER = struct.Struct("<Q")
MAX_DEPTH = 12  # of folders: a release has four, what a download leaves beside it some more
POLL_S = 0.5  # between looks at how far the workers are
NO_LIMIT_S = 1_000_000  # an archive may take hours; memory is limited, and so is what it may unpack to
WORKER_MIB = 1536


class VerificationError(Exception):
    """The release cannot be verified now; the message says why."""


class Repository(Protocol):
    """A repository on the Hub, as verification needs it."""

    def listing(self, revision: str = "main") -> Mapping[str, Stored]:
        """Every file that it holds."""

    def open_small(self, path: str, revision: str = "main") -> BinaryIO:
        """Open a file that fits into memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a verification is."""

    n_files: int
    n_files_done: int
    n_bytes: int
    n_bytes_done: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Verification:
    """What a verification came to."""

    problems: tuple[Problem, ...]
    notes: tuple[str, ...] = ()  # what could not be checked, and why
    n_files: int = 0
    n_bytes: int = 0
    n_resumed: int = 0  # files that an interrupted verification had read

    @property
    def is_sound(self) -> bool:
        """Whether nothing is wrong with what was checked."""
        return not self.problems


@dataclass(frozen=True, kw_only=True)
class ReleaseVerifier:
    """Verifies releases.

    Args:
        n_workers: Processes; 0: as many as there are cores and memory for.
        state: Where outcomes are kept until the end; None: below XDG_CACHE_HOME.
        show: Is told every now and then how far it is, from another thread.
    """

    n_workers: int = 0
    state: Path | None = None
    show: Callable[[Progress], None] = lambda progress: None
    pool: WorkerPool = field(init=False)

    def __post_init__(self) -> None:
        """Describe the workers; they start when there is work."""
        pool = WorkerPool(
            n_workers=self.n_workers,
            cpu_limit_s=NO_LIMIT_S,
            wall_limit_s=NO_LIMIT_S,
            memory_limit_mib=WORKER_MIB,
        )
        object.__setattr__(self, "pool", pool)

    def verify_folder(self, root: Path, *, bytes_only: bool = False) -> Verification:
        """Verify a local folder, or a checkout with pointers.

        Raises:
            VerificationError: It is being verified by another process.
            OSError: The state folder cannot be used.
        """
        root = root.absolute()
        problems = Problems()
        files = files_below(root, problems)
        made = plan(files, LocalFolder(root).open, problems, bytes_only=bytes_only)
        if made is None:
            return Verification(problems=tuple(problems.listed()))
        with state_of(self.state or default_state(), root, bytes_only=bytes_only) as state:
            readings, n_resumed = self._read(
                made, Reader(str(root), str(state), with_xet=not bytes_only), problems
            )
            found = conclude(made, readings, state, problems)
            shutil.rmtree(state)
        return Verification(
            problems=tuple(found),
            notes=notes_on(made),
            n_files=len(made.manifest.files),
            n_bytes=sum(task.n_bytes for task in made.tasks),
            n_resumed=n_resumed,
        )

    def verify_repository(self, repository: Repository, revision: str = "main") -> Verification:
        """Verify a repository by what it says of its files."""
        problems = Problems()
        stored = repository.listing(revision)
        manifest = check_remote(stored, lambda path: repository.open_small(path, revision), problems)
        return Verification(
            problems=tuple(problems.listed()),
            notes=("joins were not checked: that needs the files themselves",),
            n_files=len(manifest.files) if manifest else 0,
            n_bytes=sum(file.n_bytes for file in stored.values()),
        )

    def _read(self, made: Plan, reader: "Reader", problems: Problems) -> tuple[dict[str, Reading], int]:
        """Read every task that was not read before; return all readings, and how many files need not be read."""
        counters = Counters(Path(reader.state) / "progress", made.tasks)
        readings: dict[str, Reading] = {}
        n_resumed = 0
        with counters, counters.shown(self.show):
            for tasks in (made.first, lambda: made.second(readings)):
                left = []
                for task in tasks():
                    if (kept := reader.kept(task)) is None:
                        left.append(task)
                        continue
                    readings[task.name] = kept
                    counters.set(counters.numbers[task.name], task.n_bytes)
                    n_resumed += len(task.paths)
                numbered = [(counters.numbers[task.name], task) for task in left]
                for task, reading in zip(left, self.pool.map(reader, numbered, what="files"), strict=True):
                    readings[task.name] = settled(task, reading, problems)
        return readings, n_resumed


def settled(task: Task, reading: Reading | Failed, problems: Problems) -> Reading:
    """Return what reading a task came to, also where it brought its process down."""
    if isinstance(reading, Reading):
        return reading
    problems.add("unreadable", task.name, f"{reading.rejection}: {reading.evidence}")
    return Reading(name=task.name, n_rows=None)


def files_below(root: Path, problems: Problems) -> dict[str, int]:
    """Return path and length of every file, following no link out of the folder; such links are problems."""
    found: dict[str, int] = {}
    real = root.resolve()
    folders = [(root, "")] if root.is_dir() else []
    while folders:
        folder, prefix = folders.pop()
        for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
            path = prefix + entry.name
            if entry.is_symlink() and not leads_to_file_in(Path(entry.path), real):
                detail = (
                    "is a link that leads out of the release, or to no file: copy what it leads to instead"
                )
                problems.add("link", path, detail)
            elif entry.is_file():
                found[path] = entry.stat().st_size
            elif entry.is_dir(follow_symlinks=False):
                if path.count("/") < MAX_DEPTH:
                    folders.append((Path(entry.path), f"{path}/"))
                else:
                    problems.add(
                        "extra", path, "is a folder deeper than any of a release: it is not looked into"
                    )
    return found


def leads_to_file_in(link: Path, root: Path) -> bool:
    """Whether a link leads to a file below a folder."""
    try:
        target = link.resolve(strict=True)
    except (OSError, RuntimeError):
        return False
    return target.is_relative_to(root) and target.is_file()


def notes_on(made: Plan) -> tuple[str, ...]:
    """Say what could not be checked."""
    if not made.pointers:
        return ()
    return (
        f"{len(made.pointers):,} files are git-LFS pointers, such as {made.pointers[0]}: their digests and lengths "
        "were compared, their content and its joins were not (`git lfs pull` fetches it)",
    )


def default_state() -> Path:
    """Return where state is kept unless told otherwise."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "s1mm" / "verify"


@contextmanager
def state_of(states: Path, root: Path, *, bytes_only: bool) -> Iterator[Path]:
    """Lend the state folder of one release and mode, as an interrupted verification has left it.

    Raises:
        VerificationError: Another process has it.
    """
    manifest = hashlib.sha256((root / NAME).read_bytes()).hexdigest()
    key = json.dumps([VERSION, str(root), manifest, bytes_only])
    state = states / hashlib.sha256(key.encode()).hexdigest()[:32]
    state.mkdir(parents=True, exist_ok=True)
    handle = os.open(state, os.O_RDONLY)
    try:
        if not is_locked(handle, state):
            raise VerificationError(f"{root} is being verified by another process")
        yield state
    finally:
        os.close(handle)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads one task of a local release and keeps what that came to; works in any process."""

    root: str
    state: str
    with_xet: bool

    def __call__(self, numbered: tuple[int, Task]) -> Reading:
        """Read a task, given with its number."""
        number, task = numbered
        files = self._files(task)
        table = table_of(Path(self.state), task)
        partial = table.with_suffix(".partial") if table else None
        with Counter(Path(self.state) / "progress", number) as counter:
            reading = read(
                task,
                LocalFolder(Path(self.root)).open,
                partial,
                start_xet=PipedXet if self.with_xet else None,
                report=counter.add,
            )
        if table and partial:
            put(partial, table)
        outcome = self._outcome(task)
        unfinished = outcome.with_suffix(".unfinished")
        kept = {"files": files, "table": sha256_at(table), "reading": asdict(reading)}
        unfinished.write_text(json.dumps(kept))
        put(unfinished, outcome)
        return reading

    def kept(self, task: Task) -> Reading | None:
        """Return what reading a task came to before, where it is still the same."""
        try:
            outcome = json.loads(self._outcome(task).read_text())
            if outcome["files"] != self._files(task):
                return None
            if outcome["table"] != sha256_at(table_of(Path(self.state), task)):
                return None
            kept = outcome["reading"]
            problems = tuple(Problem(**each) for each in kept.pop("problems"))
            return Reading(**kept, problems=problems)
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _outcome(self, task: Task) -> Path:
        return Path(self.state) / f"{hashlib.sha256(task.name.encode()).hexdigest()[:32]}.json"

    def _files(self, task: Task) -> list[list[str | int]]:
        """Return what tells a task's files from others of their names, and what it was told of them."""
        stats = [(Path(self.root) / path).stat() for path in task.paths]
        return [
            [path, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, task.n_image_bytes]
            for path, stat in zip(task.paths, stats, strict=True)
        ]


def put(unfinished: Path, file: Path) -> None:
    """Give a finished file its name, when its bytes are on the disk."""
    with unfinished.open("rb") as stream:
        os.fsync(stream.fileno())
    unfinished.replace(file)


def sha256_at(file: Path | None) -> str | None:
    """Return the digest of a file, None of none.

    Raises:
        OSError: It cannot be read.
    """
    if file is None:
        return None
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


class PipedXet:
    """The Xet hash of a local file while someone else reads it: `contents.XetHash`.

    hf_xet hashes what has a path, in a thread of its own. The end of a pipe has one, and the kernel puts into the pipe
    what was just read, without copying it: each byte comes from the disk once.
    """

    def __init__(self, stream: BinaryIO) -> None:
        self._file = stream.fileno()
        self._offset = 0
        read_end, self._write_end = os.pipe()
        with suppress(OSError):  # a smaller pipe does too
            fcntl.fcntl(self._write_end, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="xet")
        self._hash: Future[str] = self._threads.submit(hash_and_close, read_end)

    def update(self, data: memoryview) -> None:
        """Take in the next bytes, which the file still holds."""
        end = self._offset + len(data)
        with suppress(BrokenPipeError):  # `finish` then raises what ended the reader
            while self._offset < end:
                n = os.splice(self._file, self._write_end, end - self._offset, offset_src=self._offset)
                if not n:
                    raise OSError("the file became shorter while it was read")
                self._offset += n

    def finish(self) -> str:
        """Return the hash, hex; nothing may follow."""
        self._close_pipe()
        return self._hash.result()

    def close(self) -> None:
        """Give up the thread and the pipe."""
        self._close_pipe()
        self._threads.shutdown()

    def _close_pipe(self) -> None:
        if self._write_end >= 0:
            os.close(self._write_end)
        self._write_end = -1


class Counter:
    """How many bytes of one task were read, where the parent process sees it."""

    def __init__(self, file: Path, number: int) -> None:
        self._handle = os.open(file, os.O_WRONLY)
        self._offset = number * COUNTER.size
        self._n_bytes = 0

    def add(self, n_bytes: int) -> None:
        """Count some more."""
        self._n_bytes += n_bytes
        os.pwrite(self._handle, COUNTER.pack(self._n_bytes), self._offset)

    def __enter__(self) -> "Counter":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)


class Counters:
    """How many bytes of each task were read."""

    def __init__(self, file: Path, tasks: Sequence[Task]) -> None:
        file.write_bytes(bytes(COUNTER.size * len(tasks)))
        self._handle = os.open(file, os.O_RDWR)
        self._tasks = tasks
        self.numbers = {task.name: i for i, task in enumerate(tasks)}

    def set(self, number: int, n_bytes: int) -> None:
        """Say how many bytes of a task were read."""
        os.pwrite(self._handle, COUNTER.pack(n_bytes), number * COUNTER.size)

    def progress(self) -> Progress:
        """Return how far it is."""
        counted = COUNTER.iter_unpack(os.pread(self._handle, COUNTER.size * len(self._tasks), 0))
        done = [(task, n_bytes) for task, (n_bytes,) in zip(self._tasks, counted, strict=True)]
        return Progress(
            n_files=sum(len(task.paths) for task in self._tasks),
            n_files_done=sum(len(task.paths) for task, n_bytes in done if n_bytes >= task.n_bytes),
            n_bytes=sum(task.n_bytes for task in self._tasks),
            n_bytes_done=sum(min(n_bytes, task.n_bytes) for task, n_bytes in done),
        )

    @contextmanager
    def shown(self, show: Callable[[Progress], None]) -> Iterator[None]:
        """Show how far it is for as long as the context lasts."""
        is_over = threading.Event()

        def look() -> None:
            while not is_over.wait(POLL_S):
                show(self.progress())

        thread = threading.Thread(target=look, name="s1mm-verify-progress", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_over.set()
            thread.join()
            show(self.progress())

    def __enter__(self) -> "Counters":
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._handle)
