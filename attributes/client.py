"""Ask an LLM about labels: the one owner of retries, and many questions at once.

    async with Enricher(LLMSettings(base_url=..., model=...)) as enricher:
        tally = await enricher.ask_all(asks, on_outcome=keep)

Every question ends with lines or a named reason. A fault that will pass is waited for (`Retry-After`, else an
exponential wait with full jitter); a useless answer is asked for again with a correction in our own words; what no
waiting can mend (wrong key, unknown model, nobody at the address) raises FatalLLMError at the first call.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from attributes.answers import Reading, read_answer
from attributes.asks import Ask, Request, key_of, max_tokens_of, request_for, temperature_of
from attributes.calls import BUDGET_SPENT, Call, FatalLLMError, Outcome
from attributes.ladder import Form, Ladder, shared_ladder
from attributes.limits import BudgetSpent, Limiter, Meter, NoLimit, NoMeter, Slot, tokens_at_most, tokens_estimated
from attributes.many import CutShort, OnOutcome, Stop, Tally, ask_many
from attributes.settings import LLMSettings
from attributes.wire import Reply, Wire

__all__ = ["Call", "Enricher", "FatalLLMError", "LLMSettings", "Outcome", "Tally"]

FIRST_WAIT_S = 1.0  # the first wait is up to this long, each further one up to twice as long as the one before
LARGER_LIMIT = 3  # times the limit, for an answer that was cut off
MAX_REASKS = 1  # for an answer that is valid and could be better

_FATAL = {
    "llm_wrong_key": "the LLM server refuses the key (check LIMBECK_LLM_API_KEY)",
    "llm_unknown_model": "the LLM server knows no such model, or nothing at this base URL",
    "llm_quota_exhausted": "the account at the LLM server has no quota or credit left",
}


@dataclass
class _Asking:
    """One question on its way: what was asked so far, and the best that came."""

    ask: Ask
    request: Request
    key: str
    form: Form
    temperature: float
    max_tokens: int
    calls: list[Call] = field(default_factory=list)
    attempts: int = 0  # those that count against `max_attempts`
    reasks: int = 0
    enlarged: bool = False
    correction: str = ""
    best: tuple[Reading, str] | None = None

    def end(self, reason: str, detail: str = "") -> Outcome:
        """The best answer so far, else the reason."""
        if self.best is None:
            return Outcome(
                ask=self.ask, key=self.key, reason=reason, detail=detail, calls=self.calls,
                messages=self.request.messages,
            )  # fmt: skip
        reading, answer = self.best
        lines, other_lines = (
            tuple(replace(line, call=self.key) for line in side) for side in (reading.lines, reading.other_lines)
        )
        return Outcome(
            ask=self.ask, key=self.key, lines=lines, other_lines=other_lines, flags=reading.flags, reason=None,
            detail="", calls=self.calls, messages=self.request.messages, answer=answer,
        )  # fmt: skip


class Enricher:
    """Asks one server and model. Belongs to the event loop that first calls it; needs `close`.

    `limiter` holds every HTTP attempt back until there is room for it, `meter` until its worst case is set aside.
    """

    def __init__(
        self,
        settings: LLMSettings,
        *,
        ladder: Ladder = shared_ladder,
        limiter: Limiter | None = None,
        meter: Meter | None = None,
    ) -> None:
        self.settings = settings
        self._ladder = ladder
        self._limiter = limiter or NoLimit()
        self._meter = meter or NoMeter()
        self._wire = Wire(settings)
        self._not_before = 0.0  # monotonic; a server that says "later" to one question says it to all

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    async def ask(self, ask: Ask) -> Outcome:
        """Ask until there are lines or a named reason. Raises FatalLLMError.

        Where the meter has nothing left the outcome is `stopped`, its detail `budget_spent`.
        """
        return await self._ask(ask, Stop())

    async def ask_all(
        self,
        asks: Iterable[Ask] | AsyncIterable[Ask],
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

    async def _ask(self, ask: Ask, stop: Stop) -> Outcome:
        settings = self.settings
        asking = _Asking(
            ask, request_for(ask), key_of(ask, settings), self._ladder.start(settings),
            temperature_of(ask, settings), max_tokens_of(ask, settings),
        )  # fmt: skip
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
            step = self._judge(asking, reply)
            if isinstance(step, Outcome):
                return step
            wait_s = step

    async def _pause(self, wait_s: float, stop: Stop) -> None:
        """Wait out this question's own time and the server's."""
        until = time.monotonic() + wait_s
        with stop.cuts_short():
            while (left_s := max(until, self._not_before) - time.monotonic()) > 0:
                await asyncio.sleep(left_s)

    async def _attempt(self, asking: _Asking, stop: Stop) -> Reply:
        """One HTTP attempt, once meter and limiter have room for it. Raises BudgetSpent and CutShort."""
        request = asking.request.adding(asking.correction) if asking.correction else asking.request
        body = asking.form.body(
            request, model=self.settings.model, temperature=asking.temperature, max_tokens=asking.max_tokens
        )
        with stop.cuts_short():
            reserved = await self._meter.reserve(asking.ask, tokens_at_most(body), asking.max_tokens)
        self._wire.open()  # so that what the limiter lets go is sent at once
        call: Call | None = None
        try:
            async with self._room(tokens_estimated(body, asking.max_tokens), stop) as slot:
                started = time.monotonic()
                reply: Reply | None = None
                try:
                    reply = await self._wire.send(body)
                finally:  # an attempt that is cancelled was made too, and may be billed
                    call = _call(asking, reply or Reply(status="stopped", latency_s=time.monotonic() - started))
                    asking.calls.append(call)
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

    def _judge(self, asking: _Asking, reply: Reply) -> Outcome | float:
        """What an attempt leads to: an outcome, or the seconds to wait before the next."""
        if asking.best is not None and reply.status != "ok":
            return asking.end("")  # it is paid for; what is wrong with the server the next question will meet
        if reply.status.startswith("llm_"):
            return self._fatal_or_wait(asking, reply)
        if reply.status == "bad_request":
            return self._change_form(asking, reply)
        if reply.status == "refused":
            return asking.end("refused", reply.detail)
        if reply.status in ("ok", "empty_answer", "invalid_answer"):
            return self._judge_answer(asking, reply)
        return self._wait(asking, reply)

    def _fatal_or_wait(self, asking: _Asking, reply: Reply) -> Outcome | float:
        if reply.status == "llm_unreachable":
            if asking.attempts + 1 < self.settings.max_attempts:
                return self._wait(asking, reply)
            raise FatalLLMError(reply.status, f"{reply.detail}: is the LLM server running there?", asking.calls)
        said = f"{_FATAL[reply.status]}: model {self.settings.model!r} at {self.settings.base_url} ({reply.detail})"
        raise FatalLLMError(reply.status, said, asking.calls)

    def _change_form(self, asking: _Asking, reply: Reply) -> Outcome | float:
        if asking.enlarged:  # the form was fine before the limit was
            return asking.end("answer_too_long", f"the larger limit is refused ({reply.detail})")
        if other := asking.form.without(reply.param, reply.detail):
            self._ladder.refused_param(self.settings, other)
        else:
            self._ladder.missed(self.settings, asking.form)
            other = asking.form.lower()
        if other is None:
            return asking.end("bad_request", reply.detail)
        asking.form = other
        return 0.0

    def _wait(self, asking: _Asking, reply: Reply) -> Outcome | float:
        """The wait that the server asks for, else a random one up to an exponential bound."""
        asking.attempts += 1
        if asking.attempts >= self.settings.max_attempts:
            return asking.end(reply.status, reply.detail)
        asked_s = reply.retry_after_s
        if asked_s is None:
            bound_s = FIRST_WAIT_S * 2 ** (asking.attempts - 1)
            return random.uniform(0, min(bound_s, self.settings.max_wait_s))
        if asked_s > self.settings.max_wait_s:
            return asking.end(reply.status, f"{reply.detail} (the server asks to wait {asked_s:.0f} s)")
        self._not_before = max(self._not_before, time.monotonic() + asked_s)
        return asked_s + random.uniform(0, 0.1 * asked_s)  # so that not all come back in the same moment

    def _judge_answer(self, asking: _Asking, reply: Reply) -> Outcome | float:
        reading = (
            read_answer(reply.text, asking.ask)
            if reply.status == "ok"
            else Reading(fault="empty_answer" if reply.status == "empty_answer" else "invalid_answer")
        )
        if reading.fault is None:
            return self._take(asking, reading, reply)
        status = "answer_too_long" if reply.cut_off else reading.fault
        asking.calls[-1] = replace(asking.calls[-1], status=status)
        if reply.cut_off:
            if asking.enlarged:
                return asking.end("answer_too_long", f"cut off at {asking.max_tokens} tokens")
            asking.enlarged, asking.max_tokens = True, asking.max_tokens * LARGER_LIMIT
            return 0.0
        if status == "refused" or asking.best is not None:
            return asking.end(status, reading.detail)
        asking.attempts += 1
        if asking.attempts >= self.settings.max_attempts:
            return asking.end(status, reading.detail or reply.detail)
        if status in ("invalid_answer", "empty_answer"):  # what a server gives that cannot do what was asked
            self._ladder.missed(self.settings, asking.form)
            asking.form = asking.form.lower() or asking.form
        asking.correction = f"{reading.correction or 'The last answer was empty.'} Answer in full, as asked above."
        return 0.0

    def _take(self, asking: _Asking, reading: Reading, reply: Reply) -> Outcome | float:
        """Keep a valid answer; ask once more where it could be better."""
        self._ladder.worked(self.settings, asking.form)
        if asking.best is None or len(reading.flags) < len(asking.best[0].flags):
            asking.best = reading, reply.text or ""
        asking.attempts += 1
        if not reading.correction or asking.reasks >= MAX_REASKS or asking.attempts >= self.settings.max_attempts:
            return asking.end("")
        asking.reasks += 1
        asking.correction = f"{reading.correction} Answer in full, as asked above."
        return 0.0


def _call(asking: _Asking, reply: Reply) -> Call:
    return Call(
        attempt=len(asking.calls) + 1,
        status=reply.status,
        rung=asking.form.rung,
        http_status=reply.http_status,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        cached_tokens=reply.cached_tokens,
        latency_s=reply.latency_s,
        answer_text=reply.text,
    )
