"""Bring a JSON object that nearly fits the schema into its shape, where a person would read it without doubt.

Objects in an envelope (`{"answer": {…}}`, a function call with its arguments, the label as the key), keys in another
case, a list with one text for a text, a text with separators for a list, plain phrases for objects of part, value and
phrase. The caller validates the result as any other object. Thinking and drafts inside an object are not read.
"""

import json
import math
import re
from collections.abc import Callable, Iterator, Mapping

from attributes.json_types import JSONObject, JSONValue
from attributes.prompts.strategy import FieldSchema, ObjectSchema

_MAX_OBJECTS = 50
_MAX_DEPTH = 5
_MAX_LIST_CHARS = 5_000
_NOT_READ = re.compile(r"think|thought|reason|analysis|reflection|draft|scratch|example|schema|input|request|prompt")
_LABEL_KEYS = {"name", "class", "classname", "labelname", "title", "object", "category", "species", "item", "subject"}
_CAN_BE_NUMBERS = {"label", "other", "value", "target_value", "other_value"}  # such as the label 747; never a sentence
_PHRASE_FIELDS = {"part", "value", "phrase"}
_SEPARATOR = re.compile(r"\s*[;\n|•]\s*")
_BULLET = re.compile(r"^\s*(?:[-*•–—]|\(?\d{1,2}[.)])\s+")

NamesLabel = Callable[[str], bool]


def fitted_objects(data: JSONObject, schema: ObjectSchema, names_label: NamesLabel) -> Iterator[JSONObject]:
    """The object and the objects inside it, each in the shape of the schema, the outermost first.

    `names_label`: whether a text is the label of the question; such a key or name replaces a missing `label`.
    """
    for found in _inner_objects(data, names_label):
        fitted = _fit_object(found, schema["properties"])
        if "label" in schema["properties"] and "label" not in fitted:
            label = next((v for k, v in found.items() if _folded(k) in _LABEL_KEYS and _is_label(v, names_label)), None)
            if label is not None:
                fitted["label"] = label
        yield fitted


def _is_label(value: JSONValue, names_label: NamesLabel) -> bool:
    return isinstance(value, str) and names_label(value)


def _inner_objects(data: JSONObject, names_label: NamesLabel) -> Iterator[JSONObject]:
    """The object and those inside it, breadth first. An inner object has the plain fields around it, unless it has its
    own, and its key as `label` if that names the label."""
    queue: list[tuple[JSONObject, int]] = [(data, 0)]
    for found, depth in queue:
        yield found
        if depth == _MAX_DEPTH:
            continue
        around = {key: value for key, value in found.items() if isinstance(value, str)}
        for key, value in found.items():
            if _NOT_READ.search(key.lower()):
                continue
            for inner in _objects_of(value):
                if len(queue) < _MAX_OBJECTS:
                    named = {"label": key} if names_label(key) else {}
                    queue.append(({**around, **named, **inner}, depth + 1))


def _objects_of(value: JSONValue) -> list[JSONObject]:
    """The object that a value is, also as JSON text, or the only object of a list."""
    if isinstance(value, str):
        value = _parsed(value)
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    return [value] if isinstance(value, dict) else []


def _fit_object(data: JSONObject, properties: Mapping[str, FieldSchema]) -> dict[str, JSONValue]:
    names = {_folded(name): name for name in properties}
    fitted = {key: _fit(key, value, properties[key]) for key, value in data.items() if key in properties}
    for key, value in data.items():
        name = names.get(_folded(key))
        if name is not None and name not in fitted:
            fitted[name] = _fit(name, value, properties[name])
    return fitted


def _fit(name: str, value: JSONValue, schema: FieldSchema) -> JSONValue:
    kind = schema.get("type")
    if kind == "string" and name in _CAN_BE_NUMBERS and isinstance(value, int | float) and not isinstance(value, bool):
        return str(value) if math.isfinite(value) else value
    if kind == "string":
        return _fit_text(value)
    if kind == "array":
        return _fit_list(value, schema.get("items", {}))
    return value


def _fit_text(value: JSONValue) -> JSONValue:
    if isinstance(value, list) and len(value) == 1:
        return _fit_text(value[0])
    if isinstance(value, dict):
        if len(value) == 1:
            return _fit_text(next(iter(value.values())))
        return json.dumps(value, ensure_ascii=False) if "label" in value else value  # the whole subject as the label
    return value


def _fit_list(value: JSONValue, items: FieldSchema) -> JSONValue:
    if isinstance(value, str):
        parsed = _parsed(value)
        value = parsed if isinstance(parsed, list | dict) else _split(value)
    elif isinstance(value, dict):
        is_numbered = bool(value) and all(key.strip().isdecimal() for key in value)
        value = list(value.values()) if is_numbered else [value]
    if not isinstance(value, list):
        return value
    if len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    value = [item for item in value if item not in (None, "", {}, [])]
    if len({type(item) for item in value}) > 1:  # a text beside objects is a fragment of one
        return value
    return [_fit_item(item, items) for item in value]


def _split(text: str) -> JSONValue:
    """The items of a text with separators, else the text. A comma is no separator: `a long, thin bill`."""
    if len(text) > _MAX_LIST_CHARS:
        return text
    pieces = [_BULLET.sub("", piece).strip() for piece in _SEPARATOR.split(text)]
    pieces = [piece for piece in pieces if piece]
    return pieces if len(pieces) > 1 else text


def _fit_item(item: JSONValue, schema: FieldSchema) -> JSONValue:
    """An item of a list: a text or an object of texts. A phrase may come without part and value."""
    if schema.get("type") != "object":
        return _fit_text(item["phrase"] if isinstance(item, dict) and "phrase" in item else item)
    if isinstance(item, list) and len(item) == 1:
        item = item[0]
    if isinstance(item, str):
        parsed = _parsed(item)
        item = parsed if isinstance(parsed, dict) else {"phrase": _BULLET.sub("", item)}
    if not isinstance(item, dict):
        return item
    properties = schema.get("properties", {})
    fitted = _fit_object(item, properties)
    if set(properties) == _PHRASE_FIELDS and fitted.get("phrase"):
        empty = {name: "" for name in ("part", "value") if fitted.get(name) is None}
        fitted |= empty
    return fitted


def _parsed(text: str) -> JSONValue:
    """The JSON that a text holds; the text itself if it holds none."""
    if not text.lstrip().startswith(("{", "[", '"')):
        return text
    try:
        value: JSONValue = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return text
    return value


def _folded(key: str) -> str:
    return "".join(filter(str.isalnum, key)).casefold()
