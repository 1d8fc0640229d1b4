"""Limits shared by all workers, on a redis-server that the tests start: processes, recounts, outages."""

import asyncio
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from attributes.endpoints.endpoints import RateLimits, ResolvedEndpoint
from attributes.llm.limits import LocalLimiter, NoLimit
from attributes.llm.settings import LLMSettings
from store.settings import Settings
from tests.redis_server import start_redis
from workers.runtime.redis_limits import SharedLimiter, limiter

WINDOW_S = 1.0


def max_in_window(times: list[float], window_s: float) -> int:
    ordered = sorted(times)
    return max(sum(at <= one < at + window_s for one in ordered) for at in ordered)


WORKER = """
import asyncio, sys, time
from workers.runtime.redis_limits import SharedLimiter

async def main() -> None:
    limiter = SharedLimiter(sys.argv[1], "four", requests_per_min=40, window_s=2.0, margin_s=0.5)
    end = time.time() + float(sys.argv[2])

    async def work() -> None:
        while time.time() < end:
            async with limiter.slot(1):
                print(time.time())

    await asyncio.gather(*(work() for _ in range(4)))
    await limiter.close()

asyncio.run(main())
"""


@pytest.mark.slow
def test_four_processes_share_one_limit_and_use_all_of_it(redis_url: str) -> None:
    command = [sys.executable, "-c", WORKER, redis_url, "6"]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    times = [float(line) for worker in workers for line in worker.communicate(timeout=60)[0].split()]
    assert max_in_window(times, 2.0) <= 40
    busy_s = max(times) - min(times)
    assert len(times) >= 0.9 * 40 * (busy_s - 2.5) / 2.5


async def start_time(shared: SharedLimiter, tokens: int, used: int | None = None) -> float:
    async with shared.slot(tokens) as slot:
        at = time.monotonic()
        if used is not None:
            slot.record_tokens(used)
    return at


def test_estimated_tokens_are_replaced_by_used_tokens(redis_url: str) -> None:
    async def run() -> None:
        shared = SharedLimiter(redis_url, "tokens", tokens_per_min=100, window_s=WINDOW_S, margin_s=0.0)
        began = time.monotonic()
        first = await start_time(shared, 90, used=10)
        await asyncio.sleep(0.1)  # the recount runs in the background
        second = await start_time(shared, 90)
        third = await start_time(shared, 500)
        assert first - began < 0.3
        assert second - began < 0.5
        assert third - second >= 0.98 * WINDOW_S
        await shared.close()

    asyncio.run(run())


def test_calls_in_flight_of_a_dead_worker_expire(redis_url: str) -> None:
    async def run() -> None:
        dead = SharedLimiter(redis_url, "flight", in_flight=2, lease_s=1.0)
        held = [dead.slot(1) for _ in range(2)]
        for one in held:
            await one.__aenter__()
        living = SharedLimiter(redis_url, "flight", in_flight=2, lease_s=1.0)
        began = time.monotonic()
        async with living.slot(1):
            assert time.monotonic() - began > 0.5
        await living.close()
        await dead.close()

    asyncio.run(run())


def test_calls_in_flight_do_not_exceed_the_limit(redis_url: str) -> None:
    async def run() -> int:
        limiters = [SharedLimiter(redis_url, "many", in_flight=3) for _ in range(2)]
        now = most = 0

        async def call(limiter: SharedLimiter) -> None:
            nonlocal now, most
            async with limiter.slot(1):
                now += 1
                most = max(most, now)
                await asyncio.sleep(0.02)
                now -= 1

        await asyncio.gather(*(call(limiters[number % 2]) for number in range(20)))
        for one in limiters:
            await one.close()
        return most

    assert asyncio.run(run()) == 3


@pytest.mark.slow
def test_calls_wait_while_redis_is_unreachable(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    async def run() -> float:
        shared = SharedLimiter(f"redis://127.0.0.1:{port}/0", "away", requests_per_min=5)
        began = time.monotonic()
        waiting = asyncio.create_task(start_time(shared, 1))
        await asyncio.sleep(0.5)
        assert not waiting.done()
        server = await asyncio.to_thread(start_redis, port, tmp_path)
        at = await waiting
        await shared.close()
        server.terminate()
        server.wait()
        return at - began

    assert asyncio.run(run()) < 10


def resolved(endpoint: str = "default", **limits: int) -> ResolvedEndpoint:
    settings = LLMSettings(base_url="http://limiter-test/v1", model="m")
    return ResolvedEndpoint(endpoint=endpoint, settings=settings, limits=RateLimits(**limits), price=None)


def test_the_limiter_depends_on_the_limits_of_the_endpoint() -> None:
    local = Settings(redis_url="")  # type: ignore[arg-type]
    shared = Settings(redis_url="redis://127.0.0.1:1/0")  # type: ignore[arg-type]
    assert isinstance(limiter(local, resolved()), NoLimit)
    assert isinstance(limiter(shared, resolved()), NoLimit)
    assert isinstance(limiter(local, resolved(requests_per_min=60)), LocalLimiter)
    assert isinstance(limiter(shared, resolved(in_flight=4)), SharedLimiter)


def test_each_endpoint_has_its_own_capacity_in_redis(redis_url: str) -> None:
    """Two keys at one server are two accounts."""
    settings = Settings(redis_url=redis_url)  # type: ignore[arg-type]

    async def run() -> None:
        one, other, same = (limiter(settings, resolved(name, in_flight=1)) for name in ("one", "other", "one"))
        async with one.slot(1):
            async with asyncio.timeout(1), other.slot(1):
                pass
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1), same.slot(1):
                    pass
        for each in (one, other, same):
            assert isinstance(each, SharedLimiter)
            await each.close()

    asyncio.run(run())


@pytest.mark.slow
def test_calls_of_earlier_parts_still_count(tmp_path: Path) -> None:
    """Each part may run in a new event loop when there is no Redis."""
    llm = resolved(requests_per_min=2, in_flight=1)
    settings = Settings(home=tmp_path, redis_url="")

    async def calls(number: int) -> float:
        began = time.monotonic()
        shared = limiter(settings, llm)
        for _ in range(number):
            async with asyncio.timeout(4), shared.slot(10):  # two per minute start at least 3 s apart
                pass
        return time.monotonic() - began

    assert asyncio.run(calls(1)) < 1
    assert asyncio.run(calls(1)) < 4
    with pytest.raises(TimeoutError):
        asyncio.run(calls(1))
