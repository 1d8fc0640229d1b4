"""The client pool: one event loop for all parts, shared clients, and slots in order of the parts."""

import asyncio
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from attributes.endpoints.endpoints import RateLimits, ResolvedEndpoint
from attributes.llm.settings import LLMSettings
from store.settings import Settings
from workers.runtime.client_pool import ClientPool

SETTINGS = LLMSettings(base_url="http://127.0.0.1:9/v1", model="m", concurrency=2)
LLM = ResolvedEndpoint(endpoint="default", settings=SETTINGS, limits=RateLimits(), price=None)


def test_threads_share_a_loop_that_ends_with_the_last_thread(tmp_path: Path) -> None:
    client_pool, barrier = ClientPool(), threading.Barrier(2)
    settings = Settings(home=tmp_path, redis_url=SecretStr(""))
    seen: list[tuple[int, int]] = []

    async def work() -> None:
        async with client_pool.client(settings, LLM) as client:
            await asyncio.to_thread(barrier.wait, 5)
            seen.append((id(asyncio.get_running_loop()), id(client)))
            await asyncio.to_thread(barrier.wait, 5)

    threads = [threading.Thread(target=client_pool.run, args=(work,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(seen) == 2
    assert len(set(seen)) == 1
    assert not any(thread.name == "client-pool" for thread in threading.enumerate())


def test_run_raises_the_exception_of_the_work_and_can_run_again() -> None:
    client_pool = ClientPool()

    async def fails() -> None:
        raise ValueError("no")

    async def works() -> int:
        return 7

    with pytest.raises(ValueError, match="no"):
        client_pool.run(fails)
    assert client_pool.run(works) == 7
