"""Runs of bytes that a file has in common with files that are stored already.

A bundle holds the weights of its student in `image/` and in `pairing/`, and those of its ONNX graph twice. Both files
of a pair list the same tensors in the same order, with other bytes in between. The search therefore goes along the
known file in small steps, and looks for the bytes at each step shortly after the last match; now and then it looks in
the whole file.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from mmap import mmap

_STEP = 4 * 1024
_NEEDLE = 64
_NEAR = 1024 * 1024
_FAR_EVERY = 64  # steps
_COMPARED = 1024 * 1024
MIN_MATCH = 2 * 1024


@dataclass(frozen=True)
class CommonRun:
    """`size` bytes that are at `start` in the file and at `known_start` in the known one."""

    start: int
    known_start: int
    size: int

    @property
    def stop(self) -> int:
        """The end in the file."""
        return self.start + self.size


Content = bytes | mmap


def common_runs(file: Content, known: Content) -> list[CommonRun]:
    """Matches in ascending order of both files, which do not overlap; each of at least `MIN_MATCH` bytes."""
    return list(_runs(file, known))


def _runs(file: Content, known: Content) -> Iterator[CommonRun]:
    start, at, step = 0, 0, 0
    while at + _NEEDLE <= len(known):
        needle = known[at : at + _NEEDLE]
        stop = len(file) if step % _FAR_EVERY == 0 else start + _NEAR
        found = file.find(needle, start, stop) if len(set(needle)) > 8 else -1  # zeros are everywhere
        step += 1
        if found >= 0:
            size = _equal_bytes(file, found, known, at)
            back = _equal_bytes_before(file, found, known, at, limit=found - start)
            if back + size >= MIN_MATCH:
                yield CommonRun(found - back, at - back, back + size)
                start, at = found + size, at + size
                continue
        at += _STEP


def _equal_bytes(file: Content, start: int, known: Content, known_start: int) -> int:
    """How many bytes from these positions on are equal."""
    import numpy as np

    size = 0
    limit = min(len(file) - start, len(known) - known_start)
    while size < limit:
        number = min(_COMPARED, limit - size)
        a = np.frombuffer(file, np.uint8, number, start + size)
        b = np.frombuffer(known, np.uint8, number, known_start + size)
        if (differs := np.flatnonzero(a != b)).size:
            return size + int(differs[0])
        size += number
    return size


def _equal_bytes_before(file: Content, start: int, known: Content, known_start: int, *, limit: int) -> int:
    """How many bytes before these positions are equal, at most `limit`."""
    import numpy as np

    size = 0
    limit = min(limit, known_start)
    while size < limit:
        number = min(_STEP, limit - size)
        a = np.frombuffer(file, np.uint8, number, start - size - number)[::-1]
        b = np.frombuffer(known, np.uint8, number, known_start - size - number)[::-1]
        if (differs := np.flatnonzero(a != b)).size:
            return size + int(differs[0])
        size += number
    return size
