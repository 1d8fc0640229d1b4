"""A live line on a terminal: how far, how fast, how long still; a line every ten seconds where it is no terminal."""

import time
from typing import TextIO

from distill.training.loop import StepMetrics

TERMINAL_EVERY_S, FILE_EVERY_S = 0.1, 10.0


def duration(seconds: float) -> str:
    """`42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


class Console:
    """Writes to `out`; `progress` and `step` are made to be given as callbacks."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._shown_at = -FILE_EVERY_S
        self._width = 0
        self._last = self._what = self._unit = ""
        self._began: tuple[float, int] = (0.0, 0)

    def say(self, text: str) -> None:
        """Print a line of its own, above the live one."""
        self._clear()
        print(text, file=self._out, flush=True)

    def begin(self, what: str) -> None:
        """Name the work that the next progress is of."""
        self._what, self._unit = what, ""

    def progress(self, done: int, total: int, unit: str) -> None:
        """Show how far the work named by `begin` is; what was there at the first call is not counted as speed."""
        now = time.monotonic()
        if unit != self._unit:
            self._unit, self._began, self._shown_at = unit, (now, done), -FILE_EVERY_S
        took_s, made = now - self._began[0], done - self._began[1]
        pace = f", {made / took_s:.0f} {unit}/s, {duration((total - done) * took_s / made)} left" if made > 0 else ""
        self._show(f"{self._what}: {done}/{total} {unit}{pace}", last=done == total)

    def step(self, metrics: StepMetrics) -> None:
        """Show a training step."""
        terms = " ".join(f"{name} {value:.3f}" for name, value in metrics.losses.items())
        self._show(
            f"training: epoch {metrics.epoch}/{metrics.epochs}, step {metrics.step}/{metrics.total_steps}, {terms}, "
            f"{metrics.images_per_s:.0f} images/s, waiting {metrics.data_wait:.0%}, {duration(metrics.eta_s)} left",
            last=metrics.step == metrics.total_steps,
        )

    def _show(self, text: str, *, last: bool) -> None:
        now = time.monotonic()
        if text == self._last or not last and now - self._shown_at < (TERMINAL_EVERY_S if self._live else FILE_EVERY_S):
            return
        self._shown_at, self._last = now, text
        if not self._live or last:
            self.say(text)
            return
        print(f"\r{text:<{self._width}}", end="", file=self._out, flush=True)
        self._width = len(text)

    def _clear(self) -> None:
        if self._width:
            print("\r" + " " * self._width + "\r", end="", file=self._out)
            self._width = 0
