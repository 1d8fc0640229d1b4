"""How far jobs are, summed over their parts; and how many jobs and parts there are in each state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, func, select, true
from sqlalchemy.orm import Session

from store.errors import NotFound
from store.models import Job, Part


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The stage that a job is in, and how far that stage is. `eta_s`: seconds left in it, where a rate is known."""

    stage: str
    done: int
    total: int
    unit: str
    eta_s: float | None


# Built once: jobs are polled often, and putting the statements together costs more than running them.
_STAGE: tuple[Any, ...] = (
    Part.kind,
    func.sum(Part.done).label("done"),
    func.sum(Part.total).label("total"),
    func.max(Part.unit).label("unit"),
    func.sum(Part.rate).label("rate"),  # parts that run have one, and no others
    (func.count(Part.id) - func.count(Part.finished_at)).label("num_live"),
    func.count(Part.started_at).label("num_begun"),
    func.min(Part.position).label("first"),
)
_STAGES = (
    select(Part.job_id, *_STAGE)
    .where(Part.job_id.in_(bindparam("job_ids", expanding=True)))
    .group_by(Part.job_id, Part.kind)
    .order_by("first")
)
_OF_ONE = select(*_STAGE).where(Part.job_id == bindparam("job_id")).group_by(Part.kind).subquery()
_JOB_AND_STAGES = (
    select(Job, *_OF_ONE.c)
    .join(_OF_ONE, true(), isouter=True)
    .where(Job.id == bindparam("job_id"))
    .order_by(_OF_ONE.c.first)
)


def of(tx: Session, job_ids: Sequence[str]) -> Mapping[str, Progress]:
    """Each job's progress. A stage is all parts of one kind: the first that is not over, or else the last that ran."""
    stages: dict[str, list[Sequence[Any]]] = {}
    for job_id, *stage in tx.execute(_STAGES, {"job_ids": list(job_ids)}):
        stages.setdefault(job_id, []).append(stage)
    return {job_id: _present(each) for job_id, each in stages.items()}


def job(tx: Session, job_id: str) -> tuple[Job, Progress | None]:
    """A job with its progress, in one statement; `NotFound` where there is none."""
    rows = tx.execute(_JOB_AND_STAGES, {"job_id": job_id}).all()
    if not rows:
        raise NotFound("job", job_id)
    stages: list[Sequence[Any]] = [row[1:] for row in rows if row[1] is not None]
    return rows[0][0], _present(stages) if stages else None


def _present(stages: Sequence[Sequence[Any]]) -> Progress:
    begun = [stage for stage in stages if stage[6]] or stages[:1]
    kind, done, total, unit, per_s, *_ = next((stage for stage in stages if stage[5]), begun[-1])
    eta_s = max(0.0, (total - done) / per_s) if per_s else None
    return Progress(stage=kind, done=int(done), total=int(total), unit=unit, eta_s=eta_s)


def jobs_by_status(tx: Session) -> Mapping[tuple[str, str], int]:
    """(kind, status) → number of jobs."""
    rows = tx.execute(select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status))
    return {(kind, status): count for kind, status, count in rows}


def parts_by_status(tx: Session) -> Mapping[tuple[str, str], int]:
    """(queue, status) → number of parts."""
    rows = tx.execute(select(Part.queue, Part.status, func.count()).group_by(Part.queue, Part.status))
    return {(queue, status): count for queue, status, count in rows}
