"""Jobs and their parts as rows: created, read and locked.

    part: waiting -> queued -> running -> succeeded | failed | cancelled     (waiting: for an earlier stage)
    job:  queued -> running -> succeeded | failed | cancelled, through cancelling after a cancel request
          running -> pausing -> paused -> queued; the queued parts of a paused job are `paused`

`store.jobs.claims` claims parts, `store.lifecycle.transitions` ends them and derives the state of their job.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from limbeck.shared.tracing import spans
from store.errors import NotFound
from store.ids import new_id
from store.jobs import events
from store.jobs.claims import Claim
from store.jobs.progress import tally
from store.jobs.specs import DistillSpec, JobSpec, PartSpec, expect, parse_job_spec
from store.models import AttributeSet, Base, CaptionSet, Checkpoint, Job, Part, TextTargets

LIVE = ("waiting", "queued", "running", "paused")
ENDED = ("succeeded", "failed", "cancelled")
ACTIVE = ("queued", "running", "cancelling", "pausing", "paused")
"""Statuses of jobs that have not ended."""
USABLE = ("queued", "running", "pausing", "paused", "succeeded")
_MAX_LOOKED_AT = 10
_RESULTS: Mapping[str, type[Base]] = {
    "attribute_set_id": AttributeSet,
    "caption_set_id": CaptionSet,
    "text_targets_id": TextTargets,
    "checkpoint_id": Checkpoint,
}
"""Fields of a job's result that name what it made."""


@dataclass(frozen=True, kw_only=True)
class NewPart:
    """A part to create; it waits until every part of an earlier stage has ended.

    `num_gpus`: GPUs that a worker, if it has any, must have to take it.
    """

    kind: str
    queue: Literal["enrich", "gpu"]
    spec: PartSpec = field(default_factory=PartSpec)
    total: int = 0
    unit: str = ""
    stage: int = 0
    num_gpus: int = 0


def create(
    tx: Session,
    spec: JobSpec,
    parts: Sequence[NewPart],
    *,
    inputs_digest: str | None = None,
    owner: str | None = None,
    priority: int = 0,
) -> Job:
    """Create a queued job with its parts. `inputs_digest`: of everything that its result depends on."""
    job = Job(
        id=new_id("job"),
        owner=owner,
        kind=spec.kind,
        status="queued",
        spec=spec.as_json(),
        inputs_digest=inputs_digest,
        result=None,
        error=None,
        stopping=None,
        priority=priority,
        tally=[],
        num_events=0,
        trace_parent=spans.traceparent(),
        created_at=time.time(),
        started_at=None,
        finished_at=None,
    )
    tx.add(job)
    tx.flush()
    first_stage = min((part.stage for part in parts), default=0)
    _add(tx, job, parts, first_position=0, running_stage=first_stage)
    tally(tx, job)
    events.add(tx, job.id, "state", "queued", data={"status": "queued"})
    return job


def add_parts(tx: Session, claim: Claim, parts: Sequence[NewPart]) -> None:
    """Add parts to the claim's job, of the claimed part's stage or a later one, before the claimed part ends."""
    last: int = tx.scalars(select(func.max(Part.position)).where(Part.job_id == claim.job_id)).one()
    _add(tx, get(tx, claim.job_id), parts, first_position=last + 1, running_stage=claim.stage)


def _add(tx: Session, job: Job, parts: Sequence[NewPart], *, first_position: int, running_stage: int) -> None:
    now = time.time()
    tx.add_all(
        Part(
            id=new_id("prt"),
            job_id=job.id,
            position=position,
            kind=part.kind,
            queue=part.queue,
            status="waiting" if part.stage > running_stage else next_status(job),
            stage=part.stage,
            spec=part.spec.as_json(),
            attempts=0,
            priority=job.priority,
            not_before=0.0,
            queued_at=None if part.stage > running_stage else now,
            done=0,
            total=part.total,
            unit=part.unit,
            num_gpus=part.num_gpus,
        )
        for position, part in enumerate(parts, first_position)
    )
    tx.flush()


def next_status(job: Job) -> str:
    """The status of a part of this job that could start now."""
    return "paused" if job.stopping == "pause" else "queued"


def newest_usable(tx: Session, inputs_digest: str) -> Job | None:
    """The newest job with these inputs that still runs, or has succeeded and whose results still exist; or None."""
    query = select(Job).where(Job.inputs_digest == inputs_digest, Job.status.in_(USABLE)).order_by(Job.id.desc())
    return next((job for job in tx.scalars(query.limit(_MAX_LOOKED_AT)) if _has_results(tx, job)), None)


def _has_results(tx: Session, job: Job) -> bool:
    """Whether what a succeeded job made has not been deleted; true for a job that still runs."""
    result = job.result or {}
    return all(tx.get(model, str(result[field])) is not None for field, model in _RESULTS.items() if result.get(field))


def lock_inputs(tx: Session, inputs_digest: str) -> None:
    """Until the transaction ends, no other transaction that calls this creates a job with these inputs.

    SQLite has one writer at a time anyway.
    """
    if tx.get_bind().dialect.name == "postgresql":
        tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(inputs_digest, 0))))


def get(tx: Session, job_id: str) -> Job:
    """The job. Raises NotFound."""
    job = tx.get(Job, job_id)
    if job is None:
        raise NotFound("job", job_id)
    return job


def distill_spec(tx: Session, job_id: str) -> DistillSpec:
    """The spec of a distill job. Raises NotFound."""
    job = get(tx, job_id)
    return expect(parse_job_spec(job.kind, job.spec), DistillSpec)


def event_states(tx: Session, job_ids: Sequence[str]) -> list[tuple[str, int, bool]]:
    """(id, number of events, whether it has ended) of the jobs that exist. The last event of a job ends it."""
    rows = tx.execute(select(Job.id, Job.num_events, Job.status).where(Job.id.in_(job_ids)))
    return [(id, num_events, status in ENDED) for id, num_events, status in rows]
