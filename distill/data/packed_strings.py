"""Many strings in little memory: their bytes concatenated, and the offset where each ends. No torch. N strings."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate, islice, pairwise
from operator import le
from pathlib import Path
from typing import overload

_CHUNK, _BLOCK = 1 << 14, 1 << 20
_MAX_INT = 2**31 - 1


class PackedStrings(Sequence[str]):
    """N strings, decoded on access. They take their bytes and 4 more each; `taken` shares the bytes."""

    def __init__(self, strings: Iterable[str] = ()) -> None:
        self._data, self._offsets = bytearray(), array("i", [0])
        self._rows: Sequence[int] | None = None
        self._has_repeats: bool | None = None
        self.extend(strings)

    def extend(self, strings: Iterable[str]) -> None:
        """Add strings at the end; not to a selection."""
        if self._rows is not None:
            raise TypeError("a selection of strings cannot grow")
        self._has_repeats = None
        rest = iter(strings)
        while chunk := list(islice(rest, _CHUNK)):
            joined = "".join(chunk)
            if joined.isascii():
                self._add(joined.encode(), map(len, chunk))
            else:  # file names that are not UTF-8 hold lone surrogates
                encoded = [text.encode("utf-8", "surrogateescape") for text in chunk]
                self._add(b"".join(encoded), map(len, encoded))

    def append(self, text: str) -> None:
        """Add a string at the end; not to a selection."""
        if self._rows is not None:
            raise TypeError("a selection of strings cannot grow")
        self._has_repeats = None
        data = text.encode("utf-8", "surrogateescape")
        self._add(data, (len(data),))

    def _add(self, data: bytes, lengths: Iterable[int]) -> None:
        if len(self._data) + len(data) > _MAX_INT and self._offsets.typecode == "i":
            self._offsets = array("q", self._offsets)
        self._offsets.extend(islice(accumulate(lengths, initial=len(self._data)), 1, None))
        self._data += data

    def taken(self, rows: Sequence[int], *, has_repeats: bool | None = None) -> "PackedStrings":
        """The strings of these rows, in their order. `has_repeats`: whether they repeat, if that is known."""
        if isinstance(rows, range) and rows == range(len(self)):
            return self
        view = PackedStrings()
        view._data, view._offsets, view._has_repeats = self._data, self._offsets, has_repeats
        view._rows = rows if self._rows is None else array("q", map(self._rows.__getitem__, rows))
        return view

    def chunks(self) -> Iterator[list[str]]:
        """The strings in order, some thousand at a time, which is faster than one by one."""
        for first in range(0, len(self), _CHUNK):
            yield self._chunk(first, min(first + _CHUNK, len(self)))

    def _chunk(self, first: int, end: int) -> list[str]:
        if self._rows is not None:
            return [self._decoded(row) for row in self._rows[first:end]]
        start, stop = self._offsets[first], self._offsets[end]
        data = self._data[start:stop]
        if not data.isascii():
            return [self._decoded(row) for row in range(first, end)]
        text = data.decode("ascii")
        return [text[a - start : b - start] for a, b in pairwise(self._offsets[first : end + 1])]

    def _decoded(self, row: int) -> str:
        return self._data[self._offsets[row] : self._offsets[row + 1]].decode("utf-8", "surrogateescape")

    def __len__(self) -> int:
        return len(self._offsets) - 1 if self._rows is None else len(self._rows)

    def __iter__(self) -> Iterator[str]:
        for chunk in self.chunks():
            yield from chunk

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> "PackedStrings": ...

    def __getitem__(self, at: int | slice) -> "str | PackedStrings":
        if isinstance(at, slice):
            return self.taken(range(*at.indices(len(self))))
        at = range(len(self))[at]
        return self._decoded(at if self._rows is None else self._rows[at])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedStrings):
            return NotImplemented
        return len(self) == len(other) and all(a == b for a, b in zip(self.chunks(), other.chunks(), strict=True))

    def __hash__(self) -> int:
        return hash((len(self), *self[:3]))

    @property
    def has_repeats(self) -> bool:
        """Whether a string is there more than once."""
        if self._has_repeats is None:
            self._has_repeats = bool(self.repeated_rows())
        return self._has_repeats

    def repeated_rows(self) -> list[int]:
        """The rows of the strings that are there more than once, in order."""
        import numpy as np  # the API does not load it at start

        hashes = np.empty(len(self), np.int64)
        first = 0
        for chunk in self.chunks():
            hashes[first : first + len(chunk)] = np.fromiter(map(hash, chunk), np.int64, len(chunk))
            first += len(chunk)
        hashes.sort()
        repeated = set(hashes[1:][hashes[1:] == hashes[:-1]].tolist())
        if not repeated:
            return []
        rows = [row for row, text in enumerate(self) if hash(text) in repeated]
        counts: dict[str, int] = {}
        for row in rows:
            counts[self[row]] = counts.get(self[row], 0) + 1
        return [row for row in rows if counts[self[row]] > 1]

    def sorted_rows(self) -> Sequence[int]:
        """The rows in the order of their strings; equal strings keep their order."""
        if self._is_sorted():
            return range(len(self))
        return self._sorted_by_arrow() or sorted(range(len(self)), key=self.__getitem__)

    def _is_sorted(self) -> bool:
        last = ""
        for chunk in self.chunks():
            if last > chunk[0] or not all(map(le, chunk, islice(chunk, 1, None))):
                return False
            last = chunk[-1]
        return True

    def _sorted_by_arrow(self) -> "array[int] | None":
        """As `sorted_rows`; None without pyarrow, or for names that are not UTF-8, which have another order as text."""
        if self._rows is not None:
            return PackedStrings(self)._sorted_by_arrow()
        try:
            import pyarrow as arrow
            import pyarrow.compute
        except ModuleNotFoundError:
            return None
        if not self._data.isascii() and not all(text.isascii() or _is_utf8(text) for text in self):
            return None
        buffers = [None, arrow.py_buffer(self._offsets), arrow.py_buffer(self._data)]
        kind = arrow.binary() if self._offsets.typecode == "i" else arrow.large_binary()
        strings = arrow.Array.from_buffers(kind, len(self), buffers)
        order = pyarrow.compute.array_sort_indices(strings).to_numpy()
        rows = array("i" if len(self) <= _MAX_INT else "q")
        for first in range(0, len(order), _BLOCK):  # a second copy of 64-bit numbers would be the largest of all arrays
            rows.frombytes(order[first : first + _BLOCK].astype(rows.typecode).data.cast("B"))
        del order
        arrow.default_memory_pool().release_unused()
        return rows


def _is_utf8(text: str) -> bool:
    return not any(0xD800 <= ord(character) <= 0xDFFF for character in text)


class PackedPaths(Sequence[Path]):
    """The paths below `root` of `names[row]` for each of `rows`, built on access."""

    def __init__(self, root: Path, names: Sequence[str], rows: Sequence[int]) -> None:
        self._root, self._names, self._rows = root, names, rows

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, at: int) -> Path: ...

    @overload
    def __getitem__(self, at: slice) -> "PackedPaths": ...

    def __getitem__(self, at: int | slice) -> "Path | PackedPaths":
        if isinstance(at, slice):
            return PackedPaths(self._root, self._names, self._rows[at])
        return self._root / self._names[self._rows[at]]
