"""Measuring every recaption."""

from collections.abc import Sequence
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from s1mm_assets.metrics import stage
from s1mm_assets.metrics.scores import PERPLEXITIES
from s1mm_assets.metrics.stage import with_scores
from s1mm_assets.stages import Stage
from s1mm_assets.tables import (
    FigureCandidate,
    FigureText,
    Metadata,
    Metric,
    Paper,
    Recaption,
    TextScore,
    frame_of,
)
from s1mm_assets_tests.fakes import MemoryShard
from s1mm_assets_tests.strategies import figure

IDS = ["arxiv:p#1.1", "arxiv:p#2.1", "arxiv:p#3.1"]
SCORE = TextScore(
    figure_id=IDS[1],
    caption_pseudo_perplexity=30.0,
    recaption_pseudo_perplexity=None,
    missing_scores=[{"score": "recaption_pseudo_perplexity", "reason": "too_long"}],
)
SCORED = Stage(
    asset=PERPLEXITIES,
    version="1",
    tables={"scores": TextScore},
    make=lambda reader, writer: None,
    environment={PERPLEXITIES: "a model"},
)


def recaption(figure_id: str, text: str | None) -> Recaption:
    """A recaption, or a rejection where there is no text."""
    values: dict[str, Any] = {
        **dict.fromkeys(Recaption.__dataclass_fields__),
        "figure_id": figure_id,
        "paper_id": "p",
        "recaption": text,
        "engine": "context",
        "prompt_version": "1",
        "prompt_sha256": "0",
        "flags": [],
        "rejection": None if text else "no_context",
    }
    return Recaption(**values)


def shard_of(texts: Sequence[str | None], *, score_stages: Sequence[Stage] = ()) -> MemoryShard:
    """A shard that was measured; the captions have 10 characters, and the second image was read."""
    mention = {"section": None, "text": "It has 7 bins.", "is_caption": False}
    figures = [figure(each, caption="A caption.", mentions=[mention]) for each in IDS]
    counts: dict[str, Any] = {"authors": [], "warnings": [], "n_figures": 1, "n_rows": 1, "n_images": 1}
    paper = Paper(
        **{**dict.fromkeys(Paper.__dataclass_fields__), **counts, "paper_id": "p", "title": "On 8 BERT nets"}
    )
    about: dict[str, Any] = {"authors": [], "categories": ["hep-ph"], "is_withdrawn": False}
    metadata = Metadata(**{**dict.fromkeys(Metadata.__dataclass_fields__), **about, "paper_id": "p"})
    line = {"text": "9 lives", "confidence": 0.9, "x0": 0.0, "y0": 0.0, "x1": 1.0, "y1": 1.0}
    read = FigureText(figure_id=IDS[1], lines=[line], rejection=None, evidence=None)
    made = stage(
        languages=lambda each: ["en"] * len(each), environment={"by": "1"}, score_stages=score_stages
    )
    shard = MemoryShard(
        made,
        {
            ("raw_archives", "metadata"): frame_of(Metadata, [metadata]),
            ("figure_candidates", "figures"): frame_of(FigureCandidate, figures),
            ("figure_candidates", "papers"): frame_of(Paper, [paper]),
            ("filtered_figures", "texts"): frame_of(FigureText, [read]),
            ("recaptions", "recaptions"): frame_of(
                Recaption, [recaption(*each) for each in zip(IDS, texts, strict=False)]
            ),
            (PERPLEXITIES, "scores"): frame_of(TextScore, [SCORE]),
        },
    )
    made.make(shard, shard)
    return shard


def measured(texts: Sequence[str | None], *, score_stages: Sequence[Stage] = ()) -> pl.DataFrame:
    """The metrics of the figures' recaptions."""
    return shard_of(texts, score_stages=score_stages).tables["metrics"]


def test_every_recaption_is_measured_once() -> None:
    """A recaption has one row, a rejected one and a figure without one have none."""
    metrics = measured(["Seven words.", None])

    assert metrics["figure_id"].to_list() == [IDS[0]]
    assert metrics.select("caption_length_chars", "recaption_length_chars").row(0) == (10, 12)


def test_claims_are_sought_in_caption_mentions_and_title() -> None:
    """Numbers of the mentions and names of the title are grounded; what is nowhere is listed."""
    row = measured(["BERT has 7 bins, 8 nets, 9 lives."]).row(0, named=True)

    assert (row["n_claims"], row["n_grounded_claims"], row["ungrounded_claims"]) == (4, 3, ["9"])
    assert row["grounding"] == 0.75
    assert row["n_claims_in_image"] is None


def test_claims_are_sought_in_the_image_that_was_read() -> None:
    """And those that only it holds are counted."""
    row = measured([None, "BERT has 7 bins, 8 nets, 9 lives."]).row(0, named=True)

    assert (row["grounding"], row["n_claims_in_image"], row["ungrounded_claims"]) == (1, 1, [])


def test_languages_subject_and_flags() -> None:
    """Of each recaption; the same words twice are flagged at both."""
    metrics = measured(["The same words here.", "the same WORDS here", "Others."])

    assert metrics["recaption_language"].to_list() == metrics["caption_language"].to_list() == ["en"] * 3
    assert metrics["subject"].unique().to_list() == ["Physics"]
    assert ["shared" in flags for flags in metrics["flags"]] == [True, True, False]


def test_scores_without_a_model_are_null() -> None:
    """So are the reasons: nothing was asked."""
    metrics = measured(["One.", "Two."])

    for score in ("clip_score", "whole_clip_score", "shuffled_clip_score", "pseudo_perplexity"):
        for text in ("caption", "recaption"):
            assert metrics[f"{text}_{score}"].null_count() == 2
    assert metrics["missing_scores"].null_count() == 2


def test_scores_that_were_made_are_joined() -> None:
    """With why one is missing; a figure outside the sample has none, and no reason."""
    shard = shard_of(["One.", "Two."], score_stages=[SCORED])
    outside, inside = shard.tables["metrics"].rows(named=True)

    assert outside["caption_pseudo_perplexity"] is None
    assert outside["missing_scores"] == []
    assert (inside["caption_pseudo_perplexity"], inside["recaption_pseudo_perplexity"]) == (30, None)
    assert inside["missing_scores"] == SCORE.missing_scores
    assert inside["caption_clip_score"] is None
    assert shard.components == {"by", PERPLEXITIES}


def test_joining_nothing_changes_nothing() -> None:
    """Not the order of the columns either."""
    metrics = measured(["One.", "Two."])

    assert_frame_equal(with_scores(metrics, []), metrics)


@pytest.mark.parametrize("texts", [[], [None, None]])
def test_nothing_to_measure(texts: list[str | None]) -> None:
    """An empty partition has an empty table, and used no model."""
    shard = shard_of(texts, score_stages=[SCORED])

    assert shard.tables["metrics"].schema == frame_of(Metric, []).schema
    assert shard.tables["metrics"].is_empty()
    assert not shard.components
