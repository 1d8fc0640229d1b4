"""Locks of folders: one holder at a time for each folder."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from api.readers.folder_locks import FolderLocks, TooManyHolders


def test_a_folder_is_checked_once_at_a_time() -> None:
    locks, running, most = FolderLocks(6), [0, 0], [0, 0]

    def check(number: int) -> None:
        folder = number % 2
        with locks.hold(Path(f"folder-{folder}")):
            running[folder] += 1
            most[folder] = max(most[folder], running[folder])
            time.sleep(0.01)
            running[folder] -= 1

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(check, range(12)))
    assert most == [1, 1]


def test_the_number_of_holders_and_waiters_is_limited() -> None:
    locks = FolderLocks(2)
    with locks.hold(Path("a")), locks.hold(Path("b")), pytest.raises(TooManyHolders), locks.hold(Path("c")):
        pass
    with locks.hold(Path("c")):
        pass
