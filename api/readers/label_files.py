"""Label lists in the three forms a vocabulary is posted in: JSON, CSV with a header, plain text with a label a line."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Annotated, NotRequired

from pydantic import Field, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

from api.http.problems import ProblemError, invalid, refused
from api.http.schemas import Input, Name, PlainText
from store.errors import Culprit, Refused
from store.vocabularies import MAX_LABELS, NewLabel, checked


@with_config({"extra": "forbid"})
class LabelIn(TypedDict):
    """A label; `sense` tells it from another of the same name."""

    name: str
    sense: NotRequired[str | None]


class VocabularyIn(Input):
    """A label list. A label is a name, or an object where it needs a sense."""

    name: Name
    domain: Annotated[PlainText, Field(description="What the labels are kinds of: it goes into the prompts.")] = ""
    labels: list[str | LabelIn] = Field(
        description=f"1 to {MAX_LABELS:,} labels.",
        examples=[["Laysan albatross", {"name": "crane", "sense": "the bird"}]],
    )


_ADAPTER = TypeAdapter(VocabularyIn)


def from_json_body(body: bytes) -> tuple[str, str, list[NewLabel]]:
    """(name, domain, labels) of a JSON body. Raises ProblemError with pointers."""
    try:
        given = _ADAPTER.validate_json(body)
    except ValidationError as error:
        if error.errors(include_input=False, include_url=False)[0]["type"] == "json_invalid":
            raise ProblemError(400, "malformed_json", error.errors(include_url=False)[0]["msg"]) from None
        raise invalid(error, from_json(body)) from None
    labels = [
        NewLabel(label) if isinstance(label, str) else NewLabel(label["name"], label.get("sense"))
        for label in given.labels
    ]
    return given.name, given.domain, labels


def from_csv(body: bytes) -> list[NewLabel]:
    """Labels of a CSV file whose header is `name` or `name,sense`. Raises ProblemError that names the line."""
    rows = _csv_rows(_text(body))
    line, header = next(rows, (1, []))
    columns = [column.strip().lower() for column in header]
    if columns not in (["name"], ["name", "sense"]):
        raise _at_line("csv_header", line, f"the header must be name or name,sense and is {','.join(header)[:100]!r}")
    lines: list[int] = []
    labels: list[NewLabel] = []
    for line, row in rows:
        if len(row) != len(columns):
            raise _at_line("csv_malformed", line, f"has {len(row)} fields, the header {len(columns)}", len(labels))
        labels.append(NewLabel(row[0], row[1] if len(row) > 1 else None))
        lines.append(line)
    _check(labels, lines)
    return labels


def from_lines(body: bytes) -> list[NewLabel]:
    """Labels of plain text, one a line. Raises ProblemError that names the line."""
    text = _text(body).replace("\r\n", "\n").removesuffix("\n")
    labels = [NewLabel(line) for line in text.split("\n")] if text else []
    _check(labels, range(1, len(labels) + 1))
    return labels


def _check(labels: Sequence[NewLabel], lines: Sequence[int]) -> None:
    # The store checks again what it is given; here a culprit is also said by its line, which is what people look for.
    try:
        checked(labels)
    except Refused as error:
        culprits = [Culprit(one.pointer, _with_line(one, lines)) for one in error.culprits]
        raise Refused(error.code, culprits[0].detail, culprits) from None


def _with_line(culprit: Culprit, lines: Sequence[int]) -> str:
    steps = culprit.pointer.split("/")
    return f"line {lines[int(steps[2])]}: {culprit.detail}" if len(steps) > 2 else culprit.detail


def _csv_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """The number of the line that each record begins on, and its fields; empty lines at the end are no records."""
    reader = csv.reader(io.StringIO(text.rstrip("\r\n"), newline=""), strict=True)
    while True:
        line = reader.line_num + 1
        try:
            row = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise _at_line("csv_malformed", line, str(error)) from None
        yield line, row or [""]


def _text(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise _at_line("not_utf8", line, f"is not UTF-8: {error.reason}") from None


def _at_line(code: str, line: int, detail: str, position: int | None = None) -> ProblemError:
    return refused(code, f"line {line}: {detail}", "/labels" if position is None else f"/labels/{position}")
