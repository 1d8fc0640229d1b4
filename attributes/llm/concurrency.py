"""Many questions at once: drawn by as many tasks as may be in flight, reported as each ends, stopped in order."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from attributes.llm.results import BUDGET_SPENT, FatalLLMError, QuestionResult
from attributes.prompts.questions import Question

POLL_S = 0.2  # how often `should_stop` is asked
PROBE_S = 10.0  # how long the first question goes ahead alone where the server's ways are not known
STOP_GRACE_S = 10.0  # how long calls in flight may still bring what is paid for

OnOutcome = Callable[[QuestionResult], Awaitable[None] | None]


class CutShort(Exception):
    """The run stopped while something was only waited for."""


class Stop:
    """Set once, by whatever ends a run. Calls in flight go on; waits that are marked so are cut short."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._waiting: set[asyncio.Task[Any]] = set()
        self._cut: set[asyncio.Task[Any]] = set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()
        self._cut |= self._waiting
        for task in self._waiting:
            task.cancel()

    async def wait(self) -> None:
        await self._event.wait()

    @contextmanager
    def cuts_short(self) -> Iterator[None]:
        """A wait that ends with CutShort once the run stops."""
        if self.is_set():
            raise CutShort
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._cut:
                raise
            self._cut.discard(task)
            task.uncancel()
            raise CutShort from None
        finally:
            self._waiting.discard(task)


Answer = Callable[[Question, Stop], Awaitable[QuestionResult]]


@dataclass
class Tally:
    """What became of a list of questions. `stopped`: some have still to be asked, because `should_stop` said so
    (`asked`) or the budget was spent."""

    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    stopped: Literal["", "asked", "budget_spent"] = ""

    def add(self, outcome: QuestionResult) -> None:
        """Count one outcome; tokens that a server did not state count as none."""
        self.calls += len(outcome.calls)
        self.prompt_tokens += sum(call.prompt_tokens or 0 for call in outcome.calls)
        self.completion_tokens += sum(call.completion_tokens or 0 for call in outcome.calls)
        self.cached_tokens += sum(call.cached_tokens or 0 for call in outcome.calls)
        if outcome.reason is None:
            self.done += 1
        elif outcome.reason != "stopped":
            self.failed[outcome.reason] += 1


async def ask_many(
    answer: Answer,
    asks: Iterable[Question] | AsyncIterable[Question],
    *,
    concurrency: int,
    first_alone: bool,
    on_outcome: OnOutcome | None,
    should_stop: Callable[[], bool],
) -> Tally:
    """`LLMClient.ask_all` says what this does; `answer` ends early, with what it has, once its `Stop` is set.

    `first_alone` lets one question find out what the server understands, or that it refuses everything, before the
    rest.
    """
    return await _Run(answer, _Source(asks), on_outcome, should_stop).through(concurrency, first_alone)


class _Source:
    """Gives one ask at a time to whichever task comes."""

    def __init__(self, asks: Iterable[Question] | AsyncIterable[Question]) -> None:
        self._plain = iter(asks) if isinstance(asks, Iterable) else None
        self._async = None if isinstance(asks, Iterable) else aiter(asks)
        self._turn = asyncio.Lock()

    async def next(self) -> Question | None:
        """The next ask; None after the last."""
        if self._plain is not None:
            return next(self._plain, None)
        assert self._async is not None
        async with self._turn:
            return await anext(self._async, None)


class _Run:
    """One list of questions on its way, and how all its tasks stop."""

    def __init__(
        self, answer: Answer, source: _Source, on_outcome: OnOutcome | None, should_stop: Callable[[], bool]
    ) -> None:
        self._answer = answer
        self._source = source
        self._on_outcome = on_outcome
        self._should_stop = should_stop
        self._stop = Stop()
        self._tally = Tally()

    async def through(self, concurrency: int, first_alone: bool) -> Tally:
        watcher = asyncio.create_task(self._watch())
        workers: set[asyncio.Task[None]] = set()
        try:
            if first_alone:
                workers.add(asyncio.create_task(self._work(most=1)))
                await asyncio.wait(workers, timeout=PROBE_S)
            if not any(task.done() and task.exception() for task in workers):
                workers |= {asyncio.create_task(self._work()) for _ in range(concurrency)}
            await self._all(workers, watcher)
        finally:
            for task in (watcher, *workers):
                task.cancel()
            await asyncio.gather(watcher, *workers, return_exceptions=True)
        for task in (watcher, *workers):
            if not task.cancelled():
                task.result()
        return self._tally

    async def _all(self, workers: set[asyncio.Task[None]], watcher: asyncio.Task[None]) -> None:
        """Wait for the workers; once one fails or it is time to stop, give the others `STOP_GRACE_S`.

        Where only the budget is spent there is no hurry: what is in flight ends within its own time limit.
        """
        pending = workers
        stopping = asyncio.create_task(self._stop.wait())
        try:
            while pending and not self._stop.is_set():
                done, _ = await asyncio.wait({*pending, stopping}, return_when=asyncio.FIRST_COMPLETED)
                if any(task.exception() for task in done):
                    self._stop.set()
                pending = pending - done
        finally:
            stopping.cancel()
        while pending and self._tally.stopped == BUDGET_SPENT and not watcher.done():
            done, _ = await asyncio.wait({*pending, watcher}, return_when=asyncio.FIRST_COMPLETED)
            pending = pending - done
        if pending:
            _, pending = await asyncio.wait(pending, timeout=STOP_GRACE_S)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)

    async def _watch(self) -> None:
        try:
            while not self._should_stop():
                await asyncio.sleep(POLL_S)
        except Exception:
            self._stop.set()
            raise
        self._end("asked")

    def _end(self, why: Literal["asked", "budget_spent"]) -> None:
        if not self._stop.is_set():
            self._tally.stopped = why
            self._stop.set()

    async def _work(self, most: int | None = None) -> None:
        while most is None or most > 0:
            most = None if most is None else most - 1
            try:
                with self._stop.cuts_short():
                    ask = await self._source.next()
            except CutShort:
                return
            if ask is None:
                return
            await self._one(ask)

    async def _one(self, ask: Question) -> None:
        try:
            outcome = await self._answer(ask, self._stop)
        except FatalLLMError as error:
            self._stop.set()  # before its report, which may take a while: no call more meanwhile
            stopped = QuestionResult(ask=ask, key="", reason="stopped", detail=error.message, calls=error.calls)
            await self._report(stopped)  # its calls belong in the ledger too
            raise
        if outcome.reason == "stopped" and outcome.detail == BUDGET_SPENT:
            self._end("budget_spent")
        if outcome.calls:
            await self._report(outcome)

    async def _report(self, outcome: QuestionResult) -> None:
        self._tally.add(outcome)
        if self._on_outcome is not None and (waiting := self._on_outcome(outcome)) is not None:
            await waiting
