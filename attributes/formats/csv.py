"""CSV for spreadsheets: one row per line of a label, with its origin, lock and provenance.

    label,sense,kind,text,part,value,about,other_value,origin,locked,strategy,call

The columns `label`, `kind` and `text` are required; columns may be in any order. A label without lines has one row
without kind and text. There is no column for flags: they are computed when the file is read, because people edit
these files. A cell that a spreadsheet would run as a formula is written with a leading apostrophe, which is removed
when the file is read.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from attributes.editing import MAX_FIELD_CHARS, MAX_LINES, recompute_flags
from attributes.formats.common import FormatError, line_fault
from attributes.types import Entry, Line, LineKind, Origin
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
_REQUIRED_COLUMNS = ("label", "kind", "text")
_KINDS: Mapping[str, LineKind] = {kind: kind for kind in get_args(LineKind)}
_ORIGINS: Mapping[str, Origin] = {origin: origin for origin in get_args(Origin)}
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"", "false", "no", "0"})
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r]")


def write_csv(entries: Iterable[Entry]) -> Iterator[str]:
    """The file in pieces, one label per piece, so that a large set can be streamed. `read_csv` reads it."""
    yield _format_rows([COLUMNS])
    for entry in entries:
        label = (entry.label, entry.sense or "")
        no_line = (*label, *("",) * (len(COLUMNS) - 2))
        yield _format_rows([(*label, *_cells(line)) for line in entry.lines] or [no_line])


def read_csv(text: str) -> list[Entry]:
    """The entries of a file, ordered by the first row of each label. Raises FormatError."""
    rows = _records(text.removeprefix("\ufeff"))
    line_number, head = next(rows, (1, []))
    columns = [cell.strip().lower() for cell in head]
    if fault := _header_fault(columns):
        raise FormatError(fault, line=line_number)
    lines: dict[LabelKey, list[Line]] = {}
    names: dict[LabelKey, LabelPair] = {}
    for line_number, cells in rows:
        if not any(cells):
            continue
        if len(cells) != len(columns):
            raise FormatError(f"has {len(cells)} cells for {len(columns)} columns", line=line_number)
        row = {column: _unescaped(cell) for column, cell in zip(columns, cells, strict=True)}
        name, sense = row["label"].strip(), row.get("sense", "").strip() or None
        if fault := label_fault(name, sense):
            raise FormatError(fault, line=line_number)
        key = label_key(name, sense)
        names.setdefault(key, (name, sense))
        label_lines = lines.setdefault(key, [])
        if (line := _parse_line(row, line_number)) is not None:
            label_lines.append(line)
        if len(label_lines) > MAX_LINES:
            raise FormatError(f"label {name!r} has more than {MAX_LINES} lines", line=line_number)
    return [_entry(*names[key], label_lines) for key, label_lines in lines.items()]


def _entry(name: str, sense: str | None, lines: Iterable[Line]) -> Entry:
    entry = Entry(name, sense, tuple(lines))
    return Entry(name, sense, entry.lines, recompute_flags(entry))


def _parse_line(row: Mapping[str, str], line_number: int) -> Line | None:
    """The line of a row; None for a row without kind and text. Raises FormatError."""
    if not row["kind"].strip() and not row["text"]:
        return None
    kind = _KINDS.get(row["kind"].strip().lower())
    if kind is None:
        raise FormatError(f"kind must be one of {', '.join(_KINDS)}, not {row['kind'][:40]!r}", line=line_number)
    origin = _ORIGINS.get(row.get("origin", "").strip().lower() or "import")
    if origin is None:
        raise FormatError(f"origin must be one of {', '.join(_ORIGINS)}, not {row['origin'][:40]!r}", line=line_number)
    locked = row.get("locked", "").strip().lower()
    if locked not in _TRUE | _FALSE:
        raise FormatError(f"locked must be true or false, not {locked[:40]!r}", line=line_number)
    fields = {name: row.get(name, "") for name in ("part", "value", "about", "other_value", "strategy", "call")}
    for name, text in {"text": row["text"], **fields}.items():
        if fault := line_fault(text):
            raise FormatError(f"{name} {fault}", line=line_number)
        if name != "text" and len(text) > MAX_FIELD_CHARS:
            fault = f"{name} has {len(text)} characters; at most {MAX_FIELD_CHARS} are allowed"
            raise FormatError(fault, line=line_number)
    return Line(kind, row["text"], origin=origin, locked=locked in _TRUE, **fields)


def _header_fault(columns: list[str]) -> str | None:
    if missing := [name for name in _REQUIRED_COLUMNS if name not in columns]:
        return f"the header lacks {', '.join(missing)}; the columns are {', '.join(COLUMNS)}"
    if unknown := [name for name in columns if name not in COLUMNS]:
        return f"the header has {unknown[0][:40]!r}, which is not one of {', '.join(COLUMNS)}"
    duplicates = [name for name in COLUMNS if columns.count(name) > 1]
    return f"the header has {duplicates[0]!r} twice" if duplicates else None


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of each record; the number of a record over several lines is its first line's."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line_number = reader.line_num + 1
        try:
            yield line_number, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FormatError(f"is not CSV: {error}", line=line_number) from None


def _cells(line: Line) -> tuple[str, ...]:
    locked = "true" if line.locked else ""
    return (
        line.kind,
        line.text,
        line.part,
        line.value,
        line.about,
        line.other_value,
        line.origin,
        locked,
        line.strategy,
        line.call,
    )


def _format_rows(rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([_escaped(cell) for cell in row] for row in rows)
    return out.getvalue()


def _escaped(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unescaped(cell: str) -> str:
    return cell[1:] if _ESCAPED.match(cell) else cell
