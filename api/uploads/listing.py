"""The files of an upload in the order of its stream, which is their bytes one after the other."""

import json
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from distill.data.atomic_files import write_bytes
from distill.data.image_files.parquet_rows import SharedLRU

_MAX_BYTES = 128 * 2**20
_BYTES_PER_FILE = 200


@dataclass(frozen=True)
class StreamListing:
    """`starts`: where each file begins in the stream. `size`: of the stream."""

    paths: Sequence[str]
    sizes: Sequence[int]
    starts: Sequence[int]
    size: int

    @classmethod
    def of(cls, paths: Sequence[str], sizes: Sequence[int]) -> "StreamListing":
        """The listing of files with these sizes."""
        *starts, size = accumulate(sizes, initial=0)
        return cls(paths, sizes, starts, size)

    def pieces(self, start: int, length: int) -> Iterator[tuple[int, int, int]]:
        """(position of the file, first byte in it, number of bytes) for `length` bytes of the stream at `start`.

        Empty files have no bytes, and so no pieces.
        """
        end = start + length
        at = bisect_right(self.starts, start) - 1
        while start < end:
            number = min(end, self.starts[at] + self.sizes[at]) - start
            if number:
                yield at, start - self.starts[at], number
            start += number
            at += 1

    def save(self, file: Path) -> None:
        """Write the listing."""
        write_bytes(file, json.dumps([self.paths, self.sizes]).encode())


class Listings:
    """Listings of uploads, kept in memory between requests; a listing never changes."""

    def __init__(self) -> None:
        self._kept: SharedLRU[StreamListing] = SharedLRU(_MAX_BYTES, lambda one: _BYTES_PER_FILE * len(one.paths))

    def load(self, file: Path) -> StreamListing:
        """The listing in a file. Raises FileNotFoundError."""
        return self._kept.get(file, lambda: StreamListing.of(*json.loads(file.read_bytes())))
