"""What labels say in common: lines word for word, and attributes by their meaning (`words.meaning`).

An attribute is a phrase, or a clause of a sentence. Everything is kept as numbers, a few bytes a line, and counted
when all labels have been seen. U attributes or lines, in the order in which they were added: label by label, in the
order of their positions. 100,000 labels have a million of them, so that what is not needed any more goes at once.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from attributes.gates.lemmas import Meaning, clauses, meaning
from attributes.text import says_something
from attributes.types import Line

_NOTHING = meaning("").bag
WHOLE = frozenset({"phrase", "contrast"})  # what is one attribute; the other kinds are sentences

Counts = NDArray[np.int32]
Keys = NDArray[np.int64]
Flags = NDArray[np.bool_]


def attributes_of(line: Line, bare: str) -> Iterator[Meaning]:
    """What a line says, piece by piece; `bare` is its text without the label's name. Empty words say nothing."""
    for piece in (bare,) if line.kind in WHOLE else clauses(bare):
        said = meaning(piece)
        if said.bag != _NOTHING:
            yield said


@dataclass(frozen=True)
class SharedCounts:
    """How many labels say what each attribute says (U,), and a number (U,) that is equal for equal ones."""

    num_labels: Counts
    which: Keys

    @property
    def flags(self) -> Flags:
        """Which are said of another label too: (U,)."""
        return self.num_labels > 1


class SharingCounter:
    """Counts what labels have in common."""

    def __init__(self) -> None:
        self._bag, self._bound, self._positions = array("q"), array("q"), array("i")
        self._single = array("b")
        self._text, self._text_positions = array("q"), array("i")
        self.pieces = array("H")  # attributes of each line

    def add(self, position: int, line: Line, said: Sequence[Meaning]) -> None:
        """Take a line of the label at `position` and what it says."""
        # A line that says nothing (published sets have a lone full stop) is like no other.
        text = " ".join(line.text.casefold().split()) if says_something(line.text) else len(self._text)
        self._text.append(hash((text,)))
        self._text_positions.append(position)
        self.pieces.append(len(said))
        for one in said:
            self._bag.append(one.bag)
            self._bound.append(one.bound)
            self._single.append(one.single)
            self._positions.append(position)

    def verbatim(self) -> SharedCounts:
        """For every line: how many labels have these very words."""
        keys = _ints(self._text, np.int64)
        return SharedCounts(labels_per_key(keys, _ints(self._text_positions, np.int32)), keys)

    def by_meaning(self) -> SharedCounts:
        """For every attribute: how many labels say as much in whatever words, itself included."""
        bag, bound = _ints(self._bag, np.int64), _ints(self._bound, np.int64)
        at, single = _ints(self._positions, np.int32), _ints(self._single, np.bool_)
        num_labels = labels_per_key(bound, at)
        np.copyto(num_labels, labels_per_key(bag, at), where=single)
        bind = np.flatnonzero(~single)
        # One that binds words to words is also said by another label's that binds none of the same words.
        loosely = 1 + _said_by_others(bag[bind], at[bind], bag[single], at[single])
        num_labels[bind] = np.maximum(num_labels[bind], loosely)
        return SharedCounts(num_labels, np.where(single, bag, bound))


def labels_per_key(keys: Keys, positions: Counts) -> Counts:
    """For each of U (key, position), in the order of positions: at how many different positions the key stands."""
    out = np.zeros(len(keys), dtype=np.int32)
    if len(keys):
        order = np.argsort(keys, kind="stable")
        starts, counts = _runs(keys[order], positions[order])
        out[order] = np.repeat(counts, np.diff(np.append(starts, len(keys))))
    return out


def _runs(keys: Keys, positions: Counts) -> tuple[NDArray[np.intp], Counts]:
    """Of U keys, sorted, and positions, sorted for each: where each key begins, and at how many positions it stands."""
    first = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    first[1:] |= positions[1:] != positions[:-1]
    return starts, np.add.reduceat(first, starts, dtype=np.int32)


def _said_by_others(keys: Keys, positions: Counts, their_keys: Keys, their_positions: Counts) -> Counts:
    """For each of (key, position): how many of their positions with this key are another one; theirs are in order."""
    others = np.zeros(len(keys), dtype=np.int32)
    if len(their_keys):
        order = np.argsort(their_keys, kind="stable")
        their_keys, their_positions = their_keys[order], their_positions[order]
        starts, counts = _runs(their_keys, their_positions)
        _count_found(others, their_keys[starts], keys, counts)
        pairs = _pairs(their_keys, their_positions)
        pairs.sort()
        own = np.zeros(len(keys), dtype=np.int32)
        _count_found(own, pairs, _pairs(keys, positions), np.ones(len(pairs), dtype=np.int32))
        others -= own
    return others


def _count_found(out: Counts, among: Keys, wanted: Keys, counts: Counts) -> None:
    """Put the count of each of `wanted` that stands in `among`, which is sorted, into `out`."""
    place = np.searchsorted(among, wanted)
    np.minimum(place, len(among) - 1, out=place)
    np.copyto(out, counts[place], where=among[place] == wanted)


def _pairs(keys: Keys, positions: Counts) -> Keys:
    """One number for each (key, position); 64-bit keys of distinct texts, spread by a large odd factor."""
    with np.errstate(over="ignore"):
        return keys * np.int64(-7046029254386353131) + positions


T = TypeVar("T", bound=np.generic)


def _ints(values: "array[int]", dtype: type[T]) -> NDArray[T]:
    return np.frombuffer(values, dtype=dtype) if values else np.zeros(0, dtype=dtype)
