"""Counts what labels share: lines with the same text, and attributes with the same meaning (`lemmas.meaning`).

An attribute is a phrase, or a clause of a sentence. Lines and attributes are stored as numbers, a few bytes each, and
counted after all labels have been added. U lines or attributes, in the order of label positions; 100,000 labels have
about a million.
"""

from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from attributes.gates.words.lemmas import Meaning, clauses, meaning
from attributes.text import has_content
from attributes.types import Line

_EMPTY_BAG = meaning("").bag
SINGLE_ATTRIBUTE_KINDS = frozenset({"phrase", "contrast"})  # the other kinds of line are sentences

Counts = NDArray[np.int32]
Keys = NDArray[np.int64]
Flags = NDArray[np.bool_]


def attributes_of(line: Line, text: str) -> Iterator[Meaning]:
    """The attributes of a line by meaning; `text` is its text without the label's name. Stop words alone are none."""
    for piece in (text,) if line.kind in SINGLE_ATTRIBUTE_KINDS else clauses(text):
        attribute = meaning(piece)
        if attribute.bag != _EMPTY_BAG:
            yield attribute


@dataclass(frozen=True)
class SharedCounts:
    """For each line or attribute: the number of labels that have it (U,), and a key (U,), equal for equal ones."""

    num_labels: Counts
    keys: Keys

    @property
    def flags(self) -> Flags:
        """Whether another label has it too: (U,)."""
        return self.num_labels > 1


class SharingCounter:
    """Collects lines and attributes; `verbatim` and `by_meaning` count them."""

    def __init__(self) -> None:
        self._bag, self._chunks, self._positions = array("q"), array("q"), array("i")
        self._single = array("b")
        self._text, self._text_positions = array("q"), array("i")
        self.attributes_per_line = array("H")  # number of attributes of each line

    def add(self, position: int, line: Line, attributes: Sequence[Meaning]) -> None:
        """Add a line of the label at `position` with its attributes."""
        # A line without a letter or digit (published sets contain a lone full stop) gets a separate key.
        text = " ".join(line.text.casefold().split()) if has_content(line.text) else len(self._text)
        self._text.append(hash((text,)))
        self._text_positions.append(position)
        self.attributes_per_line.append(len(attributes))
        for attribute in attributes:
            self._bag.append(attribute.bag)
            self._chunks.append(attribute.chunks)
            self._single.append(attribute.single)
            self._positions.append(position)

    def verbatim(self) -> SharedCounts:
        """For every line: the number of labels with the same text, ignoring case and white space."""
        keys = _ints(self._text, np.int64)
        return SharedCounts(labels_per_key(keys, _ints(self._text_positions, np.int32)), keys)

    def by_meaning(self) -> SharedCounts:
        """For every attribute: the number of labels with an attribute of the same meaning, itself included."""
        bag, chunks = _ints(self._bag, np.int64), _ints(self._chunks, np.int64)
        positions, single = _ints(self._positions, np.int32), _ints(self._single, np.bool_)
        num_labels = labels_per_key(chunks, positions)
        np.copyto(num_labels, labels_per_key(bag, positions), where=single)
        grouped = np.flatnonzero(~single)
        # An attribute of several chunks equals a single-chunk attribute of another label with the same bag.
        by_bag = 1 + _num_other_positions(bag[grouped], positions[grouped], bag[single], positions[single])
        num_labels[grouped] = np.maximum(num_labels[grouped], by_bag)
        return SharedCounts(num_labels, np.where(single, bag, chunks))


def labels_per_key(keys: Keys, positions: Counts) -> Counts:
    """For each of U (key, position), sorted by position: the number of distinct positions of the key."""
    out = np.zeros(len(keys), dtype=np.int32)
    if len(keys):
        order = np.argsort(keys, kind="stable")
        starts, counts = _runs(keys[order], positions[order])
        out[order] = np.repeat(counts, np.diff(np.append(starts, len(keys))))
    return out


def _runs(keys: Keys, positions: Counts) -> tuple[NDArray[np.intp], Counts]:
    """For U sorted keys with positions sorted per key: the start index and the number of positions of each key."""
    first = np.ones(len(keys), dtype=np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    starts = np.flatnonzero(first)
    first[1:] |= positions[1:] != positions[:-1]
    return starts, np.add.reduceat(first, starts, dtype=np.int32)


def _num_other_positions(keys: Keys, positions: Counts, other_keys: Keys, other_positions: Counts) -> Counts:
    """For each (key, position): the number of other positions in (other_keys, other_positions) that have the key.
    `other_positions` must be sorted."""
    others = np.zeros(len(keys), dtype=np.int32)
    if len(other_keys):
        order = np.argsort(other_keys, kind="stable")
        other_keys, other_positions = other_keys[order], other_positions[order]
        starts, counts = _runs(other_keys, other_positions)
        _look_up_counts(others, other_keys[starts], keys, counts)
        pairs = _pairs(other_keys, other_positions)
        pairs.sort()
        own = np.zeros(len(keys), dtype=np.int32)
        _look_up_counts(own, pairs, _pairs(keys, positions), np.ones(len(pairs), dtype=np.int32))
        others -= own
    return others


def _look_up_counts(out: Counts, keys: Keys, wanted: Keys, counts: Counts) -> None:
    """Write the count of each key in `wanted` to `out`; `keys` is sorted, absent keys leave `out` unchanged."""
    place = np.searchsorted(keys, wanted)
    np.minimum(place, len(keys) - 1, out=place)
    np.copyto(out, counts[place], where=keys[place] == wanted)


def _pairs(keys: Keys, positions: Counts) -> Keys:
    """One 64-bit number for each (key, position): the key times a large odd factor, plus the position."""
    with np.errstate(over="ignore"):
        return keys * np.int64(-7046029254386353131) + positions


T = TypeVar("T", bound=np.generic)


def _ints(values: "array[int]", dtype: type[T]) -> NDArray[T]:
    return np.frombuffer(values, dtype=dtype) if values else np.zeros(0, dtype=dtype)
