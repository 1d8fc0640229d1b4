"""Transitions of parts and jobs: finish, fail, defer, cancel, requeue. The last part to end ends the job.

Every transition locks the row of the job first, so that the ends of two parts are serialised, and the transaction that
ends the last part publishes the result of the job (`store.lifecycle.job_results`).
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import ColumnElement, Update, case, literal_column, select, update
from sqlalchemy.orm import Session

from limbeck.shared.retry import backoff_s
from store import webhooks
from store.clock import now_s
from store.enrich import batches
from store.jobs import counters, events
from store.jobs.claims import STOPPED_FOR_GOOD, Claim, changed, held, lock, lock_job, must_change
from store.jobs.jobs import ENDED, LIVE, next_status
from store.jobs.part_results import PartResult
from store.jobs.progress import tally
from store.lifecycle import nodes
from store.lifecycle.job_results import publish_result
from store.models import Job, Part

STOPPING_POLL_S = 5.0  # between polls of a batch that is being cancelled
_FIRST_WAIT_S, _MAX_WAIT_S = 2.0, 300.0  # before the next attempt of a part whose attempts make no progress
_JITTER = (0.5, 1.0)
_NO_SYNC = {"synchronize_session": False}


def finish(tx: Session, claim: Claim, result: PartResult) -> None:
    """End the part as succeeded; start the next stage after the last part of a stage, end the job after the last."""
    job = lock(tx, claim)
    values = {"status": "succeeded", "result": result.as_json(), "finished_at": now_s(), "lease_token": None}
    must_change(tx, held(claim).values(**values, rate=None, done=Part.total))
    if job.stopping in ("cancel", "failure"):
        _cancel_idle_parts(tx, job)  # those that this part has added
    _count(tx, claim, "succeeded")
    update_job(tx, job)


def fail(
    tx: Session, claim: Claim, *, code: str, message: str, retry_in_s: float | None = None, max_attempts: int = 1
) -> bool:
    """End the part as failed, or requeue it while attempts without progress remain; True if it ended.

    `retry_in_s`: the wait before the second attempt, which doubles with each further one; None if a retry cannot help.

    A failed part stops its job (see `stop`), unless the job can continue without it.
    """
    job = lock(tx, claim)
    idle = _idle_attempts(tx, tx.get_one(Part, claim.part_id, populate_existing=True))
    if retry_in_s is not None and idle.number < max_attempts and job.stopping not in STOPPED_FOR_GOOD:
        wait_s = backoff_s(max(idle.number, 1), first_s=retry_in_s, max_s=max(retry_in_s, _MAX_WAIT_S), jitter=_JITTER)
        must_change(tx, _requeued(held(claim), job, not_before=now_s() + wait_s).values(idle.columns))
        _count(tx, claim, "retried", code=code)
        text = f"{claim.kind}: {message}; trying again in {wait_s:.0f} s"
        events.add(tx, job.id, "message", text, level="warning", data={"code": code})
        update_job(tx, job)
        return False
    error = _end_failed(tx, claim, job, code=code, message=message, event=f"{claim.kind}: {message}")
    if not _is_optional(job, claim.kind):
        stop(tx, job, error)
    update_job(tx, job)
    return True


def fail_job(tx: Session, claim: Claim, *, code: str, message: str) -> None:
    """End the part as failed and stop its job: the fault (a wrong API key, for example) affects every part."""
    job = lock(tx, claim)
    stop(tx, job, _end_failed(tx, claim, job, code=code, message=message, event=message))
    update_job(tx, job)


def _end_failed(tx: Session, claim: Claim, job: Job, *, code: str, message: str, event: str) -> dict[str, str]:
    error = {"code": code, "message": message}
    must_change(tx, held(claim).values(status="failed", error=error, finished_at=now_s(), lease_token=None, rate=None))
    _count(tx, claim, "failed", code=code)
    events.add(tx, job.id, "message", event, level="error", data={"code": code})
    return error


def _count(tx: Session, claim: Claim, outcome: str, *, code: str = "") -> None:
    """Count the end of this attempt; `code`: of the error."""
    failure = [counters.PART_FAILURES.increment(1, claim.kind, code)] if code else []
    counters.add(tx, [*counters.part_ended(claim.kind, outcome, claim.duration_s), *failure])


def _is_optional(job: Job, kind: str) -> bool:
    """An enrichment keeps the results of its other chunks; but without confusable labels there are no pairs."""
    return job.kind == "enrich" and kind != "neighbours"


def stop(tx: Session, job: Job, error: Mapping[str, str]) -> None:
    """Start no further part of the job and request a stop of the running ones; the job will fail with `error`."""
    if job.stopping not in STOPPED_FOR_GOOD:
        job.stopping, job.error = "failure", dict(error)
        if job.status in ("pausing", "paused"):
            job.status = "running"
    _cancel_idle_parts(tx, job)


def _cancel_idle_parts(tx: Session, job: Job) -> None:
    """Cancel the parts that have not started. A part with an open batch is due at once, to end the batch."""
    idle = update(Part).where(Part.job_id == job.id, Part.status.in_(("waiting", "queued", "paused")))
    with_batch = idle.where(batches.HAS_OPEN_BATCH).values(status="queued", not_before=0.0, sent_at=None)
    tx.execute(with_batch, execution_options=_NO_SYNC)
    cancelled = idle.where(~batches.HAS_OPEN_BATCH).values(status="cancelled", finished_at=now_s())
    tx.execute(cancelled, execution_options=_NO_SYNC)
    tx.flush()


def release(tx: Session, claim: Claim) -> None:
    """Release the part without counting the attempt (the worker shuts down), or end it if its job is stopping."""
    defer(tx, claim, in_s=0.0)


def defer(tx: Session, claim: Claim, *, in_s: float) -> None:
    """Release the part for `in_s` seconds without counting the attempt (it waits for something elsewhere).

    If the job is stopping, the part ends, unless it has an open batch.
    """
    job = lock(tx, claim)
    if job.stopping in STOPPED_FOR_GOOD and batches.has_open_batch(tx, claim.part_id):
        in_s = min(in_s, STOPPING_POLL_S)
    elif job.stopping in STOPPED_FOR_GOOD:
        must_change(tx, held(claim).values(status="cancelled", finished_at=now_s(), lease_token=None, rate=None))
        _count(tx, claim, "cancelled")
        update_job(tx, job)
        return
    uncounted = {
        "attempts": Part.attempts - 1,
        "idle_attempts": case((Part.idle_attempts > 0, Part.idle_attempts - 1), else_=0),
    }
    must_change(tx, _requeued(held(claim), job, not_before=now_s() + in_s).values(uncounted))
    _count(tx, claim, "deferred" if in_s else "released")
    update_job(tx, job)


def cancel(tx: Session, job_id: str) -> Job:
    """Ask the job to stop: idle parts end now, running ones when they see it or when their lease expires."""
    job = lock_job(tx, job_id)
    if job.status in ENDED or job.stopping == "cancel":
        return job
    job.stopping, job.status = "cancel", "cancelling"
    _cancel_idle_parts(tx, job)
    events.add(tx, job.id, "state", "cancelling", data={"status": "cancelling"})
    update_job(tx, job)
    return job


def update_job(tx: Session, job: Job) -> None:
    """Start the next stage if a stage is over, and end the job if no part is live.

    The caller has locked the row of the job.
    """
    tally(tx, job)
    live = select(Part.stage, Part.status).where(Part.job_id == job.id, Part.status.in_(LIVE))
    if first := tx.execute(live.order_by(Part.stage, Part.status).limit(1)).first():
        # "waiting" sorts last: if the first row of the lowest stage waits, the stage has no queued or running part.
        if first.status == "waiting":
            next_stage = update(Part).where(Part.job_id == job.id, Part.stage == first.stage, Part.status == "waiting")
            status = next_status(job)
            tx.execute(next_stage.values(status=status, queued_at=now_s()), execution_options=_NO_SYNC)
        if job.status == "pausing" and not _is_running(tx, job):
            job.status = "paused"
            tx.flush()
            events.add(tx, job.id, "state", "paused", data={"status": "paused"})
        return
    results = tx.scalars(select(Part.result).where(Part.job_id == job.id).order_by(Part.position)).all()
    outcome = publish_result(tx, job, results)
    job.result = outcome.result.as_json()
    if job.stopping == "cancel":
        job.status = "cancelled"
    elif job.stopping == "failure":
        job.status, job.error = "failed", outcome.budget_error or job.error
    else:
        job.status, job.error = outcome.status, outcome.error
    job.finished_at = time.time()
    if job.stopping == "pause":  # its last part has ended before it saw the request
        job.stopping = None
    tx.flush()
    counters.add(tx, _ended(job))
    level: events.Level = "error" if job.status == "failed" else "info"
    message = f"failed: {job.error['message']}" if job.error else job.status
    events.add(tx, job.id, "state", message, level=level, data={"status": job.status, "error": job.error})
    webhooks.add_job_end(tx, job)


def _is_running(tx: Session, job: Job) -> bool:
    running = select(Part.id).where(Part.job_id == job.id, Part.status == literal_column("'running'"))
    return tx.scalar(running.limit(1)) is not None


def _ended(job: Job) -> list[counters.Increment]:
    failure = [counters.JOB_FAILURES.increment(1, job.kind, job.error["code"])] if job.error else []
    return [counters.JOBS_ENDED.increment(1, job.kind, job.status), *failure]


def requeue_expired(tx: Session, *, max_attempts: int) -> int:
    """Requeue the parts of silent workers, or end them; returns how many parts changed."""
    expired = select(Part.id, Part.job_id).where(Part.status == "running", Part.lease_expires_at < now_s())
    moved = 0
    for part_id, job_id in tx.execute(expired.order_by(Part.job_id, Part.id)).all():
        job = lock_job(tx, job_id)
        part = tx.get_one(Part, part_id, populate_existing=True)
        # The worker may have renewed its lease, or another sweeper may have been first.
        still_expired = update(Part).where(
            Part.id == part_id, Part.status == "running", Part.lease_expires_at < now_s()
        )
        moved += _end_lost(
            tx,
            job,
            part,
            still_expired,
            code="worker_lost",
            message="its worker stopped responding",
            limit=max_attempts,
        )
    return moved


def lose(tx: Session, part_id: str, token: str, *, code: str, message: str, max_attempts: int) -> bool:
    """Requeue or end a part whose process is dead or does not react; the parent of the process calls this.

    `token`: of the attempt. Returns False if the part has ended or was requeued already.
    """
    job_id = tx.scalar(select(Part.job_id).where(Part.id == part_id))
    if job_id is None:
        return False
    job = lock_job(tx, job_id)
    part = tx.get_one(Part, part_id, populate_existing=True)
    of_attempt = update(Part).where(Part.id == part_id, Part.lease_token == token, Part.status == "running")
    return _end_lost(tx, job, part, of_attempt, code=code, message=message, limit=max_attempts)


def _end_lost(tx: Session, job: Job, part: Part, statement: Update, *, code: str, message: str, limit: int) -> bool:
    """Requeue or end a part that its worker does not end; False if `statement`, an UPDATE of the part, fits no row.

    `limit`: number of attempts. The caller has locked the row of the job.
    """
    ended = {"finished_at": now_s(), "lease_token": None, "rate": None}
    idle = _idle_attempts(tx, part)
    again = idle.number < limit
    wait_s = 0.0
    if idle.number and job.stopping not in STOPPED_FOR_GOOD:
        wait_s = backoff_s(idle.number, first_s=_FIRST_WAIT_S, max_s=_MAX_WAIT_S, jitter=_JITTER)
    attempts = f", {idle.number} times in a row without progress" if idle.number > 1 and not again else ""
    error = {"code": code, "message": f"{part.kind}: {message}{attempts}"}
    is_stopped = job.stopping in STOPPED_FOR_GOOD
    if is_stopped and not batches.has_open_batch(tx, part.id):
        statement = statement.values(status="cancelled", **ended)
    elif again:
        statement = _requeued(statement, job, not_before=now_s() + wait_s).values(idle.columns)
    else:
        statement = statement.values(status="failed", error=error, **ended)
    if not changed(tx, statement):
        return False
    counters.add(tx, [counters.PART_FAILURES.increment(1, part.kind, code)])
    if not is_stopped:
        text = f"{part.kind}: {message}" + (f"; trying again in {wait_s:.0f} s" if again else attempts)
        level: events.Level = "warning" if again else "error"
        events.add(tx, job.id, "message", text, level=level, data={"code": code})
        if not again and not _is_optional(job, part.kind):
            stop(tx, job, error)
    update_job(tx, job)
    return True


@dataclass(frozen=True)
class _IdleAttempts:
    """The attempts of a part in a row without progress, with the attempt that ends now; and the columns to store."""

    number: int
    columns: Mapping[str, int]


def _idle_attempts(tx: Session, part: Part) -> _IdleAttempts:
    """A saved training state has set `idle_attempts` back. An enrichment has progress if it stored more results, and
    a further machine of a training if machine 0 saved a later state."""
    saved = part.saved_units
    if part.queue == "enrich":
        saved = part.done
    elif part.kind == nodes.FURTHER:
        saved = nodes.saved_units(tx, part.job_id)
    if saved > part.saved_units:
        return _IdleAttempts(0, {"idle_attempts": 0, "saved_units": saved})
    return _IdleAttempts(part.idle_attempts, {})


def _requeued(statement: Update, job: Job, *, not_before: float | ColumnElement[float]) -> Update:
    return statement.values(
        status=next_status(job),
        lease_token=None,
        lease_expires_at=None,
        worker=None,
        sent_at=None,
        rate=None,
        not_before=not_before,
        queued_at=now_s(),
    )
