"""The labels of each image of a multi-label dataset, in compressed rows. Imports no torch. N images.

Ten million images with two labels each take 160 MB; a single-label dataset has none of these arrays.
"""

from array import array
from collections.abc import Iterable, Iterator, Sequence


class LabelSets(Sequence[tuple[int, ...]]):
    """N sets of label indices, each ascending. `values[offsets[row] : offsets[row + 1]]` is the set of a row."""

    def __init__(self, sets: Iterable[Iterable[int]] = ()) -> None:
        self.offsets, self.values = array("q", [0]), array("i")
        for labels in sets:
            self.append(labels)

    def append(self, labels: Iterable[int]) -> None:
        """Add the labels of one more image; a label that is given twice counts once."""
        self.values.extend(sorted(set(labels)))
        self.offsets.append(len(self.values))

    def taken(self, rows: Iterable[int]) -> "LabelSets":
        """The sets of these rows, in their order."""
        return LabelSets(map(self.__getitem__, rows))

    def without_others(self, labels: Iterable[int]) -> "LabelSets":
        """The sets with these labels only; a set can become empty."""
        kept = frozenset(labels)
        return LabelSets(kept.intersection(found) for found in self)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        for row in range(len(self)):
            yield self[row]

    def __getitem__(self, row: int) -> tuple[int, ...]:  # type: ignore[override]  # slices are not used
        return tuple(self.values[self.offsets[row] : self.offsets[row + 1]])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LabelSets) and self.offsets == other.offsets and self.values == other.values

    __hash__ = None  # type: ignore[assignment]  # it can be changed
