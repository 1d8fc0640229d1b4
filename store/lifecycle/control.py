"""What users ask of a job besides cancelling it: pause, resume, retry, and another priority.

A paused job has no queued part: its parts are `paused`, so that no queue, message or place in a queue knows them.
A running part sees the request, saves its state and is released; the job is `pausing` until the last one has.
"""

from collections.abc import Sequence

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from store.access import limits
from store.access.principals import Principal
from store.clock import now_s
from store.errors import Conflict, NotFound
from store.jobs import events
from store.jobs.claims import STOPPED_FOR_GOOD, lock_job
from store.jobs.jobs import ENDED
from store.jobs.progress import tally
from store.jobs.specs import ContrastSpec, RangeSpec, parse_part_spec
from store.lifecycle.job_results import BUDGET_SPENT
from store.lifecycle.transitions import update_job
from store.models import EnrichPage, EnrichResult, Job, LLMBatch, Part
from store.removal import holds

_NO_SYNC = {"synchronize_session": False}
_ASKING = ("describe", "contrast", "caption")
_ASSEMBLING = ("assemble", "report")


def pause(tx: Session, job_id: str) -> Job:
    """Ask the job to stop until it is resumed. No effect on a job that is paused. Raises Conflict."""
    job = lock_job(tx, job_id)
    if job.stopping == "pause":
        return job
    _require_unstopped(job, "paused")
    job.stopping, job.status = "pause", "pausing"
    queued = update(Part).where(Part.job_id == job.id, Part.status == "queued")
    tx.execute(queued.values(status="paused", sent_at=None), execution_options=_NO_SYNC)
    tx.flush()
    events.add(tx, job.id, "state", "pausing", data={"status": "pausing"})
    update_job(tx, job)
    return job


def resume(tx: Session, job_id: str) -> Job:
    """Queue the parts of a paused job again. No effect on a job that is not paused. Raises Conflict.

    A paused job has not ended: its inputs cannot be deleted, and it counts against the limits of its owner.
    """
    job = lock_job(tx, job_id)
    _require_unstopped(job, "resumed")
    if job.stopping != "pause":
        return job
    still_runs = job.status == "pausing"
    job.stopping, job.status = None, "running" if still_runs else "queued"
    paused = update(Part).where(Part.job_id == job.id, Part.status == "paused")
    tx.execute(paused.values(status="queued", sent_at=None, queued_at=now_s()), execution_options=_NO_SYNC)
    tx.flush()
    events.add(tx, job.id, "state", job.status, data={"status": job.status})
    update_job(tx, job)
    return job


def set_priority(tx: Session, job_id: str, priority: int) -> Job:
    """Change the order of the job's parts in their queues. Raises Conflict for a job that has ended."""
    job = lock_job(tx, job_id)
    if job.status in ENDED:
        raise Conflict("job_ended", f"the job has ended ({job.status}): its priority has no effect")
    job.priority = priority
    of_job = update(Part).where(Part.job_id == job.id)
    tx.execute(of_job.values(priority=priority), execution_options=_NO_SYNC)
    tx.flush()
    return job


def retry(tx: Session, job_id: str, principal: Principal) -> Job:
    """Continue a job that failed or was cancelled, from what it has: parts that succeeded are kept, a training goes on
    from its last saved state, and an enrichment asks again only what has no response.

    The job is unfinished again: it needs its inputs, and counts against the limits of the key. Raises Conflict and
    BudgetExceeded.
    """
    job = lock_job(tx, job_id)
    if job.status not in ("failed", "cancelled"):
        done = job.status == "succeeded"
        remedy = "post the same request again; stored responses are not paid for twice" if done else "wait for its end"
        raise Conflict(
            "job_not_failed", f"only a failed or cancelled job can be retried, and this one is {job.status}: {remedy}"
        )
    if (job.error or {}).get("code") == BUDGET_SPENT:
        raise Conflict(
            BUDGET_SPENT,
            "the job's budget is spent, and a retry does not change it: post the request again with a larger budget; "
            "responses are not paid for twice",
        )
    parts = tx.scalars(select(Part).where(Part.job_id == job.id).order_by(Part.position)).all()
    again = [part for part in parts if part.status in ("failed", "cancelled")]
    if job.kind == "enrich":
        again += _parts_to_ask_again(tx, job, parts)
    if not again:
        raise Conflict("nothing_to_retry", "every part of the job succeeded: post the request again")
    limits.check_retry(tx, principal, job)
    _hold_inputs(tx, job, [part for part in parts if part not in again])
    first_stage = min(part.stage for part in again)
    for part in again:
        part.status = "queued" if part.stage == first_stage else "waiting"
        part.error = part.result = part.finished_at = part.sent_at = part.lease_token = part.worker = None
        part.not_before, part.idle_attempts, part.queued_at = 0.0, 0, None
    job.status, job.stopping = "queued", None
    job.error = job.result = job.started_at = job.finished_at = None
    tx.flush()
    of_stage = update(Part).where(Part.job_id == job.id, Part.status == "queued")
    tx.execute(of_stage.values(queued_at=now_s()), execution_options=_NO_SYNC)
    tally(tx, job)
    events.add(tx, job.id, "state", "queued", data={"status": "queued", "retry": True})
    return job


def _hold_inputs(tx: Session, job: Job, kept: Sequence[Part]) -> None:
    """Hold what the job reads: its inputs, and what its `kept` parts have made. Raises Conflict for what is deleted."""
    results: dict[str, object] = {part.id: part.result for part in kept}
    try:
        holds.hold_named(tx, {"spec": job.spec, "results": results})
    except NotFound as missing:
        raise Conflict(
            "input_deleted",
            f"the {missing.kind} {missing.id} that the job needs has been deleted: post the request again with what "
            "there is now",
        ) from missing


def _parts_to_ask_again(tx: Session, job: Job, parts: Sequence[Part]) -> list[Part]:
    """Forget the failed questions of an enrichment; returns the succeeded parts that have to run again for them."""
    query = select(EnrichResult.step, EnrichResult.position).where(
        EnrichResult.job_id == job.id, EnrichResult.key.is_(None)
    )
    failed = {(step, position) for step, position in tx.execute(query)}
    tx.execute(delete(EnrichResult).where(EnrichResult.job_id == job.id, EnrichResult.key.is_(None)))
    tx.execute(delete(EnrichPage).where(EnrichPage.job_id == job.id))
    tx.execute(delete(LLMBatch).where(LLMBatch.job_id == job.id, LLMBatch.ended_at.is_not(None)))
    succeeded = [part for part in parts if part.status == "succeeded"]
    return [part for part in succeeded if part.kind in _ASSEMBLING or _asks_about(part, failed)]


def _asks_about(part: Part, questions: set[tuple[int, int]]) -> bool:
    """Whether the part asks one of the questions, by (step, position)."""
    if part.kind not in _ASKING:
        return False
    spec = parse_part_spec(part.kind, part.spec)
    if isinstance(spec, RangeSpec):
        return any(spec.start <= position < spec.stop for _, position in questions)
    assert isinstance(spec, ContrastSpec)
    positions = {position for pair in spec.pairs for position in pair}
    return any(step == spec.step and position in positions for step, position in questions)


def _require_unstopped(job: Job, verb: str) -> None:
    if job.status in ENDED:
        hint = "; retry it to continue" if job.status != "succeeded" else ""
        raise Conflict("job_ended", f"the job has ended ({job.status}) and cannot be {verb}{hint}")
    if job.stopping in STOPPED_FOR_GOOD:
        raise Conflict("job_stopping", f"the job is stopping and cannot be {verb}")
