"""Images with the indices of their labels, in columns. Imports no torch. N images."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, overload

from distill.data.columns.label_sets import LabelSets
from distill.data.layouts.image_columns import ImageColumns
from distill.data.packed_strings import PackedStrings
from distill.data.splits import LABEL_SET


class MatchedImage(NamedTuple):
    """An image with the index of its label, and its part as the layout names it."""

    path: str
    label: int
    part: str | None


class MatchedImages(Sequence[MatchedImage]):
    """N images. `labels` (N,) are indices into the vocabulary; `part_codes` (N,) are positions in `parts`.

    `captions` as of `ImageColumns`. `label_sets` as of `distill.data.image_index.ImageIndex`.
    """

    def __init__(
        self,
        paths: PackedStrings,
        labels: "array[int]",
        part_codes: "array[int]",
        parts: Sequence[str | None],
        captions: PackedStrings | None = None,
        label_sets: LabelSets | None = None,
    ) -> None:
        self.paths, self.labels, self.part_codes, self.parts, self.captions = paths, labels, part_codes, parts, captions
        self.label_sets = label_sets

    @classmethod
    def of_listed(cls, images: ImageColumns, rows: Sequence[int] | None, labels: "array[int]") -> "MatchedImages":
        """The listed images of these rows (None: of all) with their labels; one with several has a row for each."""
        if rows is None:
            return cls(images.paths, labels, images.part_codes, images.parts, images.captions)
        parts = array("H", map(images.part_codes.__getitem__, rows))
        captions = None if images.captions is None else images.captions.taken(rows)
        return cls(images.paths.taken(rows), labels, parts, images.parts, captions)

    def taken(self, rows: Sequence[int]) -> "MatchedImages":
        """The images of these rows, in their order."""
        paths = self.paths.taken(rows, has_repeats=None if self.paths.has_repeats else False)
        labels = array("i", map(self.labels.__getitem__, rows))
        parts = array("H", map(self.part_codes.__getitem__, rows))
        captions = self.captions.taken(rows) if self.captions else None
        sets = None if self.label_sets is None else self.label_sets.taken(rows)
        return MatchedImages(paths, labels, parts, self.parts, captions, sets)

    def with_sets(self, label_sets: LabelSets) -> "MatchedImages":
        """The same images with a set of labels each; those whose set is empty are left out."""
        labels = array("i", [LABEL_SET]) * len(label_sets)
        found = MatchedImages(self.paths, labels, self.part_codes, self.parts, self.captions, label_sets)
        kept = [row for row, of_image in enumerate(label_sets) if of_image]
        return found if len(kept) == len(found) else found.taken(kept)

    def used_labels(self) -> set[int]:
        """The labels of the images."""
        return set(self.labels if self.label_sets is None else self.label_sets.values)

    def without(self, paths: Iterable[str]) -> "MatchedImages":
        """The images without those of these paths."""
        left_out = frozenset(paths)
        return self.taken([row for row, path in enumerate(self.paths) if path not in left_out]) if left_out else self

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[MatchedImage]:
        for path, label, part in zip(self.paths, self.labels, self.part_codes, strict=True):
            yield MatchedImage(path, label, self.parts[part])

    @overload
    def __getitem__(self, at: int) -> MatchedImage: ...

    @overload
    def __getitem__(self, at: slice) -> "MatchedImages": ...

    def __getitem__(self, at: int | slice) -> "MatchedImage | MatchedImages":
        if isinstance(at, slice):
            return self.taken(range(*at.indices(len(self))))
        return MatchedImage(self.paths[at], self.labels[at], self.parts[self.part_codes[at]])
