"""What labels say in common: lines word for word, and attributes by their meaning (`words.meaning`).

An attribute is a phrase, or a clause of a sentence. Everything is kept as numbers, a few bytes a line, and counted
when all labels have been seen. U attributes or lines, in the order in which they were added.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from attributes.gates.words import Meaning, clauses, meaning
from attributes.text import says_something
from attributes.types import Line

_NOTHING = meaning("").bag
WHOLE = frozenset({"phrase", "contrast"})  # what is one attribute; the other kinds are sentences

Counts = NDArray[np.int64]
Flags = NDArray[np.bool_]


def attributes_of(line: Line, bare: str) -> Iterator[Meaning]:
    """What a line says, piece by piece; `bare` is its text without the label's name. Empty words say nothing."""
    for piece in (bare,) if line.kind in WHOLE else clauses(bare):
        said = meaning(piece)
        if said.bag != _NOTHING:
            yield said


@dataclass(frozen=True)
class Shared:
    """How many labels say what each attribute says (U,), and a number (U,) that is equal for equal ones."""

    num_labels: Counts
    which: Counts

    @property
    def flags(self) -> Flags:
        """Which are said of another label too: (U,)."""
        return self.num_labels > 1


class Sharing:
    """Counts what labels have in common."""

    def __init__(self) -> None:
        self._bag, self._bound, self._positions = array("q"), array("q"), array("q")
        self._single = array("b")
        self._text, self._text_positions = array("q"), array("q")
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

    def verbatim(self) -> Shared:
        """For every line: how many labels have these very words."""
        keys, positions = _ints(self._text), _ints(self._text_positions)
        return Shared(labels_per_key(keys, positions), keys)

    def by_meaning(self) -> Shared:
        """For every attribute: how many labels say as much in whatever words, itself included."""
        bag, bound, at = _ints(self._bag), _ints(self._bound), _ints(self._positions)
        single = np.frombuffer(self._single, dtype=np.bool_) if self._single else np.zeros(0, dtype=np.bool_)
        alike = labels_per_key(bound, at)
        in_bag = labels_per_key(bag, at)
        num_labels = np.where(single, in_bag, alike)
        # One that binds words to words is also said by another label's that binds none of the same words.
        loose_bags, loose_at = bag[single], at[single]
        place, known = _find(loose_bags, bag)
        loose = np.zeros(len(bag), dtype=np.int64)
        if len(loose_bags):
            loose[known] = labels_per_key(loose_bags, loose_at)[place[known]]
            own = np.isin(_pairs(bag, at), _pairs(loose_bags, loose_at))
            loose -= own & (loose > 0)
        num_labels = np.where(single, num_labels, np.maximum(num_labels, 1 + loose))
        return Shared(num_labels, np.where(single, bag, bound))


def labels_per_key(keys: Counts, positions: Counts) -> Counts:
    """For each of U (key, position): at how many different positions the key stands."""
    if not len(keys):
        return np.zeros(0, dtype=np.int64)
    order = np.lexsort((positions, keys))
    key, at = keys[order], positions[order]
    first = np.ones(len(key), dtype=np.bool_)
    first[1:] = key[1:] != key[:-1]
    fresh = first.copy()
    fresh[1:] |= at[1:] != at[:-1]
    starts = np.flatnonzero(first)
    counts = np.add.reduceat(fresh.astype(np.int64), starts)
    out = np.empty(len(key), dtype=np.int64)
    out[order] = np.repeat(counts, np.diff(np.append(starts, len(key))))
    return out


def _find(among: Counts, wanted: Counts) -> tuple[Counts, Flags]:
    """Where in `among` each of `wanted` stands, and whether it does."""
    if not len(among):
        return np.zeros(len(wanted), dtype=np.int64), np.zeros(len(wanted), dtype=np.bool_)
    order = np.argsort(among, kind="stable")
    place = np.minimum(np.searchsorted(among[order], wanted), len(among) - 1)
    found = order[place]
    return found, among[found] == wanted


def _pairs(keys: Counts, positions: Counts) -> Counts:
    """One number for each (key, position); 64-bit keys of distinct texts, spread by a large odd factor."""
    with np.errstate(over="ignore"):
        return keys * np.int64(-7046029254386353131) + positions


def _ints(values: "array[int]") -> Counts:
    return np.frombuffer(values, dtype=np.int64) if values else np.zeros(0, dtype=np.int64)
