"""Files, kept where `LIMBECK_ARTEFACTS_URL` says: a local folder by default, anything fsspec knows otherwise.

Nothing is ever overwritten: each attempt of a part writes below a place of its own (`Claim.place`), and rows point
there once the attempt has won. Keys are relative paths with `/`.
"""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec

_BLOCK = 2**20


@dataclass(frozen=True)
class Stored:
    """A file as it was stored."""

    key: str
    sha256: str
    size: int


class Artefacts:
    """The artefact store at an fsspec URL."""

    def __init__(self, url: str) -> None:
        self._fs, self._root = fsspec.core.url_to_fs(url)
        self._is_local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))

    def put_file(self, source: Path, key: str) -> Stored:
        """Copy a local file in; durable before this returns where the store is a folder."""
        with source.open("rb") as file:
            return self._write(iter(lambda: file.read(_BLOCK), b""), key)

    def put_bytes(self, content: bytes, key: str) -> Stored:
        """Keep these bytes."""
        return self._write(iter([content]), key)

    def get_file(self, key: str, target: Path) -> None:
        """Copy a file out to a local path."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._fs.get_file(self._path(key), str(target))

    def open(self, key: str) -> IO[bytes]:
        """A stored file, for reading; `FileNotFoundError` where there is none."""
        stream: IO[bytes] = self._fs.open(self._path(key), "rb")
        return stream

    def local_path(self, key: str) -> Path | None:
        """Where the file lies on this machine, or None where the store is remote."""
        return Path(self._path(key)) if self._is_local else None

    def delete_below(self, prefix: str) -> None:
        """Remove all files below a prefix; one that is not there is no error."""
        path = self._path(prefix)
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)

    def _write(self, blocks: Iterator[bytes], key: str) -> Stored:
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
        return Stored(key, digest.hexdigest(), size)

    def _path(self, key: str) -> str:
        parts = PurePosixPath(key).parts
        if not parts or ".." in parts or key.startswith("/"):
            raise ValueError(f"artefact key {key!r} leaves the store")
        return f"{self._root.rstrip('/')}/{'/'.join(parts)}"


def _sync(out: Any) -> None:
    out.flush()
    os.fsync(out.fileno())
