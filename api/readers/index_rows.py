"""Single rows of the image indexes of datasets, without reading a whole index for each.

The first row of an index is found by a pass over the file, which notes where every line starts (8 bytes each). Another
pass notes the first images of each label. The notes are kept in memory up to a limit; an index never changes.
"""

import json
import re
from array import array
from collections.abc import Mapping, Sequence

from distill.data.image_files.parquet_rows import SharedLRU
from distill.data.image_index import Item
from store.artefacts import Artefacts

_MAX_NOTES_BYTES = 64_000_000
_BLOCK_BYTES = 2**20
_LABEL = re.compile(rb'\["(?:[^"\\]|\\.)*", ?(-?[0-9]+)')
_NOTE_BYTES = 200  # an entry of a dict with an array of `LABEL_IMAGES` numbers
LABEL_IMAGES = 4
"""Images of a label that are noted."""


class IndexRows:
    """Rows of the image indexes in an artefact store."""

    def __init__(self, artefacts: Artefacts) -> None:
        self._artefacts = artefacts
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
                images = firsts.setdefault(int(match[1]), array("Q"))
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
