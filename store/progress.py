"""How far jobs are, summed over their parts; and how many jobs and parts there are in each state."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import bindparam, case, func, select
from sqlalchemy.orm import Session

from store.jobs import LIVE
from store.models import Job, Part


@dataclass(frozen=True, kw_only=True)
class Progress:
    """The stage that a job is in, and how far that stage is. `eta_s`: seconds left in it, where a rate is known."""

    stage: str
    done: int
    total: int
    unit: str
    eta_s: float | None


# Built once: jobs are polled often, and putting the statement together costs more than running it.
_STAGES = (
    select(
        Part.job_id,
        Part.kind,
        func.sum(Part.done),
        func.sum(Part.total),
        func.max(Part.unit),
        func.sum(case((Part.status == "running", Part.rate), else_=None)),
        func.sum(case((Part.status.in_(LIVE), 1), else_=0)),
        func.sum(case((Part.status != "cancelled", 1), else_=0)),
    )
    .where(Part.job_id.in_(bindparam("job_ids", expanding=True)))
    .group_by(Part.job_id, Part.kind)
    .order_by(Part.job_id, func.min(Part.position))
)


def of(tx: Session, job_ids: Sequence[str]) -> Mapping[str, Progress]:
    """Each job's progress. A stage is all parts of one kind: the first that is not over, or else the last that ran."""
    found: dict[str, Progress] = {}
    decided: set[str] = set()
    rows = tx.execute(_STAGES, {"job_ids": list(job_ids)})
    for job_id, kind, done, total, unit, per_s, num_live, num_ran in rows:
        if job_id in decided or (job_id in found and not num_live and not num_ran):
            continue
        if num_live:
            decided.add(job_id)
        eta_s = max(0.0, (total - done) / per_s) if per_s else None
        found[job_id] = Progress(stage=kind, done=int(done), total=int(total), unit=unit, eta_s=eta_s)
    return found


def jobs_by_status(tx: Session) -> Mapping[tuple[str, str], int]:
    """(kind, status) → number of jobs."""
    rows = tx.execute(select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status))
    return {(kind, status): count for kind, status, count in rows}


def parts_by_status(tx: Session) -> Mapping[tuple[str, str], int]:
    """(queue, status) → number of parts."""
    rows = tx.execute(select(Part.queue, Part.status, func.count()).group_by(Part.queue, Part.status))
    return {(queue, status): count for queue, status, count in rows}
