"""The JSON format of Limbeck, described by `set_schema.json`: all fields of an attribute set, one entry per line."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError

from attributes.editing import recompute_flags
from attributes.formats.common import FormatError, Reading, duplicate_message
from attributes.formats.set_schema import SetModel
from attributes.types import Entry, Label, entry_from_json
from limbeck.shared.attribute_files.json_documents import line_of_nearest, parse_json
from limbeck.shared.labels import LabelKey, label_fault, label_key

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


def read_json(text: str, reading: Reading | None = None) -> AttributeFile:
    """Parse a file. Raises FormatError if it does not match `set_schema.json`, or if a label is given twice."""
    reading = reading or Reading()
    data = parse_json(text, reading)
    reading.report.read_as = "Limbeck's JSON"
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        detail = f'must be an object with "format": "{FORMAT}"; for other JSON choose the format auto'
        raise FormatError(detail, line=line_of_nearest(text, ("format",)))
    faulty = {fault.path[1] for fault in reading.report.faults if fault.path[:1] == ("entries",) and fault.path[1:]}
    try:
        SetModel.model_validate(data)
    except ValidationError as error:
        faulty |= _report_all(error, reading)
    # Faults outside of the entries leave nothing that could be imported.
    if any(fault.path[:1] != ("entries",) for fault in reading.report.faults):
        reading.partial = False
        reading.close()
    entries = _valid_entries(data, faulty, reading)
    reading.close()
    head = {key: reading.field(value) if (value := data.get(key)) else None for key in ("domain", "strategy", "model")}
    return AttributeFile(entries=entries, **head)


def cleaned_entry(entry: Entry, reading: Reading) -> Entry:
    """The entry with cleaned texts, without lines whose text is empty. Its flags are kept if no line is lost."""
    lines = []
    for line in entry.lines:
        text = reading.text(line.text)
        if not text:
            continue
        part, value = reading.field(line.part), reading.field(line.value)
        about, other_value = reading.field(line.about), reading.field(line.other_value)
        if (text, part, value, about, other_value) != (line.text, line.part, line.value, line.about, line.other_value):
            line = replace(line, text=text, part=part, value=value, about=about, other_value=other_value)
        lines.append(line)
    sense = reading.label(entry.sense) or None if entry.sense is not None else None
    cleaned = Entry(reading.label(entry.label), sense, tuple(lines), entry.flags)
    return cleaned if len(lines) == len(entry.lines) else replace(cleaned, flags=recompute_flags(cleaned))


def _valid_entries(data: dict[str, Any], faulty: set[str | int], reading: Reading) -> list[Entry]:
    entries: list[Entry] = []
    seen: dict[LabelKey, int] = {}
    for index, item in enumerate(data["entries"]):
        if index in faulty:
            continue
        entry = cleaned_entry(entry_from_json(item), reading)
        detail = label_fault(entry.label, entry.sense)
        if detail is None and (first := seen.setdefault(label_key(entry.label, entry.sense), index)) != index:
            line = reading.locate(("entries", first)) if reading.locate else None
            detail = duplicate_message(Label(entry.label, entry.sense), line)
        if detail:
            reading.fault(detail, path=("entries", index))
        else:
            entries.append(entry)
    return entries


def _report_all(error: ValidationError, reading: Reading) -> set[str | int]:
    """Report every fault of the schema. Returns the indices of faulty entries."""
    faulty: set[str | int] = set()
    for fault in error.errors(include_url=False, include_input=False):
        path = fault["loc"]
        place = "/".join(map(str, path)) or "the file"
        reading.fault(f"{place}: {fault['msg']}", path=path)
        faulty |= set(path[1:2])
    return faulty
