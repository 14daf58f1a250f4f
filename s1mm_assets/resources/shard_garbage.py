"""Garbage: files of the shard store that no record names any more, and have not been named for a while.

What other runs are writing or reading at this moment must stay: so a file goes only when it, and the records
that could have named it until just now, are older than an age that people set. What models answered is never
garbage: no record names it, and GPU hours lie there. Nor is what people judged.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from pyarrow import fs as pafs

from s1mm_assets.resources.decided_partitions import VIEW
from s1mm_assets.resources.shard_store import ANSWERS, COMMIT, GALLERIES, JOURNAL, PARTITION, ShardStore
from s1mm_assets.resources.shards import load_commit, load_shard_set


@dataclass(frozen=True, slots=True)
class GarbageReport:
    """What was removed, or would be."""

    paths: tuple[str, ...]
    n_bytes: int


def collect(store: ShardStore, older_than_s: float = 86_400, *, is_dry_run: bool = False) -> GarbageReport:
    """Remove what no commit or partition record has named for the given time, in seconds."""
    limit = time.time() - older_than_s
    infos = store.fs.get_file_info(pafs.FileSelector(store.path(), recursive=True, allow_not_found=True))
    aside = (store.path(ANSWERS) + "/", store.path(GALLERIES) + "/", store.path(*VIEW))
    files = {
        info.path: info
        for info in infos
        if info.type == pafs.FileType.File and not info.path.startswith(aside)
    }
    removed = []
    for path in sorted(garbage(store, files, limit)):
        if not is_dry_run:
            if not is_untouched(store, files, path):
                continue
            store.fs.delete_file(path)
        removed.append(files[path])
    return GarbageReport(tuple(info.path for info in removed), sum(info.size for info in removed))


def garbage(store: ShardStore, files: Mapping[str, pafs.FileInfo], limit: float) -> Iterator[str]:
    """Yield the files that may go. A file's time alone says nothing: it may have been named until just now."""
    named, superseded = records_of(store, files, limit)
    for path, info in files.items():
        shard = path.rpartition("/")[0]
        records = [files.get(record) for record in (f"{shard}/{COMMIT}", partition_record(path))]
        newest = max(each.mtime.timestamp() for each in (info, *records) if each)
        is_kept = path.endswith("/" + PARTITION) or (path in named and shard not in superseded)
        if not is_kept and newest <= limit:
            yield path


def records_of(
    store: ShardStore, files: Mapping[str, pafs.FileInfo], limit: float
) -> tuple[set[str], set[str]]:
    """Return the paths that records name, and the shards that their partition has left behind.

    A shard that its partition record does not list may be one that a run is making now: it is left behind only
    where the partition record is the younger of the two, and old enough itself.
    """
    named: set[str] = set()
    listed: dict[str, set[str]] = {}
    for path in files:
        if path.endswith("/" + PARTITION):
            shard_set = load_shard_set(store.get(path))
            folder = path.removesuffix("/" + PARTITION)
            listed[folder] = {commit.shard for commit in shard_set.shards}
            named |= {f"{folder}/{c.shard}/{each.file}" for c in shard_set.shards for each in c.stored()}
    superseded: set[str] = set()
    for path, info in files.items():
        if path.endswith("/" + COMMIT):
            shard = path.removesuffix("/" + COMMIT)
            folder, _, name = shard.rpartition("/")
            partition = files.get(f"{folder}/{PARTITION}")
            if partition and name not in listed[folder] and info.mtime < partition.mtime:
                superseded |= {shard} if partition.mtime.timestamp() <= limit else set()
            named |= {path, f"{shard}/{JOURNAL}"}
            named |= {f"{shard}/{each.file}" for each in load_commit(store.get(path)).stored()}
    return named, superseded


def partition_record(path: str) -> str:
    """The partition record that a file of a shard belongs under."""
    return f"{path.rsplit('/', 2)[0]}/{PARTITION}"


def is_untouched(store: ShardStore, files: Mapping[str, pafs.FileInfo], path: str) -> bool:
    """Whether a file and its shard's commit record are still those that were listed."""
    records = (path, f"{path.rpartition('/')[0]}/{COMMIT}", partition_record(path))
    now = store.fs.get_file_info(list(records))
    return all(
        (info.mtime if info.is_file else None) == (files[record].mtime if record in files else None)
        for record, info in zip(records, now, strict=True)
        if record == path or info.is_file
    )
