"""Which figures a costly measure is taken of: a seeded sample that no order, shard or rerun changes."""

import hashlib

import polars as pl

DRAW_BYTES = 8
END = 2 ** (8 * DRAW_BYTES)  # of draws and seeds


def sample(share: float, seed: int) -> dict[str, float]:
    """Return what says which figures are in a sample, as a stage's settings: of all figures the seed says nothing."""
    return {"share": float(share)} if share >= 1 else {"share": float(share), "seed": seed}


def is_sampled(figure_ids: pl.Series, *, share: float, seed: int) -> pl.Series:
    """Return for each figure whether it is in the sample: each is with the same chance, whichever others there are.

    A larger share only adds figures.

    Args:
        figure_ids: Strings.
        share: From 0 (none) to 1 (all).
        seed: From 0, below `END`. Another one draws another sample.
    """
    limit = share * END
    return pl.Series(
        "is_sampled", [draw < limit for draw in draws(figure_ids, seed, "sample")], dtype=pl.Boolean
    )


def draws(figure_ids: pl.Series, seed: int, purpose: str) -> pl.Series:
    """Return a number from 0 to `END` for each figure: as good as random, and its own whichever others there are.

    Args:
        figure_ids: Strings.
        seed: From 0, below `END`.
        purpose: Draws for different purposes have nothing to do with one another. At most 16 letters.
    """
    key, person = seed.to_bytes(DRAW_BYTES, "big"), purpose.encode()
    numbers = (
        int.from_bytes(
            hashlib.blake2b(each.encode(), digest_size=DRAW_BYTES, key=key, person=person).digest(), "big"
        )
        for each in figure_ids.to_list()
    )
    return pl.Series("draw", list(numbers), dtype=pl.UInt64)
