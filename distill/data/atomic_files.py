"""Files that are either there whole or not there at all, readable by everyone who may read the folder.

A file is written beside its place under a name of the writer's own, flushed to disk, and moved over: a reader sees
the old file or the new one, and a full disk or a killed writer leaves the old one. Imports no torch.
"""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

READABLE = 0o644


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a place beside `path` to write to; when the block ends well the file there becomes `path` (mode 0644).

    If the block raises, what was written is removed and `path` is as before. Makes the folder of `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield draft
        with draft.open("rb") as written:
            os.fsync(written.fileno())
        # safetensors makes its files 0600, which a server under another user could not hand out
        draft.chmod(READABLE)
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write `data` as the whole of `path`, atomically."""
    with replacing(path) as draft:
        draft.write_bytes(data)
