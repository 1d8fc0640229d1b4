"""Atomic file writes: a reader sees the complete old file or the complete new one. Imports no torch.

A file is written to a uniquely named draft in the same folder, flushed to disk, and renamed over the target. If the
disk is full or the writer is killed, the old file stays. New files are readable by everyone (mode 0644).
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

READABLE = 0o644


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a draft path next to `path`; if the block succeeds, the draft becomes `path` with mode 0644.

    If the block raises, the draft is removed and `path` is unchanged. Creates the folder of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        # safetensors creates files with mode 0600, which a server that runs as another user could not read.
        draft.chmod(READABLE)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Replace the content of `path` by `data`, atomically."""
    with replacing(path) as draft:
        draft.write_bytes(data)


def mark_used(path: Path) -> None:
    """Set the file's time of change to now, so that what cleans a cache up sees when the file was last read."""
    with suppress(OSError):  # a cache that this process can only read
        os.utime(path)
