"""The stage quality_metrics: lengths and grounding of each recaption. A score without its model is null."""

from collections.abc import Mapping
from typing import Any

import polars as pl

from s1mm_assets.grounding import grounding
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Metric, frame_of

VERSION = "1"
SUMMARISED = (
    *("caption_length_chars", "recaption_length_chars", "n_claims", "n_grounded_claims"),
    *(
        "caption_clip_score",
        "recaption_clip_score",
        "caption_pseudo_perplexity",
        "recaption_pseudo_perplexity",
    ),
)
FIGURE_COLUMNS = ("figure_id", "paper_id", "caption", "sub_caption", "parent_caption", "mentions")


def stage() -> Stage:
    """Return the stage that measures every recaption that was not rejected."""

    def make(shard: ShardReader, writer: ShardWriter) -> None:
        papers = {
            row["paper_id"]: row for row in shard.read("figure_candidates", "papers").iter_rows(named=True)
        }
        recaptions = shard.read("recaptions", "recaptions").filter(pl.col("rejection").is_null())
        texts = dict(recaptions.select("figure_id", "recaption").iter_rows())
        for figures in shard.scan("figure_candidates", "figures"):
            recaptioned = figures.filter(pl.col("figure_id").is_in(set(texts)))
            rows = [
                metric(figure, papers[figure["paper_id"]], texts[figure["figure_id"]])
                for figure in recaptioned.iter_rows(named=True)
            ]
            writer.write("metrics", frame_of(Metric, rows))

    return Stage(
        asset="quality_metrics",
        version=VERSION,
        tables={"metrics": Metric},
        make=make,
        reads={
            "figure_candidates": {"papers": ("paper_id", "title", "abstract"), "figures": FIGURE_COLUMNS},
            "recaptions": {"recaptions": ("figure_id", "recaption", "rejection")},
        },
    )


def metric(figure: Mapping[str, Any], paper: Mapping[str, Any], recaption: str) -> Metric:
    """Return the measurements of one recaption."""
    sources = [paper["title"], paper["abstract"]]
    sources += [figure["caption"], figure["sub_caption"], figure["parent_caption"]]
    sources += [mention["text"] for mention in figure["mentions"]]
    found = grounding(recaption, [text for text in sources if text])
    return Metric(
        figure_id=figure["figure_id"],
        paper_id=figure["paper_id"],
        caption_length_chars=len(figure["caption"]),
        recaption_length_chars=len(recaption),
        caption_pseudo_perplexity=None,
        recaption_pseudo_perplexity=None,
        caption_clip_score=None,
        recaption_clip_score=None,
        n_claims=found.n_claims,
        n_grounded_claims=found.n_claims - len(found.ungrounded),
        grounding=found.share,
        ungrounded_claims=list(found.ungrounded),
        flags=[],
        rejection=None,
    )


NOT_EVALUATED = {
    "clip_score": "not evaluated: this version has no CLIP encoder",
    "pseudo_perplexity": "not evaluated: this version has no masked language model",
}


def summary(metrics: pl.DataFrame) -> dict[str, Any]:
    """Return what the metrics say, for people: means and deviations, or that something was not evaluated."""
    claims = int(metrics["n_claims"].sum())
    numbers: dict[str, Any] = {
        "measured": len(metrics),
        **spread("caption_length_chars", metrics),
        **spread("recaption_length_chars", metrics),
        "expansion": expansion(metrics),
        "grounding": int(metrics["n_grounded_claims"].sum()) / claims if claims else "no claims",
    }
    for score, words in NOT_EVALUATED.items():
        for text in ("caption", "recaption"):
            column = f"{text}_{score}"
            is_null = metrics[column].null_count() == len(metrics)
            numbers |= {column: words} if is_null else spread(column, metrics)
    return numbers


def expansion(metrics: pl.DataFrame) -> float | str:
    """Return how many times longer recaptions are than captions: the mean of the one over that of the other."""
    captions, recaptions = (int(metrics[f"{text}_length_chars"].sum()) for text in ("caption", "recaption"))
    return recaptions / captions if captions else "no captions"


def spread(column: str, metrics: pl.DataFrame) -> dict[str, float | str]:
    """Return mean and standard deviation of a column."""
    values = metrics[column].drop_nulls().cast(pl.Float64)
    mean, deviation = values.mean(), values.std(ddof=0)
    if mean is None:
        return {column: "no rows"}
    return {f"{column}/mean": float(mean), f"{column}/std": float(deviation or 0)}  # type: ignore[arg-type]
