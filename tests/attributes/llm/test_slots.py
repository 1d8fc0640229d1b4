"""Slots by rank, and the number of slots that a server sustains."""

import asyncio

from attributes.llm.slots import START_LIMIT, AdaptiveConcurrency, PrioritySlots


def test_slots_limit_the_calls_in_flight_and_prefer_the_first_part() -> None:
    async def run() -> tuple[list[int], int]:
        slots, order, now, most = PrioritySlots(lambda: 2), [], 0, 0

        async def call(rank: int) -> None:
            nonlocal now, most
            async with slots.slot(rank):
                order.append(rank)
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1

        # The later part requests slots first, but the waiting calls of the earlier part come before its other calls.
        await asyncio.gather(*(call(1) for _ in range(6)), *(call(0) for _ in range(6)))
        return order, most

    order, most = asyncio.run(run())
    assert most == 2
    assert order == [1, 1, *[0] * 6, *[1] * 4]


def test_a_cancelled_waiter_does_not_lose_a_slot() -> None:
    async def run() -> None:
        slots = PrioritySlots(lambda: 1)

        async def call() -> None:
            async with slots.slot(0):
                await asyncio.sleep(0.01)

        first = asyncio.create_task(call())
        await asyncio.sleep(0)
        waiting, granted = asyncio.create_task(call()), asyncio.create_task(call())
        await asyncio.sleep(0)
        waiting.cancel()
        await first
        granted.cancel()  # its slot was granted, but the task has not resumed yet
        await asyncio.gather(waiting, granted, return_exceptions=True)
        async with asyncio.timeout(1):
            await call()

    asyncio.run(run())


def test_a_larger_limit_gives_slots_to_waiters() -> None:
    limit = 1

    async def run() -> int:
        slots, most, now = PrioritySlots(lambda: limit), 0, 0

        async def call() -> None:
            nonlocal limit, most, now
            async with slots.slot():
                now += 1
                most = max(most, now)
                await asyncio.sleep(0)
                now -= 1
                limit = min(3, limit + 1)

        await asyncio.gather(*(call() for _ in range(12)))
        return most

    assert asyncio.run(run()) == 3


def test_fast_responses_double_the_limit_per_round_up_to_the_maximum() -> None:
    concurrency = AdaptiveConcurrency(20, timeout_s=60)
    limits, now = [concurrency.limit], 0.0
    for _ in range(4):
        for _ in range(concurrency.limit):
            concurrency.record_success(started_at=now, now=now + 0.5)
        now += 0.5
        limits.append(concurrency.limit)
    assert limits == [START_LIMIT, 8, 16, 20, 20]


def test_an_overload_halves_the_limit_once_for_calls_that_were_sent_together() -> None:
    concurrency = AdaptiveConcurrency(64, timeout_s=60)
    for _ in range(60):
        concurrency.record_success(started_at=0, now=1)
    assert concurrency.limit == 64
    for _ in range(30):
        concurrency.record_overload(started_at=2, now=62)
    assert concurrency.limit == 32
    concurrency.record_overload(started_at=63, now=64)
    assert concurrency.limit == 16


def test_late_responses_shrink_the_limit_and_others_keep_it() -> None:
    concurrency = AdaptiveConcurrency(8, timeout_s=60)
    concurrency.record_success(started_at=0, now=8)
    for now in (40, 41):
        concurrency.record_success(started_at=0, now=now)
    assert concurrency.limit == START_LIMIT
    concurrency.record_success(started_at=50, now=70)
    assert concurrency.limit == START_LIMIT


def test_a_slow_server_that_works_in_parallel_gets_all_calls() -> None:
    concurrency = AdaptiveConcurrency(8, timeout_s=60)
    for number in range(8):
        concurrency.record_success(started_at=number, now=number + 25)
    assert concurrency.limit == 8
