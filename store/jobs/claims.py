"""Claims of parts and the writes that a claim allows.

A claim is one compare-and-set that returns a lease token. Each later write of the worker repeats the token in its WHERE
clause and raises `LeaseLost` if it changes no row, so that a worker that lost its lease cannot overwrite anything.
Every transaction that moves a part locks the row of its job first.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from pydantic import ValidationError
from sqlalchemy import ColumnElement, CursorResult, Update, bindparam, case, func, literal_column, select, true, update
from sqlalchemy.orm import Session, aliased

from store.clock import now_s
from store.errors import LeaseLost, NotFound
from store.jobs import events
from store.jobs.part_results import PartResult
from store.jobs.progress import begin_phase, tally
from store.jobs.specs import JobSpec, PartSpec, S, expect, parse_job_spec, parse_part_spec
from store.models import Job, Part

R = TypeVar("R", bound=PartResult)
STOPPED_FOR_GOOD = ("cancel", "failure")
"""Values of `Job.stopping` after which no part of the job starts again by itself."""
_NO_SYNC = {"synchronize_session": False}
_LOST = "another worker has this part, or it has ended"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A part that this worker holds until its lease expires.

    `job_spec` and `spec` are parsed here, once. If the stored JSON is not a spec, `fault` says why.
    """

    part_id: str
    job_id: str
    kind: str
    token: str
    attempt: int
    job_spec: JobSpec
    spec: PartSpec
    state_key: str | None
    stage: int
    fault: str = ""
    trace_parent: str | None = None
    claimed_at: float = field(default_factory=time.monotonic)

    @property
    def duration_s(self) -> float:
        """Time since the claim."""
        return time.monotonic() - self.claimed_at

    @property
    def place(self) -> str:
        """Artefact prefix of this attempt: no other attempt writes below it."""
        return f"parts/{self.part_id}/{self.token}"

    def job(self, kind: type[S]) -> S:
        """The spec of the job, which is a `kind`."""
        return expect(self.job_spec, kind)

    def part(self, kind: type[S]) -> S:
        """The spec of the part, which is a `kind`."""
        return expect(self.spec, kind)


def fits(num_gpus: int) -> ColumnElement[bool]:
    """Whether a worker with `num_gpus` GPUs can run a part. Without any it runs all parts, on its CPU."""
    return Part.num_gpus <= num_gpus if num_gpus else true()


def fits_part(tx: Session, part_id: str, *, num_gpus: int) -> bool:
    """Whether a worker with `num_gpus` GPUs can run this part."""
    return tx.scalar(select(Part.id).where(Part.id == part_id, fits(num_gpus))) is not None


def ready(tx: Session, queues: Sequence[str], *, limit: int = 16, num_gpus: int = 0) -> list[str]:
    """Ids of queued parts that a worker with `num_gpus` GPUs may start now.

    They are ordered by priority, and of equal priority the oldest job comes first.
    """
    query = (
        select(Part.id)
        .where(Part.status == "queued", Part.queue.in_(queues), Part.not_before <= now_s(), fits(num_gpus))
        .order_by(Part.priority.desc(), Part.job_id, Part.position)
        .limit(limit)
    )
    return list(tx.scalars(query))


def ready_for_message(tx: Session, queue: str, part_id: str, *, num_gpus: int = 0) -> list[str]:
    """Ids of parts that a worker may start on a message about `part_id`, the most urgent first.

    The named part comes first unless another one has a higher priority, so that workers with different messages do not
    try for the same part.
    """
    ids = ready(tx, [queue], num_gpus=num_gpus)
    is_due = (Part.status == "queued") & (Part.not_before <= now_s()) & fits(num_gpus)
    named = tx.scalar(select(Part.priority).where(Part.id == part_id, Part.queue == queue, is_due))
    first = tx.scalar(select(Part.priority).where(Part.id == ids[0])) if ids else None
    if named is None or first is None or named < first:
        return ids
    return [part_id, *(id for id in ids if id != part_id)]


def next_part(tx: Session, job_id: str, queue: str, *, after_stage: int = -1, num_gpus: int = 0) -> str | None:
    """The first queued part of this job in a later stage, for a worker that has the job's data loaded.

    None if a part of another job has a higher priority.
    """
    query = select(Part.id).where(Part.job_id == job_id, Part.queue == queue, Part.status == "queued")
    first = aliased(Part)
    more_urgent = select(first.id).where(
        first.status == literal_column("'queued'"),
        first.queue == Part.queue,
        first.priority > Part.priority,
        first.not_before <= now_s(),
    )
    query = query.where(Part.stage > after_stage, Part.not_before <= now_s(), fits(num_gpus), ~more_urgent.exists())
    return tx.scalar(query.order_by(Part.position).limit(1))


def claim(tx: Session, part_id: str, *, worker: str, lease_s: float) -> Claim | None:
    """Claim a queued part; None if it is not available. Of several workers at most one gets it."""
    token = secrets.token_hex(8)
    job_id = tx.scalar(select(Part.job_id).where(Part.id == part_id, Part.status == "queued"))
    if job_id is None:
        return None
    job = lock_job(tx, job_id)
    # The UPDATE tests the status again after it has waited for the row: the second of two workers changes nothing.
    part = tx.scalars(
        update(Part)
        .where(Part.id == part_id, Part.status == "queued", Part.not_before <= now_s())
        .values(
            status="running",
            lease_token=token,
            lease_expires_at=now_s() + lease_s,
            worker=worker,
            attempts=Part.attempts + 1,
            idle_attempts=Part.idle_attempts + 1,
            started_at=func.coalesce(Part.started_at, now_s()),
            rate=None,
            gauges=None,
        )
        .returning(Part),
        execution_options={"synchronize_session": False, "populate_existing": True},
    ).one_or_none()
    if part is None:
        return None
    tally(tx, job)
    if job.status == "queued":
        job.status, job.started_at = "running", job.started_at or time.time()
        tx.flush()
        events.add(tx, job.id, "state", "running", data={"status": "running"})
    return _claim_of(job, part, token)


def of_attempt(tx: Session, part_id: str, token: str) -> Claim:
    """The claim that another process of this attempt took. Raises LeaseLost."""
    query = select(Part, Job).join(Job, Part.job_id == Job.id)
    found = tx.execute(query.where(Part.id == part_id, Part.lease_token == token, Part.status == "running")).first()
    if found is None:
        raise LeaseLost(_LOST)
    part, job = found
    return _claim_of(job, part, token)


def _claim_of(job: Job, part: Part, token: str) -> Claim:
    job_spec, spec, fault = _parsed(job, part)
    return Claim(
        part_id=part.id,
        job_id=job.id,
        kind=part.kind,
        token=token,
        attempt=part.attempts,
        job_spec=job_spec,
        spec=spec,
        state_key=part.state_key,
        stage=part.stage,
        fault=fault,
        trace_parent=job.trace_parent,
    )


def _parsed(job: Job, part: Part) -> tuple[JobSpec, PartSpec, str]:
    try:
        return parse_job_spec(job.kind, job.spec), parse_part_spec(part.kind, part.spec), ""
    except (ValidationError, KeyError) as error:
        fault = f"the stored spec of the job or of its {part.kind} part is invalid ({_reason(error)}); create a new job"
        return JobSpec.model_construct(), PartSpec(), fault


def _reason(error: ValidationError | KeyError) -> str:
    if isinstance(error, KeyError):
        return f"unknown kind {error}"
    first = error.errors(include_url=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


# Built once, because it precedes every response of an LLM that is stored. It takes the lock that an update would take,
# without writing a new version of the row. SQLite has no such lock, but runs one writing transaction at a time.
_IS_HELD = (
    select(Part.id)
    .where(Part.id == bindparam("part_id"), Part.lease_token == bindparam("token"), Part.status == "running")
    .with_for_update(key_share=True)
)


def held(claim: Claim) -> Update:
    """An UPDATE of the claimed part that changes no row if the lease is lost."""
    return update(Part).where(Part.id == claim.part_id, Part.lease_token == claim.token, Part.status == "running")


def changed(tx: Session, statement: Update) -> int:
    """Number of rows that the UPDATE changed."""
    result = tx.execute(statement, execution_options=_NO_SYNC)
    return cast(CursorResult[Any], result).rowcount


def must_change(tx: Session, statement: Update) -> None:
    """Run an UPDATE of the claimed part. Raises LeaseLost if it changes no row."""
    if changed(tx, statement) != 1:
        raise LeaseLost(_LOST)


def check(tx: Session, claim: Claim) -> None:
    """Raise LeaseLost unless the claim still holds, and keep the part's row locked until this transaction ends."""
    values = {"part_id": claim.part_id, "token": claim.token}
    if tx.connection().scalar(_IS_HELD, values) is None:
        raise LeaseLost(_LOST)


def lock(tx: Session, claim: Claim) -> Job:
    """Lock the row of the claim's job; every transaction locks it before any other row."""
    return lock_job(tx, claim.job_id)


def lock_job(tx: Session, job_id: str) -> Job:
    """Lock and return a job. Raises NotFound.

    The lock is Postgres' FOR NO KEY UPDATE. FOR UPDATE would also block new rows that refer to the job, such as the
    results of a part, whose row the holder of this lock may wait for.
    """
    job = tx.get(Job, job_id, with_for_update={"key_share": True}, populate_existing=True)
    if job is None:
        raise NotFound("job", job_id)
    return job


def note(
    tx: Session,
    claim: Claim,
    type: events.Type,
    message: str,
    *,
    level: events.Level = "info",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append an event of the claimed part."""
    lock(tx, claim)  # before the part's row, or two workers could deadlock
    check(tx, claim)
    events.add(tx, claim.job_id, type, message, level=level, data=data)


def result_of(tx: Session, claim: Claim, kind: type[R]) -> R | None:
    """The result of the last succeeded part of this kind in the claim's job; None if there is none."""
    return result_of_job(tx, claim.job_id, kind)


def result_of_job(tx: Session, job_id: str, kind: type[R]) -> R | None:
    """The result of the last succeeded part of this kind in a job; None if there is none."""
    query = select(Part.result).where(Part.job_id == job_id, Part.status == "succeeded")
    query = query.where(Part.kind == kind.part_kind).order_by(Part.position.desc()).limit(1)
    stored = tx.scalar(query)
    return None if stored is None else kind.model_validate(stored)


def results_of(tx: Session, claim: Claim, kind: type[R]) -> list[R]:
    """The results of all succeeded parts of this kind in the claim's job, in order."""
    query = select(Part.result).where(Part.job_id == claim.job_id, Part.status == "succeeded")
    stored = tx.scalars(query.where(Part.kind == kind.part_kind).order_by(Part.position))
    return [kind.model_validate(one) for one in stored]


def renew(tx: Session, claim: Claim, *, lease_s: float) -> bool:
    """Extend the lease; False if the job asks its parts to stop, unless it pauses (the lease then expires by itself).

    A training that pauses keeps its lease while it saves its state.
    """
    stopping = tx.scalar(select(Job.stopping).where(Job.id == claim.job_id))
    if stopping in STOPPED_FOR_GOOD:
        check(tx, claim)
    else:
        must_change(tx, held(claim).values(lease_expires_at=now_s() + lease_s))
    return stopping is None


def stop_request(tx: Session, claim: Claim) -> str | None:
    """Why the job asks its parts to stop: `cancel`, `failure`, `pause`; None if it does not. Raises LeaseLost.

    Two rows looked up by key.
    """
    query = select(Job.stopping, Part.lease_token, Part.status).join(Part, Part.job_id == Job.id)
    row = tx.execute(query.where(Part.id == claim.part_id)).one_or_none()
    if row is None or (row.lease_token, row.status) != (claim.token, "running"):
        raise LeaseLost(_LOST)
    stopping: str | None = row.stopping
    return stopping


def record_progress(
    tx: Session,
    claim: Claim,
    *,
    done: int,
    total: int,
    unit: str,
    rate: float | None,
    gauges: Mapping[str, float] | None = None,
) -> None:
    """Record the part's progress; `rate` is in units per second. `gauges`: see `store.jobs.progress.running_gauges`."""
    values = {"done": done, "total": total, "unit": unit, "rate": rate, "gauges": dict(gauges) if gauges else None}
    must_change(tx, held(claim).values(values))


def begin(tx: Session, claim: Claim, phase: str) -> None:
    """Begin a phase of the claimed part: its progress starts at zero."""
    job = lock(tx, claim)
    part = tx.get(Part, claim.part_id, populate_existing=True)
    if part is None:
        raise LeaseLost(_LOST)
    begin_phase(job, part, phase)
    must_change(tx, held(claim).values(done=0, total=0, unit="", rate=None, gauges=None))


def save_state(tx: Session, claim: Claim, state_key: str, *, units: int) -> None:
    """Point the part at the training state that the next attempt resumes from.

    `units`: steps in this state. If they are more than in any state before, this attempt made progress.
    """
    is_progress = Part.saved_units < units
    values = {
        "state_key": state_key,
        "saved_units": case((is_progress, units), else_=Part.saved_units),
        "idle_attempts": case((is_progress, 0), else_=Part.idle_attempts),
    }
    must_change(tx, held(claim).values(values))
