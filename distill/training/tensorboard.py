"""Metrics of a run as TensorBoard events: `tensorboard --logdir OUT/work`."""

from pathlib import Path
from types import TracebackType
from typing import Self

from torch.utils.tensorboard import SummaryWriter

from distill.training.metrics import StepMetrics


class EventLog:
    """Writes scalars below `folder`; pass `step` as the hook `on_step`. A context manager, or call `close`.

    A run that resumes from an earlier step than the last one written hides the events that it writes again.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: SummaryWriter | None = None

    def step(self, metrics: StepMetrics) -> None:
        """Write the metrics of a training step."""
        if self._writer is None:
            self._writer = SummaryWriter(str(self._folder), purge_step=metrics.step)
        values = {f"loss/{name}": value for name, value in metrics.losses.items()} | {
            "loss/total": metrics.loss,
            "lr": metrics.lr,
            "speed/images_per_s": metrics.images_per_s,
            "speed/data_wait": metrics.data_wait,
        }
        for name, value in values.items():
            self._writer.add_scalar(name, value, metrics.step)

    def close(self) -> None:
        """Flush the events to disk."""
        if self._writer is not None:
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
