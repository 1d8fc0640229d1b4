"""Single rows of the image indexes of datasets, without reading a whole index for each.

The first row of an index is found by a pass over the file, which notes where every line starts (8 bytes each). Other
passes note the labels of all rows and the first images of each label. The notes are kept in memory up to a limit; an
index never changes.
"""

import json
import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

from distill.data.columns.label_sets import LabelSets
from distill.data.image_files.parquet_rows import SharedLRU
from distill.data.image_index import Item
from distill.data.splits import LABEL_SET, NO_LABEL
from store.artefacts import Artefacts

_MAX_NOTES_BYTES = 64_000_000
_BLOCK_BYTES = 2**20
_LINES = 1 << 13
_LABEL = re.compile(rb'\["(?:[^"\\]|\\.)*", ?(-?[0-9]+)')
_NOTE_BYTES = 200  # an entry of a dict with an array of `LABEL_IMAGES` numbers
LABEL_IMAGES = 4
"""Images of a label that are noted."""


class _RowLabels(NamedTuple):
    """The label of each row, and the number of rows of each label; `label_sets` of a multi-label dataset."""

    labels: "array[int]"
    counts: Mapping[int, int]
    label_sets: LabelSets | None = None

    def rows_of(self, label: int) -> Iterator[int]:
        """The rows of a label, in order."""
        if self.label_sets is None:
            return (at for at, one in enumerate(self.labels) if one == label)
        return (at for at, labels in enumerate(self.label_sets) if label in (labels or (NO_LABEL,)))

    @property
    def num_bytes(self) -> int:
        """The memory of the notes."""
        sets = () if self.label_sets is None else (self.label_sets.offsets, self.label_sets.values)
        return sum(one.itemsize * len(one) for one in (self.labels, *sets))


class IndexRows:
    """Rows of the image indexes in an artefact store."""

    def __init__(self, artefacts: Artefacts) -> None:
        self._artefacts = artefacts
        self._labels: SharedLRU[_RowLabels] = SharedLRU(_MAX_NOTES_BYTES, lambda one: one.num_bytes)
        self._starts: SharedLRU[array[int]] = SharedLRU(_MAX_NOTES_BYTES, lambda starts: starts.itemsize * len(starts))
        self._firsts: SharedLRU[Mapping[int, array[int]]] = SharedLRU(
            _MAX_NOTES_BYTES, lambda firsts: _NOTE_BYTES * len(firsts)
        )

    def row(self, manifest_key: str, number: int) -> Item | None:
        """The image at a position from 0; None if the index has fewer. Raises FileNotFoundError without the file."""
        starts = self._starts.get(manifest_key, lambda: self._line_starts(manifest_key))
        line = number + 1  # line 0 is the header
        if line >= len(starts) - 1:
            return None
        with self._artefacts.open(manifest_key) as file:
            file.seek(starts[line])
            return Item(*json.loads(file.read(starts[line + 1] - starts[line])))

    def rows(self, manifest_key: str, start: int, stop: int) -> list[Item]:
        """The images at positions start <= position < stop; fewer at the end. Raises FileNotFoundError."""
        starts = self._starts.get(manifest_key, lambda: self._line_starts(manifest_key))
        first, last = start + 1, min(stop + 1, len(starts) - 1)
        if first >= last:
            return []
        with self._artefacts.open(manifest_key) as file:
            file.seek(starts[first])
            lines = file.read(starts[last] - starts[first]).splitlines()
        return [Item(*json.loads(line)) for line in lines]

    def label_counts(self, manifest_key: str) -> Mapping[int, int]:
        """The number of images by the index of their label; -1: images without a label. Raises FileNotFoundError."""
        return self._labels_of(manifest_key).counts

    def rows_of_label(self, manifest_key: str, label: int, start: int, stop: int) -> list[tuple[int, Item]]:
        """Position and image of the images of a label, from its image number `start` to before number `stop`."""
        chosen = list(islice(self._labels_of(manifest_key).rows_of(label), start, stop))
        return [(at, item) for at in chosen if (item := self.row(manifest_key, at)) is not None]

    def _labels_of(self, key: str) -> "_RowLabels":
        return self._labels.get(key, lambda: self._read_labels(key))

    def _read_labels(self, key: str) -> "_RowLabels":
        labels, label_sets = array("i"), LabelSets()
        with self._artefacts.open(key) as file:
            next(file)  # the header
            while lines := list(islice(file, _LINES)):
                items = [Item(*fields) for fields in json.loads(b"[" + b",".join(lines) + b"]")]
                labels.extend(item.label for item in items)
                if LABEL_SET in labels[-len(items) :] or len(label_sets):
                    while len(label_sets) < len(labels) - len(items):  # of the unlabelled images before the first set
                        label_sets.append(())
                    for item in items:
                        label_sets.append(item.labels)
        if not len(label_sets):
            return _RowLabels(labels, Counter(labels))
        return _RowLabels(labels, Counter(one for of_row in label_sets for one in of_row or (NO_LABEL,)), label_sets)

    def of_labels(self, manifest_key: str, labels: Sequence[int]) -> list[list[int]]:
        """The positions of the first `LABEL_IMAGES` images of each label. Raises FileNotFoundError without the file."""
        firsts = self._firsts.get(manifest_key, lambda: self._first_images(manifest_key))
        return [list(firsts.get(label, ())) for label in labels]

    def _first_images(self, key: str) -> "dict[int, array[int]]":
        firsts: dict[int, array[int]] = {}
        with self._artefacts.open(key) as file:
            next(file)  # the header
            for row, line in enumerate(file):
                if (match := _LABEL.match(line)) is None:
                    continue
                label = int(match[1])
                for one in Item(*json.loads(line)).all_labels if label == LABEL_SET else (label,):
                    images = firsts.setdefault(one, array("Q"))
                    if len(images) < LABEL_IMAGES:
                        images.append(row)
        return firsts

    def _line_starts(self, key: str) -> "array[int]":
        """Where each line starts, and the end of the last."""
        starts, at = array("Q", [0]), 0
        with self._artefacts.open(key) as file:
            while block := file.read(_BLOCK_BYTES):
                found = block.find(b"\n")
                while found >= 0:
                    starts.append(at + found + 1)
                    found = block.find(b"\n", found + 1)
                at += len(block)
        return starts
