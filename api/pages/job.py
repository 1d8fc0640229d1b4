"""The page of a job: stage, rate and remaining time, live curves, spend, events and the error with its remedy.

The page is complete without scripts. With them, `static/live.js` follows the event stream of the job and fetches the
two fragments again, at most once per three seconds.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request
from markupsafe import Markup
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from api.http.dependencies import ServicesDep
from api.http.schemas import MAX_INT32
from api.pages import charts, formats
from api.pages.job_curves import JobCurves
from api.pages.links import link, with_query
from api.pages.rendering import fragment, page
from api.routes.epoch_checkpoints import EpochCheckpointOut, checkpoints_out
from api.routes.jobs import JobOut, StageOut, read_job
from store.jobs import events, jobs
from store.lifecycle import epoch_checkpoints
from store.models import Event

router = APIRouter(include_in_schema=False)

_NUM_EVENTS = 40
_RESULTS = {
    "attribute_set_id": "Attribute set",
    "caption_set_id": "Caption set",
    "text_targets_id": "Text targets",
    "checkpoint_id": "Student",
}
_INPUTS = {
    "vocabulary_id": "Vocabulary",
    "attribute_set_id": "Attribute set",
    "base_set_id": "Base set",
    "dataset_id": "Images",
    "start_checkpoint_id": "Initial student",
}
Level = Annotated[Literal["all", "warning", "error"], Query(description="Lowest level of the events shown.")]
Before = Annotated[int | None, Query(ge=1, le=MAX_INT32, description="Show events with smaller numbers.")]


@dataclass(frozen=True)
class EventRow:
    """An event as the page shows it."""

    number: int
    at: Markup
    level: str
    message: str


@router.get("/jobs/{id}")
def job_page(
    request: Request, services: ServicesDep, id: str, level: Level = "all", before: Before = None
) -> HTMLResponse:
    """The whole page."""
    with services.db.read() as tx:
        job = read_job(tx, id)
        num_events = jobs.get(tx, id).num_events
        values = {**_progress_values(tx, job), **_event_values(tx, id, level, before)}
        curves = _curves(request).charts(tx, id, has_ended=job.status in jobs.ENDED)
    return page(
        request, "job.html.jinja", num_events=num_events, curves=curves, inputs=_inputs(job), spec=job.spec, **values
    )


@router.get("/jobs/{id}/progress")
def progress_fragment(services: ServicesDep, id: str) -> HTMLResponse:
    """The state, the progress and the buttons."""
    with services.db.read() as tx:
        return fragment("job_progress.html.jinja", **_progress_values(tx, read_job(tx, id)))


@router.get("/jobs/{id}/news")
def news_fragment(
    request: Request, services: ServicesDep, id: str, level: Level = "all", before: Before = None
) -> HTMLResponse:
    """The curves and the events."""
    with services.db.read() as tx:
        curves = _curves(request).charts(tx, id, has_ended=jobs.get(tx, id).finished_at is not None)
        return fragment("job_news.html.jinja", curves=curves, **_event_values(tx, id, level, before))


def _curves(request: Request) -> JobCurves:
    curves: JobCurves = request.app.state.job_curves
    return curves


def _progress_values(tx: Session, job: JobOut) -> Mapping[str, Any]:
    result = job.result or {}
    return {
        "job": job,
        "has_ended": job.status in jobs.ENDED,
        "stages": [
            (stage.name, _bar(stage, has_begun_next=index + 1 < len(job.stages)), _count(stage), stage.rate)
            for index, stage in enumerate(job.stages)
        ],
        "results": [(name, link(str(result[field]))) for field, name in _RESULTS.items() if result.get(field)],
        "checkpoints": _checkpoints(tx, job) if job.spec.get("save_checkpoints") else (),
        "spend": _spend(job),
        "failed_reasons": result.get("failed_reasons") or [],
        "took": _seconds(job),
    }


def _bar(stage: StageOut, *, has_begun_next: bool) -> Markup:
    if not stage.total:  # a stage that does not count its work
        return charts.bar(1.0 if has_begun_next else 0.0)
    return charts.bar(stage.done / stage.total)


def _count(stage: StageOut) -> str:
    return f"{stage.done:,} of {stage.total:,} {stage.unit}" if stage.total else ""


def _checkpoints(tx: Session, job: JobOut) -> Sequence[EpochCheckpointOut]:
    """The students that a training has kept so far, the newest first."""
    rows, _ = epoch_checkpoints.page(tx, job.id, limit=job.spec["save_checkpoints"]["keep"])
    return checkpoints_out(tx, job.id, rows)[::-1]


def _seconds(job: JobOut) -> str:
    if not job.started_at or not job.finished_at:
        return ""
    started, finished = (datetime.fromisoformat(at) for at in (job.started_at, job.finished_at))
    return formats.duration((finished - started).total_seconds())


def _spend(job: JobOut) -> Sequence[tuple[str, object]]:
    if job.spend is None:
        return ()
    spend = job.spend
    shown: list[tuple[str, object]] = [
        ("LLM calls", formats.number(spend.calls)),
        ("Tokens", formats.number(spend.tokens)),
        ("Spent", formats.dollars(spend.usd) if spend.usd is not None else "no price known"),
    ]
    if spend.cap_usd is not None:
        shown.append(("Cap", formats.dollars(spend.cap_usd)))
    if spend.cap_tokens is not None:
        shown.append(("Cap of tokens", formats.number(spend.cap_tokens)))
    if spend.projected_usd is not None:
        shown.append(("Projected", formats.dollars(spend.projected_usd)))
    return shown


def _inputs(job: JobOut) -> list[tuple[str, object]]:
    found = [(name, link(str(job.spec[field]))) for field, name in _INPUTS.items() if job.spec.get(field)]
    for field in ("teacher", "model", "recipe", "text"):
        if isinstance(job.spec.get(field), str) and job.spec[field]:
            found.append((field.capitalize(), formats.isolated(job.spec[field])))
    return [*found]


def _event_values(tx: Session, job_id: str, level: str, before: int | None) -> Mapping[str, Any]:
    levels = {"all": (), "warning": ("warning", "error"), "error": ("error",)}[level]
    rows = events.newest(tx, job_id, limit=_NUM_EVENTS + 1, before=before, levels=levels)
    shown = rows[:_NUM_EVENTS]
    path = f"/jobs/{job_id}"
    return {
        "events": [_event_row(row) for row in shown],
        "level": level,
        "levels": [(name, with_query(path, level=name) + "#events") for name in ("all", "warning", "error")],
        "older_url": with_query(path, level=level, before=shown[-1].id) + "#events" if len(rows) > _NUM_EVENTS else "",
        "before": before,
    }


def _event_row(row: Event) -> EventRow:
    return EventRow(row.id, formats.time_tag(row.at), row.level, row.message)
