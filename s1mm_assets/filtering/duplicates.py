"""Which figures show the same image: exactly (SHA-256), or nearly (the 1,024-bit hash of its DCT).

Figures are taken in their natural order. The first of an image is kept, and later ones are duplicates of it;
a near duplicate is near the kept figure itself, so that chains of small differences do not unite what
differs. The usual 64 bits are not enough: plots on the same axes share them. docs/adr/0003 has the evidence.
"""

from collections.abc import Iterator

import numpy as np
import polars as pl
from numpy.typing import NDArray

from s1mm_assets.tables import Rejection

Indices = NDArray[np.int64]
Words = NDArray[np.uint64]

MIXER = np.uint64(0x9E3779B97F4A7C15)  # odd: 2^64 over the golden ratio, Knuth's multiplicative hashing
PAIRS_AT_ONCE = 2**18  # 128 bytes each are compared in one go

DUPLICATES = pl.Schema(
    {
        "shard": pl.String,
        "figure_id": pl.String,
        "duplicate_of": pl.String,
        "rejection": pl.String,
        "distance": pl.UInt32,
    }
)
"""One row per figure that is not kept because another is; `distance` in bits of the detail hash."""


def find_duplicates(survivors: pl.DataFrame, *, bits: int) -> pl.DataFrame:
    """Return the figures that show an image which another figure shows first.

    Every member of a set of equal images shares its fate: where the first is a near duplicate of a kept
    figure, so are its copies. The answer does not depend on the order of the rows.

    Args:
        survivors: shard, figure_id, sha256, detail_hash (128 bytes); none null.
        bits: The largest distance between detail hashes (of 1,024) at which figures are near duplicates.

    Returns:
        A table with the schema `DUPLICATES`, in the figures' natural order.

    Raises:
        ValueError: A value is null, or a figure is there twice.
    """
    if sum(survivors.null_count().row(0)) or survivors["figure_id"].is_duplicated().any():
        raise ValueError("every survivor needs an id of its own, a SHA-256 and a detail hash")
    ordered = in_natural_order(survivors)
    first = ordered.group_by("sha256", maintain_order=True).first()
    alike = first.group_by("detail_hash", maintain_order=True).first()
    kept, distances = nearest_kept(_as_words(alike["detail_hash"]), bits=bits)
    fates = alike.select(
        "detail_hash",
        duplicate_of=alike["figure_id"].gather(kept),
        distance=pl.Series(distances, dtype=pl.UInt32),
    )
    fates = first.select("sha256", "detail_hash", first="figure_id").join(fates, on="detail_hash")
    rows = ordered.join(fates.drop("detail_hash"), on="sha256", maintain_order="left")
    is_exact = pl.col("first") == pl.col("duplicate_of")
    reason = (
        pl.when(is_exact).then(pl.lit(Rejection.EXACT_DUPLICATE)).otherwise(pl.lit(Rejection.NEAR_DUPLICATE))
    )
    found = rows.with_columns(rejection=reason).filter(pl.col("figure_id") != pl.col("duplicate_of"))
    return found.select(DUPLICATES.names())


def in_natural_order(figures: pl.DataFrame) -> pl.DataFrame:
    """Sort by source and paper, then by figure and panel as numbers: `…#2.1` before `…#10.1`."""
    ordinals = pl.col("figure_id").str.extract_groups(
        r"^(?P<paper>.*)#(?P<figure>\d{1,18})\.(?P<panel>\d{1,18})$"
    )
    number = {name: ordinals.struct.field(name).cast(pl.UInt64) for name in ("figure", "panel")}
    paper = ordinals.struct.field("paper").fill_null(pl.col("figure_id"))
    return figures.sort(paper, number["figure"], number["panel"], "figure_id")


def nearest_kept(details: Words, *, bits: int) -> tuple[Indices, Indices]:
    """Return for each image the kept image that it is a near duplicate of, or itself where it is kept.

    Args:
        details: Shape (n, words): detail hashes as 64-bit words, in order of preference.
        bits: The largest distance between near duplicates.

    Returns:
        Indices of kept images, shape (n,), each the first that is near enough; and the distances to them.
    """
    kept = np.arange(len(details), dtype=np.int64)
    distances = np.zeros(len(details), dtype=np.int64)
    for earlier, later, distance in _near_pairs(details, bits):
        if kept[later] == later and kept[earlier] == earlier:
            kept[later], distances[later] = earlier, distance
    return kept, distances


def _near_pairs(details: Words, bits: int) -> Iterator[tuple[int, int, int]]:
    """Yield every pair within reach, as (earlier, later, distance), by the later one and then the earlier."""
    found = [np.empty((0, 3), dtype=np.int64)]
    for left, right in _candidates(details, n_bands=bits + 1):
        differing = details[left] ^ details[right]
        distance = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
        pairs = np.stack([np.minimum(left, right), np.maximum(left, right), distance], axis=1)
        found.append(pairs[distance <= bits])
    pairs = np.unique(np.concatenate(found), axis=0)
    for earlier, later, distance in pairs[np.lexsort((pairs[:, 0], pairs[:, 1]))].tolist():
        yield earlier, later, distance


def _candidates(details: Words, n_bands: int) -> Iterator[tuple[Indices, Indices]]:
    """Yield index pairs that agree in one of n bands: all that differ in fewer than n bits, and some others.

    The bands interleave the bits, because neighbouring frequencies of figures are set alike.
    """
    n, n_words = details.shape
    band_of_bit = np.arange(n_words * 64).reshape(n_words, 64) % n_bands
    columns = np.ascontiguousarray(details.T)
    weights = np.uint64(1) << np.arange(64, dtype=np.uint64)
    for band in range(n_bands):
        mask = np.where(band_of_bit == band, weights, np.uint64(0)).sum(axis=1, dtype=np.uint64)
        keys = np.zeros(n, dtype=np.uint64)
        for word in range(n_words):  # a hash of the band: others may share it, and are told apart afterwards
            keys = keys * MIXER + (columns[word] & mask[word])
        order = np.argsort(keys, kind="stable")
        keys = keys[order]
        positions = np.arange(n, dtype=np.int64)
        for step in range(1, n):
            positions = positions[positions < n - step]
            positions = positions[keys[positions] == keys[positions + step]]
            if not positions.size:
                break
            for start in range(0, len(positions), PAIRS_AT_ONCE):
                some = positions[start : start + PAIRS_AT_ONCE]
                yield order[some], order[some + step]


def _as_words(details: pl.Series) -> Words:
    """Detail hashes as 64-bit words: shape (n, words)."""
    n_words = len(details[0]) // 8 if len(details) else 1
    return np.frombuffer(b"".join(details), dtype=np.uint64).reshape(-1, n_words)
