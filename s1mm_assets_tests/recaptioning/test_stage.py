"""The stage that asks an engine about every kept figure."""

import gc
from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any

import polars as pl
import pytest

from s1mm_assets.recaptioning import (
    CaptionAnswer,
    CaptionJob,
    CaptionRequest,
    ContextCaptioner,
    stage,
    summary,
)
from s1mm_assets.tables import Decision, FigureCandidate, FigureText, Paper, Recaption, frame_of
from s1mm_assets_tests.fakes import run
from s1mm_assets_tests.strategies import figure


class Recorder:
    """An engine that notes what it is asked and answers as told."""

    engine = "recorder"
    model: str | None = "parrot"
    model_revision: str | None = "abc123"
    prompt_version = "recorder-1"
    prompt_sha256 = "0" * 64
    parameters: Mapping[str, Any] = MappingProxyType({})

    def __init__(self, *, needs_image: bool = False, n_answers: int = 1) -> None:
        self.needs_image = needs_image
        self.n_answers = n_answers
        self.asked: list[CaptionRequest] = []
        self.jobs: list[CaptionJob] = []

    def caption(self, requests: Iterable[CaptionRequest], job: CaptionJob) -> Iterator[CaptionAnswer]:
        """Answer with the caption."""
        self.jobs.append(job)
        for request in requests:
            self.asked.append(request)
            for _ in range(self.n_answers):
                yield CaptionAnswer(
                    recaption=request.window.caption,
                    finish_reason="stop",
                    n_prompt_tokens=7,
                    sampling="{}",
                    seed=5,
                    request_sha256="a" * 64,
                )

    def cost(self) -> dict[str, Any]:
        """Nothing."""
        return {}


IDS = ["arxiv:p#1.1", "arxiv:p#2.1", "arxiv:q#1.1", "arxiv:q#2.1"]
REJECTED = "arxiv:p#2.1"


COUNTS: dict[str, Any] = {"authors": [], "warnings": [], "n_figures": 2, "n_rows": 2, "n_images": 2}


def decision(figure_id: str, rejection: str | None) -> Decision:
    """A figure is kept or rejected."""
    values: dict[str, Any] = {**dict.fromkeys(Decision.__dataclass_fields__), "figure_id": figure_id}
    return Decision(**{**values, "paper_id": figure_id[6], "rejection": rejection})


def inputs() -> dict[tuple[str, str], pl.DataFrame]:
    """Two papers with two figures each, of which one is rejected and one has no text at all."""
    mention: dict[str, Any] = {
        "section": "Data",
        "text": "Figure 1 shows the data of the year.",
        "is_caption": False,
    }
    figures = [
        figure(
            each,
            caption="" if each == IDS[3] else f"Caption of {each}",
            figure_number=each[8],
            mentions=[mention],
        )
        for each in IDS[:3]
    ] + [figure(IDS[3], caption="")]
    papers = [
        Paper(
            **{
                **dict.fromkeys(Paper.__dataclass_fields__),
                **COUNTS,
                "paper_id": paper,
                "title": f"On {paper}",
            }
        )
        for paper in ("p", "q")
    ]
    decisions = [decision(each, "blank" if each == REJECTED else None) for each in IDS]
    line = {"text": "Energy (GeV)", "confidence": 0.9, "x0": 0.0, "y0": 0.0, "x1": 9.0, "y1": 9.0}
    texts = [FigureText(figure_id=IDS[0], lines=[line], rejection=None, evidence=None)]
    return {
        ("figure_candidates", "figures"): frame_of(FigureCandidate, figures),
        ("figure_candidates", "papers"): frame_of(Paper, papers),
        ("filtered_figures", "decisions"): frame_of(Decision, decisions),
        ("filtered_figures", "texts"): frame_of(FigureText, texts),
    }


def test_every_kept_figure_is_described_once_in_order() -> None:
    """Kept figures have a row, text or a reason; rejected ones are not asked about."""
    rows = run(stage(ContextCaptioner()), inputs())["recaptions"]

    assert rows["figure_id"].to_list() == [IDS[0], IDS[2], IDS[3]]
    assert rows["paper_id"].to_list() == ["p", "q", "q"]
    assert rows["rejection"].to_list() == [None, None, "no_context"]
    assert rows["recaption"].is_null().to_list() == [False, False, True]
    assert set(rows["engine"]) == {"context"}


def test_the_window_holds_what_the_paper_says() -> None:
    """Title, caption, number and mentions reach the engine; the image only where it asks for it."""
    without, with_image = Recorder(), Recorder(needs_image=True)

    run(stage(without), inputs())
    run(stage(with_image), inputs())

    first = without.asked[0]
    assert (first.window.title, first.window.caption) == ("On p", "Caption of arxiv:p#1.1")
    assert (first.window.figure_number, first.window.mentions[0].section) == ("1", "Data")
    assert [each.window.image_text for each in without.asked] == [("Energy (GeV)",), (), ()]
    assert first.image is None
    assert with_image.asked[0].image == b"not read here"
    assert with_image.jobs == [CaptionJob(partition="arxiv|2019", shard="chunk_001", n_figures=3)]


def test_who_wrote_is_in_every_row_and_in_the_fingerprint() -> None:
    """Engine, model, revision and prompt identify what a recaption was made with."""
    made = stage(Recorder())
    rows = run(made, inputs())["recaptions"]

    for name, value in made.settings.items():
        assert set(rows[name]) == {value}
    assert set(rows["n_prompt_tokens"]) == {7}
    assert set(rows["seed"]) == {5}
    assert set(rows["request_sha256"]) == {"a" * 64}


@pytest.mark.parametrize("n_answers", [0, 2])
def test_an_engine_that_miscounts_is_stopped(n_answers: int) -> None:
    """Answers belong to requests; one too few or too many would shift all others."""
    with pytest.raises((ValueError, IndexError)) as caught:
        run(stage(Recorder(n_answers=n_answers)), inputs())
    if n_answers == 0:
        assert str(caught.value) == f"recorder gave no answer for {IDS[0]}"


def test_requests_are_let_go_once_they_are_handed_on() -> None:
    """An engine that reads far ahead of its answers holds what it needs; the stage holds no images for it."""
    alive: list[int] = []

    class Ahead(Recorder):
        """Takes all requests before it answers the first."""

        def caption(self, requests: Iterable[CaptionRequest], job: CaptionJob) -> Iterator[CaptionAnswer]:
            self.jobs.append(job)
            captions = [request.window.caption for request in requests]
            gc.collect()
            held = [
                each for each in gc.get_objects() if type(each) is CaptionRequest
            ]  # asks no proxy what it is
            alive.append(sum(each.figure_id in IDS for each in held))
            yield from (CaptionAnswer(recaption=caption) for caption in captions)

    rows = run(stage(Ahead(needs_image=True)), inputs())["recaptions"]

    assert alive == [0]
    assert rows["figure_id"].to_list() == [IDS[0], IDS[2], IDS[3]]
    assert rows["paper_id"].to_list() == ["p", "q", "q"]
    assert rows["recaption"].to_list() == [f"Caption of {IDS[0]}", f"Caption of {IDS[2]}", ""]


def test_an_empty_shard_gives_an_empty_table() -> None:
    """No figures, no recaptions, no error."""
    empty = {key: table.clear() for key, table in inputs().items()}

    rows = run(stage(ContextCaptioner()), empty)["recaptions"]

    assert rows.is_empty()
    assert summary(rows)["engine"] == "none"


def test_the_summary_counts() -> None:
    """How many have a recaption, how many a reason, how long they are."""
    rows = run(stage(ContextCaptioner()), inputs())["recaptions"]

    assert rows.schema == frame_of(Recaption, []).schema
    found = summary(rows)
    assert (found["recaptions"], found["rejected"], found["engine"]) == (2, 1, "context")
