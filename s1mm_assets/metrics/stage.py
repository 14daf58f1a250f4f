"""The stage quality_metrics: everything that is known of each recaption. A score without its model is null."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl

from s1mm_assets import figure_texts
from s1mm_assets.grounding import grounding
from s1mm_assets.metrics.degenerate import Flag, flags_of, shared
from s1mm_assets.metrics.subjects import subject_of
from s1mm_assets.stages import ShardReader, ShardWriter, Stage
from s1mm_assets.tables import Metric, PairScore, TextScore, columns_of, frame_of, schema_of

VERSION = "2"
FIGURE_COLUMNS = ("figure_id", "paper_id", "caption", "sub_caption", "parent_caption", "mentions")
SCORES: dict[str, type] = {"pseudo_perplexities": TextScore, "clip_scores": PairScore}

Languages = Callable[[Sequence[str]], list[str | None]]
"""Texts → the ISO 639-1 code of each, None where the language does not show."""


def stage(*, languages: Languages, environment: Mapping[str, str], score_stages: Sequence[Stage]) -> Stage:
    """Return the stage that measures every recaption that was not rejected.

    Args:
        languages: Tells the language of texts.
        environment: Its version, by its name.
        score_stages: Those that were made before; the columns of the other `SCORES` stay null.
    """
    scored = [each.asset for each in score_stages]
    known = {
        **environment,
        **{name: version for each in score_stages for name, version in each.environment.items()},
    }

    def make(shard: ShardReader, writer: ShardWriter) -> None:
        recaptions = shard.read("recaptions", "recaptions").filter(pl.col("rejection").is_null())
        texts = dict(recaptions.select("figure_id", "recaption").iter_rows())
        repeated = shared(texts)
        context = Context(shard)
        scores = [shard.read(asset, "scores") for asset in scored]
        for figures in shard.scan("figure_candidates", "figures"):
            own = figures.filter(pl.col("figure_id").is_in(list(texts)))
            rows = [
                metric(figure, context, texts[figure["figure_id"]], is_shared=figure["figure_id"] in repeated)
                for figure in own.iter_rows(named=True)
            ]
            found = frame_of(Metric, rows).with_columns(
                caption_language=_codes(languages, own["caption"]),
                recaption_language=_codes(
                    languages, own["figure_id"].replace_strict(texts, return_dtype=pl.String)
                ),
            )
            writer.write("metrics", with_scores(found, scores))
            for component in known if rows else ():
                writer.used(component)

    return Stage(
        asset="quality_metrics",
        version=VERSION,
        tables={"metrics": Metric},
        make=make,
        reads={
            "raw_archives": {"metadata": ("paper_id", "categories")},
            "figure_candidates": {"papers": ("paper_id", "title", "abstract"), "figures": FIGURE_COLUMNS},
            "filtered_figures": {"texts": figure_texts.READ},
            "recaptions": {"recaptions": ("figure_id", "recaption", "rejection")},
            **{asset: {"scores": tuple(columns_of(SCORES[asset]))} for asset in scored},
        },
        environment=known,
    )


class Context:
    """What a shard knows of its papers and images."""

    def __init__(self, shard: ShardReader) -> None:
        self.source = shard.partition.partition("|")[0]
        papers = shard.read("figure_candidates", "papers")
        self.papers = {row["paper_id"]: row for row in papers.iter_rows(named=True)}
        self.categories = dict(shard.read("raw_archives", "metadata").iter_rows())
        self.lines_of = figure_texts.lines_by_figure(shard.read("filtered_figures", "texts"))


def metric(figure: Mapping[str, Any], context: Context, recaption: str, *, is_shared: bool) -> Metric:
    """Return the measurements of one recaption; languages and scores are filled in afterwards."""
    paper = context.papers[figure["paper_id"]]
    sources = [paper["title"], paper["abstract"]]
    sources += [figure["caption"], figure["sub_caption"], figure["parent_caption"]]
    sources += [mention["text"] for mention in figure["mentions"]]
    known = [text for text in sources if text]
    lines = context.lines_of(figure["figure_id"])
    of_paper = grounding(recaption, known)
    found = of_paper if lines is None else grounding(recaption, [*known, *lines])
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
        flags=[*flags_of(recaption, figure["caption"]), *([Flag.SHARED] if is_shared else [])],
        rejection=None,
        n_claims_in_image=None if lines is None else len(of_paper.ungrounded) - len(found.ungrounded),
        subject=subject_of(context.categories.get(figure["paper_id"]) or [], context.source),
    )


def _codes(languages: Languages, texts: pl.Series) -> pl.Series:
    return pl.Series(languages(texts.to_list()), dtype=pl.String)


def with_scores(metrics: pl.DataFrame, scores: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Fill the columns of the scores that were made; reasons of all of them stand in one column."""
    filled = metrics
    reasons = [pl.lit([], dtype=schema_of(Metric)["missing_scores"])] if scores else []
    for i, table in enumerate(scores):
        own = table.rename({"missing_scores": f"reasons_{i}"})
        columns = [name for name in table.columns if name not in ("figure_id", "missing_scores")]
        filled = filled.drop(columns).join(
            own, on="figure_id", how="left", validate="1:1", maintain_order="left"
        )
        reasons.append(pl.col(f"reasons_{i}").fill_null([]))
    if reasons:
        filled = filled.with_columns(missing_scores=pl.concat_list(reasons))
    return filled.select(columns_of(Metric))
