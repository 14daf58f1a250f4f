"""Pictures of a partition's numbers, beside those of the paper: from plain numbers to the bytes of a PNG.

Belongs here: how something is drawn. Does not: which rows are drawn, or where a picture is shown. Equal numbers
give equal bytes. Every chart is white, so that it reads on a dark page too, and no wider than the dialog in
which the Dagster UI shows it, which cuts off what is.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from itertools import groupby

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from s1mm_assets.metrics.subjects import PAPER_SHARES

ORIGINAL = "#e07b00"  # the paper's pair: orange for captions, blue for recaptions; told apart without hue too
ENHANCED = "#0b5fa5"
INK, QUIET, RULE = "#1c1f23", "#5f6670", "#d9dde2"
SHUFFLED, KEPT, REJECTED, BAND = "#6b7280", "#49515c", "#b5485d", "#f4f5f7"

WIDTH, HEIGHT, DPI = 7.0, 3.8, 130  # inches: 910 pixels, as many as the UI shows whole on a laptop
COLOURS = 32  # of the palette: a third of the bytes, and no eye tells
LARGEST, SMALLEST = 1e100, 1e-100  # beyond them squares and ratios are infinite or zero
MOST_BINS, MOST_STEPS, MOST_REASONS = 60, 1000, 14
TAIL = 0.005  # a tail that is drawn only where it is short

PAPER_LENGTHS = "the paper: 267 ± 261 and 759 ± 251, 2.8×"  # Figure 2
PAPER_CLIP = "the paper: mean +18.21 %, variance −27.77 %"  # Figure 6
Values = NDArray[np.float64]
Range = tuple[float, float]
Numbers = ArrayLike | Sequence[float | None]


def length_histograms(captions: Numbers, recaptions: Numbers) -> bytes:
    """Draw how many characters texts have (the paper's Figure 2), as a PNG.

    Args:
        captions: Shape (n_figures,), characters. A figure without either number is left out.
        recaptions: Shape (n_figures,), of the same figures.

    Raises:
        ValueError: The shapes differ.
    """
    old, new = pairs(captions, recaptions)
    title = "Length of captions and recaptions"
    if not len(old):
        return nothing(title)
    ratio = f"{new.mean() / old.mean():.2g}×" if old.mean() else "no ratio"
    figure, axes = canvas(f"{title}: {ratio}", f"{counted(len(old))}; {PAPER_LENGTHS}")
    shown = drawn_range(old, new)
    edges = bin_edges(shown, len(old))
    for values, name, colour in ((old, "caption", ORIGINAL), (new, "recaption", ENHANCED)):
        histogram(axes, values, edges, colour, f"{name}  {spread(values, 0)}, CV {variation(values)}")
    finish(axes, "characters", clipped(shown, old, new))
    count_along(axes)
    return png(figure)


def perplexity_cdfs(captions: Numbers, recaptions: Numbers) -> bytes:
    """Draw which share of texts has at most a pseudo-perplexity (the paper's Figure 5), as a PNG.

    Args:
        captions: Shape (n_figures,), pseudo-perplexities. A figure without both, or with one that is not
            positive, is left out.
        recaptions: Shape (n_figures,), of the same figures.

    Raises:
        ValueError: The shapes differ.
    """
    old, new = pairs(captions, recaptions)
    are_positive = (old > 0) & (new > 0)
    old, new = np.log10(old[are_positive]), np.log10(new[are_positive])
    title = "Pseudo-perplexity, cumulative"
    if not len(old):
        return nothing(title)
    shift = float(np.median(new) - np.median(old))
    direction = "no shift" if abs(shift) < 0.005 else f"median {shift:+.2f}".replace("-", "−")
    figure, axes = canvas(f"{title}: {direction}", f"{counted(len(old))}; the paper: a shift to the left")
    shown = drawn_range(old, new)
    for values, name, colour, style in ((old, "caption", ORIGINAL, "--"), (new, "recaption", ENHANCED, "-")):
        ordered = np.sort(values)
        steps = np.unique(np.linspace(0, len(ordered) - 1, MOST_STEPS).round().astype(int))
        x = np.concatenate([[shown[0], ordered[0]], ordered[steps], [max(shown[1], ordered[-1])]])
        y = np.concatenate([[0, 0], (steps + 1) / len(ordered), [1]])
        median = float(np.median(values))
        label = f"{name}  median {median:.2f} (pseudo-perplexity {10**median:,.3g})"
        axes.plot(x, y, style, color=colour, linewidth=1.8, drawstyle="steps-post", label=label)
        axes.plot([median, median], [0, 0.5], ":", color=colour, linewidth=1.2)
        axes.plot([median], [0.5], "o", color=colour, markersize=5)
    axes.set_xlim(*shown)
    axes.set_ylim(0, 1.02)
    finish(axes, "log₁₀ pseudo-perplexity", clipped(shown, old, new), y_label="share of texts")
    return png(figure)


def clip_histograms(captions: Numbers, recaptions: Numbers, shuffled: Numbers | None = None) -> bytes:
    """Draw how well images and texts agree (the paper's Figure 6), as a PNG.

    Args:
        captions: Shape (n_figures,), CLIP scores. A figure without both is left out.
        recaptions: Shape (n_figures,), of the same figures.
        shuffled: Scores of images with texts of other figures, any number of them.

    Raises:
        ValueError: The shapes of the first two differ.
    """
    old, new = pairs(captions, recaptions)
    other = finite(shuffled) if shuffled is not None else np.empty(0)
    if not len(old):
        return nothing("CLIP score")
    changes = f"mean {change(old.mean(), new.mean())}, variance {change(old.var(), new.var())}"
    figure, axes = canvas(f"CLIP score: {changes}", f"{counted(len(old))}; {PAPER_CLIP}")
    shown = drawn_range(old, new, other)
    edges = bin_edges(shown, len(old))
    for values, name, colour in ((old, "caption", ORIGINAL), (new, "recaption", ENHANCED)):
        histogram(axes, values, edges, colour, f"{name}  {spread(values, 3)}")
    if len(other):
        label = f"shuffled pairs  {spread(other, 3)}"
        histogram(axes, other, edges, SHUFFLED, label, is_outline=True)
    finish(axes, "CLIP score", clipped(shown, old, new))
    return png(figure)


def subject_bars(counts: Mapping[str | None, int]) -> bytes:
    """Draw how many figures each subject has (the paper's Figure 1), as a PNG.

    Args:
        counts: Subject → figures. Any other subject than the paper's is counted among the others; None, where
            the subject is not known, apart.

    Raises:
        ValueError: A count is negative.
    """
    if any(n < 0 for n in counts.values()):
        raise ValueError(f"negative count in {dict(counts)}")
    known = {subject.value: 0 for subject in PAPER_SHARES}
    for subject, n in counts.items():
        if subject is not None:
            known[subject if subject in known else "Others"] += n
    total, unknown = sum(known.values()), counts.get(None, 0)
    title = "Subjects of the figures"
    if not total:
        return nothing(title)
    without = f"; {unknown:,} without a subject" if unknown else ""
    figure, axes = canvas(title, f"{counted(total)}{without}", left=0.19)
    shares = [n / total for n in known.values()]
    rows = range(len(known))
    axes.barh(rows, shares, height=0.62, color=ENHANCED)
    paper = list(PAPER_SHARES.values())
    label = "the paper's share"
    axes.plot(paper, rows, "|", color=ORIGINAL, markersize=19, markeredgewidth=2.4, label=label)
    for row, (n, share) in enumerate(zip(known.values(), shares, strict=True)):
        place = max(share, paper[row]) + 0.012
        axes.text(place, row, f"{n:,}  ({percent(share, 1)})", va="center", color=INK, fontsize=8.5)
    axes.set_yticks(rows, list(known))
    axes.invert_yaxis()
    axes.set_xlim(0, max(*shares, *paper) * 1.22)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: percent(value, 0)))
    finish(axes, "share of figures with a subject", "", y_label="")
    return png(figure)


def rejection_waterfall(n_found: int, steps: Sequence[tuple[str, str, int]]) -> bytes:
    """Draw what becomes of the figures found, from door to door, as a PNG.

    Args:
        n_found: Figures found in the papers.
        steps: (door, reason, figures rejected), doors in the order of the pipeline and each in one piece. Where
            there are more than 14, the smallest of each door are drawn as one.

    Raises:
        ValueError: More are rejected than were found, or a number is negative.
    """
    if any(n < 0 for _, _, n in steps) or sum(n for _, _, n in steps) > n_found:
        raise ValueError(f"of {n_found} figures cannot be rejected: {list(steps)}")
    title = "From the figures found to those released"
    if not n_found:
        return nothing(title)
    rows, door = [("figures found", 0, n_found, True)], ""
    remaining = n_found
    for name, reason, n in grouped(steps):
        if name != door and remaining < n_found:
            rows.append((f"reach {name}", 0, remaining, True))
        door, remaining = name, remaining - n
        rows.append((reason, remaining, n, False))
    rows.append(("released", 0, remaining, True))
    height = 1.46 + 0.24 * len(rows)
    subtitle = f"{remaining:,} of {n_found:,} released ({percent(remaining / n_found, 1)})"
    figure, axes = canvas(title, subtitle, left=0.25, height=height)
    waterfall_rows(axes, rows, n_found)
    finish(axes, "figures", "", y_label="", has_legend=False)
    count_along(axes)
    return png(figure)


def waterfall_rows(axes: Axes, rows: Sequence[tuple[str, int, int, bool]], n_found: int) -> None:
    """Draw one bar a row: (label, where it begins, its length, whether it is what is left)."""
    for row, (_, start, n, is_total) in enumerate(rows):
        colour = (ENHANCED if row == len(rows) - 1 else KEPT) if is_total else REJECTED
        if is_total:
            axes.axhspan(row - 0.5, row + 0.5, color=BAND, zorder=0)
        axes.barh(row, n, left=start, height=0.62, color=colour, zorder=2)
        if row + 1 < len(rows) and n:
            edge = start if not is_total else n
            axes.plot([edge, edge], [row, row + 1], color=QUIET, linewidth=0.7, zorder=1)
        words = f"{n:,}" if is_total else f"−{n:,}  ({percent(n / n_found, 1)})"
        axes.text(start + n + n_found * 0.012, row, words, va="center", color=INK, fontsize=8, zorder=3)
    axes.set_yticks(range(len(rows)), [label for label, *_ in rows])
    for tick, (_, _, _, is_total) in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_fontweight("bold" if is_total else "normal")
        tick.set_color(INK if is_total else QUIET)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(0, n_found * 1.27)


def grouped(steps: Sequence[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """Return the steps that are drawn, each door's largest first, its small ones as one where there are too many."""
    largest = sorted((step for step in steps if step[2]), key=lambda step: (-step[2], step[0], step[1]))
    named = set(largest if len(largest) <= MOST_REASONS else largest[: MOST_REASONS - 1])
    drawn = []
    for door, of_door in groupby((step for step in steps if step[2]), key=lambda step: step[0]):
        ordered = sorted(of_door, key=lambda step: (-step[2], step[1]))
        rest = [step for step in ordered if step not in named]
        drawn += [step for step in ordered if step in named]
        if len(rest) == 1:
            drawn += rest
        elif rest:
            drawn.append((door, f"{len(rest)} other reasons", sum(n for _, _, n in rest)))
    return drawn


def finite(values: Numbers) -> Values:
    """Return the finite values alone, as float64: null, NaN and infinity are left out."""
    array = as_floats(values)
    return array[~np.isnan(array)]


def pairs(captions: Numbers, recaptions: Numbers) -> tuple[Values, Values]:
    """Return the values of the figures that have both.

    Raises:
        ValueError: The shapes differ.
    """
    old, new = as_floats(captions), as_floats(recaptions)
    if old.shape != new.shape:
        raise ValueError(f"shapes differ: {old.shape} and {new.shape}")
    has_both = ~(np.isnan(old) | np.isnan(new))
    return old[has_both], new[has_both]


def as_floats(values: Numbers) -> Values:
    """Return values as float64 that squares and ratios can be made of: others are NaN, or 0 where they are tiny."""
    array = np.array(values, dtype=np.float64).ravel()
    array[~(np.abs(array) < LARGEST)] = np.nan
    array[np.abs(array) < SMALLEST] = 0
    return array


def drawn_range(*samples: Values) -> Range:
    """Return the range to draw: all values, but for a tail that would squeeze the rest to less than half."""
    pooled = np.concatenate(samples)
    low, high = (float(np.quantile(pooled, q, method="nearest")) for q in (TAIL, 1 - TAIL))
    smallest, largest = float(pooled.min()), float(pooled.max())
    width = high - low
    low, high = (smallest if low - smallest <= width else low, largest if largest - high <= width else high)
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        around = 0.5 if abs(low) < 1e6 else abs(low) / 1000
        return low - around, low + around
    return low, high


def bin_edges(shown: Range, n: int) -> Values:
    """Return the edges of bins that suit n values: more for more of them (n to the third root)."""
    n_bins = int(np.clip(4 * np.cbrt(n), 8, MOST_BINS))
    return np.linspace(*shown, n_bins + 1)


def clipped(shown: Range, old: Values, new: Values) -> str:
    """Say which share of the values lies outside of what is drawn; nothing where all are inside."""
    shares = [float(((values < shown[0]) | (values > shown[1])).mean()) for values in (old, new)]
    if not any(shares):
        return ""
    ends = float(min(old.min(), new.min())), float(max(old.max(), new.max()))
    return (
        f"Not drawn: {percent(shares[0], 2)} of captions, {percent(shares[1], 2)} of recaptions; "
        f"all lie between {ends[0]:,.4g} and {ends[1]:,.4g}."
    )


def spread(values: Values, decimals: int) -> str:
    """Return mean ± standard deviation, in words."""
    if max(abs(values.mean()), values.std()) >= 1e9:
        return f"{values.mean():.3g} ± {values.std():.3g}"
    return f"{values.mean():,.{decimals}f} ± {values.std():,.{decimals}f}"


def variation(values: Values) -> str:
    """Return the coefficient of variation, in words."""
    return percent(values.std() / values.mean(), 0) if values.mean() else "–"


def change(before: float, after: float) -> str:
    """Return a relative change, in words; a dash where there is nothing to relate to."""
    if abs(before) < 1e-12:
        return "–"
    share = after / before - 1
    return ("+" if share >= 0 else "") + percent(share, 1)


def percent(share: float, decimals: int) -> str:
    """Return a share in percent, in words."""
    number = 100 * share
    if 0 < number < 0.5 * 10.0**-decimals:
        return f"< {10.0**-decimals:.{decimals}f} %"
    words = f"{number:,.{decimals}f}" if abs(number) < 1e6 else f"{number:.2g}"
    return words.replace("-", "−") + " %"


def counted(n: int) -> str:
    """Return a number of figures, in words."""
    return f"{n:,} figure" + ("s" if n != 1 else "")


def canvas(title: str, subtitle: str, *, left: float = 0.09, height: float = HEIGHT) -> tuple[Figure, Axes]:
    """Return an empty chart with its title; `left` is the share of the width that labels take."""
    figure = Figure(figsize=(WIDTH, height), dpi=DPI, facecolor="white")
    figure.text(0.02, 1 - 0.14 / height, title, va="top", color=INK, fontsize=11.5, fontweight="bold")
    figure.text(0.02, 1 - 0.40 / height, subtitle, va="top", color=QUIET, fontsize=8.5)
    axes = figure.add_axes((left, 0.62 / height, 0.975 - left, 1 - 1.46 / height))
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(QUIET)
    axes.tick_params(colors=QUIET, labelsize=8.5, length=0)
    axes.set_axisbelow(True)
    return figure, axes


def histogram(
    axes: Axes, values: Values, edges: Values, colour: str, label: str, *, is_outline: bool = False
) -> None:
    """Draw the share of values in each bin, and their mean."""
    heights = np.histogram(values, bins=edges)[0] / len(values)
    if is_outline:
        axes.stairs(heights, edges, color=colour, linewidth=1.3, linestyle=(0, (4, 2)), label=label)
        return
    axes.stairs(heights, edges, fill=True, color=colour, alpha=0.30, zorder=1)
    axes.stairs(heights, edges, color=colour, linewidth=1.5, label=label, zorder=2)
    if edges[0] <= values.mean() <= edges[-1]:
        axes.axvline(values.mean(), color=colour, linewidth=1.1, linestyle=":")


def finish(
    axes: Axes, x_label: str, footnote: str, *, y_label: str = "share of figures", has_legend: bool = True
) -> None:
    """Draw labels, rules and legend, which stands above the data and so hides none."""
    figure = axes.get_figure()
    assert isinstance(figure, Figure)  # noqa: S101 - made by `canvas`
    height = figure.get_figheight()
    axes.set_xlabel(x_label, color=QUIET, fontsize=8.5)
    axes.set_ylabel(y_label, color=QUIET, fontsize=8.5)
    axes.grid(axis="y" if y_label else "x", color=RULE, linewidth=0.6)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    if y_label:
        axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.3g} %"))
    if has_legend:
        axes.legend(
            loc="lower right", bbox_to_anchor=(1, 1), frameon=False, fontsize=8.5, labelcolor=INK, ncols=1
        )
    figure.text(0.02, 0.07 / height, footnote, va="bottom", color=QUIET, fontsize=7.5)


def count_along(axes: Axes) -> None:
    """Write whole numbers along the horizontal axis."""
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.6g}"))


def nothing(title: str) -> bytes:
    """Draw that there is nothing to show, as a PNG."""
    figure = Figure(figsize=(WIDTH, HEIGHT / 2), dpi=DPI, facecolor="white")
    figure.text(0.02, 0.92, title, va="top", color=INK, fontsize=11.5, fontweight="bold")
    figure.text(0.5, 0.45, "nothing to show", ha="center", va="center", color=QUIET, fontsize=11)
    return png(figure)


def png(figure: Figure) -> bytes:
    """Return a drawn chart as a PNG of few colours, without date or program."""
    drawing = FigureCanvasAgg(figure)
    drawing.draw()  # type: ignore[no-untyped-call]
    pixels = Image.fromarray(np.asarray(drawing.buffer_rgba()))  # type: ignore[no-untyped-call]
    file = BytesIO()
    pixels.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(file, "PNG", optimize=True)
    return file.getvalue()
