"""Group commit: what arrives while a commit is under way goes together in the next one.

Each item is acknowledged only after its own commit, so that nothing is lost that anybody was told of; and with many
calls in flight there are as many transactions as the database manages, and no more.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

MOST_AT_ONCE = 256
Item = TypeVar("Item")


class GroupCommit(Generic[Item]):
    """`commit` is called in a thread, with one group at a time, after waiting `gather_s` for company.

    Belongs to one event loop.
    """

    def __init__(self, commit: Callable[[Sequence[Item]], None], *, gather_s: float = 0.0) -> None:
        self._commit = commit
        self._gather_s = gather_s
        self._waiting: list[tuple[Item, asyncio.Future[None]]] = []
        self._running: asyncio.Task[None] | None = None

    async def add(self, item: Item) -> None:
        """Return once the item is committed. Raises what its commit raised."""
        kept = asyncio.get_running_loop().create_future()
        self._waiting.append((item, kept))
        if self._running is None:
            self._running = asyncio.create_task(self._run())
        await kept

    async def drain(self) -> None:
        """Wait until nothing is under way; for the end, when whoever added may have been cancelled."""
        while self._running is not None:
            await asyncio.wait([self._running])

    async def _run(self) -> None:
        try:
            while self._waiting:
                if self._gather_s:
                    await asyncio.sleep(self._gather_s)
                group, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                error: Exception | None = None
                try:
                    await asyncio.to_thread(self._commit, [item for item, _ in group])
                except Exception as raised:
                    error = raised
                for _, kept in group:
                    if not kept.done():  # whoever waited for it may have been cancelled
                        kept.set_exception(error) if error else kept.set_result(None)
        finally:
            self._running = None
