"""Many labels at once: drawn by as many tasks as may be in flight, reported as each ends, stopped in order."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass, field

from attributes.calls import FatalLLMError, Outcome
from attributes.types import Label

POLL_S = 0.2  # how often `should_stop` is asked
PROBE_S = 10.0  # how long the first label goes ahead alone where the server's ways are not known
STOP_GRACE_S = 10.0  # how long calls in flight may still bring what is paid for

Describe = Callable[[Label, asyncio.Event], Awaitable[Outcome]]
OnOutcome = Callable[[Outcome], Awaitable[None] | None]


@dataclass
class Tally:
    """What became of a list of labels. `stopped`: `should_stop` ended it, and some labels have still to be asked."""

    done: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    stopped: bool = False

    def add(self, outcome: Outcome) -> None:
        """Count one outcome; tokens that a server did not state count as none."""
        self.calls += len(outcome.calls)
        self.prompt_tokens += sum(call.prompt_tokens or 0 for call in outcome.calls)
        self.completion_tokens += sum(call.completion_tokens or 0 for call in outcome.calls)
        if outcome.entry is not None:
            self.done += 1
        elif outcome.reason != "stopped":
            self.failed[outcome.reason or ""] += 1


async def describe_many(
    describe: Describe,
    labels: Iterable[Label],
    *,
    concurrency: int,
    first_alone: bool,
    on_outcome: OnOutcome | None,
    should_stop: Callable[[], bool],
) -> Tally:
    """`Enricher.describe_all` says what this does; `describe` ends early, with what it has, once its event is set.

    `first_alone` lets one label find out what the server understands, or that it refuses everything, before the rest.
    """
    return await _Run(describe, iter(labels), on_outcome, should_stop).through(concurrency, first_alone)


class _Run:
    """One list of labels on its way, and how all its tasks stop."""

    def __init__(
        self,
        describe: Describe,
        labels: Iterator[Label],
        on_outcome: OnOutcome | None,
        should_stop: Callable[[], bool],
    ) -> None:
        self._describe = describe
        self._labels = labels
        self._on_outcome = on_outcome
        self._should_stop = should_stop
        self._stop = asyncio.Event()
        self._tally = Tally()

    async def through(self, concurrency: int, first_alone: bool) -> Tally:
        watcher = asyncio.create_task(self._watch())
        workers: set[asyncio.Task[None]] = set()
        try:
            if first_alone and (first := next(self._labels, None)) is not None:
                workers.add(asyncio.create_task(self._one(first)))
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
        """Wait for the workers; once one fails or it is time to stop, give the others `STOP_GRACE_S`."""
        pending = workers
        while pending and not self._stop.is_set():
            done, _ = await asyncio.wait({*pending, watcher}, return_when=asyncio.FIRST_COMPLETED)
            if any(task.exception() for task in done):
                self._stop.set()
            pending = pending - done
        if pending:
            _, pending = await asyncio.wait(pending, timeout=STOP_GRACE_S)
        for task in pending:
            task.cancel()
        if pending:
            await asyncio.wait(pending)

    async def _watch(self) -> None:
        while not self._should_stop():
            await asyncio.sleep(POLL_S)
        self._tally.stopped = True
        self._stop.set()

    async def _work(self) -> None:
        for label in self._labels:
            if self._stop.is_set():
                return
            await self._one(label)

    async def _one(self, label: Label) -> None:
        try:
            outcome = await self._describe(label, self._stop)
        except FatalLLMError as error:
            stopped = Outcome(
                label=label, key="", entry=None, reason="stopped", detail=error.message, calls=error.calls
            )
            await self._report(stopped)  # its calls belong in the ledger too
            raise
        if outcome.calls:
            await self._report(outcome)

    async def _report(self, outcome: Outcome) -> None:
        self._tally.add(outcome)
        if self._on_outcome is not None and (waiting := self._on_outcome(outcome)) is not None:
            await waiting
