"""A cache folder of numeric rows under 32-byte keys, shared by any number of processes without locks or a server.

Rows are stored in shards: immutable safetensors files, each moved into place complete, under a unique name. If two
writers compute the same row, both store it and both copies are correct, because a key covers everything that its row
depends on. An unreadable shard counts as absent. N keys, W row width. Imports no torch.
"""

import hashlib
import logging
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from distill.data.atomic_files import mark_used, replacing

KEY_BYTES = 32
Keys = npt.NDArray[np.uint8]
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


class RowCache(Generic[ScalarT]):
    """Rows of `width` numbers of `dtype` in the shards of `folder`, which is created with the first row."""

    def __init__(self, folder: Path, *, width: int, dtype: type[ScalarT]) -> None:
        self.folder = folder
        self.width = width
        self.dtype = np.dtype(dtype)

    def get(self, keys: Keys) -> tuple[npt.NDArray[ScalarT], npt.NDArray[np.bool_]]:
        """Rows (N, W) of `keys` (N, 32), zeros for missing ones, and whether each was found (N,).

        Reads one shard at a time; peak memory is the result plus one shard.
        """
        rows = np.zeros((len(keys), self.width), dtype=self.dtype)
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
            in_shard = (shard_keys[source] == wanted) & ~found
            rows[in_shard] = shard_rows[source[in_shard]]
            found |= in_shard
        return rows, found

    def keys(self) -> frozenset[bytes]:
        """All keys that have a row."""
        contents = (self._read(shard) for shard in sorted(self.folder.glob("*.safetensors")))
        # numpy drops trailing zero bytes when a byte string leaves an array.
        return frozenset(
            bytes(key).ljust(KEY_BYTES, b"\0") for content in contents if content is not None for key in content[0]
        )

    def add(self, keys: Keys, rows: npt.NDArray[ScalarT]) -> None:
        """Store `rows` (N, W) under `keys` (N, 32) as one new shard; nothing if N is 0."""
        if len(keys) == 0:
            return
        shard = self.folder / f"{uuid.uuid4().hex}.safetensors"
        content = {"keys": np.ascontiguousarray(keys), "rows": np.ascontiguousarray(rows, dtype=self.dtype)}
        with replacing(shard) as draft:
            save_file(content, draft)

    def _read(self, shard: Path) -> tuple[npt.NDArray[np.bytes_], npt.NDArray[ScalarT]] | None:
        try:
            with safe_open(shard, framework="numpy") as opened:
                keys, rows = opened.get_tensor("keys"), opened.get_tensor("rows")
            mark_used(shard)
        except (OSError, SafetensorError) as error:
            log.warning("cache shard %s cannot be read and is ignored: %s", shard, error)
            return None
        if keys.shape != (len(rows), KEY_BYTES) or rows.shape[1:] != (self.width,) or len(keys) == 0:
            log.warning("cache shard %s has rows of another shape and is ignored", shard)
            return None
        return _sortable(keys), rows


def _sortable(keys: Keys) -> npt.NDArray[np.bytes_]:
    # Byte strings of one fixed length sort and compare as a whole; numpy defines no order for uint8 rows.
    return np.ascontiguousarray(keys).view(f"S{KEY_BYTES}").reshape(-1)
