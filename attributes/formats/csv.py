"""CSV for spreadsheets: one row per line of a label, with its origin, lock and provenance.

    label,sense,kind,text,part,value,about,other_value,origin,locked,strategy,call

The columns `label`, `kind` and `text` are required; columns may be in any order. Files with a column of labels and a
column of texts under the usual names are read too. The file begins with a byte order mark, without which Excel reads
accents wrongly. A cell that a spreadsheet would run as a formula is written with a leading apostrophe, which is removed
when the file is read. What spreadsheets write back is read: `;`, tab or `|` between the cells, a line `sep=;`, and
empty columns at the end.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator

from attributes.formats.common import FormatError, Reading
from attributes.formats.tables import COLUMNS, REQUIRED_COLUMNS, LineTable, line_rows, read_rows, row_columns
from attributes.types import Entry

__all__ = ["COLUMNS"]

BYTE_ORDER_MARK = "\ufeff"
_SEPARATORS = ",;\t|"
# Also after spaces, as LibreOffice runs them; the wide signs are those of Japanese keyboards.
_FORMULA = re.compile(r"'*\s*[=+\-@|%\t\r\n＝＋－＠]")
_ESCAPED = re.compile(r"'+\s*[=+\-@|%\t\r\n＝＋－＠]")


def write_csv(entries: Iterable[Entry]) -> Iterator[str]:
    """The file in pieces, one label per piece, so that a large set can be streamed. `read_csv` reads it."""
    yield BYTE_ORDER_MARK + _format_rows([COLUMNS])
    for entry in entries:
        yield _format_rows(tuple(map(_cell, row.values())) for row in line_rows(entry))


def read_csv(text: str, reading: Reading | None = None) -> list[Entry]:
    """The entries of a file, ordered by the first row of each label. Raises FormatError with all faults."""
    reading = reading or Reading()
    separator, text = _separator(_with_line_feeds(text.removeprefix(BYTE_ORDER_MARK)))
    rows = _records(text, separator, reading)
    line_number, head = next(rows, (1, []))
    columns = [cell.strip() for cell in head]
    while columns and not columns[-1]:  # empty columns at the right edge of a sheet
        columns.pop()
    reading.report.read_as = "CSV" if separator == "," else f"CSV with {separator!r} between the cells"
    is_texts = row_columns(dict.fromkeys(columns)) is not None and "kind" not in map(str.lower, columns)
    if fault := _header_fault(columns, is_texts=is_texts):
        raise FormatError(fault, line=line_number)
    columns = columns if is_texts else [column.lower() for column in columns]
    cells = _cells(rows, columns, reading)
    if is_texts:
        entries = read_rows(cells, reading)
    else:
        table = LineTable(reading)
        for line_number, row in cells:
            table.add_row(row, line_number)
        entries = table.entries()
    reading.close()
    return entries


def _cells(
    rows: Iterable[tuple[int, list[str]]], columns: list[str], reading: Reading
) -> Iterator[tuple[int, dict[str, str]]]:
    """The rows by column, without empty rows; a row of another length is a fault."""
    for line_number, cells in rows:
        if not any(cells):
            continue
        if len(cells) < len(columns) or any(cells[len(columns) :]):
            reading.fault(f"has {len(cells)} cells for {len(columns)} columns", line=line_number)
            continue
        yield line_number, {column: _unescaped(cell) for column, cell in zip(columns, cells, strict=False)}


def _separator(text: str) -> tuple[str, str]:
    """(the separator, the text without Excel's line `sep=;`): the one that finds most of the known columns."""
    first, _, rest = text.partition("\n")
    stated = first.strip().strip('"').lower()
    if len(stated) == 5 and stated.startswith("sep=") or first.lower().startswith("sep=\t"):
        return (first.lower() + "\t")[4] if stated == "sep=" else stated[4], "\n" + rest

    def num_known(separator: str) -> int:
        cells = next(csv.reader([first], delimiter=separator), [])
        return sum(cell.strip().lower() in COLUMNS for cell in cells) * 100 + len(cells)

    return max(_SEPARATORS, key=num_known), text


def _with_line_feeds(text: str) -> str:
    """Old Macintosh files end lines with a carriage return only."""
    return text if "\n" in text else text.replace("\r", "\n")


def _header_fault(columns: list[str], *, is_texts: bool) -> str | None:
    names = [column.lower() for column in columns]
    if duplicates := [name for name in dict.fromkeys(names) if name and names.count(name) > 1]:
        return f"the header has {duplicates[0][:40]!r} twice"
    if is_texts:
        return None
    if missing := [name for name in REQUIRED_COLUMNS if name not in names]:
        shown = ", ".join(columns)[:80]
        if names and not any(name in COLUMNS for name in names):
            return (
                f"the first line ({shown}) names no column of labels and texts; write a header such as label,text, "
                "or a JSON object of label -> list of texts"
            )
        known = f"the columns are {', '.join(COLUMNS)}"
        return f"the header lacks {', '.join(missing)}; {known}; or one of labels and one of texts: label and text"
    if unknown := [name for name in names if name not in COLUMNS]:
        return f"the header has {unknown[0][:40]!r}, which is not one of {', '.join(COLUMNS)}"
    return None


def _records(text: str, separator: str, reading: Reading) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of each record; the number of a record over several lines is its first line's."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=separator)
    while True:
        line_number = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reading.fault(f"is not CSV: {error}", line=line_number)
            continue
        if cells or line_number > 1:
            yield line_number, cells


def _cell(value: object) -> str:
    return ("true" if value else "") if isinstance(value, bool) else str(value or "")


def _format_rows(rows: Iterable[Iterable[str]]) -> str:
    out = io.StringIO(newline="")
    csv.writer(out, lineterminator="\n").writerows([_escaped(cell) for cell in row] for row in rows)
    return out.getvalue()


def _escaped(cell: str) -> str:
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unescaped(cell: str) -> str:
    return cell[1:] if _ESCAPED.match(cell) else cell
