"""Gate reports of attribute sets: get the report, list the labels that fail a gate, and start a check job."""

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import Created, IdempotencyDep, ServicesDep
from api.http.json_bodies import LargeJSONRoute
from api.http.problems import ProblemError, unprocessable
from api.http.schemas import AfterPosition, Limit, Page, ResponseModel, Timestamp, page
from api.jobs.job_options import JobRequestModel
from api.readers.teacher_refs import TEACHER_FIELD, parse_teacher_ref
from api.routes.jobs import JobOut, read_job
from attributes.gates.types import Gate, Status
from distill.texts.text_templates import PromptOptions, TextKind
from store.access import limits
from store.artefacts import Artefacts
from store.jobs import jobs
from store.jobs.jobs import NewPart
from store.jobs.specs import CheckSpec
from store.models import SetReport
from store.removal import holds
from store.sets import attribute_sets, reports

router = APIRouter(prefix="/v1/attribute-sets", tags=["attribute sets"], route_class=LargeJSONRoute)

_STATUS_OF: Mapping[bool | None, Status] = {True: "holds", False: "fails", None: "not_measured"}
_Teacher = Annotated[
    str | None, Query(max_length=1000, description="The report with this teacher. If absent, the newest report.")
]


class LineViolationOut(ResponseModel):
    """A line that violates a gate."""

    id: str = Field(description="Id within the label's lines.")
    text: str
    words: list[str] = Field(description="The words, or the figure, that violate the gate.")


class LabelViolationOut(ResponseModel):
    """A label that fails a gate."""

    position: int
    label: str
    lines: list[LineViolationOut]
    others: list[str] = Field(description="The labels that it conflicts with.")
    note: str = Field(description="The label's figure, if the gate computes one.")


class GateResultOut(ResponseModel):
    """The result of one gate."""

    gate: Gate
    tells: str = Field(description="Title of the gate, for people.")
    figure: float | None = Field(description="The measured value; null if the gate was not measured.")
    threshold: float = Field(description="The gate passes if `figure` is at most this (`nonvisual`: below).")
    unit: Literal["share", "labels", "lines"] = Field(description="Unit of `figure` and `threshold`; shares are of 1.")
    holds: bool | None = Field(description="Whether the gate passes; null if it was not measured or not judged.")
    status: Status = Field(
        description="`not_judged`: the lines are in a language that the gate does not know. `not_measured`: the gate "
        "needs a teacher."
    )
    num_not_judged: int = Field(description="Number of lines in a language that the gate does not know.")
    num_labels: int = Field(description="Number of labels that fail the gate.")
    judged_by: str = Field(description="How the gate was measured, or why it was not.")
    details: dict[str, Any]
    worst: list[LabelViolationOut] = Field(description="The worst of the labels that fail the gate.")


class ReportOut(ResponseModel):
    """The results of all gates for an attribute set."""

    object: Literal["attribute_report"] = "attribute_report"
    attribute_set_id: str
    teacher: str | None = Field(description="The teacher whose text features were compared; null without a teacher.")
    created_at: Timestamp
    num_labels: int
    num_described: int = Field(description="Number of labels that have lines.")
    num_lines: int
    holds: bool = Field(description="Whether no measured gate fails. See `status` for gates that were not judged.")
    status: Literal["holds", "fails", "not_judged"] = Field(
        description="`not_judged`: no gate fails, but a gate could not judge the language of the lines."
    )
    languages: dict[str, int] = Field(description="Number of lines by detected language (ISO 639-1 code).")
    gates: list[GateResultOut]


class ReportIn(JobRequestModel):
    """Options of a check. With a teacher, the check also measures how well the teacher's text features separate the
    labels: by their names alone, and by their texts."""

    teacher: Annotated[str | None, TEACHER_FIELD] = None
    text: TextKind = Field("all", description="Which attributes the teacher's texts contain besides the label's name.")
    prompt: PromptOptions = Field(PromptOptions(), description="How the texts are worded.")


def _get_report(tx: Session, set_id: str, teacher: str | None) -> SetReport:
    attribute_sets.get(tx, set_id)
    report = reports.get(tx, set_id, teacher)
    if report is None:
        with_teacher = f" with teacher {teacher}" if teacher else ""
        detail = (
            f"attribute set {set_id} has no report{with_teacher}: POST /v1/attribute-sets/{set_id}/report"
            f"{' with that teacher' if teacher else ''} makes one"
        )
        raise ProblemError(404, "report_not_found", detail)
    return report


@router.get("/{id}/report", response_model=ReportOut)
def get(services: ServicesDep, id: str, teacher: _Teacher = None) -> object:
    """The set's report. Enrich jobs make one; POST makes one for edited and imported sets, or with a teacher."""
    with services.db.read() as tx:
        report = _get_report(tx, id, teacher)
    return ReportOut(
        attribute_set_id=id,
        teacher=report.teacher or None,
        created_at=report.created_at,
        **_with_statuses(report.figures),
    )


def _why_not_measured(id: str, gate: Gate, figures: Mapping[str, Any]) -> str:
    results: list[dict[str, Any]] = figures["gates"]
    result = next((one for one in results if one["gate"] == gate), None)
    if result and result.get("status") == "not_judged":
        return f"the report does not judge {gate}: {result['judged_by']}"
    again = f"POST /v1/attribute-sets/{id}/report"
    if result:
        return f"the report does not measure {gate}: {again} with a teacher does"
    return f"the report was made before the gate {gate} existed: {again} makes a new one"


def _with_statuses(figures: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a report as in a response. A report of an earlier version has no statuses and languages."""
    gates = [{"status": _STATUS_OF[gate["holds"]], "num_not_judged": 0, **gate} for gate in figures["gates"]]
    shown = {name: value for name, value in figures.items() if name not in ("places", "judges", "gates")}
    return {"status": _STATUS_OF[figures["holds"]], "languages": {}, **shown, "gates": gates}


@router.get("/{id}/report/{gate}/labels", response_model=Page[LabelViolationOut])
def labels(
    services: ServicesDep, id: str, gate: Gate, teacher: _Teacher = None, limit: Limit = 20, after: AfterPosition = None
) -> object:
    """The labels that fail a gate, by position, with the lines that violate it."""
    with services.db.read() as tx:
        report = _get_report(tx, id, teacher)
    offsets = report.figures["places"].get(gate)
    if offsets is None:
        raise ProblemError(404, "gate_not_measured", _why_not_measured(id, gate, report.figures))
    violations = read_violations(services.artefacts, report.file_key, offsets, after=-1 if after is None else after)
    data = list(islice(violations, limit + 1))
    return page(data[:limit], len(data) > limit, lambda item: item.position)


def read_violations(
    artefacts: Artefacts, key: str, offsets: list[list[int]], *, after: int
) -> Iterator[LabelViolationOut]:
    """The labels of a gate at positions greater than `after`, read from the report's file of JSON lines.

    `offsets` has [position, byte offset] of some lines, in order; its last item has the offset of the end.
    """
    *starts, (_, end) = offsets
    before = [offset for position, offset in starts if position <= after + 1]
    first = before[-1] if before else starts[0][1] if starts else end
    with artefacts.open(key) as file:
        file.seek(first)
        while file.tell() < end:
            violation = LabelViolationOut.model_validate_json(file.readline())
            if violation.position > after:
                yield violation


@router.post("/{id}/report", status_code=202, response_model=JobOut)
def check(services: ServicesDep, idempotency: IdempotencyDep, id: str, body: ReportIn) -> Response:
    """Start a job that checks the set. The job's result names the failing gates; GET returns the report."""

    def write(tx: Session) -> Created:
        attribute_set = attribute_sets.get(tx, id)
        num_labels = attribute_set.num_labels
        teacher: str | None = None
        if body.teacher is not None:
            if num_labels < 2:
                detail = "a teacher compares labels with each other, and the set has only one; leave out the teacher"
                raise unprocessable("too_few_labels", detail, "/teacher")
            teacher = parse_teacher_ref(body.teacher, services.settings.data)
        spec = CheckSpec(
            attribute_set_id=attribute_set.id,
            vocabulary_id=attribute_set.vocabulary_id,
            num_labels=num_labels,
            teacher=teacher,
            text=body.text,
            prompt=body.prompt,
        )
        holds.hold_named(tx, spec.as_json())
        queue: Literal["enrich", "gpu"] = "gpu" if teacher else "enrich"
        parts = [NewPart(kind="check", queue=queue, total=num_labels, unit="labels")]
        limits.check_new_job(tx, idempotency.principal, uses_llm=False)
        job = jobs.create(tx, spec, parts, owner=idempotency.principal.owner, priority=body.priority)
        return read_job(tx, job.id), f"/v1/jobs/{job.id}"

    return idempotency.respond(write, status=202)
