"""A cache folder of numeric rows under 32-byte keys, shared by any number of processes without locks or a server.

Rows are stored in shards: immutable safetensors files, each moved into place complete, under a unique name. If two
writers compute the same row, both store it and both copies are correct, because a key covers everything that its row
depends on. An unreadable shard counts as absent. N keys, M rows in all shards, W row width. Imports no torch.

Shards are memory-mapped: `open` reads only their keys, sorts the first 8 bytes of each and looks the wanted ones up, so
that its time depends on N and M and not on the number of shards, and the rows are read when they are asked for.
"""

import hashlib
import json
import logging
import math
import mmap
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file

from distill.data.atomic_files import mark_used, replacing

KEY_BYTES = 32
_WORDS = KEY_BYTES // 8
Keys = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Words = npt.NDArray[np.uint64]
ScalarT = TypeVar("ScalarT", bound=np.generic)

log = logging.getLogger(__name__)


def key_of(*parts: str | bytes) -> bytes:
    """The 32-byte key of a sequence of parts: sha256 over each part's length and bytes, so that boundaries count."""
    digest = hashlib.sha256()
    for part in parts:
        # The name of a file that is not UTF-8 holds lone surrogates.
        data = part.encode("utf-8", "surrogateescape") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()


def stack_keys(keys: Iterable[bytes]) -> Keys:
    """Keys as an array (N, 32)."""
    return np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)


@dataclass(frozen=True, eq=False)
class _Shard(Generic[ScalarT]):
    """The memory-mapped `keys` (m, 32) and `rows` (m, W) of a file."""

    path: Path
    keys: Keys
    rows: npt.NDArray[ScalarT]


class OpenedRows(Generic[ScalarT]):
    """Where the rows of N keys are. `found`: (N,) bool."""

    def __init__(self, shards: Sequence[_Shard[ScalarT]], keys: Keys, width: int, dtype: np.dtype[ScalarT]) -> None:
        self._shards, self._width, self._dtype = shards, width, dtype
        self._starts = np.cumsum([0, *(len(shard.keys) for shard in shards)])
        self._at = _find(shards, keys)
        self.found: npt.NDArray[np.bool_] = self._at >= 0
        for number in np.unique(self._shard_numbers(self._at[self.found])).tolist():
            mark_used(shards[number].path)

    def read(self) -> npt.NDArray[ScalarT]:
        """The rows (N, W), zeros for missing ones."""
        rows = np.zeros((len(self._at), self._width), dtype=self._dtype)
        places = np.flatnonzero(self.found)
        places = places[np.argsort(self._at[places], kind="stable")]
        at = self._at[places]
        bounds = np.searchsorted(at, self._starts)
        for shard, start, first, last in zip(self._shards, self._starts, bounds, bounds[1:], strict=False):
            rows[places[first:last]] = shard.rows[at[first:last] - start]
        return rows

    def _shard_numbers(self, at: Ints) -> Ints:
        return np.searchsorted(self._starts, at, side="right") - 1


class RowCache(Generic[ScalarT]):
    """Rows of `width` numbers of `dtype` in the shards of `folder`, which is created with the first row."""

    def __init__(self, folder: Path, *, width: int, dtype: type[ScalarT]) -> None:
        self.folder = folder
        self.width = width
        self.dtype = np.dtype(dtype)

    def open(self, keys: Keys) -> OpenedRows[ScalarT]:
        """Find the rows of `keys` (N, 32), without reading them."""
        return OpenedRows(self._shards(), keys, self.width, self.dtype)

    def get(self, keys: Keys) -> tuple[npt.NDArray[ScalarT], npt.NDArray[np.bool_]]:
        """Rows (N, W) of `keys` (N, 32), zeros for missing ones, and whether each was found (N,)."""
        opened = self.open(keys)
        return opened.read(), opened.found

    def keys(self) -> frozenset[bytes]:
        """All keys that have a row."""
        return frozenset(key.tobytes() for shard in self._shards() for key in shard.keys)

    def add(self, keys: Keys, rows: npt.NDArray[ScalarT]) -> None:
        """Store `rows` (N, W) under `keys` (N, 32) as one new shard; nothing if N is 0."""
        if len(keys) == 0:
            return
        shard = self.folder / f"{uuid.uuid4().hex}.safetensors"
        content = {"keys": np.ascontiguousarray(keys), "rows": np.ascontiguousarray(rows, dtype=self.dtype)}
        with replacing(shard) as draft:
            save_file(content, draft)

    def _shards(self) -> list[_Shard[ScalarT]]:
        opened = (self._open(path) for path in sorted(self.folder.glob("*.safetensors")))
        return [shard for shard in opened if shard is not None]

    def _open(self, path: Path) -> _Shard[ScalarT] | None:
        try:
            with path.open("rb") as file:
                data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            keys, rows = _tensor(data, "keys", np.dtype(np.uint8)), _tensor(data, "rows", self.dtype)
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("cache shard %s cannot be read and is ignored: %s", path, error)
            return None
        if keys.shape != (len(rows), KEY_BYTES) or rows.shape[1:] != (self.width,):
            log.warning("cache shard %s has rows of another shape and is ignored", path)
            return None
        return _Shard(path, keys, rows)


_DTYPES: Mapping[str, np.dtype[Any]] = {
    "U8": np.dtype(np.uint8),
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
}


def _tensor(data: mmap.mmap, name: str, dtype: np.dtype[ScalarT]) -> npt.NDArray[ScalarT]:
    """A tensor in the bytes of a safetensors file; the format is in https://huggingface.co/docs/safetensors.

    Raises ValueError, KeyError or TypeError for a file that is damaged or has another type.
    """
    header_bytes = int.from_bytes(data[:8], "little")
    tensor = json.loads(data[8 : 8 + header_bytes])[name]
    first, last = tensor["data_offsets"]
    if _DTYPES[tensor["dtype"]] != dtype:
        raise ValueError(f"{name} are of type {tensor['dtype']}")
    count = math.prod(tensor["shape"])
    if count == 0 or last - first != dtype.itemsize * count:
        raise ValueError(f"{name} have no row, or not the size of their shape")
    return np.frombuffer(data, dtype, count, 8 + header_bytes + first).reshape(tensor["shape"])


def _find(shards: Sequence[_Shard[ScalarT]], keys: Keys) -> Ints:
    """The number (N,) of the row of each key, counted over all shards; -1 for a missing one."""
    at = np.full(len(keys), -1, dtype=np.int64)
    if not shards or len(keys) == 0:
        return at
    stored = np.concatenate([_words(shard.keys) for shard in shards])
    order = np.argsort(stored[:, 0])
    prefixes, wanted = stored[order, 0], _words(np.ascontiguousarray(keys))
    pending = np.argsort(wanted[:, 0])  # neighbours in the sorted list are neighbours in memory
    place = np.searchsorted(prefixes, wanted[pending, 0])
    while len(pending):  # a second round is for keys that differ only after their first word
        is_candidate = place < len(prefixes)
        is_candidate[is_candidate] = prefixes[place[is_candidate]] == wanted[pending[is_candidate], 0]
        pending, place = pending[is_candidate], place[is_candidate]
        found, looked_for = stored[order[place]], wanted[pending]
        is_same = np.logical_and.reduce([found[:, word] == looked_for[:, word] for word in range(1, _WORDS)])
        at[pending[is_same]] = order[place[is_same]]
        pending, place = pending[~is_same], place[~is_same] + 1
    return at


def _words(keys: Keys) -> Words:
    """Keys (N, 32) as (N, 4) integers, which are compared faster than bytes."""
    words: Words = keys.view(np.uint64)
    return words
