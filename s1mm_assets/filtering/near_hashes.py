"""Which hashes lie near one another: an exact search that compares few of them, however they crowd together.

Two hashes that differ in n bits agree in one of n + 1 bands of bits: only hashes that share a band are compared.
Where many share one (blank plots, frames of a film), the first of them are compared with all, those near them are
set aside, and the others are parted again by bands of those bits in which they differ.

Belongs here: distances of hashes given in order of preference. What makes one preferred does not.
"""

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Indices = NDArray[np.int64]
Words = NDArray[np.uint64]
Flags = NDArray[np.bool_]

MIXER = np.uint64(0x9E3779B97F4A7C15)  # odd: 2^64 over the golden ratio, Knuth's multiplicative hashing
HALF = np.uint64(32)
BLOCK = 2**12  # hashes looked at in one go: 512 KiB, which stays in the cache
SAMPLE = 2**12  # hashes that tell which bits vary
FEW = 64  # hashes that share a band and are compared each with each
LEADERS = 64  # hashes that are compared with a whole crowd in one go
CROWD = 512  # more than these are parted by other bands
MAX_DEPTH = 3  # of bands within bands
THREADS = 2  # each holds the keys of one band: 20 bytes a hash


def nearest_kept(details: Words, *, bits: int) -> tuple[Indices, Indices]:
    """Return for each hash the kept one that it is near, or itself where it is kept: where no kept one comes before.

    Args:
        details: Shape (n, words): hashes as 64-bit words, in order of preference; n < 2^32.
        bits: The largest distance at which hashes are near.

    Returns:
        Indices of kept hashes, shape (n,), each the first that is near enough; and the distances to them.
    """
    rows, which = distinct(details)
    search = _Search(details, rows, bits)
    pairs = search.pairs()
    kept = first_kept(pairs, len(rows))
    while len(more := search.pairs_of_wrongly_set_aside(kept)):
        pairs = united([pairs, more])
        kept = first_kept(pairs, len(rows))
    distances = np.zeros(len(rows), dtype=np.int64)
    gone = np.flatnonzero(kept != np.arange(len(rows)))
    distances[gone] = between(details, rows[gone], rows[kept[gone]])
    return rows[kept][which], distances[which]


def distinct(rows: Words) -> tuple[Indices, Indices]:
    """Return the indices of the rows that no equal row comes before, and for each row the place of its like there.

    Args:
        rows: Shape (n, words).
    """
    every_bit = np.full(rows.shape[1], ~np.uint64(0))
    members, starts = runs(keys_of(rows, np.arange(len(rows)), every_bit))
    run = np.cumsum(starts) - 1
    first = np.arange(len(rows))
    first[members] = members[np.flatnonzero(starts)[run]]
    differs = between(rows, first[members], members) > 0
    equal: dict[bytes, int] = {}
    for member in members[np.isin(run, run[differs])].tolist():  # unequal rows of one key are rare
        first[member] = equal.setdefault(rows[member].tobytes(), member)
    is_first = first == np.arange(len(rows))
    return np.flatnonzero(is_first), (np.cumsum(is_first) - 1)[first]


def between(details: Words, left: Indices, right: Indices) -> Indices:
    """Return the distances, in bits, of pairs of rows."""
    distances = np.empty(len(left), dtype=np.int64)
    for some in blocks(len(left)):
        differing = details[left[some]] ^ details[right[some]]
        distances[some] = np.bitwise_count(differing).sum(axis=1, dtype=np.int64)
    return distances


def blocks(n: int, size: int = BLOCK) -> Iterator[slice]:
    """Cut n rows into blocks."""
    return (slice(start, start + size) for start in range(0, n, size))


def band_masks(sample: Words, bits: int) -> Words:
    """Cut the bits into bits + 1 bands, so that each gets its share of those that vary most: shape (bands, words)."""
    n_bits = sample.shape[1] * 64
    if bits >= n_bits:  # every pair is near
        return np.zeros((1, sample.shape[1]), dtype=np.uint64)
    share = np.unpackbits(sample.view(np.uint8), axis=1).mean(axis=0)
    band_of_bit = np.empty(n_bits, dtype=np.int64)
    band_of_bit[np.argsort(np.abs(share - 0.5), kind="stable")] = np.arange(n_bits) % (bits + 1)
    is_of_band = band_of_bit == np.arange(bits + 1)[:, None]
    return np.packbits(is_of_band, axis=1).view(np.uint64)


def keys_of(details: Words, rows: Indices, mask: Words) -> Words:
    """Return a key for the masked bits of each row: equal for equal bits, seldom for others."""
    weights = np.cumprod(np.full(len(mask), MIXER))
    keys = np.empty(len(rows), dtype=np.uint64)
    for some in blocks(len(rows)):
        words = details[some] if len(rows) == len(details) else details[rows[some]]
        keys[some] = (words & mask) @ weights
    return keys


def runs(keys: Words) -> tuple[Indices, Flags]:
    """Return the indices that share their key with another, key by key and in order, and where each key begins.

    The keys are sorted in place, the index in the lower bits; that the upper bits tell them apart is enough.
    """
    n_low = np.uint64(max(1, (len(keys) - 1).bit_length()))
    keys >>= n_low
    keys <<= n_low
    keys |= np.arange(len(keys), dtype=np.uint64)
    keys.sort()
    is_same = (keys[1:] ^ keys[:-1]) >> n_low == 0
    is_shared = np.zeros(len(keys), dtype=np.bool_)
    is_shared[1:] = is_same
    is_shared[:-1] |= is_same
    places = np.flatnonzero(is_shared)
    starts = np.ones(len(places), dtype=np.bool_)
    starts[1:] = ~is_same[places[1:] - 1]
    return (keys[places] & ((np.uint64(1) << n_low) - np.uint64(1))).astype(np.int64), starts


def packed(earlier: Indices, later: Indices) -> Words:
    """Pairs as numbers, which sort by the later and then the earlier."""
    return later.astype(np.uint64) << HALF | earlier.astype(np.uint64)


def united(found: Iterable[Words]) -> Words:
    """Return the pairs of several searches, each once, sorted."""
    pairs = np.sort(np.concatenate([np.empty(0, dtype=np.uint64), *found]))
    is_new = np.ones(len(pairs), dtype=np.bool_)
    is_new[1:] = pairs[1:] != pairs[:-1]
    return pairs[is_new]


def first_kept(pairs: Words, n: int) -> Indices:
    """Return for each of n hashes the first kept one that it is paired with, or itself where it is kept."""
    is_gone, is_chosen = bytearray(n), bytearray(len(pairs))
    i = 0
    for some in blocks(len(pairs)):
        ends = (pairs[some] & np.uint64(2**32 - 1)).tolist(), (pairs[some] >> HALF).tolist()
        for earlier, later in zip(*ends, strict=True):
            if not is_gone[later] and not is_gone[earlier]:
                is_gone[later] = is_chosen[i] = 1
            i += 1
    chosen = pairs[np.frombuffer(is_chosen, dtype=np.bool_)]
    kept = np.arange(n)
    kept[chosen >> HALF] = chosen & np.uint64(2**32 - 1)
    return kept


@dataclass(frozen=True, slots=True)
class _Crowd:
    """Hashes that share a band; and of each the leader that stands for it, -1 where it was compared itself."""

    members: Indices
    leader: Indices


@dataclass(frozen=True, slots=True)
class _Search:
    """Near pairs among the distinct hashes: all, but those of a hash that was set aside for one near it."""

    details: Words
    rows: Indices  # the distinct ones: hashes are known by their places here
    bits: int
    crowds: list[_Crowd] = field(default_factory=list)

    def pairs(self) -> Words:
        """Return the pairs, sorted by the later and then the earlier."""
        if len(self.rows) < 2:
            return united([])
        everyone = np.arange(len(self.rows))
        is_source = np.ones(len(self.rows), dtype=np.bool_)
        masks = self._masks(everyone)
        with ThreadPoolExecutor(THREADS) as threads:
            pairs = united([])
            for found in threads.map(lambda mask: self._in_band(everyone, is_source, mask, 0), masks):
                pairs = united([pairs, found])
            return pairs

    def pairs_of_wrongly_set_aside(self, kept: Indices) -> Words:
        """Return pairs of those that turn out to be kept, while the leader that they were set aside for is not."""
        found, crowds = [], list(self.crowds)
        self.crowds.clear()
        for crowd in crowds:
            is_wrong = (crowd.leader >= 0) & (kept[crowd.members] == crowd.members)
            is_wrong &= kept[crowd.leader] != crowd.leader
            crowd.leader[is_wrong] = -1
            self.crowds.append(crowd)
            if is_wrong.any():
                found += self._in_crowd(crowd.members, is_wrong, MAX_DEPTH)
        return united(found)

    def _masks(self, members: Indices) -> Words:
        """Bands for these members, by a sample of them."""
        step = max(1, len(members) // SAMPLE)
        return band_masks(self.details[self.rows[members[::step]]], self.bits)

    def _in_band(self, members: Indices, is_source: Flags, mask: Words, depth: int) -> Words:
        """Return the near pairs, with a source first, of members that agree in a band."""
        places, starts = runs(self._keys(members, mask))
        begins = np.flatnonzero(starts)
        lengths = np.diff(np.append(begins, len(places)))
        is_few = np.repeat(lengths <= FEW, lengths)
        few, run = places[is_few], np.repeat(begins, lengths)[is_few]
        found = [*self._among_few(members[few], is_source[few], run)]
        for begin, length in zip(begins[lengths > FEW], lengths[lengths > FEW], strict=True):
            crowd = places[begin : begin + length]
            found += self._in_crowd(members[crowd], is_source[crowd], depth)
        return united(found)

    def _keys(self, members: Indices, mask: Words) -> Words:
        everyone = len(members) == len(self.rows)
        return keys_of(self.details, self.rows if everyone else self.rows[members], mask)

    def _among_few(self, members: Indices, is_source: Flags, run: Indices) -> Iterator[Words]:
        """Compare each source with all that come after it in its run."""
        places = np.arange(len(members))
        for step in range(1, FEW):
            places = places[: np.searchsorted(places, len(members) - step)]
            places = places[run[places] == run[places + step]]
            sources = places[is_source[places]]
            for some in blocks(len(sources), 2**20):
                earlier, later = members[sources[some]], members[sources[some] + step]
                is_near = between(self.details, self.rows[earlier], self.rows[later]) <= self.bits
                yield packed(earlier[is_near], later[is_near])

    def _in_crowd(self, members: Indices, is_source: Flags, depth: int) -> list[Words]:
        """Return the near pairs of a crowd's sources, but for those set aside for one that is near them."""
        found = []
        left = np.flatnonzero(is_source)
        crowd = _Crowd(members, np.full(len(members), -1))
        while len(left):
            leaders = self._apart(members[left[:LEADERS]])
            pairs, leader = self._led(members, leaders)
            found.append(pairs)
            crowd.leader[left] = leader[left]
            left = left[(leader[left] < 0) & ~np.isin(members[left], leaders)]
            if len(left) > CROWD and depth < MAX_DEPTH:
                is_left = np.zeros(len(members), dtype=np.bool_)
                is_left[left] = True
                masks = self._masks(members[left])
                found += [self._in_band(members, is_left, mask, depth + 1) for mask in masks]
                break
        self.crowds.append(crowd)
        return found

    def _apart(self, candidates: Indices) -> Indices:
        """Return the candidates that are not near another one before them that is returned."""
        near = self._near(candidates, candidates)
        is_led = np.zeros(len(candidates), dtype=np.bool_)
        for i in range(len(candidates)):
            is_led[i] = (near[i] & ~is_led).any()
        return candidates[~is_led]

    def _led(self, members: Indices, leaders: Indices) -> tuple[Words, Indices]:
        """Return the near pairs of leaders and members after them, and each member's first such leader, or -1."""
        found = [np.empty(0, dtype=np.uint64)]
        leader = np.full(len(members), -1)
        for some in blocks(len(members), BLOCK // LEADERS):
            near = self._near(members[some], leaders)
            which, by = np.nonzero(near)
            found.append(packed(leaders[by], members[some][which]))
            leader[some] = np.where(near.any(axis=1), leaders[near.argmax(axis=1)], -1)
        return np.concatenate(found), leader

    def _near(self, members: Indices, leaders: Indices) -> Flags:
        """Say of members and leaders whether they are near and the leader comes first: shape (members, leaders)."""
        differing = self.details[self.rows[members]][:, None] ^ self.details[self.rows[leaders]][None]
        is_near: Flags = np.bitwise_count(differing).sum(axis=2, dtype=np.int64) <= self.bits
        return is_near & (leaders < members[:, None])
