"""The stage hf_release: what one shard gives to the release, in pieces that need only be joined.

A shard with rows to release gives three files: `records.jsonl`, `images.tar.gz` (one gzip member without an
end: see image_archives) and `data.parquet`. A shard without any gives none.
"""

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import polars as pl

from s1mm_assets.release.pieces import MEDIA, Pieces
from s1mm_assets.release.records import image_path
from s1mm_assets.release.settings import ReleaseSettings
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Rejection, ReleaseFile, ReleaseRecord, frame_of

VERSION = "3"
METRIC_COLUMNS = (
    *("grounding", "caption_clip_score", "recaption_clip_score"),
    *("caption_pseudo_perplexity", "recaption_pseudo_perplexity"),
)
FIGURE_COLUMNS = (
    *("figure_id", "paper_id", "figure_number", "method", "labels", "caption", "sub_caption"),
    *("parent_caption", "width_px", "height_px"),
)
READS: dict[str, dict[str, tuple[str, ...]]] = {
    "raw_archives": {"metadata": ("paper_id", "arxiv_id", "doi", "categories", "licence")},
    "figure_candidates": {
        "papers": ("paper_id", "title"),
        "figures": (*FIGURE_COLUMNS, "mentions", "image", "image_format", "sha256"),
    },
    "recaptions": {
        "recaptions": ("figure_id", "recaption", "engine", "model", "prompt_version", "rejection")
    },
    "quality_metrics": {"metrics": ("figure_id", "rejection", *METRIC_COLUMNS)},
    "duplicates": {"duplicates": ("figure_id", "duplicate_of", "rejection")},
}
SUMMARISED = ("media", "n_bytes", "n_rows")


def stage(settings: ReleaseSettings) -> Stage:
    """Return the stage that writes what each shard gives to the release."""

    def make(shard: ShardReader, writer: ShardWriter) -> None:
        source, year = shard.partition.split("|")
        wanted = Wanted(shard, source, int(year), settings.min_clip_score)
        records: list[ReleaseRecord] = []
        with ExitStack() as opened:
            pieces: Pieces | None = None
            for figures in shard.scan("figure_candidates", "figures"):
                for figure in wanted.among(figures).iter_rows(named=True):
                    record, outcome = wanted.take(figure)
                    records.append(outcome)
                    if record is not None:
                        pieces = pieces or Pieces(writer, settings, opened)
                        pieces.add(record, figure["image"])
            files = pieces.close(source, year) if pieces else []
        wanted.check_all_taken()
        writer.write("records", frame_of(ReleaseRecord, records))
        writer.write("files", frame_of(ReleaseFile, files))

    return Stage(
        asset="hf_release",
        version=VERSION,
        tables={"records": ReleaseRecord, "files": ReleaseFile},
        make=make,
        reads=READS,
        settings={"row_group_rows": settings.row_group_rows, "min_clip_score": settings.min_clip_score},
    )


def summary(files: pl.DataFrame) -> dict[str, Any]:
    """Return a partition's counts from its `files` table: records, and bytes of each medium."""
    by_medium = files.group_by("media").agg(pl.sum("n_bytes"), pl.sum("n_rows"))
    sums = {row["media"]: row for row in by_medium.iter_rows(named=True)}
    counts = {f"{medium}_bytes": int(sums.get(medium, {}).get("n_bytes", 0)) for medium in MEDIA}
    return {"records_released": int(sums.get("records", {}).get("n_rows", 0)), **counts}


class Wanted:
    """The rows of quality_metrics, each waiting for its figure, with what other tables know of it."""

    def __init__(self, shard: ShardReader, source: str, year: int, min_clip_score: float) -> None:
        self._min_clip_score = min_clip_score
        self._shard = shard.shard
        self._partition = {"source": source, "year": year}
        self._metrics = by_key(shard.read("quality_metrics", "metrics"), "figure_id")
        self._recaptions = by_key(shard.read("recaptions", "recaptions"), "figure_id")
        self._duplicates = by_key(shard.read("duplicates", "duplicates"), "figure_id")
        self._papers = by_key(shard.read("figure_candidates", "papers"), "paper_id")
        self._metadata = by_key(shard.read("raw_archives", "metadata"), "paper_id")
        self._figure_ids = pl.Series(list(self._metrics), dtype=pl.String).implode()

    def among(self, figures: pl.DataFrame) -> pl.DataFrame:
        """Return the figures that have a row in quality_metrics."""
        return figures.filter(pl.col("figure_id").is_in(self._figure_ids))

    def take(self, figure: Mapping[str, Any]) -> tuple[dict[str, Any] | None, ReleaseRecord]:
        """Return a figure's record, None where it is rejected, and the row that says so.

        Raises:
            ValueError: The figure comes twice, or the tables contradict one another about it.
        """
        figure_id, paper_id = figure["figure_id"], figure["paper_id"]
        metric = self._metrics.pop(figure_id, None)
        if metric is None:
            raise ValueError(f"{figure_id}: the figure is there twice")
        recaption = self._recaptions.get(figure_id, {})
        rejection = metric["rejection"] or recaption.get("rejection")
        if rejection is not None:
            return None, outcome_of(figure, rejection=rejection)
        if duplicate := self._duplicates.get(figure_id):
            kept = duplicate["duplicate_of"]
            return None, outcome_of(figure, rejection=duplicate["rejection"], evidence=kept)
        score = metric["recaption_clip_score"]
        if score is not None and score < self._min_clip_score:
            evidence = f"recaption_clip_score {score:g}, below {self._min_clip_score:g}"
            return None, outcome_of(figure, rejection=Rejection.CLIP_BELOW_THRESHOLD, evidence=evidence)
        check(figure, recaption)
        path = image_path(figure_id, figure["image_format"])
        record = {
            **{name: metric[name] for name in METRIC_COLUMNS},
            **{name: recaption[name] for name in ("recaption", "engine", "model", "prompt_version")},
            **{name: figure[name] for name in FIGURE_COLUMNS},
            **{name: self._metadata.get(paper_id, {}).get(name) for name in ("arxiv_id", "doi", "licence")},
            **self._partition,
            "categories": self._metadata.get(paper_id, {}).get("categories") or [],
            "title": self._papers.get(paper_id, {}).get("title"),
            "mentions": [mention["text"] for mention in figure["mentions"]],
            "image_path": path,
            "image_sha256": figure["sha256"],
            "image_size_bytes": len(figure["image"]),
        }
        return record, outcome_of(figure, image_path=path, image_sha256=figure["sha256"])

    def check_all_taken(self) -> None:
        """Refuse to lose a row: every metric must have met its figure."""
        if self._metrics:
            raise ValueError(f"{next(iter(self._metrics))}: no such figure in shard {self._shard}")


def by_key(rows: pl.DataFrame, key: str) -> dict[str, dict[str, Any]]:
    """Return the rows of a small table by their key.

    Raises:
        ValueError: Two rows share a key.
    """
    found = {row[key]: row for row in rows.iter_rows(named=True)}
    if len(found) < len(rows):
        raise ValueError(f"{rows.filter(pl.col(key).is_duplicated())[key][0]}: two rows of one {key}")
    return found


def check(figure: Mapping[str, Any], recaption: Mapping[str, Any]) -> None:
    """Require that a figure about to be released has a recaption, and the image that its row describes."""
    figure_id = figure["figure_id"]
    if not recaption.get("recaption"):
        raise ValueError(f"{figure_id}: it has neither a recaption nor a rejection")
    if figure["image"] is None:
        raise ValueError(f"{figure_id}: it is to be released and has no image")
    if hashlib.sha256(figure["image"]).hexdigest() != figure["sha256"]:
        raise ValueError(f"{figure_id}: its image is not the one that its sha256 names")


def outcome_of(
    figure: Mapping[str, Any],
    *,
    rejection: str | None = None,
    evidence: str | None = None,
    image_path: str | None = None,
    image_sha256: str | None = None,
) -> ReleaseRecord:
    """Return the row of `records`: where the figure went, or why it did not."""
    return ReleaseRecord(
        figure_id=figure["figure_id"],
        paper_id=figure["paper_id"],
        image_path=image_path,
        image_sha256=image_sha256,
        rejection=rejection,
        evidence=evidence,
    )
