"""Near-duplicate labels: all pairs of labels whose word sets have a Jaccard of `threshold` or more, without K x K work.

Prefix filter (Chaudhuri et al., ICDE 2006; Bayardo et al., WWW 2007): two sets this similar share one of their rarest
words, so that only the posting lists of those words are read. A bitmap of each set then rejects most pairs before words
are counted. Where the posting lists of a set are so long that reading them costs more than a scan over all bitmaps of
similar size, the bitmaps are scanned: first the most selective lane, then the other lanes of the remaining sets. Equal
word sets are compared once. K labels.
"""

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator
from math import ceil
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_LANES = 4  # 64-bit words of a bitmap
_SCAN = 0.1  # a look-up of one bitmap costs as much as a scan of ten
_SELECTED = 0.25  # above this share of remaining sets, scanning all lanes is cheaper than look-ups
_SAMPLE = 512
_EPSILON = 1e-9


class NearDuplicate(NamedTuple):
    """The position of the most similar label, and the Jaccard of the two word sets."""

    position: int
    jaccard: float


class NearDuplicateFinder:
    """Collects the words of all labels; `find` returns the nearest near-duplicate of each label that has one."""

    def __init__(self, threshold: float) -> None:
        self._threshold = threshold
        self._ids: dict[str, int] = {}
        self._groups: dict[bytes, array[int]] = {}

    def add(self, position: int, words: set[str]) -> None:
        """Add the words of the label at `position`; a label without words has no near-duplicate."""
        if words:
            ids = sorted(self._ids.setdefault(word, len(self._ids)) for word in words)
            self._groups.setdefault(array("I", ids).tobytes(), array("I")).append(position)

    def find(self) -> dict[int, NearDuplicate]:
        """Label position -> its nearest near-duplicate."""
        found: dict[int, NearDuplicate] = {}
        groups = list(self._groups.values())
        for group in groups:
            for place, position in enumerate(group if len(group) > 1 else ()):
                found[position] = NearDuplicate(group[0 if place else 1], 1.0)
        sets = [np.frombuffer(key, dtype=np.uint32) for key in self._groups]
        for first, second, jaccard in _similar(sets, len(self._ids), self._threshold):
            for here, there in ((first, second), (second, first)):
                for position in groups[here]:
                    if jaccard > found.get(position, NearDuplicate(0, 0.0)).jaccard:
                        found[position] = NearDuplicate(groups[there][0], jaccard)
        return found


def _similar(sets: list[NDArray[np.uint32]], num_words: int, threshold: float) -> Iterator[tuple[int, int, float]]:
    """(index, index, Jaccard) of all pairs of different sets at `threshold` or above; word ids are below num_words."""
    if not sets:
        return
    order = sorted(range(len(sets)), key=lambda index: len(sets[index]))
    sizes = np.array([len(sets[index]) for index in order], dtype=np.int32)
    rank = _rarity(sets, num_words)
    prefixes = [_prefix(rank[sets[index]], threshold) for index in order]
    postings = _postings(prefixes)
    bitmaps = _bitmaps((rank[sets[index]] for index in order), len(sets), num_words)
    candidates = _CandidateFilter(bitmaps, sizes, threshold)
    firsts = np.searchsorted(sizes, np.ceil(threshold * sizes - _EPSILON)).tolist()
    for here, prefix in enumerate(prefixes):
        first, size = firsts[here], int(sizes[here])
        lists = [_between(postings[word], first, here) for word in prefix]
        if sum(map(len, lists)) < (here - first) * _SCAN:
            found = np.unique(candidates.among(np.concatenate(lists), here))
        else:
            found = candidates.between(first, here)
        words = sets[order[here]]
        for there in found.tolist():
            num_common = len(np.intersect1d(words, sets[order[there]], assume_unique=True))
            jaccard = num_common / (size + int(sizes[there]) - num_common)
            if jaccard >= threshold - _EPSILON:
                yield order[here], order[there], jaccard


class _CandidateFilter:
    """Selects sets, sorted by size (K,), that can be similar. Two bitmaps differ in at most as many bits as their sets
    differ in words."""

    def __init__(self, bitmaps: NDArray[np.uint64], sizes: NDArray[np.int32], threshold: float) -> None:
        self._bitmaps, self._sizes = bitmaps, sizes
        # Index: total size of two sets. Value: the maximum number of words in which they differ at the threshold.
        self._max_difference = np.floor(
            (1 - threshold) / (1 + threshold) * np.arange(2 * int(sizes[-1]) + 1) + _EPSILON
        ).astype(np.int32)
        # The lane with the most differing bits between random pairs is the most selective.
        first, second = np.random.default_rng(0).integers(0, len(sizes), (2, _SAMPLE))
        self._selective_lane = bitmaps[np.bitwise_count(bitmaps[:, first] ^ bitmaps[:, second]).sum(axis=1).argmax()]

    def among(self, near: NDArray[np.int64], here: int) -> NDArray[np.int64]:
        """The sets of `near` that can be similar to the set at `here`."""
        selected = self._num_differing_bits(near, here) <= self._max_difference[self._sizes[near] + self._sizes[here]]
        return near[np.flatnonzero(selected)]

    def between(self, first: int, here: int) -> NDArray[np.int64]:
        """The sets from `first` to `here` (excluded) that can be similar to the set at `here`."""
        # None of them is larger than the set at `here`, so that the limit for two sets of its size holds for all.
        limit = int(self._max_difference[2 * self._sizes[here]])
        remaining = first + np.flatnonzero(
            np.bitwise_count(self._selective_lane[first:here] ^ self._selective_lane[here]) <= limit
        )
        if len(remaining) > _SELECTED * (here - first):
            remaining = first + np.flatnonzero(self._num_differing_bits(slice(first, here), here) <= limit)
        return self.among(remaining, here)

    def _num_differing_bits(self, there: NDArray[np.int64] | slice, here: int) -> NDArray[np.int32]:
        bits: NDArray[np.int32] = np.bitwise_count(self._bitmaps[0, there] ^ self._bitmaps[0, here]).astype(np.int32)
        for lane in self._bitmaps[1:]:
            bits += np.bitwise_count(lane[there] ^ lane[here])
        return bits


def _rarity(sets: list[NDArray[np.uint32]], num_words: int) -> NDArray[np.int64]:
    """The rank of each word id by frequency, the rarest first."""
    counts = np.bincount(np.concatenate(sets), minlength=num_words)
    rank = np.empty(num_words, dtype=np.int64)
    rank[np.argsort(counts, kind="stable")] = np.arange(num_words)
    return rank


def _prefix(ranks: NDArray[np.int64], threshold: float) -> "array[int]":
    """The rarest words of a set, one of which every similar set contains."""
    length = len(ranks) - ceil(threshold * len(ranks) - _EPSILON) + 1
    return array("I", np.sort(ranks)[:length].tolist())


def _postings(prefixes: Iterable["array[int]"]) -> dict[int, NDArray[np.int64]]:
    """Posting lists: word -> the sets with the word in their prefix."""
    lists: defaultdict[int, array[int]] = defaultdict(lambda: array("q"))
    for here, prefix in enumerate(prefixes):
        for word in prefix:
            lists[word].append(here)
    return {word: np.frombuffer(found, dtype=np.int64) for word, found in lists.items()}


def _between(posting: NDArray[np.int64], first: int, stop: int) -> NDArray[np.int64]:
    low, high = np.searchsorted(posting, (first, stop))
    return posting[low:high]


def _bitmaps(ranks: Iterable[NDArray[np.int64]], num_sets: int, num_words: int) -> NDArray[np.uint64]:
    """(lanes, K): one bit for each of the most frequent words; all other words share the bits of the last lane."""
    maps = np.zeros((_LANES, num_sets), dtype=np.uint64)
    num_unshared = 64 * (_LANES - 1)
    for here, words in enumerate(ranks):
        place = num_words - 1 - words
        bits = np.where(place < num_unshared, place, num_unshared + place % 64)
        np.bitwise_or.at(maps[:, here], bits >> 6, np.uint64(1) << (bits & 63).astype(np.uint64))
    return maps
