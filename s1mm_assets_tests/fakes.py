"""Stand-ins for what stages are handed: written by hand, as strict as the real thing."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from typing import Any, BinaryIO

import polars as pl

from s1mm_assets.stages import Failed, Stage
from s1mm_assets.tables import Rejection, schema_of


def map_here(
    function: Callable[[Any], Any],
    items: Iterable[Any],
    *,
    what: str = "items",
    total: int | None = None,
) -> Iterator[Any | Failed]:
    """Apply the function in this process: a `MapItems` without workers."""
    for item in items:
        try:
            yield function(item)
        except Exception as error:
            yield Failed(Rejection.WORKER_CRASHED, f"{type(error).__name__}: {error}")


class MemoryShard:
    """One shard in memory: the `ShardReader` and the `ShardWriter` of one stage.

    It gives the declared columns only, in row groups of two, and takes only tables with their schema.
    """

    shard = "chunk_001"
    partition = "arxiv|2019"

    def __init__(self, stage: Stage, inputs: Mapping[tuple[str, str], pl.DataFrame]) -> None:
        self.stage = stage
        self.inputs = inputs
        self.tables = {name: schema_of(row).to_frame() for name, row in stage.tables.items()}
        self.files: dict[str, bytes] = {}
        self.components: set[str] = set()

    def scan(self, asset: str, table: str) -> Iterator[pl.DataFrame]:
        """Yield two rows at a time."""
        yield from self.read(asset, table).iter_slices(2)

    def read(self, asset: str, table: str) -> pl.DataFrame:
        """Return the columns that the stage says it reads."""
        return self.inputs[asset, table].select(self.stage.reads[asset][table])

    def write(self, table: str, rows: pl.DataFrame) -> None:
        """Append rows; refuse another schema, as the store does."""
        assert rows.schema == self.tables[table].schema, f"{table}: {rows.schema}"
        self.tables[table] = pl.concat([self.tables[table], rows])

    @contextmanager
    def file(self, name: str) -> Iterator[BinaryIO]:
        """Keep an additional file's bytes."""
        stream = BytesIO()
        yield stream
        self.files[name] = stream.getvalue()

    def used(self, component: str) -> None:
        """Note a component; refuse one that the stage did not name."""
        assert component in self.stage.environment
        self.components.add(component)


def run(stage: Stage, inputs: Mapping[tuple[str, str], pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Make one shard of a stage from tables in memory; return its tables."""
    shard = MemoryShard(stage, inputs)
    stage.make(shard, shard)
    return shard.tables


class FailingMap:
    """A `MapItems` in which every item that `fails` accepts does not come back; it counts its calls."""

    def __init__(self, fails: Callable[[Any], bool]) -> None:
        self.fails = fails
        self.n_items: list[int] = []

    def __call__(
        self,
        function: Callable[[Any], Any],
        items: Iterable[Any],
        *,
        what: str = "items",  # noqa: ARG002
        total: int | None = None,  # noqa: ARG002
    ) -> Iterator[Any | Failed]:
        """Apply the function to the items that do not fail."""
        self.n_items.append(0)
        for item in items:
            self.n_items[-1] += 1
            if self.fails(item):
                yield Failed(Rejection.WORKER_CRASHED, "signal 9")
            else:
                yield from map_here(function, [item])
