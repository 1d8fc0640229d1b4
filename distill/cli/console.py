"""Progress of a run: on a terminal one line that is rewritten in place, otherwise one line every ten seconds."""

import time
from typing import TextIO

from distill.training.metrics import StepMetrics

TERMINAL_INTERVAL_S, FILE_INTERVAL_S = 0.1, 10.0


def duration(seconds: float) -> str:
    """`42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Console:
    """Writes messages and progress to `out`. `progress` and `step` can be passed as callbacks."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._is_terminal = out.isatty()
        self._shown_at = -FILE_INTERVAL_S
        self._width = 0  # of the progress line on the terminal
        self._last = self._task = self._unit = ""
        self._start: tuple[float, int] = (0.0, 0)  # time and units done at the first progress of a unit

    def message(self, text: str) -> None:
        """Write a separate line above the progress line."""
        self._clear()
        print(text, file=self._out, flush=True)

    def begin(self, task: str) -> None:
        """Set the name of the task that the next progress belongs to."""
        self._task, self._unit = task, ""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Show the progress of the current task. The speed excludes what was done at the first call."""
        now = time.monotonic()
        if unit != self._unit:
            self._unit, self._start, self._shown_at = unit, (now, done), -FILE_INTERVAL_S
        elapsed_s, made = now - self._start[0], done - self._start[1]
        pace = ""
        if made > 0:
            pace = f", {made / elapsed_s:.0f} {unit}/s, {duration((total - done) * elapsed_s / made)} left"
        self._show(f"{self._task}: {done}/{total} {unit}{pace}", is_last=done == total)

    def step(self, metrics: StepMetrics) -> None:
        """Show a training step."""
        losses = " ".join(f"{name} {value:.3f}" for name, value in metrics.losses.items())
        self._show(
            f"training: epoch {metrics.epoch}/{metrics.epochs}, step {metrics.step}/{metrics.total_steps}, {losses}, "
            f"{metrics.images_per_s:.0f} images/s, waiting {metrics.data_wait:.0%}, {duration(metrics.eta_s)} left",
            is_last=metrics.step == metrics.total_steps,
        )

    def _show(self, text: str, *, is_last: bool) -> None:
        now = time.monotonic()
        interval_s = TERMINAL_INTERVAL_S if self._is_terminal else FILE_INTERVAL_S
        if text == self._last or (not is_last and now - self._shown_at < interval_s):
            return
        self._shown_at, self._last = now, text
        if not self._is_terminal or is_last:
            self.message(text)
            return
        print(f"\r{text:<{self._width}}", end="", file=self._out, flush=True)
        self._width = len(text)

    def _clear(self) -> None:
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=self._out)
            self._width = 0
