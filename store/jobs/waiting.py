"""What a job waits for while none of its parts runs: its place in the queue, live workers, and the time of a retry.

Jobs are polled often. Therefore one statement answers for all jobs of a page, it reads only the partial indexes over
queued and running parts, and it stops counting after `MAX_AHEAD` parts.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import ColumnElement, bindparam, exists, func, literal_column, or_, select
from sqlalchemy.orm import Session, aliased

from limbeck.shared.text import counted
from store.clock import now_s
from store.jobs.heartbeats import FRESH_S
from store.models import Heartbeat, Part

MAX_AHEAD = 1000
PAUSED = "the job is paused until it is resumed"
_MIN_RETRY_S = 1.0  # a retry that is due sooner is not worth a word
_WORKERS = {"gpu": "GPU worker", "enrich": "enrich worker"}


@dataclass(frozen=True, kw_only=True)
class Waiting:
    """Why no part of a job runs.

    `num_gpus`: GPUs that a worker, if it has any, must have for it; `workers` counts only those that can run it.
    `name`: its queue; `ahead`: queued parts of jobs with a higher priority, or the same and an earlier start, of which
    at most `MAX_AHEAD` are counted; `running`: parts of this queue that run; `workers`: live workers of it; `sweepers`:
    live sweepers, which send messages to workers; `retry_in_s`: None for a part that is due.
    """

    name: str
    ahead: int
    running: int
    workers: int
    sweepers: int
    retry_in_s: float | None
    num_gpus: int = 0

    @property
    def text(self) -> str:
        """Why no part runs, as a clause: `no GPU worker is running`, `3 parts of other jobs come first`."""
        worker = _WORKERS.get(self.name, f"{self.name} worker")
        if not self.workers:
            return f"no {worker}{f' with {self.num_gpus} GPUs' if self.num_gpus > 1 else ''} is running"
        if not self.sweepers:
            return "no sweeper is running"
        if self.retry_in_s is not None:
            return f"the next attempt is in {self.retry_in_s:.0f} s"
        if self.ahead:
            more = "at least " if self.ahead >= MAX_AHEAD else ""
            return f"{more}{counted(self.ahead, 'part')} of other jobs {'comes' if self.ahead == 1 else 'come'} first"
        return f"the next free {worker} takes it"


# The statuses are literals and not parameters, so that the planner can use the partial indexes.
_QUEUED: ColumnElement[str] = literal_column("'queued'")
_RUNNING: ColumnElement[str] = literal_column("'running'")
_other = aliased(Part)
_MINE = (
    select(
        Part.job_id,
        Part.queue,
        func.min(Part.not_before).label("not_before"),
        func.min(Part.num_gpus).label("num_gpus"),
        func.max(Part.priority).label("priority"),
    )
    .where(
        Part.status == _QUEUED,
        Part.queue.in_(tuple(_WORKERS)),
        Part.job_id.in_(bindparam("job_ids", expanding=True)),
        ~exists().where(_other.job_id == Part.job_id, _other.status == _RUNNING),
    )
    .group_by(Part.job_id, Part.queue)
    .subquery()
)


def _ahead(*is_ahead: ColumnElement[bool]) -> ColumnElement[int]:
    """The number of parts of the same queue that could start, at most `MAX_AHEAD`: a range of the index by urgency."""
    is_due = (_other.status == _QUEUED, _other.queue == _MINE.c.queue, _other.not_before <= now_s())
    parts = select(literal_column("1")).where(*is_due, *is_ahead).limit(MAX_AHEAD).correlate(_MINE).subquery()
    return select(func.count()).select_from(parts).scalar_subquery()


_MORE_URGENT = _ahead(_other.priority > _MINE.c.priority)
_EARLIER = _ahead(_other.priority == _MINE.c.priority, _other.job_id < _MINE.c.job_id)
_NUM_RUNNING = select(func.count()).where(_other.status == _RUNNING, _other.queue == _MINE.c.queue)
_CAN_RUN = or_(Heartbeat.num_gpus == 0, Heartbeat.num_gpus >= _MINE.c.num_gpus)
_NUM_WORKERS = select(func.count()).where(Heartbeat.role == _MINE.c.queue, Heartbeat.at > bindparam("fresh"), _CAN_RUN)
_NUM_SWEEPERS = select(func.count()).where(Heartbeat.role == "sweeper", Heartbeat.at > bindparam("fresh"))
_WAITING = select(
    _MINE.c.job_id,
    _MINE.c.queue,
    _MINE.c.num_gpus,
    (_MINE.c.not_before - now_s()).label("retry_in_s"),
    (_MORE_URGENT + _EARLIER).label("ahead"),
    _NUM_RUNNING.scalar_subquery().label("running"),
    _NUM_WORKERS.scalar_subquery().label("workers"),
    _NUM_SWEEPERS.scalar_subquery().label("sweepers"),
).order_by(_MINE.c.job_id, _MINE.c.queue.desc())


def of_jobs(tx: Session, job_ids: Sequence[str]) -> Mapping[str, Waiting]:
    """Job id → what it waits for. Left out: jobs of which a part runs, jobs that have ended, and unknown jobs."""
    if not job_ids:
        return {}
    fresh = time.time() - FRESH_S
    rows = tx.connection().execute(_WAITING, {"job_ids": _job_ids(job_ids), "fresh": fresh})
    return {
        row.job_id: Waiting(
            name=row.queue,
            ahead=min(row.ahead, MAX_AHEAD),
            running=row.running,
            workers=row.workers,
            num_gpus=row.num_gpus,
            sweepers=row.sweepers,
            retry_in_s=row.retry_in_s if row.retry_in_s > _MIN_RETRY_S else None,
        )
        for row in rows
    }


def _job_ids(job_ids: Sequence[str]) -> list[str]:
    """At least two ids. With one, SQLite would read all queued parts, by the index over status and queue."""
    return ["", *job_ids]
