"""The OpenAPI document: FastAPI's, with authentication and problem responses added to every operation."""

from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from api.auth import PUBLIC_PATHS
from api.http import problems

DESCRIPTION = """\
Train a small open-vocabulary image model from a list of labels and a folder of images.

Lists are `{"object": "list", "data": [...], "has_more", "first_id", "last_id"}`, paged with `limit` and `after`.
Every error is an RFC 9457 problem with a stable `code`; for an invalid body, `errors: [{pointer, detail}]` names the
fields. Every POST accepts an `Idempotency-Key`: a request that repeats the key and the body gets the first response.
Clients of the Hugging Face Hub load checkpoints by the Hub's own protocol (docs/hub.md), which is not listed here.
Times are UTC. The ETag of a draft is its version; a request that changes the draft sends the version in `If-Match`.

Unless the service is bound to loopback, a request needs a key (`Authorization: Bearer lbk_...`) with the scope `read`
(GET, HEAD) or `write` (all other methods)."""

_PROBLEMS = {
    "400": "The request is malformed: its URL has a NUL character, or its body cannot be read",
    "401": "The key is missing, unknown, expired or revoked",
    "402": "The budget of the job is more than is left of that of the key",
    "403": "The key lacks the scope, or the resource belongs to another owner; or a request without a key did not come "
    "from this machine",
    "404": "The resource does not exist",
    "409": "The `Idempotency-Key` was used for another request or is in use; or the resource is in use, or was changed "
    "by another request at the same time",
    "412": "The draft has changed since the version in `If-Match`",
    "413": "The body is too large",
    "415": "The content type of the body is not supported",
    "422": "The request is invalid; `errors` names the fields",
    "428": "`If-Match` with the version of the draft is required",
    "429": "The key has sent too many requests; `Retry-After` says when it may send the next one",
    "503": "The database does not respond; nothing was changed",
}


def install(app: FastAPI) -> None:
    """Make `app.openapi()` return the document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _document(app)
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _document(app: FastAPI) -> dict[str, Any]:
    openapi = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
    components = openapi.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = problems.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= problem.pop("$defs")
    schemas["Problem"] = problem
    components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "lbk_..."}}
    for path, operations in openapi["paths"].items():
        for method, operation in operations.items():
            _describe_parameters(method, operation)
            _add_security_and_problems(path, method, operation)
            _move_definitions(operation, schemas)
    return openapi


def _describe_parameters(method: str, operation: dict[str, Any]) -> None:
    """A parameter can be left out, but not be null; a change of a draft needs its version (428 without it)."""
    for parameter in operation.get("parameters", ()):
        schema = parameter["schema"]
        kinds = [one for one in schema.get("anyOf", ()) if one != {"type": "null"}]
        if len(kinds) < len(schema.get("anyOf", ())):
            del schema["anyOf"]
            schema |= kinds[0] if len(kinds) == 1 else {"anyOf": kinds}
        if parameter["name"] == "if-match" and method == "patch":
            parameter["required"] = True


def _add_security_and_problems(path: str, method: str, operation: dict[str, Any]) -> None:
    """The problems that the middleware, the reading of a request and its dependencies can answer with.

    A route declares the others itself, in its `responses`.
    """
    parameters = {parameter["name"] for parameter in operation.get("parameters", ())}
    statuses = {"400", "413"}
    if path not in PUBLIC_PATHS:
        operation["security"] = [{"key": []}, {}]
        statuses |= {"401", "403", "429", "503"} | ({"404"} if "{" in path else set())
    if method == "post" and path in ("/v1/jobs", "/v1/jobs/{id}/retry"):
        statuses |= {"402"}
    if method in ("post", "patch"):
        statuses |= {"409", "415", "422"}
    if "422" in operation["responses"]:  # FastAPI's, of any parameter
        statuses |= {"422"}
    if method == "delete" or "idempotency-key" in parameters:
        statuses |= {"409"}
    if "if-match" in parameters:
        statuses |= {"412", "428"} if method == "patch" else {"412"}
    operation["responses"].pop("422", None)
    content = {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for status in sorted(statuses - set(operation["responses"])):
        operation["responses"][status] = {"description": _PROBLEMS[status], "content": content}
    for status, response in operation["responses"].items():
        if status >= "400" and path not in PUBLIC_PATHS:  # a route describes its own problem, and its form is the same
            response.setdefault("content", content)


def _move_definitions(operation: dict[str, Any], schemas: dict[str, Any]) -> None:
    # The schemas of bodies that a route parses itself contain their own definitions.
    for content in operation.get("requestBody", {}).get("content", {}).values():
        schemas |= content.get("schema", {}).pop("$defs", {})
