"""Ask an LLM about labels: the one owner of retries, and many labels at once.

    async with Enricher(LLMSettings(base_url=..., model=...), load_strategy("describe"), "birds") as enricher:
        tally = await enricher.describe_all(labels, on_outcome=keep)

Every label ends with an entry or a named reason. A fault that will pass is waited for (`Retry-After`, else an
exponential wait with full jitter); a useless answer is asked for again with a correction in our own words; what no
waiting can mend (wrong key, unknown model, nobody at the address) raises FatalLLMError at the first call.
"""

import asyncio
import random
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from attributes.answers import Reading, read_answer
from attributes.calls import Call, FatalLLMError, LLMSettings, Outcome
from attributes.ladder import Form, Ladder, shared_ladder
from attributes.many import OnOutcome, Tally, describe_many
from attributes.strategy import Request, Strategy, cache_key, request_for
from attributes.types import Entry, Label
from attributes.wire import Reply, Wire

__all__ = ["Call", "Enricher", "FatalLLMError", "LLMSettings", "Outcome", "Tally"]

FIRST_WAIT_S = 1.0  # the first wait is up to this long, each further one up to twice as long as the one before
LARGER_LIMIT = 3  # times `max_tokens`, for an answer that was cut off
MAX_REASKS = 1  # for an answer that is valid and could be better

_FATAL = {
    "llm_wrong_key": "the LLM server refuses the key (check LIMBECK_LLM_API_KEY)",
    "llm_unknown_model": "the LLM server knows no such model, or nothing at this base URL",
    "llm_quota_exhausted": "the account at the LLM server has no quota or credit left",
}


@dataclass
class _Asking:
    """One label on its way: what was asked so far, and the best that came."""

    label: Label
    request: Request
    key: str
    form: Form
    max_tokens: int
    calls: list[Call] = field(default_factory=list)
    attempts: int = 0  # those that count against `max_attempts`
    reasks: int = 0
    enlarged: bool = False
    correction: str = ""
    best: tuple[Entry, str] | None = None

    def end(self, reason: str, detail: str = "") -> Outcome:
        """The best entry so far, else the reason."""
        entry, answer = self.best or (None, None)
        if entry is not None:
            entry = replace(entry, lines=tuple(replace(line, call=self.key) for line in entry.lines))
        return Outcome(
            label=self.label,
            key=self.key,
            entry=entry,
            reason=None if entry else reason,
            detail="" if entry else detail,
            calls=self.calls,
            messages=self.request.messages,
            answer=answer,
        )


class Enricher:
    """Describes labels of one domain by one strategy. Belongs to the event loop that first calls it; needs `close`."""

    def __init__(
        self, settings: LLMSettings, strategy: Strategy, domain: str = "", *, ladder: Ladder = shared_ladder
    ) -> None:
        self.settings = settings
        self.strategy = strategy
        self.domain = domain
        self._ladder = ladder
        self._wire = Wire(settings)
        self._not_before = 0.0  # monotonic; a server that says "later" to one label says it to all

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._wire.close()

    def key_of(self, label: Label) -> str:
        """The cache key of the call that `describe` would make."""
        return self._key(request_for(self.strategy, label, self.domain))

    async def describe(self, label: Label) -> Outcome:
        """Ask about one label until it has an entry or a named reason. Raises FatalLLMError."""
        return await self._describe(label, asyncio.Event())

    async def describe_all(
        self,
        labels: Iterable[Label],
        *,
        concurrency: int | None = None,
        on_outcome: OnOutcome | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Tally:
        """Ask about every label, `concurrency` at a time (the settings' by default); order does not matter.

        `on_outcome` is called (and awaited) as each label ends, so that nothing is lost that was paid for; no list is
        kept. When `should_stop` (asked every 0.2 s) says so, or after a fatal error, no call is begun, those in flight
        have 10 s to end, and labels that had calls but no answer come as `stopped`. Raises FatalLLMError, and
        whatever `on_outcome` raises.
        """
        return await describe_many(
            self._describe,
            labels,
            concurrency=concurrency or self.settings.concurrency,
            first_alone=not self._ladder.knows(self.settings),
            on_outcome=on_outcome,
            should_stop=should_stop,
        )

    def _key(self, request: Request) -> str:
        settings = self.settings
        return cache_key(
            request,
            model=settings.model,
            base_url=settings.base_url,
            temperature=settings.temperature,
            max_tokens=settings.max_tokens,
        )

    async def _describe(self, label: Label, stop: asyncio.Event) -> Outcome:
        request = request_for(self.strategy, label, self.domain)
        form = self._ladder.start(self.settings)
        asking = _Asking(label, request, self._key(request), form, self.settings.max_tokens)
        wait_s = 0.0
        while True:
            await self._pause(wait_s, stop)
            if stop.is_set():
                return asking.end("stopped")
            try:
                reply = await self._attempt(asking)
            except asyncio.CancelledError:
                if not stop.is_set():
                    raise
                return asking.end("stopped")
            step = self._judge(asking, reply)
            if isinstance(step, Outcome):
                return step
            wait_s = step

    async def _pause(self, wait_s: float, stop: asyncio.Event) -> None:
        """Wait out this label's own time and the server's, but not longer than until `stop` is set."""
        until = time.monotonic() + wait_s
        while not stop.is_set() and (left_s := max(until, self._not_before) - time.monotonic()) > 0:
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), left_s)

    async def _attempt(self, asking: _Asking) -> Reply:
        request = asking.request.adding(asking.correction) if asking.correction else asking.request
        started = time.monotonic()
        reply: Reply | None = None
        try:
            reply = await self._wire.send(asking.form.body(request, self.settings, asking.max_tokens))
            return reply
        finally:  # an attempt that is cancelled was made too, and may be billed
            asking.calls.append(_call(asking, reply or Reply(status="stopped", latency_s=time.monotonic() - started)))

    def _judge(self, asking: _Asking, reply: Reply) -> Outcome | float:
        """What an attempt leads to: an outcome, or the seconds to wait before the next."""
        if asking.best is not None and reply.status != "ok":
            return asking.end("")  # it is paid for; what is wrong with the server the next label will meet
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
            read_answer(reply.text, self.strategy, asking.label)
            if reply.status == "ok"
            else Reading(fault="empty_answer" if reply.status == "empty_answer" else "invalid_answer")
        )
        if reading.entry is not None:
            return self._take(asking, reading.entry, reading.correction, reply)
        status = "answer_too_long" if reply.cut_off else reading.fault or "invalid_answer"
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

    def _take(self, asking: _Asking, entry: Entry, wish: str, reply: Reply) -> Outcome | float:
        """Keep a valid answer; ask once more where it could be better."""
        self._ladder.worked(self.settings, asking.form)
        if asking.best is None or len(entry.flags) < len(asking.best[0].flags):
            asking.best = entry, reply.text or ""
        asking.attempts += 1
        if not wish or asking.reasks >= MAX_REASKS or asking.attempts >= self.settings.max_attempts:
            return asking.end("")
        asking.reasks += 1
        asking.correction = f"{wish} Answer in full, as asked above."
        return 0.0


def _call(asking: _Asking, reply: Reply) -> Call:
    return Call(
        attempt=len(asking.calls) + 1,
        status=reply.status,
        rung=asking.form.rung,
        http_status=reply.http_status,
        prompt_tokens=reply.prompt_tokens,
        completion_tokens=reply.completion_tokens,
        latency_s=reply.latency_s,
        answer_text=reply.text,
    )
