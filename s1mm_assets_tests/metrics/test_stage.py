"""Measuring every recaption."""

from typing import Any

import polars as pl
import pytest

from s1mm_assets.metrics import stage, summary
from s1mm_assets.tables import FigureCandidate, Metric, Paper, Recaption, frame_of
from s1mm_assets_tests.fakes import run
from s1mm_assets_tests.strategies import figure

IDS = ["arxiv:p#1.1", "arxiv:p#2.1", "arxiv:p#3.1"]


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


def measured(texts: list[str | None]) -> pl.DataFrame:
    """The metrics of the figures' recaptions; the captions have 10 characters."""
    mention = {"section": None, "text": "It has 7 bins.", "is_caption": False}
    figures = [figure(each, caption="A caption.", mentions=[mention]) for each in IDS]
    counts: dict[str, Any] = {"authors": [], "warnings": [], "n_figures": 1, "n_rows": 1, "n_images": 1}
    paper = Paper(
        **{**dict.fromkeys(Paper.__dataclass_fields__), **counts, "paper_id": "p", "title": "On 8 BERT nets"}
    )
    return run(
        stage(),
        {
            ("figure_candidates", "figures"): frame_of(FigureCandidate, figures),
            ("figure_candidates", "papers"): frame_of(Paper, [paper]),
            ("recaptions", "recaptions"): frame_of(
                Recaption, [recaption(*each) for each in zip(IDS, texts, strict=False)]
            ),
        },
    )["metrics"]


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


def test_scores_without_a_model_are_null() -> None:
    """What was not evaluated is null in the row, and said in words in the summary."""
    metrics = measured(["One.", "Two."])

    for score in ("clip_score", "pseudo_perplexity"):
        for text in ("caption", "recaption"):
            assert metrics[f"{text}_{score}"].null_count() == 2
            assert str(summary(metrics)[f"{text}_{score}"]).startswith("not evaluated: this version has no")


def test_the_summary_gives_means_deviations_and_expansion() -> None:
    """Two recaptions of 20 and 40 characters, on captions of 10."""
    found = summary(measured(["x" * 20, "y" * 40]))

    assert found["measured"] == 2
    assert (found["recaption_length_chars/mean"], found["recaption_length_chars/std"]) == (30, 10)
    assert found["expansion"] == 3
    assert found["grounding"] == "no claims"


@pytest.mark.parametrize("texts", [[], [None, None]])
def test_nothing_to_measure(texts: list[str | None]) -> None:
    """An empty partition has an empty table and a summary that says so."""
    metrics = measured(texts)

    assert metrics.schema == frame_of(Metric, []).schema
    assert metrics.is_empty()
    assert summary(metrics)["caption_length_chars"] == "no rows"
