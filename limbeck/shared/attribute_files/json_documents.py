"""JSON with positions: repeated keys are found, and the line of a value can be found.

The decoder of the standard library lets a second key with the same name overwrite the first, so that two labels with
the same name would silently share one description. It also drops the position of a value, which an error message
needs to name the line to fix. Control characters inside texts are accepted: the texts are cleaned later.
"""

import json
import re
from collections.abc import Iterator, Sequence

from limbeck.shared.attribute_files.reading import FormatError, Path, Reading

_SPACE = " \t\n\r"
_decode = json.JSONDecoder(strict=False).raw_decode
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN', re.DOTALL)


def parse_json(text: str, reading: Reading) -> object:
    """The value of a JSON document. Raises FormatError if it is not JSON.

    A repeated key is a fault of `reading`, which gets the first value. `reading.locate` then finds the lines of paths.
    """
    text = text.removeprefix("\ufeff")
    has_repeated = False

    def first_of_each_key(pairs: list[tuple[str, object]]) -> dict[str, object]:
        nonlocal has_repeated
        members = dict(pairs)
        if len(members) < len(pairs):
            has_repeated = True
            members = dict(reversed(pairs))
            return {key: members[key] for key, _ in pairs}
        return members

    try:
        value: object = json.loads(
            text, object_pairs_hook=first_of_each_key, parse_constant=_refuse_constant, strict=False
        )
    except _Constant as error:
        token = next((found for found in _TOKEN.finditer(text) if found.group() == str(error)), None)
        line = text.count("\n", 0, token.start()) + 1 if token else None
        raise FormatError(f"is not JSON: {error} is no JSON value; write null or a text", line=line) from None
    except json.JSONDecodeError as error:
        detail = f"is not JSON: {_reason(error)} (column {error.colno})"
        raise FormatError(detail, line=error.lineno) from None
    except RecursionError:
        raise FormatError("is not JSON: nested too deeply", line=1) from None
    reading.locate = lambda path: line_of_nearest(text, path)
    if has_repeated:
        for path, position, first in _repeated_keys(text, _skip_space(text, 0), ()):
            detail = f"the key {str(path[-1])[:80]!r} is duplicated in one object (also on line {_line(text, first)})"
            reading.fault(detail, line=_line(text, position), path=path)
    return value


def line_of_path(text: str, path: Sequence[str | int]) -> int | None:
    """The line (from 1) on which the value at `path` starts in a valid document; None if the path does not exist."""
    position = _skip_space(text, 0)
    for step in path:
        found = next((value_at for key, _, value_at in _members(text, position) if key == step), None)
        if found is None:
            return None
        position = found
    return _line(text, position)


def line_of_nearest(text: str, path: Sequence[str | int]) -> int | None:
    """The line of the value at `path`, or of the innermost enclosing value that exists."""
    while (line := line_of_path(text, path)) is None and path:
        path = path[:-1]
    return line


def _line(text: str, position: int) -> int:
    return text.count("\n", 0, position) + 1


class _Constant(ValueError):
    pass


def _refuse_constant(token: str) -> object:
    raise _Constant(token)


def _reason(error: json.JSONDecodeError) -> str:
    """What is wrong, in the words of a person who has to correct the file."""
    before, rest = error.doc[: error.pos].rstrip(_SPACE), error.doc[error.pos :].lstrip(_SPACE)
    if not error.doc.strip():
        return "the file is empty"
    if error.msg.startswith("Unterminated string"):
        return "a text has no closing quote, or the file is incomplete"
    if not rest:
        return "the file ends in the middle; it is incomplete"
    if rest[0] in "]}" and before.endswith(","):
        return "a comma stands before the closing bracket; remove it"
    if rest.startswith(("//", "/*", "#")):
        return "it has a comment; remove it"
    if rest[0] == "'" or rest.startswith(("None", "True", "False")):
        return "it is a Python literal; write it with json.dumps"
    if error.msg == "Extra data":
        return "more text follows the end of the document"
    return error.msg


def _repeated_keys(text: str, position: int, path: Path) -> Iterator[tuple[Path, int, int]]:
    """(path, position, position of the first) of each repeated key in the value at `position`."""
    seen: dict[str | int, int] = {}
    for key, key_at, value_at in _members(text, position):
        if key in seen:
            yield (*path, key), key_at, seen[key]
            continue
        seen[key] = key_at
        yield from _repeated_keys(text, value_at, (*path, key))


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
