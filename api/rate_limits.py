"""Requests per minute of a key: a sliding window, in Redis if the service has one, else in this process.

The window of the last 60 s is estimated from two fixed minutes: the count of the last one, weighted with its part that
is still in the window, and the count of this one. Several API processes share the counts through Redis. While Redis
does not respond, and without Redis, each process counts alone.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from api.logs import logger
from store.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

WINDOW_S = 60.0
_RETRY_REDIS_S = 5.0
_REDIS_TIMEOUT_S = 0.5

# KEYS: the counts of a key. ARGV: limit, window in milliseconds. Returns whether the request is allowed, the counts of
# the last and of this window, and how far this window is.
_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local limit, window = tonumber(ARGV[1]), tonumber(ARGV[2])
local number = math.floor(now / window)
local stored = redis.call('HMGET', KEYS[1], 'number', 'last', 'count')
local last, count = 0, 0
if tonumber(stored[1]) == number then last, count = tonumber(stored[2]), tonumber(stored[3])
elseif tonumber(stored[1]) == number - 1 then last = tonumber(stored[3]) end
local elapsed = now - number * window
local allowed = last * (1 - elapsed / window) + count + 1 <= limit and 1 or 0
redis.call('HSET', KEYS[1], 'number', number, 'last', last, 'count', count + allowed)
redis.call('PEXPIRE', KEYS[1], 2 * window)
return {allowed, last, count + allowed, elapsed}
"""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a request is allowed, how many more are, and after how many seconds another one is."""

    allowed: bool
    remaining: int
    retry_after_s: int


def verdict(allowed: bool, *, last: int, count: int, elapsed_s: float, limit: int) -> Verdict:
    """The verdict on a request that was counted if it is allowed. `last`, `count`: of the last and of this window."""
    used = last * (1 - elapsed_s / WINDOW_S) + count
    remaining = max(0, math.floor(limit - used))
    return Verdict(allowed, remaining, 0 if remaining else max(1, math.ceil(_wait_s(last, count, elapsed_s, limit))))


def _wait_s(last: int, count: int, elapsed_s: float, limit: int) -> float:
    """Seconds until the estimate has space for one more request."""
    if count < limit:  # until enough of the last window has passed
        return WINDOW_S * (1 - (limit - 1 - count) / last) - elapsed_s
    # The next window: until enough of this one has passed.
    return WINDOW_S - elapsed_s + WINDOW_S * (1 - (limit - 1) / count)


class RateLimiter(Protocol):
    """Counts the requests of keys."""

    async def take(self, key_id: str, limit: int) -> Verdict:
        """Count a request of the key, if it is allowed."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class LocalRateLimiter:
    """Counts in this process. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[str, tuple[int, int, int]] = {}  # key -> (number of the window, last, count)

    async def take(self, key_id: str, limit: int) -> Verdict:
        number, elapsed_s = divmod(self._clock(), WINDOW_S)
        stored_number, last, count = self._counts.get(key_id, (-2, 0, 0))
        if stored_number != number:
            last, count = (count if stored_number == number - 1 else 0), 0
        allowed = last * (1 - elapsed_s / WINDOW_S) + count + 1 <= limit
        count += allowed
        self._counts[key_id] = (int(number), last, count)
        return verdict(allowed, last=last, count=count, elapsed_s=elapsed_s, limit=limit)

    async def aclose(self) -> None:
        pass


class RedisRateLimiter:
    """Counts in Redis, for all API processes; in this one for 5 s after Redis did not respond."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._local = LocalRateLimiter()
        self._redis: Redis | None = None
        self._local_until = 0.0

    async def take(self, key_id: str, limit: int) -> Verdict:
        if time.monotonic() < self._local_until:
            return await self._local.take(key_id, limit)
        from redis.asyncio import Redis  # imported late: it is slow to load
        from redis.exceptions import RedisError

        if self._redis is None:
            self._redis = Redis.from_url(
                self._url, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S
            )
        try:
            allowed, last, count, elapsed_ms = await self._redis.eval(
                _TAKE, 1, f"limbeck:requests:{key_id}", limit, int(WINDOW_S * 1000)
            )
        except (RedisError, OSError) as error:
            self._local_until = time.monotonic() + _RETRY_REDIS_S
            logger().warning("rate_limits_without_redis", error=type(error).__name__)
            return await self._local.take(key_id, limit)
        return verdict(bool(allowed), last=last, count=count, elapsed_s=elapsed_ms / 1000, limit=limit)

    async def aclose(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None


def rate_limiter(settings: Settings) -> RateLimiter:
    """The limiter of this service."""
    return RedisRateLimiter(settings.redis_url.get_secret_value()) if settings.distributed else LocalRateLimiter()
