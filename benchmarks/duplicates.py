"""How long do 20 million hashes take to search for duplicates, and is any missed? One line of JSON last.

The hashes are drawn, not read: 1,024 bits with half of them set, as of the DCT. One in twenty of the second half is
a copy of one of the first half at a planted distance (0 with the same SHA-256, 0 to 32, and 34, which is no
duplicate any more), and one in 200 is the same hash of another image. Each number of hashes has a process of its
own, whose peak resident memory is told. What it takes to draw them is not in the seconds.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
from numpy.typing import NDArray

from s1mm_assets.filtering import FilterSettings
from s1mm_assets.filtering.duplicates import find_repeated

Words = NDArray[np.uint64]
BLOCK = 2**16
EXACT, ALIKE = -1, -2
KINDS = (EXACT, 0, 2, 4, 8, 16, 24, 30, 32, 34)
BITS = FilterSettings().near_duplicate_bits


def main() -> None:
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[20_000_000], help="numbers of hashes")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measured(options.one)))
        return
    lines = []
    for size in options.sizes:
        command = [sys.executable, __file__, "--one", str(size)]
        lines.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))
        print(json.dumps(lines[-1]), file=sys.stderr, flush=True)
    print(json.dumps({**lines[-1], "seconds_by_size": {line["hashes"]: line["seconds"] for line in lines}}))


def measured(size: int) -> dict[str, object]:
    """Search so many hashes once."""
    n = max(1, round(size / BLOCK / 2)) * BLOCK * 2
    digests = np.concatenate([own_digests(block) for block in range(n // BLOCK)])
    kinds = np.concatenate([kinds_of(block, n) for block in range(n // BLOCK)])
    exact = np.flatnonzero(kinds == EXACT)
    digests[exact] = digests[exact - n // 2]
    drawing_s = 0.0

    def details_of(rows: NDArray[np.int64]) -> Words:
        nonlocal drawing_s
        start = time.perf_counter()
        details = np.empty((len(rows), 16), dtype=np.uint64)
        for block in range(n // BLOCK):
            begin, end = np.searchsorted(rows, [block * BLOCK, (block + 1) * BLOCK])
            details[begin:end] = hashes(block, n)[rows[begin:end] - block * BLOCK]
        drawing_s += time.perf_counter() - start
        return details

    start = time.perf_counter()
    found = find_repeated(digests, details_of, bits=BITS)
    seconds = time.perf_counter() - start - drawing_s
    return {
        "name": "duplicates",
        "headline": round(seconds, 1),
        "goal": 240,
        "better": "lower",
        "unit": "s for 20 million hashes, reading excluded",
        "hashes": n,
        "seconds": round(seconds, 1),
        "drawing_s": round(drawing_s, 1),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        **judged(kinds, found["row"].to_numpy(), found["kept_row"].to_numpy(), found["distance"].to_numpy()),
    }


def judged(kinds: Words, row: Words, kept: Words, distance: Words) -> dict[str, object]:
    """Compare what was found with what was planted."""
    n = len(kinds)
    kept_of, distance_of = np.arange(n), np.zeros(n, dtype=np.int64)
    kept_of[row], distance_of[row] = kept, distance
    alike = np.flatnonzero(kinds == ALIKE)
    expected = np.arange(n)
    copies = np.flatnonzero((kinds >= EXACT) & (kinds <= BITS))
    expected[copies] = copies - n // 2
    expected[alike] = alike[0]
    planted = np.concatenate([copies, alike[1:]])
    is_right = (kept_of == expected) & (
        distance_of == np.maximum(np.where(expected < np.arange(n), kinds, 0), 0)
    )
    return {
        "planted": len(planted),
        "recall": float(is_right[planted].mean()),
        "found": len(row),
        "not_planted": int((~is_right[row]).sum()),
    }


def own_digests(block: int) -> Words:
    """SHA-256 of images that are all different."""
    return np.random.default_rng([1, block]).integers(0, 2**64, (BLOCK, 4), dtype=np.uint64)


def own_hashes(block: int) -> Words:
    """Hashes of which half is the other's complement: shape (BLOCK, 16)."""
    half = np.random.default_rng([2, block]).integers(0, 2**64, (BLOCK, 8), dtype=np.uint64)
    return np.concatenate([half, ~half], axis=1)


def kinds_of(block: int, n: int) -> NDArray[np.int64]:
    """What is planted in each row: nothing (99), a copy at a distance, or the hash that many have."""
    row = np.arange(block * BLOCK, (block + 1) * BLOCK)
    kinds = np.where(row % 20 == 0, np.array(KINDS)[row // 20 % len(KINDS)], 99)
    kinds[row % 200 == 1] = ALIKE
    return kinds if block >= n // BLOCK // 2 else np.full(BLOCK, 99)


def hashes(block: int, n: int) -> Words:
    """The hashes of one block, with what is planted."""
    details, kinds = own_hashes(block), kinds_of(block, n)
    details[kinds == ALIKE] = own_hashes(0)[0] ^ np.uint64(0xFF)
    copies = np.flatnonzero((kinds >= EXACT) & (kinds < 99))
    if len(copies):
        source = own_hashes(block - n // BLOCK // 2)[copies]
        bit = np.random.default_rng([3, block]).permuted(np.tile(np.arange(512), (len(copies), 1)), axis=1)
        for i in range(max(KINDS) // 2):  # a bit and its complement: two apart
            flipped = np.flatnonzero(kinds[copies] > 2 * i)
            word, mask = bit[flipped, i] // 64, np.uint64(1) << (bit[flipped, i] % 64).astype(np.uint64)
            source[flipped, word] ^= mask
            source[flipped, word + 8] ^= mask
        details[copies] = source
    return details


if __name__ == "__main__":
    main()
