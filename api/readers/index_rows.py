"""Single rows of the image indexes of datasets, without reading a whole index for each.

The first row of an index is found by a pass over the file, which notes where every line starts (8 bytes each). The
notes are kept in memory up to a limit; an index never changes.
"""

import json
from array import array

from distill.data.image_files.parquet_rows import SharedLRU
from distill.data.image_index import Item
from store.artefacts import Artefacts

_MAX_NOTES_BYTES = 64_000_000
_BLOCK_BYTES = 2**20


class IndexRows:
    """Rows of the image indexes in an artefact store."""

    def __init__(self, artefacts: Artefacts) -> None:
        self._artefacts = artefacts
        self._starts: SharedLRU[array[int]] = SharedLRU(_MAX_NOTES_BYTES, lambda starts: starts.itemsize * len(starts))

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
