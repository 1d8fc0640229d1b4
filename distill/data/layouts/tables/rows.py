"""Parses a table of any kind into rows: CSV, TSV, JSON, JSON Lines, Parquet, and lists. Imports no torch."""

import csv
import importlib
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from distill.data.files.regular_files import open_regular, read_regular
from distill.data.image_files.parquet_rows import NEEDS_PYARROW
from distill.data.image_folders import FolderError
from limbeck.shared.images.kinds import IMAGE_SUFFIXES, is_image_name
from limbeck.shared.text import counted, first_line
from limbeck.shared.text_files import TextFileError, decode

LIST_SUFFIXES = (".txt", ".lst", ".list")
SUFFIXES = (".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", *LIST_SUFFIXES)
SAMPLE_ROWS = 200
_BATCH = 1 << 14
_DELIMITERS = {".tsv": "\t", ".tab": "\t"}
_LISTED = re.compile(rf"(?P<path>.*(?:{'|'.join(map(re.escape, IMAGE_SUFFIXES))}))(?:\s*[\s,;]\s*(?P<label>.*))?", re.I)


class ParsedRow(NamedTuple):
    """The cells of a row, as the file has them, and its line; row numbers from 1 where there are no lines."""

    line: int
    cells: Sequence[object]


class RowBatch(NamedTuple):
    """Rows of a table: their lines as in `ParsedRow`, and the cells of each column."""

    lines: Sequence[int]
    columns: Sequence[Sequence[object]]


@dataclass(frozen=True)
class Table:
    """A parsed table. `name`: its path below the root. `header`: names of the columns; empty if it has none.

    `width`: number of columns. `sample`: its first rows. `batches(columns)`: the cells of these columns, some thousand
    rows at a time.
    """

    name: str
    header: tuple[str, ...]
    width: int
    sample: Sequence[ParsedRow]
    batches: Callable[[Sequence[int]], Iterator[RowBatch]]


class ListedLine(NamedTuple):
    """A line of a list: the path of the image, and the text after it (empty if there is none)."""

    path: str
    label: str


def read_table(file: Path, name: str) -> Table:
    """The table in a file; `name` is its path below the root. Raises FolderError bad_table."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".parquet":
        return _parquet_table(file, name)
    text = read_text(file, name)
    if suffix in (".json", ".jsonl", ".ndjson"):
        return _json_table(text, name)
    if suffix in LIST_SUFFIXES and not _is_delimited(text):
        return _list_table(text, name)
    return _csv_table(text, name, _DELIMITERS.get(suffix))


def read_text(file: Path, name: str, pointer: str = "/images/file") -> str:
    """The text of a file in any usual encoding. Raises FolderError bad_table."""
    try:
        return decode(read_regular(file), expected="a table of images").text
    except OSError as error:
        raise FolderError("bad_table", f"{name} cannot be read: {error.strerror}", pointer) from None
    except TextFileError as error:
        raise FolderError("bad_table", f"{name} {error}", pointer) from None


def split_line(line: str) -> ListedLine | None:
    """A line of a list, such as `my crane.jpg red finch` or `a/b.jpg,3`; None if it does not begin with an image path.

    The path ends at the last image suffix that a separator or the end of the line follows, so it can have spaces.
    """
    found = _LISTED.fullmatch(line.strip())
    return ListedLine(found["path"], (found["label"] or "").strip()) if found else None


def _table(name: str, header: Sequence[str], width: int, rows: Callable[[], Iterator[ParsedRow]]) -> Table:
    """A table whose rows are parsed whole."""

    def select(columns: Sequence[int]) -> Iterator[RowBatch]:
        rest = rows()
        while some := list(islice(rest, _BATCH)):
            yield RowBatch([line for line, _ in some], [[cells[at] for _, cells in some] for at in columns])

    sample = list(islice(rows(), SAMPLE_ROWS))
    if not sample:
        raise FolderError("bad_table", f"{name} has no rows: add one row per image", "/images/file")
    return Table(name, tuple(header), width, sample, select)


def _list_table(text: str, name: str) -> Table:
    def rows() -> Iterator[ParsedRow]:
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                listed = split_line(line)
                yield ParsedRow(number, (line.strip(), "") if listed is None else listed)

    return _table(name, (), 2, rows)


def _is_delimited(text: str) -> bool:
    """Whether a text file is a table with a header, or has more columns than a path and a label."""
    lines = [line for line in text.split("\n", 50)[:50] if line.strip()]
    first = split_line(lines[0]) if lines else None
    if first is None:
        return bool(lines) and any(delimiter in lines[0] for delimiter in ",;\t|")
    return "\t" in lines[0].strip() and lines[0].strip().count("\t") > 1


def _csv_table(text: str, name: str, delimiter: str | None) -> Table:
    if found := re.match(r"\s*sep=(.)\n", text, re.IGNORECASE):  # Excel's first line
        delimiter, text = found[1], "\n" * found[0].count("\n") + text[found.end() :]
    if delimiter is None:
        delimiter = _sniff(text)
    csv.field_size_limit(max(csv.field_size_limit(), len(text) + 1))
    first = next(_csv_rows(text, name, delimiter), None)
    if first is None:
        raise FolderError("bad_table", f"{name} is empty: add one row per image", "/images/file")
    cells = [str(cell).strip() for cell in first.cells]
    has_header = not any(map(is_image_name, cells))
    while len(cells) > 1 and not cells[-1] and has_header:
        cells.pop()
    width = len(cells)

    def rows() -> Iterator[ParsedRow]:
        for line, row in islice(_csv_rows(text, name, delimiter), has_header, None):
            if len(row) != width:
                row = _fitted(row, width, name, line)
            yield ParsedRow(line, row)

    return _table(name, cells if has_header else (), width, rows)


def _csv_rows(text: str, name: str, delimiter: str) -> Iterator[ParsedRow]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, skipinitialspace=True)
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise FolderError("bad_table", f"{name} line {line} is malformed CSV: {error}", "/images/file") from None
        if any(cell and not cell.isspace() for cell in cells):
            yield ParsedRow(line, cells)


def _fitted(cells: Sequence[object], width: int, name: str, line: int) -> Sequence[object]:
    """A row with as many cells as the table has columns; further empty cells are dropped. Raises FolderError."""
    if len(cells) > width and not any(cells[width:]):
        return cells[:width]
    remedy = "put a value with the separator in quotes" if len(cells) > width else "add the missing ones"
    detail = f"{name} line {line} has {counted(len(cells), 'field')}, and the first row has {width}: {remedy}"
    raise FolderError("bad_table", detail, "/images/file")


def _sniff(text: str) -> str:
    """The delimiter that gives the first lines the same number of columns, and more than one."""
    head = text[: 1 << 16]
    lines = "\n".join(head.split("\n")[:-1]) if len(text) > len(head) else head
    widths: dict[str, int] = {}
    for delimiter in ",;\t|":
        if delimiter not in lines:
            continue
        try:
            found = {
                len(row) for row in islice(csv.reader(io.StringIO(lines, newline=""), delimiter=delimiter), 50) if row
            }
        except csv.Error:
            continue
        if len(found) == 1 and (width := found.pop()) > 1:
            widths[delimiter] = width
    return max(widths, key=lambda delimiter: widths[delimiter]) if widths else ","


def _json_table(text: str, name: str) -> Table:
    records = _records(text, name)
    header = list(dict.fromkeys(key for _, record in islice(records, SAMPLE_ROWS) for key in record))

    def rows() -> Iterator[ParsedRow]:
        for line, record in records:
            yield ParsedRow(line, [record.get(key) for key in header])

    return _table(name, header, len(header), rows)


def _records(text: str, name: str) -> list[tuple[int, dict[str, Any]]]:
    """The objects of a JSON document or of JSON Lines, with their lines or numbers. Raises FolderError."""
    try:
        document = json.loads(text)
    except ValueError:
        return _json_lines(text, name)
    except RecursionError:
        raise FolderError("bad_table", f"{name} is nested too deeply to be a table", "/images/file") from None
    if isinstance(document, dict):
        if {"images", "annotations"} <= document.keys():
            detail = f'{name} is an annotation file of COCO: give images.layout "coco" (or "inaturalist")'
            raise FolderError("bad_table", detail, "/images/layout")
        lists = [
            value for value in document.values() if isinstance(value, list) and value and isinstance(value[0], dict)
        ]
        document = lists[0] if len(lists) == 1 else _of_mapping(document)
    if isinstance(document, list) and all(isinstance(record, dict) for record in document):
        return list(enumerate(document, start=1))
    detail = f"{name} is no table: it must be a list of objects, or an object of image path -> label"
    raise FolderError("bad_table", detail, "/images/file")


def _of_mapping(document: dict[str, Any]) -> list[dict[str, Any]] | None:
    """The records of an object whose keys are image paths; None for another object."""
    if not document or not all(map(is_image_name, document)):
        return [document] if any(isinstance(v, str) and is_image_name(v) for v in document.values()) else None
    return [
        {"image": path, **value} if isinstance(value, dict) else {"image": path, "label": value}
        for path, value in document.items()
    ]


def _json_lines(text: str, name: str) -> list[tuple[int, dict[str, Any]]]:
    records = []
    for line, content in enumerate(text.split("\n"), start=1):
        if not content.strip():
            continue
        try:
            record = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise FolderError("bad_table", f"{name} line {line} is not JSON: {error}", "/images/file") from None
        if not isinstance(record, dict):
            raise FolderError("bad_table", f"{name} line {line} is not a JSON object", "/images/file")
        records.append((line, record))
    return records


def arrow_library(module: str, name: str) -> Any:
    """A module of pyarrow. Raises FolderError that names the extra."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise FolderError("needs_pyarrow", f"{name} {NEEDS_PYARROW}", "/images/file") from None


def _parquet_table(file: Path, name: str) -> Table:
    parquet = arrow_library("pyarrow.parquet", name)
    try:
        with open_regular(file) as source, parquet.ParquetFile(source) as opened:
            simple = [field.name for field in opened.schema_arrow if "binary" not in str(field.type)]
            num_rows = opened.metadata.num_rows
    except (OSError, ValueError) as error:
        detail = f"{name} is a damaged Parquet file: {first_line(error)}"
        raise FolderError("bad_table", detail, "/images/file") from None
    if not num_rows:
        raise FolderError("bad_table", f"{name} has no rows: add one row per image", "/images/file")

    def batches(columns: Sequence[int], num_rows: int = _BATCH) -> Iterator[RowBatch]:
        first = 1
        with open_regular(file) as source, parquet.ParquetFile(source) as opened:
            for batch in opened.iter_batches(num_rows, columns=[simple[at] for at in columns], use_threads=False):
                cells = [batch.column(simple[at]).to_pylist() for at in columns]
                yield RowBatch(range(first, first + len(batch)), cells)
                first += len(batch)

    lines, cells = next(batches(range(len(simple)), SAMPLE_ROWS))
    sample = [ParsedRow(line, row) for line, row in zip(lines, zip(*cells, strict=True), strict=True)]
    return Table(name, tuple(simple), len(simple), sample, batches)
