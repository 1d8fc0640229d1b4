"""Rows of a table as entries: the common code of CSV, JSONL, Parquet and Hugging Face data sets.

A row is one of

- a line of a label in Limbeck's columns (`COLUMNS`; `label`, `kind` and `text` are required). A label without lines has
  one row without kind and text. There is no column for flags: they are computed when the file is read.
- a label with one text or a list of texts, in columns of the usual names (`class`, `description`, …).
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import cast, get_args

from attributes.editing import MAX_FIELD_CHARS, MAX_LINES, recompute_flags
from attributes.formats.common import Reading, line_fault
from attributes.formats.label_lists import entries_of_texts
from attributes.types import Entry, Line, LineKind, Origin
from limbeck.shared.attribute_files.label_texts import (
    LABEL_FIELDS,
    QUESTION_FIELDS,
    SENSE_FIELDS,
    TextsByLabel,
    first_field,
    is_sentences,
    text_fields,
)
from limbeck.shared.labels import LabelKey, LabelPair, label_fault, label_key

COLUMNS = (
    "label",
    "sense",
    "kind",
    "text",
    "part",
    "value",
    "about",
    "other_value",
    "origin",
    "locked",
    "strategy",
    "call",
)
REQUIRED_COLUMNS = ("label", "kind", "text")
Row = Mapping[str, object]
_KINDS: Mapping[str, LineKind] = {kind: kind for kind in get_args(LineKind)}
_ORIGINS: Mapping[str, Origin] = {origin: origin for origin in get_args(Origin)}
# Spreadsheets write truth values in the language of their user.
_TRUE = frozenset({"true", "yes", "1", "1.0", "wahr", "vrai", "verdadero", "vero", "waar", "истина"})
_FALSE = frozenset({"", "false", "no", "0", "0.0", "falsch", "faux", "falso", "onwaar", "ложь"})


@dataclass
class LineTable:
    """Collects lines by label, in the order of the first row of each label."""

    reading: Reading
    _names: dict[LabelKey, LabelPair] = field(default_factory=dict)
    _lines: dict[LabelKey, list[Line]] = field(default_factory=dict)

    def add_row(self, row: Mapping[str, str], line_number: int | None) -> None:
        """Add a row of Limbeck's columns; report what is wrong with it."""
        name, sense = self.reading.label(row["label"]), self.reading.label(row.get("sense", "")) or None
        if fault := label_fault(name, sense):
            self.reading.fault(fault, line=line_number)
            return
        if (label_lines := self._of_label(name, sense, line_number)) is None:
            return
        try:
            line = parse_line(row, self.reading)
        except ValueError as error:
            self.reading.fault(str(error), line=line_number)
            return
        if line is not None:
            label_lines.append(line)

    def entries(self) -> list[Entry]:
        """The entries, with their flags."""
        return [_entry(*self._names[key], lines) for key, lines in self._lines.items()]

    def _of_label(self, name: str, sense: str | None, line_number: int | None) -> list[Line] | None:
        key = label_key(name, sense)
        self._names.setdefault(key, (name, sense))
        lines = self._lines.setdefault(key, [])
        if len(lines) < MAX_LINES:
            return lines
        self.reading.fault(f"label {name!r} has more than {MAX_LINES} lines", line=line_number)
        return None


def read_rows(rows: Iterable[tuple[int | None, Row]], reading: Reading) -> list[Entry]:
    """The entries of rows of either kind; the first row decides. The caller closes the reading."""
    iterator = iter(rows)
    first = next(iterator, None)
    if first is None:
        return []
    all_rows = _chained(first, iterator)
    if all(name in first[1] for name in REQUIRED_COLUMNS):
        table = LineTable(reading)
        _warn_of_other_columns(first[1], set(COLUMNS), reading)
        for line_number, row in all_rows:
            table.add_row({name: _cell(row.get(name)) for name in COLUMNS}, line_number)
        return table.entries()
    return _read_texts(all_rows, first[1], reading)


def row_columns(row: Row) -> tuple[str, list[str]] | None:
    """The columns of the label and of the texts of rows that are not in Limbeck's columns; None if there are none."""
    label = first_field(row, LABEL_FIELDS)
    texts = text_fields(row, label)
    return (label, texts) if label is not None and texts else None


def parse_line(row: Mapping[str, str], reading: Reading) -> Line | None:
    """The line of a row; None for a row without kind and text. Raises ValueError."""
    if not row["kind"].strip() and not row["text"]:
        return None
    text = reading.text(row["text"])
    if not text:
        return None
    kind = _KINDS.get(row["kind"].strip().lower())
    if kind is None:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}, not {row['kind'][:40]!r}")
    origin = _ORIGINS.get(row.get("origin", "").strip().lower() or "import")
    if origin is None:
        raise ValueError(f"origin must be one of {', '.join(_ORIGINS)}, not {row['origin'][:40]!r}")
    locked = row.get("locked", "").strip().lower()
    if locked not in _TRUE | _FALSE:
        raise ValueError(f"locked must be true or false, not {locked[:40]!r}")
    names = ("part", "value", "about", "other_value", "strategy", "call")
    fields = {name: reading.field(row.get(name, "")) for name in names}
    for name, one in {"text": text, **fields}.items():
        if fault := line_fault(one):
            raise ValueError(f"{name} {fault}")
        if name != "text" and len(one) > MAX_FIELD_CHARS:
            raise ValueError(f"{name} has {len(one)} characters; at most {MAX_FIELD_CHARS} are allowed")
    return Line(kind, text, origin=origin, locked=locked in _TRUE, **fields)


def line_rows(entry: Entry) -> Iterator[dict[str, str | bool | None]]:
    """The rows of an entry in `COLUMNS`; one row without kind and text for an entry without lines."""
    label: dict[str, str | bool | None] = {"label": entry.label, "sense": entry.sense}
    if not entry.lines:
        yield {**label, **dict.fromkeys(COLUMNS[2:])}
    for line in entry.lines:
        yield {**label, **{name: getattr(line, name) for name in COLUMNS[2:]}}


def _read_texts(rows: Iterable[tuple[int | None, Row]], first: Row, reading: Reading) -> list[Entry]:
    columns = row_columns(first)
    if columns is None:
        named = ", ".join(map(str, first))[:200]
        reading.fault(f"has no column for labels and texts, such as label and text; its columns are {named}")
        return []
    label, texts = columns
    sense = first_field(first, SENSE_FIELDS)
    about = first_field([name for name in first if name not in texts], QUESTION_FIELDS)
    _warn_of_other_columns(first, {label, *texts, sense, about}, reading)
    collected = TextsByLabel(reading)
    for line_number, row in rows:
        asked = row.get(about) if about is not None else None
        collected.add(
            row.get(label),
            row.get(texts[0]) if len(texts) == 1 else [row.get(name) for name in texts],
            sense=row.get(sense) if sense is not None else None,
            about=asked if isinstance(asked, str) else "",
            line=line_number,
        )
    reading.report.read_as += f" (columns {label} and {', '.join(texts)})"
    found = collected.labels()
    return entries_of_texts(found, "answer" if is_sentences(found) else "phrase")


def _warn_of_other_columns(row: Row, used: set[str] | set[str | None], reading: Reading) -> None:
    if dropped := [name for name in row if name not in used and str(name).strip()]:
        reading.warn(f"columns that are not used: {', '.join(map(str, dropped))[:200]}")


def _chained(first: tuple[int | None, Row], rest: Iterator[tuple[int | None, Row]]) -> Iterator[tuple[int | None, Row]]:
    yield first
    yield from rest


def _cell(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _entry(name: str, sense: str | None, lines: Iterable[Line]) -> Entry:
    entry = Entry(name, sense, tuple(lines))
    return Entry(name, sense, entry.lines, recompute_flags(entry))


def as_row(value: object) -> Row | None:
    """The value as a row, if it is an object."""
    return cast(Row, value) if isinstance(value, dict) else None
