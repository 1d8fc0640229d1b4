"""The artefact store at `LIMBECK_ARTEFACTS_URL`: a local folder by default, or any fsspec URL.

Files are never overwritten. Each attempt of a part writes below its own key prefix, and rows refer to those keys only
after the attempt has finished. Keys are relative paths separated by `/`.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import IO, Any

import fsspec

from store.errors import SettingInvalid

_BLOCK = 2**20


@dataclass(frozen=True)
class StoredArtefact:
    """A file in the artefact store: its key, its sha256 in hex and its size in bytes."""

    key: str
    sha256: str
    size: int


@dataclass(frozen=True)
class ListedArtefact:
    """A file as the store lists it: its key, its size in bytes, and when it was last changed (seconds since 1970)."""

    key: str
    size: int
    modified_at: float


class Artefacts:
    """The artefact store at an fsspec URL."""

    def __init__(self, url: str) -> None:
        """Raises SettingInvalid, and ModuleNotFoundError if the library of this kind of store is not installed."""
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except ImportError as error:
            raise error.__cause__ or error from None
        except ValueError as error:
            raise SettingInvalid(f"LIMBECK_ARTEFACTS_URL cannot be used: {error}") from None
        self._is_local = "file" in (self._fs.protocol if isinstance(self._fs.protocol, tuple) else (self._fs.protocol,))

    def put_file(self, source: Path, key: str) -> StoredArtefact:
        """Upload a local file. If the store is a local folder, the data is on disk when this returns."""
        with source.open("rb") as file:
            return self._write(iter(lambda: file.read(_BLOCK), b""), key)

    def put_bytes(self, content: bytes, key: str) -> StoredArtefact:
        """Upload these bytes."""
        return self._write(iter([content]), key)

    def put_blocks(self, blocks: Iterator[bytes], key: str) -> StoredArtefact:
        """Upload the bytes of these blocks, one after the other."""
        return self._write(blocks, key)

    def get_file(self, key: str, target: Path) -> None:
        """Download a file to a local path."""
        target.parent.mkdir(parents=True, exist_ok=True)
        self._fs.get_file(self._path(key), str(target))

    def open(self, key: str) -> IO[bytes]:
        """Open a file for reading. Raises FileNotFoundError if the key does not exist."""
        stream: IO[bytes] = self._fs.open(self._path(key), "rb")
        return stream

    def exists(self, key: str) -> bool:
        """Whether the file exists now."""
        path = self._path(key)
        self._fs.invalidate_cache(self._fs._parent(path))
        found: bool = self._fs.exists(path)
        return found

    def local_path(self, key: str) -> Path | None:
        """The path of the file on this machine, or None if the store is remote."""
        return Path(self._path(key)) if self._is_local else None

    def delete_below(self, prefix: str) -> None:
        """Delete all files below a prefix. A missing prefix is not an error."""
        path = self._path(prefix)
        if self._fs.exists(path):
            self._fs.rm(path, recursive=True)

    def list_below(self, prefix: str) -> Iterator[ListedArtefact]:
        """All files below a prefix. Files whose time of change the store does not know are left out."""
        self._fs.invalidate_cache()
        start = len(self._root.rstrip("/")) + 1
        for path, info in self._fs.find(self._path(prefix), detail=True).items():
            modified_at = _modified_at(info)
            if modified_at is not None:
                yield ListedArtefact(path[start:], int(info["size"]), modified_at)

    def delete_if_unchanged(self, file: ListedArtefact) -> bool:
        """Delete a file unless it was changed since it was listed; False if it was, or does not exist."""
        path = self._path(file.key)
        self._fs.invalidate_cache(self._fs._parent(path))
        try:
            if _modified_at(self._fs.info(path)) != file.modified_at:
                return False
            self._fs.rm_file(path)
        except FileNotFoundError:
            return False
        return True

    def delete_empty_folders(self, prefix: str) -> None:
        """Delete the folder of a prefix and those below it if they are empty. Only a local store has folders."""
        top = self.local_path(prefix)
        if top is not None:
            for folder in [*sorted((path for path in top.rglob("*") if path.is_dir()), reverse=True), top]:
                with contextlib.suppress(OSError):  # it is not empty
                    folder.rmdir()

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


def _modified_at(info: Mapping[str, Any]) -> float | None:
    """Local stores give seconds, S3 and the store in memory a datetime, each under its own name."""
    for name in ("mtime", "LastModified", "last_modified", "created"):
        value = info.get(name)
        if isinstance(value, datetime):
            return value.timestamp()
        if isinstance(value, int | float):
            return float(value)
    return None


def _sync(out: IO[bytes]) -> None:
    out.flush()
    os.fsync(out.fileno())
