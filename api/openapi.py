"""The OpenAPI document: what FastAPI finds in the routes, with keys and problems documented for all of them."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.auth import OPEN_PATHS
from api.http import problems

DESCRIPTION = """\
From a list of labels and a folder of images to a small image model that still understands words.

Lists are `{"object": "list", "data": [...], "has_more", "first_id", "last_id"}`, asked for with `limit` and `after`.
Every error is an RFC 9457 problem with a stable `code`, and `errors: [{pointer, detail}]` where a body is at fault.
Every POST takes an `Idempotency-Key`: sent again with the same body, it gets the first answer. Times are UTC.
A draft's ETag is its version, and a change of it names that in `If-Match`.

A key (`Authorization: Bearer lbk_...`) with the scope `read` (GET, HEAD) or `write` (all else) is needed wherever the
service is not bound to loopback."""

_WITH_BODY = ("post", "patch")
_PROBLEMS = {
    "400": "The request cannot be read",
    "401": "No key, or none that is known and live",
    "403": "The key lacks the scope; or, without a key, the request did not come from this machine",
    "404": "There is no such thing",
    "409": "The `Idempotency-Key` was used for another request, or is in use",
    "412": "The draft has changed since the version that `If-Match` names",
    "413": "The body is too large",
    "415": "The body is of a type that is not read here",
    "422": "Something in the request is wrong; `errors` says where",
    "428": "A change of a draft must name its version in `If-Match`",
    "503": "The database does not answer; nothing was changed",
}


def install(app: FastAPI) -> None:
    """Make `app.openapi()` return the document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    made = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = made.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "lbk_..."}}
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            _complete(path, method, operation)
            _lift_definitions(operation, schemas)
    return made


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    if path in OPEN_PATHS:
        return
    operation["security"] = [{"key": []}, {}]
    apt = {"401", "403", "503"} | ({"404"} if "{" in path else set())
    apt |= {"400", "409", "413", "415", "422"} if method in _WITH_BODY else {"422"} & set(operation["responses"])
    if any(parameter["name"] == "if-match" for parameter in operation.get("parameters", ())):
        apt |= {"412", "428"} if method == "patch" else {"412"}
    operation["responses"].pop("422", None)
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in sorted(apt - set(operation["responses"])):
        operation["responses"][status] = {"description": _PROBLEMS[status], "content": content}


def _lift_definitions(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    # Bodies that a route reads by itself bring their definitions along.
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schemas |= content.get("schema", {}).pop("$defs", {})
