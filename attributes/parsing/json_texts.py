"""Find the JSON objects in a response: in prose, in code fences, and in texts that were encoded more than once."""

import html
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from attributes.json_types import JSONObject

_MAX_OBJECTS_TRIED = 64
_MAX_ENCODINGS = 3
_DECODER = json.JSONDecoder(strict=False)
# What may come before an answer: a fence, a tag, a special token, or the name of the language.
_LEAD = re.compile(r"(?:\s|\ufeff|`{3,}|~{3,}|json\b|<\|?[a-z_]+\|?>)*", re.IGNORECASE)
_FENCE = re.compile(r"\A(?:`{3,}|~{3,})\w*\s*")


@dataclass(frozen=True)
class FoundObjects:
    """The outermost JSON objects of a text, in order. `incomplete`: an opening brace starts no complete object."""

    objects: list[JSONObject]
    incomplete: bool


def objects_in(text: str) -> FoundObjects:
    """Find all outermost objects."""
    objects: list[JSONObject] = []
    incomplete = False
    start = text.find("{")
    for _ in range(_MAX_OBJECTS_TRIED):
        if start < 0:
            break
        try:
            value, end = _DECODER.raw_decode(text, start)
            objects.append(value)
        except (ValueError, RecursionError):
            incomplete, end = True, start + 1
        start = text.find("{", end)
    return FoundObjects(objects, incomplete)


def object_at_start(text: str) -> FoundObjects:
    """The object with which the text begins. Of a text that was cut off, only this one cannot be a draft."""
    lead = _LEAD.match(text)
    start = lead.end() if lead else 0
    if not text.startswith("{", start):
        return FoundObjects([], incomplete=True)
    try:
        value, _ = _DECODER.raw_decode(text, start)
    except (ValueError, RecursionError):
        return FoundObjects([], incomplete=True)
    return FoundObjects([value], incomplete=False)


def decoded_texts(text: str) -> Iterator[str]:
    """The text with one, two and more encodings removed: JSON in a JSON string, with or without its outer quotes, and
    HTML entities."""
    for _ in range(_MAX_ENCODINGS):
        decoded = _decoded(_FENCE.sub("", text.strip()).strip("`~ \n"))
        if decoded is None or decoded == text:
            return
        yield decoded
        text = decoded


def _decoded(text: str) -> str | None:
    if text.startswith('"') and (value := _string(text)) is not None:
        return value
    start, end = text.find("{"), text.rfind("}")
    if start >= 0 and text[start + 1 :].lstrip(" \\nrt").startswith('"') and '\\"' in text[start : end + 1]:
        return _string(f'"{text[start : end + 1]}"')
    return html.unescape(text) if "&quot;" in text or "&#34;" in text else None


def _string(text: str) -> str | None:
    try:
        value = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, str) else None
