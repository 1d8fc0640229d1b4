"""Shared parts of the readers and writers: the error, checks of texts, duplicate labels, JSON.

`limbeck.shared.labels` has the rule of labels.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import replace

from attributes.flags import flags_of
from attributes.formats.json_positions import line_of_path, load_json
from attributes.types import Entry, Label
from limbeck.shared import labels
from limbeck.shared.labels import quoted

MAX_TEXT_CHARS = 5_000


class FormatError(ValueError):
    """An invalid file. `line` counts from 1 (None: the file as a whole); `file` names the file if there are two."""

    def __init__(self, detail: str, *, line: int | None = None, file: str = "") -> None:
        place = " ".join(part for part in (file, f"line {line}" if line else "") if part)
        super().__init__(f"{place}: {detail}" if place else detail)
        self.detail = detail
        self.line = line
        self.file = file


def line_fault(text: str) -> str | None:
    """Why the text of a line is invalid, or None. An empty text is valid: published files have them."""
    return labels.text_fault(text, MAX_TEXT_CHARS) if text else None


def duplicate_message(label: Label, line: int | None) -> str:
    """The message for a label that was first given on `line`."""
    return f"label {quoted(str(label))} is also on line {line}"


def unique_names(entries: Iterable[Entry]) -> list[str]:
    """The name of each entry for formats without senses: `crane (bird)` if several labels share the name `crane`."""
    return labels.unique_names([(entry.label, entry.sense) for entry in entries])


def with_flags(entry: Entry) -> Entry:
    """The entry with its flags."""
    return replace(entry, flags=flags_of(entry))


def parse_json(text: str) -> object:
    """The value of a JSON document. Raises FormatError."""
    try:
        return load_json(text.removeprefix("\ufeff"))
    except json.JSONDecodeError as error:
        raise FormatError(f"is not JSON: {error.msg} (column {error.colno})", line=error.lineno) from error


def line_of_nearest(text: str, path: Sequence[str | int]) -> int | None:
    """The line of the value at `path` in a JSON document, or of the innermost enclosing value that exists."""
    while (line := line_of_path(text, path)) is None and path:
        path = path[:-1]
    return line
