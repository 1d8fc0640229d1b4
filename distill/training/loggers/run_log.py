"""The log of a run in all chosen loggers: `RunLog(["tensorboard"], run, warn=print)`, its methods as hooks of `train`.

Loggers that are not installed are refused before a run starts: `limbeck.shared.parts.parse_loggers`.
"""

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from types import TracebackType
from typing import Self

from torch import Tensor

from distill.json_types import EpochLine
from distill.student.model import Student
from distill.training.hooks import OnEpoch
from distill.training.loggers.background import BackgroundLogger
from distill.training.loggers.record import (
    LoggedRow,
    Logger,
    RunRecord,
    epoch_values,
    evaluation_values,
    step_values,
)
from distill.training.metrics import StepMetrics
from limbeck.shared.parts import LoggerName

# Shorter than the time that a worker has to end in.
CLOSE_TIMEOUT_S = 10.0
_CLASSES: Mapping[LoggerName, tuple[str, str]] = {
    "tensorboard": ("distill.training.loggers.tensorboard_events", "TensorBoardEvents"),
    "wandb": ("distill.training.loggers.wandb_run", "WandbRun"),
    "mlflow": ("distill.training.loggers.mlflow_run", "MlflowRun"),
}


class RunLog:
    """Logs the steps, epochs and the evaluation of a run. A context manager, or call `close`."""

    def __init__(self, names: Sequence[LoggerName], run: RunRecord, *, warn: Callable[[str], None]) -> None:
        self._loggers = [BackgroundLogger(name, _opener(name, run), warn) for name in names]
        self._step: int | None = None

    def step(self, metrics: StepMetrics) -> None:
        """Log a training step; a hook `on_step`."""
        self._add(LoggedRow(metrics.step, step_values(metrics), resumes=self._step is None))
        self._step = metrics.step

    def measured(self, on_epoch: OnEpoch) -> OnEpoch:
        """A hook `on_epoch` that logs the accuracies that `on_epoch` measures."""

        def logged(epoch: int, student: Student, context: Tensor | None) -> EpochLine | None:
            line = on_epoch(epoch, student, context)
            if line is not None and self._step is not None:
                self._add(LoggedRow(self._step, epoch_values(line)))
            return line

        return logged

    def evaluation(self, evaluation: Mapping[str, object], *, step: int) -> None:
        """Log the final evaluation, at the last step of the training."""
        self._add(LoggedRow(step, evaluation_values(evaluation), is_result=True))

    def _add(self, row: LoggedRow) -> None:
        if row.values:
            for logger in self._loggers:
                logger.add(row)

    def close(self) -> None:
        """Write what is queued; a logger that needs longer than `CLOSE_TIMEOUT_S` is left behind."""
        for logger in self._loggers:
            logger.close(timeout_s=CLOSE_TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _opener(name: LoggerName, run: RunRecord) -> Callable[[], Logger]:
    """A function that opens the logger; its library is imported there, in the thread of the logger."""
    module, cls = _CLASSES[name]

    def open_logger() -> Logger:
        logger: Logger = getattr(import_module(module), cls)(run)
        return logger

    return open_logger
