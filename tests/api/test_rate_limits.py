"""The sliding window of requests, in this process and in Redis."""

import asyncio

import pytest

from api.rate_limits import WINDOW_S, LocalRateLimiter, RedisRateLimiter


def test_no_minute_has_more_than_the_limit_and_the_pause_suffices() -> None:
    async def run() -> None:
        now = 1_000.0
        limiter = LocalRateLimiter(lambda: now)
        taken: list[float] = []
        while len(taken) < 200:
            found = await limiter.take("k", 5)
            if found.allowed:
                taken.append(now)
                in_window = sum(at > now - WINDOW_S for at in taken)
                assert found.remaining == 5 - in_window
                now += 1.7
            else:
                assert 0 < found.retry_after_s <= WINDOW_S
                now += found.retry_after_s
                assert (await limiter.take("k", 5)).allowed
                taken.append(now)

    asyncio.run(run())


def test_a_lowered_limit_applies_to_what_was_counted() -> None:
    async def run() -> None:
        now = 0.0
        limiter = LocalRateLimiter(lambda: now)
        for _ in range(10):
            assert (await limiter.take("k", 10)).allowed
            now += 1
        refused = await limiter.take("k", 4)
        assert (refused.allowed, refused.remaining) == (False, 0)
        now += refused.retry_after_s
        assert (await limiter.take("k", 4)).allowed

    asyncio.run(run())


def test_processes_share_the_counts_in_redis(redis_url: str) -> None:
    async def run() -> None:
        one, other = RedisRateLimiter(redis_url), RedisRateLimiter(redis_url)
        found = [await limiter.take("k", 3) for limiter in (one, other, one, other)]
        assert [(taken.allowed, taken.remaining) for taken in found] == [(True, 2), (True, 1), (True, 0), (False, 0)]
        assert [taken.retry_after_s for taken in found] == [0, 0, 60, 60]
        lowered = await one.take("k", 1)
        assert (lowered.allowed, lowered.remaining, lowered.retry_after_s) == (False, 0, 60)
        assert (await one.take("other", 3)).remaining == 2
        await one.aclose()
        await other.aclose()

    asyncio.run(run())


def test_without_redis_each_process_counts_alone(capsys: pytest.CaptureFixture[str]) -> None:
    async def run() -> None:
        limiter = RedisRateLimiter("redis://127.0.0.1:1/0")
        assert [(await limiter.take("k", 2)).allowed for _ in range(3)] == [True, True, False]
        await limiter.aclose()

    asyncio.run(run())
    assert capsys.readouterr().err.count("rate_limits_without_redis") == 1
