"""Throughput in units per second, over the last 30 seconds; the remaining time is computed from it."""

import time
from collections import deque

_WINDOW_S = 30.0
_MIN_INTERVAL_S = 0.2  # between two recorded counts
_MIN_SPAN_S = 0.5  # before a rate is reported


class Throughput:
    """`throughput(done)` records the number of units done so far; returns units per second, at first None."""

    def __init__(self) -> None:
        self._counts: deque[tuple[float, int]] = deque()

    def __call__(self, done: int) -> float | None:
        now = time.monotonic()
        if self._counts and done < self._counts[-1][1]:
            self._counts.clear()  # the next pass over the same units
        if not self._counts or now - self._counts[-1][0] > _MIN_INTERVAL_S:
            self._counts.append((now, done))
        while now - self._counts[0][0] > _WINDOW_S:
            self._counts.popleft()
        start, done_at_start = self._counts[0]
        return (done - done_at_start) / (now - start) if now - start > _MIN_SPAN_S else None
