"""The files of a folder or an archive as one stream of bytes, for both clients."""

import base64
import hashlib
import os
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")
CHUNK_BYTES = 8 * 2**20
MAX_TAKEN_OVER = 20
"""How often in a row an upload may have another offset than expected."""

OnSent = Callable[[int, int], None]
"""Called with the bytes that the service has, and with all bytes."""


@dataclass(frozen=True)
class LocalFile:
    """A file to send: its path in the upload, where it lies, its size and its time of change in milliseconds."""

    path: str
    file: Path
    size: int
    modified: int


@dataclass
class LocalFiles:
    """The stream of some files. `digest`: sha256 of its first `hashed` bytes."""

    name: str
    kind: str
    files: Sequence[LocalFile]
    num_skipped: int = 0
    hashed: int = 0
    digest: "hashlib._Hash" = field(default_factory=hashlib.sha256)

    def __post_init__(self) -> None:
        *self.starts, self.size = accumulate((one.size for one in self.files), initial=0)

    def body(self) -> dict[str, object]:
        """The request that begins the upload."""
        files = [{"path": one.path, "size": one.size, "modified": one.modified} for one in self.files]
        return {"name": self.name, "kind": self.kind, "files": files}

    def read(self, start: int, length: int) -> bytes:
        """`length` bytes of the stream, fewer at its end. Raises ValueError for a changed file, and OSError."""
        blocks, end = [], min(start + length, self.size)
        at = bisect_right(self.starts, start) - 1
        while start < end:
            one, first = self.files[at], start - self.starts[at]
            number = min(end - start, one.size - first)
            if number:
                with one.file.open("rb") as opened:
                    opened.seek(first)
                    block = opened.read(number)
                if len(block) < number or os.stat(one.file).st_size != one.size:
                    raise ValueError(f"{one.file} was changed while it was sent: upload again")
                blocks.append(block)
            start, at = start + number, at + 1
        return b"".join(blocks)

    def hash_to(self, end: int) -> None:
        """Extend the digest over the bytes up to `end`."""
        while self.hashed < end:
            self.add(self.hashed, self.read(self.hashed, min(CHUNK_BYTES, end - self.hashed)))

    def add(self, start: int, data: bytes) -> None:
        """Extend the digest by bytes that begin at `start`, as far as they are new."""
        if start <= self.hashed < start + len(data):
            self.digest.update(data[self.hashed - start :])
            self.hashed = start + len(data)


def local_files(path: Path, name: str | None = None) -> LocalFiles:
    """The files of a folder, at any depth and sorted; or an archive. Hidden files and links are skipped and counted.

    Raises ValueError for what is neither, for a folder without files, and for a name that is not UTF-8; and OSError.
    """
    if path.is_file():
        if not path.name.lower().endswith(ARCHIVE_SUFFIXES):
            raise ValueError(f"{path} is neither a folder nor an archive ({', '.join(ARCHIVE_SUFFIXES)})")
        return LocalFiles(name or path.name, "archive", [_local(path.name, path)])
    if not path.is_dir():
        raise ValueError(f"there is no folder or archive {path}")
    found, num_skipped = [], 0
    for here, folders, names in os.walk(path):
        num_skipped += sum(_is_skipped(Path(here, one)) for one in folders)
        folders[:] = [one for one in folders if not _is_skipped(Path(here, one))]
        for one in names:
            file = Path(here, one)
            if _is_skipped(file) or not file.is_file():
                num_skipped += 1
            else:
                found.append(_local(file.relative_to(path).as_posix(), file))
    if not found:
        raise ValueError(f"{path} holds no file")
    found.sort(key=lambda one: one.path)
    return LocalFiles(name or path.resolve().name, "folder", found, num_skipped)


def content_digest(data: bytes) -> str:
    """The value of a Content-Digest header (RFC 9530)."""
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def _is_skipped(path: Path) -> bool:
    return path.name.startswith(".") or path.is_symlink()


def _local(name: str, file: Path) -> LocalFile:
    try:
        name.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the name {os.fsencode(name)!r} is not UTF-8: rename the file") from None
    status = file.stat()
    return LocalFile(name, file, status.st_size, status.st_mtime_ns // 1_000_000)
