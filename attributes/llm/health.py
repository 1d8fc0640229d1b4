"""Whether a server responds: one shared pause for all calls, with single probes, until it responds or a limit ends it.

`MAX_FAILURES` faults in a row (5xx, broken connections, timeouts, 429), without a response in between, are an outage:
the questions are not at fault. No call is then sent but one probe at a time, at growing intervals, or after the time
that the server asked for. The first response ends the outage. After `limit_s` the outage is final.
"""

import asyncio
import time
from collections.abc import Callable

from attributes.llm.results import FatalLLMError
from attributes.llm.transport import RawResponse
from limbeck.shared.retry import backoff_s

MAX_FAILURES = 3
FIRST_PROBE_S, MAX_PROBE_S = 1.0, 15.0
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
        self._not_before = 0.0
        self._is_probing = False
        self._last = RawResponse(status="ok")
        self._waiting: set[asyncio.Future[None]] = set()

    @property
    def is_away(self) -> bool:
        """Whether there is an outage."""
        return self._num_failures >= MAX_FAILURES

    def wait_s(self) -> float:
        """Seconds until a call may start; infinite while a probe is on its way."""
        if self.is_away and self._is_probing:
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

    def try_start(self) -> bool:
        """Whether a call may start now; during an outage it is the probe. `record` or `abandon` ends it."""
        if self.wait_s() > 0:
            return False
        self._is_probing = self.is_away
        return True

    def abandon(self) -> None:
        """The call ended without a response, because its run stopped."""
        self._is_probing = False
        self._wake()

    def record(self, raw: RawResponse, *, started_at: float) -> bool:
        """Take note of a response. Returns whether it is a fault of a server that is away, not of the question.

        `started_at`: monotonic time at which the call was sent.
        """
        now, was_away = time.monotonic(), self.is_away
        self._is_probing = False
        if raw.status not in TRANSIENT:
            if raw.http_status is not None:
                self._num_failures = 0
                if started_at > self._failed_at:  # else the call was on its way when the server asked to wait
                    self._not_before = 0.0
                self.last_success_at = time.time()
            self._wake()
            return False
        if not self._num_failures:
            self._failing_since = started_at
        self._num_failures += 1
        self._last, self._failed_at = raw, now
        if raw.retry_after_s is not None:
            self._not_before = max(self._not_before, now + raw.retry_after_s)
        elif self.is_away or raw.status == "rate_limited":
            count = self._num_failures if raw.status == "rate_limited" else self._num_failures - MAX_FAILURES + 1
            self._not_before = max(self._not_before, now + backoff_s(count, first_s=FIRST_PROBE_S, max_s=MAX_PROBE_S))
        if self.is_away and not was_away and self.on_outage is not None:
            self.on_outage(f"{self._name} does not respond ({raw.detail}); waiting for it")
        self._wake()
        return self.is_away

    def _raise_if_final(self, wait_s: float) -> None:
        """Raises ServerUnavailable if the outage is final, or will be when the server's own wait has passed."""
        now = time.monotonic()
        asked_s = max(0.0, self._not_before - now) if self._last.retry_after_s is not None else 0.0
        lasted_s = now - self._failing_since if self._num_failures else 0.0
        is_limited = self._last.status == "rate_limited"
        if asked_s > self._limit_s:
            code, message = "llm_rate_limited", f"{self._name} asks to wait {duration(asked_s)} ({self._last.detail})"
        elif self.is_away and lasted_s >= self._limit_s and not (self._is_probing and wait_s == float("inf")):
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
