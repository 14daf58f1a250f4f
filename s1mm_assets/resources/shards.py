"""What the shard store writes down: the commit record of a shard, and the handle that flows between assets.

Both are plain JSON with sorted keys, so that equal content has equal bytes and one digest.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

FORMAT = 1
COUNTS = ("rejected", "sums")
"""What a record says of a table so that nobody need read it: no part of any digest, since older records lack it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredFile:
    """One immutable file of a shard, named after its content."""

    file: str  # in the shard's folder: "figures-<sha256>.parquet"
    sha256: str
    n_bytes: int
    n_rows: int | None = None  # of a table
    columns: Mapping[str, str] | None = None  # of a table: column → digest of its encoded values
    rejected: Mapping[str, int] | None = None  # of a table, unless it is older than this: reason → rows
    sums: Mapping[str, int] | None = None  # likewise: column → sum, of numbers (n_…) and lengths (…_bytes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """The record that makes a shard exist: its tables, and what they were made from."""

    asset: str
    partition: str
    shard: str
    schema_version: int
    fingerprint: str  # digest of `made_from`
    made_from: Mapping[str, Any]  # stage version, settings, digests of the columns read
    environment: Mapping[str, str]  # the renderers and models that this shard used, with versions
    tables: Mapping[str, StoredFile] = field(default_factory=dict)
    files: Mapping[str, StoredFile] = field(default_factory=dict)

    def stored(self) -> list[StoredFile]:
        """Every file that this record names."""
        return [*self.tables.values(), *self.files.values()]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardSet:
    """The shards of one materialization of one partition: the handle that flows between assets."""

    asset: str
    partition: str
    shards: tuple[Commit, ...] = ()

    def n_rows(self, table: str) -> int:
        """Rows of a table over all shards."""
        return sum(shard.tables[table].n_rows or 0 for shard in self.shards)

    def n_bytes(self) -> int:
        """Bytes of all tables and files."""
        return sum(stored.n_bytes for shard in self.shards for stored in shard.stored())

    def digest(self) -> str:
        """SHA-256 over everything the shards hold and were made from."""
        return hashlib.sha256(dump(asdict(self, dict_factory=without_counts))).hexdigest()


def without_counts(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return the fields of a record that are digested."""
    return {name: value for name, value in items if name not in COUNTS}


def dump(record: Any) -> bytes:
    """Return the one JSON text of a record."""
    return (json.dumps(record, sort_keys=True, indent=1, ensure_ascii=False) + "\n").encode()


def digest_of(record: Any) -> str:
    """Return the SHA-256 of a JSON value."""
    return hashlib.sha256(dump(record)).hexdigest()


def load_commit(record: Mapping[str, Any]) -> Commit:
    """Read a commit record back from JSON."""
    parts = {
        kind: {name: StoredFile(**known(StoredFile, stored)) for name, stored in record[kind].items()}
        for kind in ("tables", "files")
    }
    return Commit(**{**known(Commit, record), **parts})


def known(row: type, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that this code knows: later code may have added others, and be rolled back."""
    return {name: record[name] for name in (each.name for each in fields(row)) if name in record}


def load_shard_set(record: Mapping[str, Any]) -> ShardSet:
    """Read a partition record back from JSON."""
    return ShardSet(**{**record, "shards": tuple(load_commit(each) for each in record["shards"])})
