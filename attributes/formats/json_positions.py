"""JSON with the places of things: keys that stand twice are refused, and the line of a value can be told.

The standard decoder lets a second key of one name overwrite the first, which is how two classes of one name come to
share one description, and it forgets where a value stood, which a person needs to mend a file by hand.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

_SPACE = " \t\n\r"
_decode = json.JSONDecoder().raw_decode


def load_json(text: str) -> Any:
    """The value of a JSON document. Raises JSONDecodeError, also for a key that stands twice in one object."""
    try:
        value = json.loads(text, object_pairs_hook=_without_twins)
    except _Twins:
        key, at = _first_twin(text, _skip(text, 0)) or ("", 0)
        raise json.JSONDecodeError(f"the key {key[:80]!r} stands twice in one object", text, at) from None
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", text, 0) from None
    return value


def line_of_path(text: str, path: Sequence[str | int]) -> int | None:
    """The line (from 1) on which the value at `path` begins in a valid document; None if there is no such place."""
    at = _skip(text, 0)
    for step in path:
        found = next((value_at for key, _, value_at in _members(text, at) if key == step), None)
        if found is None:
            return None
        at = found
    return text.count("\n", 0, at) + 1


class _Twins(ValueError):
    pass


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise _Twins
    return made


def _first_twin(text: str, at: int) -> tuple[str, int] | None:
    seen: set[str | int] = set()
    for key, key_at, value_at in _members(text, at):
        if key in seen:
            return str(key), key_at
        if inside := _first_twin(text, value_at):
            return inside
        seen.add(key)
    return None


def _members(text: str, at: int) -> Iterator[tuple[str | int, int, int]]:
    """(key, place of the key, place of the value) of an object's members, (index, place, place) of an array's."""
    if text[at] not in "{[":
        return
    keyed, index = text[at] == "{", 0
    at = _skip(text, at + 1)
    while text[at] not in "}]":
        key: str | int = index
        key_at = at
        if keyed:
            key, end = _decode(text, at)
            at = _skip(text, _skip(text, end) + 1)
        yield key, key_at, at
        at = _skip(text, _decode(text, at)[1])
        if text[at] == ",":
            at = _skip(text, at + 1)
        index += 1


def _skip(text: str, at: int) -> int:
    while at < len(text) and text[at] in _SPACE:
        at += 1
    return at
