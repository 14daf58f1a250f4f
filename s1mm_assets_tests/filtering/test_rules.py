"""Rules and decisions."""

from dataclasses import asdict, replace
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from polars.testing import assert_frame_equal

from s1mm_assets.filtering import DUPLICATES, FilterSettings, decide, find_duplicates, survivors
from s1mm_assets.tables import Decision, FigureCandidate, FigureText, Measure, Rejection, frame_of, schema_of
from s1mm_assets_tests.filtering.test_paper_words import PLOTS
from s1mm_assets_tests.strategies import UNTIMED, figure, figures_and_measures, measured

SETTINGS = FilterSettings()
NONE = DUPLICATES.to_frame()
ID = "arxiv:2001.00001#1.1"
LIFE = "Jane Doe received the Ph.D. degree in physics from the University of Example."
PLOT = {"tone_bits": 2.0, "logo_score": 0.0, "badge_score": 0.0}
WORDMARK = {"tone_bits": 2.0, "logo_score": 0.06}
BADGE = {"tone_bits": 2.0, "badge_score": 0.6}
SMALL = {"width_px": 200, "height_px": 70, **PLOT}
PORTRAIT = {"width_px": 300, "height_px": 400, "tone_bits": 5.0}


def decided(**values: Any) -> dict[str, Any]:
    """The decision on one figure that is sound but for these values of its row or its measure."""
    of_measure = {name for name in Measure.__dataclass_fields__ if name in values} - {"rejection"}
    row = figure(ID, **{name: value for name, value in values.items() if name not in of_measure})
    seen = measured(ID, **{name: values[name] for name in of_measure})
    decisions = decide(frame_of(FigureCandidate, [row]), frame_of(Measure, [seen]), NONE, SETTINGS)
    return decisions.row(0, named=True)


def partition(figures: pl.DataFrame, measures: pl.DataFrame) -> pl.DataFrame:
    """The decisions on one partition of one shard."""
    kept = survivors(figures.with_columns(shard=pl.lit("s")), measures, SETTINGS)
    return decide(figures, measures, find_duplicates(kept, bits=SETTINGS.near_duplicate_bits), SETTINGS)


@UNTIMED
@given(figures_and_measures())
def test_every_figure_gets_one_decision(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """Every figure is decided once, in order; none is lost and none is invented."""
    figures, measures = tables

    decisions = partition(figures, measures)

    assert decisions["figure_id"].to_list() == figures["figure_id"].to_list()
    assert decisions.schema == schema_of(Decision)


@UNTIMED
@given(figures_and_measures())
def test_what_is_kept_is_sound_and_kept_again(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """The kept figures alone are all kept, and no two of them are the same image."""
    figures, measures = tables
    decisions = partition(figures, measures)
    kept = decisions.filter(pl.col("rejection").is_null())["figure_id"].implode()

    again = partition(figures.filter(pl.col("figure_id").is_in(kept)), measures)

    assert again["rejection"].null_count() == len(again)
    assert not again["sha256"].is_duplicated().any()
    assert (again["image_size_bytes"] >= SETTINGS.min_image_size_bytes).all()


@UNTIMED
@given(figures_and_measures())
def test_duplicates_name_a_kept_figure(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """A rejected figure has evidence: a measured value, words, or the kept figure it repeats."""
    decisions = partition(*tables)
    kept = decisions.filter(pl.col("rejection").is_null())["figure_id"].to_list()

    for row in decisions.drop_nulls("rejection").iter_rows(named=True):
        is_duplicate = row["rejection"] in (Rejection.EXACT_DUPLICATE, Rejection.NEAR_DUPLICATE)
        assert (row["duplicate_of"] in kept) == is_duplicate
        assert is_duplicate == (row["measured"] in ("sha256", "detail_hash"))


@UNTIMED
@given(figures_and_measures())
def test_the_order_of_rows_does_not_matter(tables: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """Decisions on figures that are listed backwards are the same decisions."""
    figures, measures = tables

    backwards = partition(figures.reverse(), measures)

    assert_frame_equal(backwards.reverse(), partition(figures, measures))


@pytest.mark.parametrize(
    ("values", "rejection", "measured_column", "value", "threshold"),
    [
        ({"image_size_bytes": 5119}, Rejection.FILE_TOO_SMALL, "image_size_bytes", 5119, 5120),
        ({"width_px": 63}, Rejection.DIMENSIONS_TOO_SMALL, "width_px", 63, 64),
        ({"height_px": 63}, Rejection.DIMENSIONS_TOO_SMALL, "height_px", 63, 64),
        ({"width_px": 1201, "height_px": 100}, Rejection.EXTREME_ASPECT, "aspect_ratio", 12.01, 12),
        ({"width_px": 100, "height_px": 1201}, Rejection.EXTREME_ASPECT, "aspect_ratio", 12.01, 12),
        ({"ink_share": 0.0009}, Rejection.BLANK, "ink_share", 0.0009, 0.001),
        ({"table_score": 0.76}, Rejection.TABLE_AS_IMAGE, "table_score", 0.76, 0.75),
        ({"code_share": 0.51}, Rejection.MACHINE_CODE, "code_share", 0.51, 0.5),
        ({"badge_score": 0.81}, Rejection.LICENCE_BADGE, "badge_score", 0.81, 0.8),
        ({"logo_score": 0.1, "caption": ""}, Rejection.LOGO, "logo_score", 0.1, 0.09),
        ({"logo_score": 0.1, "graphics_path": "fig/logos/acme.pdf"}, Rejection.LOGO, "logo_score", 0.1, 0.09),
        ({"logo_score": 0.1, "caption": "Fig. 2."}, Rejection.LOGO, "logo_score", 0.1, 0.09),
        ({"graphics_path": "fig/uni_logo.pdf", **WORDMARK}, Rejection.LOGO, "logo_in_file_name", 1, 0),
        ({"graphics_path": "orcid.pdf", **SMALL}, Rejection.LOGO, "logo_in_file_name", 1, 0),
        ({"graphics_path": "logo", **PLOT, "caption": ""}, Rejection.LOGO, "logo_in_file_name", 1, 0),
        ({"graphics_path": "cc-by.eps", **BADGE}, Rejection.LICENCE_BADGE, "licence_in_file_name", 1, 0),
        ({"graphics_path": "by-nc-sa.png", **SMALL}, Rejection.LICENCE_BADGE, "licence_in_file_name", 1, 0),
        ({**PORTRAIT, "caption": LIFE}, Rejection.PORTRAIT, "life_in_caption", 1, 0),
        ({"caption": " \n"}, Rejection.CAPTION_MISSING, "caption_length_chars", 0, 1),
    ],
)
def test_a_rule_rejects_past_its_threshold(
    values: dict[str, Any], rejection: Rejection, measured_column: str, value: float, threshold: float
) -> None:
    """What lies past a threshold is rejected, and the decision says which value lay past which."""
    decision = decided(**values)

    assert decision["rejection"] == rejection
    assert (decision["measured"], decision["measured_value"]) == (measured_column, value)
    assert decision["threshold"] == threshold


@pytest.mark.parametrize(
    "values",
    [
        {"image_size_bytes": 5120},
        {"width_px": 64, "height_px": 64},
        {"width_px": 1200, "height_px": 100},
        {"ink_share": 0.001},
        {"table_score": 0.75},
        {"code_share": 0.5},
        {"badge_score": 0.8},
        {**PLOT, "logo_score": 0.83, "caption": "The stimulus GREEN."},
        {"graphics_path": "fig/logo.pdf", **WORDMARK, "tone_bits": 4.0},
        {"logo_score": 0.09, "graphics_path": "fig/logos/acme.pdf"},
        {"logo_score": 0.1, "graphics_path": "logo/fig1"},
        {"logo_score": 0.1, "graphics_path": "logo/main/words.pdf"},
        {"graphics_path": "fig/logo.pdf", **PLOT},
        {"graphics_path": "fig/logo.pdf", **WORDMARK, "logo_score": 0.03},
        {"graphics_path": "fig/logo.pdf", **SMALL, "width_px": 201},
        {"graphics_path": "cc-by.pdf", **BADGE, "badge_score": 0.4},
        *({"graphics_path": path, **WORDMARK, **BADGE} for path in PLOTS),
        {**PORTRAIT, "caption": "A face shown to participants."},
        {**PORTRAIT, "caption": "Density obtained from the master equation at 30 degrees."},
        {**PORTRAIT, "caption": "Image obtained at a dwell time of 50 ms."},
        {**PORTRAIT, "caption": "Micrograph obtained with the stage tilted 45 degrees from the vertical."},
        {**PORTRAIT, "caption": LIFE, "tone_bits": 3.8},
        {**PORTRAIT, "caption": LIFE, "width_px": 800},
        {"caption": "x"},
    ],
)
def test_the_threshold_itself_passes(values: dict[str, Any]) -> None:
    """A value equal to its threshold is kept: 5,120 bytes are enough."""
    decision = decided(**values)

    assert decision["rejection"] is None
    assert decision["measured"] is decision["measured_value"] is decision["threshold"] is None


def test_what_extraction_rejected_keeps_its_rejection() -> None:
    """The first reason is the one recorded, with its evidence, whatever else is wrong."""
    decision = decided(rejection="graphics_missing", evidence="fig1.eps", image_size_bytes=1, caption="")

    assert (decision["rejection"], decision["evidence"]) == ("graphics_missing", "fig1.eps")
    assert decision["measured"] is None


def test_what_cannot_be_measured_is_rejected_for_that() -> None:
    """An image that does not decode is unreadable, even where it is also too small."""
    row = frame_of(FigureCandidate, [figure(ID, image_size_bytes=1)])
    seen = frame_of(Measure, [measured(ID, rejection="image_unreadable", evidence="truncated")])

    decision = decide(row, seen, NONE, SETTINGS).row(0, named=True)

    assert (decision["rejection"], decision["evidence"]) == ("image_unreadable", "truncated")
    assert decision["measured"] is None


def test_the_first_rule_that_holds_is_recorded() -> None:
    """Of several reasons the first in order stands, with its own evidence."""
    decision = decided(image_size_bytes=10, width_px=1, caption="", ink_share=0.0)

    assert (decision["rejection"], decision["measured"]) == ("file_too_small", "image_size_bytes")


def test_a_figure_without_a_measure_is_a_broken_assumption() -> None:
    """A figure that nobody measured stops the stage and is named."""
    row = frame_of(FigureCandidate, [figure(ID)])

    with pytest.raises(ValueError, match=ID):
        decide(row, frame_of(Measure, []), NONE, SETTINGS)


def test_a_raised_threshold_rejects_more() -> None:
    """Settings reach the rules: the same figure, another limit."""
    tables = frame_of(FigureCandidate, [figure(ID)]), frame_of(Measure, [measured(ID)])
    strict = replace(SETTINGS, min_image_size_bytes=20_001)

    assert decide(*tables, NONE, strict)["rejection"].to_list() == ["file_too_small"]


def lines_of(*words: str, confidence: float = 0.99) -> list[dict[str, Any]]:
    """Lines of text one below the other."""
    return [
        {"text": text, "confidence": confidence, "x0": 10.0, "y0": 20.0 * i, "x1": 200.0, "y1": 20.0 * i + 15}
        for i, text in enumerate(words)
    ]


def cells(n_rows: int, n_columns: int) -> list[dict[str, Any]]:
    """Lines of text that fill a picture of 800 x 600 as the cells of a table do."""
    return [
        {
            "text": "0.5",
            "confidence": 0.99,
            "x0": 800 / n_columns * column + 5,
            "y0": 600 / n_rows * row + 2,
            "x1": 800 / n_columns * column + 60,
            "y1": 600 / n_rows * row + 20,
        }
        for row in range(n_rows)
        for column in range(n_columns)
    ]


@pytest.mark.parametrize(
    ("lines", "values", "rejection"),
    [
        (lines_of("Check for updates"), {"tone_bits": 2.0}, "logo"),
        (lines_of("cc", "BY-NC"), {"tone_bits": 2.0}, "licence_badge"),
        (lines_of("cc", "BY-NC"), {"tone_bits": 5.0}, None),
        (lines_of("Open access by year", "2010", "2020"), {"tone_bits": 2.0}, None),
        (cells(10, 5), {"table_score": 0.51}, "table_as_image"),
        (cells(10, 5), {"table_score": 0.5}, None),
        (cells(10, 1), {"table_score": 0.51}, None),
        ([], {"tone_bits": 2.0}, None),
    ],
)
def test_text_adds_to_the_looks(
    lines: list[dict[str, Any]], values: dict[str, Any], rejection: str | None
) -> None:
    """What is written decides where the image's looks allow it, alike for decisions and for survivors."""
    figures, measures = frame_of(FigureCandidate, [figure(ID)]), frame_of(Measure, [measured(ID, **values)])
    text = FigureText(figure_id=ID, lines=lines, rejection=None, evidence=None)
    texts = frame_of(FigureText, [text])

    decisions = decide(figures, measures, NONE, SETTINGS, [texts])
    kept = survivors(figures.with_columns(shard=pl.lit("s")), measures, SETTINGS, [texts])

    assert decisions["rejection"].to_list() == [rejection]
    assert len(kept) == (rejection is None)
    assert decide(figures, measures, NONE, SETTINGS)["rejection"].to_list() == [None]


@pytest.mark.parametrize("name", list(asdict(SETTINGS)))
@pytest.mark.parametrize("value", [-1, "12", True, None, float("nan")])
def test_settings_refuse_what_is_no_threshold(name: str, value: Any) -> None:
    """A setting that is no number, or negative, is refused by name."""
    with pytest.raises(ValueError, match=name):
        FilterSettings(**{name: value})
