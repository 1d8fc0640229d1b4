"""The artefact store at `LIMBECK_ARTEFACTS_URL`: a local folder by default, or any fsspec URL.

Files are never overwritten. Each attempt of a part writes below its own key prefix, and rows refer to those keys only
after the attempt has finished. Keys are relative paths separated by `/`.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import fsspec

_BLOCK = 2**20


@dataclass(frozen=True)
class StoredArtefact:
    """A file in the artefact store: its key, its sha256 in hex and its size in bytes."""

    key: str
    sha256: str
    size: int


class Artefacts:
    """The artefact store at an fsspec URL."""

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._is_local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))

    def put_file(self, source: Path, key: str) -> StoredArtefact:
        """Upload a local file. If the store is a local folder, the data is on disk when this returns."""
        with source.open("rb") as file:
            return self._write(iter(lambda: file.read(_BLOCK), b""), key)

    def put_bytes(self, content: bytes, key: str) -> StoredArtefact:
        """Upload these bytes."""
        return self._write(iter([content]), key)

    def get_file(self, key: str, target: Path) -> None:
        """Download a file to a local path."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._fs.get_file(self._path(key), str(target))

    def open(self, key: str) -> IO[bytes]:
        """Open a file for reading. Raises FileNotFoundError if the key does not exist."""
        stream: IO[bytes] = self._fs.open(self._path(key), "rb")
        return stream

    def local_path(self, key: str) -> Path | None:
        """The path of the file on this machine, or None if the store is remote."""
        return Path(self._path(key)) if self._is_local else None

    def delete_below(self, prefix: str) -> None:
        """Delete all files below a prefix. A missing prefix is not an error."""
        path = self._path(prefix)
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)

    def _write(self, blocks: Iterator[bytes], key: str) -> StoredArtefact:
        path = self._path(key)
        self._fs.makedirs(self._fs._parent(path), exist_ok=True)
        digest = hashlib.sha256()
        size = 0
        with self._fs.open(path, "wb") as out:
            for block in blocks:
                digest.update(block)
                size += len(block)
                out.write(block)
            if self._is_local:
                _sync(out)
        return StoredArtefact(key, digest.hexdigest(), size)

    def _path(self, key: str) -> str:
        parts = PurePosixPath(key).parts
        if not parts or ".." in parts or key.startswith("/"):
            raise ValueError(f"artefact key {key!r} is outside the store: use a relative path without ..")
        return f"{self._root.rstrip('/')}/{'/'.join(parts)}"


def _sync(out: IO[bytes]) -> None:
    out.flush()
    os.fsync(out.fileno())
