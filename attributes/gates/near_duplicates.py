"""Labels whose texts have nearly the same words: every pair at a Jaccard of `threshold` or more, without K x K.

Prefix filter (Chaudhuri et al., ICDE 2006; Bayardo et al., WWW 2007): of two sets this much alike, the rarest few words
of one hold one of the rarest few of the other, so that only those are looked up; a bitmap of each set then tells most
pairs apart before words are counted. Where a set's rarest words are so common that looking up costs more than running
over all bitmaps of its size, that is done instead: over the most telling lane, and over the others of what it leaves.
Sets of equal words are compared once. K labels.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LANES = 4  # of 64 bits
_SCAN = 0.1  # looking up one bitmap costs as much as running over ten
_SIEVED = 0.25  # looking up what a lane left of a run costs as much as running over all lanes
_SAMPLE = 512
_EPSILON = 1e-9


class NearDuplicate(NamedTuple):
    """The label nearest to another by its words."""

    position: int
    jaccard: float


class NearDuplicateFinder:
    """Takes each label's words, then tells which labels have a near-twin, and the nearest one of each."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._ids: dict[str, int] = {}
        self._groups: dict[bytes, array[int]] = {}

    def add(self, position: int, words: set[str]) -> None:
        """Take the words of the label at `position`; one without any has no twin."""
        if words:
            ids = sorted(self._ids.setdefault(word, len(self._ids)) for word in words)
            self._groups.setdefault(array("I", ids).tobytes(), array("I")).append(position)

    def find(self) -> dict[int, NearDuplicate]:
        """The nearest twin of every label that has one, by position."""
        found: dict[int, NearDuplicate] = {}
        groups = list(self._groups.values())
        for group in groups:
            for place, position in enumerate(group if len(group) > 1 else ()):
                found[position] = NearDuplicate(group[0 if place else 1], 1.0)
        sets = [np.frombuffer(key, dtype=np.uint32) for key in self._groups]
        for one, other, jaccard in _similar(sets, len(self._ids), self._threshold):
            for here, there in ((one, other), (other, one)):
                for position in groups[here]:
                    if jaccard > found.get(position, NearDuplicate(0, 0.0)).jaccard:
                        found[position] = NearDuplicate(groups[there][0], jaccard)
        return found


def _similar(sets: list[NDArray[np.uint32]], num_words: int, threshold: float) -> Iterator[tuple[int, int, float]]:
    """Every pair of different sets (of word ids below `num_words`) at `threshold` or above, and its Jaccard."""
    if not sets:
        return
    order = sorted(range(len(sets)), key=lambda one: len(sets[one]))
    sizes = np.array([len(sets[one]) for one in order], dtype=np.int32)
    rank = _rarity(sets, num_words)
    prefixes = [_prefix(rank[sets[one]], threshold) for one in order]
    postings = _postings(prefixes)
    close = _Close(_bitmaps((rank[sets[one]] for one in order), len(sets), num_words), sizes, threshold)
    firsts = np.searchsorted(sizes, np.ceil(threshold * sizes - _EPSILON)).tolist()
    for here, prefix in enumerate(prefixes):
        first, size = firsts[here], int(sizes[here])
        lists = [_between(postings[word], first, here) for word in prefix]
        if sum(map(len, lists)) < (here - first) * _SCAN:
            found = np.unique(close.among(np.concatenate(lists), here))
        else:
            found = close.between(first, here)
        mine = sets[order[here]]
        for there in found.tolist():
            both = len(np.intersect1d(mine, sets[order[there]], assume_unique=True))
            jaccard = both / (size + int(sizes[there]) - both)
            if jaccard >= threshold - _EPSILON:
                yield order[here], order[there], jaccard


class _Close:
    """Which sets, in the order of their sizes (K,), may be alike: by bits that differ, of which there are no more than
    words that do."""

    def __init__(self, bitmaps: NDArray[np.uint64], sizes: NDArray[np.int32], threshold: float) -> None:
        self._bitmaps, self._sizes = bitmaps, sizes
        # Two sets of this many words in all differ in at most this many.
        self._apart = np.floor((1 - threshold) / (1 + threshold) * np.arange(2 * int(sizes[-1]) + 1) + _EPSILON).astype(
            np.int32
        )
        draw = np.random.default_rng(0)
        one, other = draw.integers(0, len(sizes), (2, _SAMPLE))
        self._sieve = bitmaps[np.bitwise_count(bitmaps[:, one] ^ bitmaps[:, other]).sum(axis=1).argmax()]

    def among(self, near: NDArray[np.int64], here: int) -> NDArray[np.int64]:
        """Those of `near` that may be like the set at `here`."""
        may = self._differing(near, here) <= self._apart[self._sizes[near] + self._sizes[here]]
        return near[np.flatnonzero(may)]

    def between(self, first: int, here: int) -> NDArray[np.int64]:
        """Those from `first` on and before `here`."""
        # None of them is larger than the set at `here`, so that none may differ by more than one of its size.
        most = int(self._apart[2 * self._sizes[here]])
        left = first + np.flatnonzero(np.bitwise_count(self._sieve[first:here] ^ self._sieve[here]) <= most)
        if len(left) > _SIEVED * (here - first):
            left = first + np.flatnonzero(self._differing(slice(first, here), here) <= most)
        return self.among(left, here)

    def _differing(self, there: NDArray[np.int64] | slice, here: int) -> NDArray[np.int32]:
        bits: NDArray[np.int32] = np.bitwise_count(self._bitmaps[0, there] ^ self._bitmaps[0, here]).astype(np.int32)
        for lane in self._bitmaps[1:]:
            bits += np.bitwise_count(lane[there] ^ lane[here])
        return bits


def _rarity(sets: list[NDArray[np.uint32]], num_words: int) -> NDArray[np.int64]:
    """The place of each word id, the rarest first."""
    counts = np.bincount(np.concatenate(sets), minlength=num_words)
    rank = np.empty(num_words, dtype=np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(num_words)
    return rank


def _prefix(ranks: NDArray[np.int64], threshold: float) -> "array[int]":
    length = len(ranks) - ceil(threshold * len(ranks) - _EPSILON) + 1
    return array("I", np.sort(ranks)[:length].tolist())


def _postings(prefixes: Iterable["array[int]"]) -> dict[int, NDArray[np.int64]]:
    lists: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
    for here, prefix in enumerate(prefixes):
        for word in prefix:
            lists[word].append(here)
    return {word: np.frombuffer(found, dtype=np.int64) for word, found in lists.items()}


def _between(posting: NDArray[np.int64], first: int, stop: int) -> NDArray[np.int64]:
    low, high = np.searchsorted(posting, (first, stop))
    return posting[low:high]


def _bitmaps(ranks: Iterable[NDArray[np.int64]], num_sets: int, num_words: int) -> NDArray[np.uint64]:
    """(lanes, K): a bit for each of the commonest words, the others sharing those of the last lane."""
    maps = np.zeros((_LANES, num_sets), dtype=np.uint64)
    alone = 64 * (_LANES - 1)
    for here, words in enumerate(ranks):
        place = num_words - 1 - words
        bits = np.where(place < alone, place, alone + place % 64)
        np.bitwise_or.at(maps[:, here], bits >> 6, np.uint64(1) << (bits & 63).astype(np.uint64))
    return maps
