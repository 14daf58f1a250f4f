"""The stage hf_release: what one shard gives to the release, in pieces that need only be joined (pieces.MEDIA)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import polars as pl

from s1mm_assets.release.layout import MEDIA
from s1mm_assets.release.licences import Licence
from s1mm_assets.release.papers import (
    ARCHIVE_COLUMNS,
    IMAGE,
    METADATA_COLUMNS,
    PAPER_COLUMNS,
    RECIPE,
    Papers,
    by_key,
    figure_licence,
)
from s1mm_assets.release.settings import ReleaseSettings
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Rejection, ReleaseFile, ReleaseRecord, frame_of

if TYPE_CHECKING:
    from s1mm_assets.release.pieces import Pieces

VERSION = "4"
METRIC_COLUMNS = (
    *("grounding", "caption_clip_score", "recaption_clip_score"),
    *("caption_pseudo_perplexity", "recaption_pseudo_perplexity"),
)
FIGURE_COLUMNS = (
    *("figure_id", "paper_id", "figure_number", "method", "labels", "caption", "sub_caption"),
    *("parent_caption", "width_px", "height_px"),
)
RECIPE_COLUMNS = ("image_member", "page", "bbox", "renderer")
READS: dict[str, dict[str, tuple[str, ...]]] = {
    "raw_archives": {"archives": ARCHIVE_COLUMNS, "metadata": METADATA_COLUMNS},
    "figure_candidates": {
        "papers": PAPER_COLUMNS,
        "figures": (
            *(*FIGURE_COLUMNS, *RECIPE_COLUMNS, "mentions", "rights"),
            *("image", "image_format", "sha256"),
        ),
    },
    "recaptions": {
        "recaptions": ("figure_id", "recaption", "engine", "model", "prompt_version", "rejection")
    },
    "quality_metrics": {"metrics": ("figure_id", "rejection", *METRIC_COLUMNS)},
    "duplicates": {"duplicates": ("figure_id", "duplicate_of", "rejection")},
}
SUMMARISED = ("media", "n_bytes", "n_rows")
SHAPING = ("row_group_rows", "min_clip_score", "webdataset")


def stage(settings: ReleaseSettings, takedowns: Mapping[str, Mapping[str, str]] | None = None) -> Stage:
    """Return the stage that writes what each shard gives to the release.

    Args:
        settings: How it is cut, and what its licences allow.
        takedowns: Shard → "source:paper", figure_id or "sha256:…" → reason, of what must be left out.
    """
    left_out = takedowns or {}

    def make(shard: ShardReader, writer: ShardWriter) -> None:
        from s1mm_assets.release.pieces import Pieces

        papers = Papers(shard, left_out.get(shard.shard, {}))
        wanted = Wanted(shard, papers, settings)
        records: list[ReleaseRecord] = []
        with ExitStack() as opened, ThreadPoolExecutor(1) as digesting:
            pieces = Pieces(writer, settings, opened)
            for figures in shard.scan("figure_candidates", "figures"):
                rows = wanted.among(figures)
                digests = digesting.map(sha256_of, rows["image"])  # beside the packing, which takes longer
                for figure, sha256 in zip(rows.iter_rows(named=True), digests, strict=True):
                    records.append(wanted.take(figure, sha256, pieces))
            for row in papers.attributions(records):
                pieces.add_row("attribution", row)
            for row in papers.tombstones(records, wanted.banned):
                pieces.add_row("tombstones", row)
            files = pieces.close(*shard.partition.split("|"))
        wanted.check_all_taken()
        writer.write("records", frame_of(ReleaseRecord, records))
        writer.write("files", frame_of(ReleaseFile, files))

    return Stage(
        asset="hf_release",
        version=VERSION,
        tables={"records": ReleaseRecord, "files": ReleaseFile},
        make=make,
        reads=READS,
        settings={name: getattr(settings, name) for name in SHAPING} | settings.licences(),
        shard_inputs=lambda shard: dict(sorted(left_out.get(shard, {}).items())),
    )


def summary(files: pl.DataFrame) -> dict[str, Any]:
    """Return a partition's counts from its `files` table: records, and bytes of each medium."""
    by_medium = files.group_by("media").agg(pl.sum("n_bytes"), pl.sum("n_rows"))
    sums = {row["media"]: row for row in by_medium.iter_rows(named=True)}
    counts = {f"{medium}_bytes": int(sums.get(medium, {}).get("n_bytes", 0)) for medium in MEDIA}
    n_rows = {medium: int(sums.get(medium, {}).get("n_rows", 0)) for medium in MEDIA}
    return {
        "records_released": n_rows["records"],
        "records_without_image": n_rows["recipes"],
        "tombstones": n_rows["tombstones"],
        **counts,
    }


class Wanted:
    """The rows of quality_metrics, each waiting for its figure, with what other tables know of it."""

    def __init__(self, shard: ShardReader, papers: Papers, settings: ReleaseSettings) -> None:
        self._settings = settings
        self._papers = papers
        self._shard = shard.shard
        source, year = shard.partition.split("|")
        self._partition = {"source": source, "year": int(year)}
        self._metrics = by_key(shard.read("quality_metrics", "metrics"), "figure_id")
        self._recaptions = by_key(shard.read("recaptions", "recaptions"), "figure_id")
        self._duplicates = by_key(shard.read("duplicates", "duplicates"), "figure_id")
        self._figure_ids = pl.Series(list(self._metrics), dtype=pl.String).implode()
        self.banned: dict[str, str] = {}  # figure_id → sha256 of what must not be shown any more

    def among(self, figures: pl.DataFrame) -> pl.DataFrame:
        """Return the figures that have a row in quality_metrics."""
        return figures.filter(pl.col("figure_id").is_in(self._figure_ids))

    def take(self, figure: Mapping[str, Any], sha256: str | None, pieces: Pieces) -> ReleaseRecord:
        """Write a figure to the pieces, unless it is turned away; return the row that says which.

        Args:
            figure: Its row.
            sha256: Of the image in it.
            pieces: Where it goes.

        Raises:
            ValueError: The figure comes twice, or the tables contradict one another about it.
        """
        figure_id, paper_id = figure["figure_id"], figure["paper_id"]
        metric = self._metrics.pop(figure_id, None)
        if metric is None:
            raise ValueError(f"{figure_id}: the figure is there twice")
        recaption = self._recaptions.get(figure_id, {})
        if turned_away := self._turned_away(figure, metric, recaption):
            reason, evidence = turned_away
            image_sha256 = self.banned.get(figure_id)
            return outcome_of(figure, rejection=reason, evidence=evidence, image_sha256=image_sha256)
        check(figure, recaption, sha256)
        licence = figure_licence(self._papers.licence(paper_id), figure["rights"])
        record = self._record(figure, metric, recaption, licence)
        is_shown = self._settings.allows(licence)
        if is_shown:
            pieces.add(record, figure["image"])
        else:
            pieces.add_recipe(record, recipe_of(figure, self._papers.archive(paper_id)))
        return outcome_of(
            figure,
            image_path=record["image_path"],
            image_sha256=figure["sha256"],
            released_as=IMAGE if is_shown else RECIPE,
            licence=licence.spdx,
        )

    def _turned_away(
        self, figure: Mapping[str, Any], metric: Mapping[str, Any], recaption: Mapping[str, Any]
    ) -> tuple[str, str | None] | None:
        """Return why a figure is not released, and the evidence."""
        figure_id = figure["figure_id"]
        rejection = metric["rejection"] or recaption.get("rejection")
        if rejection is not None:
            return rejection, None
        if ban := self._papers.ban(figure["paper_id"], figure_id, figure["sha256"]):
            self.banned[figure_id] = figure["sha256"]
            return ban
        if duplicate := self._duplicates.get(figure_id):
            return duplicate["rejection"], duplicate["duplicate_of"]
        score, lowest = metric["recaption_clip_score"], self._settings.min_clip_score
        if score is not None and score < lowest:
            return Rejection.CLIP_BELOW_THRESHOLD, f"recaption_clip_score {score:g}, below {lowest:g}"
        return None

    def _record(
        self,
        figure: Mapping[str, Any],
        metric: Mapping[str, Any],
        recaption: Mapping[str, Any],
        licence: Licence,
    ) -> dict[str, Any]:
        """Return the columns of `records.RECORD`."""
        from s1mm_assets.release.records import image_path

        paper_id = figure["paper_id"]
        metadata = self._papers.metadata(paper_id)
        return {
            **{name: metric[name] for name in METRIC_COLUMNS},
            **{name: recaption[name] for name in ("recaption", "engine", "model", "prompt_version")},
            **{name: figure[name] for name in FIGURE_COLUMNS},
            **{name: metadata.get(name) for name in ("arxiv_id", "doi", "licence_read")},
            **self._partition,
            "licence": licence.spdx,
            "licence_url": licence.url,
            "categories": metadata.get("categories") or [],
            "title": self._papers.title(paper_id),
            "mentions": [mention["text"] for mention in figure["mentions"]],
            "image_path": image_path(figure["figure_id"], figure["image_format"]),
            "image_sha256": figure["sha256"],
            "image_size_bytes": len(figure["image"]),
        }

    def check_all_taken(self) -> None:
        """Refuse to lose a row: every metric must have met its figure."""
        if self._metrics:
            raise ValueError(f"{next(iter(self._metrics))}: no such figure in shard {self._shard}")


def recipe_of(figure: Mapping[str, Any], archive: Mapping[str, Any]) -> dict[str, Any]:
    """Return how a figure's image is made from the paper: which bytes, which member or page and box, by what."""
    from s1mm_assets.release.records import caption_sha256

    return {
        **{name: archive.get(name) for name in ("kind", "uri", "offset", "length")},
        "archive_sha256": archive.get("sha256"),
        **{name: figure[name] for name in RECIPE_COLUMNS},
        "caption_sha256": caption_sha256(figure["caption"]),
    }


def sha256_of(image: bytes | None) -> str | None:
    """Return the digest of an image, hex; None where there is none."""
    return None if image is None else hashlib.sha256(image).hexdigest()


def check(figure: Mapping[str, Any], recaption: Mapping[str, Any], sha256: str | None) -> None:
    """Require that a figure about to be released has a recaption, and the image that its row describes."""
    figure_id = figure["figure_id"]
    if not recaption.get("recaption"):
        raise ValueError(f"{figure_id}: it has neither a recaption nor a rejection")
    if figure["image"] is None:
        raise ValueError(f"{figure_id}: it is to be released and has no image")
    if sha256 != figure["sha256"]:
        raise ValueError(f"{figure_id}: its image is not the one that its sha256 names")


def outcome_of(figure: Mapping[str, Any], **what: str | None) -> ReleaseRecord:
    """Return the row of `records`: where the figure went, or why it did not."""
    columns = dict.fromkeys(("image_path", "image_sha256", "rejection"))
    return ReleaseRecord(figure_id=figure["figure_id"], paper_id=figure["paper_id"], **(columns | what))
