"""Requests and tokens per minute, and calls in flight, held across all workers by Redis.

A call is told when it may go: the earliest moment at which the last minute has room for it. Moments are given out one
after the other, so that nobody asks twice and none overtakes; one script works them out, by Redis's clock. Calls in
flight are leases, so that a worker that dies gives its own back. A Redis that is away holds calls until it is there
again; one that was emptied has forgotten the minute before.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from attributes.llm.limits import MARGIN_S, SPREAD, WINDOW_S, Limiter, LocalLimiter, NoLimit, Slot
from attributes.llm.settings import LLMSettings
from store.settings import Settings

log = structlog.get_logger()
_AGAIN_S = 1.0
_local: dict[tuple[str, str, int | None, int | None, int | None], LocalLimiter] = {}
_ROOM_S = 0.05

# Times in milliseconds. KEYS: calls of the window (a sorted set by moment), their tokens (a hash), the sum and the last
# moment given out (a hash). ARGV: requests and tokens per window (0: no limit), window, tokens wanted, the call's id,
# how much closer than on average calls may come. Answers how long the call has to wait. What lies a whole window before
# a moment that was given out never counts again.
_MOMENT = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local most, most_tokens, window, tokens = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local sum = tonumber(redis.call('HGET', KEYS[3], 'sum') or 0)
local gap = most > 0 and window / most / tonumber(ARGV[6]) or 0
local moment = math.max(now, tonumber(redis.call('HGET', KEYS[3], 'last') or 0) + gap)
if most_tokens > 0 then tokens = math.min(tokens, most_tokens) end
while true do
  local old = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', moment - window)
  for _, id in ipairs(old) do
    sum = sum - tonumber(redis.call('HGET', KEYS[2], id) or 0)
    redis.call('HDEL', KEYS[2], id)
    redis.call('ZREM', KEYS[1], id)
  end
  local full = most > 0 and redis.call('ZCARD', KEYS[1]) >= most
  if not full and (most_tokens == 0 or sum + tokens <= most_tokens) then break end
  moment = tonumber(redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')[2]) + window
end
redis.call('ZADD', KEYS[1], moment, ARGV[5])
redis.call('HSET', KEYS[2], ARGV[5], tokens)
redis.call('HSET', KEYS[3], 'sum', sum + tokens, 'last', moment)
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, math.ceil(moment - now) + 2 * window) end
return math.ceil(moment - now)
"""
# KEYS: tokens by call, the sum. ARGV: the call's id, what it really took.
_RECOUNT = """
local before = redis.call('HGET', KEYS[1], ARGV[1])
if before then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('HINCRBY', KEYS[2], 'sum', tonumber(ARGV[2]) - tonumber(before))
end
"""
# KEYS: leases (a sorted set by end). ARGV: the most at once, the lease's id, its length. Answers whether it was given.
_LEASE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', now)
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[1]) then return 0 end
redis.call('ZADD', KEYS[1], now + tonumber(ARGV[3]), ARGV[2])
redis.call('PEXPIRE', KEYS[1], 2 * tonumber(ARGV[3]))
return 1
"""


def limiter(settings: Settings, llm: LLMSettings) -> Limiter:
    """What holds this operator's calls to a server and model; of one event loop. Needs `close` where it has one."""
    rpm, tpm, flight = settings.llm_requests_per_min, settings.llm_tokens_per_min, settings.llm_in_flight
    if not (rpm or tpm or flight):
        return NoLimit()
    if not settings.distributed:
        place = (llm.base_url, llm.model, rpm, tpm, flight)
        # One part runs after the other, each in a loop of its own, and the minute goes on.
        before = _local.get(place)
        _local[place] = (
            before.for_new_loop()
            if before
            else LocalLimiter(requests_per_min=rpm, tokens_per_min=tpm, in_flight=flight)
        )
        return _local[place]
    return SharedLimiter(
        settings.redis_url.get_secret_value(),
        f"limbeck:llm:{llm.base_url}:{llm.model}",
        requests_per_min=rpm,
        tokens_per_min=tpm,
        in_flight=flight,
        lease_s=2 * llm.timeout_s,
    )


class SharedLimiter:
    """Limits that every process with the same Redis and `place` keeps together; None is no limit.

    `lease_s`: after how long a call in flight whose worker died is counted no more.
    """

    def __init__(
        self,
        redis_url: str,
        place: str,
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
            f"{place}:{what}" for what in ("calls", "tokens", "sum", "in_flight")
        )
        self._most, self._most_tokens, self._in_flight = requests_per_min or 0, tokens_per_min or 0, in_flight
        self._window_ms, self._lease_ms = round(1000 * (window_s + margin_s)), round(1000 * lease_s)
        self._moment = self._redis.register_script(_MOMENT)
        self._recount = self._redis.register_script(_RECOUNT)
        self._lease = self._redis.register_script(_LEASE)
        self._counting: set[asyncio.Task[None]] = set()

    async def close(self) -> None:
        """Write the counts that are still under way, and close the connections."""
        if self._counting:
            await asyncio.wait(self._counting)
        await self._redis.aclose()

    def slot(self, tokens: int) -> AbstractAsyncContextManager[Slot]:
        """Wait for room, then hold it while the call is in flight. More tokens than a minute's wait for a whole one."""
        return self._slot(tokens)

    @asynccontextmanager
    async def _slot(self, tokens: int) -> AsyncIterator[Slot]:
        call = secrets.token_hex(8)
        if self._in_flight is not None:
            while not await self._held(self._lease, [self._leases], [self._in_flight, call, self._lease_ms]):
                await asyncio.sleep(_ROOM_S)
        try:
            if self._most or self._most_tokens:
                wanted = [self._most, self._most_tokens, self._window_ms, tokens, call, SPREAD]
                await asyncio.sleep(
                    await self._held(self._moment, [self._calls, self._tokens, self._sum], wanted) / 1000
                )
            yield _Call(self, call)
        finally:
            if self._in_flight is not None:
                with suppress(RedisError):  # else the lease runs out
                    await self._redis.zrem(self._leases, call)

    def used(self, call: str, tokens: int) -> None:
        """Count what a call took instead of the estimate; it need not wait for that."""
        if self._most_tokens:
            task = asyncio.create_task(self._count(call, tokens))
            self._counting.add(task)
            task.add_done_callback(self._counting.discard)

    async def _count(self, call: str, tokens: int) -> None:
        with suppress(RedisError):  # then the estimate counts, which is more
            await self._recount(keys=[self._tokens, self._sum], args=[call, tokens])

    async def _held(self, script: Callable[..., Any], keys: list[str], args: list[Any]) -> int:
        """The script's answer, as soon as Redis gives one."""
        told = False
        while True:
            try:
                return int(await script(keys=keys, args=args))
            except RedisError as error:
                if not told:
                    log.warning("calls_wait_for_redis", error=type(error).__name__)
                    told = True
                await asyncio.sleep(_AGAIN_S)


class _Call:
    """Leave to make one call."""

    def __init__(self, limiter: SharedLimiter, call: str) -> None:
        self._limiter, self._call = limiter, call

    def record_tokens(self, tokens: int) -> None:
        self._limiter.used(self._call, tokens)
