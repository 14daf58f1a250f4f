"""The look-up of what was read in images."""

from s1mm_assets import figure_texts
from s1mm_assets.filtering.texts import unread
from s1mm_assets.tables import FigureText, frame_of


def line(text: str) -> dict[str, float | str]:
    return {"text": text, "confidence": 0.9, "x0": 0.0, "y0": 0.0, "x1": 9.0, "y1": 9.0}


def test_lines_of_what_was_read() -> None:
    """An image without text has no lines; one that was not read, or could not be, has none to give."""
    rows = [
        FigureText(figure_id="a", lines=[line("x (cm)"), line("7")], rejection=None, evidence=None),
        FigureText(figure_id="b", lines=[], rejection=None, evidence=None),
        unread("c", "timed_out", "60 s"),
    ]

    lines_of = figure_texts.lines_by_figure(frame_of(FigureText, rows).select(figure_texts.READ))

    assert [lines_of(name) for name in "abcd"] == [("x (cm)", "7"), (), None, None]
