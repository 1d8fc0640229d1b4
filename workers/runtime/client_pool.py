"""The client pool of a worker process: one event loop, open connections, rate limits and slots for LLM calls.

Parts run in threads and submit their questions to one event loop. The loop limits the calls in flight of all parts
together. Slots (`attributes.llm.slots`) go to the part that started first; a later part gets only the slots that are
left, and its calls are already in flight when the first part waits for its last responses. Therefore a worker always
has calls in flight between two parts, and connections stay open.
"""

import asyncio
import itertools
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from attributes.llm.limits import Limiter
from attributes.llm.server import LLMServer
from attributes.llm.settings import LLMSettings

if TYPE_CHECKING:
    from attributes.endpoints.endpoints import ResolvedEndpoint
    from store.settings import Settings

T = TypeVar("T")
OUTAGE_PATIENCE_S = 20.0  # how long a part waits for a server that is away before the worker is free for others
_NUM_THREADS = 32  # a part commits in one thread and prepares questions in another; both mostly wait


class PooledClient:
    """Connections, slots and limits for one LLM server and model, shared by all parts that use it."""

    def __init__(self, server: LLMServer, limiter: Limiter) -> None:
        self.server, self.limiter = server, limiter
        self.num_users = 0
        self._ranks = itertools.count()

    def next_rank(self) -> int:
        """The rank of a part that starts now: behind the parts that started before."""
        return next(self._ranks)

    async def close(self) -> None:
        """Close the connections."""
        from workers.runtime.redis_limits import SharedLimiter

        await self.server.close()
        if isinstance(self.limiter, SharedLimiter):
            await self.limiter.close()


class ClientPool:
    """Runs the event loop in its own thread while at least one part uses it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._num_users = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._finished: asyncio.Event | None = None
        self._clients: dict[tuple[str, LLMSettings], PooledClient] = {}  # by endpoint and settings
        self._servers: dict[tuple[str, LLMSettings], LLMServer] = {}  # kept without users, for what they learned

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
            if key not in self._servers:
                outage_limit_s = min(llm.settings.outage_limit_s, OUTAGE_PATIENCE_S)
                self._servers[key] = LLMServer(llm.settings, outage_limit_s=outage_limit_s)
            self._servers[key].begin()
            self._clients[key] = PooledClient(self._servers[key], limiter(settings, llm))
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
