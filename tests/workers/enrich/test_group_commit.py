"""Group commit: items are acknowledged after their commit, grouped while a commit runs, and never lost."""

import asyncio
import threading
import time
from collections.abc import Sequence

import pytest

from workers.enrich.group_commit import GroupCommit


def test_items_added_during_a_commit_are_committed_together() -> None:
    groups: list[list[int]] = []
    first_commit_may_end = threading.Event()

    def commit(items: Sequence[int]) -> None:
        if not groups:
            assert first_commit_may_end.wait(5)
        groups.append(list(items))

    async def run() -> None:
        commits = GroupCommit(commit)
        first = asyncio.create_task(commits.add(0))
        await asyncio.sleep(0.05)
        rest = [asyncio.create_task(commits.add(n)) for n in range(1, 6)]
        await asyncio.sleep(0.05)
        assert not any(task.done() for task in (first, *rest))
        first_commit_may_end.set()
        await asyncio.gather(first, *rest)

    asyncio.run(run())
    assert groups == [[0], [1, 2, 3, 4, 5]]


def test_an_item_is_acknowledged_only_after_its_commit() -> None:
    committed: list[int] = []

    def commit(items: Sequence[int]) -> None:
        time.sleep(0.005)
        committed.extend(items)

    async def add_one(commits: GroupCommit[int], item: int) -> None:
        await commits.add(item)
        assert item in committed

    async def run() -> None:
        commits = GroupCommit(commit)
        await asyncio.gather(*(add_one(commits, n) for n in range(300)))

    asyncio.run(run())
    assert sorted(committed) == list(range(300))


def test_an_error_is_raised_to_the_items_of_its_commit_only() -> None:
    def commit(items: Sequence[int]) -> None:
        if 1 in items:
            raise OSError("disk full")

    async def run() -> None:
        commits = GroupCommit(commit)
        with pytest.raises(OSError, match="disk full"):
            await commits.add(1)
        await commits.add(2)

    asyncio.run(run())


def test_items_of_cancelled_tasks_are_committed() -> None:
    committed: list[int] = []

    def commit(items: Sequence[int]) -> None:
        time.sleep(0.05)
        committed.extend(items)

    async def run() -> None:
        commits = GroupCommit(commit)
        tasks = [asyncio.create_task(commits.add(n)) for n in range(3)]
        await asyncio.sleep(0.01)
        late = asyncio.create_task(commits.add(3))
        await asyncio.sleep(0)
        for task in (*tasks, late):
            task.cancel()
        await asyncio.gather(*tasks, late, return_exceptions=True)
        await commits.drain()

    asyncio.run(run())
    assert committed == [0, 1, 2, 3]
