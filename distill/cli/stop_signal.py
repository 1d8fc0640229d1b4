"""Stop requests by SIGINT or SIGTERM. Imports no torch."""

import signal
from types import FrameType

from distill.training.process_environment import STOP_SIGNALS, unblock_stop_signals


class StopSignal:
    """Callable that returns true once the process has received SIGINT or SIGTERM.

    The first signal only requests the stop and restores the previous handlers, so that a second one ends the process.
    """

    def __init__(self) -> None:
        self._requested = False
        self._previous = {number: signal.signal(number, self._handle) for number in STOP_SIGNALS}
        unblock_stop_signals()

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        self.restore()

    def restore(self) -> None:
        """Put the previous signal handlers back."""
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def __call__(self) -> bool:
        return self._requested
