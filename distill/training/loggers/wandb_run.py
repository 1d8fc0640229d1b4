"""A run of Weights & Biases. The library reads its own variables: `WANDB_MODE=offline`, `WANDB_API_KEY`, …"""

import os
from collections.abc import Sequence

import wandb

from distill.training.loggers.record import LoggedRow, RunRecord

PROJECT = "limbeck"
MAX_TAG_CHARS = 64
INIT_TIMEOUT_S = 30.0


class WandbRun:
    """The run with the id of the record, in `WANDB_PROJECT` or the project `limbeck`. Files go to `WANDB_DIR`, or below
    the folder of the record. A resumed run continues it; steps that the server has are not sent again."""

    def __init__(self, run: RunRecord) -> None:
        self._run = wandb.init(
            project=os.environ.get("WANDB_PROJECT") or PROJECT,
            id=run.id,
            name=run.name,
            resume="allow",
            dir=os.environ.get("WANDB_DIR") or run.folder,
            config={**run.settings, **run.tags},
            tags=[f"{name}:{value}"[:MAX_TAG_CHARS] for name, value in run.tags.items()],
            # Nothing but the rows: not the source, the repository, or what the process prints.
            settings=wandb.Settings(
                silent=True,
                console="off",
                disable_git=True,
                save_code=False,
                # The process cannot end while the library tries to connect.
                init_timeout=float(os.environ.get("WANDB_INIT_TIMEOUT") or INIT_TIMEOUT_S),
            ),
        )
        self._next_step = self._run.step

    def write(self, rows: Sequence[LoggedRow], /) -> None:
        for row in rows:
            if row.is_result:
                self._run.summary.update(dict(row.values))
            elif row.step >= self._next_step:
                self._run.log(dict(row.values), step=row.step)

    def close(self) -> None:
        self._run.finish()
