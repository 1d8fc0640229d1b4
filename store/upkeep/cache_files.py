"""Files in the cache of this machine that no process needs: abandoned scratch folders and drafts, and old cache files.

A running part may use every file that was changed or read after it started: such files are left alone. The caches mark
a file as used when they read it. Everything in the cache can be computed again.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.models import Part

GRACE_S = 3600.0
_SCRATCH = ("part-", "check-", "repair-")
_DRAFTS = "drafts-"
CACHES = ("text", "image", "pixels", "files", "bundle_trials", "thumbnails", "students")
"""The folders that hold cached results. Nothing else in the cache folder is ever deleted, except scratch folders."""


@dataclass(frozen=True)
class UnusedPath:
    """A file or folder in the cache that can be deleted; `size` in bytes includes everything below it."""

    kind: str
    path: Path
    size: int
    used_at: float


def in_use_since(tx: Session) -> float:
    """When the first of the running parts was started; now if none runs. Seconds since 1970."""
    started: float | None = tx.scalar(select(func.min(Part.started_at)).where(Part.status == "running"))
    return time.time() if started is None else min(started, time.time())


def find_unused(
    cache: Path,
    *,
    since: float,
    grace_s: float = GRACE_S,
    max_age_s: float | None = None,
    max_bytes: int | None = None,
) -> list[UnusedPath]:
    """Abandoned folders and drafts; cache files unused for `max_age_s`; and then the least recently used ones, until
    the rest has at most `max_bytes`. `since`: see `in_use_since`. Nothing used after `since - grace_s` is returned.
    """
    before = since - grace_s
    abandoned = [one for one in _abandoned(cache) if one.used_at < before]
    taken = {one.path for one in abandoned}
    files = sorted((one for one in _cached(cache) if one.path not in taken), key=lambda one: one.used_at)
    total = sum(one.size for one in files)
    found = []
    for one in files:
        is_old = max_age_s is not None and one.used_at < time.time() - max_age_s
        is_beyond = max_bytes is not None and total > max_bytes
        if one.used_at < before and (is_old or is_beyond):
            found.append(one)
            total -= one.size
    return [*abandoned, *found]


def delete(unused: UnusedPath) -> bool:
    """Delete the file or folder; False if it cannot be deleted."""
    try:
        if unused.path.is_dir():
            shutil.rmtree(unused.path)
        else:
            unused.path.unlink()
    except OSError:
        return False
    return True


def _abandoned(cache: Path) -> Iterator[UnusedPath]:
    scratch = [path for path in _entries(cache) if path.name.startswith(_SCRATCH)]
    drafts = [path for path in _entries(cache / "pixels") if path.name.startswith(_DRAFTS)]
    for path in (*scratch, *drafts):
        if path.is_dir() and not path.is_symlink():
            sizes, times = zip(*[(0, path.stat().st_mtime), *map(_size_and_use, _files(path))], strict=True)
            yield UnusedPath("scratch folders of dead workers", path, sum(sizes), max(times))
    for file in _cache_files(cache):
        if file.name.startswith(".") and file.name.endswith(".part"):
            yield UnusedPath("half-written files", file, *_size_and_use(file))


def _cached(cache: Path) -> Iterator[UnusedPath]:
    for file in _cache_files(cache):
        yield UnusedPath("cached results", file, *_size_and_use(file))


def _cache_files(cache: Path) -> Iterator[Path]:
    for name in CACHES:
        for path in _files(cache / name):
            if not any(parent.name.startswith(_DRAFTS) for parent in path.relative_to(cache).parents):
                yield path


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _files(folder: Path) -> Iterator[Path]:
    for parent, _, names in os.walk(folder):
        yield from (Path(parent, name) for name in names)


def _size_and_use(path: Path) -> tuple[int, float]:
    """The size of a file, and when it was last changed or read; now for a file that disappeared."""
    with contextlib.suppress(OSError):
        info = path.lstat()
        return info.st_size, max(info.st_mtime, info.st_atime)
    return 0, time.time()
