"""The client pool of a worker process: one event loop, open connections, rate limits and slots for LLM calls.

Parts run in threads and submit their questions to one event loop. The loop limits the calls in flight of all parts
together. Slots go to the part that started first; a later part gets only the slots that are left, and its calls are
already in flight when the first part waits for its last responses. Therefore a worker always has calls in flight
between two parts, and connections stay open.
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
    from attributes.endpoints.endpoints import ResolvedEndpoint
    from store.settings import Settings

T = TypeVar("T")
_NUM_THREADS = 32  # a part commits in one thread and prepares questions in another; both mostly wait


class PrioritySlots:
    """At most `limit` holders at a time; a free slot goes to the waiter with the lowest rank. For one event loop."""

    def __init__(self, limit: int) -> None:
        self._num_free = limit
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._arrivals = itertools.count()

    @asynccontextmanager
    async def slot(self, rank: int) -> AsyncIterator[None]:
        """Wait for a slot and hold it."""
        await self._acquire(rank)
        try:
            yield
        finally:
            self._release()

    async def _acquire(self, rank: int) -> None:
        if self._num_free:
            self._num_free -= 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waiting, (rank, next(self._arrivals), turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._release()
            raise

    def _release(self) -> None:
        while self._waiting:
            *_, turn = heapq.heappop(self._waiting)
            if not turn.done():  # a cancelled waiter does not take the slot
                turn.set_result(None)
                return
        self._num_free += 1


class PooledClient:
    """Connections and limits for one LLM server and model, shared by all parts that use it."""

    def __init__(self, llm: LLMSettings, limiter: Limiter) -> None:
        self.transport = Transport(llm)
        self.num_users = 0
        self._limiter = limiter
        self._slots = PrioritySlots(llm.concurrency)
        self._ranks = itertools.count()

    def limiter(self) -> Limiter:
        """A limiter for the calls of a part that starts now: it ranks behind the parts that started before."""
        return _RankedLimiter(self._slots, next(self._ranks), self._limiter)

    async def close(self) -> None:
        """Close the connections."""
        from workers.runtime.redis_limits import SharedLimiter

        await self.transport.close()
        if isinstance(self._limiter, SharedLimiter):
            await self._limiter.close()


class _RankedLimiter:
    """Waits for a slot first and for the rate limit second: a call that the rate limit admits must start at once."""

    def __init__(self, slots: PrioritySlots, rank: int, limiter: Limiter) -> None:
        self._slots, self._rank, self._limiter = slots, rank, limiter

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[Slot]:
        async with self._slots.slot(self._rank), self._limiter.slot(tokens) as slot:
            yield slot


class ClientPool:
    """Runs the event loop in its own thread while at least one part uses it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._finished: asyncio.Event | None = None
        self._clients: dict[tuple[str, LLMSettings], PooledClient] = {}  # by endpoint and settings

    def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run `work` in the event loop. Returns or raises its outcome. Call it from another thread than the loop's."""
        loop = self._enter()
        try:
            return asyncio.run_coroutine_threadsafe(work(), loop).result()
        finally:
            self._leave(loop)

    @asynccontextmanager
    async def client(self, settings: "Settings", llm: "ResolvedEndpoint") -> AsyncIterator[PooledClient]:
        """The client of a model at an endpoint; the last user closes it. Use it inside the event loop."""
        from workers.runtime.redis_limits import limiter

        key = llm.endpoint, llm.settings
        if key not in self._clients:
            self._clients[key] = PooledClient(llm.settings, limiter(settings, llm))
        client = self._clients[key]
        client.num_users += 1
        try:
            yield client
        finally:
            client.num_users -= 1
            if not client.num_users:
                del self._clients[key]
                await client.close()

    def _enter(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                started: Future[asyncio.AbstractEventLoop] = Future()
                self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), name="client-pool")
                self._thread.start()
                self._loop = started.result()
            self._num_users += 1
            return self._loop

    def _leave(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._num_users -= 1
            if self._num_users:
                return
            assert self._finished is not None
            assert self._thread is not None
            loop.call_soon_threadsafe(self._finished.set)
            self._thread.join()
            self._loop = None

    async def _serve(self, started: Future[asyncio.AbstractEventLoop]) -> None:
        """The main coroutine of the loop: runs until the last user has left."""
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(_NUM_THREADS, thread_name_prefix="client-pool"))
        self._finished = asyncio.Event()
        started.set_result(loop)
        await self._finished.wait()
