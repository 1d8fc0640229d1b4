"""The LLM client: sends questions, many at once, and owns all retries.

    async with LLMClient(LLMSettings(base_url=..., model=...)) as client:
        totals = await client.query_all(questions, on_result=save)

Every question ends with lines or with a named reason (see `attributes.llm.retry_policy`). Faults that waiting cannot
fix (wrong key, unknown model, no server at the address) raise FatalLLMError at the first call; a server that is away is
waited for (`attributes.llm.health`), and no question fails because of it.
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
from attributes.llm.model_profile import LearnedProfiles, shared_profiles
from attributes.llm.response_format import ChatBody, token_limit
from attributes.llm.results import BUDGET_SPENT, Call, FatalLLMError, QuestionResult
from attributes.llm.retry_policy import QuestionAttempts
from attributes.llm.server import ANSWERED, LLMServer
from attributes.llm.settings import LLMSettings
from attributes.llm.transport import RawResponse
from attributes.prompts.questions import Question

__all__ = ["Call", "FatalLLMError", "LLMClient", "LLMSettings", "QueryTotals", "QuestionResult"]


class LLMClient:
    """Sends questions to one server and model. Belongs to the event loop that first calls it; needs `close`.

    `limiter` delays every HTTP attempt until the rate limits allow it; `budget` reserves its maximum cost first.
    `server`: connections and slots that are shared with other clients; a lower `rank` gets its slots first.
    `on_outage` is called with a message when the server does not respond any more.
    """

    def __init__(
        self,
        settings: LLMSettings,
        *,
        profiles: LearnedProfiles = shared_profiles,
        limiter: Limiter | None = None,
        budget: BudgetGuard | None = None,
        server: LLMServer | None = None,
        rank: int = 0,
        on_outage: Callable[[str], None] | None = None,
    ) -> None:
        self.settings = settings
        self._profiles = profiles
        self._limiter = limiter or NoLimit()
        self._budget = budget or NoBudget()
        self._server = server or LLMServer(settings)
        self._owns_server = server is None
        self._rank = rank
        if on_outage is not None:
            self._server.health.on_outage = on_outage
        if profiles.is_proven(settings):
            self._server.transport.has_responded = True
            self._server.transport.has_succeeded = True

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections unless they are shared."""
        if self._owns_server:
            await self._server.close()

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
            probe_first=not self._profiles.is_proven(self.settings),
            on_result=on_result,
            should_stop=should_stop,
        )

    async def _query(self, question: Question, stop: RunStop) -> QuestionResult:
        attempts = QuestionAttempts(question, self.settings, self._profiles)
        probes = _Probes(self.settings.max_attempts)
        health = self._server.health
        wait_s = 0.0
        while True:
            try:
                await _sleep(wait_s, stop)
                raw, is_away = await self._attempt(attempts, stop)
                if is_away and await self._is_suspect(attempts, probes, stop):
                    attempts.set_last(raw.status)
                step = attempts.next_step(raw, server_is_away=is_away, server_is_unreliable=health.is_unreliable)
            except RunStopped:
                return attempts.finish("stopped")
            except BudgetSpent:
                return attempts.finish("stopped", BUDGET_SPENT)
            except FatalLLMError as error:
                error.calls = attempts.calls
                raise
            except asyncio.CancelledError:
                if not stop.is_set():
                    raise
                return attempts.finish("stopped")
            if isinstance(step, QuestionResult):
                return self._ended(step)
            wait_s = step.wait_s

    def _ended(self, result: QuestionResult) -> QuestionResult:
        self._server.record_result(result, is_proven=self._profiles.is_proven(self.settings))
        return result

    async def _is_suspect(self, attempts: QuestionAttempts, probes: "_Probes", stop: RunStop) -> bool:
        """Whether the question, and not the server, may be the cause of an outage.

        If all faults are of this question, and after several probes with it, a request that once got a response is
        sent again: if it gets one now, the server is not away, and the question has one more attempt. An unreliable
        server fails any question, so it is not tested.
        """
        body, health = self._server.good_request, self._server.health
        is_due = probes.are_exhausted() or health.is_only_of(attempts.key)
        if not is_due or body is None or health.is_unreliable or not attempts.could_send(body):
            return False
        raw, _ = await self._attempt(attempts, stop, body=body)
        return raw.status in ANSWERED

    async def _attempt(
        self, attempts: QuestionAttempts, stop: RunStop, *, body: ChatBody | None = None
    ) -> tuple[RawResponse, bool]:
        """One HTTP attempt, once server, budget and limiter allow it; and whether the server is away.

        Sends `body` instead of the question's. Raises BudgetSpent, RunStopped and FatalLLMError.
        """
        health = self._server.health
        source = attempts.key if body is None else f"test for {attempts.key}"
        with stop.interruptible_wait():
            await health.wait()
            body = body or attempts.body()  # after the wait: other questions may have learned what the server refuses
            max_tokens = token_limit(body, attempts.max_tokens)
            reservation = await self._budget.reserve(attempts.question, max_prompt_tokens(body), max_tokens)
        self._server.transport.client()  # before the slot is taken, so that the request is sent at once
        call: Call | None = None
        try:
            async with self._slot(estimated_tokens(body, max_tokens), source, stop) as slot:
                started_at = time.monotonic()
                raw: RawResponse | None = None
                try:
                    raw = await self._server.transport.send(body)
                finally:  # record a cancelled attempt too: the server may bill it
                    elapsed_s = time.monotonic() - started_at
                    call = attempts.record(raw or RawResponse(status="stopped", latency_s=elapsed_s))
                if call.prompt_tokens is not None and call.completion_tokens is not None:
                    slot.record_tokens(call.prompt_tokens + call.completion_tokens)
                if raw.status in ANSWERED:
                    self._server.good_request = body
                try:
                    is_away = self._server.record(raw, started_at=started_at, source=source)
                    if (fatal := attempts.fatal_error(raw)) is not None:
                        raise fatal
                except FatalLLMError as error:
                    stop.fail(error)  # before slot and reservation are given back: no further call starts meanwhile
                    raise
                return raw, is_away
        finally:
            await self._budget.release(reservation, call)

    @asynccontextmanager
    async def _slot(self, tokens: int, source: str, stop: RunStop) -> AsyncIterator[Slot]:
        """A slot of the limiter and of the server, when the server may be called.

        The server is asked before the limiter, so that calls that wait for the end of an outage do not use up the rate
        limit; and after it, because an outage may have begun meanwhile.
        """
        health = self._server.health
        while True:
            async with AsyncExitStack() as stack:
                stack.callback(health.abandon, source)
                slot: Slot | None = None
                with stop.interruptible_wait():
                    await stack.enter_async_context(self._server.slots.slot(self._rank))
                    if health.try_start(source):
                        slot = await stack.enter_async_context(self._limiter.slot(tokens))
                if slot is not None and health.try_start(source):
                    yield slot
                    return
                if slot is not None:
                    slot.record_tokens(0)
            with stop.interruptible_wait():
                await health.wait()


class _Probes:
    """Counts the probes of one question during outages."""

    def __init__(self, maximum: int) -> None:
        self._maximum, self._number = maximum, 0

    def are_exhausted(self) -> bool:
        """Count one more; True at each `maximum`-th."""
        self._number += 1
        return self._number % self._maximum == 0


async def _sleep(seconds: float, stop: RunStop) -> None:
    with stop.interruptible_wait():
        if seconds > 0:
            await asyncio.sleep(seconds)
