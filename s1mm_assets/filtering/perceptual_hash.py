"""DCT hashes of an image: 64 bits to find what looks alike, 1,024 bits to tell apart what only looks alike.

Belongs here: the formula alone. Which distance makes two figures duplicates is decided in duplicates.py.
"""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PERCEPTUAL_SIDE = 8
DETAIL_SIDE = 32
OVERSAMPLING = 4  # the image is shrunk to four times as many pixels a side as frequencies are kept
REDUCING_GAP = 3.0
"""Blocks of pixels are averaged first, to at least so many times the size wanted: half the time, for 2.4 of the 1,024
bits and 0.8 of the 64 (means over 300 figures)."""

SCALE = 2**16  # integer arithmetic gives the same bits on every processor; floats round as the BLAS likes


def perceptual_hash(grey: Image.Image) -> int:
    """Return the 64-bit hash of a greyscale image (mode "L"), the first frequency in the highest bit.

    `imagehash.phash`, but for frequencies near the median: two in three hashes are equal, one in ten differs in
    more than two bits.
    """
    return int.from_bytes(_dct_hash(grey, PERCEPTUAL_SIDE), "big")


def detail_hash(grey: Image.Image) -> bytes:
    """Return the 1,024-bit hash (128 bytes) of a greyscale image: likewise `imagehash.phash` with hash_size=32."""
    return _dct_hash(grey, DETAIL_SIDE)


def _dct_hash(grey: Image.Image, side: int) -> bytes:
    """Say of each of the side x side lowest frequencies whether it lies above their median.

    Half of the bits are set, so that the distance of two hashes is even.

    Source:
        https://github.com/JohannesBuchner/imagehash (phash), after Krawetz 2011, "Looks Like It".
    """
    size = side * OVERSAMPLING
    resized = grey.resize((size, size), Image.Resampling.LANCZOS, reducing_gap=REDUCING_GAP)
    small = np.asarray(resized, dtype=np.int64)
    rows = _dct_rows(side)
    frequencies = (rows @ small @ rows.T).ravel()
    ordered = np.sort(frequencies)
    middle = frequencies.size // 2
    is_above_median = 2 * frequencies > ordered[middle - 1] + ordered[middle]
    return np.packbits(is_above_median).tobytes()


def _dct_rows(side: int) -> NDArray[np.int64]:
    """The first rows of the DCT-II matrix, scaled to integers: shape (side, side * OVERSAMPLING)."""
    size = side * OVERSAMPLING
    frequency, position = np.arange(side)[:, None], np.arange(size)[None, :]
    cosines: NDArray[np.int64] = np.rint(
        np.cos(np.pi * frequency * (2 * position + 1) / (2 * size)) * SCALE
    ).astype(np.int64)
    return cosines
