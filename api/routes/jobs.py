"""Jobs: create, list, get and cancel; the results of an enrich job while it runs."""

from collections.abc import Callable, Iterator
from dataclasses import asdict
from functools import partial
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body, Query
from pydantic import Field
from sqlalchemy import Row
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from api.http import deletions
from api.http.dependencies import Created, IdempotencyDep, OwnerFilter, Reused, ServicesDep
from api.http.json_bodies import LargeJSONRoute
from api.http.problems import ProblemError
from api.http.schemas import (
    OWNER,
    After,
    AfterPosition,
    Limit,
    LongLimit,
    Page,
    RequestModel,
    ResponseModel,
    Timestamp,
    page,
)
from api.jobs import job_requests
from api.jobs.estimates import EstimateOut, estimate_plan
from api.jobs.job_options import Priority
from api.jobs.job_plan import JobPlan
from api.jobs.job_requests import JobIn
from api.jobs.machine_checks import check_machine, measured
from api.routes.attribute_set_files import join_into_chunks
from api.routes.attributes import AttributesOut, attributes_fields
from api.routes.usage import JobUsageOut, job_usage_out
from attributes.formats import limbeck_json
from attributes.types import Entry, entry_from_json
from store import resources, vocabularies
from store.db import Database
from store.enrich import assembly, results, usage
from store.enrich.usage import NO_COST, Cost, UsageTotals
from store.jobs import jobs, progress, waiting
from store.jobs.progress import Progress
from store.jobs.specs import DescribeSpec, JobKind, parse_job_spec
from store.jobs.waiting import Waiting
from store.lifecycle import control, transitions
from store.models import Job
from store.sets.attribute_sets import PAGE_SIZE
from store.settings import Settings

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=LargeJSONRoute)

Status = Literal["queued", "running", "pausing", "paused", "cancelling", "succeeded", "failed", "cancelled"]


class ProgressOut(ResponseModel):
    """Progress of the current stage."""

    name: str = Field("", description="What users call the stage, such as `teacher features`.")
    done: int
    total: int
    unit: str = Field(description="Unit of `done` and `total`, such as `labels`.")
    rate: float | None = Field(None, description="Units per second; null if no part of this stage runs.")
    eta_s: float | None = Field(description="Remaining time in seconds; null if unknown.")


class StageOut(ProgressOut):
    """Progress of all parts of one kind, or of one of several stages of the part of this kind."""

    stage: str = Field(description="The kind of the parts.")


class QueueOut(ResponseModel):
    """The place of a job in its queue while none of its parts runs."""

    name: Literal["enrich", "gpu"]
    ahead: int = Field(
        description="Queued parts of jobs with a higher priority, or the same and an earlier start; at most 1,000 are "
        "counted."
    )
    running: int = Field(description="Parts of this queue that run now.")
    workers: int = Field(description="Workers of this queue that are alive.")
    retry_in_s: float | None = Field(description="Seconds until the next attempt; null for a part that is due.")


class JobErrorOut(ResponseModel):
    """Why a job failed."""

    code: str = Field(description="Stable code of this kind of error.")
    message: str = Field(description="For people.")


class JobOut(ResponseModel):
    """A job: a request for work that workers execute in parts."""

    object: Literal["job"] = "job"
    id: str
    kind: JobKind
    status: Status
    priority: int = Field(0, description="Jobs with a higher priority come first in their queue.")
    stage: str | None = Field(description="The kind of the current or last part.")
    owner: str | None = Field(None, description=OWNER)
    created_at: Timestamp
    started_at: Timestamp | None
    finished_at: Timestamp | None
    progress: ProgressOut = Field(description="Progress of `stage`.")
    stages: list[StageOut] = Field(description="All stages that are known so far, in order.")
    # Services of earlier releases sent neither of these: the client has the same defaults.
    waiting_for: str | None = Field(None, description="Why no part of the job runs, for people; null while one runs.")
    queue: QueueOut | None = Field(None, description="The place in its queue; null while a part runs, and at the end.")
    spec: dict[str, Any] = Field(
        description="The request with its references resolved; options that are not used are left out."
    )
    spend: JobUsageOut | None = Field(description="LLM usage; null for jobs without LLM calls.")
    result: dict[str, Any] | None = Field(description="Ids and figures of the results; null until the job ends.")
    error: JobErrorOut | None


class CreatedJobOut(JobOut):
    """A job that was posted."""

    reused: bool = Field(description="With `reuse`: whether this job existed before.")


class TrainingEstimateOut(ResponseModel):
    """What a training will do."""

    batch_size: int = Field(description="Images of a step, over all ranks.")
    steps_per_epoch: int
    total_steps: int
    images_seen: int = Field(description="Images that the student sees, over all steps.")
    teacher_cached: int = Field(
        description="Forward passes of the teacher whose features are cached, less those that the cache has already. "
        "Those of crops are made while the training goes on."
    )
    teacher_live: int = Field(description="Forward passes of the teacher whose features are used once.")
    measured: int = Field(
        description="Images of the evaluation. The teacher, if there is one, encodes each of them once too."
    )
    decoded_bytes: int = Field(description="Size of the decoded training images on the disk of the worker.")
    feature_bytes: int | None = Field(
        description="Size of the teacher's cached features; null if `measure` was not requested."
    )
    views_s: float | None = Field(
        description="With `measure`: seconds to encode the teacher's views, if none is cached."
    )
    steps_s: float | None = Field(description="With `measure`: seconds of all steps.")
    origins: dict[str, str] = Field(
        description="Why a setting has its value: `given`, the recipe, or what an automatic setting follows from. The "
        "others have their defaults."
    )
    settings: dict[str, Any] = Field(description="The values of these settings.")


class JobCheckOut(ResponseModel):
    """What a job would be; nothing was stored."""

    object: Literal["job_check"] = "job_check"
    kind: JobKind
    spec: dict[str, Any] = Field(description="The spec that the job would have, with the config in effect.")
    same_job_id: str | None = Field(
        description="The newest job with the same inputs that runs or has succeeded: `reuse` returns it."
    )
    estimate: EstimateOut | None = Field(description="Calls, tokens and cost; null for jobs without LLM calls.")
    training: TrainingEstimateOut | None = Field(
        None, description="Steps, passes of the teacher and space; null for jobs without a training."
    )


def job_check(tx: Session, planned: JobPlan, settings: Settings) -> JobCheckOut:
    """The response for a planned job."""
    same = jobs.newest_usable(tx, planned.inputs_digest(settings.data))
    return JobCheckOut(
        kind=planned.spec.kind,
        spec=planned.spec.as_json(),
        same_job_id=same.id if same else None,
        estimate=estimate_plan(tx, planned.enrich) if planned.enrich else None,
        training=TrainingEstimateOut(**asdict(planned.training)) if planned.training else None,
    )


MEASURE = Query(
    description="With a dry run of a training: measure some steps, and views of a teacher whose weights are on this "
    "machine, to estimate its time. It takes some seconds."
)


def with_times(checked: JobCheckOut, planned: JobPlan, settings: Settings) -> JobCheckOut:
    """The response with the time that a training takes on this machine. Raises ProblemError as `measured`."""
    training = measured(planned, settings)
    return checked.model_copy(
        update={"training": TrainingEstimateOut(**asdict(training)) if training is not None else None}
    )


_NO_PROGRESS = Progress(stage="", name="", done=0, total=0, unit="", rate=None, eta_s=None, stages=())


def _job_out(
    job: Job | Row[Any],
    job_progress: Progress | None,
    totals: UsageTotals | None,
    waits: Waiting | None,
    unconfirmed: Cost = NO_COST,
) -> JobOut:
    """The response model of a job with this progress, LLM usage and place in its queue."""
    current = job_progress or _NO_PROGRESS
    return JobOut(
        id=job.id,
        kind=job.kind,
        status=job.status,
        priority=job.priority,
        stage=current.stage or None,
        owner=job.owner,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
        progress=ProgressOut.model_validate(current),
        stages=[StageOut.model_validate(stage) for stage in current.stages],
        waiting_for=waits.text if waits else waiting.PAUSED if job.status == "paused" else None,
        queue=None if waits is None else QueueOut.model_validate(waits),
        spec=job.spec,
        spend=job_usage_out(totals, current.stages, unconfirmed),
        result=job.result,
        error=JobErrorOut(code=job.error["code"], message=job.error["message"]) if job.error else None,
    )


def read_job(tx: Session, job_id: str) -> JobOut:
    """The response model of a job. Raises NotFound."""
    row, job_progress = progress.of_job(tx, job_id)
    may_wait = row.finished_at is None and row.running_kind is None
    waits = waiting.of_jobs(tx, [job_id]).get(job_id) if may_wait else None
    totals = usage.totals_from_row(row)
    unconfirmed = usage.unconfirmed(tx, [totals] if totals else [])
    return _job_out(row, job_progress, totals, waits, unconfirmed.get(job_id, NO_COST))


@router.post(
    "",
    status_code=202,
    response_model=CreatedJobOut,
    responses={
        200: {
            "model": CreatedJobOut | JobCheckOut,
            "description": "With `reuse`, a job with the same inputs; or, with `dry_run`, nothing was stored",
        }
    },
)
def create(
    services: ServicesDep,
    idempotency: IdempotencyDep,
    body: Annotated[JobIn, Body(examples=job_requests.EXAMPLES)],
    dry_run: Annotated[bool, Query(description="Only check the job, and report what it would do.")] = False,
    measure: Annotated[bool, MEASURE] = False,
    reuse: Annotated[
        bool,
        Query(description="Return the newest job with the same inputs that runs or has succeeded, if there is one."),
    ] = False,
) -> Response:
    """Queue a job. Poll its Location, or follow its events."""
    if dry_run:
        with services.db.read() as tx:
            planned = job_requests.plan(tx, body, services.settings)
            checked = job_check(tx, planned, services.settings)
        check_machine(planned, services.settings)
        if measure:
            checked = with_times(checked, planned, services.settings)
        return Response(checked.model_dump_json(), media_type="application/json")

    def write(tx: Session) -> Reused:
        job, is_reused = job_requests.create(tx, body, services.settings, idempotency.principal, reuse=reuse)
        created = read_job(tx, job.id).model_dump() | {"reused": is_reused}
        return CreatedJobOut.model_validate(created), f"/v1/jobs/{job.id}", is_reused

    return idempotency.respond_reusing(write, status=202)


@router.get("", response_model=Page[JobOut])
def list_all(
    services: ServicesDep,
    limit: Limit = 20,
    after: After = None,
    owner: OwnerFilter = None,
    kind: JobKind | None = None,
    status: Status | None = None,
) -> object:
    """Jobs, newest first."""
    with services.db.read() as tx:
        rows, more = resources.page(tx, Job, limit=limit, after=after, owner=owner, kind=kind, status=status)
        ids = [job.id for job in rows]
        progress_by_job, totals_by_job = progress.of_jobs(tx, ids), usage.totals_of_jobs(tx, ids)
        waits_by_job = waiting.of_jobs(tx, [job.id for job in rows if job.finished_at is None])
        unconfirmed = usage.unconfirmed(tx, totals_by_job.values())
        data = [
            _job_out(
                job,
                progress_by_job.get(job.id),
                totals_by_job.get(job.id),
                waits_by_job.get(job.id),
                unconfirmed.get(job.id, NO_COST),
            )
            for job in rows
        ]
        return page(data, more, lambda item: item.id)


@router.get("/{id}", response_model=JobOut)
def get(services: ServicesDep, id: str) -> Response:
    """A job."""
    with services.db.read() as tx:
        job = read_job(tx, id)
    # Clients poll jobs often. Serialising the job here saves one switch of threads.
    return Response(job.model_dump_json(), media_type="application/json")


@router.delete("/{id}", status_code=204, response_class=Response, responses={**deletions.RESPONSES})
def delete(services: ServicesDep, idempotency: IdempotencyDep, id: str, force: deletions.Force = False) -> Response:
    """Delete a job that has ended, with its events and the record of its LLM calls."""
    return deletions.delete(services, idempotency, "job", id, force=force)


@router.post("/{id}/cancel", status_code=202, response_model=JobOut)
def cancel(idempotency: IdempotencyDep, id: str) -> Response:
    """Cancel a job; finished work is kept. No effect on a job that has finished or is already being cancelled."""

    def write(tx: Session) -> Created:
        idempotency.principal.check_may_change("job", jobs.get(tx, id))
        return read_job(tx, transitions.cancel(tx, id).id), f"/v1/jobs/{id}"

    return idempotency.respond(write, status=202)


_CONFLICT: dict[int | str, dict[str, Any]] = {409: {"description": "The state of the job does not allow it"}}
Control = Callable[[Session, str], Job]


def _control(idempotency: IdempotencyDep, id: str, change: Control) -> Response:
    def write(tx: Session) -> Created:
        idempotency.principal.check_may_change("job", jobs.get(tx, id))
        return read_job(tx, change(tx, id).id), f"/v1/jobs/{id}"

    return idempotency.respond(write, status=202)


@router.post("/{id}/pause", status_code=202, response_model=JobOut, responses=_CONFLICT)
def pause(idempotency: IdempotencyDep, id: str) -> Response:
    """Pause a job: running parts save their state and leave their worker. No effect on a job that is paused."""
    return _control(idempotency, id, control.pause)


@router.post("/{id}/resume", status_code=202, response_model=JobOut, responses=_CONFLICT)
def resume(idempotency: IdempotencyDep, id: str) -> Response:
    """Continue a paused job from its state. No effect on a job that is not paused."""
    return _control(idempotency, id, control.resume)


@router.post("/{id}/retry", status_code=202, response_model=JobOut, responses=_CONFLICT)
def retry(idempotency: IdempotencyDep, id: str) -> Response:
    """Continue a failed or cancelled job: what succeeded is kept, and a training goes on from its last saved state."""
    return _control(idempotency, id, partial(control.retry, principal=idempotency.principal))


class JobChangesIn(RequestModel):
    """What can be changed of a job that has not ended."""

    priority: Priority


@router.patch("/{id}", response_model=JobOut, responses=_CONFLICT)
def change(idempotency: IdempotencyDep, id: str, body: JobChangesIn) -> Response:
    """Change the priority of a job. Parts that run are not interrupted."""

    def write(tx: Session) -> Created:
        idempotency.principal.check_may_change("job", jobs.get(tx, id))
        return read_job(tx, control.set_priority(tx, id, body.priority).id), f"/v1/jobs/{id}"

    return idempotency.respond(write, status=200)


class LabelResultOut(AttributesOut):
    """The results for a label so far."""

    reason: str | None = Field(description="Code of the reason why a question about the label failed.")
    detail: str | None = Field(description="Details of `reason`, for people.")


@router.get("/{id}/labels", response_model=Page[LabelResultOut])
def labels(services: ServicesDep, id: str, limit: LongLimit = 100, after: AfterPosition = None) -> object:
    """The labels that an enrich job has results for, by position. While it runs, labels appear between earlier ones."""
    with services.db.read() as tx:
        spec = _describe_spec(tx, id)
        positions = results.positions_with_results(tx, id, after=-1 if after is None else after, limit=limit + 1)
        rows = vocabularies.labels_at(tx, spec.vocabulary_id, positions[:limit])
        data = []
        for label, result in zip(rows, assembly.assemble_labels(tx, id, spec, rows), strict=True):
            reason, detail = result.failures[0] if result.failures else (None, None)
            fields = attributes_fields(label, result.lines, result.flags)
            data.append(LabelResultOut(**fields, reason=reason, detail=detail))
        return page(data, len(positions) > limit, lambda item: item.position)


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
    spec = parse_job_spec(job.kind, job.spec) if job.kind == "enrich" else None
    if not isinstance(spec, DescribeSpec):
        what = "of captions" if job.kind == "enrich" else f"of kind {job.kind}"
        raise ProblemError(404, "no_labels", f"a job {what} has no labels; a job that describes a vocabulary has")
    return spec


def _entries(db: Database, job_id: str, spec: DescribeSpec) -> Iterator[Entry]:
    for start in range(0, spec.num_labels, PAGE_SIZE):
        with db.read() as tx:
            rows = vocabularies.labels(tx, spec.vocabulary_id, start=start, stop=start + PAGE_SIZE)
            assembled = assembly.assemble_labels(tx, job_id, spec, rows)
        for label, result in zip(rows, assembled, strict=True):
            yield entry_from_json(
                {"label": label.name, "sense": label.sense, "lines": result.lines, "flags": result.flags}
            )
