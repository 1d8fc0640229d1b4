"""One poller for all event streams of a process: it asks once per pause for all watched jobs.

The poller runs while there are streams. It reads the new events of a job once, and keeps the most recent ones for the
job's streams; a stream that is further behind reads from the database itself.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeVar

import anyio.to_thread

from api.logs import logger

POLL_S = 0.4
_RECENT = 500

EventT = TypeVar("EventT")


class JobState(NamedTuple, Generic[EventT]):
    """The events of a job after those that were asked for, the number of its events, and whether it has finished."""

    events: list[EventT]
    num_events: int
    finished: bool


ReadStates = Callable[[Mapping[str, int]], Mapping[str, JobState[EventT]]]
"""Job id -> number of known events, to the state of each job; called in a thread."""


@dataclass(eq=False)
class WatchedJob(Generic[EventT]):
    """A job that has streams. `first` is the number of the event before `recent`."""

    first: int = 0
    recent: deque[EventT] = field(default_factory=lambda: deque(maxlen=_RECENT))
    num_events: int = 0
    finished: bool = False
    num_watchers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    def after(self, last: int) -> list[EventT] | None:
        """The events after number `last` that are kept; None if the next one is no longer."""
        if last < self.first:
            return None
        return list(self.recent)[last - self.first :]

    def update(self, state: JobState[EventT]) -> None:
        """Add the events of a poll, and wake the streams if anything is new."""
        if state.num_events == self.num_events and state.finished == self.finished:
            return
        self.recent.extend(state.events)
        self.num_events += len(state.events)
        self.first = self.num_events - len(self.recent)
        self.finished = state.finished and self.num_events >= state.num_events
        self._wake()

    def end(self) -> None:
        """End the streams before the job has finished: their clients connect again."""
        self.ended = True
        self._wake()

    def _wake(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class JobWatch(Generic[EventT]):
    """The jobs that have streams in this process."""

    def __init__(self, read_states: ReadStates[EventT]) -> None:
        self._read_states = read_states
        self._jobs: dict[str, WatchedJob[EventT]] = {}
        self._poller: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def watch(self, job_id: str, num_events: int) -> AsyncIterator[WatchedJob[EventT]]:
        """The job while this stream watches it. `num_events`: those that the first of its streams knows of."""
        job = self._jobs.setdefault(job_id, WatchedJob(first=num_events, num_events=num_events))
        job.num_watchers += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            yield job
        finally:
            job.num_watchers -= 1
            if not job.num_watchers and self._jobs.get(job_id) is job:
                del self._jobs[job_id]

    async def _poll(self) -> None:
        while self._jobs:
            known = {job_id: job.num_events for job_id, job in self._jobs.items()}
            try:
                states = await anyio.to_thread.run_sync(self._read_states, known)
            except Exception as error:
                logger().error("events_not_read", num_jobs=len(known), exc_info=error)
                jobs, self._jobs = self._jobs, {}
                for watched in jobs.values():
                    watched.end()
                return
            for job_id in known:
                job = self._jobs.get(job_id)
                if job is not None and job_id in states:
                    job.update(states[job_id])
                elif job is not None:  # the job was deleted
                    job.end()
            await asyncio.sleep(POLL_S)
