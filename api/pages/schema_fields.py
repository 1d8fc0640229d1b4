"""JSON schemas of the OpenAPI document as rows of a table, whose types link to the pages of other schemas."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

Schema = Mapping[str, Any]
SCHEMAS_PATH = "/docs/schemas/"
_MAX_EXAMPLE_DEPTH = 3
_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "pattern": "matches {}",
}


@dataclass(frozen=True)
class FieldRow:
    """A field of an object, or a parameter."""

    name: str
    type: Markup
    is_required: bool
    default: str
    description: str


def field_rows(schema: Schema) -> list[FieldRow]:
    """The fields of an object."""
    required = set(schema.get("required", ()))
    return [
        FieldRow(name, type_of(field), name in required, default_of(field), describe(field))
        for name, field in schema.get("properties", {}).items()
    ]


def describe(schema: Schema) -> str:
    """The description of a field and the limits of its values."""
    inner: Schema = next((one for one in schema.get("anyOf", ()) if one.get("type") != "null"), {})
    limits = [
        text.format(found) for name, text in _LIMITS.items() if (found := schema.get(name, inner.get(name))) is not None
    ]
    described = str(schema.get("description", ""))
    return " ".join(part for part in (described, f"({', '.join(limits)})" if limits else "") if part)


def default_of(schema: Schema) -> str:
    """The default as JSON; "" for none, null and objects, whose own fields have defaults."""
    default = schema.get("default")
    return "" if default is None or isinstance(default, dict) else json.dumps(default, ensure_ascii=False)


def type_of(schema: Schema) -> Markup:
    """The type in words: `text`, `list of Label`, `"names" or "phrases"`."""
    if "$ref" in schema:
        name = name_of(schema["$ref"])
        return Markup('<a href="{0}{1}">{1}</a>').format(SCHEMAS_PATH, name)
    for choice in ("anyOf", "oneOf"):
        if choice in schema:
            types = [type_of(one) for one in schema[choice] if one.get("type") != "null"]
            return Markup(" or ").join(dict.fromkeys(types))
    if "allOf" in schema and len(schema["allOf"]) == 1:
        return type_of(schema["allOf"][0])
    if "const" in schema:
        return Markup("<code>{}</code>").format(json.dumps(schema["const"]))
    if "enum" in schema:
        return Markup(" or ").join(Markup("<code>{}</code>").format(json.dumps(value)) for value in schema["enum"])
    kind = schema.get("type", "any")
    if kind == "array":
        return Markup("list of {}").format(type_of(schema.get("items", {})))
    if kind == "object" and isinstance(schema.get("additionalProperties"), dict):
        return Markup("object of {}").format(type_of(schema["additionalProperties"]))
    return Markup("{}").format({"string": "text", "integer": "whole number"}.get(kind, kind))


def example_of(schema: Schema, schemas: Mapping[str, Schema], depth: int = 0) -> object:
    """A value of the schema: its example, its default, or one made of its required fields."""
    if "$ref" in schema:
        return example_of(schemas.get(name_of(schema["$ref"]), {}), schemas, depth)
    if schema.get("examples"):
        return schema["examples"][0]
    if "const" in schema:
        return schema["const"]
    if "default" in schema and depth:
        return schema["default"]
    choices: Sequence[Schema] = schema.get("oneOf") or schema.get("anyOf") or ()
    if choices:
        return example_of(choices[0], schemas, depth)
    if "enum" in schema:
        return schema["enum"][0]
    kind = schema.get("type")
    if kind == "object" and depth < _MAX_EXAMPLE_DEPTH:
        required = schema.get("required", ())
        fields = schema.get("properties", {})
        return {name: example_of(fields[name], schemas, depth + 1) for name in required if name in fields}
    if kind == "array":
        return [example_of(schema.get("items", {}), schemas, depth + 1)] if depth < _MAX_EXAMPLE_DEPTH else []
    return {"integer": 0, "number": 0.0, "boolean": False, "string": "text"}.get(str(kind), {})


def name_of(reference: str) -> str:
    """`#/components/schemas/Problem` → `Problem`."""
    return reference.rpartition("/")[2]
