"""Read posted label lists: the API's JSON schema, or a label file in any form of `limbeck.shared.label_files`."""

from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import PurePath
from typing import Annotated, Any, NotRequired

from pydantic import Field, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

from api.http.problems import (
    MAX_ERRORS,
    ProblemError,
    invalid_parameter,
    problem_of_errors,
    unprocessable,
    validation_problem,
)
from api.http.schemas import ONE_FAULT, Domain, Name, RequestModel
from limbeck.shared.label_files import LabelFault, LabelFileError, read_label_file
from limbeck.shared.label_files.cleanup import spellings_warning
from limbeck.shared.text import counted
from store.errors import InvalidField
from store.vocabularies import MAX_LABELS, NewLabel

MEDIA_TYPES = {
    "application/json": ".json",
    "application/x-ndjson": ".jsonl",
    "application/ndjson": ".jsonl",
    "application/jsonl": ".jsonl",
    "application/yaml": ".yaml",
    "application/x-yaml": ".yaml",
    "text/yaml": ".yaml",
    "text/csv": ".csv",
    "text/tab-separated-values": ".tsv",
    "text/plain": "",
    "application/octet-stream": "",
}
"""Media types of label files, and the suffix that each stands for; the content decides."""
MULTIPART = "multipart/form-data"


@with_config({"extra": "forbid"})
class LabelIn(TypedDict):
    """A label; `sense` distinguishes labels of the same name, `ids` are its identifiers and aliases in images."""

    name: str
    sense: NotRequired[str | None]
    ids: NotRequired[dict[str, str | list[str]] | None]


class VocabularyIn(RequestModel):
    """A label list. A label is a name, or an object with a name and a sense."""

    name: Name
    domain: Annotated[Domain, Field(description="Category of the labels, such as `birds`; part of the prompts.")] = ""
    labels: Annotated[list[str | LabelIn], ONE_FAULT] = Field(
        max_length=MAX_LABELS,
        description=f"1 to {MAX_LABELS:,} labels.",
        examples=[["Laysan albatross", {"name": "crane", "sense": "the bird"}]],
    )


class FileParameters(RequestModel):
    """The query parameters of an uploaded label file."""

    name: Name
    domain: Domain = ""


_ADAPTER = TypeAdapter(VocabularyIn)
_LABEL: TypeAdapter[str | LabelIn] = TypeAdapter(str | LabelIn)


@dataclass(frozen=True)
class LabelReport:
    """Name and domain of the labels of a body, and how it was read; `read_as` is None for the API's own schema."""

    name: str
    domain: str
    read_as: str | None = None
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()


PostedLabels = tuple[LabelReport, list[NewLabel]]


def parse_posted(body: bytes, content_type: str, name: str | None, domain: str | None, dry_run: bool) -> PostedLabels:
    """The labels of a body: JSON in the API's schema, or a label file. Raises ProblemError."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "application/json":
        try:
            return _posted_schema(_ADAPTER.validate_json(body))
        except ValidationError as error:
            if name is None and not dry_run:
                raise _schema_problem(error, body) from None
    parameters = _validate_parameters("preview" if dry_run and name is None else name, domain)
    return _parse_file(body, media_type, content_type, parameters)


def _posted_schema(vocabulary: VocabularyIn) -> PostedLabels:
    labels = new_labels(vocabulary)
    warning = spellings_warning((label.name, label.sense) for label in labels)
    return LabelReport(vocabulary.name, vocabulary.domain, warnings=[warning] if warning else []), labels


def new_labels(vocabulary: VocabularyIn) -> list[NewLabel]:
    """The labels of a body in the API's schema."""
    return [
        NewLabel(label) if isinstance(label, str) else NewLabel(label["name"], label.get("sense"), label.get("ids"))
        for label in vocabulary.labels
    ]


def _schema_problem(error: ValidationError, body: bytes) -> ProblemError:
    """The errors of a body that is not in the API's schema, with several of its invalid labels."""
    first = error.errors(include_input=False, include_url=False)[0]
    if first["type"] == "json_invalid":
        return ProblemError(400, "malformed_json", first["msg"])
    document = from_json(body)
    problem = validation_problem(error, document)
    if first["loc"][:1] == ("labels",) and len(first["loc"]) > 1:
        problem = _label_faults(document["labels"][: MAX_LABELS + 1]) or problem
    return problem


def _label_faults(labels: Sequence[object]) -> ProblemError | None:
    """The problem of the first invalid labels; None if there is none."""
    errors: list[Any] = []
    for position, label in enumerate(labels):
        try:
            _LABEL.validate_python(label)
        except ValidationError as error:
            found = error.errors(include_url=False, include_context=False)
            errors += [{**item, "loc": ("labels", position, *item["loc"])} for item in found]
        if len(errors) >= MAX_ERRORS:
            break
    return problem_of_errors(errors, {"labels": labels}) if errors else None


def _validate_parameters(name: str | None, domain: str | None) -> FileParameters:
    try:
        return FileParameters.model_validate({"name": name or "", "domain": domain or ""})
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        detail = str(first["msg"]).removeprefix("Value error, ")
        raise invalid_parameter(str(first["loc"][0]), detail) from None


def _parse_file(body: bytes, media_type: str, content_type: str, parameters: FileParameters) -> PostedLabels:
    """The labels of a posted file. Raises ProblemError that lists the invalid labels with their lines."""
    name = f"labels{MEDIA_TYPES.get(media_type, '')}"
    if media_type == MULTIPART:
        body, name = _uploaded_file(body, content_type)
    try:
        file = read_label_file(body, name)
    except LabelFileError as error:
        raise _problem(error) from None
    labels = [NewLabel(label.name, label.sense, label.ids or None) for label in file.labels]
    return LabelReport(parameters.name, parameters.domain, file.read_as, file.notes, file.warnings), labels


def _problem(error: LabelFileError) -> ProblemError:
    if not error.faults:
        code = "vocabulary_empty" if error.is_empty else "label_file_invalid"
        colon = ":" if str(error).startswith(("every ", "the ")) else ""
        return unprocessable(code, f"the label file{colon} {error}", "/labels")
    fields = [InvalidField(_pointer(fault), _detail(fault)) for fault in error.faults]
    code = "label_file_invalid" if error.faults[0].position is None else "label_invalid"
    more = error.num_faults - len(fields)
    summary = f"{fields[0].detail} (and {error.num_faults - 1:,} more)" if error.num_faults > 1 else fields[0].detail
    return ProblemError(422, code, f"{summary}; the first {len(fields)} are listed" if more else summary, fields)


def _pointer(fault: LabelFault) -> str:
    return "/labels" if fault.position is None else f"/labels/{fault.position}/{fault.field}"


def _detail(fault: LabelFault) -> str:
    return f"line {fault.line}: {fault.detail}" if fault.line else fault.detail


def _uploaded_file(body: bytes, content_type: str) -> tuple[bytes, str]:
    """(content, name) of the only file of a multipart form."""
    message = BytesParser().parsebytes(b"Content-Type: " + content_type.encode("latin-1") + b"\r\n\r\n" + body)
    files = [part for part in message.walk() if part.get_filename() is not None]
    if len(files) != 1:
        raise ProblemError(
            400, "malformed_form", f"the form has {counted(len(files), 'file')}; send one file with the labels"
        )
    return _content(files[0]), PurePath(files[0].get_filename() or "").name


def _content(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""
