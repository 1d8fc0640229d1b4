"""The operations of the API as a page, from the OpenAPI document."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from api.app import create_app
from api.openapi import DESCRIPTION
from reference.tables import row
from store.settings import Settings

_HEAD = f"""# HTTP API

Written by `python -m reference`; a test compares this page with the code. A running service shows the same operations
with a form to try them at `/docs`, and the OpenAPI document at `/openapi.json`.

{DESCRIPTION}
"""
_METHODS = ("get", "post", "put", "patch", "delete")


def markdown() -> str:
    """The whole page."""
    document = _openapi()
    by_tag: dict[str, list[str]] = {}
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                tag = (operations[method].get("tags") or ["service"])[0]
                by_tag.setdefault(tag, []).append(_operation(method, path, operations[method], document))
    return _HEAD + "".join(f"\n## {tag}\n{''.join(sections)}" for tag, sections in sorted(by_tag.items()))


def _openapi() -> dict[str, Any]:
    with TemporaryDirectory() as folder:
        return dict(create_app(Settings(home=Path(folder))).openapi())


def _operation(method: str, path: str, operation: Mapping[str, Any], document: Mapping[str, Any]) -> str:
    text = str(operation.get("description") or operation.get("summary") or "")
    parts = [f"\n### `{method.upper()} {path}`\n\n{text}\n"]
    rows = [
        row(f"`{one['name']}`", one["in"], _type(one.get("schema", {})), str(one.get("description", "")))
        for one in operation.get("parameters", ())
    ]
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        rows += [row(f"`{name}`", media, kind, about) for name, kind, about in _fields(content["schema"], document)]
    if rows:
        parts.append(f"\n| parameter | in | type | meaning |\n|---|---|---|---|\n{''.join(rows)}")
    statuses = ", ".join(f"`{status}`" for status in operation["responses"])
    parts.append(f"\nStatus codes: {statuses}.\n")
    return "".join(parts)


def _fields(schema: Mapping[str, Any], document: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """Name, type and meaning of each field of a body. A body of several kinds has the fields of each."""
    schema = _resolve(schema, document)
    found: dict[str, tuple[str, str, str]] = {}
    for option in schema.get("oneOf") or schema.get("anyOf") or [schema]:
        for name, field in _resolve(option, document).get("properties", {}).items():
            found.setdefault(name, (name, _type(field), str(field.get("description", ""))))
    return list(found.values())


def _resolve(schema: Mapping[str, Any], document: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        resolved: Mapping[str, Any] = document["components"]["schemas"][name]
        return resolved
    return schema


def _type(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(one) for one in schema[key]))
    if schema.get("type") == "array":
        return f"array of {_type(schema.get('items', {}))}"
    return str(schema.get("type", "any"))
