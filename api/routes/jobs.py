"""Jobs: asked for, looked at, cancelled; and the labels of an enrichment as they come in."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Body
from sqlalchemy import Row
from sqlalchemy.orm import Session
from starlette.responses import Response, StreamingResponse

from api.http.dependencies import Made, OnlyOnce, Use
from api.http.problems import ProblemError
from api.http.schemas import After, AfterPosition, Limit, LongLimit, Output, Page, Time, page
from api.jobs import specs
from api.jobs.specs import JobIn
from api.routes.attribute_set_files import in_chunks
from api.routes.attribute_sets import Attributes, attributes_of
from api.routes.spending import SpendOut, spend_out
from attributes.formats import formats
from attributes.types import Entry, entry_from_json
from store import resources, vocabularies
from store.db import Database
from store.enrich import assembly, results, usage
from store.enrich.usage import Sums
from store.jobs import lifecycle, progress
from store.jobs.lifecycle import Kind
from store.jobs.progress import Progress
from store.models import Job
from store.sets.attribute_sets import PAGE_SIZE

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])

Status = Literal["queued", "running", "cancelling", "succeeded", "failed", "cancelled"]


class ProgressOut(Output):
    """How far the job's present stage is; `eta_s` is null where nobody can tell."""

    done: int
    total: int
    unit: str
    eta_s: float | None


class StageOut(ProgressOut):
    """How far all parts of one kind are; `rate` is in units a second, null where nothing of it runs."""

    stage: str
    rate: float | None


class JobError(Output):
    """Why a job failed."""

    code: str
    message: str


class JobOut(Output):
    """A request for work. `stage` is the kind of part that it is in, or ended in, and `progress` that of the stage;
    `stages` are all of those known so far, in order. `spend` is null where no LLM is asked."""

    object: Literal["job"] = "job"
    id: str
    kind: Kind
    status: Status
    stage: str | None
    created_at: Time
    started_at: Time | None
    finished_at: Time | None
    progress: ProgressOut
    stages: list[StageOut]
    spec: dict[str, Any]
    spend: SpendOut | None
    result: dict[str, Any] | None
    error: JobError | None


_NONE = Progress(stage="", done=0, total=0, unit="", rate=None, eta_s=None, stages=())


def job_out(job: Job | Row[Any], how_far: Progress | None, spend: Sums | None) -> JobOut:
    """The job as it is answered."""
    known = how_far or _NONE
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
        spend=spend_out(spend, known.stages),
        result=job.result,
        error=JobError(code=job.error["code"], message=job.error["message"]) if job.error else None,
    )


def _one(tx: Session, job_id: str) -> JobOut:
    row, how_far = progress.job(tx, job_id)
    return job_out(row, how_far, usage.in_row(row))


@router.post("", status_code=202, response_model=JobOut)
def create(use: Use, once: OnlyOnce, given: Annotated[JobIn, Body(examples=specs.EXAMPLES)]) -> Response:
    """Queue a job. Poll its Location, or follow its events."""

    def make(tx: Session) -> Made:
        job = specs.create(tx, given, use.settings)
        return _one(tx, job.id), f"/v1/jobs/{job.id}"

    return once.answer(make, status=202)


@router.get("", response_model=Page[JobOut])
def list_all(
    use: Use, limit: Limit = 20, after: After = None, kind: Kind | None = None, status: Status | None = None
) -> object:
    """Jobs, newest first."""
    with use.db.read() as tx:
        rows, more = resources.page(tx, Job, limit=limit, after=after, kind=kind, status=status)
        how_far = progress.of(tx, [job.id for job in rows])
        spends = usage.of_many(tx, [job.id for job in rows])
        out = [job_out(job, how_far.get(job.id), spends.get(job.id)) for job in rows]
        return page(out, more, lambda one: one.id)


@router.get("/{id}", response_model=JobOut)
def get(use: Use, id: str) -> Response:
    """A job as it stands."""
    with use.db.read() as tx:
        found = _one(tx, id)
    # Jobs are polled often: written here, the answer changes threads once less.
    return Response(found.model_dump_json(), media_type="application/json")


@router.post("/{id}/cancel", status_code=202, response_model=JobOut)
def cancel(once: OnlyOnce, id: str) -> Response:
    """Ask a job to stop; what is finished stays. Harmless for a job that has ended, or is asked twice."""

    def make(tx: Session) -> Made:
        return _one(tx, lifecycle.cancel(tx, id).id), f"/v1/jobs/{id}"

    return once.answer(make, status=202)


class LabelResult(Attributes):
    """What an enrichment has of a label so far, and the `reason` why a question about it failed."""

    reason: str | None
    detail: str | None


@router.get("/{id}/labels", response_model=Page[LabelResult])
def labels(use: Use, id: str, limit: LongLimit = 100, after: AfterPosition = None) -> object:
    """What an enrich job has so far, by position; while it runs, labels still come in between those already read."""
    with use.db.read() as tx:
        job = _with_labels(tx, id)
        positions = results.partial(tx, id, after=-1 if after is None else after, limit=limit + 1)
        found = vocabularies.labels_at(tx, job.spec["vocabulary_id"], positions[:limit])
        data = []
        for label, said in zip(found, assembly.said_of(tx, job, found), strict=True):
            reason, detail = said.failures[0] if said.failures else (None, None)
            data.append(LabelResult(**attributes_of(label, said.lines, said.flags), reason=reason, detail=detail))
        return page(data, len(positions) > limit, lambda one: one.position)


@router.get("/{id}/export", response_class=Response)
def export(use: Use, id: str, format: Literal["json"] = "json") -> Response:
    """What an enrich job has so far, as a file in our own JSON; an attribute set can be had in more formats."""
    with use.db.read() as tx:
        job = _with_labels(tx, id)
        domain = vocabularies.get(tx, job.spec["vocabulary_id"]).domain
    strategies = ", ".join(job.spec["strategies"])
    pieces = formats.write_json(
        _entries(use.db, job), domain=domain or None, strategy=strategies, model=job.spec["model"]
    )
    headers = {"Content-Disposition": f'attachment; filename="{id}.{format}"'}
    return StreamingResponse(in_chunks(pieces), headers=headers, media_type="application/json")


def _with_labels(tx: Session, id: str) -> Job:
    job = lifecycle.get(tx, id)
    if "vocabulary_id" not in job.spec or job.kind != "enrich":
        what = "of captions" if job.kind == "enrich" else f"of kind {job.kind}"
        raise ProblemError(404, "no_labels", f"a job {what} has no labels; one that describes a vocabulary has")
    return job


def _entries(db: Database, job: Job) -> Iterator[Entry]:
    for start in range(0, job.spec["num_labels"], PAGE_SIZE):
        with db.read() as tx:
            found = vocabularies.labels(tx, job.spec["vocabulary_id"], start=start, stop=start + PAGE_SIZE)
            said = assembly.said_of(tx, job, found)
        for label, own in zip(found, said, strict=True):
            yield entry_from_json({"label": label.name, "sense": label.sense, "lines": own.lines, "flags": own.flags})
