"""Metrics of a training run: speed over recent steps, total time, when to save, and the training log."""

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from distill.config.train_config import TrainConfig
from distill.json_types import LogLine
from distill.training.loader import BatchPlan, ViewEncoding
from distill.training.training_state import TrainingPosition

LOG_LINES = 2000
SPEED_STEPS = 50
# Flushing a state to disk may take longer than an epoch over few images.
SHORT_EPOCH_S = 5.0


@dataclass(frozen=True, kw_only=True)
class StepMetrics:
    """Metrics of a step. `step` and `epoch` count from 1; `losses` holds each term before its weight.

    `loss`: the weighted sum. `images_per_s`, `eta_s` and `data_wait` (share of the time spent waiting for images, 0 to
    1) are taken over the last 50 steps; `eta_s` has the teacher views that are still to be encoded, too.
    `train_accuracy`: mean per-class accuracy on the training images in the last pass, at the end of an epoch.
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
    train_accuracy: float | None = None


class MetricsLog:
    """Times the steps of a run from `position` on, and appends about 2,000 of them to the log of the position."""

    def __init__(self, config: TrainConfig, plan: BatchPlan, position: TrainingPosition) -> None:
        self._config, self._plan, self._position = config, plan, position
        self._started = self._saved = time.monotonic()
        self._seconds_before = position.seconds
        self._recent: deque[_StepTimes] = deque([_StepTimes(self._started, 0.0, 0.0)], maxlen=SPEED_STEPS + 1)
        self._encoded = ViewEncoding(0, 0.0, 0)  # so far
        self._log_every = max(1, plan.total_steps // LOG_LINES)
        self._log_epochs = max(1, config.schedule.epochs // LOG_LINES)

    def seconds(self) -> float:
        """Training time so far, including the time before the run was resumed."""
        return self._seconds_before + time.monotonic() - self._started

    def mark_saved(self) -> None:
        """Note that a state was saved now."""
        self._saved = time.monotonic()

    def save_due(self) -> bool:
        """Whether to save a state: after `save_every_s`, after the last step, and after an epoch of at least 5 s."""
        step, since_s = self._position.step, time.monotonic() - self._saved
        epoch_ended = step % self._plan.steps_per_epoch == 0 and since_s >= SHORT_EPOCH_S
        return since_s >= self._config.system.save_every_s or epoch_ended or step == self._plan.total_steps

    def record(
        self,
        losses: Mapping[str, float],
        weights: Mapping[str, float],
        *,
        lr: float,
        waited_s: float,
        encoding: ViewEncoding | None = None,
        train_accuracy: float | None = None,
    ) -> StepMetrics:
        """The metrics of the step just made, which may be appended to the log."""
        step, plan = self._position.step, self._plan
        self._recent.append(_StepTimes(time.monotonic(), waited_s, encoding.seconds if encoding else 0.0))
        elapsed_s = max(self._recent[-1].at - self._recent[0].at, 1e-9)
        recent = list(self._recent)[1:]
        steps_s = max(elapsed_s - sum(one.encoded_s for one in recent), 1e-9)
        metrics = StepMetrics(
            step=step,
            total_steps=plan.total_steps,
            epoch=(step - 1) // plan.steps_per_epoch + 1,
            epochs=self._config.schedule.epochs,
            loss=sum(weights[name] * value for name, value in losses.items()),
            losses=losses,
            lr=lr,
            images_per_s=len(recent) * plan.batch_size / elapsed_s,
            eta_s=(plan.total_steps - step) * steps_s / len(recent) + self._views_s(encoding),
            data_wait=min(1.0, sum(one.waited_s for one in recent) / elapsed_s),
            train_accuracy=train_accuracy,
        )
        epoch_logged = step % (plan.steps_per_epoch * self._log_epochs) == 0
        if step % self._log_every == 0 or epoch_logged or step == plan.total_steps:
            self._position.log.append(_log_line(metrics))
        return metrics

    def _views_s(self, encoding: ViewEncoding | None) -> float:
        """Seconds that the teacher views will take that are still to be encoded."""
        if encoding is not None:
            num_views, seconds, _ = self._encoded
            self._encoded = ViewEncoding(num_views + encoding.num_views, seconds + encoding.seconds, encoding.left)
        num_views, seconds, left = self._encoded
        left = min(left, (self._plan.total_steps - self._position.step) * self._plan.batch_size)
        return left * seconds / num_views if num_views else 0.0


class _StepTimes(NamedTuple):
    """When a step ended, and the seconds it waited for images and encoded teacher views."""

    at: float
    waited_s: float
    encoded_s: float


def _log_line(metrics: StepMetrics) -> LogLine:
    accuracy: LogLine = {} if metrics.train_accuracy is None else {"train_accuracy": _rounded(metrics.train_accuracy)}  # type: ignore[typeddict-item]
    return {
        "step": metrics.step,
        "total_steps": metrics.total_steps,
        "epoch": metrics.epoch,
        "epochs": metrics.epochs,
        "loss": _rounded(metrics.loss),
        "losses": {name: _rounded(value) for name, value in metrics.losses.items()},
        "lr": _rounded(metrics.lr),
        "images_per_s": _rounded(metrics.images_per_s),
        "eta_s": _rounded(metrics.eta_s),
        "data_wait": _rounded(metrics.data_wait),
        **accuracy,
    }


def _rounded(value: float) -> float:
    """Six significant digits, because the log is part of every saved state."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
