"""Pictures of a partition's numbers: what is written in them, and that nothing in the numbers stops them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

from s1mm_assets.metrics import charts
from s1mm_assets.metrics.subjects import PAPER_SHARES

RANDOM = np.random.default_rng(6)
OLD = RANDOM.lognormal(5.2, 0.9, 3000).round()
NEW = np.clip(RANDOM.normal(759, 251, 3000), 50, None).round()
SCORES = RANDOM.normal(0.62, 0.11, 3000), RANDOM.normal(0.73, 0.09, 3000)
PERPLEXITIES = 10 ** RANDOM.normal(1.5, 0.4, 3000), 10 ** RANDOM.normal(1.1, 0.25, 3000)
DOORS = ("figures", "decisions", "recaptions", "release")
LONGEST = [(door, f"{door}_reason_with_a_long_name_{i}", 900 - 7 * i) for door in DOORS for i in range(12)]


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The charts that a test makes, before they become pixels."""
    figures: list[Figure] = []

    def keep(figure: Figure) -> bytes:
        figures.append(figure)
        return b""

    monkeypatch.setattr(charts, "png", keep)
    return figures


def words(figure: Figure) -> str:
    """All that is written in a chart."""
    texts = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        legend = axes.get_legend()
        texts += [text.get_text() for text in (legend.get_texts() if legend else [])]
        texts += [text.get_text() for text in axes.texts]
        texts += [label.get_text() for label in axes.get_yticklabels()]
    return "\n".join(texts)


def test_the_lengths_are_those_of_the_table(drawn: list[Figure]) -> None:
    """Mean, deviation, variation and ratio are what a line of polars says of the same columns."""
    metrics = pl.DataFrame({"caption_length_chars": OLD, "recaption_length_chars": NEW})

    charts.length_histograms(metrics["caption_length_chars"], metrics["recaption_length_chars"])

    row = metrics.select(pl.all().mean().name.suffix("/mean"), pl.all().std(ddof=0).name.suffix("/std")).row(
        0, named=True
    )
    written = words(drawn[0])
    for text in ("caption", "recaption"):
        mean, std = row[f"{text}_length_chars/mean"], row[f"{text}_length_chars/std"]
        assert f"{text}  {mean:,.0f} ± {std:,.0f}, CV {100 * std / mean:,.0f} %" in written
    ratio = row["recaption_length_chars/mean"] / row["caption_length_chars/mean"]
    assert f"{ratio:.2g}×" in written
    assert "3,000 figures" in written


def test_the_clip_title_tells_the_change_of_mean_and_variance(drawn: list[Figure]) -> None:
    """Scores 0.2, 0.4 → 0.5, 0.6: the mean rises from 0.3 to 0.55, the variance falls from 0.01 to 0.0025."""
    charts.clip_histograms([0.2, 0.4], [0.5, 0.6])

    assert "CLIP score: mean +83.3 %, variance −75.0 %" in words(drawn[0])


def test_shuffled_pairs_are_a_third_outline(drawn: list[Figure]) -> None:
    """They may be of another number than the pairs; each sample's bars add up to all of it."""
    charts.clip_histograms(*SCORES, RANDOM.normal(0.45, 0.1, 500))

    outlines = [patch for patch in drawn[0].axes[0].patches if not patch.get_fill()]
    assert "shuffled pairs" in words(drawn[0])
    assert len(outlines) == 3
    for outline in outlines:
        heights = outline.get_data().values  # type: ignore[attr-defined]
        assert heights.sum() == pytest.approx(1)


def test_the_medians_are_marked(drawn: list[Figure]) -> None:
    """Half of the texts have at most the median: there the curve is crossed, and the legend says where."""
    charts.perplexity_cdfs(*PERPLEXITIES)

    markers = [line for line in drawn[0].axes[0].lines if line.get_marker() == "o"]
    medians = [float(np.median(np.log10(values))) for values in PERPLEXITIES]
    assert [float(np.ravel(line.get_xdata())[0]) for line in markers] == pytest.approx(medians)
    assert f"median {medians[0]:.2f} (pseudo-perplexity {10 ** medians[0]:,.3g})" in words(drawn[0])
    shift = f"{medians[1] - medians[0]:+.2f}".replace("-", "−")
    assert f"median {shift}" in words(drawn[0])


def test_the_curve_is_the_empirical_one(drawn: list[Figure]) -> None:
    """The curve's height at a value is the share of texts up to it."""
    charts.perplexity_cdfs([1, 10, 100, 1000], [10, 10, 10, 10])

    curve = drawn[0].axes[0].lines[0]
    points = dict(zip(np.ravel(curve.get_xdata()), np.ravel(curve.get_ydata()), strict=True))
    assert {0.0: 0.25, 1.0: 0.5, 2.0: 0.75, 3.0: 1.0}.items() <= points.items()


def test_a_million_rows_are_drawn_with_few_points(drawn: list[Figure]) -> None:
    """What is drawn does not grow with the rows."""
    charts.perplexity_cdfs(np.tile(PERPLEXITIES[0], 334), np.tile(PERPLEXITIES[1], 334))
    charts.length_histograms(np.tile(OLD, 334), np.tile(NEW, 334))

    assert "1,002,000 figures" in words(drawn[0])
    assert max(len(np.ravel(line.get_xdata())) for line in drawn[0].axes[0].lines) <= charts.MOST_STEPS + 3
    assert len(drawn[1].axes[0].patches[0].get_data().values) == charts.MOST_BINS  # type: ignore[attr-defined]


def test_a_figure_without_both_numbers_is_left_out(drawn: list[Figure]) -> None:
    """Null, NaN, infinity: the figure does not count for the other text either."""
    old = pl.Series([1.0, None, 3.0, float("nan"), 5.0, 6.0])
    new = [2.0, 100.0, float("inf"), 100.0, 4.0, None]

    charts.clip_histograms(old, new)

    assert "2 figures" in words(drawn[0])
    assert "caption  3.000 ± 2.000\nrecaption  3.000 ± 1.000" in words(drawn[0])


def test_a_value_far_off_does_not_squeeze_the_others(drawn: list[Figure]) -> None:
    """The axis shows nearly all, and the chart says what it does not show; means are of all."""
    charts.length_histograms([100] * 999 + [10**9], [200] * 1000)

    assert drawn[0].axes[0].get_xlim()[1] < 300
    assert "Not drawn: 0.10 % of captions, 0.00 % of recaptions" in words(drawn[0])
    assert "and 1e+09" in words(drawn[0])
    assert f"caption  {(999 * 100 + 10**9) / 1000:,.0f} ±" in words(drawn[0])


def test_a_long_tail_that_fits_is_drawn(drawn: list[Figure]) -> None:
    """Nothing is hidden where it costs little to show it."""
    charts.length_histograms(np.arange(1000), np.arange(1000))

    assert "Not drawn" not in words(drawn[0])


def test_subjects_are_shares_of_the_figures_that_have_one(drawn: list[Figure]) -> None:
    """A subject that the paper does not name is among the others; figures without one are told apart."""
    charts.subject_bars({"Physics": 30, "Economics": 10, "Others": 10, None: 7})

    written = words(drawn[0])
    assert "50 figures; 7 without a subject" in written
    assert "30  (60.0 %)" in written
    assert "20  (40.0 %)" in written
    assert [text for text in written.splitlines() if text in PAPER_SHARES] == [*PAPER_SHARES]


def test_the_waterfall_falls_from_door_to_door(drawn: list[Figure]) -> None:
    """Each bar begins where the one before it ended, and what is left at the end is released."""
    steps = [("figures", "drawn_in_tex", 30), ("decisions", "logo", 5), ("decisions", "blank", 15)]

    charts.rejection_waterfall(100, steps)

    axes = drawn[0].axes[0]
    labels = [label.get_text() for label in axes.get_yticklabels()]
    texts = [text.get_text() for text in axes.texts]
    assert dict(zip(labels, texts, strict=True)) == {
        "figures found": "100",
        "drawn_in_tex": "−30  (30.0 %)",
        "reach decisions": "70",
        "blank": "−15  (15.0 %)",
        "logo": "−5  (5.0 %)",
        "released": "50",
    }
    bars = [patch for patch in axes.patches if patch.get_height() < 1]  # type: ignore[attr-defined]
    begins = [bar.get_x() for bar in bars]  # type: ignore[attr-defined]
    assert begins == [0, 70, 0, 55, 50, 0]


def test_small_reasons_are_drawn_as_one_at_each_door() -> None:
    """None is lost: the sum of each door stays."""
    steps = charts.grouped([*LONGEST, ("release", "rare", 0)])

    assert len(steps) <= charts.MOST_REASONS + len(DOORS)
    for door in DOORS:
        assert sum(n for at, _, n in steps if at == door) == sum(n for at, _, n in LONGEST if at == door)
    assert ("release", "rare", 0) not in steps


@given(st.lists(st.tuples(st.sampled_from(DOORS), st.integers(0, 9)), max_size=60), st.integers(0, 40))
def test_grouping_keeps_every_figure(pairs: list[tuple[str, int]], n_left: int) -> None:
    """Whatever the reasons are, all figures are drawn, and no more rows than there were."""
    ordered = sorted(pairs, key=lambda pair: DOORS.index(pair[0]))
    steps = [(door, f"reason {i}", n) for i, (door, n) in enumerate(ordered)]

    drawn = charts.grouped(steps)

    assert sum(n for _, _, n in drawn) == sum(n for _, _, n in steps)
    assert len(drawn) <= min(len(steps), charts.MOST_REASONS + len(DOORS))
    assert [door for door, _, _ in drawn] == sorted((door for door, _, _ in drawn), key=DOORS.index)


@pytest.mark.parametrize(
    "draw",
    [
        lambda: charts.rejection_waterfall(5, [("figures", "logo", 6)]),
        lambda: charts.rejection_waterfall(5, [("figures", "logo", -1)]),
        lambda: charts.subject_bars({"Physics": -1}),
        lambda: charts.length_histograms([1, 2], [1]),
    ],
)
def test_numbers_that_cannot_be_are_refused(draw: Callable[[], bytes]) -> None:
    """A picture of impossible numbers would hide a mistake elsewhere."""
    with pytest.raises(ValueError, match=r"cannot be rejected|negative|shapes differ"):
        draw()


PICTURES: dict[str, Callable[[], bytes]] = {
    "lengths": lambda: charts.length_histograms(OLD, NEW),
    "perplexities": lambda: charts.perplexity_cdfs(*PERPLEXITIES),
    "clip": lambda: charts.clip_histograms(*SCORES, RANDOM.permutation(SCORES[0])),
    "subjects": lambda: charts.subject_bars({**dict.fromkeys(PAPER_SHARES, 123456), None: 5}),
    "waterfall": lambda: charts.rejection_waterfall(10**6, LONGEST),
    "no lengths": lambda: charts.length_histograms([], []),
    "no perplexities": lambda: charts.perplexity_cdfs([0, -1, None], [1, 2, 3]),
    "no clip": lambda: charts.clip_histograms([float("nan")], [1], []),
    "no subjects": lambda: charts.subject_bars({None: 3}),
    "no figures": lambda: charts.rejection_waterfall(0, []),
    "one": lambda: charts.clip_histograms([0.5], [0.6], [0.4]),
    "one text": lambda: charts.perplexity_cdfs([3.0], [3.0]),
    "all the same": lambda: charts.length_histograms([0] * 5, [0] * 5),
    "all rejected": lambda: charts.rejection_waterfall(3, [("figures", "<b>$x_1$", 3)]),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_a_small_white_png_that_says_nothing_of_its_maker(name: str) -> None:
    """It loads quickly in a page, stands on a dark one, and holds no date and no program."""
    content = PICTURES[name]()

    image = Image.open(BytesIO(content))
    image.load()
    assert (image.format, image.width) == ("PNG", 910)
    assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)
    assert len(content) <= 60_000
    assert image.info == {}
    assert not {b"tEXt", b"iTXt", b"tIME"} & {content[i : i + 4] for i in range(len(content))}


def test_equal_numbers_give_equal_bytes_in_any_thread() -> None:
    """A picture's digest can stand for its numbers."""
    with ThreadPoolExecutor(4) as threads:
        drawn = list(threads.map(lambda _: charts.clip_histograms(*SCORES), range(3)))

    assert set(drawn) == {charts.clip_histograms(*SCORES)}


NUMBERS: Any = st.one_of(
    st.none(), st.floats(), st.sampled_from([0.0, 1.0, -1.0, 1e99, -1e99, 1e-300, 5e-324, 1e100, 1e308])
)
EXTREMES: list[tuple[list[float], list[float]]] = [
    ([1e99, -1e99], [1.0, 1.0]),
    ([5e-324], [1.0]),
    ([1e-99], [1e99]),
    ([0.0, 1e-99], [0.0, 0.0]),
    ([1e16, 1e16 + 2], [1e16, 1e16]),
]


@hypothesis_settings(max_examples=12)
@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12))
def test_no_numbers_stop_a_picture(pairs: list[tuple[float | None, float | None]]) -> None:
    """Null, NaN, infinite, huge, tiny, equal: there is always a chart."""
    old, new = [old for old, _ in pairs], [new for _, new in pairs]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "png", lambda figure: b"made")
        for draw in (charts.length_histograms, charts.perplexity_cdfs, charts.clip_histograms):
            assert draw(old, new) == b"made"


@pytest.mark.parametrize(("old", "new"), EXTREMES)
def test_extremes_are_drawn(old: list[float], new: list[float]) -> None:
    """Axes and labels can be laid out for any of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(charts, "png", lambda figure: figure.draw_without_rendering() or b"drawn")
        for draw in (charts.length_histograms, charts.perplexity_cdfs, charts.clip_histograms):
            assert draw(old, new) == b"drawn"
