"""Opens regular files only, and recognises a file that was not changed since it was read. Imports no torch."""

import errno
import os
import stat
import time
from pathlib import Path
from typing import BinaryIO

# A file can change twice within the resolution of its timestamps, so a recent one proves nothing.
SETTLED_NS = 2_000_000_000

_roots: tuple[str, ...] = ()


def confine_to(*roots: Path) -> None:
    """From now on, this process opens only files that lie below one of `roots`, whatever links lead to them.

    The place of a file is asked of its descriptor, after it was opened: a folder that becomes a link between a check of
    its path and the opening of a file makes no difference.
    """
    global _roots
    _roots = tuple(os.path.realpath(root) for root in roots)


def open_regular(path: Path | str) -> BinaryIO:
    """Open a file to read its bytes, without ever waiting. Raises OSError for anything that is no regular file.

    Opening a FIFO in the usual way waits until another process writes to it.
    """
    return open(path, "rb", opener=_open_regular)


def _open_regular(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", path)
        if _roots and not _lies_below(_roots, descriptor, path):
            raise OSError(errno.EACCES, "A link leads out of the data root", path)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _lies_below(roots: tuple[str, ...], descriptor: int, path: str) -> bool:
    try:
        real = os.readlink(f"/proc/self/fd/{descriptor}")
    except OSError:  # not Linux
        real = os.path.realpath(path)
    return any(os.path.commonpath([root, real]) == root for root in roots)


def read_regular(path: Path | str) -> bytes:
    """The bytes of a file. Raises OSError."""
    with open_regular(path) as file:
        return file.read()


def read_range(path: Path | str, first: int, size: int) -> bytes:
    """`size` bytes of a file, from `first` on. Raises OSError, also for a file that has fewer."""
    with open_regular(path) as file:
        file.seek(first)
        data = file.read(size)
    if len(data) < size:
        raise OSError(0, "the file was truncated", str(path))
    return data


def version_of(path: Path | str) -> str | None:
    """A text that differs after every change of a file: size, times of change and inode.

    None if the file is missing, or was changed too recently to tell a second change. The time of the last status change
    (ctime) cannot be set by programs, so that a file swapped under the same size and modification time is noticed.
    """
    try:
        status = os.stat(path)
    except OSError:
        return None
    if time.time_ns() - status.st_ctime_ns < SETTLED_NS:
        return None
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}"
