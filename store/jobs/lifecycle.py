"""Jobs and their parts: every query that moves one, the claim included.

    part: waiting → queued → running → succeeded | failed | cancelled        (waiting: for the stage before it)
    job:  queued → running → succeeded | failed | cancelled, by way of cancelling where asked

A claim is one compare-and-set that gives a lease token; each later write of the worker repeats the token in its WHERE
clause and raises `LeaseLost` where it changes no row. Whatever moves a part locks its job's row first, so that the
ends of two parts are seen one after the other, and the last one seals the job in its own transaction.
"""

import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, cast

from sqlalchemy import CursorResult, Update, bindparam, func, or_, select, update
from sqlalchemy.orm import Session

from store.clock import now_s
from store.enrich import batches
from store.errors import LeaseLost, NotFound
from store.ids import new_id
from store.jobs import events
from store.jobs.progress import tally
from store.jobs.sealing import seal
from store.models import Job, Part

Kind = Literal["enrich", "encode", "distill", "evaluate", "prove", "check"]
STOPPING_POLL_S = 5.0  # how often a batch is looked at that was asked to end
LIVE = ("waiting", "queued", "running")
ENDED = ("succeeded", "failed", "cancelled")
_QUIETLY = {"synchronize_session": False}


@dataclass(frozen=True, kw_only=True)
class NewPart:
    """A part to make; it waits until every part of an earlier stage has ended."""

    kind: str
    queue: Literal["enrich", "gpu"]
    spec: Mapping[str, Any] = field(default_factory=dict)
    total: int = 0
    unit: str = ""
    stage: int = 0


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A part that this worker holds until its lease runs out."""

    part_id: str
    job_id: str
    kind: str
    job_kind: str
    token: str
    attempt: int
    job_spec: Mapping[str, Any]
    spec: Mapping[str, Any]
    state_key: str | None
    stage: int

    @property
    def place(self) -> str:
        """Where this attempt may write files: no other attempt ever writes there."""
        return f"parts/{self.part_id}/{self.token}"


def create(tx: Session, kind: Kind, spec: Mapping[str, Any], parts: Sequence[NewPart]) -> Job:
    """A queued job with its parts."""
    job = Job(
        id=new_id("job"),
        kind=kind,
        status="queued",
        spec=dict(spec),
        result=None,
        error=None,
        stopping=None,
        tally=[],
        num_events=0,
        created_at=time.time(),
        started_at=None,
        finished_at=None,
    )
    tx.add(job)
    tx.flush()
    first = min((part.stage for part in parts), default=0)
    _add(tx, job.id, parts, first_position=0, begins=first)
    tally(tx, job)
    events.add(tx, job.id, "state", "queued", data={"status": "queued"})
    return job


def add_parts(tx: Session, claim: Claim, parts: Sequence[NewPart]) -> None:
    """Give the claim's job more parts, of the claimed part's stage or later ones; for `publish`, before it ends."""
    last: int = tx.scalars(select(func.max(Part.position)).where(Part.job_id == claim.job_id)).one()
    _add(tx, claim.job_id, parts, first_position=last + 1, begins=claim.stage)


def _add(tx: Session, job_id: str, parts: Sequence[NewPart], *, first_position: int, begins: int) -> None:
    tx.add_all(
        Part(
            id=new_id("prt"),
            job_id=job_id,
            position=position,
            kind=part.kind,
            queue=part.queue,
            status="waiting" if part.stage > begins else "queued",
            stage=part.stage,
            spec=dict(part.spec),
            attempts=0,
            not_before=0.0,
            done=0,
            total=part.total,
            unit=part.unit,
        )
        for position, part in enumerate(parts, first_position)
    )
    tx.flush()


def get(tx: Session, job_id: str) -> Job:
    """The job, or `NotFound`."""
    job = tx.get(Job, job_id)
    if job is None:
        raise NotFound("job", job_id)
    return job


def ready(tx: Session, queues: Sequence[str], *, limit: int = 16) -> list[str]:
    """Ids of queued parts whose time has come, oldest job first."""
    query = (
        select(Part.id)
        .where(Part.status == "queued", Part.queue.in_(queues), Part.not_before <= now_s())
        .order_by(Part.job_id, Part.position)
        .limit(limit)
    )
    return list(tx.scalars(query))


def next_of(tx: Session, job_id: str, queue: str, *, after_stage: int = -1) -> str | None:
    """The first queued part of this job in a later stage, for a worker that is warm from the part before it."""
    query = select(Part.id).where(Part.job_id == job_id, Part.queue == queue, Part.status == "queued")
    query = query.where(Part.stage > after_stage)
    return tx.scalar(query.where(Part.not_before <= now_s()).order_by(Part.position).limit(1))


def claim(tx: Session, part_id: str, *, worker: str, lease_s: float) -> Claim | None:
    """Take a queued part, or None where it is not to be had (any more). One row is changed by one worker only."""
    token = secrets.token_hex(8)
    job_id = tx.scalar(select(Part.job_id).where(Part.id == part_id, Part.status == "queued"))
    if job_id is None:
        return None
    job = _lock(tx, job_id)
    # The state is tested again by the UPDATE itself, after it has waited for the row: the second of two gets nothing.
    part = tx.scalars(
        update(Part)
        .where(Part.id == part_id, Part.status == "queued", Part.not_before <= now_s())
        .values(
            status="running",
            lease_token=token,
            lease_expires_at=now_s() + lease_s,
            worker=worker,
            attempts=Part.attempts + 1,
            started_at=func.coalesce(Part.started_at, now_s()),
            rate=None,
        )
        .returning(Part),
        execution_options={"synchronize_session": False, "populate_existing": True},
    ).one_or_none()
    if part is None:
        return None
    tally(tx, job)
    if job.status == "queued":
        job.status, job.started_at = "running", time.time()
        tx.flush()
        events.add(tx, job.id, "state", "running", data={"status": "running"})
    return Claim(
        part_id=part.id,
        job_id=job.id,
        kind=part.kind,
        job_kind=job.kind,
        token=token,
        attempt=part.attempts,
        job_spec=job.spec,
        spec=part.spec,
        state_key=part.state_key,
        stage=part.stage,
    )


_LOST = "another worker has this part, or it has ended"
# Built once, for it comes before every answer of an LLM that is kept. The row is locked as an update would lock it,
# without a new version of it each time; SQLite, which has no such lock, writes one transaction at a time anyway.
_IS_HELD = (
    select(Part.id)
    .where(Part.id == bindparam("part_id"), Part.lease_token == bindparam("token"), Part.status == "running")
    .with_for_update(key_share=True)
)


def _held(claim: Claim) -> Update:
    return update(Part).where(Part.id == claim.part_id, Part.lease_token == claim.token, Part.status == "running")


def _changed(tx: Session, statement: Update) -> int:
    result = tx.execute(statement, execution_options={"synchronize_session": False})
    return cast(CursorResult[Any], result).rowcount


def _must_change(tx: Session, statement: Update) -> None:
    if _changed(tx, statement) != 1:
        raise LeaseLost(_LOST)


def check(tx: Session, claim: Claim) -> None:
    """Raise `LeaseLost` unless the claim still holds, and keep the part from moving until this transaction ends."""
    held = {"part_id": claim.part_id, "token": claim.token}
    if tx.connection().scalar(_IS_HELD, held) is None:
        raise LeaseLost(_LOST)


def note(
    tx: Session,
    claim: Claim,
    type: events.Type,
    message: str,
    *,
    level: events.Level = "info",
    data: Mapping[str, Any] | None = None,
) -> None:
    """Append an event of the part that the claim holds."""
    _lock(tx, claim.job_id)  # always before the part's row, or two workers could wait for each other
    check(tx, claim)
    events.add(tx, claim.job_id, type, message, level=level, data=data)


def results_so_far(tx: Session, claim: Claim) -> dict[str, Any]:
    """What the parts before this one came to, laid over each other; their `files` under `files`."""
    query = select(Part.result).where(Part.job_id == claim.job_id, Part.status == "succeeded").order_by(Part.position)
    merged: dict[str, Any] = {"files": {}}
    for result in tx.scalars(query):
        files = merged["files"] | (result or {}).get("files", {})
        merged |= {**(result or {}), "files": files}
    return merged


def renew(tx: Session, claim: Claim, *, lease_s: float) -> bool:
    """Keep the lease; False where the job asks its parts to stop (the lease then runs out by itself)."""
    stopping = tx.scalar(select(Job.stopping).where(Job.id == claim.job_id))
    check(tx, claim) if stopping else _must_change(tx, _held(claim).values(lease_expires_at=now_s() + lease_s))
    return stopping is None


def progress(tx: Session, claim: Claim, *, done: int, total: int, unit: str, rate: float | None) -> None:
    """Record how far the part is; `rate` is in units per second."""
    _must_change(tx, _held(claim).values(done=done, total=total, unit=unit, rate=rate))


def save_state(tx: Session, claim: Claim, state_key: str) -> None:
    """Move the pointer to the state that the next attempt goes on from."""
    _must_change(tx, _held(claim).values(state_key=state_key))


def finish(tx: Session, claim: Claim, result: Mapping[str, Any]) -> None:
    """End the part well, let the next stage begin where this was its stage's last, and seal the job at the end."""
    job = _lock(tx, claim.job_id)
    values = {"status": "succeeded", "result": dict(result), "finished_at": now_s(), "lease_token": None, "rate": None}
    _must_change(tx, _held(claim).values(**values, done=Part.total))
    settle(tx, job)


def fail(
    tx: Session, claim: Claim, *, code: str, message: str, retry_in_s: float | None = None, max_attempts: int = 1
) -> bool:
    """End the part badly, or queue it again after `retry_in_s` while attempts are left; True where it ended.

    A part that ends badly stops its job (see `stop`), unless the job can do without it.
    """
    job = _lock(tx, claim.job_id)
    if retry_in_s is not None and claim.attempt < max_attempts and not job.stopping:
        _must_change(tx, _requeued(_held(claim), not_before=now_s() + retry_in_s))
        tally(tx, job)
        events.add(
            tx, job.id, "message", f"{claim.kind}: {message}; trying again", level="warning", data={"code": code}
        )
        return False
    error = {"code": code, "message": message}
    _must_change(
        tx, _held(claim).values(status="failed", error=error, finished_at=now_s(), lease_token=None, rate=None)
    )
    events.add(tx, job.id, "message", f"{claim.kind}: {message}", level="error", data={"code": code})
    if not _can_do_without(job, claim.kind):
        stop(tx, job, error)
    settle(tx, job)
    return True


def _can_do_without(job: Job, kind: str) -> bool:
    """An enrichment keeps what its other chunks came to; but without neighbours there are no pairs to ask about."""
    return job.kind == "enrich" and kind != "neighbours"


def stop(tx: Session, job: Job, error: Mapping[str, Any]) -> None:
    """Let no further part of the job begin, and ask the running ones to stop; it will end as failed by `error`."""
    if job.stopping is None:
        job.stopping, job.error = "failure", dict(error)
    _drop(tx, job)


def _drop(tx: Session, job: Job) -> None:
    """End the parts that nobody has begun. One whose batch is at the server comes at once, to see it to its end."""
    idle = update(Part).where(Part.job_id == job.id, Part.status.in_(("waiting", "queued")))
    tx.execute(idle.where(batches.WAITS).values(not_before=0.0, sent_at=None), execution_options=_QUIETLY)
    dropped = idle.where(~batches.WAITS).values(status="cancelled", finished_at=now_s())
    tx.execute(dropped, execution_options=_QUIETLY)
    tx.flush()


def fail_job(tx: Session, claim: Claim, *, code: str, message: str) -> None:
    """A fault that no other part of the job can escape (a wrong key, say): the part fails and the job stops."""
    job = _lock(tx, claim.job_id)
    error = {"code": code, "message": message}
    _must_change(
        tx, _held(claim).values(status="failed", error=error, finished_at=now_s(), lease_token=None, rate=None)
    )
    events.add(tx, job.id, "message", message, level="error", data={"code": code})
    stop(tx, job, error)
    settle(tx, job)


def give_back(tx: Session, claim: Claim) -> None:
    """Let the part go without counting the attempt (the worker shuts down), or end it where its job is stopping."""
    defer(tx, claim, in_s=0.0)


def defer(tx: Session, claim: Claim, *, in_s: float) -> None:
    """Let the part go until later without counting the attempt (what it waits for happens elsewhere), or end it where
    its job is stopping and no batch has to be seen to its end."""
    job = _lock(tx, claim.job_id)
    if job.stopping and batches.waits(tx, claim.part_id):
        in_s = min(in_s, STOPPING_POLL_S)
    elif job.stopping:
        _must_change(tx, _held(claim).values(status="cancelled", finished_at=now_s(), lease_token=None, rate=None))
        settle(tx, job)
        return
    _must_change(tx, _requeued(_held(claim), not_before=now_s() + in_s).values(attempts=Part.attempts - 1))
    settle(tx, job)


def expire(tx: Session, *, worker: str) -> None:
    """End the leases of a worker that is known to be dead, so that nobody need wait for them."""
    tx.execute(
        update(Part).where(Part.worker == worker, Part.status == "running").values(lease_expires_at=now_s() - 1.0)
    )


def cancel(tx: Session, job_id: str) -> Job:
    """Ask the job to stop: parts not yet begun end now, running ones at their next renewal or their lease's end."""
    job = _lock(tx, job_id)
    if job.status in ENDED or job.stopping == "cancel":
        return job
    job.stopping, job.status = "cancel", "cancelling"
    _drop(tx, job)
    events.add(tx, job.id, "state", "cancelling", data={"status": "cancelling"})
    settle(tx, job)
    return job


def settle(tx: Session, job: Job) -> None:
    """Let the next stage begin where one is over, and derive the job's state once no part is live.

    The caller has locked the job's row.
    """
    tally(tx, job)
    live = select(Part.stage, Part.status).where(Part.job_id == job.id, Part.status.in_(LIVE))
    if first := tx.execute(live.order_by(Part.stage, Part.status).limit(1)).first():
        # In the order of the alphabet: a stage whose first part is waiting has neither queued nor running ones.
        if first.status == "waiting":
            begin = update(Part).where(Part.job_id == job.id, Part.stage == first.stage, Part.status == "waiting")
            tx.execute(begin.values(status="queued"), execution_options={"synchronize_session": False})
        return
    results = tx.scalars(select(Part.result).where(Part.job_id == job.id).order_by(Part.position)).all()
    outcome = seal(tx, job, results)
    job.result = outcome.result
    if job.stopping == "cancel":
        job.status = "cancelled"
    elif job.stopping == "failure":
        job.status, job.error = "failed", outcome.budget_error or job.error
    else:
        job.status, job.error = outcome.status, outcome.error
    job.finished_at = time.time()
    tx.flush()
    level: events.Level = "error" if job.status == "failed" else "info"
    message = f"failed: {job.error['message']}" if job.error else job.status
    events.add(tx, job.id, "state", message, level=level, data={"status": job.status, "error": job.error})


def requeue_expired(tx: Session, *, max_attempts: int) -> int:
    """Give the parts of silent workers to others, or end them; the number of parts moved."""
    expired = select(Part.id, Part.job_id).where(Part.status == "running", Part.lease_expires_at < now_s())
    moved = 0
    for part_id, job_id in tx.execute(expired.order_by(Part.job_id, Part.id)).all():
        job = _lock(tx, job_id)
        part = tx.get_one(Part, part_id, populate_existing=True)
        gone = update(Part).where(Part.id == part_id, Part.status == "running", Part.lease_expires_at < now_s())
        ended = {"finished_at": now_s(), "lease_token": None, "rate": None}
        if job.stopping and not batches.waits(tx, part_id):
            statement = gone.values(status="cancelled", **ended)
        elif part.attempts < max_attempts:
            statement = _requeued(gone, not_before=0.0)
        else:
            error = {
                "code": "worker_lost",
                "message": f"{part.kind}: its worker stopped answering, {part.attempts} times in a row",
            }
            statement = gone.values(status="failed", error=error, **ended)
        if not _changed(tx, statement):
            continue  # it came back, or another sweeper was here first
        moved += 1
        if not job.stopping:
            again = part.attempts < max_attempts
            message = f"{part.kind}: worker lost" + ("; trying again" if again else "")
            events.add(tx, job.id, "message", message, level="warning", data={"code": "worker_lost"})
            if not again and not _can_do_without(job, part.kind):
                stop(tx, job, error)
        settle(tx, job)
    return moved


def to_send(tx: Session, *, resend_s: float, limit: int = 500) -> list[tuple[str, str]]:
    """(part id, queue) of queued parts of which no message was sent, or none lately."""
    unsent = or_(Part.sent_at.is_(None), Part.sent_at < now_s() - resend_s)
    query = select(Part.id, Part.queue).where(Part.status == "queued", Part.not_before <= now_s(), unsent)
    return [(row.id, row.queue) for row in tx.execute(query.order_by(Part.job_id, Part.position).limit(limit))]


def mark_sent(tx: Session, part_ids: Sequence[str]) -> None:
    """Note that a message for each of these parts has just gone out."""
    tx.execute(update(Part).where(Part.id.in_(part_ids)).values(sent_at=now_s()))


def spent_states(tx: Session, *, limit: int = 100) -> list[tuple[str, str]]:
    """(part id, state key) of parts that have ended and will not go on from their state."""
    query = select(Part.id, Part.state_key).where(Part.state_key.is_not(None), Part.status.in_(ENDED)).limit(limit)
    return [(row.id, row.state_key) for row in tx.execute(query)]


def forget_states(tx: Session, part_ids: Sequence[str]) -> None:
    """Drop the pointers to states whose files are gone."""
    tx.execute(update(Part).where(Part.id.in_(part_ids), Part.status.in_(ENDED)).values(state_key=None))


def _requeued(statement: Update, *, not_before: Any) -> Update:
    return statement.values(
        status="queued",
        lease_token=None,
        lease_expires_at=None,
        worker=None,
        sent_at=None,
        rate=None,
        not_before=not_before,
    )


def lock(tx: Session, claim: Claim) -> None:
    """Lock the claim's job before anything else is written: the order in which every transaction locks."""
    _lock(tx, claim.job_id)


def _lock(tx: Session, job_id: str) -> Job:
    job = tx.get(Job, job_id, with_for_update=True, populate_existing=True)
    if job is None:
        raise NotFound("job", job_id)
    return job
