"""What all parts share that a process asks an LLM for at a time: an event loop, connections, limits, calls in flight.

Parts run in threads and bring their questions to one loop. There the calls in flight are counted together, and the
part that began first goes first: a second one only fills what the first leaves over, and is on its way already when
the first waits for its last answers. So a worker's calls do not run dry between parts, and the connections stay open.
"""

import asyncio
import heapq
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from attributes.llm.limits import Limiter, Slot
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import Transport

if TYPE_CHECKING:
    from store.settings import Settings

T = TypeVar("T")
_THREADS = 32  # each part commits in one and looks ahead in another; they mostly wait


class Slots:
    """`most` at a time; of those who wait for one the lowest rank comes first. Belongs to one event loop."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._came = itertools.count()

    @asynccontextmanager
    async def slot(self, rank: int) -> AsyncIterator[None]:
        """Wait for a slot, and hold it."""
        await self._take(rank)
        try:
            yield
        finally:
            self._give()

    async def _take(self, rank: int) -> None:
        if self._free:
            self._free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._came), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give()
            raise

    def _give(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():  # whoever waited may have been cancelled
                turn.set_result(None)
                return
        self._free += 1


class Line:
    """The way to one server and model, for all parts that ask it."""

    def __init__(self, llm: LLMSettings, limiter: Limiter) -> None:
        self.wire = Transport(llm)
        self.users = 0
        self._limiter = limiter
        self._slots = Slots(llm.concurrency)
        self._ranks = itertools.count()

    def limiter(self) -> Limiter:
        """What holds back the calls of a part that begins now."""
        return _Ranked(self._slots, next(self._ranks), self._limiter)

    async def close(self) -> None:
        """Close the connections."""
        from workers.runtime.redis_limits import SharedLimiter

        await self.wire.close()
        if isinstance(self._limiter, SharedLimiter):
            await self._limiter.close()


class _Ranked:
    """A part's share of the slots, and then of the limits: a call that got its moment must not wait any more."""

    def __init__(self, slots: Slots, rank: int, limiter: Limiter) -> None:
        self._slots, self._rank, self._limiter = slots, rank, limiter

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[Slot]:
        async with self._slots.slot(self._rank), self._limiter.slot(tokens) as slot:
            yield slot


class Exchange:
    """The loop runs, in a thread of its own, for as long as somebody uses it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._over: asyncio.Event | None = None
        self._lines: dict[LLMSettings, Line] = {}

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """What `work` comes to in the loop; for threads outside of it."""
        loop = self._enter()
        try:
            return asyncio.run_coroutine_threadsafe(work(), loop).result()
        finally:
            self._leave(loop)

    @asynccontextmanager
    async def line(self, settings: "Settings", llm: LLMSettings) -> AsyncIterator[Line]:
        """The line to a server and model; the last one to leave closes it. For work in the loop."""
        from workers.runtime.redis_limits import limiter

        if llm not in self._lines:
            self._lines[llm] = Line(llm, limiter(settings, llm))
        line = self._lines[llm]
        line.users += 1
        try:
            yield line
        finally:
            line.users -= 1
            if not line.users:
                del self._lines[llm]
                await line.close()

    def _enter(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                started: Future[asyncio.AbstractEventLoop] = Future()
                self._thread = threading.Thread(target=lambda: asyncio.run(self._live(started)), name="exchange")
                self._thread.start()
                self._loop = started.result()
            self._users += 1
            return self._loop

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
            assert self._over is not None
            assert self._thread is not None
            loop.call_soon_threadsafe(self._over.set)
            self._thread.join()
            self._loop = None

    async def _live(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_THREADS, thread_name_prefix="exchange"))
        self._over = asyncio.Event()
        started.set_result(loop)
        await self._over.wait()
