"""One check of a folder at a time: a repeated request waits for the first, and then finds its results cached.

A check and each request that waits for one take a thread of the API, so their number is limited: other requests need
threads too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Semaphore
from weakref import WeakValueDictionary


class TooManyHolders(RuntimeError):
    """No more folders can be held or waited for now."""


class FolderLocks:
    """A lock for each folder, for as long as somebody holds it or waits for it; at most `most` do at a time."""

    def __init__(self, most: int) -> None:
        self._all = Lock()
        self._free = Semaphore(most)
        self._locks: WeakValueDictionary[Path, Lock] = WeakValueDictionary()

    @contextmanager
    def hold(self, folder: Path) -> Iterator[None]:
        """Hold the lock of a folder. Raises TooManyHolders."""
        if not self._free.acquire(blocking=False):
            raise TooManyHolders
        try:
            with self._all:
                lock = self._locks.get(folder)
                if lock is None:
                    lock = self._locks[folder] = Lock()
            with lock:
                yield
        finally:
            self._free.release()
