"""Galleries: a page per partition on which people judge figures, and the verdicts that they put beside it.

<store>/galleries/<source>/<year>/gallery.html
<store>/galleries/<source>/<year>/<anything>.csv      verdicts, as the page saves them
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import polars as pl

from s1mm_assets.metrics.verdicts import MAX_BYTES, Precision, VerdictError, precision, read_verdicts
from s1mm_assets.resources.shard_store import GALLERIES, ShardStore
from s1mm_assets.resources.shards import ShardSet
from s1mm_assets.tables import TABLES, Metric, columns_of, schema_of

if TYPE_CHECKING:
    from s1mm_assets.metrics.gallery import GalleryFigure

PAGE = "gallery.html"
MAX_FILES = 1_000
N_KEPT = N_REJECTED = 48
ASSETS = ("figure_candidates", "filtered_figures", "recaptions", "quality_metrics")
FIGURES = ("figure_id", "paper_id", "figure_number", "caption", "mentions", "image", "sha256")
DECISIONS = ("figure_id", "rejection", "measured", "measured_value", "threshold", "evidence", "duplicate_of")


def folder_of(store: ShardStore, partition: str) -> str:
    """Return where a partition's gallery lies, as a path in the store's file system."""
    return store.path(GALLERIES, *partition.split("|"))


def write_gallery(store: ShardStore, handles: Mapping[str, ShardSet], *, seed: int) -> str:
    """Write the gallery of a partition, and return its path in the store's file system.

    Args:
        store: Where the tables are, and where the page goes.
        handles: Of `ASSETS`, by name; of one partition.
        seed: Of the sample that is shown.
    """
    from s1mm_assets.metrics.gallery import choose, gallery_page

    decisions = _decided(store, handles)
    ids = choose(decisions, n_kept=N_KEPT, n_rejected=N_REJECTED, seed=seed)
    n_kept = decisions["rejection"].null_count()
    partition = handles["figure_candidates"].partition
    page = gallery_page(
        _figures(store, handles, pl.Series("figure_id", ids, dtype=pl.String)),
        partition=partition,
        n_kept=n_kept,
        n_rejected=len(decisions) - n_kept,
    )
    path = f"{folder_of(store, partition)}/{PAGE}"
    store.put_file(page, path)
    return path


def _decided(store: ShardStore, handles: Mapping[str, ShardSet]) -> pl.DataFrame:
    """What became of every figure: its id, and the rejection of the filters or of the recaptions; null where kept."""
    decisions = store.read(handles["filtered_figures"], "decisions", ["figure_id", "rejection"])
    recaptions = store.read(handles["recaptions"], "recaptions", ["figure_id", "rejection"])
    joined = decisions.join(recaptions, on="figure_id", how="left", maintain_order="left", suffix="_later")
    return joined.select("figure_id", rejection=pl.coalesce("rejection", "rejection_later"))


def _some(
    store: ShardStore, handle: ShardSet, table: str, columns: Sequence[str], ids: pl.Series
) -> pl.DataFrame:
    """Some figures' rows of a table."""
    none = schema_of(TABLES[handle.asset][table]).to_frame().select(columns)
    return pl.concat([none, *store.scan(handle, table, columns, among=ids)])


def _explained(store: ShardStore, handles: Mapping[str, ShardSet], ids: pl.Series) -> pl.DataFrame:
    """What became of some figures, with the evidence, and their recaptions."""
    decisions = _some(store, handles["filtered_figures"], "decisions", DECISIONS, ids)
    recaptions = _some(
        store, handles["recaptions"], "recaptions", ["figure_id", "recaption", "rejection", "evidence"], ids
    )
    joined = decisions.join(recaptions, on="figure_id", how="left", maintain_order="left", suffix="_later")
    return joined.with_columns(
        rejection=pl.coalesce("rejection", "rejection_later"),
        evidence=pl.coalesce("evidence", "evidence_later", "duplicate_of"),
    ).drop("rejection_later", "evidence_later")


def _figures(store: ShardStore, handles: Mapping[str, ShardSet], ids: pl.Series) -> Iterator[GalleryFigure]:
    """Yield the chosen figures; a row group of images is in memory at a time."""
    titles = dict(store.read(handles["figure_candidates"], "papers", ["paper_id", "title"]).iter_rows())
    decided = {row["figure_id"]: row for row in _explained(store, handles, ids).iter_rows(named=True)}
    measured = _some(store, handles["quality_metrics"], "metrics", columns_of(Metric), ids)
    metrics = {row["figure_id"]: row for row in measured.iter_rows(named=True)}
    for figures in store.scan(handles["figure_candidates"], "figures", FIGURES, among=ids):
        for row in figures.iter_rows(named=True):
            figure_id = row["figure_id"]
            yield _figure(row, titles.get(row["paper_id"]), decided[figure_id], metrics.get(figure_id, {}))


def _figure(
    row: Mapping[str, Any], title: str | None, decided: Mapping[str, Any], metric: Mapping[str, Any]
) -> GalleryFigure:
    from s1mm_assets.metrics.gallery import GalleryFigure

    return GalleryFigure(
        figure_id=row["figure_id"],
        figure_number=row["figure_number"],
        title=title,
        caption=row["caption"],
        mentions=row["mentions"],
        image=row["image"],
        sha256=row["sha256"],
        recaption=decided["recaption"],
        rejection=decided["rejection"],
        measured=decided["measured"],
        measured_value=decided["measured_value"],
        threshold=decided["threshold"],
        evidence=decided["evidence"],
        scores={
            name: value
            for name, value in metric.items()
            if name.endswith(("score", "perplexity", "grounding"))
        },
        ungrounded_claims=metric.get("ungrounded_claims") or (),
        flags=metric.get("flags") or (),
    )


def judged(store: ShardStore, handles: Mapping[str, ShardSet]) -> Precision | None:
    """Return how often a partition's decisions were judged right; None where nobody has judged.

    Raises:
        VerdictError: A file of verdicts cannot be used.
    """
    partition = handles["figure_candidates"].partition
    verdicts = read_verdicts(_verdict_files(store, partition)).filter(pl.col("partition") == partition)
    if verdicts.is_empty():
        return None
    ids = verdicts["figure_id"].unique()
    figures = _some(store, handles["figure_candidates"], "figures", ["figure_id", "sha256", "caption"], ids)
    decided = _explained(store, handles, ids).select("figure_id", "rejection", "recaption")
    return precision(verdicts, figures.join(decided, on="figure_id"))


def put_verdicts(store: ShardStore, name: str, content: bytes) -> list[str]:
    """Put a file of verdicts beside the galleries of the partitions that it judges; return their keys.

    Raises:
        VerdictError: It cannot be used.
    """
    verdicts = read_verdicts([(name, content)])
    if verdicts.is_empty():
        raise VerdictError(name, 2, "it holds no verdicts")
    keys = verdicts["partition"].unique().sort().to_list()
    unknown = set(keys) - set(store.partitions("figure_candidates"))
    if unknown:
        raise VerdictError(name, 1, f"the store has no partition {sorted(unknown)[0]!r}")
    digest = hashlib.sha256(content).hexdigest()[:8]  # two people may call their files alike
    for key in keys:
        store.put_file(content, f"{folder_of(store, key)}/{PurePosixPath(name).stem}-{digest}.csv")
    return keys


def _verdict_files(store: ShardStore, partition: str) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of every file of verdicts beside a gallery."""
    from pyarrow import fs as pafs

    folder = pafs.FileSelector(folder_of(store, partition), allow_not_found=True)
    infos = [info for info in store.fs.get_file_info(folder) if info.path.endswith(".csv")]
    for info in sorted(infos, key=lambda each: each.path)[:MAX_FILES]:
        name = PurePosixPath(info.path).name
        if info.size > MAX_BYTES:
            raise VerdictError(name, 1, f"{info.size} bytes, more than {MAX_BYTES}")
        with store.fs.open_input_stream(info.path) as stream:
            yield name, stream.read()
