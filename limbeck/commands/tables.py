"""Output of the commands that list and show things: tables whose ids are never cut, and JSON.

A table is plain text without colours: columns are separated by two spaces and every cell is one line. On a terminal the
last columns that do not fit are cut, so that no line wraps; into a pipe everything is written.
"""

import json
import shutil
import sys
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

if TYPE_CHECKING:
    from pydantic import BaseModel

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON; times are in UTC.")]
Limit = Annotated[int, typer.Option(min=1, help="Maximum number to show.")]
Owner = Annotated[str, typer.Option(help="Only those of this owner: the name of a key, or `me`.")]
LIMIT = 20

Row = TypeVar("Row", bound="BaseModel")


def print_json(content: object) -> None:
    """Print JSON with an indentation of one."""
    typer.echo(json.dumps(content, ensure_ascii=False, indent=1))


def print_list(
    rows: Iterable[Row],
    columns: Mapping[str, Callable[[Row], object]],
    *,
    limit: int,
    as_json: bool,
    empty: str,
) -> None:
    """Print up to `limit` rows as a table with these columns, or as a JSON array of the whole rows.

    `>` before the name of a column aligns it to the right. `empty` is printed if there is no row; on stderr follows a
    note if there are more rows.
    """
    rows = iter(rows)
    shown = list(islice(rows, limit))
    if as_json:
        print_json([row.model_dump(mode="json") for row in shown])
    elif not shown:
        typer.echo(empty)
    else:
        typer.echo(simple_table(tuple(columns), [[str(cell(row)) for cell in columns.values()] for row in shown]))
    if len(shown) == limit and next(rows, None) is not None:
        typer.echo(f"there are more; --limit {limit * 5} shows more of them", err=True)


def print_fields(fields: Mapping[str, object]) -> None:
    """Print names and values in two columns, without the empty values."""
    given = {name: value for name, value in fields.items() if value not in (None, "")}
    width = max(map(len, given), default=0)
    for name, value in given.items():
        typer.echo(f"{name.ljust(width)}  {value}")


def simple_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows below the names of their columns. The first column is never cut."""
    names = [name.removeprefix(">") for name in columns]
    cells = [names, *([_one_line(cell) for cell in row] for row in rows)]
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    right = [name.startswith(">") for name in columns]
    lines = ("  ".join(map(_padded, row, widths, right)).rstrip() for row in cells)
    return "\n".join(_cut(line, len(row[0])) for line, row in zip(lines, cells, strict=True))


def _one_line(text: str) -> str:
    return "".join(character if character.isprintable() else " " for character in text)


def _padded(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space


def _width(text: str) -> int:
    """Columns of a terminal: East Asian characters take two, combining ones none."""
    return sum(
        0 if unicodedata.combining(one) else 2 if unicodedata.east_asian_width(one) in "FW" else 1 for one in text
    )


def _cut(line: str, num_kept: int) -> str:
    if not sys.stdout.isatty():
        return line
    limit = max(num_kept, shutil.get_terminal_size().columns)
    while _width(line) > limit:
        line = line[:-2].rstrip() + "…"
    return line
