"""Group commit: items that arrive during a commit are committed together in the next one.

`add` returns only after the commit of its item, so that no acknowledged item can be lost; and with many calls in flight
there are only as many transactions as the database can process.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

MAX_GROUP_SIZE = 256
Item = TypeVar("Item")


class GroupCommit(Generic[Item]):
    """Calls `commit` in a thread with one group at a time, `delay_s` after the first item of the group is waiting.

    Belongs to one event loop.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], None], *, delay_s: float = 0.0) -> None:
        self._commit = commit
        self._delay_s = delay_s
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> None:
        """Return once the item is committed. Raises the exception of its commit."""
        committed = asyncio.get_running_loop().create_future()
        self._waiting.append((item, committed))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        await committed

    async def drain(self) -> None:
        """Wait for all commits; needed at the end, because callers of `add` may have been cancelled."""
        while self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        try:
            while self._waiting:
                if self._delay_s:
                    await asyncio.sleep(self._delay_s)
                group, self._waiting = self._waiting[:MAX_GROUP_SIZE], self._waiting[MAX_GROUP_SIZE:]
                error: Exception | None = None
                try:
                    await asyncio.to_thread(self._commit, [item for item, _ in group])
                except Exception as raised:
                    error = raised
                for _, committed in group:
                    if not committed.done():  # the caller of `add` may have been cancelled
                        committed.set_exception(error) if error else committed.set_result(None)
        finally:
            self._running = None
