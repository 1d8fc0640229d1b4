"""Many questions at once: a fixed number of tasks, each result reported when it ends, an orderly stop."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from attributes.llm.health import ServerUnavailable
from attributes.llm.results import BUDGET_SPENT, FatalLLMError, QuestionResult
from attributes.prompts.questions import Question

_BILLED = frozenset({"ok", "empty_answer", "invalid_answer", "truncated_answer", "answer_too_long", "wrong_label"})
POLL_S = 0.2  # how often `should_stop` is called
PROBE_S = 10.0  # how long the first question runs alone while the server's response format is unknown
STOP_GRACE_S = 10.0  # how long calls in flight may still return paid responses after a stop

OnResult = Callable[[QuestionResult], Awaitable[None] | None]


class RunStopped(Exception):
    """The run stopped during an interruptible wait."""


class RunStop:
    """Set once, to end a run. Calls in flight continue; interruptible waits raise RunStopped.

    `error`: the fault that ended the run, if it was one of the LLM server.
    """

    def __init__(self) -> None:
        self.error: FatalLLMError | None = None
        self._event = asyncio.Event()
        self._waiting: set[asyncio.Task[object]] = set()
        self._interrupted: set[asyncio.Task[object]] = set()

    def is_set(self) -> bool:
        return self._event.is_set()

    def set(self) -> None:
        self._event.set()
        self._interrupted |= self._waiting
        for task in self._waiting:
            task.cancel()

    def fail(self, error: FatalLLMError) -> None:
        """End the run because of `error`, unless it has ended already. Call this as soon as the fault is known: each
        await in between lets further calls start."""
        if not self.is_set():
            self.error = error
            self.set()

    async def wait(self) -> None:
        await self._event.wait()

    @contextmanager
    def interruptible_wait(self) -> Iterator[None]:
        """A block whose waits raise RunStopped as soon as the signal is set."""
        if self.is_set():
            raise RunStopped
        task = asyncio.current_task()
        assert task is not None
        self._waiting.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if task not in self._interrupted:
                raise
            self._interrupted.discard(task)
            task.uncancel()
            raise RunStopped from None
        finally:
            self._waiting.discard(task)


QueryOne = Callable[[Question, RunStop], Awaitable[QuestionResult]]


@dataclass
class QueryTotals:
    """Totals of a list of questions. `stopped`: some questions are still open, because `should_stop` returned True
    (`asked`) or the budget was spent. `uncounted_calls`: responses whose tokens the server did not state."""

    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    uncounted_calls: int = 0
    stopped: Literal["", "asked", "budget_spent"] = ""

    def add(self, result: QuestionResult) -> None:
        """Count one result; tokens that the server did not report count as 0."""
        self.calls += len(result.calls)
        self.prompt_tokens += sum(call.prompt_tokens or 0 for call in result.calls)
        self.completion_tokens += sum(call.completion_tokens or 0 for call in result.calls)
        self.cached_tokens += sum(call.cached_tokens or 0 for call in result.calls)
        self.uncounted_calls += sum(call.status in _BILLED and call.completion_tokens is None for call in result.calls)
        if result.reason is None:
            self.done += 1
        elif result.reason != "stopped":
            self.failed[result.reason] += 1


async def query_many(
    query: QueryOne,
    questions: Iterable[Question] | AsyncIterable[Question],
    *,
    concurrency: int,
    probe_first: bool,
    on_result: OnResult | None,
    should_stop: Callable[[], bool],
) -> QueryTotals:
    """Run `query` for all questions; see `LLMClient.query_all`. `query` returns early once its signal is set.

    `probe_first` runs one question alone first, to find a response format that the server understands, or that the
    server refuses everything.
    """
    return await _QueryRun(query, _QuestionSource(questions), on_result, should_stop).run(concurrency, probe_first)


class _QuestionSource:
    """Hands out one question at a time to several tasks."""

    def __init__(self, questions: Iterable[Question] | AsyncIterable[Question]) -> None:
        self._plain = iter(questions) if isinstance(questions, Iterable) else None
        self._async = None if isinstance(questions, Iterable) else aiter(questions)
        self._lock = asyncio.Lock()

    async def next(self) -> Question | None:
        """The next question; None after the last."""
        if self._plain is not None:
            return next(self._plain, None)
        assert self._async is not None
        async with self._lock:
            return await anext(self._async, None)


class _QueryRun:
    """One run over a list of questions: its tasks, and how they all stop."""

    def __init__(
        self, query: QueryOne, source: _QuestionSource, on_result: OnResult | None, should_stop: Callable[[], bool]
    ) -> None:
        self._query = query
        self._source = source
        self._on_result = on_result
        self._should_stop = should_stop
        self._stop = RunStop()
        self._totals = QueryTotals()

    async def run(self, concurrency: int, probe_first: bool) -> QueryTotals:
        watcher = asyncio.create_task(self._watch())
        workers: set[asyncio.Task[None]] = set()
        try:
            if probe_first:
                workers.add(asyncio.create_task(self._work(max_questions=1)))
                await asyncio.wait({*workers, watcher}, timeout=PROBE_S, return_when=asyncio.FIRST_COMPLETED)
            if not any(task.done() and task.exception() for task in workers):
                workers |= {asyncio.create_task(self._work()) for _ in range(concurrency)}
            await self._wait_for(workers, watcher)
        finally:
            for task in (watcher, *workers):
                task.cancel()
            await asyncio.gather(watcher, *workers, return_exceptions=True)
        for task in (watcher, *workers):
            if not task.cancelled():
                task.result()
        return self._totals

    async def _wait_for(self, workers: set[asyncio.Task[None]], watcher: asyncio.Task[None]) -> None:
        """Wait for the workers. Once one fails or the run stops, cancel the others after `STOP_GRACE_S`.

        If only the budget is spent or the server accepts no more calls, calls in flight end within their own time limit
        instead, because they are paid for.
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
        is_patient = self._totals.stopped == BUDGET_SPENT or isinstance(self._stop.error, ServerUnavailable)
        while pending and is_patient and not watcher.done():
            done, _ = await asyncio.wait({*pending, watcher}, return_when=asyncio.FIRST_COMPLETED)
            pending = pending - done
        if pending:
            _, pending = await asyncio.wait(pending, timeout=STOP_GRACE_S)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)

    async def _watch(self) -> None:
        """Poll `should_stop`."""
        try:
            while not self._should_stop():
                await asyncio.sleep(POLL_S)
        except Exception:
            self._stop.set()
            raise
        self._end("asked")

    def _end(self, why: Literal["asked", "budget_spent"]) -> None:
        if not self._stop.is_set():
            self._totals.stopped = why
            self._stop.set()

    async def _work(self, max_questions: int | None = None) -> None:
        """Send one question after another, at most `max_questions` (None: all)."""
        while max_questions is None or max_questions > 0:
            max_questions = None if max_questions is None else max_questions - 1
            try:
                with self._stop.interruptible_wait():
                    question = await self._source.next()
            except RunStopped:
                return
            if question is None:
                return
            await self._query_and_report(question)

    async def _query_and_report(self, question: Question) -> None:
        try:
            result = await self._query(question, self._stop)
        except FatalLLMError as error:
            self._stop.fail(error)  # before the report, which may take a while: no further call starts meanwhile
            stopped = QuestionResult(
                question=question, key="", reason="stopped", detail=error.message, calls=error.calls
            )
            await self._report(stopped)  # so that its calls are recorded as usage
            raise
        if result.reason == "stopped" and result.detail == BUDGET_SPENT:
            self._end("budget_spent")
        if result.calls:
            await self._report(result)

    async def _report(self, result: QuestionResult) -> None:
        self._totals.add(result)
        if self._on_result is not None and (awaitable := self._on_result(result)) is not None:
            await awaitable
