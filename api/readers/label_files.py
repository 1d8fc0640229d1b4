"""Parse uploaded label lists: JSON, CSV with a header, or plain text with one label per line."""

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Annotated, NotRequired

from pydantic import Field, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

from api.http.problems import ProblemError, unprocessable, validation_problem
from api.http.schemas import Domain, Name, RequestModel
from limbeck.shared.labels import numbered_lines
from store.errors import InvalidField, InvalidRequest
from store.vocabularies import MAX_LABELS, NewLabel, validate_labels


@with_config({"extra": "forbid"})
class LabelIn(TypedDict):
    """A label; `sense` distinguishes labels of the same name."""

    name: str
    sense: NotRequired[str | None]


class VocabularyIn(RequestModel):
    """A label list. A label is a name, or an object with a name and a sense."""

    name: Name
    domain: Annotated[Domain, Field(description="Category of the labels, such as `birds`; part of the prompts.")] = ""
    labels: list[str | LabelIn] = Field(
        description=f"1 to {MAX_LABELS:,} labels.",
        examples=[["Laysan albatross", {"name": "crane", "sense": "the bird"}]],
    )


_ADAPTER = TypeAdapter(VocabularyIn)


def parse_json(body: bytes) -> tuple[str, str, list[NewLabel]]:
    """(name, domain, labels) of a JSON body. Raises ProblemError with pointers."""
    try:
        vocabulary = _ADAPTER.validate_json(body)
    except ValidationError as error:
        if error.errors(include_input=False, include_url=False)[0]["type"] == "json_invalid":
            raise ProblemError(400, "malformed_json", error.errors(include_url=False)[0]["msg"]) from None
        raise validation_problem(error, from_json(body)) from None
    labels = [
        NewLabel(label) if isinstance(label, str) else NewLabel(label["name"], label.get("sense"))
        for label in vocabulary.labels
    ]
    return vocabulary.name, vocabulary.domain, labels


def parse_csv(body: bytes) -> list[NewLabel]:
    """Labels of a CSV file whose header is `name` or `name,sense`. Raises ProblemError that names the line."""
    rows = _csv_rows(_text(body))
    line, header = next(rows, (1, []))
    columns = [column.strip().lower() for column in header]
    if columns not in (["name"], ["name", "sense"]):
        raise _at_line("csv_header", line, f"the header must be name or name,sense, not {','.join(header)[:100]!r}")
    lines: list[int] = []
    labels: list[NewLabel] = []
    for line, row in rows:
        if len(row) != len(columns):
            raise _at_line(
                "csv_malformed", line, f"has {len(row)} fields, but the header has {len(columns)}", len(labels)
            )
        labels.append(NewLabel(row[0], row[1] if len(row) > 1 else None))
        lines.append(line)
    _validate(labels, lines)
    return labels


def parse_plain_text(body: bytes) -> list[NewLabel]:
    """Labels of plain text, one per line. Raises ProblemError that names the line."""
    lines = numbered_lines(_text(body))
    labels = [NewLabel(name) for _, name in lines]
    _validate(labels, [number for number, _ in lines])
    return labels


def _validate(labels: Sequence[NewLabel], lines: Sequence[int]) -> None:
    """`validate_labels`, with line numbers in the errors. `lines` has the line number of each label."""
    # The store validates the labels again, but it does not know the lines of the file.
    try:
        validate_labels(labels)
    except InvalidRequest as error:
        invalid_fields = [
            InvalidField(field.pointer, _detail_with_line(field, lines)) for field in error.invalid_fields
        ]
        raise InvalidRequest(error.code, invalid_fields[0].detail, invalid_fields) from None


def _detail_with_line(field: InvalidField, lines: Sequence[int]) -> str:
    steps = field.pointer.split("/")  # "", "labels", index, ...
    return f"line {lines[int(steps[2])]}: {field.detail}" if len(steps) > 2 else field.detail


def _csv_rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """(number of the first line, fields) of each record. Empty lines at the end are ignored."""
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
    return unprocessable(code, f"line {line}: {detail}", "/labels" if position is None else f"/labels/{position}")
