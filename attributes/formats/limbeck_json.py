"""The JSON format of Limbeck, described by `set_schema.json`: all fields of an attribute set, one entry per line."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pydantic import ValidationError

from attributes.formats.common import (
    FormatError,
    duplicate_message,
    line_fault,
    line_of_nearest,
    parse_json,
)
from attributes.formats.json_positions import line_of_path
from attributes.formats.set_schema import SetModel
from attributes.types import Entry, Label, entry_from_json
from limbeck.shared.labels import LabelKey, label_fault, label_key, quoted

FORMAT, VERSION = "limbeck.attributes", 2


@dataclass(frozen=True, kw_only=True)
class AttributeFile:
    """The content of a file: entries, and the domain, strategy and model that they were made with (None: unknown)."""

    entries: list[Entry]
    domain: str | None = None
    strategy: str | None = None
    model: str | None = None


def write_json(
    entries: Iterable[Entry], *, domain: str | None = None, strategy: str | None = None, model: str | None = None
) -> Iterator[str]:
    """The file in pieces, one entry per line, so that a large set can be streamed. `read_json` reads it."""
    head = {"format": FORMAT, "version": VERSION, "domain": domain, "strategy": strategy, "model": model}
    yield json.dumps(head, ensure_ascii=False)[:-1] + ', "entries": ['
    separator = "\n"
    for entry in entries:
        yield separator + json.dumps(entry.as_json(), ensure_ascii=False)
        separator = ",\n"
    yield "\n]}\n"


def read_json(text: str) -> AttributeFile:
    """Parse a file. Raises FormatError if it does not match `set_schema.json`, or if a label is given twice."""
    data = parse_json(text)
    try:
        SetModel.model_validate(data)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = "/".join(map(str, fault["loc"])) or "the file"
        raise FormatError(f"{place}: {fault['msg']}", line=line_of_nearest(text, fault["loc"])) from None
    assert isinstance(data, dict)
    entries = [entry_from_json(item) for item in data["entries"]]
    seen: dict[LabelKey, int] = {}
    for index, entry in enumerate(entries):
        detail = label_fault(entry.label, entry.sense) or _entry_fault(entry)
        first = seen.setdefault(label_key(entry.label, entry.sense), index)
        if detail is None and first != index:
            detail = duplicate_message(Label(entry.label, entry.sense), line_of_path(text, ["entries", first]))
        if detail:
            raise FormatError(detail, line=line_of_path(text, ["entries", index]))
    head = {key: data.get(key) for key in ("domain", "strategy", "model")}
    return AttributeFile(entries=entries, **head)


def _entry_fault(entry: Entry) -> str | None:
    texts = (text for line in entry.lines for text in (line.text, line.part, line.value, line.about, line.other_value))
    fault = next((fault for text in texts if (fault := line_fault(text))), None)
    return f"{quoted(entry.label)}: {fault}" if fault else None
