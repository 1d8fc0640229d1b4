"""How far jobs are, summed over their parts; and how many jobs and parts there are in each state.

A job is polled far more often than its parts move, and may have thousands of them. So its row keeps their sums, made
anew by each transaction that moves one. Only parts that run are left out, for these count on all the while: a poll
adds up the job's row and theirs, in one statement.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, func, literal_column, select, true
from sqlalchemy.orm import Session

from store.errors import NotFound
from store.models import Job, JobUsage, Part


@dataclass(frozen=True, kw_only=True)
class Stage:
    """How far all parts of one kind are. `rate`: units a second; `eta_s`: seconds left, where a rate is known."""

    stage: str
    done: int
    total: int
    unit: str
    rate: float | None
    eta_s: float | None


@dataclass(frozen=True, kw_only=True)
class Progress(Stage):
    """The stage that a job is in, and all of its `stages`, in order."""

    stages: Sequence[Stage]


# Statements are built once: jobs are polled often, and putting them together costs more than running them. The state
# is no parameter, or the planner could not tell that the index of running parts holds what is asked for.
_RUNS = Part.status == literal_column("'running'")
_RUNNING = (
    Part.kind,
    func.sum(Part.done).label("done"),
    func.sum(Part.total).label("total"),
    func.max(Part.unit).label("unit"),
    func.sum(Part.rate).label("rate"),
)
_OF_ONE = select(*_RUNNING).where(Part.job_id == bindparam("job_id"), _RUNS).group_by(Part.kind).subquery()
# One row of sums at most goes with a job; its columns come after the job's.
_SPEND = tuple(column.label(f"spend_{column.name}") for column in JobUsage.__table__.c)
_JOB = (
    select(*Job.__table__.c, *_SPEND, *(column.label(f"running_{column.name}") for column in _OF_ONE.c))
    .join(JobUsage, JobUsage.job_id == Job.id, isouter=True)
    .join(_OF_ONE, true(), isouter=True)
    .where(Job.id == bindparam("job_id"))
)
_NUM_RUNNING = len(_OF_ONE.c)
_OF_MANY = (
    select(Part.job_id, *_RUNNING)
    .where(Part.job_id.in_(bindparam("job_ids", expanding=True)), _RUNS)
    .group_by(Part.job_id, Part.kind)
    .subquery()
)
_JOBS = (
    select(Job.id, Job.tally, *(column for column in _OF_MANY.c if column.name != "job_id"))
    .join(_OF_MANY, _OF_MANY.c.job_id == Job.id, isouter=True)
    .where(Job.id.in_(bindparam("job_ids", expanding=True)))
)
_TALLY = (
    select(
        Part.kind,
        func.coalesce(func.sum(Part.done).filter(~_RUNS), 0).label("done"),
        func.coalesce(func.sum(Part.total).filter(~_RUNS), 0).label("total"),
        func.max(Part.unit).label("unit"),
        (func.count().filter(~_RUNS) - func.count(Part.finished_at)).label("num_live"),
        func.count(Part.started_at).label("num_begun"),
    )
    .where(Part.job_id == bindparam("job_id"))
    .group_by(Part.kind)
    .order_by(func.min(Part.stage), func.min(Part.position))
)


def tally(tx: Session, job: Job) -> None:
    """Sum up the job's parts, in the transaction that has just moved one of them and holds the job's lock."""
    job.tally = [
        {
            "kind": row.kind,
            "done": int(row.done),
            "total": int(row.total),
            "unit": row.unit,
            "num_live": row.num_live,
            "num_begun": row.num_begun,
        }
        for row in tx.execute(_TALLY, {"job_id": job.id})
    ]


def of(tx: Session, job_ids: Sequence[str]) -> Mapping[str, Progress]:
    """Each job's progress. A stage is all parts of one kind: the first that is not over, or else the last that ran."""
    tallies: dict[str, list[Any]] = {}
    running: dict[str, list[Sequence[Any]]] = {}
    for job_id, kept, *runs in tx.execute(_JOBS, {"job_ids": list(job_ids)}):
        tallies[job_id] = kept
        running.setdefault(job_id, []).append(runs)
    return {job_id: found for job_id, kept in tallies.items() if (found := _present(kept, running[job_id]))}


def job(tx: Session, job_id: str) -> tuple[Row[Any], Progress | None]:
    """A job's row with its progress, in one statement; `NotFound` where there is none."""
    tx.flush()
    # Past the session, which would take longer over the one row than the database does.
    rows = tx.connection().execute(_JOB, {"job_id": job_id}).all()
    if not rows:
        raise NotFound("job", job_id)
    return rows[0], _present(rows[0].tally, [row[-_NUM_RUNNING:] for row in rows])


def _present(tally: Sequence[Mapping[str, Any]], running: Sequence[Sequence[Any]]) -> Progress | None:
    if not tally:
        return None
    runs = {run[0]: run[1:] for run in running}
    stages = [_stage(kept, runs.get(kept["kind"])) for kept in tally]
    begun = [at for at, kept in enumerate(tally) if kept["num_begun"]] or [0]
    live = (at for at, kept in enumerate(tally) if kept["num_live"] or kept["kind"] in runs)
    return Progress(**vars(stages[next(live, begun[-1])]), stages=stages)


def _stage(kept: Mapping[str, Any], runs: Sequence[Any] | None) -> Stage:
    done, total, unit, per_s = runs or (0, 0, "", None)
    done, total = kept["done"] + int(done), kept["total"] + int(total)
    eta_s = max(0.0, (total - done) / per_s) if per_s else None
    return Stage(stage=kept["kind"], done=done, total=total, unit=unit or kept["unit"], rate=per_s, eta_s=eta_s)


def jobs_by_status(tx: Session) -> Mapping[tuple[str, str], int]:
    """(kind, status) → number of jobs."""
    rows = tx.execute(select(Job.kind, Job.status, func.count()).group_by(Job.kind, Job.status))
    return {(kind, status): count for kind, status, count in rows}


def parts_by_status(tx: Session) -> Mapping[tuple[str, str], int]:
    """(queue, status) → number of parts."""
    rows = tx.execute(select(Part.queue, Part.status, func.count()).group_by(Part.queue, Part.status))
    return {(queue, status): count for queue, status, count in rows}
