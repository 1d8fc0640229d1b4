"""The watchdog of a GPU child: decides, from the rows of its part, when the parent has to end the process.

The child renews its lease in a thread, which lives on while its main thread hangs. Therefore a renewed lease is no sign
of life here: only progress, a new phase or a saved training state is. `Watchdog.look` is called about twice a second
and does no input or output, so that it can be tested without processes.
"""

from dataclasses import dataclass
from typing import Literal

from store.jobs.claims import STOPPED_FOR_GOOD
from store.jobs.running import WatchedPart

Reason = Literal["stopping", "pausing", "time_limit", "stalled", "without_part"]
CANCEL_GRACE_S = 1.0
"""How long a process has to end by itself after SIGTERM when its job is cancelled: a cancel acts within two seconds."""
GRACE_S = 2.0
_PAUSE_S = 120.0  # to save its state and exit
_OVERTIME_S = 60.0  # the child notices the time limit itself, and then saves its state
_WITHOUT_PART_S = 15.0  # it lost its lease, or cannot exit
_START_S = 120.0


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """The process has to be ended for `reason`, with SIGKILL `grace_s` after SIGTERM; None: without SIGTERM."""

    reason: Reason
    grace_s: float | None = GRACE_S


class Watchdog:
    """What is known about one child process. Times are in seconds of one clock that never goes back."""

    def __init__(self, now_s: float, *, stall_limit_s: float, part_limit_s: float) -> None:
        self._stall_limit_s, self._part_limit_s = stall_limit_s, part_limit_s
        self._token: str | None = None
        self._mark: tuple[object, ...] | None = None
        self._progressed_at = self._claimed_at = now_s
        self._without_part_since: float | None = now_s
        self._pausing_since: float | None = None

    def look(self, part: WatchedPart | None, now_s: float) -> Verdict | None:
        """Look at the part that the process holds; None if it holds none. Returns a verdict if it has to be ended."""
        if part is None:
            return self._look_without_part(now_s)
        self._without_part_since = None
        if part.token != self._token:
            self._token, self._claimed_at = part.token, now_s
        if (part.token, *part.mark) != self._mark:
            self._mark, self._progressed_at = (part.token, *part.mark), now_s
        if part.stopping in STOPPED_FOR_GOOD:
            return Verdict(reason="stopping", grace_s=CANCEL_GRACE_S)
        if part.stopping is None:
            self._pausing_since = None
        elif self._pausing_since is None:
            self._pausing_since = now_s
        elif now_s - self._pausing_since > _PAUSE_S:
            return Verdict(reason="pausing")
        if now_s - self._claimed_at > self._part_limit_s + _OVERTIME_S:
            return Verdict(reason="time_limit")
        if now_s - self._progressed_at > self._stall_limit_s:
            # After SIGTERM, a process that wakes up would release its part, and the attempt would not count.
            return Verdict(reason="stalled", grace_s=None)
        return None

    def could_not_look(self, now_s: float) -> None:
        """The database did not respond: the process could not report progress either."""
        self._progressed_at = now_s
        if self._without_part_since is not None:
            self._without_part_since = now_s

    def _look_without_part(self, now_s: float) -> Verdict | None:
        if self._without_part_since is None:
            self._without_part_since = now_s
        limit_s = _START_S if self._token is None else _WITHOUT_PART_S
        return Verdict(reason="without_part") if now_s - self._without_part_since > limit_s else None
