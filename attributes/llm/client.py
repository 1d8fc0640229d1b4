"""The LLM client: sends questions, many at once, and owns all retries.

    async with LLMClient(LLMSettings(base_url=..., model=...)) as client:
        totals = await client.query_all(questions, on_result=save)

Every question ends with lines or with a named reason (see `attributes.llm.retry_policy`). Faults that waiting cannot
fix (wrong key, unknown model, no server at the address) raise FatalLLMError at the first call.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from attributes.llm.concurrency import OnResult, QueryTotals, RunStop, RunStopped, query_many
from attributes.llm.limits import (
    BudgetGuard,
    BudgetSpent,
    Limiter,
    NoBudget,
    NoLimit,
    Slot,
    estimated_tokens,
    max_prompt_tokens,
)
from attributes.llm.response_format import FormatFallback, shared_fallback
from attributes.llm.results import BUDGET_SPENT, Call, FatalLLMError, QuestionResult
from attributes.llm.retry_policy import QuestionAttempts
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse, Transport
from attributes.prompts.questions import Question

__all__ = ["Call", "FatalLLMError", "LLMClient", "LLMSettings", "QueryTotals", "QuestionResult"]

MAX_REFUSED = 3  # questions in a row that are refused in every response format before the run stops


class LLMClient:
    """Sends questions to one server and model. Belongs to the event loop that first calls it; needs `close`.

    `limiter` delays every HTTP attempt until the rate limits allow it; `budget` reserves its maximum cost first.
    `transport`: connections that are shared with other clients.
    """

    def __init__(
        self,
        settings: LLMSettings,
        *,
        fallback: FormatFallback = shared_fallback,
        limiter: Limiter | None = None,
        budget: BudgetGuard | None = None,
        transport: Transport | None = None,
    ) -> None:
        self.settings = settings
        self._fallback = fallback
        self._limiter = limiter or NoLimit()
        self._budget = budget or NoBudget()
        self._transport = transport or Transport(settings)
        self._owns_transport = transport is None
        self._num_refused = 0  # questions in a row
        self._not_before = 0.0  # monotonic; a `Retry-After` applies to all questions

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections unless they are shared."""
        if self._owns_transport:
            await self._transport.close()

    async def query(self, question: Question) -> QuestionResult:
        """Send one question, with retries, until it has lines or a named reason. Raises FatalLLMError.

        If the budget is spent, the reason is `stopped` and the detail `budget_spent`.
        """
        return await self._query(question, RunStop())

    async def query_all(
        self,
        questions: Iterable[Question] | AsyncIterable[Question],
        *,
        concurrency: int | None = None,
        on_result: OnResult | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> QueryTotals:
        """Send all questions, `concurrency` at a time (default: the settings'); results come in any order.

        Questions are taken from the iterable as needed. `on_result` is called (and awaited) when each one ends, so that
        no paid response is lost; the results are not collected in a list. When `should_stop` (polled every 0.2 s)
        returns True, or after a fatal error, no call starts, calls in flight have 10 s to end, and questions that had
        calls but no response are reported as `stopped`. When the budget is spent, the same happens, but calls in flight
        have their full time limit. Raises FatalLLMError, and any exception of `on_result`.
        """
        return await query_many(
            self._query,
            questions,
            concurrency=concurrency or self.settings.concurrency,
            probe_first=not self._fallback.is_known(self.settings),
            on_result=on_result,
            should_stop=should_stop,
        )

    async def _query(self, question: Question, stop: RunStop) -> QuestionResult:
        attempts = QuestionAttempts(question, self.settings, self._fallback)
        wait_s = 0.0
        while True:
            try:
                await self._pause(wait_s, stop)
                raw = await self._attempt(attempts, stop)
            except RunStopped:
                return attempts.finish("stopped")
            except BudgetSpent:
                return attempts.finish("stopped", BUDGET_SPENT)
            except asyncio.CancelledError:
                if not stop.is_set():
                    raise
                return attempts.finish("stopped")
            step = attempts.next_step(raw)
            if isinstance(step, QuestionResult):
                self._raise_if_all_refused(step)
                return step
            wait_s = step.wait_s
            if step.server_wait_s:
                self._not_before = max(self._not_before, time.monotonic() + step.server_wait_s)

    def _raise_if_all_refused(self, result: QuestionResult) -> None:
        """Raises FatalLLMError if a server that gave no valid response yet refuses `MAX_REFUSED` questions in a row in
        every response format: the cause is then the model or the request, not a question."""
        self._num_refused = self._num_refused + 1 if result.reason == "bad_request" else 0
        if self._num_refused >= MAX_REFUSED and not self._fallback.is_known(self.settings):
            message = f"the LLM server refuses every request: model {self.settings.model!r} at {self.settings.base_url}"
            raise FatalLLMError("llm_bad_request", f"{message} ({result.detail})", result.calls)

    async def _pause(self, wait_s: float, stop: RunStop) -> None:
        """Wait `wait_s`, and for the server's `Retry-After`."""
        until = time.monotonic() + wait_s
        with stop.interruptible_wait():
            while (left_s := max(until, self._not_before) - time.monotonic()) > 0:
                await asyncio.sleep(left_s)

    async def _attempt(self, attempts: QuestionAttempts, stop: RunStop) -> RawResponse:
        """One HTTP attempt, once budget and limiter allow it. Raises BudgetSpent and RunStopped."""
        body = attempts.body()
        with stop.interruptible_wait():
            reservation = await self._budget.reserve(attempts.question, max_prompt_tokens(body), attempts.max_tokens)
        self._transport.client()  # before the slot is taken, so that the request is sent at once
        call: Call | None = None
        try:
            async with self._slot(estimated_tokens(body, attempts.max_tokens), stop) as slot:
                started = time.monotonic()
                raw: RawResponse | None = None
                try:
                    raw = await self._transport.send(body)
                finally:  # record a cancelled attempt too: the server may bill it
                    call = attempts.record(raw or RawResponse(status="stopped", latency_s=time.monotonic() - started))
                if call.prompt_tokens is not None and call.completion_tokens is not None:
                    slot.record_tokens(call.prompt_tokens + call.completion_tokens)
                return raw
        finally:
            await self._budget.release(reservation, call)

    @asynccontextmanager
    async def _slot(self, tokens: int, stop: RunStop) -> AsyncIterator[Slot]:
        """A slot of the limiter, taken outside the server's `Retry-After`."""
        while True:
            async with AsyncExitStack() as stack:
                with stop.interruptible_wait():
                    slot = await stack.enter_async_context(self._limiter.slot(tokens))
                if self._not_before <= time.monotonic():
                    yield slot
                    return
                slot.record_tokens(0)
            await self._pause(0.0, stop)
