"""JSON Lines: one entry per line, as in Limbeck's JSON.

Lines with a label and texts, as others write them, are read too (`attributes.formats.tables`).

A large file is read line by line, and a line that is not JSON is a fault of that line only.
"""

import json
from collections.abc import Iterable, Iterator

from pydantic import ValidationError

from attributes.formats.common import FormatError, Reading, duplicate_message
from attributes.formats.label_lists import entries_of_texts
from attributes.formats.limbeck_json import cleaned_entry
from attributes.formats.set_schema import EntryModel
from attributes.formats.tables import Row, as_row, read_rows, row_columns
from attributes.types import Entry, Label, entry_from_json
from limbeck.shared.attribute_files.json_documents import parse_json
from limbeck.shared.attribute_files.label_texts import has_same_fields, is_sentences, read_label_texts
from limbeck.shared.labels import LabelKey, label_fault, label_key, numbered_lines


def write_jsonl(entries: Iterable[Entry]) -> Iterator[str]:
    """One entry per piece. `read_jsonl` reads it."""
    for entry in entries:
        yield json.dumps(entry.as_json(), ensure_ascii=False) + "\n"


def read_jsonl(text: str, reading: Reading | None = None) -> list[Entry]:
    """The entries of a file. Raises FormatError with all faults."""
    reading = reading or Reading()
    rows = list(_rows(text, reading))
    if rows and isinstance(rows[0][1].get("lines"), list):
        reading.report.read_as = "JSON Lines of entries"
        entries = list(_entries(rows, reading))
    elif rows and row_columns(rows[0][1]) is None and "text" not in rows[0][1]:
        # Objects of label -> texts, one for each label.
        reading.locate = lambda path: rows[path[0]][0] if path and isinstance(path[0], int) else None
        if has_same_fields([row for _, row in rows]):
            reading.fault(
                f"has no field of labels and of texts, such as label and text; it has {', '.join(rows[0][1])[:200]}"
            )
            reading.close()
            return []
        found = read_label_texts([row for _, row in rows], reading)
        entries = entries_of_texts(found, "answer" if is_sentences(found) else "phrase")
    else:
        reading.report.read_as = "JSON Lines"
        entries = read_rows(rows, reading)
    reading.close()
    return entries


def _rows(text: str, reading: Reading) -> Iterator[tuple[int, Row]]:
    for line_number, content in numbered_lines(text):
        if not content.strip():
            continue
        one_line = Reading(partial=True)
        try:
            row = as_row(parse_json(content, one_line))
        except FormatError as error:
            reading.fault(error.detail, line=line_number)
            continue
        for fault in one_line.report.faults:
            reading.fault(fault.detail, line=line_number)
        if row is None:
            reading.fault("must be a JSON object with a label and its texts", line=line_number)
        elif not one_line.report.faults:
            yield line_number, row


def _entries(rows: Iterable[tuple[int, Row]], reading: Reading) -> Iterator[Entry]:
    seen: dict[LabelKey, int] = {}
    for line_number, row in rows:
        try:
            EntryModel.model_validate(row)
        except ValidationError as error:
            for fault in error.errors(include_url=False, include_input=False):
                reading.fault(f"{'/'.join(map(str, fault['loc']))}: {fault['msg']}", line=line_number)
            continue
        entry = cleaned_entry(entry_from_json(row), reading)  # type: ignore[arg-type]
        detail, key = label_fault(entry.label, entry.sense), label_key(entry.label, entry.sense)
        if detail is None and (first := seen.setdefault(key, line_number)) != line_number:
            detail = duplicate_message(Label(entry.label, entry.sense), first)
        if detail:
            reading.fault(detail, line=line_number)
        else:
            yield entry
