"""Ask an LLM about labels: the one owner of retries, and many questions at once.

    async with LLMClient(LLMSettings(base_url=..., model=...)) as enricher:
        tally = await enricher.ask_all(asks, on_outcome=keep)

Every question ends with lines or a named reason (`attributes.llm.retry_policy` says how); what no waiting can mend
(wrong key, unknown model, nobody at the address) raises FatalLLMError at the first call.
"""

import asyncio
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from types import TracebackType
from typing import Self

from attributes.llm.concurrency import CutShort, OnOutcome, Stop, Tally, ask_many
from attributes.llm.limits import (
    BudgetGuard,
    BudgetSpent,
    Limiter,
    NoBudget,
    NoLimit,
    Slot,
    tokens_at_most,
    tokens_estimated,
)
from attributes.llm.response_format import FormatFallback, shared_ladder
from attributes.llm.results import BUDGET_SPENT, Call, FatalLLMError, QuestionResult
from attributes.llm.retry_policy import QuestionAttempts
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse, Transport
from attributes.prompts.questions import Question

__all__ = ["Call", "FatalLLMError", "LLMClient", "LLMSettings", "QuestionResult", "Tally"]


MAX_REFUSED = 3  # questions that are refused in every form before the run is given up


class LLMClient:
    """Asks one server and model. Belongs to the event loop that first calls it; needs `close`.

    `limiter` holds every HTTP attempt back until there is room for it, `meter` until its worst case is set aside.
    `wire`: connections that others use as well.
    """

    def __init__(
        self,
        settings: LLMSettings,
        *,
        ladder: FormatFallback = shared_ladder,
        limiter: Limiter | None = None,
        meter: BudgetGuard | None = None,
        wire: Transport | None = None,
    ) -> None:
        self.settings = settings
        self._ladder = ladder
        self._limiter = limiter or NoLimit()
        self._meter = meter or NoBudget()
        self._wire = wire or Transport(settings)
        self._owns_wire = wire is None
        self._refused = 0  # questions in a row
        self._not_before = 0.0  # monotonic; a server that says "later" to one question says it to all

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections, if they are its own."""
        if self._owns_wire:
            await self._wire.close()

    async def ask(self, ask: Question) -> QuestionResult:
        """Ask until there are lines or a named reason. Raises FatalLLMError.

        Where the meter has nothing left the outcome is `stopped`, its detail `budget_spent`.
        """
        return await self._ask(ask, Stop())

    async def ask_all(
        self,
        asks: Iterable[Question] | AsyncIterable[Question],
        *,
        concurrency: int | None = None,
        on_outcome: OnOutcome | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Tally:
        """Ask everything, `concurrency` at a time (the settings' by default); order does not matter.

        Asks are drawn as they are needed. `on_outcome` is called (and awaited) as each ends, so that nothing is lost
        that was paid for; no list is kept. When `should_stop` (asked every 0.2 s) says so, or after a fatal error, no
        call is begun, those in flight have 10 s to end, and questions that had calls but no answer come as `stopped`.
        The same when the budget is spent, but calls in flight then have all their time. Raises FatalLLMError, and
        whatever `on_outcome` raises.
        """
        return await ask_many(
            self._ask,
            asks,
            concurrency=concurrency or self.settings.concurrency,
            first_alone=not self._ladder.knows(self.settings),
            on_outcome=on_outcome,
            should_stop=should_stop,
        )

    async def _ask(self, ask: Question, stop: Stop) -> QuestionResult:
        asking = QuestionAttempts(ask, self.settings, self._ladder)
        wait_s = 0.0
        while True:
            try:
                await self._pause(wait_s, stop)
                reply = await self._attempt(asking, stop)
            except CutShort:
                return asking.end("stopped")
            except BudgetSpent:
                return asking.end("stopped", BUDGET_SPENT)
            except asyncio.CancelledError:
                if not stop.is_set():
                    raise
                return asking.end("stopped")
            step = asking.judge(reply)
            if isinstance(step, QuestionResult):
                self._refuse_to_go_on(step)
                return step
            wait_s = step.wait_s
            if step.everyone_s:
                self._not_before = max(self._not_before, time.monotonic() + step.everyone_s)

    def _refuse_to_go_on(self, outcome: QuestionResult) -> None:
        """Raises FatalLLMError where a server that has answered nothing yet refuses one question after the other in
        every form: what it refuses is then no question, but the model or the way it is asked."""
        self._refused = self._refused + 1 if outcome.reason == "bad_request" else 0
        if self._refused >= MAX_REFUSED and not self._ladder.knows(self.settings):
            said = f"the LLM server refuses every request: model {self.settings.model!r} at {self.settings.base_url}"
            raise FatalLLMError("llm_bad_request", f"{said} ({outcome.detail})", outcome.calls)

    async def _pause(self, wait_s: float, stop: Stop) -> None:
        """Wait out this question's own time and the server's."""
        until = time.monotonic() + wait_s
        with stop.cuts_short():
            while (left_s := max(until, self._not_before) - time.monotonic()) > 0:
                await asyncio.sleep(left_s)

    async def _attempt(self, asking: QuestionAttempts, stop: Stop) -> RawResponse:
        """One HTTP attempt, once meter and limiter have room for it. Raises BudgetSpent and CutShort."""
        body = asking.body()
        with stop.cuts_short():
            reserved = await self._meter.reserve(asking.ask, tokens_at_most(body), asking.max_tokens)
        self._wire.open()  # so that what the limiter lets go is sent at once
        call: Call | None = None
        try:
            async with self._room(tokens_estimated(body, asking.max_tokens), stop) as slot:
                started = time.monotonic()
                reply: RawResponse | None = None
                try:
                    reply = await self._wire.send(body)
                finally:  # an attempt that is cancelled was made too, and may be billed
                    call = asking.note(reply or RawResponse(status="stopped", latency_s=time.monotonic() - started))
                if call.prompt_tokens is not None and call.completion_tokens is not None:
                    slot.used(call.prompt_tokens + call.completion_tokens)
                return reply
        finally:
            await self._meter.settle(reserved, call)

    @asynccontextmanager
    async def _room(self, tokens: int, stop: Stop) -> AsyncIterator[Slot]:
        """A slot of the limiter at a moment at which the server has not asked everyone to wait."""
        while True:
            async with AsyncExitStack() as held:
                with stop.cuts_short():
                    slot = await held.enter_async_context(self._limiter.slot(tokens))
                if self._not_before <= time.monotonic():
                    yield slot
                    return
                slot.used(0)
            await self._pause(0.0, stop)
