"""The image index of a dataset: the label and the part (`distill.data.splits`) of every image.

`distill.data.dataset.scan` makes one from a folder. Imports no torch. N images, K labels.
"""

import hashlib
import json
import re
from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice, repeat
from pathlib import Path
from typing import NamedTuple

from distill.data.atomic_files import replacing
from distill.data.columns.label_sets import LabelSets
from distill.data.image_folders import FolderError
from distill.data.packed_strings import PackedStrings
from distill.data.splits import LABEL_SET, NO_LABEL, PARTS, Part
from limbeck.shared.images.file_names import json_line
from limbeck.shared.text import counted

_PLAIN = re.compile(r"[ !#-\[\]-~]*").fullmatch
"""Whether JSON writes a text as it is."""
_LINES = 1 << 13


class Item(NamedTuple):
    """One image: its path relative to the root, the index of its label (-1 if unlabelled), its part, and its caption.

    The caption is None if the layout gives none. In a multi-label dataset the label is `LABEL_SET`, and `labels` are
    those of the image, ascending. In another one, an image with several labels is one item for each of them.
    """

    path: str
    label: int
    part: Part
    caption: str | None = None
    labels: Sequence[int] = ()

    @property
    def all_labels(self) -> tuple[int, ...]:
        """The indices of the labels of the image; empty for an unlabelled one."""
        return tuple(self.labels) if self.labels else (self.label,) if self.label >= 0 else ()

    def as_fields(self) -> tuple[str | int | Sequence[int] | None, ...]:
        """`(path, label, part)`, the caption if there is one, and the labels if it is an item with a set of them."""
        if self.labels:
            return self
        return self[:4] if self.caption is not None else self[:3]


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """The label and the part of each of N images, stored in columns to save memory at a million images.

    `labels`: the whole vocabulary in order, including labels without images. `captions`: of each image, empty for an
    image without one; None if no image has one. `label_sets`: the labels of each image of a multi-label dataset, whose
    `label_indices` are `LABEL_SET`; None if an image has one label. The digest covers neither `root` nor the contents
    of the images.
    """

    root: str
    labels: tuple[str, ...]
    paths: PackedStrings
    label_indices: "array[int]"
    part_codes: bytes
    captions: PackedStrings | None = None
    label_sets: LabelSets | None = None

    @property
    def is_multi_label(self) -> bool:
        """Whether the images have sets of labels."""
        return self.label_sets is not None

    @cached_property
    def id_labels(self) -> tuple[int, ...]:
        """Indices of the labels with training or held-out images."""
        return tuple(sorted(self.labels_of("train") | self.labels_of("held_out")))

    @cached_property
    def ood_labels(self) -> tuple[int, ...]:
        """Indices of the labels that are not in training.

        In a multi-label dataset an OOD image can also show labels of training; these are not among them.
        """
        labels = self.labels_of("ood")
        return tuple(sorted(labels - set(self.id_labels) if self.is_multi_label else labels))

    @cached_property
    def digest(self) -> str:
        """sha256 over labels, paths, parts and captions, in hex."""
        digest = hashlib.sha256(json.dumps(self.labels).encode())
        for texts in self._as_json(json.dumps):
            digest.update("".join(texts).encode())
        return digest.hexdigest()

    def labels_of(self, part: Part) -> set[int]:
        """Indices of the labels with images in a part."""
        wanted = PARTS.index(part)
        return {label for label, code in self._num_images if code == wanted}

    @cached_property
    def _num_images(self) -> Counter[tuple[int, int]]:
        """The number of images of each label in each part, by its code."""
        if self.label_sets is None:
            return Counter(zip(self.label_indices, self.part_codes, strict=True))
        rows = zip(self.label_sets, self.part_codes, strict=True)
        return Counter((label, code) for labels, code in rows for label in labels or (NO_LABEL,))

    @property
    def num_images_of_labels(self) -> dict[int, int]:
        """The number of images of each label that has some; `NO_LABEL` is one of them if there are unlabelled ones."""
        counts: dict[int, int] = {}
        for (label, _), number in self._num_images.items():
            counts[label] = counts.get(label, 0) + number
        return counts

    @property
    def labels_per_image(self) -> float | None:
        """The mean number of labels of the labelled images of a multi-label dataset; None for another one."""
        if self.label_sets is None:
            return None
        return len(self.label_sets.values) / max(1, sum(label == LABEL_SET for label in self.label_indices))

    def _as_json(self, dumps: Callable[[tuple[str | int | Sequence[int] | None, ...]], str]) -> Iterator[list[str]]:
        """What `dumps` gives for the fields of each item, some thousand items at a time."""
        if self.label_sets is not None:
            of_index = iter(self)
            while some := list(islice(of_index, _LINES)):
                yield [dumps(item.as_fields()) for item in some]
            return
        ends = {key: f'", {key[0]}, "{PARTS[key[1]]}"' for key in self._num_images}
        first = 0
        for paths in self.paths.chunks():
            rows = slice(first, first + len(paths))
            first = rows.stop
            keys = zip(self.label_indices[rows], self.part_codes[rows], strict=True)
            captions = None if self.captions is None else list(self.captions[rows])
            if not _PLAIN("".join(paths)) or (captions and not _PLAIN("".join(captions))):
                captions = captions or [""] * len(paths)
                items = zip(paths, keys, captions, strict=True)
                yield [
                    dumps(Item(path, label, PARTS[code], caption or None).as_fields())
                    for path, (label, code), caption in items
                ]
            elif captions is None or not any(captions):
                yield [f'["{path}{ends[key]}]' for path, key in zip(paths, keys, strict=True)]
            else:
                lasts = [f', "{caption}"]' if caption else "]" for caption in captions]
                yield [f'["{path}{ends[key]}{last}' for path, key, last in zip(paths, keys, lasts, strict=True)]

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Item]:
        captions: Iterable[str] = self.captions if self.captions is not None else repeat("", len(self))
        rows = zip(self.paths, self.label_indices, self.part_codes, captions, strict=True)
        if self.label_sets is None:
            yield from (Item(path, label, PARTS[code], caption or None) for path, label, code, caption in rows)
            return
        for (path, label, code, caption), labels in zip(rows, self.label_sets, strict=True):
            yield Item(path, label, PARTS[code], caption or None, labels)

    @property
    def items(self) -> list[Item]:
        """All images in order. For a large index, iterate over the index itself."""
        return list(self)

    @property
    def counts(self) -> dict[str, int]:
        """Number of images per part (`unlabelled` only if there are some), and of `id_labels` and `ood_labels`."""
        parts: dict[str, int] = {part: self.part_codes.count(code) for code, part in enumerate(PARTS)}
        if not parts["unlabelled"]:
            del parts["unlabelled"]
        return parts | {"id_labels": len(self.id_labels), "ood_labels": len(self.ood_labels)}

    def part(self, part: Part) -> list[int]:
        """Positions of the images of a part, in order."""
        wanted = PARTS.index(part)
        return [at for at, code in enumerate(self.part_codes) if code == wanted]

    @cached_property
    def image_numbers(self) -> "array[int] | None":
        """A number for the image of each row, equal for the rows of one image; None if no image has several rows."""
        if not self.paths.has_repeats:
            return None
        numbers: dict[str, int] = {}
        of_rows = array("q", (numbers.setdefault(path, len(numbers)) for path in self.paths))
        return of_rows

    def labels_at(self, at: int) -> tuple[int, ...]:
        """The indices of the labels of the image at a position; empty for an unlabelled one."""
        if self.label_sets is not None:
            return self.label_sets[at]
        label = self.label_indices[at]
        return () if label == NO_LABEL else (label,)

    def file(self, at: int) -> Path:
        """Path on this machine of the image at a position."""
        return Path(self.root, self.paths[at])

    def save(self, path: Path) -> None:
        """Write JSON lines, atomically: a header, then `Item.as_fields` of each image."""
        header = {
            "manifest": 1,
            "root": self.root,
            "labels": self.labels,
            "num_images": len(self),
            "digest": self.digest,
        }
        with replacing(path) as draft, draft.open("w", encoding="utf-8") as out:
            out.write(json_line(header))
            for texts in self._as_json(lambda fields: json_line(fields)[:-1]):
                out.write("\n".join(texts) + "\n")

    @classmethod
    def load(cls, path: Path) -> "ImageIndex":
        """Read a file that `save` wrote. Raises FolderError `bad_manifest` if the file is truncated or altered."""
        try:
            with path.open(encoding="utf-8") as lines:
                header = json.loads(next(lines, ""))
                image_index = cls.of(header["root"], header["labels"], _items_of(lines))
            is_intact = (header["manifest"], header["digest"]) == (1, image_index.digest)
        except (ValueError, KeyError, TypeError) as error:
            raise FolderError("bad_manifest", f"{path.name} is not an image index: {error}", "") from None
        if not is_intact:
            detail = f"{path.name} is truncated or altered: register the dataset again"
            raise FolderError("bad_manifest", detail, "")
        return image_index

    @classmethod
    def of(cls, root: str | Path, labels: Sequence[str], items: Iterable[Item]) -> "ImageIndex":
        """Collect items into columns.

        Raises ValueError for an unknown part, a label index out of range, and images of which only some have sets.
        """
        label_indices, part_codes = array("i"), bytearray()
        captions: dict[int, str] = {}
        sets = LabelSets()

        def paths() -> Iterator[str]:
            for path, label, part, caption, of_image in items:
                if of_image:
                    if (
                        label != LABEL_SET
                        or part == "unlabelled"
                        or not 0 <= min(of_image) <= max(of_image) < len(labels)
                    ):
                        raise ValueError(f"{path}: labels {of_image} do not fit the {len(labels)} labels")
                    while len(sets) < len(part_codes):  # of the unlabelled images before the first set
                        sets.append(())
                    sets.append(of_image)
                elif not (0 <= label < len(labels) or (label == NO_LABEL and part == "unlabelled")):
                    raise ValueError(
                        f"{path}: label index {label} is out of range, there are {counted(len(labels), 'label')}"
                    )
                label_indices.append(label)
                if caption:
                    captions[len(part_codes)] = caption
                part_codes.append(PARTS.index(part))
                yield path

        packed = PackedStrings(paths())
        of_rows = PackedStrings(captions.get(row, "") for row in range(len(packed))) if captions else None
        label_sets = None
        if len(sets):
            if max(label_indices) >= 0:
                raise ValueError("some images have one label and others a set of labels: give all of them sets")
            while len(sets) < len(packed):
                sets.append(())
            label_sets = sets
        return cls(str(root), tuple(labels), packed, label_indices, bytes(part_codes), of_rows, label_sets)


def _items_of(lines: Iterator[str]) -> Iterator[Item]:
    """The items of JSON lines, some thousand of which are parsed at a time. Raises ValueError and TypeError."""
    while some := list(islice(lines, _LINES)):
        items = json.loads(f"[{','.join(some)}]")
        if len(items) != len(some):
            raise ValueError("a line does not hold one item")
        for item in items:
            yield Item(*item)
