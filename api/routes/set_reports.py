"""What the gates found in an attribute set: the report, the labels that offend page by page, and a check to make it."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import Made, OnlyOnce, Use
from api.http.problems import ProblemError, StorableInput, refused
from api.http.schemas import AfterPosition, Limit, Output, Page, Time, page
from api.readers.teacher_refs import TEACHER, teacher_ref
from api.routes.jobs import JobOut, job_out
from attributes.gates.types import Gate
from distill.texts.text_templates import PromptOptions, TextKind
from store.artefacts import Artefacts
from store.jobs import lifecycle, progress
from store.jobs.lifecycle import NewPart
from store.models import SetReport
from store.sets import attribute_sets, reports

router = APIRouter(prefix="/v1/attribute-sets", tags=["attribute sets"])

_Teacher = Annotated[
    str | None, Query(max_length=1000, description="The report by this teacher; the newest report where absent.")
]


class LineFound(Output):
    """A line that offends: its id in the set, its text, and the words (or the figure) that are the matter."""

    id: str
    text: str
    words: list[str]


class Offender(Output):
    """A label that a gate caught. `others` are the labels that it runs into; `note` is a figure of its own."""

    position: int
    label: str
    lines: list[LineFound]
    others: list[str]
    note: str


class GateOut(Output):
    """A gate: its figure beside its threshold. Both are shares of 1 where `unit` is `share`, else counts.

    `holds` is null where the gate was not measured; `judged_by` then says why, and otherwise what judged. `worst` are
    the first of `num_labels` offenders.
    """

    gate: Gate
    tells: str
    figure: float | None
    threshold: float
    unit: Literal["share", "labels", "lines"]
    holds: bool | None
    num_labels: int
    judged_by: str
    details: dict[str, Any]
    worst: list[Offender]


class ReportOut(Output):
    """What the gates found in a set. `teacher` is null where no teacher was asked for its text features."""

    object: Literal["attribute_report"] = "attribute_report"
    attribute_set_id: str
    teacher: str | None
    created_at: Time
    num_labels: int
    num_described: int
    num_lines: int
    holds: bool
    gates: list[GateOut]


class CheckIn(StorableInput):
    """How a set is to be checked. With a teacher it is also measured how far apart the labels' texts are, before (by
    name) and after (by `text`)."""

    teacher: Annotated[str | None, TEACHER] = None
    text: TextKind = Field("all", description="What the teacher reads of a label besides its name.")
    prompt: PromptOptions = Field(PromptOptions(), description="How that is put.")


def _report(tx: Session, set_id: str, teacher: str | None) -> SetReport:
    attribute_sets.get(tx, set_id)
    found = reports.get(tx, set_id, teacher)
    if found is None:
        by = f" by teacher {teacher}" if teacher else ""
        with_it = " with that teacher" if teacher else ""
        detail = f"attribute set {set_id} has no report{by}: POST /v1/attribute-sets/{set_id}/report{with_it} makes one"
        raise ProblemError(404, "report_not_found", detail)
    return found


@router.get("/{id}/report", response_model=ReportOut)
def get(use: Use, id: str, teacher: _Teacher = None) -> object:
    """The set's report. An enrichment makes one; for edited and imported sets, and with a teacher, POST does."""
    with use.db.read() as tx:
        found = _report(tx, id, teacher)
    return ReportOut(
        attribute_set_id=id,
        teacher=found.teacher or None,
        created_at=found.created_at,
        **{name: value for name, value in found.figures.items() if name not in ("places", "judges")},
    )


@router.get("/{id}/report/{gate}/labels", response_model=Page[Offender])
def labels(
    use: Use, id: str, gate: Gate, teacher: _Teacher = None, limit: Limit = 20, after: AfterPosition = None
) -> object:
    """All labels that a gate caught, by position, with the lines that offend."""
    with use.db.read() as tx:
        found = _report(tx, id, teacher)
    places = found.figures["places"].get(gate)
    if places is None:
        detail = f"the report does not measure {gate}: POST /v1/attribute-sets/{id}/report with a teacher does"
        raise ProblemError(404, "gate_not_measured", detail)
    start = -1 if after is None else after
    data: list[Offender] = []
    for one in _offenders(use.artefacts, found.file_key, places, start):
        data.append(one)
        if len(data) > limit:
            break
    return page(data[:limit], len(data) > limit, lambda one: one.position)


def _offenders(artefacts: Artefacts, key: str, places: list[list[int]], after: int) -> Iterator[Offender]:
    """A gate's offenders beyond a position, read from the last place known before them."""
    *begun, (_, end) = places
    before = [at for position, at in begun if position <= after + 1] or [at for _, at in begun[:1]] or [end]
    with artefacts.open(key) as file:
        file.seek(before[-1])
        while file.tell() < end:
            one = Offender.model_validate_json(file.readline())
            if one.position > after:
                yield one


@router.post("/{id}/report", status_code=202, response_model=JobOut)
def check(use: Use, once: OnlyOnce, id: str, given: CheckIn) -> Response:
    """Have the set checked. The job's result says which gates fail; the report is read from the set."""

    def make(tx: Session) -> Made:
        found = attribute_sets.get(tx, id)
        spec: dict[str, Any] = {
            "attribute_set_id": found.id,
            "vocabulary_id": found.vocabulary_id,
            "num_labels": found.num_labels,
        }
        if given.teacher is not None:
            if found.num_labels < 2:
                raise refused("too_few_labels", "a teacher tells labels apart: the set has but one", "/teacher")
            spec |= {
                "teacher": teacher_ref(given.teacher, use.settings.data),
                "text": given.text,
                "prompt": given.prompt.model_dump(mode="json"),
            }
        queue: Literal["enrich", "gpu"] = "gpu" if given.teacher else "enrich"
        job = lifecycle.create(
            tx, "check", spec, [NewPart(kind="check", queue=queue, total=found.num_labels, unit="labels")]
        )
        return job_out(*progress.job(tx, job.id), None), f"/v1/jobs/{job.id}"

    return once.answer(make, status=202)
