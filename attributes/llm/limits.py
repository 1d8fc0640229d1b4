"""What holds calls back: how many a minute and at a time, and what may be spent.

Both are protocols, so that all workers together can be held by whatever they share. In one process `LocalLimiter`
keeps the rates; without limits there are `NoLimit` and `NoBudget`.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from attributes.prompts.questions import Question

if TYPE_CHECKING:
    from attributes.llm.results import Call

WINDOW_S = 60.0
MARGIN_S = 1.0  # by how much two calls may come closer together on their way to the server
SPREAD = 10  # a window's calls go out over a tenth of it at least: sent all at once, most of them would be late
# The most that servers are known to count for one picture: OpenAI's small models 2,833 at low detail, Qwen2-VL's
# default up to 16,384.
IMAGE_TOKENS_AT_MOST = 16_384
_MESSAGE_TOKENS_AT_MOST = 32  # role, separators, and what a chat template puts around a message
_CHARS_PER_TOKEN = 4


class BudgetSpent(Exception):
    """The next call could cost more than is left: the run stops in order, and what is paid for is kept."""


class Slot(Protocol):
    """Leave to make one call."""

    def used(self, tokens: int) -> None:
        """How many tokens it really took, once the server said so."""


class Limiter(Protocol):
    """Holds a call back until the limits have room for it."""

    def slot(self, tokens: int) -> AbstractAsyncContextManager[Slot]:
        """Wait for room, then hold it while the call is in flight. `tokens` is what the call may take, estimated."""


class BudgetGuard(Protocol):
    """Holds the cap on what may be spent. A reservation is whatever it wants to find again."""

    async def reserve(self, ask: Question, prompt_tokens_at_most: int, completion_tokens_at_most: int) -> object:
        """Set aside the worst case of one HTTP attempt; may wait until others are settled. Raises BudgetSpent."""

    async def settle(self, reservation: object, call: "Call | None") -> None:
        """Put what the attempt came to in the reservation's place; None: it was not made."""


class NoLimit:
    """As many calls as are asked for."""

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator["NoLimit"]:
        yield self

    def used(self, tokens: int) -> None:
        """Nothing is counted."""


class NoBudget:
    """No cap."""

    async def reserve(self, ask: Question, prompt_tokens_at_most: int, completion_tokens_at_most: int) -> object:
        return None

    async def settle(self, reservation: object, call: "Call | None") -> None:
        """Nothing is counted."""


@dataclass(slots=True)
class _Sent:
    """A call that counts in the window; it is its own slot."""

    at: float
    tokens: int
    limiter: "LocalLimiter"

    def used(self, tokens: int) -> None:
        """Count what the call took instead of the estimate."""
        self.limiter._recount(self, tokens)


class LocalLimiter:
    """Limits for one event loop: in any `window_s` seconds at most so many requests and tokens, and so many in flight.

    The window slides and is exact. A server sees calls a little closer together than they were sent, so the window is
    longer by `margin_s`. Calls get their turn in the order in which they came. None is no limit.
    """

    def __init__(
        self,
        *,
        requests_per_min: int | None = None,
        tokens_per_min: int | None = None,
        in_flight: int | None = None,
        window_s: float = WINDOW_S,
        margin_s: float = MARGIN_S,
    ) -> None:
        for name, limit in (("requests", requests_per_min), ("tokens", tokens_per_min), ("calls in flight", in_flight)):
            if limit is not None and limit < 1:
                raise ValueError(f"a limit of {limit} {name} would let no call through; leave it out for none")
        self._requests, self._tokens = requests_per_min, tokens_per_min
        self._window_s = window_s + margin_s
        self._gap_s = self._window_s / requests_per_min / SPREAD if requests_per_min else 0.0
        self._most_in_flight = in_flight
        self._in_flight = asyncio.Semaphore(in_flight) if in_flight else None
        self._turn = asyncio.Lock()
        self._freed = asyncio.Event()
        self._sent: deque[_Sent] = deque()
        self._sum = 0

    def again(self) -> "LocalLimiter":
        """The same limits, with the last minute remembered, for another event loop; this one must be over."""
        other = copy(self)
        other._turn, other._freed = asyncio.Lock(), asyncio.Event()
        other._in_flight = asyncio.Semaphore(self._most_in_flight) if self._most_in_flight else None
        return other

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[Slot]:
        """Wait for room, then hold it while the call is in flight. More tokens than a minute's wait for a whole one."""
        if self._in_flight is not None:
            await self._in_flight.acquire()
        try:
            async with self._turn:
                sent = await self._when_there_is_room(tokens)
            yield sent
        finally:
            if self._in_flight is not None:
                self._in_flight.release()

    async def _when_there_is_room(self, tokens: int) -> _Sent:
        if self._tokens is not None:
            tokens = min(tokens, self._tokens)
        while (wait_s := self._wait_s(tokens)) > 0:
            self._freed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._freed.wait()
            except TimeoutError:
                pass
        sent = _Sent(asyncio.get_running_loop().time(), tokens, self)
        self._sent.append(sent)
        self._sum += tokens
        return sent

    def _wait_s(self, tokens: int) -> float:
        """Seconds until the oldest call leaves the window, if there is no room before, and the last one is far enough;
        0 if there is room now."""
        now = asyncio.get_running_loop().time()
        while self._sent and now - self._sent[0].at >= self._window_s:
            self._sum -= self._sent.popleft().tokens
        full = self._requests is not None and len(self._sent) >= self._requests
        full = full or (self._tokens is not None and self._sum + tokens > self._tokens)
        spread = self._sent[-1].at + self._gap_s - now if self._sent else 0.0
        return max(spread, self._sent[0].at + self._window_s - now if full else 0.0)

    def _recount(self, sent: _Sent, tokens: int) -> None:
        if not self._sent or sent.at < self._sent[0].at:
            return  # it has left the window
        self._sum += tokens - sent.tokens
        sent.tokens = tokens
        self._freed.set()


def tokens_at_most(body: Mapping[str, Any]) -> int:
    """An upper bound of the prompt's tokens: no token is shorter than a byte.

    The UTF-8 bytes of all messages and of the schema, some for what a server puts around each of them, and
    `IMAGE_TOKENS_AT_MOST` for a picture.
    """
    texts, num_images = _contents(body)
    schema = json.dumps(body.get("response_format", ""), ensure_ascii=False)
    num_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in [*texts, schema])
    return num_bytes + _MESSAGE_TOKENS_AT_MOST * (len(body["messages"]) + 1) + IMAGE_TOKENS_AT_MOST * num_images


def tokens_estimated(body: Mapping[str, Any], max_tokens: int) -> int:
    """What servers hold against a limit of tokens per minute before they know: about four characters a token, and the
    whole limit of the answer."""
    texts, num_images = _contents(body)
    return sum(map(len, texts)) // _CHARS_PER_TOKEN + max_tokens + 100 * num_images


def _contents(body: Mapping[str, Any]) -> tuple[list[str], int]:
    """The texts of a body's messages, and how many pictures they hold."""
    texts: list[str] = []
    num_images = 0
    for message in body["messages"]:
        content = message["content"]
        for part in [{"text": content}] if isinstance(content, str) else content:
            num_images += "image_url" in part
            texts.append(part.get("text", ""))
    return texts, num_images
