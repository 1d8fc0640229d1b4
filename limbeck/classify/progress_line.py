"""Progress of many images or texts on stderr: number, rate and remaining time.

On a terminal one line is redrawn from the second second on; elsewhere there is a plain line every 30 s.
"""

import sys
import time
from collections.abc import Callable
from typing import TextIO

FIRST_S = 1.0
REDRAW_S = 0.2
PLAIN_LINE_S = 30.0


class ProgressLine:
    """The progress of `total` items; `unit` is their plural."""

    def __init__(
        self, total: int, unit: str, out: TextIO | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total, self._unit, self._out, self._clock = total, unit, out or sys.stderr, clock
        self._is_terminal = self._out.isatty()
        self._started = clock()
        self._next = self._started + (FIRST_S if self._is_terminal else PLAIN_LINE_S)
        self._is_drawn = False

    def update(self, done: int) -> None:
        """`done` items are done. Prints if it is time."""
        now = self._clock()
        if now < self._next or done >= self._total:
            return
        line = self._line(done, done / (now - self._started))
        if self._is_terminal:
            self._out.write(f"\r{line}\x1b[K")
            self._is_drawn = True
        else:
            self._out.write(f"limbeck: {line}\n")
        self._out.flush()
        self._next = now + (REDRAW_S if self._is_terminal else PLAIN_LINE_S)

    def clear(self) -> None:
        """Remove the line from a terminal, before something else is printed."""
        if self._is_drawn:
            self._out.write("\r\x1b[K")
            self._out.flush()
            self._is_drawn = False

    def _line(self, done: int, rate: float) -> str:
        from limbeck.job_texts import duration_text, rate_text  # imports pydantic, which a short run does not need

        line = f"{done:,} of {self._total:,} {self._unit}"
        return f"{line}, {rate_text(rate)}/s, {duration_text((self._total - done) / rate)} left" if rate else line
