"""What the parts of a process share: one loop, its connections, and calls in flight in the order of the parts."""

import asyncio
import threading
from pathlib import Path

import pytest
from pydantic import SecretStr

from attributes.llm.settings import LLMSettings
from store.settings import Settings
from workers.runtime.client_pool import Exchange, Slots

LLM = LLMSettings(base_url="http://127.0.0.1:9/v1", model="m", concurrency=2)


def test_no_more_than_allowed_are_in_flight_and_the_first_part_goes_first() -> None:
    async def run() -> tuple[list[int], int]:
        slots, order, now, most = Slots(2), [], 0, 0

        async def call(rank: int) -> None:
            nonlocal now, most
            async with slots.slot(rank):
                order.append(rank)
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1

        # The later part comes first to the slots, and yet leaves them to the earlier one.
        await asyncio.gather(*(call(1) for _ in range(6)), *(call(0) for _ in range(6)))
        return order, most

    order, most = asyncio.run(run())
    assert most == 2
    assert order == [1, 1, *[0] * 6, *[1] * 4]


def test_a_slot_is_not_lost_with_whoever_waited_for_it() -> None:
    async def run() -> None:
        slots = Slots(1)

        async def call() -> None:
            async with slots.slot(0):
                await asyncio.sleep(0.01)

        first = asyncio.create_task(call())
        await asyncio.sleep(0)
        waiting, given = asyncio.create_task(call()), asyncio.create_task(call())
        await asyncio.sleep(0)
        waiting.cancel()
        await first
        given.cancel()  # its turn has come, and it has not yet noticed
        await asyncio.gather(waiting, given, return_exceptions=True)
        async with asyncio.timeout(1):
            await call()

    asyncio.run(run())


def test_threads_share_a_loop_which_ends_with_the_last_of_them(tmp_path: Path) -> None:
    exchange, together = Exchange(), threading.Barrier(2)
    settings = Settings(home=tmp_path, redis_url=SecretStr(""))
    seen: list[tuple[int, int]] = []

    async def work() -> None:
        async with exchange.line(settings, LLM) as line:
            await asyncio.to_thread(together.wait, 5)
            seen.append((id(asyncio.get_running_loop()), id(line)))
            await asyncio.to_thread(together.wait, 5)

    threads = [threading.Thread(target=exchange.run, args=(work,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert len(seen) == 2
    assert len(set(seen)) == 1
    assert not any(thread.name == "exchange" for thread in threading.enumerate())


def test_what_work_raises_reaches_its_thread_and_the_next_begins_anew() -> None:
    exchange = Exchange()

    async def fails() -> None:
        raise ValueError("no")

    async def works() -> int:
        return 7

    with pytest.raises(ValueError, match="no"):
        exchange.run(fails)
    assert exchange.run(works) == 7
