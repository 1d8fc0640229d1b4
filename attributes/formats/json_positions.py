"""JSON with positions: duplicate keys are errors, and the line of a value can be found.

The decoder of the standard library lets a second key with the same name overwrite the first, so that two labels with
the same name would silently share one description. It also drops the position of a value, which an error message
needs to name the line to fix.
"""

import json
from collections.abc import Iterator, Sequence

_SPACE = " \t\n\r"
_decode = json.JSONDecoder().raw_decode


def load_json(text: str) -> object:
    """The value of a JSON document. Raises JSONDecodeError, also for a duplicate key in an object."""
    try:
        value: object = json.loads(text, object_pairs_hook=_unique_keys)
    except _DuplicateKey:
        key, position = _first_duplicate(text, _skip_space(text, 0)) or ("", 0)
        raise json.JSONDecodeError(f"the key {key[:80]!r} is duplicated in one object", text, position) from None
    except RecursionError:
        raise json.JSONDecodeError("nested too deeply", text, 0) from None
    return value


def line_of_path(text: str, path: Sequence[str | int]) -> int | None:
    """The line (from 1) on which the value at `path` starts in a valid document; None if the path does not exist."""
    position = _skip_space(text, 0)
    for step in path:
        found = next((value_at for key, _, value_at in _members(text, position) if key == step), None)
        if found is None:
            return None
        position = found
    return text.count("\n", 0, position) + 1


class _DuplicateKey(ValueError):
    pass


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise _DuplicateKey
    return members


def _first_duplicate(text: str, position: int) -> tuple[str, int] | None:
    """(key, position) of the first duplicate key in the value at `position`, or None."""
    seen: set[str | int] = set()
    for key, key_at, value_at in _members(text, position):
        if key in seen:
            return str(key), key_at
        if nested := _first_duplicate(text, value_at):
            return nested
        seen.add(key)
    return None


def _members(text: str, position: int) -> Iterator[tuple[str | int, int, int]]:
    """(key, position of the key, position of the value) for an object; (index, position, position) for an array."""
    if text[position] not in "{[":
        return
    is_object, index = text[position] == "{", 0
    position = _skip_space(text, position + 1)
    while text[position] not in "}]":
        key: str | int = index
        key_at = position
        if is_object:
            key, end = _decode(text, position)
            position = _skip_space(text, _skip_space(text, end) + 1)
        yield key, key_at, position
        position = _skip_space(text, _decode(text, position)[1])
        if text[position] == ",":
            position = _skip_space(text, position + 1)
        index += 1


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in _SPACE:
        position += 1
    return position
