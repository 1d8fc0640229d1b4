"""Jobs: created, listed, read and cancelled; the results of an enrich job while it runs."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from sqlalchemy import Row
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from api.http.dependencies import Created, IdempotencyDep, ServicesDep
from api.http.problems import ProblemError
from api.http.schemas import After, AfterPosition, Limit, LongLimit, Page, ResponseModel, Timestamp, page
from api.jobs import job_requests
from api.jobs.job_requests import JobIn
from api.routes.attribute_set_files import join_into_chunks
from api.routes.attributes import AttributesOut, attributes_fields
from api.routes.usage import JobUsageOut, job_usage_out
from attributes.formats import limbeck_json
from attributes.types import Entry, entry_from_json
from store import resources, vocabularies
from store.db import Database
from store.enrich import assembly, results, usage
from store.enrich.usage import Sums
from store.jobs import jobs, progress
from store.jobs.progress import Progress
from store.jobs.specs import DescribeSpec, JobKind, parse_job_spec
from store.lifecycle import transitions
from store.models import Job
from store.sets.attribute_sets import PAGE_SIZE

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Status = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]


class ProgressOut(ResponseModel):
    """Progress of the current stage; `eta_s` (seconds) is null if it is unknown."""

    done: int
    total: int
    unit: str
    eta_s: float | None


class StageOut(ProgressOut):
    """Progress of all parts of one kind; `rate` is in units per second, null if no such part runs."""

    stage: str
    rate: float | None


class JobError(ResponseModel):
    """Why a job failed."""

    code: str
    message: str


class JobOut(ResponseModel):
    """A job. `stage` is the kind of its current or last part, and `progress` that of the stage; `stages` are all stages
    known so far, in order. `spec` is the resolved request. `spend` is null for jobs without LLM calls."""

    object: Literal["job"] = "job"
    id: str
    kind: JobKind
    status: Status
    stage: str | None
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    progress: ProgressOut
    stages: list[StageOut]
    spec: dict[str, Any]
    spend: JobUsageOut | None
    result: dict[str, Any] | None
    error: JobError | None


_NO_PROGRESS = Progress(stage="", done=0, total=0, unit="", rate=None, eta_s=None, stages=())


def job_out(job: Job | Row[Any], job_progress: Progress | None, spend: Sums | None) -> JobOut:
    """The response for a job."""
    known = job_progress or _NO_PROGRESS
    return JobOut(
        id=job.id,
        kind=job.kind,
        status=job.status,
        stage=known.stage or None,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        progress=ProgressOut.model_validate(known),
        stages=[StageOut.model_validate(stage) for stage in known.stages],
        spec=job.spec,
        spend=job_usage_out(spend, known.stages),
        result=job.result,
        error=JobError(code=job.error["code"], message=job.error["message"]) if job.error else None,
    )


def _one(tx: Session, job_id: str) -> JobOut:
    row, job_progress = progress.job(tx, job_id)
    return job_out(row, job_progress, usage.in_row(row))


@router.post("", status_code=202, response_model=JobOut)
def create(
    services: ServicesDep, idempotency: IdempotencyDep, given: Annotated[JobIn, Body(examples=job_requests.EXAMPLES)]
) -> Response:
    """Queue a job. Poll its Location, or follow its events."""

    def make(tx: Session) -> Created:
        job = job_requests.create(tx, given, services.settings)
        return _one(tx, job.id), f"/v1/jobs/{job.id}"

    return idempotency.respond(make, status=202)


@router.get("", response_model=Page[JobOut])
def list_all(
    services: ServicesDep,
    limit: Limit = 20,
    after: After = None,
    kind: JobKind | None = None,
    status: Status | None = None,
) -> object:
    """Jobs, newest first."""
    with services.db.read() as tx:
        rows, more = resources.page(tx, Job, limit=limit, after=after, kind=kind, status=status)
        by_id = progress.of(tx, [job.id for job in rows])
        spends = usage.of_many(tx, [job.id for job in rows])
        out = [job_out(job, by_id.get(job.id), spends.get(job.id)) for job in rows]
        return page(out, more, lambda one: one.id)


@router.get("/{id}", response_model=JobOut)
def get(services: ServicesDep, id: str) -> Response:
    """One job."""
    with services.db.read() as tx:
        found = _one(tx, id)
    # Jobs are polled often: serialising here saves one change of threads.
    return Response(found.model_dump_json(), media_type="application/json")


@router.post("/{id}/cancel", status_code=202, response_model=JobOut)
def cancel(idempotency: IdempotencyDep, id: str) -> Response:
    """Cancel a job; finished work is kept. No effect on a job that has ended or is already being cancelled."""

    def make(tx: Session) -> Created:
        return _one(tx, transitions.cancel(tx, id).id), f"/v1/jobs/{id}"

    return idempotency.respond(make, status=202)


class LabelResult(AttributesOut):
    """The results for a label so far, and the `reason` why a question about it failed."""

    reason: str | None
    detail: str | None


@router.get("/{id}/labels", response_model=Page[LabelResult])
def labels(services: ServicesDep, id: str, limit: LongLimit = 100, after: AfterPosition = None) -> object:
    """The labels that an enrich job has results for, by position. While it runs, labels appear between earlier ones."""
    with services.db.read() as tx:
        spec = _describe_spec(tx, id)
        positions = results.partial(tx, id, after=-1 if after is None else after, limit=limit + 1)
        rows = vocabularies.labels_at(tx, spec.vocabulary_id, positions[:limit])
        data = []
        for label, one in zip(rows, assembly.assemble_labels(tx, id, spec, rows), strict=True):
            reason, detail = one.failures[0] if one.failures else (None, None)
            data.append(LabelResult(**attributes_fields(label, one.lines, one.flags), reason=reason, detail=detail))
        return page(data, len(positions) > limit, lambda one: one.position)


@router.get("/{id}/export", response_class=Response)
def export(services: ServicesDep, id: str, format: Literal["json"] = "json") -> Response:
    """The results of an enrich job so far, as Limbeck JSON; an attribute set can be exported in more formats."""
    with services.db.read() as tx:
        spec = _describe_spec(tx, id)
        domain = vocabularies.get(tx, spec.vocabulary_id).domain
    pieces = limbeck_json.write_json(
        _entries(services.db, id, spec),
        domain=domain or None,
        strategy=", ".join(spec.strategies),
        model=spec.model,
    )
    headers = {"Content-Disposition": f'attachment; filename="{id}.{format}"'}
    return StreamingResponse(join_into_chunks(pieces), headers=headers, media_type="application/json")


def _describe_spec(tx: Session, id: str) -> DescribeSpec:
    job = jobs.get(tx, id)
    spec = parse_job_spec(job.kind, job.spec)
    if not isinstance(spec, DescribeSpec):
        what = "of captions" if job.kind == "enrich" else f"of kind {job.kind}"
        raise ProblemError(404, "no_labels", f"a job {what} has no labels; a job that describes a vocabulary has")
    return spec


def _entries(db: Database, job_id: str, spec: DescribeSpec) -> Iterator[Entry]:
    for start in range(0, spec.num_labels, PAGE_SIZE):
        with db.read() as tx:
            rows = vocabularies.labels(tx, spec.vocabulary_id, start=start, stop=start + PAGE_SIZE)
            assembled = assembly.assemble_labels(tx, job_id, spec, rows)
        for label, one in zip(rows, assembled, strict=True):
            yield entry_from_json({"label": label.name, "sense": label.sense, "lines": one.lines, "flags": one.flags})
