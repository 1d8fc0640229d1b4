"""Parse uploaded attribute files: a document in a registered format, or label2text with sentences.

The body is JSON (`format` and the content as fields) or a form (the same fields, each a text or a file). The entries
are matched to the labels of an existing vocabulary, or become the labels of a new one.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError, ValidationInfo, field_validator
from pydantic_core import from_json

from api.http.problems import MAX_ERRORS, ProblemError, unprocessable, validation_problem
from api.http.schemas import Domain, Name, RequestModel, unstorable_reason
from attributes.formats import label2text
from attributes.formats.common import FormatError
from attributes.formats.limbeck_json import AttributeFile
from attributes.formats.registry import FORMATS
from attributes.types import Entry
from attributes.types import Label as NamedLabel
from limbeck.shared.format_names import DocumentFormat
from limbeck.shared.labels import LabelKey, label_key
from store.errors import InvalidField
from store.models import Label
from store.sets.attribute_sets import EntryContent


class _ImportIn(RequestModel):
    vocabulary_id: str | None = Field(
        None, description="Match the entries to the labels of this vocabulary. If absent, a new vocabulary is created."
    )
    name: Name = Field("imported", description="Name of the new vocabulary.")
    domain: Domain = Field("", description="Domain of the new vocabulary. If absent, the file's domain.")


class DocumentImportIn(_ImportIn):
    """One file. `json` and `csv`: as exported. `dclip`: label → list of phrases. `cupl`: label → list of sentences."""

    format: DocumentFormat
    document: dict[str, Any] | str = Field(
        description="The file's content as text; a JSON format also as a value.",
        examples=[
            {"Laysan albatross": ["a white head", "dark wings"]},
            "label,kind,text\nLaysan albatross,phrase,a white head\n",
        ],
    )

    @field_validator("document")
    @classmethod
    def _is_text(cls, document: dict[str, Any] | str, info: ValidationInfo) -> dict[str, Any] | str:
        format: DocumentFormat | None = info.data.get("format")
        if format is not None and not FORMATS[format].is_json and not isinstance(document, str):
            raise ValueError(f"must be a string for format {format}")
        return document


class Label2TextImportIn(_ImportIn):
    """Two text files: `label2text` with rows `folder number label`, and `sentences` with one sentence per row."""

    format: Literal["label2text"]
    label2text: str = Field(examples=["002.Laysan_Albatross 2 Laysan_Albatross\n"])
    sentences: str = Field(examples=["The Laysan Albatross has a large, white body with black wings.\n"])


ImportIn = DocumentImportIn | Label2TextImportIn
IMPORT_ADAPTER: TypeAdapter[ImportIn] = TypeAdapter(Annotated[ImportIn, Field(discriminator="format")])
IMPORT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            media_type: {"schema": IMPORT_ADAPTER.json_schema(ref_template="#/components/schemas/{model}")}
            for media_type in ("application/json", "multipart/form-data")
        },
    }
}


def parse_json_import(body: bytes) -> ImportIn:
    """Validate a JSON body. Raises ProblemError."""
    try:
        return IMPORT_ADAPTER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if first["type"] == "json_invalid":
            raise ProblemError(400, "malformed_json", first["msg"]) from None
        raise validation_problem(error, from_json(body)) from None


def parse_form_import(fields: Mapping[str, str]) -> ImportIn:
    """Validate the fields of a form. Raises ProblemError."""
    try:
        return IMPORT_ADAPTER.validate_python(dict(fields))
    except ValidationError as error:
        raise validation_problem(error, dict(fields)) from None


def parse_import(body: ImportIn) -> AttributeFile:
    """The content of the uploaded file. Raises ProblemError that names the line, or the location in the document."""
    pointer = "/document"
    try:
        match body:
            case DocumentImportIn():
                file = FORMATS[body.format].read(_text(body.document))
            case Label2TextImportIn():
                pointer = "/label2text"
                rows = label2text.read_label2text(body.label2text)
                pointer = "/sentences"
                file = AttributeFile(entries=label2text.join_sentences(rows, body.sentences))
    except FormatError as error:
        # Line numbers help only if the client sent a text. A JSON object is serialised here, with other lines.
        is_text = isinstance(body, Label2TextImportIn) or isinstance(body.document, str)
        raise unprocessable("import_malformed", str(error) if is_text else error.detail, pointer) from None
    _reject_unstorable(file, pointer)
    if not file.entries:
        raise unprocessable("import_empty", "the file contains no labels", pointer)
    return file


def attributes_pointer(body: ImportIn) -> str:
    """The JSON pointer of the body's field that contains the attributes."""
    return "/sentences" if isinstance(body, Label2TextImportIn) else "/document"


def _text(document: dict[str, Any] | str) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def _reject_unstorable(file: AttributeFile, pointer: str) -> None:
    for index, entry in enumerate(file.entries):
        if reason := next((reason for text in _strings(entry.as_json()) if (reason := unstorable_reason(text))), None):
            raise unprocessable("import_malformed", f'label {index} "{entry.label[:80]}": {reason}', pointer)
    for text in (file.domain, file.strategy, file.model):
        if text and (reason := unstorable_reason(text)):
            raise unprocessable("import_malformed", reason, pointer)


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for child in value.values() if isinstance(value, dict) else value:
            yield from _strings(child)


def match_to_labels(entries: Sequence[Entry], labels: Sequence[Label], pointer: str) -> list[Entry | None]:
    """One item per label of the vocabulary, in its order: the label's entry, or None.

    Matches by name and sense, ignoring case. Raises ProblemError that lists the entries without a label.
    """
    positions: dict[LabelKey, int] = {}
    for label in labels:
        positions[label_key(label.name, label.sense)] = label.position
        # DCLIP's JSON has one key per label, with the sense in brackets.
        positions.setdefault(label_key(str(NamedLabel(label.name, label.sense)), None), label.position)
    matched: list[Entry | None] = [None] * len(labels)
    invalid_fields: list[InvalidField] = []
    for index, entry in enumerate(entries):
        position = positions.get(label_key(entry.label, entry.sense))
        if position is None:
            detail = f'label {index} "{entry.label}" is not in the vocabulary; remove it, or correct its name or sense'
            invalid_fields.append(InvalidField(pointer, detail))
            if len(invalid_fields) == MAX_ERRORS:
                break
            continue
        matched[position] = dataclasses.replace(entry, label=labels[position].name, sense=labels[position].sense)
    if invalid_fields:
        raise ProblemError(422, "label_unknown", invalid_fields[0].detail, invalid_fields)
    return matched


def entry_content(entry: Entry) -> EntryContent | None:
    """The entry in the form that the store keeps; None if it has no lines."""
    if not entry.lines:
        return None
    fields = entry.as_json()
    return EntryContent(label=fields["label"], sense=fields["sense"], lines=fields["lines"], flags=fields["flags"])
