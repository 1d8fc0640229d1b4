"""How many calls are in flight at once: slots by rank, and a number of slots that follows what the server sustains."""

import asyncio
import heapq
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

START_LIMIT = 4  # calls in flight at first: a server that works on one at a time answers them all before the timeout
_FAST, _SLOW = (
    1 / 8,
    1 / 2,
)  # latencies, as shares of the timeout, below which the limit grows and above which it shrinks
_NOT_QUEUED = 2.0  # a latency below this multiple of the shortest one is not due to a queue: the limit grows too


class AdaptiveConcurrency:
    """The number of calls in flight that a server sustains, at most `maximum`.

    It starts low and grows by one with each response that comes well within `timeout_s`, or nearly as fast as the
    fastest, so it doubles in the time of one call. Slow responses shrink it by one; an overload (a timeout, 429) halves
    it, once for the calls that were in flight together. A server that works on one call at a time, with a queue, is
    thus never sent more calls than it answers within the timeout.
    """

    def __init__(self, maximum: int, timeout_s: float) -> None:
        self._maximum, self._timeout_s = maximum, timeout_s
        self._shrunk_at = float("-inf")
        self._shortest_s = float("inf")
        self.limit = min(START_LIMIT, maximum)

    def record_success(self, *, started_at: float, now: float) -> None:
        """A response came; times are of one monotonic clock, in seconds."""
        latency_s = now - started_at
        self._shortest_s = min(self._shortest_s, latency_s)
        if latency_s > _SLOW * self._timeout_s:
            if started_at >= self._shrunk_at:
                self._shrink(self.limit - 1, now)
        elif latency_s < max(_FAST * self._timeout_s, _NOT_QUEUED * self._shortest_s):
            self.limit = min(self._maximum, self.limit + 1)

    def record_overload(self, *, started_at: float, now: float) -> None:
        """The server had too many calls in flight."""
        if started_at >= self._shrunk_at:
            self._shrink(self.limit // 2, now)

    def restart(self) -> None:
        """The server responds again after an outage: do not send it all waiting calls at once."""
        self.limit = min(self.limit, START_LIMIT)

    def _shrink(self, limit: int, now: float) -> None:
        self.limit, self._shrunk_at = max(1, limit), now


class PrioritySlots:
    """At most `limit()` holders at a time; a free slot goes to the waiter with the lowest rank. For one event loop."""

    def __init__(self, limit: Callable[[], int]) -> None:
        self._limit = limit
        self._num_held = 0
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()

    @asynccontextmanager
    async def slot(self, rank: int = 0) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        await self._acquire(rank)
        try:
            yield
        finally:
            self._num_held -= 1
            self._hand_out()

    async def _acquire(self, rank: int) -> None:
        if self._num_held < self._limit() and not self._waiting:
            self._num_held += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._arrivals), turn))
        self._hand_out()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._num_held -= 1
                self._hand_out()
            raise

    def _hand_out(self) -> None:
        """Give the free slots to the waiters; the limit may have changed."""
        while self._waiting and self._num_held < self._limit():
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():  # a cancelled waiter does not take the slot
                self._num_held += 1
                turn.set_result(None)
