"""What was read in an image, for the stages that ask: the semantic window and grounding."""

from collections.abc import Callable

import polars as pl

READ = ("figure_id", "lines", "rejection")
"""The columns of filtered_figures/texts that the look-up needs."""

LinesOf = Callable[[str], tuple[str, ...] | None]
"""Figure id → the lines read in its image; None where it was not read."""


def lines_by_figure(texts: pl.DataFrame) -> LinesOf:
    """Return a look-up from figure id to the lines read in its image; None where it was not read."""
    read = texts.filter(pl.col("rejection").is_null()).select("figure_id", "lines")
    lines = {figure_id: tuple(line["text"] for line in rows) for figure_id, rows in read.iter_rows()}
    return lines.get
