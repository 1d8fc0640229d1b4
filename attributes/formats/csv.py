"""CSV for spreadsheets: a row for each line of a label, with its origin, lock and provenance.

    label,sense,kind,text,part,value,about,other_value,origin,locked,strategy,call

`label`, `kind` and `text` must be there, the other columns may be left out, and columns may stand in any order. A label
of which nothing is said has one row without kind and text. Flags are no column: they are computed anew, so that they
are true of what a person made of the file. A cell that a spreadsheet would take for a formula goes out with an
apostrophe before it, which is taken off again when it comes in.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import get_args

from attributes.editing import MAX_FIELD_CHARS, MAX_LINES, flags_anew
from attributes.formats.formats import FormatError, identity, label_fault, text_fault
from attributes.types import Entry, Line, LineKind, Origin

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
_NEEDED = ("label", "kind", "text")
_KINDS: Mapping[str, LineKind] = {kind: kind for kind in get_args(LineKind)}
_ORIGINS: Mapping[str, Origin] = {origin: origin for origin in get_args(Origin)}
_TRUE, _FALSE = frozenset({"true", "yes", "1"}), frozenset({"", "false", "no", "0"})
_FORMULA = re.compile(r"'*[=+\-@\t\r]")
_ESCAPED = re.compile(r"'+[=+\-@\t\r]")


def write_csv(entries: Iterable[Entry]) -> Iterator[str]:
    """The entries in pieces, a label each, so that a large set streams. `read_csv` takes it back."""
    yield _rows([COLUMNS])
    for entry in entries:
        head = (entry.label, entry.sense or "")
        yield _rows([(*head, *_cells(line)) for line in entry.lines] or [(*head, *("",) * (len(COLUMNS) - 2))])


def read_csv(text: str) -> list[Entry]:
    """The entries of a CSV, labels in the order in which they come first. Raises FormatError."""
    rows = _records(text.removeprefix("\ufeff"))
    line, head = next(rows, (1, []))
    columns = [cell.strip().lower() for cell in head]
    if fault := _head_fault(columns):
        raise FormatError(fault, line=line)
    lines: dict[tuple[str, str], list[Line]] = {}
    names: dict[tuple[str, str], tuple[str, str | None]] = {}
    for line, cells in rows:
        if not any(cells):
            continue
        if len(cells) != len(columns):
            raise FormatError(f"has {len(cells)} cells for {len(columns)} columns", line=line)
        row = {column: _unescaped(cell) for column, cell in zip(columns, cells, strict=True)}
        name, sense = row["label"].strip(), row.get("sense", "").strip() or None
        if fault := label_fault(name, sense):
            raise FormatError(fault, line=line)
        key = identity(name, sense)
        names.setdefault(key, (name, sense))
        said = lines.setdefault(key, [])
        if (made := _line(row, line)) is not None:
            said.append(made)
        if len(said) > MAX_LINES:
            raise FormatError(f"label {name!r} has more than {MAX_LINES} lines", line=line)
    return [_entry(*names[key], said) for key, said in lines.items()]


def _entry(name: str, sense: str | None, lines: Iterable[Line]) -> Entry:
    entry = Entry(name, sense, tuple(lines))
    return Entry(name, sense, entry.lines, flags_anew(entry))


def _line(row: Mapping[str, str], number: int) -> Line | None:
    if not row["kind"].strip() and not row["text"]:
        return None
    kind = _KINDS.get(row["kind"].strip().lower())
    if kind is None:
        raise FormatError(f"kind must be one of {', '.join(_KINDS)}, not {row['kind'][:40]!r}", line=number)
    origin = _ORIGINS.get(row.get("origin", "").strip().lower() or "import")
    if origin is None:
        raise FormatError(f"origin must be one of {', '.join(_ORIGINS)}, not {row['origin'][:40]!r}", line=number)
    locked = row.get("locked", "").strip().lower()
    if locked not in _TRUE | _FALSE:
        raise FormatError(f"locked must be true or false, not {locked[:40]!r}", line=number)
    said = {name: row.get(name, "") for name in ("part", "value", "about", "other_value", "strategy", "call")}
    for name, text in {"text": row["text"], **said}.items():
        if fault := text_fault(text):
            raise FormatError(f"{name} {fault}", line=number)
        if name != "text" and len(text) > MAX_FIELD_CHARS:
            raise FormatError(f"{name} has {len(text)} characters; at most {MAX_FIELD_CHARS} are allowed", line=number)
    return Line(kind, row["text"], origin=origin, locked=locked in _TRUE, **said)


def _head_fault(columns: list[str]) -> str | None:
    if missing := [name for name in _NEEDED if name not in columns]:
        return f"the header lacks {', '.join(missing)}; it may have {', '.join(COLUMNS)}"
    if unknown := [name for name in columns if name not in COLUMNS]:
        return f"the header has {unknown[0][:40]!r}, which is none of {', '.join(COLUMNS)}"
    twins = [name for name in COLUMNS if columns.count(name) > 1]
    return f"the header has {twins[0]!r} twice" if twins else None


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Numbered records; a record may go over several lines, and its number is that of the first."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FormatError(f"is no CSV: {error}", line=line) from None


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


def _rows(rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([_escaped(cell) for cell in row] for row in rows)
    return out.getvalue()


def _escaped(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unescaped(cell: str) -> str:
    return cell[1:] if _ESCAPED.match(cell) else cell
