"""Running one claimed part to its end, whatever that is. One transaction publishes what it made and ends it."""

import time
import traceback
from collections.abc import Callable
from typing import Any

import structlog
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from store.errors import LeaseLost
from store.jobs import claims
from store.jobs.claims import Claim
from store.jobs.part_results import PartResult
from store.lifecycle import transitions
from workers.runtime.context import Context, worker_name
from workers.runtime.errors import Deferred, JobFailed, PartFailed, Stopped
from workers.runtime.lease_renewal import Keeper

log = structlog.get_logger()
_RETRY_S = 2.0
_WRITE_AGAIN_S = 0.5

# What a part made: its result, and what else is to be written in the transaction that ends it.
Publish = Callable[[Session], PartResult]
Work = Callable[[Context, Claim, Keeper], Publish]


def claim_part(context: Context, part_id: str) -> Claim | None:
    """Take the part for this process, or None: a message only says "look"."""
    with context.db.write() as tx:
        return claims.claim(tx, part_id, worker=worker_name(), lease_s=context.settings.lease_s)


def run_claimed(context: Context, claim: Claim, work: Work) -> None:
    """Do the work and write down how it ended. Never raises for what went wrong inside the part."""
    log.info("part_started", part=claim.part_id, job=claim.job_id, kind=claim.kind, attempt=claim.attempt)
    keeper = Keeper(context, claim)
    try:
        with keeper:
            if claim.fault:
                raise PartFailed("spec_invalid", claim.fault)
            publish = work(context, claim, keeper)
        _written(context, keeper, lambda tx: _finish(tx, claim, publish))
        ending = "succeeded"
    except LeaseLost:
        ending = "lease_lost"
    except Stopped:
        ending = _stopped(context, claim, keeper)
    except Deferred as error:
        ending = _let_go(context, keeper, in_s=error.in_s)
    except PartFailed as error:
        ending = _failed(context, claim, keeper, error, retry=False)
    except Exception as error:
        log.error("part_crashed", part=claim.part_id, error=traceback.format_exc(limit=12))
        ending = _failed(context, claim, keeper, error, retry=True)
    log.info("part_ended", part=claim.part_id, job=claim.job_id, kind=claim.kind, ending=ending)


def _finish(tx: Session, claim: Claim, publish: Publish) -> None:
    claims.lock(tx, claim)
    transitions.finish(tx, claim, publish(tx))


def _written(context: Context, keeper: Keeper, write: Callable[[Session], Any]) -> None:
    """Write how the part ended, trying again for the length of a lease where the database is away."""
    give_up = time.monotonic() + context.settings.lease_s
    while True:
        try:
            keeper.flush()
            with context.db.write() as tx:
                write(tx)
            return
        except OperationalError as error:
            if time.monotonic() > give_up:
                raise LeaseLost("the database could not be reached for the length of a lease") from error
            log.warning("database_unreachable", part=keeper.claim.part_id, error=type(error).__name__)
            time.sleep(_WRITE_AGAIN_S)


def _stopped(context: Context, claim: Claim, keeper: Keeper) -> str:
    if keeper.lost:
        return "lease_lost"
    if keeper.overtime:
        limit = context.settings.part_limit_s
        return _failed(context, claim, keeper, PartFailed("time_limit", f"ran longer than {limit:.0f} s"), retry=False)
    return _let_go(context, keeper, in_s=0.0)


def _let_go(context: Context, keeper: Keeper, *, in_s: float) -> str:
    try:
        _written(context, keeper, lambda tx: transitions.defer(tx, keeper.claim, in_s=in_s))
    except LeaseLost:
        return "lease_lost"
    return "deferred" if in_s else "given_back"


def _failed(context: Context, claim: Claim, keeper: Keeper, error: Exception, *, retry: bool) -> str:
    code = error.code if isinstance(error, PartFailed) else "internal_error"
    message = str(error) if isinstance(error, PartFailed) else f"{type(error).__name__}: {error}"

    def write(tx: Session) -> None:
        if isinstance(error, JobFailed):
            transitions.fail_job(tx, claim, code=code, message=message)
        else:
            retry_in_s = _RETRY_S * claim.attempt if retry else None
            max_attempts = context.settings.max_attempts
            transitions.fail(tx, claim, code=code, message=message, retry_in_s=retry_in_s, max_attempts=max_attempts)

    try:
        _written(context, keeper, write)
    except LeaseLost:
        return "lease_lost"
    return "failed"
