"""How fast a run is and what its log says: speed over the last steps, seconds in all, lines that are thinned out."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from distill.config.train_config import TrainConfig
from distill.training.loader import Plan
from distill.training.training_state import Position

LOG_LINES = 2000
RATE_OVER_STEPS = 50
# Flushing a state to disk may take longer than an epoch over few pictures does.
SHORT_EPOCH_S = 5.0


@dataclass(frozen=True, kw_only=True)
class StepMetrics:
    """What is known after a step. `step` and `epoch` count from 1; `losses` holds each term before its weight.

    `loss`: the weighted sum. `images_per_s`, `eta_s` and `data_wait` (share of the time spent waiting for images) are
    of the last steps.
    """

    step: int
    total_steps: int
    epoch: int
    epochs: int
    loss: float
    losses: Mapping[str, float]
    lr: float
    images_per_s: float
    eta_s: float
    data_wait: float


class Meter:
    """Times the steps of one sitting of a run that has got to `position`, and writes its log."""

    def __init__(self, config: TrainConfig, steps: Plan, position: Position) -> None:
        self._config, self._steps, self._position = config, steps, position
        self._started = self._saved = time.monotonic()
        self._before = position.seconds
        self._recent: deque[tuple[float, float]] = deque([(self._started, 0.0)], maxlen=RATE_OVER_STEPS + 1)
        self._every = max(1, steps.total_steps // LOG_LINES)

    def seconds(self) -> float:
        """Spent training so far, earlier sittings included."""
        return self._before + time.monotonic() - self._started

    def saved(self) -> None:
        """A state was saved just now."""
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Whether to save now: time is up, all is done, or an epoch is done and the last state not of just now."""
        step, since_s = self._position.step, time.monotonic() - self._saved
        ended = step % self._steps.steps_per_epoch == 0 and since_s >= SHORT_EPOCH_S
        return since_s >= self._config.system.save_every_s or ended or step == self._steps.total_steps

    def metrics(
        self, losses: Mapping[str, float], weights: Mapping[str, float], *, lr: float, waited_s: float
    ) -> StepMetrics:
        """Of the step just made, which goes into the log if it is one of those that do."""
        step, steps = self._position.step, self._steps
        self._recent.append((time.monotonic(), waited_s))
        took_s = max(self._recent[-1][0] - self._recent[0][0], 1e-9)
        made = len(self._recent) - 1
        metrics = StepMetrics(
            step=step,
            total_steps=steps.total_steps,
            epoch=(step - 1) // steps.steps_per_epoch + 1,
            epochs=self._config.schedule.epochs,
            loss=sum(weights[name] * value for name, value in losses.items()),
            losses=losses,
            lr=lr,
            images_per_s=made * steps.batch_size / took_s,
            eta_s=(steps.total_steps - step) * took_s / made,
            data_wait=min(1.0, sum(waited for _, waited in list(self._recent)[1:]) / took_s),
        )
        if step % self._every == 0 or step == steps.total_steps:
            self._position.log.append(_rounded(asdict(metrics)))
        return metrics


def _rounded(line: Mapping[str, Any]) -> dict[str, Any]:
    """Six digits are enough to read; the log travels with every saved state."""
    return {
        name: _rounded(value)
        if isinstance(value, Mapping)
        else float(f"{value:.6g}")
        if isinstance(value, float)
        else value
        for name, value in line.items()
    }
