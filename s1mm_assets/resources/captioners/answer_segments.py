"""How the answers of a shard lie in the store: the lines, the files, and which answer counts.

    <store>/answers/<source>/<year>/<shard>/<writer>-<n>.jsonl     an answer, or a tombstone, a line

A writer has files of its own: on a local store one, appended to and fsynced; on an object store whole segments.
"""

import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import get_type_hints

from pyarrow import fs as pafs

from s1mm_assets.resources.shard_store import ANSWERS, ShardStore

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedAnswer:
    """What a model answered to one request."""

    key: str  # SHA-256 of the whole request, hex
    figure_id: str
    text: str | None
    finish_reason: str | None
    n_prompt_tokens: int | None
    n_completion_tokens: int | None
    latency_s: float  # this and the next two are read beside the data, and are never part of it
    n_tries: int
    server: str


_FIELDS = {**get_type_hints(LoggedAnswer), "latency_s": float | int}  # 1 may be written for 1.0


@dataclass(frozen=True, slots=True)
class Tombstone:
    """What was answered for these figures so far no longer counts."""

    figure_ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a log."""

    stamp_ns: int
    writer: str  # in the file's name, not in the line
    content: LoggedAnswer | Tombstone

    def line(self) -> bytes:
        """Return the JSON line; ASCII, so that any text survives, half a surrogate pair too."""
        if isinstance(self.content, Tombstone):
            fields: dict[str, object] = {"forgotten": sorted(self.content.figure_ids)}
        else:
            fields = asdict(self.content)
        return json.dumps({"stamp_ns": self.stamp_ns, **fields}).encode("ascii") + b"\n"


def record_of(line: bytes, writer: str) -> Record | None:
    """Read a line back; None where it is damaged. Never raises."""
    try:
        value = json.loads(line)
        stamp_ns = value["stamp_ns"]
        content: LoggedAnswer | Tombstone
        if "forgotten" in value:
            content = Tombstone(frozenset(value["forgotten"]))
            is_sound = all(isinstance(figure_id, str) for figure_id in content.figure_ids)
        else:
            content = LoggedAnswer(**{name: value[name] for name in _FIELDS})
            is_sound = all(isinstance(value[name], kind) for name, kind in _FIELDS.items())
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return Record(stamp_ns, writer, content) if is_sound and isinstance(stamp_ns, int) else None


# --- which answer counts ---------------------------------------------------------------------------------------


def answers_that_count(records: Iterable[Record]) -> dict[str, LoggedAnswer]:
    """Return the answer that counts by key, whatever order the records come in."""
    answers: dict[str, LoggedAnswer] = {}
    for record in sorted(records, key=lambda record: (record.stamp_ns, record.writer)):
        take_up(answers, record.content)
    return answers


def take_up(answers: dict[str, LoggedAnswer], content: LoggedAnswer | Tombstone) -> int | None:
    """Change the answers that count by one record, the next in order; return how many a tombstone forgot."""
    if isinstance(content, LoggedAnswer):
        answers.setdefault(content.key, content)
        return None
    forgotten = [key for key, answer in answers.items() if answer.figure_id in content.figure_ids]
    for key in forgotten:
        del answers[key]
    return len(forgotten)


def times_forgotten(contents: Iterable[LoggedAnswer | Tombstone]) -> Counter[str]:
    """Return how many tombstones name each figure."""
    tombstones = (content for content in contents if isinstance(content, Tombstone))
    return Counter(figure_id for each in tombstones for figure_id in each.figure_ids)


# --- files -----------------------------------------------------------------------------------------------------


def folder_of(store: ShardStore, partition: str, shard: str) -> str:
    """The path in the store's file system of a shard's answers."""
    return store.path(ANSWERS, *partition.split("|"), shard)


@dataclass(frozen=True, slots=True)
class Segment:
    """What was read of one file."""

    n_bytes: int
    records: list[Record]
    n_damaged: int


def read_segments(
    store: ShardStore, folder: str, *, known: Mapping[str, Segment], but_of: str = ""
) -> dict[str, Segment]:
    """Read the files of a folder, but those of one writer and those known that have not grown; by path.

    Raises:
        OSError: The store cannot be read.
    """
    sizes = {
        info.path: info.size
        for info in store.fs.get_file_info(pafs.FileSelector(folder, allow_not_found=True))
        if info.extension == "jsonl" and writer_of(info.path) != but_of
    }
    paths = [path for path, size in sizes.items() if path not in known or known[path].n_bytes != size]
    with ThreadPoolExecutor(16) as threads:
        segments = dict(zip(paths, threads.map(partial(read_segment, store), paths), strict=True))
    n_damaged = sum(segment.n_damaged for segment in segments.values())
    if n_damaged:
        _log.warning("%s: %d damaged lines are skipped; what they answered is asked again", folder, n_damaged)
    return segments


def read_segment(store: ShardStore, path: str) -> Segment:
    """Read one file. A last line without its end, from a kill or a write under way, is no damage."""
    with store.fs.open_input_stream(path, compression=None) as stream:
        data = stream.read()
    *lines, tail = [record_of(line, writer_of(path)) for line in data.split(b"\n")]
    records = [record for record in [*lines, tail] if record]
    return Segment(len(data), records, n_damaged=lines.count(None))


def writer_of(path: str) -> str:
    """The writer that a file's name begins with."""
    return path.rpartition("/")[2].rpartition("-")[0]


class LocalFile:
    """A file that is appended to; what `write` has returned from is durable."""

    def __init__(self, root: Path, path: Path) -> None:
        self._root = root
        self._path = path
        self._descriptor: int | None = None

    def write(self, lines: bytes) -> None:
        """Append lines; the first make the file."""
        if self._descriptor is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
            self._sync_folders()
        left = memoryview(lines)
        while left:
            left = left[os.write(self._descriptor, left) :]
        os.fsync(self._descriptor)

    def _sync_folders(self) -> None:
        """Make the names durable, up to the root: others may have made a folder and not got that far."""
        for folder in self._path.parents:
            descriptor = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            if folder == self._root:
                break

    def close(self) -> None:
        """Close the file; nothing is left to write."""
        if self._descriptor is not None:
            os.close(self._descriptor)


class Objects:
    """Whole objects, numbered; what `write` has returned from is durable."""

    def __init__(self, fs: pafs.FileSystem, stem: str) -> None:
        self._fs = fs
        self._stem = stem
        self._n = 0

    def write(self, lines: bytes) -> None:
        """Put lines as an object."""
        with self._fs.open_output_stream(f"{self._stem}-{self._n}.jsonl") as stream:
            stream.write(lines)
        self._n += 1

    def close(self) -> None:
        """Nothing is open between writes."""
