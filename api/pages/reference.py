"""The API reference (`/docs`): the OpenAPI document as HTML."""

from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from api.pages.rendering import page

router = APIRouter(include_in_schema=False)


@router.get("/docs")
def reference(request: Request) -> HTMLResponse:
    """The OpenAPI document as HTML: operations with parameters, bodies and responses, and all schemas."""
    document = request.app.openapi()
    return page(
        request,
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
