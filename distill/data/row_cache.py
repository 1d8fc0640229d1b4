"""A folder of rows under 32-byte keys, shared by any number of processes at once, with no lock and no server.

Rows arrive in shards: immutable safetensors files, each moved into place whole, under a name nobody else uses.
Two writers that compute the same row write it twice, and both copies are right, because a key says everything that
its row depends on. A shard that cannot be read counts as absent. N keys, W width of a row. Imports no torch.
"""

import hashlib
import logging
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from distill.data.atomic_files import replacing

KEY_BYTES = 32
Keys = npt.NDArray[np.uint8]
Rows = npt.NDArray[Any]

log = logging.getLogger(__name__)


def key_of(*parts: str | bytes) -> bytes:
    """The 32-byte key of a sequence of parts; each is counted, so that moving a border between two changes the key."""
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.digest()


def stack_keys(keys: Iterable[bytes]) -> Keys:
    """Keys as an array (N, 32)."""
    return np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, KEY_BYTES)


class RowCache:
    """Rows of `width` numbers of `dtype` in the shards below `folder`, which appears with the first row."""

    def __init__(self, folder: Path, *, width: int, dtype: npt.DTypeLike) -> None:
        self.folder = folder
        self.width = width
        self.dtype = np.dtype(dtype)

    def get(self, keys: Keys) -> tuple[Rows, npt.NDArray[np.bool_]]:
        """Rows (N, W) of `keys` (N, 32), zeros where there is none, and whether each was found (N,).

        Reads one shard at a time, so that memory is the answer and one shard.
        """
        rows: Rows = np.zeros((len(keys), self.width), dtype=self.dtype)
        found = np.zeros(len(keys), dtype=np.bool_)
        wanted = _sortable(keys)
        for shard in sorted(self.folder.glob("*.safetensors")):
            if found.all():
                break
            content = self._read(shard)
            if content is None:
                continue
            shard_keys, shard_rows = content
            order = np.argsort(shard_keys)
            place = np.searchsorted(shard_keys, wanted, sorter=order).clip(max=len(order) - 1)
            source = order[place]
            here = (shard_keys[source] == wanted) & ~found
            rows[here] = shard_rows[source[here]]
            found |= here
        return rows, found

    def keys(self) -> frozenset[bytes]:
        """Every key that has a row."""
        contents = (self._read(shard) for shard in sorted(self.folder.glob("*.safetensors")))
        # numpy drops closing zero bytes from a byte string that leaves an array.
        return frozenset(
            bytes(key).ljust(KEY_BYTES, b"\0") for content in contents if content is not None for key in content[0]
        )

    def add(self, keys: Keys, rows: Rows) -> None:
        """Keep `rows` (N, W) under `keys` (N, 32) as one new shard."""
        if len(keys) == 0:
            return
        shard = self.folder / f"{uuid.uuid4().hex}.safetensors"
        content = {"keys": np.ascontiguousarray(keys), "rows": np.ascontiguousarray(rows, dtype=self.dtype)}
        with replacing(shard) as draft:
            save_file(content, draft)

    def _read(self, shard: Path) -> tuple[npt.NDArray[Any], Rows] | None:
        try:
            with safe_open(shard, framework="numpy") as opened:
                keys, rows = opened.get_tensor("keys"), opened.get_tensor("rows")
        except (OSError, SafetensorError) as error:
            log.warning("cache shard %s cannot be read and is left out: %s", shard, error)
            return None
        if keys.shape != (len(rows), KEY_BYTES) or rows.shape[1:] != (self.width,) or len(keys) == 0:
            log.warning("cache shard %s has rows of another form and is left out", shard)
            return None
        return _sortable(keys), rows


def _sortable(keys: Keys) -> npt.NDArray[Any]:
    # Byte strings of one fixed length sort and compare as a whole; numpy has no order for uint8 rows.
    return np.ascontiguousarray(keys).view(f"S{KEY_BYTES}").reshape(-1)
