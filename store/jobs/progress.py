"""Progress of jobs, summed over their parts, and numbers of jobs and parts per status.

A job is polled far more often than its parts change status, and may have thousands of parts. Therefore the row of the
job stores sums over its parts (`tally`), and each transaction that changes the status of a part recomputes them.
Running parts are not in these sums, because their progress changes all the time: a poll adds their rows to the tally,
in one statement. A part that does several things, one after the other, begins a phase for each: the tally has the
phases too.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, bindparam, func, literal_column, select, true
from sqlalchemy.orm import Session

from store.errors import NotFound
from store.json_types import TallyJSON
from store.models import Job, JobUsage, Part

STAGE_NAMES = {
    "describe": "attributes",
    "contrast": "contrasts",
    "neighbours": "confusable labels",
    "caption": "captions",
    "mend": "repair plan",
    "correct": "repair",
    "assemble": "assembly",
    "report": "report",
    "check": "gates",
    "encode": "texts",
    "features": "image features",
    "train": "training",
    "train_node": "training on other machines",
    "evaluate": "evaluation",
    "prove": "proof",
}
"""Kind of part → what users call the stage, unless the part names its phases."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """Progress of all parts of one kind, or of one phase of the part of this kind.

    `stage`: the kind. `rate` is in units per second; without a rate, `eta_s` is None.
    """

    stage: str
    name: str
    done: int
    total: int
    unit: str
    rate: float | None
    eta_s: float | None


@dataclass(frozen=True, kw_only=True)
class Progress(Stage):
    """Progress of the current stage of a job, and of all its `stages`, in order."""

    stages: Sequence[Stage]


# Statements are built once: jobs are polled often, and building a statement costs more than running it. The status is a
# literal and not a parameter, so that the planner can use the partial index over running parts.
_IS_RUNNING = Part.status == literal_column("'running'")
_RUNNING_SUMS = (
    Part.kind,
    func.sum(Part.done).label("done"),
    func.sum(Part.total).label("total"),
    func.max(Part.unit).label("unit"),
    func.sum(Part.rate).label("rate"),
)
_RUNNING_OF_JOB = (
    select(*_RUNNING_SUMS).where(Part.job_id == bindparam("job_id"), _IS_RUNNING).group_by(Part.kind).subquery()
)
# A job has at most one row of usage; its columns follow the columns of the job.
_USAGE = tuple(column.label(f"spend_{column.name}") for column in JobUsage.__table__.c)
_JOB = (
    select(*Job.__table__.c, *_USAGE, *(column.label(f"running_{column.name}") for column in _RUNNING_OF_JOB.c))
    .join(JobUsage, JobUsage.job_id == Job.id, isouter=True)
    .join(_RUNNING_OF_JOB, true(), isouter=True)
    .where(Job.id == bindparam("job_id"))
)
_NUM_RUNNING = len(_RUNNING_OF_JOB.c)
_RUNNING_OF_JOBS = (
    select(Part.job_id, *_RUNNING_SUMS)
    .where(Part.job_id.in_(bindparam("job_ids", expanding=True)), _IS_RUNNING)
    .group_by(Part.job_id, Part.kind)
    .subquery()
)
_JOBS = (
    select(Job.id, Job.tally, *(column for column in _RUNNING_OF_JOBS.c if column.name != "job_id"))
    .join(_RUNNING_OF_JOBS, _RUNNING_OF_JOBS.c.job_id == Job.id, isouter=True)
    .where(Job.id.in_(bindparam("job_ids", expanding=True)))
)
_TALLY = (
    select(
        Part.kind,
        func.coalesce(func.sum(Part.done).filter(~_IS_RUNNING), 0).label("done"),
        func.coalesce(func.sum(Part.total).filter(~_IS_RUNNING), 0).label("total"),
        func.max(Part.unit).label("unit"),
        (func.count().filter(~_IS_RUNNING) - func.count(Part.finished_at)).label("num_live"),
        func.count(Part.started_at).label("num_begun"),
    )
    .where(Part.job_id == bindparam("job_id"))
    .group_by(Part.kind)
    .order_by(func.min(Part.stage), func.min(Part.position))
)


def tally(tx: Session, job: Job) -> None:
    """Recompute the sums over the parts of the job.

    Call it in the transaction that changed the status of a part and holds the lock of the job.
    """
    phases = {stored["kind"]: stored["phases"] for stored in job.tally if "phases" in stored}
    tallies: list[TallyJSON] = [
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
    for stored in tallies:
        if stored["kind"] in phases:
            stored["phases"] = phases[stored["kind"]]
    job.tally = tallies


def begin_phase(job: Job, part: Part, name: str) -> None:
    """Add a phase to the tally, and keep the figures of the phase before it, which `part` still has.

    A part that is tried again begins its phases again. The caller has locked the row of the job.
    """
    job.tally = [_with_phase(stored, part, name) if stored["kind"] == part.kind else stored for stored in job.tally]


def _with_phase(stored: TallyJSON, part: Part, name: str) -> TallyJSON:
    begun = list(stored.get("phases", ()))
    if begun:
        begun[-1] = {"name": begun[-1]["name"], "done": part.done, "total": part.total, "unit": part.unit}
    names = [phase["name"] for phase in begun]
    kept = begun[: names.index(name)] if name in names else begun
    changed = stored.copy()
    changed["unit"] = ""
    changed["phases"] = [*kept, {"name": name, "done": 0, "total": 0, "unit": ""}]
    return changed


def of_jobs(tx: Session, job_ids: Sequence[str]) -> Mapping[str, Progress]:
    """Job id → progress. A stage is all parts of one kind; the current one is the first that has not ended, or else the
    last that started. Unknown jobs and jobs without parts are left out."""
    tallies: dict[str, list[TallyJSON]] = {}
    running: dict[str, list[Sequence[Any]]] = {}
    for job_id, job_tally, *running_sums in tx.execute(_JOBS, {"job_ids": list(job_ids)}):
        tallies[job_id] = job_tally
        running.setdefault(job_id, []).append(running_sums)
    return {job_id: found for job_id, stored in tallies.items() if (found := _progress(stored, running[job_id]))}


def of_job(tx: Session, job_id: str) -> tuple[Row[Any], Progress | None]:
    """The row of a job and its progress, in one statement. Raises NotFound."""
    tx.flush()
    # On the connection: the session would take longer to load one row than the database takes to find it.
    rows = tx.connection().execute(_JOB, {"job_id": job_id}).all()
    if not rows:
        raise NotFound("job", job_id)
    return rows[0], _progress(rows[0].tally, [row[-_NUM_RUNNING:] for row in rows])


def _progress(tally: Sequence[TallyJSON], running: Sequence[Sequence[Any]]) -> Progress | None:
    """Progress from the stored sums of each kind of part and the rows of sums over running parts."""
    if not tally:
        return None
    running_by_kind = {sums[0]: sums[1:] for sums in running}
    stages = [_stages(stored, running_by_kind.get(stored["kind"])) for stored in tally]
    started = [index for index, stored in enumerate(tally) if stored["num_begun"]] or [0]
    live = (index for index, stored in enumerate(tally) if stored["num_live"] or stored["kind"] in running_by_kind)
    current = stages[next(live, started[-1])][-1]
    return Progress(**vars(current), stages=[stage for of_kind in stages for stage in of_kind])


def _stages(stored: TallyJSON, running: Sequence[Any] | None) -> list[Stage]:
    """The phases of the part of a kind, the last of which has the sums; without phases, one stage for the kind."""
    kind, phases = stored["kind"], stored.get("phases", [])
    ended = [Stage(stage=kind, **phase, rate=None, eta_s=None) for phase in phases[:-1]]
    done, total, unit, rate = running or (0, 0, "", None)
    done, total = stored["done"] + int(done), stored["total"] + int(total)
    last = Stage(
        stage=kind,
        name=phases[-1]["name"] if phases else STAGE_NAMES.get(kind, kind),
        done=done,
        total=total,
        unit=unit or stored["unit"],
        rate=rate,
        eta_s=max(0.0, (total - done) / rate) if rate else None,
    )
    return [*ended, last]
