"""Helpers of the worker tests: a context, claimed parts, and work that succeeds or raises."""

from collections.abc import Callable
from pathlib import Path

from store.artefacts import Artefacts
from store.db import Database
from store.jobs import claims, events, jobs
from store.jobs.claims import Claim
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.jobs.specs import JobKind
from store.models import Event, Job, Part
from store.settings import Settings
from tests.job_specs import job_spec
from workers.runtime.context import Context
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish, Work, claim_part


def make_context(db: Database, home: Path) -> Context:
    settings = Settings(home=home, lease_s=2.0, max_attempts=2, part_limit_s=60, redis_url="")  # type: ignore[arg-type]
    return Context(settings, db, Artefacts(settings.artefacts))


def claim_new_part(context: Context, *, kind: JobKind = "encode") -> Claim:
    """Create a job with one part and claim the part."""
    with context.db.write() as tx:
        job = jobs.create(tx, job_spec(kind), [NewPart(kind="encode", queue="gpu", total=4, unit="texts")])
    with context.db.read() as tx:
        (part_id,) = claims.ready(tx, ["gpu"])
    claim = claim_part(context, part_id)
    assert claim is not None
    assert claim.job_id == job.id
    return claim


def read_rows(context: Context, claim: Claim) -> tuple[Job, Part, list[Event]]:
    """The job, the part and the events of the job."""
    with context.db.read() as tx:
        return (
            jobs.get(tx, claim.job_id),
            tx.get_one(Part, claim.part_id),
            events.after(tx, claim.job_id, 0, limit=100),
        )


def work_returning(result: PartResult, during: Callable[[LeaseRenewal], None] = lambda _: None) -> Work:
    """Work that calls `during` and then succeeds with `result`."""

    def work(_context: Context, _claim: Claim, lease: LeaseRenewal) -> Publish:
        during(lease)
        return lambda _tx: result

    return work


def work_raising(error: Exception) -> Work:
    """Work that raises `error`."""

    def work(_context: Context, _claim: Claim, _lease: LeaseRenewal) -> Publish:
        raise error

    return work
