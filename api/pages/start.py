"""The start page (`/`): what there is, what runs, and on an empty server how to begin."""

from collections.abc import Mapping
from pathlib import Path

from fastapi import APIRouter, Request
from markupsafe import Markup
from sqlalchemy import func, select
from sqlalchemy.orm import Session
from starlette.responses import HTMLResponse

from api.http.dependencies import ServicesDep
from api.pages import charts, formats
from api.pages.evaluations import accuracy_of
from api.pages.example import read_plan
from api.pages.links import link
from api.pages.lists import LARGE_IN_JOBS
from api.pages.rendering import page
from store import resources
from store.jobs import heartbeats, progress
from store.models import AttributeSet, Base, Checkpoint, Dataset, Job, Vocabulary
from store.upkeep.disk_used import DiskScan

router = APIRouter(include_in_schema=False)

_LATEST = 8
_KINDS = 3
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
        jobs, _ = resources.page(tx, Job, limit=_LATEST, after=None, without=LARGE_IN_JOBS)
        running, _ = resources.page(tx, Job, limit=_LATEST, after=None, without=LARGE_IN_JOBS, status="running")
        states = progress.of_jobs(tx, [job.id for job in running])
        checkpoints, _ = resources.page(tx, Checkpoint, limit=_LATEST, after=None, without=(Checkpoint.evaluation,))
        alive = heartbeats.alive(tx)
    return page(
        request,
        "start.html.jinja",
        counts=[(name, Markup('<a href="{}">{:,}</a>').format(path, count)) for name, path, count in counts],
        processes=[(f"{name}s alive", alive.get(role, 0)) for role, name in _ROLES.items()],
        warnings=[f"No {name} is running: its jobs wait." for role, name in _ROLES.items() if not alive.get(role)],
        disk=_disk(request.app.state.disk_scan),
        example=_example(services.settings.example) if not checkpoints else "",
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
                accuracy_of(row.headline, "id"),
                accuracy_of(row.headline, "ood"),
                formats.time_tag(row.created_at),
            )
            for row in checkpoints
        ],
    )


def _example(path: Path | None) -> str:
    """The name of the example, which the start page offers until there is a student."""
    vocabulary = read_plan(path).vocabulary if path else None
    return vocabulary.name if vocabulary else ""


def _disk(scan: DiskScan) -> Mapping[str, object] | None:
    """The disk that the last scan found, and the kinds of files that use most of it. A scan is never waited for."""
    scan.begin()
    last = scan.last
    if last is None:
        return None
    kinds = sorted(last.kinds, key=lambda kind: -kind.size)[:_KINDS]
    return {
        "total": sum(kind.size for kind in last.kinds),
        "largest": [(kind.kind.replace("_", " "), kind.size) for kind in kinds if kind.size],
        "at": last.scanned_at,
    }


def _count(tx: Session, model: type[Base]) -> int:
    return tx.scalar(select(func.count()).select_from(model)) or 0


def _running_row(job: Job, state: progress.Progress | None) -> tuple[object, ...]:
    if state is None:
        return link(job.id), job.kind, "", "", ""
    share = state.done / state.total if state.total else 0.0
    done = Markup("{} {:,}/{:,} {}").format(charts.bar(share), state.done, state.total, state.unit)
    return link(job.id), job.kind, state.name, done, formats.duration(state.eta_s)
