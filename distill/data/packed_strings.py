"""Many strings in little memory: their bytes concatenated, and the offset where each ends. No torch. N strings."""

from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import overload


def shown_path(path: str) -> str:
    """A path as text that can be printed and stored: bytes that are not UTF-8 and control characters are escaped."""
    text = path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


class PackedStrings(Sequence[str]):
    """N strings, decoded on access."""

    def __init__(self, strings: Iterable[str] = ()) -> None:
        self._ends = array("Q")
        data = bytearray()
        for text in strings:
            # File names that are not UTF-8 hold lone surrogates.
            data += text.encode("utf-8", "surrogateescape")
            self._ends.append(len(data))
        self._data = bytes(data)

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self._ends:
            yield self._data[start:end].decode("utf-8", "surrogateescape")
            start = end

    @overload
    def __getitem__(self, at: int) -> str: ...

    @overload
    def __getitem__(self, at: slice) -> "PackedStrings": ...

    def __getitem__(self, at: int | slice) -> "str | PackedStrings":
        if isinstance(at, slice):
            return PackedStrings(self[index] for index in range(*at.indices(len(self))))
        at = range(len(self))[at]
        start = self._ends[at - 1] if at else 0
        return self._data[start : self._ends[at]].decode("utf-8", "surrogateescape")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, PackedStrings):
            return NotImplemented
        return (self._data, self._ends) == (other._data, other._ends)

    def __hash__(self) -> int:
        return hash(self._data)


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
