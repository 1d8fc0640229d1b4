"""Delimited text as a table: CSV, TSV, semicolons, bars and Markdown tables, with or without a header.

Text without a header is a table only if every line has the same columns and exactly one of them has names, because a
label can have a comma.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence

from limbeck.shared.label_files.identifiers import id_kind, is_number
from limbeck.shared.label_files.tables import TableRow, check_widths, header_key, is_header, table_draft
from limbeck.shared.label_files.types import (
    FileRow,
    LabelDraft,
    LabelFault,
    LabelFileError,
    examples,
    faults_error,
)
from limbeck.shared.text import counted

_WORDS = {",": "CSV", ";": "CSV with semicolons", "\t": "tab-separated text", "|": "text separated by |"}
_BY_SUFFIX = {".csv": (",", ";", "\t", "|"), ".tsv": ("\t",), ".tab": ("\t",)}
_RULE = re.compile(r"\|?[\s:|-]+\|?")
_GRID = re.compile(r"[+|]?[-=]+(?:\+[-=]+)+[+|]?|\+[-=]+\+")  # of the tables that mysql and psql print
_GRID_END = re.compile(r"\(\d+ rows?\)|\d+ rows? in set.*", re.IGNORECASE)
_ONE_COLUMN_HEADERS = """
    label labels label_name labelname label_names labelnames name names class classes class_name classname class_names
    classnames class_label category_name category_names species_name
""".split()  # noqa: SIM905


def read_delimited(text: str, suffix: str) -> LabelDraft | None:
    """The labels of delimited text; None for text that is one label per line. Raises LabelFileError."""
    if found := re.match(r"\s*sep=(.)\n", text, re.IGNORECASE):  # Excel's first line
        return _with_header(text, found[1], skip=1) or _without_header(text, found[1], suffix, skip=1)
    if uncommented := _without_comments(text):
        draft = read_delimited(uncommented, suffix)
        if draft:
            draft.note(f"dropped the comments before the table: {examples([text.strip().partition(chr(10))[0]])}")
        return draft
    text = _without_markdown(text)
    narrow = _without_empty_columns(text)
    is_csv = suffix in _BY_SUFFIX or narrow != text
    text = narrow
    delimiters = _BY_SUFFIX.get(suffix, ("\t", ";", "|", ","))
    delimiters = tuple(delimiter for delimiter in delimiters if delimiter in text)
    for delimiter in delimiters:
        if draft := _with_header(text, delimiter, strict=not is_csv and delimiter != "\t"):
            return draft
    for delimiter in delimiters:
        if draft := _without_header(text, delimiter, suffix):
            return draft
    return _single_column(text) if is_csv else None


def _without_comments(text: str) -> str:
    """Blank lines for the comments before a table; empty if there are none."""
    found = re.match(r"(?:[ \t]*(?:#[^\n]*)?\n)+", text)
    if not found or "#" not in found[0]:
        return ""
    return "\n" * found[0].count("\n") + text[found.end() :]


def _without_empty_columns(text: str) -> str:
    """One column without the separators that a spreadsheet writes for empty columns (`cat;;;`)."""
    lines = [line.rstrip() for line in text.split("\n")]
    for separator in ";,":
        stripped = [line.rstrip(separator) for line in lines]
        if all(line.endswith(separator * 2) for line in lines if line) and not any(
            separator in one for one in stripped
        ):
            return "\n".join(stripped)
    return text


def _without_markdown(text: str) -> str:
    """A Markdown table, or one that a database prints, as lines of `a|b`; other text as it is. Line numbers stay."""
    lines = text.split("\n")
    filled = [line.strip() for line in lines if line.strip()]
    if len(filled) > 2 and any(_GRID.fullmatch(line) for line in filled[:2]) and any("|" in line for line in filled):
        others = (_GRID, _GRID_END)
        return "\n".join(
            ""
            if any(one.fullmatch(line.strip()) for one in others)
            else line.strip().removeprefix("|").removesuffix("|")
            for line in lines
        )
    if len(filled) < 3 or not all(line.startswith("|") and line.endswith("|") and len(line) > 1 for line in filled):
        return text
    return "\n".join("" if _RULE.fullmatch(line.strip()) else line.strip()[1:-1] for line in lines)


def _rows(text: str, delimiter: str, *, skip: int = 0) -> Iterator[TableRow]:
    """The rows that are not empty, with the line on which each starts. Raises csv.Error that has the line."""
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise csv.Error(f"{line}:{error}") from None
        if line > skip and any(cell.strip() for cell in row):
            yield TableRow(row, line)


def _blank_note(text: str) -> list[str]:
    """A note on blank lines; none if a value in quotes can have them."""
    blank = 0 if '"' in text else sum(not line.strip() for line in text.strip("\n").split("\n"))
    return [f"dropped {counted(blank, 'blank line')}"] if blank else []


def _with_header(text: str, delimiter: str, *, strict: bool = False, skip: int = 0) -> LabelDraft | None:
    """A table whose first row is a header of at least two columns; None if it is not."""
    first = next((line for line in text.split("\n")[skip:] if line.strip()), "")
    try:
        cells = [str(cell) for cell in next(_rows(first, delimiter)).cells]
    except (csv.Error, StopIteration):
        return None
    if len(cells) < 2 or not is_header(cells):
        return None
    if strict and not is_header(cells, strict=True) and not _has_width(text, delimiter, len(cells)):
        return None
    rows = _parsed(text, delimiter, skip)[1:]
    if not rows:
        raise LabelFileError(f"has a header ({', '.join(cells)[:100]}) and no labels: add one label per line")
    while len(cells) > 1 and not cells[-1].strip() and all(not str(_cell(row, len(cells) - 1)).strip() for row in rows):
        cells.pop()
    check_widths(rows, cells)
    header = ", ".join(cell.strip() or '""' for cell in cells)
    draft = table_draft(
        [cell.strip() for cell in cells], rows, f"{_WORDS.get(delimiter, 'CSV')} with the header {header[:200]}"
    )
    draft.notes += _blank_note(text)
    return draft


def _has_width(text: str, delimiter: str, width: int) -> bool:
    """Whether every row has this number of fields, and there are more than one."""
    try:
        widths = [len(row.cells) for row in _rows(text, delimiter)]
    except csv.Error:
        return False
    return len(widths) > 1 and set(widths) == {width}


def _cell(row: TableRow, position: int) -> object:
    return row.cells[position] if position < len(row.cells) else ""


def _parsed(text: str, delimiter: str, skip: int = 0) -> list[TableRow]:
    try:
        return list(_rows(text, delimiter, skip=skip))
    except csv.Error as error:
        line, _, reason = str(error).partition(":")
        raise faults_error([LabelFault(f"is malformed CSV: {reason}", int(line))]) from None


def _without_header(text: str, delimiter: str, suffix: str, *, skip: int = 0) -> LabelDraft | None:
    """A table in which every row has the same two or more columns, of which some are ids or numbers; else None."""
    try:
        rows = list(_rows(text, delimiter, skip=skip))
    except csv.Error:
        if suffix in _BY_SUFFIX and delimiter == ",":
            _parsed(text, delimiter, skip)
        return None
    widths = {len(row.cells) for row in rows}
    if len(widths) != 1 or (width := widths.pop()) < 2:
        return None
    if all(not str(row.cells[-1]).strip() for row in rows):  # a separator at the end of each line
        if width == 2:
            return None
        rows = [TableRow(row.cells[:-1], row.line) for row in rows]
    if len(rows) > 2 and _is_header_of_ids(rows):
        header = [str(cell).strip() for cell in rows[0].cells]
        words = f"{_WORDS.get(delimiter, 'CSV')} with the header {', '.join(header)[:200]}"
        return table_draft(header, rows[1:], words)
    columns = list(zip(*(map(str, row.cells) for row in rows), strict=True))
    num_texts = sum(not all(id_kind(cell) for cell in column if cell.strip()) for column in columns)
    tab_sense = delimiter == "\t" and num_texts == 2 and len(columns) == 2
    sure = suffix in _BY_SUFFIX or delimiter != ","
    if len(rows) == 1 and not (sure and num_texts == 1):
        return None
    if num_texts == len(columns) and not tab_sense and not sure:
        return None
    return table_draft([], rows, f"{_WORDS.get(delimiter, 'CSV')} without a header", tab_sense=tab_sense)


def _is_header_of_ids(rows: Sequence[TableRow]) -> bool:
    """Whether the first row names columns of which one has only ids below it."""
    first, *others = (list(map(str, row.cells)) for row in rows)
    if not first[0] and all(map(is_number, first[1:])):  # pandas writes a Series so
        return True
    if any(id_kind(cell) for cell in first):
        return False
    return any(all(id_kind(row[at]) for row in others) for at in range(len(first)))


def _single_column(text: str) -> LabelDraft | None:
    """The only column of a CSV file, whose first row can be a header."""
    rows = _parsed(text, ",")
    if not rows or len(rows[0].cells) != 1:
        return None
    header = str(rows[0].cells[0]).strip()
    if header_key(header) in _ONE_COLUMN_HEADERS:
        check_widths(rows[1:], [header])
    if any(len(row.cells) != 1 for row in rows):
        return None
    has_header = len(rows) > 1 and header_key(header) in (*_ONE_COLUMN_HEADERS, "category", "species", "text", "title")
    names = rows[1:] if has_header else rows
    if header_key(header) in _ONE_COLUMN_HEADERS and len(rows) == 1:
        raise LabelFileError(f"has a header ({header}) and no labels: add one label per line")
    draft = LabelDraft(
        rows=[FileRow(name=str(row.cells[0]), line=row.line) for row in names],
        read_as=f"CSV with the header {header}" if has_header else "CSV with one column and no header",
        notes=_blank_note(text),
        has_line_forms=not has_header,
        sense_remedy="give each a sense in a column `sense`",
    )
    return draft


def is_one_column_header(text: str) -> bool:
    """Whether the first line of a list is the header of its only column, such as `class_name`."""
    return header_key(text) in _ONE_COLUMN_HEADERS
