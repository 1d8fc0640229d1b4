"""Limits of requests per minute, tokens per minute and calls in flight, shared by all workers through Redis.

Each call gets a start time: the earliest time at which the last minute has capacity for it. One Lua script assigns
start times in order of request, by the clock of Redis, so that no call has to request twice and no call overtakes
another. Calls in flight are leases, so that the calls of a dead worker expire. While Redis is unreachable, calls wait;
after Redis has lost its data, the calls of the last minute no longer count.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from attributes.endpoints.endpoints import RateLimits, ResolvedEndpoint
from attributes.llm.limits import MARGIN_S, SPREAD, WINDOW_S, Limiter, LocalLimiter, NoLimit, Slot
from store.settings import Settings

log = structlog.get_logger()
_RETRY_S = 1.0
_local: dict[tuple[str, str, str, RateLimits], LocalLimiter] = {}
_SLOT_POLL_S = 0.05

# Times are in milliseconds. KEYS: calls of the window (a sorted set by start time), their tokens (a hash), the sum of
# tokens and the last assigned start time (a hash). ARGV: requests and tokens per window (0: no limit), window, tokens
# and id of the call, factor by which calls may be closer together than on average. Returns how long the call has to
# wait. Start times never decrease, so calls that have left the window can be deleted.
_START_TIME = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local max_requests, max_tokens = tonumber(ARGV[1]), tonumber(ARGV[2])
local window, tokens = tonumber(ARGV[3]), tonumber(ARGV[4])
local sum = tonumber(redis.call('HGET', KEYS[3], 'sum') or 0)
local interval = max_requests > 0 and window / max_requests / tonumber(ARGV[6]) or 0
local start = math.max(now, tonumber(redis.call('HGET', KEYS[3], 'last') or 0) + interval)
if max_tokens > 0 then tokens = math.min(tokens, max_tokens) end
while true do
  local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', start - window)
  for _, id in ipairs(old) do
    sum = sum - tonumber(redis.call('HGET', KEYS[2], id) or 0)
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[1], id)
  end
  local full = max_requests > 0 and redis.call('ZCARD', KEYS[1]) >= max_requests
  if not full and (max_tokens == 0 or sum + tokens <= max_tokens) then break end
  start = tonumber(redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]) + window
end
redis.call('ZADD', KEYS[1], start, ARGV[5])
redis.call('HSET', KEYS[2], ARGV[5], tokens)
redis.call('HSET', KEYS[3], 'sum', sum + tokens, 'last', start)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, math.ceil(start - now) + 2 * window) end
return math.ceil(start - now)
"""
# KEYS: tokens by call, the sum of tokens. ARGV: id of the call, tokens that it used.
_RECOUNT = """
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('HINCRBY', KEYS[2], 'sum', tonumber(ARGV[2]) - tonumber(before))
end
"""
# KEYS: leases (a sorted set by expiry). ARGV: maximum number of leases, id and length of the new one. Returns 1 if the
# lease was granted, else 0.
_LEASE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[2])
redis.call('PEXPIRE', KEYS[1], 2 * tonumber(ARGV[3]))
return 1
"""


def limiter(settings: Settings, llm: ResolvedEndpoint) -> Limiter:
    """The limiter for a model at an endpoint, for use in one event loop. A SharedLimiter has to be closed."""
    limits = llm.limits
    if limits == RateLimits():
        return NoLimit()
    if not settings.distributed:
        key = (llm.endpoint, llm.settings.base_url, llm.settings.model, limits)
        # Parts may run one after the other, each in a new event loop; the calls of the last minute still count.
        previous = _local.get(key)
        _local[key] = previous.for_new_loop() if previous else LocalLimiter(**vars(limits))
        return _local[key]
    return SharedLimiter(
        settings.broker,
        f"limbeck:llm:{llm.endpoint}:{llm.settings.base_url}:{llm.settings.model}",
        requests_per_min=limits.requests_per_min,
        tokens_per_min=limits.tokens_per_min,
        in_flight=limits.in_flight,
        lease_s=2 * llm.settings.timeout_s,
    )


class SharedLimiter:
    """Limits shared by all processes with the same Redis and `key_prefix`; None means no limit.

    `lease_s`: time after which the call in flight of a dead worker no longer counts.
    """

    def __init__(
        self,
        redis_url: str,
        key_prefix: str,
        *,
        requests_per_min: int | None = None,
        tokens_per_min: int | None = None,
        in_flight: int | None = None,
        lease_s: float = 120.0,
        window_s: float = WINDOW_S,
        margin_s: float = MARGIN_S,
    ) -> None:
        self._redis: Redis = Redis.from_url(redis_url, socket_timeout=10, socket_connect_timeout=5)
        self._calls, self._tokens, self._sum, self._leases = (
            f"{key_prefix}:{name}" for name in ("calls", "tokens", "sum", "in_flight")
        )
        self._max_requests, self._max_tokens, self._in_flight = requests_per_min or 0, tokens_per_min or 0, in_flight
        self._window_ms, self._lease_ms = round(1000 * (window_s + margin_s)), round(1000 * lease_s)
        self._start_time = self._redis.register_script(_START_TIME)
        self._recount = self._redis.register_script(_RECOUNT)
        self._lease = self._redis.register_script(_LEASE)
        self._recounts: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Wait for pending recounts, then close the connections."""
        if self._recounts:
            await asyncio.wait(self._recounts)
        await self._redis.aclose()

    def slot(self, tokens: int) -> AbstractAsyncContextManager[Slot]:
        """Wait for capacity and hold it while the call is in flight.

        A call with more tokens than the limit per minute waits until no other call counts.
        """
        return self._slot(tokens)

    @asynccontextmanager
    async def _slot(self, tokens: int) -> AsyncIterator[Slot]:
        call = secrets.token_hex(8)
        if self._in_flight is not None:
            while not await self._run(self._lease, [self._leases], [self._in_flight, call, self._lease_ms]):
                await asyncio.sleep(_SLOT_POLL_S)
        try:
            if self._max_requests or self._max_tokens:
                limits = (self._max_requests, self._max_tokens, self._window_ms)
                keys = [self._calls, self._tokens, self._sum]
                wait_ms = await self._run(self._start_time, keys, (*limits, tokens, call, SPREAD))
                await asyncio.sleep(wait_ms / 1000)
            yield _SharedSlot(self, call)
        finally:
            if self._in_flight is not None:
                with suppress(RedisError):  # the lease then expires
                    await self._redis.zrem(self._leases, call)

    def record_tokens(self, call: str, tokens: int) -> None:
        """Replace the estimated tokens of a call by the tokens that it used, in the background."""
        if self._max_tokens:
            task = asyncio.create_task(self._replace_estimate(call, tokens))
            self._recounts.add(task)
            task.add_done_callback(self._recounts.discard)

    async def _replace_estimate(self, call: str, tokens: int) -> None:
        with suppress(RedisError):  # the estimate then counts, which is higher
            await self._recount(keys=[self._tokens, self._sum], args=[call, tokens])

    async def _run(self, script: Callable[..., Any], keys: list[str], args: Sequence[str | int | float]) -> int:
        """Run a script; retry while Redis is unreachable."""
        warned = False
        while True:
            try:
                return int(await script(keys=keys, args=args))
            except RedisError as error:
                if not warned:
                    log.warning("calls_wait_for_redis", error=type(error).__name__)
                    warned = True
                await asyncio.sleep(_RETRY_S)


class _SharedSlot:
    """Capacity for one call."""

    def __init__(self, limiter: SharedLimiter, call: str) -> None:
        self._limiter, self._call = limiter, call

    def record_tokens(self, tokens: int) -> None:
        self._limiter.record_tokens(self._call, tokens)
