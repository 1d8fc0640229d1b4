"""The start page (`/`): what there is, what runs, and on an empty server how to begin."""

from fastapi import APIRouter, Request
from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from api.http.dependencies import ServicesDep
from api.pages import charts, formats
from api.pages.evaluations import accuracy_of
from api.pages.links import link
from api.pages.rendering import page
from store import resources
from store.jobs import heartbeats, progress
from store.models import AttributeSet, Base, Checkpoint, Dataset, Job, Vocabulary

router = APIRouter(include_in_schema=False)

_LATEST = 8
_COUNTED: tuple[tuple[str, str, type[Base]], ...] = (
    ("Vocabularies", "/vocabularies", Vocabulary),
    ("Attribute sets", "/attributes", AttributeSet),
    ("Sets of images", "/images", Dataset),
    ("Jobs", "/jobs", Job),
    ("Students", "/students", Checkpoint),
)
_ROLES = {"gpu": "GPU worker", "enrich": "LLM worker", "sweeper": "sweeper"}


@router.get("/")
def start(request: Request, services: ServicesDep) -> HTMLResponse:
    """Counts, processes, running and latest jobs, and the latest students."""
    with services.db.read() as tx:
        counts = [(name, path, _count(tx, model)) for name, path, model in _COUNTED]
        jobs, _ = resources.page(tx, Job, limit=_LATEST, after=None)
        running, _ = resources.page(tx, Job, limit=_LATEST, after=None, status="running")
        states = progress.of_jobs(tx, [job.id for job in running])
        checkpoints, _ = resources.page(tx, Checkpoint, limit=_LATEST, after=None)
        alive = heartbeats.alive(tx)
    return page(
        request,
        "start.html.jinja",
        counts=[(name, Markup('<a href="{}">{:,}</a>').format(path, count)) for name, path, count in counts],
        processes=[(f"{name}s alive", alive.get(role, 0)) for role, name in _ROLES.items()],
        warnings=[f"No {name} is running: its jobs wait." for role, name in _ROLES.items() if not alive.get(role)],
        is_empty=not any(count for _, _, count in counts),
        running=[_running_row(job, states.get(job.id)) for job in running],
        latest_jobs=[
            (
                link(job.id),
                job.kind,
                Markup('<span class="badge {0}">{0}</span>').format(job.status),
                formats.time_tag(job.created_at),
            )
            for job in jobs
        ],
        students=[
            (
                link(row.id),
                row.student,
                accuracy_of(row.evaluation, "id"),
                accuracy_of(row.evaluation, "ood"),
                formats.time_tag(row.created_at),
            )
            for row in checkpoints
        ],
    )


def _count(tx: Session, model: type[Base]) -> int:
    return tx.scalar(select(func.count()).select_from(model)) or 0


def _running_row(job: Job, state: progress.Progress | None) -> tuple[object, ...]:
    if state is None:
        return link(job.id), job.kind, "", "", ""
    share = state.done / state.total if state.total else 0.0
    done = Markup("{} {:,}/{:,} {}").format(charts.bar(share), state.done, state.total, state.unit)
    return link(job.id), job.kind, state.name, done, formats.duration(state.eta_s)
