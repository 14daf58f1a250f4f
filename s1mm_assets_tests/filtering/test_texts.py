"""Reading the text in images: which are read, in which order and units, and what hostile ones give."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image

from s1mm_assets.filtering.settings import TextSettings
from s1mm_assets.filtering.texts import (
    MAX_CHARS,
    MAX_LINES,
    TextLine,
    TextReaderError,
    in_reading_order,
    read_text,
    texts_stage,
)
from s1mm_assets.tables import FigureCandidate, FigureText, Rejection, frame_of
from s1mm_assets_tests.fakes import FailingMap, MemoryShard, map_here
from s1mm_assets_tests.filtering import drawings
from s1mm_assets_tests.strategies import figure

ALL = TextSettings(sample_share=1)
PLOT = drawings.png(drawings.plot())
KEY = ("figure_candidates", "figures")


@dataclass(frozen=True)
class Says:
    """A reader that says the same of every image, and where its right half begins."""

    component: ClassVar[str] = "says"
    lines: tuple[TextLine, ...] = ()

    def __call__(self, pixels: NDArray[np.uint8]) -> list[TextLine]:
        height, width, channels = pixels.shape
        assert pixels.dtype == np.uint8
        assert channels == 3
        return [*self.lines, TextLine("half", 0.9, width / 2, 0, width, height)]


@dataclass(frozen=True)
class IsMissing:
    """A reader that is not installed."""

    component: ClassVar[str] = "says"

    def __call__(self, pixels: NDArray[np.uint8]) -> list[TextLine]:  # noqa: ARG002
        raise TextReaderError(Rejection.RENDERER_MISSING, "not installed")


def texts_of(settings: TextSettings, map_items=map_here) -> pl.DataFrame:  # type: ignore[no-untyped-def]
    """The texts of a shard with a plot, a second one, a missing file and bytes that are no image."""
    figures = [
        figure("arxiv:p#1.1", image=PLOT),
        figure("arxiv:p#2.1", image=PLOT),
        figure("arxiv:p#3.1", image=None, rejection="graphics_missing"),
        figure("arxiv:p#4.1", image=b"no image"),
    ]
    stage = texts_stage(map_items=map_items, reader=Says(), settings=settings, environment={"says": "1"})
    shard = MemoryShard(stage, {KEY: frame_of(FigureCandidate, figures)})
    stage.make(shard, shard)
    return shard.tables["texts"]


def test_every_usable_image_is_read() -> None:
    """What extraction rejected has no row; what does not decode has one that says so."""
    texts = texts_of(ALL)

    assert texts["figure_id"].to_list() == ["arxiv:p#1.1", "arxiv:p#2.1", "arxiv:p#4.1"]
    assert texts["rejection"].to_list() == [None, None, "image_unreadable"]
    assert texts["lines"].list.len().to_list() == [1, 1, 0]


def test_by_default_nothing_is_read() -> None:
    """Neither are images fetched, nor does the shard depend on them."""
    stage = texts_stage(map_items=map_here, reader=Says(), settings=TextSettings(), environment={"says": "1"})

    assert texts_of(TextSettings()).is_empty()
    assert not stage.reads


def test_a_sample_is_read() -> None:
    """The same figures as for any other measure of that share."""
    texts = texts_of(TextSettings(sample_share=0.5, seed=1))

    assert 0 < len(texts) < 3


def test_a_crash_costs_its_image() -> None:
    """And it can be told from a paper's own fault."""
    texts = texts_of(ALL, FailingMap(lambda job: job[0] == "arxiv:p#2.1"))

    assert texts["rejection"].to_list() == [None, "worker_crashed", "image_unreadable"]


def test_a_missing_reader_is_a_reason_to_retry() -> None:
    """It is the environment's fault."""
    row = read_text(("f", PLOT), reader=IsMissing(), settings=ALL)

    assert (row.rejection, row.evidence) == ("renderer_missing", "not installed")


def test_boxes_are_in_pixels_of_the_whole_image() -> None:
    """Also where the image was read reduced."""
    image = drawings.png(Image.new("RGB", (4_000, 200), "white"))

    row = read_text(("f", image), reader=Says(), settings=TextSettings(sample_share=1, max_side_px=400))

    box = {name: row.lines[0][name] for name in ("x0", "y0", "x1", "y1")}
    assert box == {"x0": 2_000, "y0": 0, "x1": 4_000, "y1": 200}


def test_doubtful_and_blank_lines_are_left_out() -> None:
    """And blanks within a line are one."""
    said = (
        TextLine("guess", 0.4, 0, 0, 1, 1),
        TextLine(" \n", 1, 0, 0, 1, 1),
        TextLine("a \t b", 0.5, 0, 0, 1, 1),
    )

    row = read_text(("f", PLOT), reader=Says(said), settings=ALL)

    assert [line["text"] for line in row.lines] == ["a b", "half"]


def test_floods_of_text_are_cut() -> None:
    """In lines and in characters."""
    many = tuple(TextLine("x", 1, 0, i, 1, i + 0.5) for i in range(2 * MAX_LINES))
    long = tuple(TextLine("x" * 3_000, 1, 0, i, 1, i + 0.5) for i in range(20))

    assert len(read_text(("f", PLOT), reader=Says(many), settings=ALL).lines) == MAX_LINES
    kept = read_text(("f", PLOT), reader=Says(long), settings=ALL).lines
    assert sum(len(str(line["text"])) for line in kept) <= MAX_CHARS


def test_an_image_bomb_is_a_row() -> None:
    """It is refused before it is decoded."""
    bomb = drawings.png(Image.new("1", (20_000, 20_000)))

    assert read_text(("f", bomb), reader=Says(), settings=ALL).rejection == "image_too_large"


def test_lines_are_read_from_top_to_bottom_and_left_to_right() -> None:
    """Words at one height are a row, however their boxes waver."""
    words = {"the": (0, 1), "top": (50, 0), "left": (0, 40), "right": (60, 42), "end": (0, 90)}
    lines = [TextLine(text, 1, x, y, x + 40, y + 20) for text, (x, y) in words.items()]

    assert [line.text for line in in_reading_order(lines[::-1])] == ["the", "top", "left", "right", "end"]


@pytest.mark.parametrize(
    "values", [{"sample_share": 1.5}, {"sample_share": -1}, {"min_confidence": 2}, {"max_side_px": 3}]
)
def test_settings_that_cannot_be_meant_are_refused(values: dict[str, float]) -> None:
    """When they are read, not when the first image is."""
    with pytest.raises(ValueError, match=r"must be|lie in"):
        TextSettings(**values)  # type: ignore[arg-type]


def test_the_table_has_its_schema() -> None:
    """As the store demands."""
    assert texts_of(ALL).schema == frame_of(FigureText, []).schema
