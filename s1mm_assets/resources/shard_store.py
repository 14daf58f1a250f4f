"""The shard store: where tables live, how a shard is committed, and which shards must be made again.

    <store>/<asset>/<source>/<year>/<shard>/<table>-<sha256>.parquet     immutable
    <store>/<asset>/<source>/<year>/<shard>/commit.json                  names its tables; replaced last
    <store>/<asset>/<source>/<year>/partition.json                       the shards of this materialization
    <store>/answers/<source>/<year>/<shard>/                             what models answered: captioners/answer_log
    <store>/duplicates/view.json                                         which decisions duplicates were sought in
    <store>/galleries/<source>/<year>/                                   what people look at and judge: galleries

The same code serves a local folder and an object store. Nothing is overwritten: a shard done again writes new
tables and then replaces its commit record, so a reader, a kill or a second writer never meets a mixture.
"""

import json
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import dagster as dg
import polars as pl
from pydantic import PrivateAttr

from s1mm_assets.resources.log_lines import shard_in_logs
from s1mm_assets.resources.shard_tables import TableFile, row_groups, stored
from s1mm_assets.resources.shards import (
    Commit,
    ShardSet,
    StoredFile,
    digest_of,
    dump,
    load_commit,
    load_shard_set,
)
from s1mm_assets.stages import Stage
from s1mm_assets.tables import SCHEMA_VERSION, TABLES, schema_of

if TYPE_CHECKING:
    from pyarrow import fs as pafs

COMMIT = "commit.json"
PARTITION = "partition.json"
ANSWERS, GALLERIES = "answers", "galleries"  # beside the assets' folders; no commit names what lies there
BUFFER_BYTES = 8 * 2**20  # an object store is asked once for as much
JOURNAL = "journal.json"  # clocks and hosts: outside every digest
Report = Callable[[str], None]


class StoreError(Exception):
    """The store's state does not allow what was asked; the message says what to do."""


class ShardStore(dg.ConfigurableResource[Any]):
    """Tables in shards under one URI: a local folder, or `s3://bucket/prefix`."""

    uri: str

    _fs: "pafs.FileSystem | None" = PrivateAttr(default=None)
    _root: str = PrivateAttr(default="")

    @property
    def fs(self) -> "pafs.FileSystem":
        """The file system that holds the store."""
        if self._fs is None:
            from pyarrow import fs as pafs

            if "://" in self.uri:
                self._fs, self._root = pafs.FileSystem.from_uri(self.uri)
            else:
                self._fs, self._root = pafs.LocalFileSystem(), str(Path(self.uri).expanduser().absolute())
        return self._fs

    def path(self, *parts: str) -> str:
        """The path in the file system of something in the store."""
        _ = self.fs
        return "/".join([self._root.rstrip("/"), *parts])

    def _folder(self, asset: str, partition: str, *parts: str) -> str:
        return self.path(asset, *partition.split("|"), *parts)

    @property
    def is_local(self) -> bool:
        """Whether a rename inside the store is atomic."""
        return str(self.fs.type_name) == "local"

    # --- writing -------------------------------------------------------------------------------------------

    @contextmanager
    def _staging(self) -> Iterator[Path]:
        """A private local folder; in a local store beside the data, so that a rename publishes."""
        parent = Path(self.path(".staging")) if self.is_local else Path(tempfile.gettempdir())
        parent.mkdir(parents=True, exist_ok=True)
        folder = parent / f"s1mm-{uuid.uuid4().hex}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def _publish(self, local: Path, target: str) -> None:
        """Make a finished local file appear under its name, whole or not at all."""
        if self.is_local:
            with local.open("rb") as file:
                os.fsync(file.fileno())
            self.fs.create_dir(target.rpartition("/")[0])
            self.fs.move(str(local), target)
        else:
            from pyarrow import fs as pafs

            pafs.copy_files(
                str(local), target, source_filesystem=pafs.LocalFileSystem(), destination_filesystem=self.fs
            )

    def _put(self, record: Any, target: str) -> None:
        self.put_file(dump(record), target)

    def put_file(self, data: bytes, target: str) -> None:
        """Write or replace a file that no commit names, by its path in the file system; whole or not at all."""
        with self._staging() as staging:
            (staging / "file").write_bytes(data)
            self._publish(staging / "file", target)

    def get(self, path: str) -> Any:
        """Read a JSON record by its path in the file system; FileNotFoundError where there is none."""
        with self.fs.open_input_stream(path) as stream:
            return json.loads(stream.read())

    # --- deriving ------------------------------------------------------------------------------------------

    def derive(
        self,
        stage: Stage,
        partition: str,
        *,
        inputs: Sequence[ShardSet] = (),
        shards: Sequence[str] | None = None,
        report: Report = lambda line: None,
    ) -> ShardSet:
        """Make every shard of a partition whose fingerprint differs from its commit record.

        Args:
            stage: What a shard is made from, and how.
            partition: The partition key.
            inputs: The handles of the assets that the stage reads, with the same shards.
            shards: The shards' names; of the inputs where not given.
            report: Receives a line per shard.

        Raises:
            StoreError: The inputs do not belong together.
        """
        by_asset = {each.asset: {commit.shard: commit for commit in each.shards} for each in inputs}
        names = list(shards) if shards is not None else list(next(iter(by_asset.values()), {}))
        check_inputs(inputs, names)
        existing = self._commits(stage.asset, partition, names)
        commits = []
        for i, shard in enumerate(names, start=1):
            parents = {asset: commits_of[shard] for asset, commits_of in by_asset.items()}
            made_from = describe(stage, parents, shard)
            fingerprint = digest_of(made_from)
            commit = existing.get(shard)
            where = f"{stage.asset} {partition}: shard {i}/{len(names)} {shard}"
            if commit is not None and is_current(commit, fingerprint, stage.environment):
                report(f"{where}: unchanged")
            else:
                with shard_in_logs(stage.asset, partition, shard):
                    report(f"{where}: started")
                    start = time.perf_counter()
                    commit = self._make(stage, partition, shard, parents, made_from)
                    report(f"{where}: done in {time.perf_counter() - start:.1f} s")
            commits.append(commit)
        return ShardSet(asset=stage.asset, partition=partition, shards=tuple(commits))

    def _commits(self, asset: str, partition: str, shards: Sequence[str]) -> dict[str, Commit]:
        """The commit records that stand, of the shards whose files are all there."""
        from pyarrow import fs as pafs

        folder = pafs.FileSelector(self._folder(asset, partition), recursive=True, allow_not_found=True)
        sizes = {info.path: info.size for info in self.fs.get_file_info(folder)}
        paths = {shard: self._folder(asset, partition, shard, COMMIT) for shard in shards}
        present = {shard: path for shard, path in paths.items() if path in sizes}
        with ThreadPoolExecutor(16) as threads:
            records = zip(present, threads.map(self.get, present.values()), strict=True)
            commits = {shard: load_commit(record) for shard, record in records}
        return {
            shard: commit
            for shard, commit in commits.items()
            if all(
                sizes.get(self._folder(asset, partition, shard, stored.file)) == stored.n_bytes
                for stored in commit.stored()
            )
        }

    def _make(
        self,
        stage: Stage,
        partition: str,
        shard: str,
        parents: Mapping[str, Commit],
        made_from: Mapping[str, Any],
    ) -> Commit:
        start = time.time()
        with self._staging() as staging:
            reader = StoredShard(self, stage, partition, shard, parents)
            writer = _Writer(staging, stage)
            stage.make(reader, writer)
            tables, files = writer.finish()
            for local, entry in [*tables.values(), *files.values()]:
                self._publish(local, self._folder(stage.asset, partition, shard, entry.file))
            commit = Commit(
                asset=stage.asset,
                partition=partition,
                shard=shard,
                schema_version=SCHEMA_VERSION,
                fingerprint=digest_of(made_from),
                made_from=made_from,
                environment={name: stage.environment[name] for name in sorted(writer.components)},
                tables={name: entry for name, (_, entry) in tables.items()},
                files={name: entry for name, (_, entry) in files.items()},
            )
        journal = {
            "finished": datetime.now(UTC).isoformat(),
            "seconds": time.time() - start,
            "host": os.uname().nodename,
        }
        self._put(journal, self._folder(stage.asset, partition, shard, JOURNAL))
        self._put(asdict(commit), self._folder(stage.asset, partition, shard, COMMIT))
        return commit

    def invalidate(self, asset: str, partition: str, shard: str) -> None:
        """Forget a shard's commit record, so that the next materialization makes it again."""
        with suppress(FileNotFoundError):
            self.fs.delete_file(self._folder(asset, partition, shard, COMMIT))

    # --- handles -------------------------------------------------------------------------------------------

    def pin(self, shard_set: ShardSet) -> None:
        """Write the partition record: what later assets and reports read."""
        self._put(asdict(shard_set), self._folder(shard_set.asset, shard_set.partition, PARTITION))

    def pinned(self, asset: str, partition: str) -> ShardSet | None:
        """The handle of a partition's last materialization, or None.

        Raises:
            StoreError: It was written with another schema version.
        """
        try:
            shard_set = load_shard_set(self.get(self._folder(asset, partition, PARTITION)))
        except FileNotFoundError:
            return None
        old = {commit.schema_version for commit in shard_set.shards} - {SCHEMA_VERSION}
        if old:
            raise StoreError(
                f"{asset} {partition} has schema version {sorted(old)}, this code reads {SCHEMA_VERSION}: "
                f"materialize {asset} for {partition} again"
            )
        return shard_set

    def partitions(self, asset: str) -> list[str]:
        """The partition keys of an asset that have been materialized, in order."""
        return sorted(self.stamps(asset))

    def stamps(self, asset: str) -> dict[str, tuple[int, int]]:
        """What changes when a partition of an asset is materialized, by key: its record's time in ns, and its bytes."""
        years = [year for source in self._folders(self.path(asset)) for year in self._folders(source)]
        with ThreadPoolExecutor(16) as threads:  # an object store is far
            infos = threads.map(self.fs.get_file_info, [f"{year}/{PARTITION}" for year in years])
            found = {year: info for year, info in zip(years, infos, strict=True) if info.is_file}
        return {
            "|".join(year.split("/")[-2:]): (info.mtime_ns or 0, info.size) for year, info in found.items()
        }

    def _folders(self, path: str) -> list[str]:
        """The folders in a folder; not what is below them, since a partition may hold many thousand files."""
        from pyarrow import fs as pafs

        infos = self.fs.get_file_info(pafs.FileSelector(path, allow_not_found=True))
        return [info.path for info in infos if info.type == pafs.FileType.Directory]

    # --- reading -------------------------------------------------------------------------------------------

    def scan(
        self, shard_set: ShardSet, table: str, columns: Sequence[str], *, among: pl.Series | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield a table of all shards, one row group at a time; only some figures' rows where `among` says which."""
        for commit in shard_set.shards:
            yield from self.scan_shard(commit, table, columns, among=among)

    def scan_shard(
        self, commit: Commit, table: str, columns: Sequence[str], *, among: pl.Series | None = None
    ) -> Iterator[pl.DataFrame]:
        """Yield a table of one shard, one row group at a time.

        Args:
            commit: The shard.
            table: Its table.
            columns: Those to read.
            among: Only these figures' rows; a row group without any is not read.

        Raises:
            StoreError: The file is not what the commit record says.
        """
        if among is not None and among.is_empty():
            return
        if commit.schema_version != SCHEMA_VERSION:
            raise StoreError(
                f"{commit.asset} {commit.partition} {commit.shard} has schema version "
                f"{commit.schema_version}, this code reads {SCHEMA_VERSION}: materialize {commit.asset} again"
            )
        entry = commit.tables.get(table)
        if entry is None:
            raise StoreError(
                f"{commit.asset} {commit.partition} {commit.shard} was made before it had a table {table}: "
                f"materialize {commit.asset} for {commit.partition} again"
            )
        from pyarrow import ArrowException

        path = self._folder(commit.asset, commit.partition, commit.shard, entry.file)
        try:
            with self.fs.open_input_file(path) as source:
                yield from row_groups(source, TABLES[commit.asset][table], columns, among=among)
        except (OSError, ArrowException) as error:
            raise StoreError(
                f"{path} is missing or damaged ({error}): delete {COMMIT} beside it "
                f"and materialize {commit.asset} for {commit.partition} again"
            ) from error

    def read(
        self, shard_set: ShardSet, table: str, columns: Sequence[str], *, names_shard: bool = False
    ) -> pl.DataFrame:
        """Return some columns of a table over all shards. Not for columns that hold images.

        Args:
            shard_set: The handle.
            table: The table's name.
            columns: Those to return, in this order.
            names_shard: Add a column `shard`.
        """
        empty = schema_of(TABLES[shard_set.asset][table]).to_frame().select(columns)
        names = [pl.lit(None, pl.String).alias("shard")] if names_shard else []
        frames = [empty.with_columns(names)]
        for commit in shard_set.shards:
            names = [pl.lit(commit.shard).alias("shard")] if names_shard else []
            frames += [each.with_columns(names) for each in self.scan_shard(commit, table, columns)]
        return pl.concat(frames)

    def open_file(self, commit: Commit, name: str) -> BinaryIO:
        """Open an additional file of a shard for streaming."""
        entry = commit.files[name]
        path = self._folder(commit.asset, commit.partition, commit.shard, entry.file)
        stream: BinaryIO = self.fs.open_input_stream(path, compression=None, buffer_size=BUFFER_BYTES)
        return stream


def describe(stage: Stage, parents: Mapping[str, Commit], shard: str) -> dict[str, Any]:
    """Return what a shard is made from: the JSON value whose digest is its fingerprint."""
    columns = {
        f"{asset}/{table}.{column}": _digest_of(parents[asset], table, column)
        for asset, tables in stage.reads.items()
        for table, names in tables.items()
        for column in names
    }
    return {
        "asset": stage.asset,
        "version": stage.version,
        "schema_version": SCHEMA_VERSION,
        "settings": dict(stage.settings),
        "columns": columns,
        "shard_inputs": dict(stage.shard_inputs(shard)),
    }


def _digest_of(commit: Commit, table: str, column: str) -> str:
    """The digest of a column; of one that its shard was made without, "absent"."""
    stored_table = commit.tables.get(table)
    return (stored_table.columns or {}).get(column, "absent") if stored_table else "absent"


def is_current(commit: Commit, fingerprint: str, environment: Mapping[str, str]) -> bool:
    """Whether a shard need not be made again."""
    return commit.fingerprint == fingerprint and all(
        environment.get(name) == version for name, version in commit.environment.items()
    )


def check_inputs(inputs: Sequence[ShardSet], shards: Sequence[str]) -> None:
    """Refuse inputs that do not belong together.

    Raises:
        StoreError: Assets have different shards, or one was made from an older version of another.
    """
    for each in inputs:
        names = [commit.shard for commit in each.shards]
        if names != list(shards):
            raise StoreError(
                f"{each.asset} {each.partition} has other shards than {inputs[0].asset}: "
                f"materialize {each.asset} for {each.partition} again"
            )
    now = {
        (f"{each.asset}/{table}.{column}", commit.shard): digest
        for each in inputs
        for commit in each.shards
        for table, stored in commit.tables.items()
        for column, digest in (stored.columns or {}).items()
    }
    for each in inputs:
        for commit in each.shards:
            for column, digest in commit.made_from["columns"].items():
                if now.get((column, commit.shard), digest) != digest:
                    raise StoreError(
                        f"{each.asset} {each.partition} {commit.shard} was made from an older {column}: "
                        f"materialize {each.asset} for {each.partition} again"
                    )


@dataclass(frozen=True, slots=True)
class StoredShard:
    """A `stages.ShardReader` over the commit records of one shard."""

    store: ShardStore
    stage: Stage
    partition: str
    shard: str
    parents: Mapping[str, Commit]

    def scan(self, asset: str, table: str) -> Iterator[pl.DataFrame]:
        """Yield a declared table one row group at a time."""
        return self.store.scan_shard(self.parents[asset], table, self.stage.reads[asset][table])

    def read(self, asset: str, table: str) -> pl.DataFrame:
        """Return a whole declared table."""
        schema = schema_of(TABLES[asset][table])
        return pl.concat([schema.to_frame().select(self.stage.reads[asset][table]), *self.scan(asset, table)])


class _Writer:
    """A `stages.ShardWriter` into a staging folder."""

    def __init__(self, staging: Path, stage: Stage) -> None:
        self.staging = staging
        self.stage = stage
        self.components: set[str] = set()
        self._tables = {
            name: TableFile(staging / f"{name}.parquet", row) for name, row in stage.tables.items()
        }
        self._files: list[str] = []

    def write(self, table: str, rows: pl.DataFrame) -> None:
        self._tables[table].append(rows)

    @contextmanager
    def file(self, name: str) -> Iterator[BinaryIO]:
        if name in self._files:
            raise ValueError(f"{name} is written twice")
        self._files.append(name)
        with (self.staging / name).open("wb") as stream:
            yield stream

    def used(self, component: str) -> None:
        if component not in self.stage.environment:
            raise ValueError(f"{self.stage.asset} declares no component {component}")
        self.components.add(component)

    def finish(self) -> tuple[dict[str, tuple[Path, StoredFile]], dict[str, tuple[Path, StoredFile]]]:
        tables = {
            name: (table.path, stored(table.path, name, ".parquet", table))
            for name, table in self._tables.items()
        }
        files = {}
        for name in sorted(self._files):
            stem, dot, suffix = name.partition(".")
            files[name] = (self.staging / name, stored(self.staging / name, stem, dot + suffix))
        return tables, files
