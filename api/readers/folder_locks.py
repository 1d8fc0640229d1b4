"""One check of a folder at a time: a repeated request waits for the first, and then finds its results cached."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from weakref import WeakValueDictionary


class FolderLocks:
    """A lock for each folder, for as long as somebody holds it or waits for it."""

    def __init__(self) -> None:
        self._all = Lock()
        self._locks: WeakValueDictionary[Path, Lock] = WeakValueDictionary()

    @contextmanager
    def hold(self, folder: Path) -> Iterator[None]:
        """Hold the lock of a folder."""
        with self._all:
            lock = self._locks.get(folder)
            if lock is None:
                lock = self._locks[folder] = Lock()
        with lock:
            yield
