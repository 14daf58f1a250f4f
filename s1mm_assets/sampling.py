"""Which figures a costly measure is taken of: a seeded sample that no order, shard or rerun changes."""

import hashlib

import polars as pl

DRAW_BYTES = 8
END = 2 ** (8 * DRAW_BYTES)  # of the draws


def is_sampled(figure_ids: pl.Series, *, share: float, seed: int) -> pl.Series:
    """Return for each figure whether it is in the sample: each is with the same chance, whichever others there are.

    A larger share only adds figures.

    Args:
        figure_ids: Strings.
        share: From 0 (none) to 1 (all).
        seed: Another one draws another sample.
    """
    limit = share * END
    return pl.Series("is_sampled", [draw < limit for draw in draws(figure_ids, seed)], dtype=pl.Boolean)


def draws(figure_ids: pl.Series, seed: int) -> pl.Series:
    """Return a number from 0 to `END` for each figure: as good as random, and its own whichever others there are."""
    key = seed.to_bytes(DRAW_BYTES, "big", signed=True)
    numbers = (
        int.from_bytes(hashlib.blake2b(each.encode(), digest_size=DRAW_BYTES, key=key).digest(), "big")
        for each in figure_ids.to_list()
    )
    return pl.Series("draw", list(numbers), dtype=pl.UInt64)
