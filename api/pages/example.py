"""The page of the example (`/example`): what it does, and one button that starts it.

`static/example.js` sends the requests of the plan one after another, each with the ids that the ones before returned.
Every step that exists already is found again, so that a page that was closed or reloaded continues.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from api.http.dependencies import ServicesDep
from api.http.problems import ProblemError
from api.jobs.whole_job import PlanIn
from api.pages.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/example")
def example_page(request: Request, services: ServicesDep) -> HTMLResponse:
    """The steps of the example."""
    path = services.settings.example
    if path is None:
        detail = "this service has no example: start it with limbeck serve --field-guide, or set LIMBECK_EXAMPLE"
        raise ProblemError(404, "no_example", detail)
    plan = read_plan(path)
    name = plan.vocabulary.name if plan.vocabulary else ""
    return page(
        request, "example.html.jinja", name=name, plan=_as_sent(plan), vocabulary=plan.vocabulary, images=plan.dataset
    )


def read_plan(path: Path) -> PlanIn:
    """The plan of the example. Raises ProblemError 503 `example_unusable`."""
    try:
        plan = PlanIn.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ProblemError(503, "example_unusable", f"LIMBECK_EXAMPLE={path}: {reason}") from None
    if plan.vocabulary is None or plan.dataset is None or [job.kind for job in plan.jobs] != ["enrich", "distill"]:
        detail = f"LIMBECK_EXAMPLE={path}: needs a vocabulary, a dataset, and two jobs: enrich, then distill"
        raise ProblemError(503, "example_unusable", detail)
    return plan


def _as_sent(plan: PlanIn) -> Mapping[str, Any]:
    """The bodies of the requests, as the file has them."""
    return plan.model_dump(mode="json", exclude_unset=True)
