"""Responses of the stand-in LLM: the entry of the field guide for the label in the prompt, in the requested format.

`label_of` finds the label in a prompt. `response_text` formats the entry by a JSON schema, as a plain JSON object or as
prose; for an unknown label it says so in the same format. `llm_prompts` adds fields that are not in the entry.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import cast

from examples.fieldguide.language import Attributes
from examples.fieldguide.llm.prompts import ParsedPrompt, extra_fields
from examples.fieldguide.llm.types import JSONSchema, ResponseFormat
from examples.fieldguide.world import Species, species

_UNKNOWN_SENTENCE = (
    "The field guide has no entry under this label, so its shape, its colours, its markings and "
    "all its other visible parts remain unknown here."
)
_UNKNOWN_PARTS = ("shape", "colour", "markings", "head", "limbs", "size")
_MAX_DEPTH = 12  # limit for schemas that refer to themselves


@dataclass(frozen=True)
class GuideEntry:
    """The entry of one label. `fields` holds the values of further schema properties by property name."""

    label: str
    known: bool
    sentence: str
    phrases: Sequence[Mapping[str, str]]
    fields: Mapping[str, object] = field(default_factory=dict)


@cache
def _by_name() -> dict[str, Species]:
    return {one.name.lower(): one for one in species()}


@cache
def _name_pattern() -> re.Pattern[str]:
    longest_first = sorted(_by_name(), key=len, reverse=True)
    return re.compile(r"(?<!\w)(?:" + "|".join(map(re.escape, longest_first)) + r")(?!\w)", re.IGNORECASE)


def label_of(message: str) -> str:
    """The species named in the message (the longest name, as whole words), or else the text that looks like a label."""
    found = _name_pattern().findall(message.replace("_", " "))
    if found:
        return _by_name()[max(found, key=len).lower()].name
    line = re.search(r"^\W*(?:label|class|name|category)\W*[:=]\s*(.+?)\s*$", message, re.IGNORECASE | re.MULTILINE)
    quoted = re.search(r"[\"“'‘`]([^\"”'’`\n]{1,200})[\"”'’`]", line.group(1) if line else message)
    if quoted:
        return quoted.group(1).strip()
    text = line.group(1) if line else (message.strip().splitlines() or [""])[-1]
    return text.strip(" \"'.")[:200]


def _species_entry(one: Species) -> GuideEntry:
    return GuideEntry(one.name, True, one.sentence, one.phrases, {**one.attributes})


def entry_for(label: str) -> GuideEntry:
    one = _by_name().get(label.lower())
    if one is not None:
        return _species_entry(one)
    phrases = [{"part": part, "value": "unknown", "phrase": f"an unknown {part}"} for part in _UNKNOWN_PARTS]
    return GuideEntry(label, False, _UNKNOWN_SENTENCE, phrases)


def entry_for_prompt(prompt: ParsedPrompt, label: str, *, nth: int = 0) -> GuideEntry:
    """The entry of the label with the fields that only this prompt needs; `nth` is the number of earlier calls."""
    entry = entry_for(label)
    if not prompt.subject:
        return entry
    other = _attributes(label_of(prompt.subject.get("other", "")))
    extra = extra_fields(prompt, _attributes(label), other, nth=nth)
    return replace(entry, phrases=extra.get("phrases", entry.phrases), fields={**entry.fields, **extra})


def _attributes(label: str) -> Attributes | None:
    one = _by_name().get(label.lower())
    return one.attributes if one else None


def response_text(
    message: str,
    entry: GuideEntry,
    response_format: ResponseFormat | None,
    in_prompt: JSONSchema | None = None,
) -> str:
    """The text of the response. Without a response format, a prompt that contains a schema or the word JSON still gets
    JSON, by that schema if there is one."""
    kind = response_format.get("type", "text") if response_format else "text"
    if kind != "json_schema" and in_prompt is not None:
        return json.dumps(fill(in_prompt, entry), ensure_ascii=False)
    if response_format and kind == "json_schema":
        schema = response_format.get("json_schema", {}).get("schema", {})
        return json.dumps(fill(schema, entry), ensure_ascii=False)
    if kind == "json_object" or re.search(r"\bjson\b", message, re.IGNORECASE):
        texts = [phrase["phrase"] for phrase in entry.phrases]
        has_parts = re.search(r"[\"'`]?\bpart\b[\"'`]?", message)
        phrases = list(map(dict, entry.phrases)) if has_parts else texts
        return json.dumps({"sentence": entry.sentence, "phrases": phrases}, ensure_ascii=False)
    text = entry.sentence
    if re.search(r"\b(phrases?|bullets?|list)\b", message, re.IGNORECASE):
        text += "\n\n" + "\n".join(f"- {phrase['phrase']}" for phrase in entry.phrases)
    return text


def fill(schema: JSONSchema, entry: GuideEntry) -> object:
    """A value that conforms to the schema, with the values of the entry for the property names that it knows."""
    texts = {"sentence": entry.sentence, "description": entry.sentence, "phrases": entry.phrases}
    known = {**entry.fields, **texts, "label": entry.label, "name": entry.label, "species": entry.label}
    return _fill(schema, "", known, schema, _MAX_DEPTH)


def _fill(schema: JSONSchema, name: str, known: Mapping[str, object], root: JSONSchema, depth: int) -> object:
    schema = _plain(schema, root)
    if "const" in schema:
        return schema["const"]
    value = known.get(name)
    if "enum" in schema:
        return value if value in schema["enum"] else schema["enum"][0]
    kind = schema.get("type", "object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), "null")
    if kind == "object":
        inner = {**known, **value} if isinstance(value, Mapping) else known
        wanted = schema.get("properties", {})
        if depth <= 0:
            wanted = {key: sub for key, sub in wanted.items() if key in schema.get("required", ())}
        return {key: _fill(sub, key, inner, root, depth - 1) for key, sub in wanted.items()}
    if kind == "array":
        return _fill_array(schema, value, known, root, depth)
    if kind in ("number", "integer"):
        low = schema.get("minimum", schema.get("exclusiveMinimum", -1) + 1)
        return value if isinstance(value, int | float) else min(low, schema.get("maximum", low))
    if kind == "boolean":
        return bool(value)
    if kind == "null":
        return None
    text = value if isinstance(value, str) else str(known.get("phrase") or known["sentence"])
    return text[: schema.get("maxLength", len(text))]


def _fill_array(
    schema: JSONSchema, value: object, known: Mapping[str, object], root: JSONSchema, depth: int
) -> list[object]:
    """A list from the entry; for an unknown property name the phrases, which fit most lists."""
    items = _plain(schema.get("items", {}), root)
    source = value if isinstance(value, Sequence) and not isinstance(value, str) else known["phrases"]
    assert isinstance(source, Sequence)
    min_items, max_items = schema.get("minItems", 0), schema.get("maxItems", len(source))
    if depth <= 0:
        source = source[:min_items]
    chosen = list(source[:max_items])
    while chosen and len(chosen) < min_items:
        chosen.append(chosen[len(chosen) % len(source)])
    filled = []
    for item in chosen:
        inner = {**known, **item} if isinstance(item, Mapping) else {**known, "phrase": item}
        filled.append(_fill(items, "phrase", inner, root, depth - 1))
    return filled


def _plain(schema: JSONSchema, root: JSONSchema) -> JSONSchema:
    """The schema with `$ref`, `allOf`, `anyOf` and `oneOf` resolved; the first alternative that is not null is used."""
    for _ in range(_MAX_DEPTH):
        if not isinstance(schema, Mapping):
            return {}
        if "$ref" in schema:
            target: object = root
            for step in str(schema["$ref"]).lstrip("#/").split("/"):
                target = target.get(step, {}) if isinstance(target, Mapping) else {}
            schema = cast(JSONSchema, target)
        elif "allOf" in schema:
            merged = {key: value for key, value in schema.items() if key != "allOf"}
            for part in schema["allOf"]:
                merged |= _plain(part, root)
            schema = cast(JSONSchema, merged)
        elif "anyOf" in schema or "oneOf" in schema:
            options = schema.get("anyOf") or schema.get("oneOf") or []
            schema = next((one for one in options if one.get("type") != "null"), JSONSchema(type="null"))
        else:
            return schema
    return {}
