"""Shared parts of the readers and writers: the error, checks of labels and texts, duplicate labels, numbered lines."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace

from attributes.flags import flags_of
from attributes.formats.json_positions import line_of_path, load_json
from attributes.text import MAX_LABEL_CHARS, MAX_SENSE_CHARS, fault_of
from attributes.types import Entry, Label

MAX_TEXT_CHARS = 5_000

LabelKey = tuple[str, str]


class FormatError(ValueError):
    """An invalid file. `line` counts from 1 (None: the file as a whole); `file` names the file if there are two."""

    def __init__(self, detail: str, *, line: int | None = None, file: str = "") -> None:
        place = " ".join(part for part in (file, f"line {line}" if line else "") if part)
        super().__init__(f"{place}: {detail}" if place else detail)
        self.detail = detail
        self.line = line
        self.file = file


def label_key(name: str, sense: str | None) -> LabelKey:
    """The case-insensitive key of a label. Two labels are the same if their keys are equal."""
    return name.casefold(), (sense or "").casefold()


def label_fault(name: str, sense: str | None) -> str | None:
    """Why a label is invalid, or None."""
    if fault := fault_of(name, MAX_LABEL_CHARS):
        return f"label {quoted(name)} {fault}"
    if sense and (fault := fault_of(sense, MAX_SENSE_CHARS)):
        return f"the sense of label {quoted(name)} {fault}"
    return None


def text_fault(text: str) -> str | None:
    """Why the text of a line is invalid, or None. An empty text is valid: published files have them."""
    return fault_of(text, MAX_TEXT_CHARS) if text else None


def duplicate_message(label: Label, line: int | None) -> str:
    """The message for a label that was first given on `line`."""
    return f"label {quoted(str(label))} is also on line {line}"


def unique_names(entries: Iterable[Entry]) -> list[str]:
    """The name of each entry for formats without senses: `crane (bird)` if several labels share the name `crane`."""
    entries = list(entries)
    counts = Counter(entry.label.casefold() for entry in entries)
    return [
        str(Label(entry.label, entry.sense)) if counts[entry.label.casefold()] > 1 else entry.label for entry in entries
    ]


def with_flags(entry: Entry) -> Entry:
    """The entry with its flags."""
    return replace(entry, flags=flags_of(entry))


def quoted(name: str) -> str:
    """The name in double quotes, at most 80 characters."""
    return json.dumps(name[:80], ensure_ascii=False)


def numbered_lines(text: str) -> list[tuple[int, str]]:
    """(line number from 1, line without its end). A line end at the end of the text starts no further line."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    return list(enumerate(lines, start=1))


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
