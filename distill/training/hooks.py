"""Hooks of the training loop: one object through which `train` reports progress, saves its state and is stopped."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from distill.json_types import EpochLine
from distill.student.model import Student
from distill.training.metrics import StepMetrics

WriteState = Callable[[Path], None]
"""Writes the training state atomically to a path."""
SaveState = Callable[[WriteState], None]
OnEpoch = Callable[[int, Student, Tensor | None], EpochLine | None]


class StudentNow(NamedTuple):
    """What a training that ended now would deliver: the student, a copy in evaluation mode on the CPU, with the weight
    average if there is one, after `step` steps. `context`: the learned vectors (M, W), if any."""

    step: int
    student: Student
    context: Tensor | None


CopyStudent = Callable[[], StudentNow]
OnCheckpoint = Callable[[int, CopyStudent], None]


def _ignore(*_arguments: object) -> None:
    """Do nothing."""


def _never() -> bool:
    return False


@dataclass(frozen=True, kw_only=True)
class TrainHooks:
    """Callbacks of `train`; each of them does nothing by default.

    With several ranks, only the first rank calls `save`, `on_step`, `on_epoch` and `on_checkpoint`. Every rank calls
    `should_stop`, and one rank is enough to stop all.

    `on_step(metrics)`: called after every step.
    `on_epoch(epoch, student, context)`: called after every epoch (from 1) with the student on the training device,
    which it may put into evaluation mode, and the learned vectors (M, W). Its result becomes a line of the log.
    `on_checkpoint(epoch, copy_student)`: called after `on_epoch`, with a function that copies the student for those who
    want to keep it.
    `should_stop()`: called before every step; when it is true, the state is saved and Stopped is raised.
    `save(write)`: called with a function that writes the training state to a path: after an epoch (at most every 5 s),
    every `save_every_s` seconds, after the last step, and before Stopped is raised.
    """

    on_step: Callable[[StepMetrics], None] = _ignore
    on_epoch: OnEpoch = _ignore
    on_checkpoint: OnCheckpoint = _ignore
    should_stop: Callable[[], bool] = _never
    save: SaveState = _ignore
