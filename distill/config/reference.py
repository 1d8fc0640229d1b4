"""The reference of all settings: for `python -m distill --help` and `docs/reference/config.md`. Imports no torch.

python -m distill.config.reference          writes docs/reference/config.md
"""

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from distill.config.recipes import RECIPES
from distill.config.train_config import Augmentation, LossWeights, TrainConfig, short_names
from distill.json_types import JSONObject, JSONValue

DOCUMENT = Path(__file__).parents[2] / "docs" / "reference" / "config.md"
_HEAD = """# Training config

Written by `python -m distill.config.reference`; a test compares this file with the code.

A training config has sections. `--set` takes a setting by its short name or by section and field: `--set epochs=20` and
`--set schedule.epochs=20` are the same. In the API, `config` of a distill job takes both forms as well:
`{"schedule": {"epochs": 20}}` or `{"epochs": 20}`. A recipe sets the values that its table names; every other setting
has the default. An unknown setting is refused with the closest names.
"""


_COLUMNS = "| setting | short name | default | values | meaning |\n|---|---|---|---|---|\n"


class Setting(NamedTuple):
    """One row of the reference. `default` and `allowed` are text."""

    path: str
    short: str
    default: str
    allowed: str
    description: str


def settings() -> Iterator[Setting]:
    """Every setting: sections in order, loss weights and augmentation after the field that holds them."""
    for short, (section, field) in short_names().items():
        model = TrainConfig.model_fields[section].annotation
        assert isinstance(model, type)
        assert issubclass(model, BaseModel)
        info = model.model_fields[field]
        if info.annotation is LossWeights or info.annotation is Augmentation:
            yield from _below(f"{section}.{field}", short, info.annotation)
        else:
            yield _setting(f"{section}.{field}", short, info, model)


def help_text() -> str:
    """All settings as lines for a terminal."""
    rows = list(settings())
    width = max(len(row.short) for row in rows)
    lines = ["settings for --set, with their defaults (the recipe may set another):"]
    for row in rows:
        lines.append(f"  {row.short:<{width}}  {row.default}  ({row.allowed})\n  {'':<{width}}  {row.description}")
    return "\n".join(lines)


def markdown() -> str:
    """The whole document."""
    parts, section = [_HEAD], ""
    for row in settings():
        if (own := row.path.partition(".")[0]) != section:
            section = own
            parts.append(f"\n## `{section}`: {TrainConfig.model_fields[section].description}\n\n{_COLUMNS}")
        cells = (f"`{row.path}`", f"`{row.short}`", f"`{row.default}`", row.allowed, row.description)
        parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    parts.append("\n## Recipes\n\nThe settings that differ from the defaults.\n")
    for name, recipe in RECIPES.items():
        summary = " ".join((inspect.getdoc(recipe) or "").split())
        parts.append(f"\n### `{name}`\n\n{summary}\n\n| setting | value |\n|---|---|\n")
        changed = _changed(TrainConfig().flat(), recipe().flat())
        parts += [f"| `{key}` | `{json.dumps(value)}` |\n" for key, value in changed.items()]
    return "".join(parts)


def _below(path: str, short: str, model: type[BaseModel]) -> Iterator[Setting]:
    for name, info in model.model_fields.items():
        yield _setting(f"{path}.{name}", f"{short}.{name}", info, model)


def _setting(path: str, short: str, info: FieldInfo, model: type[BaseModel]) -> Setting:
    default = json.dumps(list(info.default) if isinstance(info.default, tuple) else info.default)
    schema = model.model_json_schema()["properties"][path.rpartition(".")[2]]
    return Setting(path, short, default, _allowed(schema), info.description or "")


class _FieldSchema(TypedDict, total=False):
    """The keywords of a JSON Schema that are read here."""

    anyOf: "list[_FieldSchema]"
    enum: list[str | int]
    type: str
    maxItems: int
    items: "_FieldSchema"
    minimum: float
    exclusiveMinimum: float
    maximum: float
    exclusiveMaximum: float


_BOUNDS: dict[Literal["minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"], str] = {
    "minimum": "≥",
    "exclusiveMinimum": ">",
    "maximum": "≤",
    "exclusiveMaximum": "<",
}


def _allowed(schema: _FieldSchema) -> str:
    """The values a JSON schema allows, in words."""
    if "anyOf" in schema:
        return " or ".join(_allowed(one) for one in schema["anyOf"])
    if "enum" in schema:
        return ", ".join(map(str, schema["enum"]))
    kind = {"integer": "integer", "number": "number", "boolean": "true or false", "null": "null", "string": "text"}
    if schema.get("type") == "object":
        return "JSON object"
    if schema.get("type") == "array":
        if schema.get("maxItems") == 2:
            return "two numbers"
        return "list of texts" if schema["items"]["type"] == "string" else "integers"
    limits = [f"{sign} {schema[bound]:,}" for bound, sign in _BOUNDS.items() if bound in schema]
    return " ".join([kind[schema["type"]], ", ".join(limits)]).strip()


def _changed(before: JSONObject, after: JSONObject, prefix: str = "") -> dict[str, JSONValue]:
    changed: dict[str, JSONValue] = {}
    for name, value in after.items():
        below = before[name]
        if isinstance(below, dict) and isinstance(value, dict):
            changed |= _changed(below, value, f"{prefix}{name}.")
        elif value != below:
            changed[prefix + name] = value
    return changed


def main() -> None:
    """Write the document."""
    DOCUMENT.parent.mkdir(parents=True, exist_ok=True)
    DOCUMENT.write_text(markdown(), encoding="utf-8")
    print(f"{DOCUMENT}: {len(list(settings()))} settings, {len(RECIPES)} recipes")


if __name__ == "__main__":
    main()
