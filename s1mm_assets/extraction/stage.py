"""The stage figure_candidates: archives of a shard → papers and figures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import polars as pl

from s1mm_assets.extraction.rows import PaperJob
from s1mm_assets.stages import Failed, MapItems, ShardReader, ShardWriter, SourceUnavailable, Stage, Unread
from s1mm_assets.tables import FigureCandidate, Paper, Rejection, frame_of

if TYPE_CHECKING:
    from s1mm_assets.extraction.papers import PaperRead, PaperReader

VERSION = "3"
READS = {
    "raw_archives": {
        "archives": (
            *("paper_id", "source", "kind", "uri", "offset", "length", "sha256"),
            *("rejection", "evidence"),
        ),
        "metadata": ("paper_id", "title", "abstract", "authors"),
    }
}


def stage(
    *, reader: PaperReader, map_papers: MapItems, environment: Mapping[str, str], bundle_version: str
) -> Stage:
    """Return the stage that reads every paper of a shard.

    Args:
        reader: Reads one paper; runs in the workers.
        bundle_version: Version of the code that opens bundles.
        map_papers: Applies it to the papers, each of which may fail alone.
        environment: Renderer or layout detector → version, or "missing".
    """

    def make(shard: ShardReader, writer: ShardWriter) -> None:
        from s1mm_assets.extraction.papers import PaperRead

        jobs = list(papers_of(shard))
        to_read = [job for job in jobs if isinstance(job, PaperJob)]
        outcomes = iter(map_papers(reader, to_read, what="papers", total=len(to_read)))
        for job in jobs:
            read = job if isinstance(job, PaperRead) else settled(job, next(outcomes))
            writer.write("papers", frame_of(Paper, [read.paper]))
            writer.write("figures", frame_of(FigureCandidate, read.figures))
            for renderer in sorted(read.renderers & set(environment)):
                writer.used(renderer)

    return Stage(
        asset="figure_candidates",
        version=VERSION,
        tables={"papers": Paper, "figures": FigureCandidate},
        make=make,
        reads=READS,
        settings={
            "raster": asdict(reader.raster),
            "pdf": asdict(reader.pdf),
            "bundle_version": bundle_version,
        },
        environment=environment,
    )


def papers_of(shard: ShardReader) -> Iterator[PaperJob | PaperRead]:
    """Yield a job per archive, or at once the row of one that raw_archives rejected."""
    from s1mm_assets.extraction.papers import rejected

    metadata = {row["paper_id"]: row for row in shard.read("raw_archives", "metadata").iter_rows(named=True)}
    for archives in shard.scan("raw_archives", "archives"):
        for archive in archives.iter_rows(named=True):
            known: dict[str, Any] = metadata.get(archive["paper_id"], {})
            job = PaperJob(
                source=archive["source"],
                paper_id=archive["paper_id"],
                uri=archive["uri"],
                offset=archive["offset"],
                length=archive["length"],
                sha256=archive["sha256"],
                title=known.get("title"),
                abstract=known.get("abstract"),
                authors=tuple(known.get("authors") or ()),
            )
            is_closed = archive["rejection"] not in (None, Rejection.NO_IMAGES)
            yield rejected(job, archive["rejection"], archive["evidence"]) if is_closed else job


def settled(job: PaperJob, outcome: PaperRead | Unread | Failed) -> PaperRead:
    """Return what a paper gave, or its row where the worker did not come back.

    Raises:
        SourceUnavailable: The source did not give its bytes.
    """
    from s1mm_assets.extraction.papers import rejected

    if isinstance(outcome, Unread):
        raise SourceUnavailable(
            f"{job.paper_id} at {job.uri}: {outcome.evidence}. Nothing of this shard was committed; "
            "run again when the source can be read."
        )
    return rejected(job, outcome.rejection, outcome.evidence) if isinstance(outcome, Failed) else outcome


SUMMARISED = ("n_figures", "n_rows", "n_images", "rejection")


def summary(papers: pl.DataFrame) -> dict[str, Any]:
    """Return what a partition's papers gave: counts for people to read."""
    rejections = papers.drop_nulls("rejection").group_by("rejection").len().sort("len", descending=True)
    return {
        "papers": len(papers),
        "papers_with_figures": len(papers.filter(pl.col("n_rows") > 0)),
        "numbered_figures": papers["n_figures"].sum(),
        "images": papers["n_images"].sum(),
        "papers_rejected": dict(rejections.iter_rows()),
    }
