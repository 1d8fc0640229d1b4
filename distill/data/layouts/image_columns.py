"""The images of a listing in columns: ten million take their paths and some bytes each. Imports no torch. N images."""

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, overload

from distill.data.packed_strings import PackedStrings


class ListedImage(NamedTuple):
    """An image as its layout gives it.

    `path`: relative to the root, with forward slashes; also the path of a member of a shard (`distill.data.shards`).
    `labels`: the names (or indices) of its labels; empty for an unlabelled image. `part`: as the layout names it, such
    as `train`, `val` or `test`.
    """

    path: str
    labels: tuple[str, ...]
    part: str | None = None
    caption: str | None = None


class ImageColumns(Sequence[ListedImage]):
    """N images. `label_codes` and `part_codes` (N,) are positions in `label_sets` and `parts`.

    `captions` are empty for images without one; None if no image has one.
    """

    def __init__(self, images: Iterable[ListedImage] = ()) -> None:
        self.paths = PackedStrings()
        self.label_codes, self.label_sets = array("i"), list[tuple[str, ...]]()
        self.part_codes, self.parts = array("H"), list[str | None]()
        self.captions: PackedStrings | None = None
        self._codes_of_labels: dict[tuple[str, ...], int] = {}
        self._codes_of_parts: dict[str | None, int] = {}
        self.extend(images)

    def append(self, image: ListedImage) -> None:
        """Add an image."""
        path, labels, part, caption = image
        if caption or self.captions is not None:
            self.extend_columns([path], [self.code_of_labels(labels)], [self.code_of_part(part)], [caption or ""])
            return
        self.paths.append(path)
        self.label_codes.append(self.code_of_labels(labels))
        self.part_codes.append(self.code_of_part(part))

    def extend(self, images: Iterable[ListedImage]) -> None:
        """Add images."""
        images = images if isinstance(images, Sequence) else list(images)
        self.extend_columns(
            [image.path for image in images],
            [self.code_of_labels(image.labels) for image in images],
            [self.code_of_part(image.part) for image in images],
            [image.caption or "" for image in images],
        )

    def __iadd__(self, images: Iterable[ListedImage]) -> "ImageColumns":
        self.extend(images)
        return self

    def extend_columns(
        self, paths: Sequence[str], label_codes: Iterable[int], part_codes: Iterable[int], captions: Sequence[str] = ()
    ) -> None:
        """Add images by their codes; `captions` are empty if none of them has one."""
        if any(captions):
            self.captions = self.captions or PackedStrings("" for _ in range(len(self)))
            self.captions.extend(captions)
        elif self.captions is not None:
            self.captions.extend("" for _ in paths)
        self.paths.extend(paths)
        self.label_codes.extend(label_codes)
        self.part_codes.extend(part_codes)

    def code_of_labels(self, labels: tuple[str, ...]) -> int:
        """The position of a set of labels in `label_sets`, to which it is added."""
        code = self._codes_of_labels.setdefault(labels, len(self.label_sets))
        if code == len(self.label_sets):
            self.label_sets.append(labels)
        return code

    def code_of_part(self, part: str | None) -> int:
        """The position of a part in `parts`, to which it is added."""
        code = self._codes_of_parts.setdefault(part, len(self.parts))
        if code == len(self.parts):
            self.parts.append(part)
        return code

    def taken(self, rows: Sequence[int], *, has_repeats: bool | None = None) -> "ImageColumns":
        """The images of these rows, in their order; `has_repeats` as of `PackedStrings.taken`."""
        found = ImageColumns()
        found.paths = self.paths.taken(rows, has_repeats=has_repeats)
        found.label_codes = array("i", map(self.label_codes.__getitem__, rows))
        found.part_codes = array("H", map(self.part_codes.__getitem__, rows))
        found.captions = None if self.captions is None else self.captions.taken(rows)
        found.label_sets, found.parts = self.label_sets, self.parts
        found._codes_of_labels, found._codes_of_parts = self._codes_of_labels, self._codes_of_parts
        return found

    def relabelled(self, new: Callable[[tuple[str, ...]], tuple[str, ...]]) -> "ImageColumns":
        """The images with `new` of their labels, which is called once for each set of labels."""
        found = self.taken(range(len(self)))
        found.label_sets, found._codes_of_labels = [], {}
        codes = {code: found.code_of_labels(new(self.label_sets[code])) for code in dict.fromkeys(self.label_codes)}
        found.label_codes = array("i", map(codes.__getitem__, self.label_codes))
        return found

    def label_values(self) -> dict[str, int]:
        """The number of images of each label, in the order in which they first occur."""
        counts: dict[str, int] = {}
        for code, number in Counter(self.label_codes).items():
            for label in self.label_sets[code]:
                counts[label] = counts.get(label, 0) + number
        return counts

    def part_counts(self) -> dict[str | None, int]:
        """The number of images of each part."""
        return {self.parts[code]: number for code, number in Counter(self.part_codes).items()}

    def unlabelled_rows(self) -> list[int]:
        """The rows of the images without a label."""
        code = self._codes_of_labels.get(())
        return [] if code is None else [row for row, found in enumerate(self.label_codes) if found == code]

    def __len__(self) -> int:
        return len(self.label_codes)

    def __iter__(self) -> Iterator[ListedImage]:
        captions: Iterable[str] = self.captions if self.captions is not None else ("" for _ in range(len(self)))
        for path, labels, part, caption in zip(self.paths, self.label_codes, self.part_codes, captions, strict=True):
            yield ListedImage(path, self.label_sets[labels], self.parts[part], caption or None)

    @overload
    def __getitem__(self, at: int) -> ListedImage: ...

    @overload
    def __getitem__(self, at: slice) -> list[ListedImage]: ...

    def __getitem__(self, at: int | slice) -> ListedImage | list[ListedImage]:
        if isinstance(at, slice):
            return [self[row] for row in range(*at.indices(len(self)))]
        labels, part = self.label_sets[self.label_codes[at]], self.parts[self.part_codes[at]]
        return ListedImage(self.paths[at], labels, part, (self.captions[at] if self.captions else None) or None)

    def rename(self, paths: Mapping[int, str]) -> None:
        """Give the images of some rows other paths."""
        self.paths = PackedStrings(paths.get(row, path) for row, path in enumerate(self.paths))

    def set_captions(self, captions: Mapping[int, str]) -> None:
        """Give the images of some rows other captions."""
        old = self.captions if self.captions is not None else ("" for _ in range(len(self)))
        self.captions = PackedStrings(captions.get(row, caption) for row, caption in enumerate(old))

    def set_labels(self, at: int, labels: tuple[str, ...]) -> None:
        """Give an image other labels."""
        self.label_codes[at] = self.code_of_labels(labels)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and list(self) == list(other)

    __hash__ = None  # type: ignore[assignment]  # it can be changed
