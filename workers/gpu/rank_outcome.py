"""How a rank of a training ended, in a file that the child of the part reads. A rank that was killed writes none."""

import time
import traceback
from collections.abc import Callable
from pathlib import Path

import structlog
from pydantic import BaseModel

from limbeck.shared.text import first_line
from store.jobs.part_results import TrainPartResult
from workers.runtime.errors import PartError, Stopped

log = structlog.get_logger()
FILE = "outcome.json"


class RankOutcome(BaseModel):
    """`at`: time of the end. `result`: of the first rank. `stopped`: the training was stopped and its state saved.

    `error`: message of an exception; `code` and `retry_in_s`: those of a PartError.
    """

    at: float
    result: TrainPartResult | None = None
    stopped: bool = False
    error: str | None = None
    code: str | None = None
    retry_in_s: float | None = None

    @property
    def has_succeeded(self) -> bool:
        """Whether the rank trained to the end."""
        return not self.stopped and self.error is None

    def as_error(self, rank: int) -> Exception:
        """The exception that ended the rank."""
        if self.stopped:
            return Stopped(f"rank {rank} was stopped")
        if self.code is not None:
            return PartError(self.code, self.error or "", retry_in_s=self.retry_in_s)
        return RuntimeError(f"rank {rank}: {self.error}")


def outcome_of(work: Callable[[], TrainPartResult | None]) -> RankOutcome:
    """Do the work of a rank; an exception becomes an outcome."""
    try:
        result = work()
    except Stopped:
        return RankOutcome(at=time.time(), stopped=True)
    except PartError as error:
        return RankOutcome(at=time.time(), error=str(error), code=error.code, retry_in_s=error.retry_in_s)
    except Exception as error:
        log.error("rank_crashed", error=traceback.format_exc(limit=12))
        return RankOutcome(at=time.time(), error=f"{type(error).__name__}: {first_line(error)}")
    return RankOutcome(at=time.time(), result=result)


def write_outcome(outcome: RankOutcome, folder: Path) -> None:
    """Store the outcome in the folder of the rank. The first one that is stored stays."""
    path = folder / FILE
    if not path.exists():
        draft = path.with_suffix(".part")
        draft.write_text(outcome.model_dump_json(exclude_unset=True), encoding="utf-8")
        draft.rename(path)


def read_outcome(folder: Path) -> RankOutcome | None:
    """The outcome of the rank with this folder; None if it wrote none."""
    try:
        return RankOutcome.model_validate_json((folder / FILE).read_bytes())
    except FileNotFoundError:
        return None
