"""The stage recaptions: every kept figure is asked about once, paper by paper."""

from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from s1mm_assets import figure_texts
from s1mm_assets.recaptioning.window import (
    CaptionAnswer,
    Captioner,
    CaptionJob,
    CaptionRequest,
    Mention,
    SemanticWindow,
)
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Recaption, frame_of

VERSION = "2"
SUMMARISED = ("recaption", "engine", "rejection")
ROWS_PER_WRITE = 500
FIGURE_COLUMNS = (
    *("figure_id", "paper_id", "figure_number", "caption", "sub_caption", "parent_caption", "mentions"),
)


def stage(captioner: Captioner) -> Stage:
    """Return the stage that asks one engine for the recaption of every kept figure."""

    def make(shard: ShardReader, writer: ShardWriter) -> None:
        asked: deque[tuple[str, str]] = (
            deque()
        )  # of figure and paper: an engine may be far ahead of its answers
        rows: list[Recaption] = []
        kept = kept_figures(shard)
        job = CaptionJob(partition=shard.partition, shard=shard.shard, n_figures=len(kept))
        requests = noted(requests_of(shard, kept), asked)
        for answer in captioner.caption(requests, job):
            figure_id, paper_id = asked.popleft()
            rows.append(recaption(captioner, figure_id, paper_id, answer))
            if len(rows) == ROWS_PER_WRITE:
                writer.write("recaptions", frame_of(Recaption, rows))
                rows = []
        writer.write("recaptions", frame_of(Recaption, rows))
        if asked:
            raise ValueError(f"{captioner.engine} gave no answer for {asked[0][0]}")

    figures = (*FIGURE_COLUMNS, "image", "sha256") if captioner.needs_image else FIGURE_COLUMNS
    return Stage(
        asset="recaptions",
        version=VERSION,
        tables={"recaptions": Recaption},
        make=make,
        reads={
            "figure_candidates": {"papers": ("paper_id", "title", "abstract"), "figures": figures},
            "filtered_figures": {"decisions": ("figure_id", "rejection"), "texts": figure_texts.READ},
        },
        settings={
            "engine": captioner.engine,
            "model": captioner.model,
            "model_revision": captioner.model_revision,
            "prompt_version": captioner.prompt_version,
            "prompt_sha256": captioner.prompt_sha256,
            **captioner.parameters,
        },
    )


def kept_figures(shard: ShardReader) -> pl.Series:
    """The ids of the figures that the filters kept."""
    decisions = shard.read("filtered_figures", "decisions")
    return decisions.filter(pl.col("rejection").is_null())["figure_id"]


def requests_of(
    shard: ShardReader, kept: pl.Series, lines_of: figure_texts.LinesOf | None = None
) -> Iterator[CaptionRequest]:
    """Yield a request per kept figure. Figures lie paper by paper, and so do the requests.

    Args:
        shard: The tables.
        kept: Ids of the figures to ask about.
        lines_of: What was read in images; of the shard's own table where not given.
    """
    papers = {row["paper_id"]: row for row in shard.read("figure_candidates", "papers").iter_rows(named=True)}
    lines_of = lines_of or figure_texts.lines_by_figure(shard.read("filtered_figures", "texts"))
    for figures in shard.scan("figure_candidates", "figures"):
        for figure in figures.filter(pl.col("figure_id").is_in(kept.implode())).iter_rows(named=True):
            yield CaptionRequest(
                figure_id=figure["figure_id"],
                paper_id=figure["paper_id"],
                window=window_of(figure, papers[figure["paper_id"]], lines_of(figure["figure_id"]) or ()),
                image=figure.get("image"),
                image_sha256=figure.get("sha256"),
            )


def window_of(
    figure: Mapping[str, Any], paper: Mapping[str, Any], image_text: tuple[str, ...] = ()
) -> SemanticWindow:
    """Return what the paper says about a figure, and what is written in it."""
    return SemanticWindow(
        title=paper["title"],
        abstract=paper["abstract"],
        figure_number=figure["figure_number"],
        caption=figure["caption"],
        sub_caption=figure["sub_caption"],
        parent_caption=figure["parent_caption"],
        mentions=tuple(
            Mention(each["section"], each["text"], bool(each["is_caption"])) for each in figure["mentions"]
        ),
        image_text=image_text,
    )


def noted(requests: Iterator[CaptionRequest], asked: deque[tuple[str, str]]) -> Iterator[CaptionRequest]:
    """Pass requests on, and remember whose they are until they are answered; not their images."""
    for request in requests:
        asked.append((request.figure_id, request.paper_id))
        yield request


def recaption(captioner: Captioner, figure_id: str, paper_id: str, answer: CaptionAnswer) -> Recaption:
    """Return the row of one answer."""
    return Recaption(
        figure_id=figure_id,
        paper_id=paper_id,
        recaption=answer.recaption,
        engine=captioner.engine,
        model=captioner.model,
        model_revision=captioner.model_revision,
        prompt_version=captioner.prompt_version,
        prompt_sha256=captioner.prompt_sha256,
        n_prompt_tokens=answer.n_prompt_tokens,
        n_completion_tokens=answer.n_completion_tokens,
        finish_reason=answer.finish_reason,
        flags=list(answer.flags),
        rejection=answer.rejection,
        evidence=answer.evidence,
        sampling=answer.sampling,
        seed=answer.seed,
        request_sha256=answer.request_sha256,
    )


def summary(recaptions: pl.DataFrame) -> dict[str, Any]:
    """Return what a partition's recaptions came to."""
    lengths = recaptions["recaption"].drop_nulls().str.len_chars()
    return {
        "recaptions": len(lengths),
        "rejected": len(recaptions) - recaptions["rejection"].null_count(),
        "engine": ", ".join(recaptions["engine"].unique().sort()) or "none",
        "mean_length_chars": float(lengths.cast(pl.Float64).mean() or 0),  # type: ignore[arg-type]
    }
