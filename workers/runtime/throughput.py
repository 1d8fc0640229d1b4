"""Units per second over the last half minute: what a remaining time is computed from."""

import time
from collections import deque

_WINDOW_S = 30.0


class Rate:
    """`rate(done)` notes how many units are done now; None until it can tell."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def __call__(self, done: int) -> float | None:
        now = time.monotonic()
        if not self._seen or now - self._seen[-1][0] > 0.2:
            self._seen.append((now, done))
        while now - self._seen[0][0] > _WINDOW_S:
            self._seen.popleft()
        began, before = self._seen[0]
        return (done - before) / (now - began) if now - began > 0.5 else None
