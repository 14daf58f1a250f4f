"""A small partition in a store, sound as it is, for tests to break: two figures through every asset."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import polars as pl

from s1mm_assets.release import ReleaseSettings, stage
from s1mm_assets.resources.shard_store import ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import TABLES, Decision, columns_of, frame_of
from s1mm_assets_tests.release.shards import Figure, archive, candidate, metadata, metric, paper, recaption

KEY = "arxiv|2023"
PAPER = "2301.00001"
A, B = (
    Figure(paper_id=PAPER, number=i, caption=f"<b>Caption</b> {i} | $x_{i}$", recaption=f"Recaption {i}.")
    for i in (1, 2)
)
Rows = dict[str, dict[str, list[Any]]]  # asset → table → rows


def decision(figure: Figure, rejection: str | None = None) -> Decision:
    """Kept, or rejected for a reason."""
    made = candidate(figure)
    known = {"figure_id": figure.figure_id, "paper_id": figure.paper_id, "rejection": rejection}
    measured = {"sha256": made.sha256, "perceptual_hash": 7, "image_size_bytes": 9_000}
    return Decision(**{**dict.fromkeys(Decision.__dataclass_fields__), **known, **measured})  # type: ignore[arg-type]


def sound() -> Rows:
    """Rows of every asset before the release that no check has anything against, but for what is not evaluated."""
    figures = (A, B)
    return {
        "raw_archives": {"archives": [archive(A)], "metadata": [metadata(A)]},
        "figure_candidates": {
            "papers": [replace(paper(A), n_rows=2)],
            "figures": [candidate(each) for each in figures],
        },
        "filtered_figures": {"decisions": [decision(each) for each in figures], "texts": []},
        "recaptions": {"recaptions": [recaption(each) for each in figures]},
        "quality_metrics": {"metrics": [metric(each) for each in figures]},
        "duplicates": {"duplicates": []},
    }


def changed(rows: Sequence[Any], **values: Any) -> list[Any]:
    """Rows with other values."""
    return [replace(row, **values) for row in rows]


def put(store: ShardStore, asset: str, tables: Mapping[str, Sequence[Any]], key: str = KEY) -> ShardSet:
    """Materialize an asset of one shard with these rows."""

    def make(_: ShardReader, writer: ShardWriter) -> None:
        for name, rows in tables.items():
            writer.write(name, frame_of(TABLES[asset][name], list(rows)))

    declared = {name: TABLES[asset][name] for name in tables}
    made = store.derive(
        Stage(
            asset=asset,
            version="1",
            tables=declared,
            make=make,
            shard_inputs=lambda shard: {"rows": repr(tables)},
        ),
        key,
        shards=["chunk_001"],
    )
    store.pin(made)
    return made


def stored(store: ShardStore, rows: Rows, settings: ReleaseSettings | None = None) -> None:
    """Materialize every asset of a partition with these rows, and its release."""
    handles = {asset: put(store, asset, tables) for asset, tables in rows.items()}
    of_release = stage(settings or ReleaseSettings())
    store.pin(store.derive(of_release, KEY, inputs=[handles[asset] for asset in of_release.reads]))


def rewritten(store: ShardStore, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change the records of the release behind its archives' back."""
    pieces = store.pinned("hf_release", KEY)
    assert pieces is not None
    rows = change(store.read(pieces, "records", columns_of(TABLES["hf_release"]["records"])))

    def make(_: ShardReader, writer: ShardWriter) -> None:
        writer.write("records", rows)

    of_release = Stage(
        asset="hf_release",
        version="2",
        tables={"records": TABLES["hf_release"]["records"]},
        make=make,
        reads={},
    )
    store.pin(store.derive(of_release, KEY, shards=["chunk_001"]))
