"""Run one claimed part. One transaction publishes its result and ends it."""

import time
import traceback
from collections.abc import Callable

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from limbeck.shared.tracing import spans
from store.errors import LeaseLost
from store.jobs import claims
from store.jobs.claims import Claim
from store.jobs.part_results import PartResult
from store.lifecycle import transitions
from workers.runtime.context import Context, worker_name
from workers.runtime.errors import Deferred, FatalJobError, PartError, Stopped
from workers.runtime.lease_renewal import LeaseRenewal

log = structlog.get_logger()
_RETRY_S = 2.0
_WRITE_RETRY_S = 0.5

# Writes what a part produced, in the transaction that ends the part, and returns its result.
Publish = Callable[[Session], PartResult]
Work = Callable[[Context, Claim, LeaseRenewal], Publish]


def claim_part(context: Context, part_id: str) -> Claim | None:
    """Claim the part for this process; None if it is not available (another worker has it, or it is not due)."""
    with context.db.write() as tx:
        return claims.claim(tx, part_id, worker=worker_name(), lease_s=context.settings.lease_s)


def run_claimed(context: Context, claim: Claim, work: Work) -> None:
    """Do the work and store how the part ended. Exceptions of the work end the part and are not raised."""
    with spans.span(
        f"part {claim.kind}",
        parent=claim.trace_parent,
        job=claim.job_id,
        part=claim.part_id,
        kind=claim.kind,
        attempt=claim.attempt,
    ) as span:
        ending = _run(context, claim, work)
        span.set(ending=ending)
        if ending == "failed":
            span.fail(ending)


def _run(context: Context, claim: Claim, work: Work) -> str:
    log.info("part_started", part=claim.part_id, job=claim.job_id, kind=claim.kind, attempt=claim.attempt)
    lease = LeaseRenewal(context, claim)
    try:
        with lease:
            if claim.fault:
                raise FatalJobError("spec_invalid", claim.fault)
            publish = work(context, claim, lease)
        _write(context, lease, lambda tx: _finish(tx, claim, publish))
        ending = "succeeded"
    except LeaseLost:
        ending = "lease_lost"
    except Stopped:
        ending = _stopped(context, claim, lease)
    except Deferred as error:
        ending = _release(context, lease, in_s=error.in_s)
    except PartError as error:
        ending = _failed(context, claim, lease, error, retry_in_s=error.retry_in_s)
    except Exception as error:
        log.error("part_crashed", part=claim.part_id, error=traceback.format_exc(limit=12))
        ending = _failed(context, claim, lease, error, retry_in_s=_RETRY_S)
    log.info("part_ended", part=claim.part_id, job=claim.job_id, kind=claim.kind, ending=ending)
    return ending


def _finish(tx: Session, claim: Claim, publish: Publish) -> None:
    claims.lock(tx, claim)
    transitions.finish(tx, claim, publish(tx))


def _write(context: Context, lease: LeaseRenewal, write: Callable[[Session], object]) -> None:
    """Store how the part ended; retry for the length of a lease while the database is unreachable. Raises LeaseLost."""
    give_up_at = time.monotonic() + context.settings.lease_s
    while True:
        try:
            lease.flush()
            with context.db.write() as tx:
                write(tx)
            return
        except OperationalError as error:
            if time.monotonic() > give_up_at:
                raise LeaseLost("the database could not be reached for the length of a lease") from error
            log.warning("database_unreachable", part=lease.claim.part_id, error=type(error).__name__)
            time.sleep(_WRITE_RETRY_S)


def _stopped(context: Context, claim: Claim, lease: LeaseRenewal) -> str:
    if lease.lost:
        return "lease_lost"
    if lease.overtime:
        limit = context.settings.part_limit_s
        error = PartError("time_limit", f"ran longer than {limit:.0f} s")
        return _failed(context, claim, lease, error, retry_in_s=None)
    return _release(context, lease, in_s=0.0)


def _release(context: Context, lease: LeaseRenewal, *, in_s: float) -> str:
    try:
        _write(context, lease, lambda tx: transitions.defer(tx, lease.claim, in_s=in_s))
    except LeaseLost:
        return "lease_lost"
    return "deferred" if in_s else "released"


def _failed(context: Context, claim: Claim, lease: LeaseRenewal, error: Exception, *, retry_in_s: float | None) -> str:
    code = error.code if isinstance(error, PartError) else "internal_error"
    message = str(error) if isinstance(error, PartError) else f"{type(error).__name__}: {error}"

    def write(tx: Session) -> None:
        if isinstance(error, FatalJobError):
            transitions.fail_job(tx, claim, code=code, message=message)
        else:
            transitions.fail(
                tx,
                claim,
                code=code,
                message=message,
                retry_in_s=retry_in_s,
                max_attempts=context.settings.max_attempts,
            )

    try:
        _write(context, lease, write)
    except LeaseLost:
        return "lease_lost"
    return "failed"
