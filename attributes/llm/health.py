"""Whether a server responds: one shared pause for all calls, with single probes, until it responds or a limit ends it.

`MAX_FAILURES` faults in a row (5xx, broken connections, timeouts, 429), without a response in between, are an outage:
the questions are not at fault. No call is then sent but one probe at a time, at growing intervals, or after the time
that the server asked for. The first response ends the outage. After `limit_s` the outage is final.

A `source` sends its calls one after the other: it is a question, or a test with another request in its place.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from attributes.llm.results import FatalLLMError
from attributes.llm.transport import RawResponse
from limbeck.shared.retry import backoff_s

MAX_FAILURES = 3
FIRST_PROBE_S, MAX_PROBE_S = 1.0, 15.0
MIN_PROBES = 2  # an outage is not final before: the faults that began it may all be of one question that times out
MIN_RECOVERIES, RECENT_RESPONSES = 2, 30
MAX_FAULTY = 4_096
TRANSIENT = frozenset({"server_error", "connection", "timeout", "rate_limited"})


class ServerUnavailable(FatalLLMError):
    """The server did not respond for too long. `since`: the wall-clock time at which the outage began."""

    def __init__(self, code: str, message: str, *, since: float, retry_in_s: float = 0.0) -> None:
        super().__init__(code, message)
        self.since, self.retry_in_s = since, retry_in_s


class ServerHealth:
    """The state of one server. Belongs to one event loop at a time.

    `limit_s`: how long an outage may last. `on_outage` is called with a message when an outage begins.
    """

    def __init__(self, name: str, limit_s: float) -> None:
        self._name, self._limit_s = name, limit_s
        self.on_outage: Callable[[str], None] | None = None
        self.last_success_at: float | None = None  # wall-clock time
        self._num_failures = 0  # in a row
        self._failing_since = 0.0  # monotonic time of the first of them
        self._failed_at = 0.0  # monotonic time of the last one
        self._away_since = 0.0  # monotonic time at which they became an outage
        self._num_probes = 0  # that failed in this outage
        self._asked_until = 0.0  # until when the server asked to wait
        self._not_before = 0.0
        self._probe: str | None = None  # the source of the probe that is on its way
        self._last = RawResponse(status="ok")
        self._waiting: set[asyncio.Future[None]] = set()
        self._failing: set[str] = set()  # sources of the faults in a row
        self._faulty: set[str] = set()  # sources that had a fault and no response since
        self._num_responses = 0
        self._recoveries: deque[int] = deque(maxlen=MIN_RECOVERIES)  # number of the response that came after a fault

    @property
    def is_away(self) -> bool:
        """Whether there is an outage."""
        return self._num_failures >= MAX_FAILURES

    @property
    def is_unreliable(self) -> bool:
        """Whether the server now and then fails questions that it answers a moment later."""
        recent = self._num_responses - RECENT_RESPONSES
        return len(self._recoveries) == MIN_RECOVERIES and self._recoveries[0] > recent

    def is_only_of(self, source: str) -> bool:
        """Whether all faults of the outage are of one source, so that it may be at fault instead of the server."""
        return self.is_away and self._failing == {source}

    def expect_outage_of(self, earlier: "ServerHealth") -> None:
        """Start with a probe if the outage that `earlier` saw has not ended; its duration does not count."""
        self.last_success_at = earlier.last_success_at
        if earlier.is_away:
            self._num_failures, self._last = MAX_FAILURES, replace(earlier._last, retry_after_s=None)
            self._failing_since = self._away_since = time.monotonic()

    def wait_s(self) -> float:
        """Seconds until a call may start; infinite while a probe is on its way."""
        if self.is_away and self._probe is not None:
            return float("inf")
        return max(0.0, self._not_before - time.monotonic())

    async def wait(self) -> None:
        """Wait until a call may start. Raises ServerUnavailable when the outage is longer than the limit."""
        while (wait_s := self.wait_s()) > 0:
            self._raise_if_final(wait_s)
            waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiting.add(waiting)
            try:
                async with asyncio.timeout(None if wait_s == float("inf") else wait_s):
                    await waiting
            except TimeoutError:
                pass
            finally:
                self._waiting.discard(waiting)
        self._raise_if_final(0.0)

    def try_start(self, source: str) -> bool:
        """Whether the source may send a call now; during an outage it is the probe until `record` or `abandon`.

        It can be called again while the call waits for something else.
        """
        if self._probe == source and self.is_away:
            return True
        if self.wait_s() > 0:
            return False
        if self.is_away:
            self._probe = source
        return True

    def abandon(self, source: str) -> None:
        """The call of the source is over; without a response if there was no `record`."""
        if self._probe == source:
            self._probe = None
            self._wake()

    def record(self, raw: RawResponse, *, started_at: float, source: str) -> bool:
        """Take note of a response. Returns whether it is a fault of a server that is away, not of the question.

        `started_at`: monotonic time at which the call was sent.
        """
        if self._probe == source:
            self._probe = None
        self._num_responses += 1
        if raw.status in TRANSIENT:
            self._record_fault(raw, started_at, source)
        elif raw.http_status is not None:
            self._record_response(started_at, source)
        self._wake()
        return raw.status in TRANSIENT and self.is_away

    def _record_response(self, started_at: float, source: str) -> None:
        self.last_success_at = time.time()
        self._num_failures = self._num_probes = 0
        self._failing.clear()
        if started_at > self._failed_at:  # else the call was on its way when the server asked to wait
            self._not_before = self._asked_until = 0.0
        if source in self._faulty:
            self._faulty.discard(source)
            self._recoveries.append(self._num_responses)

    def _record_fault(self, raw: RawResponse, started_at: float, source: str) -> None:
        now, was_away = time.monotonic(), self.is_away
        if not self._num_failures:
            self._failing_since = started_at
        self._num_failures += 1
        self._failing.add(source)
        if len(self._faulty) >= MAX_FAULTY:  # questions that failed for good stay in it
            self._faulty.clear()
        self._faulty.add(source)
        self._last, self._failed_at = raw, now
        if was_away:
            self._num_probes += started_at >= self._away_since  # else the call was on its way when the outage began
        elif self.is_away:
            self._away_since = now
            if self.on_outage is not None:
                what = "limits its calls" if raw.status == "rate_limited" else "does not respond"
                self.on_outage(f"{self._name} {what} ({raw.detail}); waiting for it")
        self._pause(raw, now)

    def _pause(self, raw: RawResponse, now: float) -> None:
        """Wait as long as the server asks to; a wait that did not help before is not shorter than our own."""
        if raw.retry_after_s is not None:
            self._asked_until = max(self._asked_until, now + raw.retry_after_s)
        own_s = 0.0
        if (self.is_away or raw.status == "rate_limited") and (raw.retry_after_s is None or self._num_probes):
            count = self._num_probes + 1 if self.is_away else self._num_failures
            own_s = backoff_s(count, first_s=FIRST_PROBE_S, max_s=MAX_PROBE_S)
        self._not_before = max(self._not_before, now + own_s, self._asked_until)

    def _raise_if_final(self, wait_s: float) -> None:
        """Raises ServerUnavailable if the outage is final, or will be when the server's own wait has passed."""
        now = time.monotonic()
        asked_s = max(0.0, self._asked_until - now)
        is_tried = self._num_probes >= MIN_PROBES and not (self._probe is not None and wait_s == float("inf"))
        lasted_s = now - self._failing_since if self._num_failures else 0.0
        is_limited = self._last.status == "rate_limited"
        if asked_s > self._limit_s:
            code, message = "llm_rate_limited", f"{self._name} asks to wait {duration(asked_s)} ({self._last.detail})"
        elif self.is_away and lasted_s >= self._limit_s and is_tried:
            what = "has accepted no call" if is_limited else "has not responded"
            code = "llm_rate_limited" if is_limited else "llm_unavailable"
            message = f"{self._name} {what} for {duration(lasted_s)} ({self._last.detail})"
        else:
            return
        since = time.time() - lasted_s
        raise ServerUnavailable(code, message, since=since, retry_in_s=max(asked_s, FIRST_PROBE_S))

    def _wake(self) -> None:
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)


def duration(seconds: float) -> str:
    """A duration for people: `45 s`, `12 min`, `3.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
