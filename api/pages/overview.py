"""Two static pages without scripts and external resources: the overview (`/`) and the API reference (`/docs`).

The page that edits attributes is in `api.pages.editor`.
"""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from api.http.dependencies import ServicesDep
from api.http.schemas import iso_utc
from api.pages.rendering import page
from store import resources
from store.jobs import heartbeats, progress
from store.models import AttributeSet, Checkpoint, Job

router = APIRouter(include_in_schema=False)

_LATEST = 10


@router.get("/")
def landing(services: ServicesDep) -> HTMLResponse:
    """Links to the reference, live processes, and the latest jobs, attribute sets and checkpoints."""
    with services.db.read() as tx:
        jobs, _ = resources.page(tx, Job, limit=_LATEST, after=None)
        progress_by_job = progress.of_jobs(tx, [job.id for job in jobs])
        checkpoints, _ = resources.page(tx, Checkpoint, limit=_LATEST, after=None)
        sets, _ = resources.page(tx, AttributeSet, limit=_LATEST, after=None)
        alive = heartbeats.alive(tx)
    return page(
        "overview.html.jinja",
        workers=", ".join(f"{count} {role}" for role, count in sorted(alive.items())) or "none",
        jobs=[
            (job.id, job.kind, _status(job), _progress(progress_by_job.get(job.id)), iso_utc(job.created_at))
            for job in jobs
        ],
        sets=sets,
        checkpoints=[(row.id, row.student, row.text, _accuracies(row), iso_utc(row.created_at)) for row in checkpoints],
    )


def _status(job: Job) -> str:
    """The status, with what an enrichment lacks: `succeeded, missing: 2 refused, 1 timeout`."""
    reasons = (job.result or {}).get("failed_reasons")
    if not isinstance(reasons, list) or not reasons:
        return job.status
    missing = ", ".join(f"{one['count'] + one['partly_count']} {one['reason']}" for one in reasons)
    return f"{job.status}, missing: {missing}"


def _progress(state: progress.Progress | None) -> str:
    return f"{state.name} {state.done}/{state.total} {state.unit}" if state else ""


def _accuracies(checkpoint: Checkpoint) -> str:
    parts = [(name, checkpoint.evaluation.get(name)) for name in ("id", "ood")]
    return ", ".join(
        f"{name.upper()} {part['accuracy']:.1%}"
        for name, part in parts
        if isinstance(part, dict) and isinstance(part.get("accuracy"), float | int)
    )


@router.get("/docs")
def reference(request: Request) -> HTMLResponse:
    """The OpenAPI document as HTML: operations with parameters, bodies and responses, and all schemas."""
    document = request.app.openapi()
    return page(
        "reference.html.jinja",
        title=document["info"]["title"],
        description=document["info"]["description"],
        operations=[
            _operation(method, path, operation)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        ],
        schemas=dict(sorted(document["components"]["schemas"].items())),
    )


def _operation(method: str, path: str, operation: dict[str, Any]) -> dict[str, object]:
    """What the page shows of an operation: texts, and the cells of its tables."""
    return {
        "method": method,
        "path": path,
        "description": operation["description"],
        "parameters": [
            (parameter["name"], parameter["in"], _type(parameter), parameter.get("description", ""))
            for parameter in operation.get("parameters", [])
        ],
        "bodies": operation.get("requestBody", {}).get("content", {}),
        "responses": [
            (status, response.get("description", ""), ", ".join(_content(response)))
            for status, response in operation["responses"].items()
        ],
    }


def _content(response: dict[str, Any]) -> list[str]:
    return [
        f"{media_type} {content.get('schema', {}).get('$ref', '').rpartition('/')[2]}".strip()
        for media_type, content in response.get("content", {}).items()
    ]


def _type(parameter: dict[str, Any]) -> str:
    schemas = parameter["schema"].get("anyOf", [parameter["schema"]])
    return " or ".join(
        " | ".join(map(str, schema["enum"])) if "enum" in schema else str(schema.get("type", ""))
        for schema in schemas
        if schema.get("type") != "null"
    )
