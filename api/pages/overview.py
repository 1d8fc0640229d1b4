"""Two static pages without scripts and external resources: the overview (`/`) and the API reference (`/docs`).

The page that edits attributes is in `api.pages.editor`.
"""

import html
import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from api.http.dependencies import ServicesDep
from api.http.schemas import iso_utc
from store import resources
from store.jobs import heartbeats, progress
from store.models import AttributeSet, Checkpoint, Job

router = APIRouter(include_in_schema=False)

_LATEST = 10
_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; width: 100% } th, td { text-align: left; padding: .2rem .8rem .2rem 0;
border-bottom: 1px solid #ddd; vertical-align: top } code, pre { font: 14px/1.4 ui-monospace, monospace }
pre { background: #f4f4f2; padding: .6rem; overflow-x: auto } h2 { margin-top: 2rem } .m { color: #666 }
@media (prefers-color-scheme: dark) { body { background: #181818; color: #ddd } pre { background: #242424 }
th, td { border-color: #444 } a { color: #8ab4f8 } .m { color: #999 } }
"""


def _page(title: str, body: str) -> HTMLResponse:
    return HTMLResponse(
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>{body}</body></html>'
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """An HTML table of texts, which are escaped."""
    lines = ["<table><tr>" + "".join(f"<th>{html.escape(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return "".join(lines) + "</table>"


@router.get("/")
def landing(services: ServicesDep) -> HTMLResponse:
    """Links to the reference, live processes, and the latest jobs, attribute sets and checkpoints."""
    with services.db.read() as tx:
        jobs, _ = resources.page(tx, Job, limit=_LATEST, after=None)
        progress_by_job = progress.of_jobs(tx, [job.id for job in jobs])
        checkpoints, _ = resources.page(tx, Checkpoint, limit=_LATEST, after=None)
        sets, _ = resources.page(tx, AttributeSet, limit=_LATEST, after=None)
        alive = heartbeats.alive(tx)
    workers = ", ".join(f"{count} {role}" for role, count in sorted(alive.items())) or "none"
    job_rows = [
        (job.id, job.kind, job.status, _progress(progress_by_job.get(job.id)), iso_utc(job.created_at)) for job in jobs
    ]
    checkpoint_rows = [
        (row.id, row.student, row.text, _accuracies(row), iso_utc(row.created_at)) for row in checkpoints
    ]
    return _page(
        "Limbeck",
        "<h1>Limbeck</h1><p>Train a small open-vocabulary image model from a list of labels and a folder of images."
        ' All functions are in the API: <a href="/docs">reference</a>, <a href="/openapi.json">OpenAPI</a>,'
        f' <a href="/readyz">readiness</a>, <a href="/metrics">metrics</a>.</p><p>Live processes: '
        f"{html.escape(workers)}.</p><h2>Latest jobs</h2>"
        + (_table(("id", "kind", "status", "stage", "created"), job_rows) if jobs else "<p>None yet.</p>")
        + "<h2>Latest attribute sets</h2>"
        + ("".join(map(_set_line, sets)) or "<p>None yet.</p>")
        + "<h2>Latest checkpoints</h2>"
        + (
            _table(("id", "student", "text", "accuracy", "created"), checkpoint_rows)
            if checkpoints
            else "<p>None yet.</p>"
        ),
    )


def _set_line(row: AttributeSet) -> str:
    described = f"{row.num_described:,} of {row.num_labels:,} labels described, {row.num_flagged:,} flagged"
    return f'<p><a href="/attributes/{quote(row.id)}"><code>{html.escape(row.id)}</code></a> {described}</p>'


def _progress(state: progress.Progress | None) -> str:
    return f"{state.stage} {state.done}/{state.total} {state.unit}" if state else ""


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
    schemas = document["components"]["schemas"]
    body = [f"<h1>{html.escape(document['info']['title'])}</h1>", _paragraphs(document["info"]["description"])]
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            body.append(_operation(method, path, operation))
    body.append("<h2>Schemas</h2>")
    for name, schema in sorted(schemas.items()):
        body.append(f'<h3 id="{html.escape(name)}">{html.escape(name)}</h3>{_json(schema)}')
    return _page("Limbeck API", "".join(body))


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [f"<h2><code>{method.upper()} {html.escape(path)}</code></h2>", _paragraphs(operation["description"])]
    parameters = operation.get("parameters", [])
    if parameters:
        rows = [
            (parameter["name"], parameter["in"], _type(parameter), parameter.get("description", ""))
            for parameter in parameters
        ]
        parts.append(_table(("parameter", "in", "type", ""), rows))
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<p>Body: <code>{html.escape(media_type)}</code></p>{_json(content)}")
    responses = [
        (status, response.get("description", ""), ", ".join(_content(response)))
        for status, response in operation["responses"].items()
    ]
    return "".join([*parts, _table(("response", "", ""), responses)])


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


def _json(value: object) -> str:
    return f"<pre>{html.escape(json.dumps(value, indent=1, ensure_ascii=False))}</pre>"


def _paragraphs(text: str) -> str:
    return "".join(f"<p>{html.escape(part)}</p>" for part in text.split("\n\n"))
