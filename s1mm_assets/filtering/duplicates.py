"""Which figures show the same image: exactly (SHA-256), or nearly (the 1,024-bit hash of its DCT, and the caption).

Figures are taken in an order of preference, within a partition their natural order. The first of an image is kept,
and later ones are duplicates of it; a near duplicate is near the kept figure itself, so that chains of small
differences do not unite what differs. The usual 64 bits are not enough: plots on the same axes share them. Nor are
1,024 among millions of figures: near duplicates have the same caption and panel number, too. docs/adr/0003 has the
evidence.
"""

from collections.abc import Callable
from hashlib import blake2b

import numpy as np
import polars as pl

from s1mm_assets.filtering.near_hashes import Indices, Words, distinct, nearest_kept
from s1mm_assets.tables import Rejection

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

COMPARED_WORDS = 18  # 16 of the detail hash, 2 of the caption hash


def find_duplicates(survivors: pl.DataFrame, *, bits: int) -> pl.DataFrame:
    """Return the figures of a partition that show an image which another of its figures shows first.

    The answer does not depend on the order of the rows.

    Args:
        survivors: shard, figure_id, sha256 (hexadecimal), detail_hash (128 bytes), none of them null; caption_hash
            (16 bytes; null is near no other).
        bits: The largest distance between detail hashes (of 1,024) at which figures of one caption are near duplicates.

    Returns:
        A table with the schema `DUPLICATES`, in the figures' natural order.

    Raises:
        ValueError: A value is null, or a figure is there twice.
    """
    n_null = sum(survivors.drop("caption_hash").null_count().row(0))
    if n_null or survivors["figure_id"].is_duplicated().any():
        raise ValueError("every survivor needs an id of its own, a SHA-256 and a detail hash")
    ordered = in_natural_order(survivors)
    found = find_repeated(
        digests_as_words(ordered["sha256"]), lambda rows: compared_words(ordered[rows]), bits=bits
    )
    return pl.DataFrame(
        {
            "shard": ordered["shard"].gather(found["row"]),
            "figure_id": ordered["figure_id"].gather(found["row"]),
            "duplicate_of": ordered["figure_id"].gather(found["kept_row"]),
            "rejection": found["rejection"],
            "distance": found["distance"],
        },
        schema=DUPLICATES,
    )


def find_repeated(digests: Words, details_of: Callable[[Indices], Words], *, bits: int) -> pl.DataFrame:
    """Return which of some figures, in order of preference, repeat the image of a kept one.

    Every member of a set of equal images shares its fate: where the first is a near duplicate of a kept figure, so
    are its copies.

    Args:
        digests: Shape (n, 4): the SHA-256 of each figure's image.
        details_of: Gives what tells near images, as `compared_words` does, of some rows: (number of rows, words).
        bits: The largest distance of near duplicates.

    Returns:
        row, kept_row, rejection and distance of each figure that is not kept, in order.
    """
    firsts, which = distinct(digests)
    kept, distances = nearest_kept(details_of(firsts), bits=bits)
    kept_row = firsts[kept][which]
    gone = np.flatnonzero(kept_row != np.arange(len(digests)))
    is_exact = pl.Series(firsts[which][gone] == kept_row[gone])
    return pl.DataFrame({"row": gone, "kept_row": kept_row[gone], "distance": distances[which][gone]}).select(
        "row",
        "kept_row",
        pl.when(is_exact)
        .then(pl.lit(Rejection.EXACT_DUPLICATE))
        .otherwise(pl.lit(Rejection.NEAR_DUPLICATE))
        .alias("rejection"),
        pl.col("distance").cast(pl.UInt32),
    )


def in_natural_order(figures: pl.DataFrame) -> pl.DataFrame:
    """Sort by source and paper, then by figure and panel as numbers: `…#2.1` before `…#10.1`."""
    ordinals = pl.col("figure_id").str.extract_groups(
        r"^(?P<paper>.*)#(?P<figure>\d{1,18})\.(?P<panel>\d{1,18})$"
    )
    number = {name: ordinals.struct.field(name).cast(pl.UInt64) for name in ("figure", "panel")}
    paper = ordinals.struct.field("paper").fill_null(pl.col("figure_id"))
    return figures.sort(paper, number["figure"], number["panel"], "figure_id")


def caption_hashes(figures: pl.DataFrame) -> pl.Series:
    """Return the hash of each figure's caption and panel number; null where the caption has no letter or digit.

    Args:
        figures: caption, figure_id.
    """
    letters = figures["caption"].str.to_lowercase().str.replace_all(r"[^\p{L}\p{N}]+", "")
    panels = figures["figure_id"].str.extract(r"\.([^.]*)$")
    hashes = [
        _blake2b(f"{said}\0{panel}") if said else None for said, panel in zip(letters, panels, strict=True)
    ]
    return pl.Series("caption_hash", hashes, dtype=pl.Binary)


def compared_words(figures: pl.DataFrame) -> Words:
    """Detail hash and caption hash as 64-bit words, shape (n, `COMPARED_WORDS`).

    Two captions lie some 64 bits apart, and equal ones none, so that one distance tells both. A figure without a
    caption hash, as tables had none once, gets one of its id.

    Args:
        figures: figure_id, detail_hash, caption_hash.
    """
    captions = figures["caption_hash"]
    if captions.null_count():
        pairs = zip(captions, figures["figure_id"], strict=True)
        captions = pl.Series(
            captions.name, [_blake2b(each) if said is None else said for said, each in pairs], dtype=pl.Binary
        )
    return np.hstack([as_words(figures["detail_hash"]), as_words(captions, n_bytes=16)])


def _blake2b(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def digests_as_words(sha256: pl.Series) -> Words:
    """SHA-256 digests, hexadecimal, as 64-bit words: shape (n, 4)."""
    return as_words(sha256.str.decode("hex"), n_bytes=32)


def as_words(hashes: pl.Series, n_bytes: int = 128) -> Words:
    """Binary hashes of one length as 64-bit words: shape (n, words).

    Raises:
        ValueError: A hash has another length, or is null.
    """
    if hashes.null_count() or (hashes.bin.size() != n_bytes).any():
        raise ValueError(f"{hashes.name}: every hash must have {n_bytes} bytes")
    if hashes.is_empty():
        return np.empty((0, n_bytes // 8), dtype=np.uint64)
    binary = hashes.to_arrow(compat_level=pl.CompatLevel.oldest())
    _, offsets, data = binary.buffers()
    start = int(np.frombuffer(offsets, dtype=np.int64)[binary.offset])
    words = np.frombuffer(data, dtype=np.uint64, count=len(hashes) * n_bytes // 8, offset=start)
    return words.reshape(len(hashes), n_bytes // 8)
