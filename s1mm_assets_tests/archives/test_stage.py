"""One row for each delivery, whatever it is; none for an outage."""

import hashlib
import pickle
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any, BinaryIO

import polars as pl
import pytest

from s1mm_assets.archives import Delivery, Limits, inspection_stage, rejection_rate, stage, summary
from s1mm_assets.archives.arxiv import bare_metadata
from s1mm_assets.archives.stage import InspectDelivery
from s1mm_assets.stages import Failed, MapItems, SourceUnavailable
from s1mm_assets.tables import Archive, Metadata, Rejection, schema_of
from s1mm_assets_tests.archives.packing import PAPER, PDF, TEX, gz, tar_gz
from s1mm_assets_tests.fakes import map_here

CONTENTS = {
    "2001.00001": tar_gz(PAPER),
    "2001.00002": tar_gz(PAPER)[:-9],
    "2001.00003": PDF,
    "2001.00004": gz(b"%auto-ignore"),
    "2001.00005": gz(TEX),
    "x": b"",
}


@dataclass
class Shard:
    """One shard in memory: what is read (its name) and what is written."""

    shard: str = "chunk_001"
    partition: str = "arxiv|2020"
    tables: dict[str, list[pl.DataFrame]] = field(default_factory=dict)

    def write(self, table: str, rows: pl.DataFrame) -> None:
        self.tables.setdefault(table, []).append(rows)

    def scan(self, asset: str, table: str) -> Iterator[pl.DataFrame]:  # noqa: ARG002
        yield from self.tables[table]

    def read(self, asset: str, table: str) -> pl.DataFrame:
        raise NotImplementedError

    def file(self, name: str) -> AbstractContextManager[BinaryIO]:
        raise NotImplementedError

    def used(self, component: str) -> None:
        raise NotImplementedError


@dataclass(frozen=True)
class Memory:
    """A source's bytes, in memory; picklable."""

    contents: Mapping[str, bytes]

    def __call__(self, uri: str, offset: int, length: int) -> bytes:
        if uri not in self.contents:
            raise OSError(f"{uri} does not answer")
        return self.contents[uri][offset : offset + length]


def made(
    contents: Mapping[str, bytes] = CONTENTS,
    *,
    map_items: MapItems = map_here,
    limits: Limits = Limits(),  # noqa: B008
    metadata: Callable[[Sequence[str]], Mapping[str, Metadata]] = lambda ids: {},
    outage: str | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The tables that one shard of these papers gives."""
    deliveries = [Delivery(name, name, 0, len(data)) for name, data in contents.items()]
    inspected, shard = Shard(), Shard()
    inspection_stage(
        source="arxiv",
        year=2020,
        deliveries=lambda chunk: deliveries if chunk == "chunk_001" else [],
        inputs=lambda chunk: {"md5": "0"},
        read=Memory({name: data for name, data in contents.items() if name != outage}),
        map_items=map_items,
        limits=limits,
    ).make(inspected, inspected)
    stage(metadata=metadata, inputs=lambda chunk: {}).make(inspected, shard)
    return pl.concat(shard.tables["archives"]), pl.concat(shard.tables["metadata"])


def test_every_delivery_has_one_row_in_both_tables() -> None:
    """Nothing is lost: what cannot be read has its row, with the reason."""
    archives, metadata = made()

    assert archives.schema == schema_of(Archive)
    assert archives["paper_id"].to_list() == list(CONTENTS) == metadata["paper_id"].to_list()
    assert archives["rejection"].to_list() == [None, "truncated", None, "withdrawn", "no_images", "empty"]
    assert archives["kind"].to_list() == ["latex", "unknown", "pdf", "unknown", "latex", "unknown"]
    assert archives["sha256"].to_list() == [hashlib.sha256(data).hexdigest() for data in CONTENTS.values()]
    assert metadata["arxiv_id"].to_list() == [*list(CONTENTS)[:5], None]
    assert metadata["is_withdrawn"].to_list() == [False, False, False, True, False, False]


def test_what_the_source_knows_is_kept() -> None:
    known = replace(bare_metadata("2001.00001"), title="T", is_withdrawn=True)
    _, metadata = made(metadata=lambda ids: {known.paper_id: known})

    assert metadata["title"].to_list()[:2] == ["T", None]
    assert metadata["is_withdrawn"].to_list()[:2] == [True, False]


def test_a_paper_that_a_worker_fails_at_is_a_row() -> None:
    """The row says what happened, and its digest is that of the delivery all the same."""

    def second_crashes(
        function: Callable[[Any], Any], items: Iterable[Any], *, what: str = "", total: int | None = None
    ) -> Iterator[Any]:
        for number, item in enumerate(items):
            yield Failed(Rejection.OUT_OF_MEMORY, "2 GiB") if number == 1 else function(item)

    archives, _ = made(map_items=second_crashes)
    row = archives.row(1, named=True)

    assert (row["rejection"], row["evidence"], row["n_members"]) == ("out_of_memory", "2 GiB", None)
    assert row["sha256"] == hashlib.sha256(CONTENTS["2001.00002"]).hexdigest()


def test_a_delivery_too_large_is_not_opened() -> None:
    archives, _ = made(limits=Limits(max_packed_bytes=100))
    row = archives.row(0, named=True)

    assert row["rejection"] == "too_large"
    assert row["sha256"] == hashlib.sha256(CONTENTS["2001.00001"]).hexdigest()


def test_an_outage_stops_the_shard_and_costs_no_row() -> None:
    """A source that does not answer is nobody's rejection: nothing of the shard is committed."""
    with pytest.raises(SourceUnavailable, match=r"2001\.00003.*does not answer"):
        made(outage="2001.00003")


def test_limits_are_settings_and_digests_are_inputs() -> None:
    """What a limit lets through shapes the data; so it is in the fingerprint, as are the chunk's digests."""
    one = inspection_stage(
        source="arxiv",
        year=2020,
        deliveries=lambda chunk: [],
        inputs=lambda chunk: {"md5": chunk, "metadata": "m"},
        read=Memory({}),
        map_items=map_here,
        limits=Limits(max_members=7),
    )

    assert one.settings["max_members"] == 7
    assert one.shard_inputs("c") == {"md5": "c"}


def test_news_of_metadata_read_no_archive_again() -> None:
    """The bytes' digests are inputs of the inspections alone, the metadata's of what is joined to them alone."""
    inputs = {"md5": "0", "replaced by x": "1", "metadata": "m"}
    inspections = inspection_stage(
        source="arxiv",
        year=2020,
        deliveries=lambda chunk: [],
        inputs=lambda chunk: inputs,
        read=Memory({}),
        map_items=map_here,
    )
    joined = stage(metadata=lambda ids: {}, inputs=lambda chunk: inputs)

    assert inspections.shard_inputs("c") == {"md5": "0", "replaced by x": "1"}
    assert joined.shard_inputs("c") == {"metadata": "m"}
    assert list(joined.reads) == [inspections.asset]


def test_the_job_of_a_worker_can_be_sent_to_one() -> None:
    job = pickle.loads(pickle.dumps(InspectDelivery(Memory(CONTENTS), Limits())))  # noqa: S301

    assert job(Delivery("x", "2001.00001", 0, len(CONTENTS["2001.00001"]))).n_members == 2


def test_a_shard_without_papers_has_no_rows() -> None:
    shard = Shard()
    inspection_stage(
        source="local",
        year=2020,
        deliveries=lambda chunk: [],
        inputs=lambda chunk: {},
        read=Memory({}),
        map_items=map_here,
    ).make(shard, shard)

    assert shard.tables == {}


def test_the_rejection_rate_counts_what_lies_in_the_archive() -> None:
    """Truncated, no_images and empty of six: PDFs and withdrawn papers are reported apart."""
    archives, _ = made()
    failed = archives.with_columns(rejection=pl.lit("timed_out"))

    assert rejection_rate(archives) == pytest.approx(3 / 6)
    assert rejection_rate(failed) == 0
    assert rejection_rate(archives.clear()) == 0


def test_the_summary_counts_kinds_and_rejections() -> None:
    archives, _ = made()

    assert summary(archives) == {
        "archives": 6,
        "packed_bytes": sum(map(len, CONTENTS.values())),
        "rejection_rate": 0.5,
        "kind/latex": 2,
        "kind/pdf": 1,
        "kind/unknown": 3,
        "rejection/empty": 1,
        "rejection/no_images": 1,
        "rejection/truncated": 1,
        "rejection/withdrawn": 1,
    }
