"""What a stage package hands to the shard store: which shard tables it reads, which it writes, and how.

A stage never sees a path, a store or Dagster: it is given a reader and a writer for one shard at a time.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Protocol

import polars as pl

from s1mm_assets.tables import Rejection


class ShardReader(Protocol):
    """The tables that a stage declared it reads, of one shard."""

    @property
    def shard(self) -> str:
        """The shard's name, the same from raw_archives to hf_release."""

    @property
    def partition(self) -> str:
        """The partition key, e.g. "arxiv|2019"."""

    def scan(self, asset: str, table: str) -> Iterator[pl.DataFrame]:
        """Yield one row group at a time, with the declared columns only, in the order written."""

    def read(self, asset: str, table: str) -> pl.DataFrame:
        """Return a whole table of this shard, declared columns only. Not for columns that hold images."""


class ShardWriter(Protocol):
    """Where a stage puts what one shard gives. Nothing is seen by others until the stage returns."""

    def write(self, table: str, rows: pl.DataFrame) -> None:
        """Append rows to a table; row groups are cut at fixed numbers of rows and bytes."""

    def file(self, name: str) -> AbstractContextManager[BinaryIO]:
        """Open an additional file of this shard for writing; its sha256 goes into the commit record."""

    def used(self, component: str) -> None:
        """Say that this shard's data depends on a component named in `Stage.environment`."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How the shards of one asset are made.

    `version`, `settings`, the digests of the columns in `reads` and `shard_inputs` make a shard's
    fingerprint; so do the versions of those `environment` components that the shard used.
    """

    asset: str
    version: str
    tables: Mapping[str, type]  # table → row class
    make: Callable[[ShardReader, ShardWriter], None]
    reads: Mapping[str, Mapping[str, tuple[str, ...]]] = field(
        default_factory=dict
    )  # asset → table → columns
    settings: Mapping[str, Any] = field(default_factory=dict)  # JSON values; only what shapes the data
    environment: Mapping[str, str] = field(default_factory=dict)  # renderer or model → version, or "missing"
    shard_inputs: Callable[[str], Mapping[str, str]] = lambda shard: {}  # what else this shard is made from


@dataclass(frozen=True, slots=True)
class Failed:
    """What a worker pool answers for an item that timed out, ran out of memory, crashed or raised."""

    rejection: Rejection
    evidence: str


@dataclass(frozen=True, slots=True)
class Unread:
    """What a worker answers when the source did not give an item's bytes."""

    evidence: str


class SourceUnavailable(Exception):  # noqa: N818 - says what is the matter
    """The source's bytes could not be read. An outage, not the paper's fault: the shard is not committed."""


class MapItems(Protocol):
    """Apply a picklable function to each item, in order; an item that fails costs only itself."""

    def __call__(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        what: str = "items",
        total: int | None = None,
    ) -> Iterator[Any | Failed]:
        """Yield one result or `Failed` per item, in order; `what` names the items in the progress log."""
