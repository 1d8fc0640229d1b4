"""Requests per minute of a key: those of the last 60 s, in Redis if the service has one, else in this process.

Several API processes share the times of the requests through Redis. While Redis does not respond, and without Redis,
each process counts alone.
"""

import math
import secrets
import time
from collections import deque
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

# Times are in microseconds. KEYS: the times of the requests of a key (a sorted set). ARGV: limit, window, id of the
# request. Returns whether it is allowed, the number of requests in the window with it, and the time after which there
# is space again.
_TAKE = """
local clock = redis.call('TIME')
local now, limit, window = clock[1] * 1000000 + clock[2], tonumber(ARGV[1]), tonumber(ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now - window)
local count = redis.call('ZCARD', KEYS[1])
local allowed = count < limit and 1 or 0
if allowed == 1 then
  redis.call('ZADD', KEYS[1], now, ARGV[3])
  redis.call('PEXPIRE', KEYS[1], math.ceil(window / 1000))
  count = count + 1
end
if count < limit then return {allowed, count, 0} end
local first = redis.call('ZRANGE', KEYS[1], count - limit, count - limit, 'WITHSCORES')
return {allowed, count, math.ceil(tonumber(first[2]) + window - now)}
"""


@dataclass(frozen=True, slots=True)
class Allowance:
    """Whether a request is allowed, how many more are, and in how many whole seconds there is space again."""

    allowed: bool
    remaining: int
    retry_after_s: int


class RateLimiter(Protocol):
    """Counts the requests of keys."""

    async def take(self, key_id: str, limit: int) -> Allowance:
        """Count a request of the key, if it is allowed."""
        ...

    async def aclose(self) -> None:
        """Close the connections."""
        ...


class LocalRateLimiter:
    """Counts in this process. `clock`: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = {}

    async def take(self, key_id: str, limit: int) -> Allowance:
        now, times = self._clock(), self._times.setdefault(key_id, deque())
        while times and times[0] + WINDOW_S <= now:
            times.popleft()
        if allowed := len(times) < limit:
            times.append(now)
        # A limit that was lowered has space when as many requests as are too many have left the window, and one more.
        wait_s = times[len(times) - limit] + WINDOW_S - now if len(times) >= limit else 0.0
        return Allowance(allowed, max(0, limit - len(times)), math.ceil(wait_s))

    async def aclose(self) -> None:
        pass


class RedisRateLimiter:
    """Counts in Redis, for all API processes; in this one for 5 s after Redis did not respond."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._local = LocalRateLimiter()
        self._redis: Redis | None = None
        self._local_until = 0.0

    async def take(self, key_id: str, limit: int) -> Allowance:
        if time.monotonic() < self._local_until:
            return await self._local.take(key_id, limit)
        from redis.asyncio import Redis  # imported late: it is slow to load
        from redis.exceptions import RedisError

        if self._redis is None:
            self._redis = Redis.from_url(
                self._url, socket_timeout=_REDIS_TIMEOUT_S, socket_connect_timeout=_REDIS_TIMEOUT_S
            )
        key, window_us = f"limbeck:requests:{key_id}", int(WINDOW_S * 1e6)
        try:
            allowed, count, wait_us = await self._redis.eval(_TAKE, 1, key, limit, window_us, secrets.token_hex(8))
        except (RedisError, OSError) as error:
            self._local_until = time.monotonic() + _RETRY_REDIS_S
            logger().warning("rate_limits_without_redis", error=type(error).__name__)
            return await self._local.take(key_id, limit)
        return Allowance(bool(allowed), max(0, limit - count), math.ceil(wait_us / 1e6))

    async def aclose(self) -> None:
        if self._redis is not None:
            await self._redis.aclose()
            self._redis = None


def rate_limiter(settings: Settings) -> RateLimiter:
    """The limiter of this service."""
    return RedisRateLimiter(settings.redis_url.get_secret_value()) if settings.distributed else LocalRateLimiter()
