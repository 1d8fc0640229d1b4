"""TensorBoard events: `tensorboard --logdir FOLDER`."""

import json
import time
from collections.abc import Sequence

from torch.utils.tensorboard import SummaryWriter

from distill.training.loggers.record import LoggedRow, RunRecord


class TensorBoardEvents:
    """Writes scalars below `run.events`. A run that resumes from an earlier step than the last one written hides the
    events that it writes again."""

    def __init__(self, run: RunRecord) -> None:
        self._run = run
        self._writer: SummaryWriter | None = None

    def write(self, rows: Sequence[LoggedRow], /) -> None:
        for row in rows:
            writer = self._writer or self._open(row)
            for name, value in row.values.items():
                writer.add_scalar(name, value, row.step)

    def _open(self, first: LoggedRow) -> SummaryWriter:
        self._wait_for_a_new_second()
        self._writer = SummaryWriter(str(self._run.events), purge_step=first.step if first.resumes else None)
        about = {"name": self._run.name, "tags": dict(self._run.tags), "settings": dict(self._run.settings)}
        text = "\n".join(f"    {line}" for line in json.dumps(about, indent=1, ensure_ascii=False).splitlines())
        self._writer.add_text("run", text, first.step)
        return self._writer

    def _wait_for_a_new_second(self) -> None:
        """Readers sort files by name, and a name begins with its second: two of one second can change places."""
        while any(self._run.events.glob(f"events.out.tfevents.{int(time.time()):010d}.*")):
            time.sleep(0.05)

    def close(self) -> None:
        if self._writer is not None:
            self._writer.close()
