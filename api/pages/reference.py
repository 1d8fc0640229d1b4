"""The API reference: contents and search (`/docs`), a page per operation with a form to try it, and the schemas."""

import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request
from markupsafe import Markup
from starlette.responses import HTMLResponse

from api.http.problems import ProblemError
from api.pages.formats import prose
from api.pages.rendering import page
from api.pages.schema_fields import FieldRow, Schema, default_of, describe, example_of, field_rows, name_of, type_of

router = APIRouter(include_in_schema=False)
_MAX_EXAMPLE_CHARS = 2_000


@dataclass(frozen=True)
class Operation:
    """An operation of the OpenAPI document."""

    method: str
    path: str
    tag: str
    description: str
    document: Mapping[str, Any]

    @property
    def slug(self) -> str:
        """Its page below `/docs/`: `post-v1-jobs-id-cancel`."""
        return re.sub(r"[^a-z0-9]+", "-", f"{self.method} {self.path}".lower()).strip("-")

    @property
    def first_sentence(self) -> str:
        return re.split(r"(?<=\.)\s", self.description, maxsplit=1)[0]

    def matches(self, words: Sequence[str]) -> bool:
        """Whether all words are in the path or the description."""
        text = f"{self.method} {self.path} {self.tag} {self.description}".lower()
        return all(word in text for word in words)


@router.get("/docs")
def contents(request: Request, q: str = "") -> HTMLResponse:
    """All operations by resource; with `q`, those that have all of its words. Schemas are found by their names."""
    document = request.app.openapi()
    words = q.lower().split()
    groups: dict[str, list[Operation]] = {}
    for operation in _operations(document):
        if operation.matches(words):
            groups.setdefault(operation.tag, []).append(operation)
    schemas = sorted(document["components"]["schemas"])
    return page(
        request,
        "reference.html.jinja",
        description=document["info"]["description"].split("\n\n"),
        groups=groups,
        schemas=[name for name in schemas if all(word in name.lower() for word in words)],
        q=q,
    )


@router.get("/docs/schemas/{name}")
def schema(request: Request, name: str) -> HTMLResponse:
    """The fields of a schema."""
    schemas: Mapping[str, Schema] = request.app.openapi()["components"]["schemas"]
    found = schemas.get(name)
    if found is None:
        raise ProblemError(404, "not_found", f"there is no schema {name!r}")
    return page(
        request,
        "reference_schema.html.jinja",
        name=name,
        description=str(found.get("description", "")).split("\n\n"),
        fields=[("", row) for row in field_rows(found)],
        type=type_of({key: value for key, value in found.items() if key != "title"}),
        example=_indented(example_of(found, schemas)),
    )


@router.get("/docs/{slug}")
def operation(request: Request, slug: str) -> HTMLResponse:
    """One operation: parameters, body, responses, an example for curl, and a form that sends a request."""
    document = request.app.openapi()
    found = next((one for one in _operations(document) if one.slug == slug), None)
    if found is None:
        raise ProblemError(404, "not_found", f"there is no operation {slug!r}")
    schemas = document["components"]["schemas"]
    bodies: Mapping[str, Any] = found.document.get("requestBody", {}).get("content", {})
    media_type = next(iter(bodies), "")
    body = _body_example(bodies.get(media_type, {}), schemas, media_type)
    return page(
        request,
        "reference_operation.html.jinja",
        operation=found,
        description=found.description.split("\n\n"),
        parameters=_parameters(found),
        media_type=media_type,
        other_types=list(bodies)[1:],
        body_fields=[("", row) for row in _body_fields(bodies.get(media_type, {}), schemas)],
        body_type=type_of(bodies[media_type].get("schema", {})) if media_type else "",
        body=body,
        responses=[
            (status, prose(response.get("description", "")), _content(response))
            for status, response in sorted(found.document["responses"].items())
        ],
        curl=_curl(found, str(request.base_url).rstrip("/"), media_type, body),
    )


def _operations(document: Mapping[str, Any]) -> list[Operation]:
    return [
        Operation(
            method, path, next(iter(operation.get("tags", ())), "other"), operation.get("description", ""), operation
        )
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def _parameters(operation: Operation) -> list[tuple[str, FieldRow]]:
    """(where it is sent, its row) of each parameter."""
    return [
        (
            str(parameter["in"]),
            FieldRow(
                parameter["name"],
                type_of(parameter["schema"]),
                bool(parameter.get("required")),
                default_of(parameter["schema"]),
                describe({**parameter["schema"], "description": parameter.get("description", "")}),
            ),
        )
        for parameter in operation.document.get("parameters", ())
    ]


def _body_fields(content: Mapping[str, Any], schemas: Mapping[str, Schema]) -> list[FieldRow]:
    """The fields of a body that is an object; none for a choice of several, which its type links to."""
    found = content.get("schema", {})
    return field_rows(schemas[name_of(found["$ref"])] if "$ref" in found else found)


def _body_example(content: Mapping[str, Any], schemas: Mapping[str, Schema], media_type: str) -> str:
    if not media_type:
        return ""
    examples = content.get("examples") or {}
    if examples:
        given = next(iter(examples.values())).get("value")
    else:
        given = content.get("example", example_of(content.get("schema", {}), schemas))
    text = given if isinstance(given, str) else _indented(given)
    return text if len(text) <= _MAX_EXAMPLE_CHARS else ""


def _content(response: Mapping[str, Any]) -> Markup:
    return Markup(", ").join(
        Markup("{} {}").format(media_type, type_of(content["schema"]) if "$ref" in content.get("schema", {}) else "")
        for media_type, content in response.get("content", {}).items()
    )


def _curl(operation: Operation, base_url: str, media_type: str, body: str) -> str:
    """A command that sends the example; path parameters stay as `{id}`."""
    lines = [f"curl -X {operation.method.upper()} {shlex.quote(base_url + operation.path)}"]
    if operation.document.get("security"):
        lines.append('-H "Authorization: Bearer $LIMBECK_KEY"')
    if any(parameter["name"] == "if-match" for parameter in operation.document.get("parameters", ())):
        lines.append("-H 'If-Match: \"1\"'")
    if media_type:
        lines += [f"-H 'Content-Type: {media_type}'", f"--data {shlex.quote(body)}"]
    return " \\\n  ".join(lines)


def _indented(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)
