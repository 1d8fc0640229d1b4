"""Limits on LLM calls: rate limits (per minute and in flight) and a budget.

`Limiter` and `BudgetGuard` are protocols, so that several workers can share one limit. `LocalLimiter` enforces rates in
one process; `NoLimit` and `NoBudget` enforce nothing.
"""

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from attributes.llm.response_format import ChatBody
from attributes.prompts.questions import Question

if TYPE_CHECKING:
    from attributes.llm.results import Call

WINDOW_S = 60.0
MARGIN_S = 1.0  # by how much the network may shorten the interval between two calls
SPREAD = 10  # the calls of a window are spread over at least 1/10 of it: sent all at once, most would be slow
# Largest known token count of one image: 2,833 at low detail with OpenAI's small models, up to 16,384 with the default
# of Qwen2-VL.
MAX_IMAGE_TOKENS = 16_384
_MAX_MESSAGE_OVERHEAD_TOKENS = 32  # role, separators and chat template of one message
_CHARS_PER_TOKEN = 4


class BudgetSpent(Exception):
    """The next call could cost more than is left of the budget. The run stops, and paid responses are kept."""


class Slot(Protocol):
    """Permission to make one call."""

    def record_tokens(self, tokens: int) -> None:
        """Replace the estimate with the tokens that the server reported."""


class Limiter(Protocol):
    """Delays each call until the rate limits allow it."""

    def slot(self, tokens: int) -> AbstractAsyncContextManager[Slot]:
        """Wait for a slot, and occupy it while the call is in flight. `tokens` is an estimate for the call."""


class BudgetGuard(Protocol):
    """Enforces a cap on cost. Each implementation chooses the type of its reservations."""

    async def reserve(self, question: Question, max_prompt_tokens: int, max_completion_tokens: int) -> object:
        """Reserve the maximum cost of one HTTP attempt; may wait for other releases. Raises BudgetSpent."""

    async def release(self, reservation: object, call: "Call | None") -> None:
        """Release the reservation and record the cost of `call`; None if no attempt was made."""


class NoLimit:
    """A limiter without limits."""

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator["NoLimit"]:
        yield self

    def record_tokens(self, tokens: int) -> None:
        """Nothing is counted."""


class NoBudget:
    """A budget guard without a cap."""

    async def reserve(self, question: Question, max_prompt_tokens: int, max_completion_tokens: int) -> object:
        return None

    async def release(self, reservation: object, call: "Call | None") -> None:
        """Nothing is counted."""


@dataclass(slots=True)
class _WindowCall:
    """A call that counts in the window, and the slot of this call."""

    sent_at: float
    tokens: int
    limiter: "LocalLimiter"

    def record_tokens(self, tokens: int) -> None:
        """Replace the estimate with the tokens that the server reported."""
        self.limiter._recount(self, tokens)


class LocalLimiter:
    """Rate limits for one event loop: requests and tokens in any `window_s` seconds, and calls in flight.

    An exact sliding window, longer by `margin_s` because calls may reach the server closer together than they were
    sent. Calls are served first come, first served. None means no limit.
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
                raise ValueError(f"a limit of {limit} {name} would let no call through; omit it for no limit")
        self._requests, self._tokens = requests_per_min, tokens_per_min
        self._window_s = window_s + margin_s
        self._gap_s = self._window_s / requests_per_min / SPREAD if requests_per_min else 0.0
        self._max_in_flight = in_flight
        self._in_flight = asyncio.Semaphore(in_flight) if in_flight else None
        self._lock = asyncio.Lock()
        self._changed = asyncio.Event()
        self._window: deque[_WindowCall] = deque()
        self._window_tokens = 0

    def for_new_loop(self) -> "LocalLimiter":
        """The same limits and window for another event loop. The loop of this limiter must have ended."""
        other = copy(self)
        other._lock, other._changed = asyncio.Lock(), asyncio.Event()
        other._in_flight = asyncio.Semaphore(self._max_in_flight) if self._max_in_flight else None
        return other

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[Slot]:
        """Wait for a slot, and occupy it while the call is in flight. A call with more tokens than the limit waits for
        an empty window."""
        if self._in_flight is not None:
            await self._in_flight.acquire()
        try:
            async with self._lock:
                call = await self._wait_for_window(tokens)
            yield call
        finally:
            if self._in_flight is not None:
                self._in_flight.release()

    async def _wait_for_window(self, tokens: int) -> _WindowCall:
        if self._tokens is not None:
            tokens = min(tokens, self._tokens)
        while (wait_s := self._wait_s(tokens)) > 0:
            self._changed.clear()
            try:
                async with asyncio.timeout(wait_s):
                    await self._changed.wait()
            except TimeoutError:
                pass
        call = _WindowCall(asyncio.get_running_loop().time(), tokens, self)
        self._window.append(call)
        self._window_tokens += tokens
        return call

    def _wait_s(self, tokens: int) -> float:
        """Seconds until the window has capacity for the call and the last call is far enough back; 0 if both hold."""
        now = asyncio.get_running_loop().time()
        while self._window and now - self._window[0].sent_at >= self._window_s:
            self._window_tokens -= self._window.popleft().tokens
        full = self._requests is not None and len(self._window) >= self._requests
        full = full or (self._tokens is not None and self._window_tokens + tokens > self._tokens)
        spread = self._window[-1].sent_at + self._gap_s - now if self._window else 0.0
        return max(spread, self._window[0].sent_at + self._window_s - now if full else 0.0)

    def _recount(self, call: _WindowCall, tokens: int) -> None:
        if not self._window or call.sent_at < self._window[0].sent_at:
            return  # the call has left the window
        self._window_tokens += tokens - call.tokens
        call.tokens = tokens
        self._changed.set()


def max_prompt_tokens(body: ChatBody) -> int:
    """An upper bound on the prompt's tokens, since no token is shorter than a byte.

    The sum of the UTF-8 bytes of all messages and of the schema, an overhead per message, and `MAX_IMAGE_TOKENS` per
    image.
    """
    texts, num_images = _contents(body)
    schema = json.dumps(body.get("response_format", ""), ensure_ascii=False)
    num_bytes = sum(len(text.encode("utf-8", "surrogatepass")) for text in [*texts, schema])
    return num_bytes + _MAX_MESSAGE_OVERHEAD_TOKENS * (len(body["messages"]) + 1) + MAX_IMAGE_TOKENS * num_images


def estimated_tokens(body: ChatBody, max_tokens: int) -> int:
    """The tokens that servers count against a rate limit in advance: about one per four characters of the prompt, plus
    the full token limit of the response."""
    texts, num_images = _contents(body)
    return sum(map(len, texts)) // _CHARS_PER_TOKEN + max_tokens + 100 * num_images


def _contents(body: ChatBody) -> tuple[list[str], int]:
    """The texts in a body's messages, and the number of images."""
    texts: list[str] = []
    num_images = 0
    for message in body["messages"]:
        content = message["content"]
        if isinstance(content, str):
            texts.append(content)
            continue
        for part in content:
            if part["type"] == "text":
                texts.append(part["text"])
            else:
                num_images += 1
    return texts, num_images
