"""Helpers of the job tests: create jobs, claim their parts, read their status."""

from sqlalchemy import select

from store.db import Database
from store.jobs import claims, jobs
from store.jobs.claims import Claim
from store.jobs.jobs import NewPart
from store.jobs.specs import JobKind
from store.models import Job, Part
from tests.job_specs import job_spec

LEASE_S = 30.0
DISTILL_PARTS = [
    NewPart(kind="encode", queue="gpu"),
    NewPart(kind="train", queue="gpu", stage=1),
    NewPart(kind="evaluate", queue="gpu", stage=2),
]


def create_job(db: Database, *parts: NewPart, kind: JobKind = "distill") -> str:
    """The id of a new job; without `parts` it has one train part."""
    with db.write() as tx:
        return jobs.create(tx, job_spec(kind), parts or [NewPart(kind="train", queue="gpu", total=10, unit="steps")]).id


def claim_next(db: Database, *, lease_s: float = LEASE_S, worker: str = "w") -> Claim | None:
    """Claim the next part of any job; None if no part is ready."""
    with db.read() as tx:
        ready = claims.ready(tx, ["gpu", "enrich"], limit=1)
    with db.write() as tx:
        return claims.claim(tx, ready[0], worker=worker, lease_s=lease_s) if ready else None


def must_claim_next(db: Database, *, lease_s: float = LEASE_S) -> Claim:
    """Claim the next part of any job, which must exist."""
    claim = claim_next(db, lease_s=lease_s)
    assert claim is not None
    return claim


def get_job(db: Database, job_id: str) -> Job:
    with db.read() as tx:
        return jobs.get(tx, job_id)


def part_statuses(db: Database) -> list[str]:
    """The statuses of all parts, by position."""
    with db.read() as tx:
        return list(tx.scalars(select(Part.status).order_by(Part.position)))
