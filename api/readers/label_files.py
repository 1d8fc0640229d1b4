"""Read posted label lists: the API's JSON schema, or a label file in any form of `limbeck.shared.label_files`."""

from collections.abc import Sequence
from dataclasses import dataclass
from email.message import Message
from email.parser import BytesParser
from pathlib import PurePath
from typing import Annotated, NotRequired

from pydantic import Field, TypeAdapter, ValidationError, with_config
from pydantic_core import from_json
from typing_extensions import TypedDict

from api.http.problems import ProblemError, unprocessable, validation_problem
from api.http.schemas import Domain, Name, RequestModel
from limbeck.shared.label_files import LabelFault, LabelFile, LabelFileError, read_label_file
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
    labels: list[str | LabelIn] = Field(
        description=f"1 to {MAX_LABELS:,} labels.",
        examples=[["Laysan albatross", {"name": "crane", "sense": "the bird"}]],
    )


_ADAPTER = TypeAdapter(VocabularyIn)


@dataclass(frozen=True)
class PostedLabels:
    """The labels of a body and the report of how it was read; `read_as` is None for the API's own schema."""

    labels: Sequence[NewLabel]
    read_as: str | None = None
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()


def parse_json(body: bytes) -> tuple[str, str, PostedLabels]:
    """(name, domain, labels) of a body in the API's schema. Raises ProblemError with pointers."""
    try:
        vocabulary = _ADAPTER.validate_json(body)
    except ValidationError as error:
        if error.errors(include_input=False, include_url=False)[0]["type"] == "json_invalid":
            raise ProblemError(400, "malformed_json", error.errors(include_url=False)[0]["msg"]) from None
        raise validation_problem(error, from_json(body)) from None
    return vocabulary.name, vocabulary.domain, PostedLabels(new_labels(vocabulary))


def new_labels(vocabulary: VocabularyIn) -> list[NewLabel]:
    """The labels of a body in the API's schema."""
    return [
        NewLabel(label) if isinstance(label, str) else NewLabel(label["name"], label.get("sense"), label.get("ids"))
        for label in vocabulary.labels
    ]


def is_schema(body: bytes) -> bool:
    """Whether a JSON body is valid in the API's schema."""
    try:
        _ADAPTER.validate_json(body)
    except ValidationError:
        return False
    return True


def parse_file(body: bytes, media_type: str, content_type: str) -> PostedLabels:
    """The labels of a posted file. Raises ProblemError that lists the invalid labels with their lines."""
    name = f"labels{MEDIA_TYPES.get(media_type, '')}"
    if media_type == MULTIPART:
        body, name = _uploaded_file(body, content_type)
    try:
        file = read_label_file(body, name)
    except LabelFileError as error:
        raise _problem(error) from None
    return _posted(file)


def _posted(file: LabelFile) -> PostedLabels:
    labels = [NewLabel(label.name, label.sense, label.ids or None) for label in file.labels]
    return PostedLabels(labels, file.read_as, file.notes, file.warnings)


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
        raise ProblemError(400, "malformed_form", f"the form has {len(files)} files; send one file with the labels")
    return _content(files[0]), PurePath(files[0].get_filename() or "").name


def _content(part: Message) -> bytes:
    content = part.get_payload(decode=True)
    return content if isinstance(content, bytes) else b""
