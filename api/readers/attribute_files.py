"""Parse uploaded attribute files: a document in a registered format, or label2text with sentences.

The body is JSON (`format` and the content as fields) or a form (the same fields, each a text or a file). The entries
are matched to the labels of an existing vocabulary, or become the labels of a new one.
"""

import base64
import dataclasses
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)
from pydantic_core import from_json

from api.http import limited_process
from api.http.problems import MAX_ERRORS, ProblemError, unprocessable, validation_problem
from api.http.schemas import Domain, Name, RequestModel, unstorable_reason
from api.readers.import_report import fault_fields
from attributes.formats import label2text
from attributes.formats.common import FormatError, Reading
from attributes.formats.limbeck_json import AttributeFile
from attributes.formats.registry import FORMATS, detect_format
from attributes.types import Entry
from limbeck.shared.attribute_files.decoding import decode
from limbeck.shared.attribute_files.matching import Assignment, MatchedEntry, Rule, assign, rename
from limbeck.shared.attribute_files.reading import ReadReport
from limbeck.shared.format_names import BINARY_FORMATS, ImportFormat
from limbeck.shared.label_matching import is_identifier, without_number
from limbeck.shared.labels import LabelPair
from limbeck.shared.text import counted
from store.errors import InvalidField
from store.sets.attribute_sets import EntryContent

_BINARY_SCHEMA = {"type": "string", "format": "binary"}


class _ImportIn(RequestModel):
    vocabulary_id: str | None = Field(
        None, description="Match the entries to the labels of this vocabulary. If absent, a new vocabulary is created."
    )
    name: Name = Field("imported", description="Name of the new vocabulary.")
    domain: Domain = Field("", description="Domain of the new vocabulary. If absent, the file's domain.")
    partial: bool = Field(False, description="Import what is valid and matched, and report what was left out.")
    map: dict[str, str | list[str] | None] = Field(
        {},
        description="Label of the file → label of the vocabulary, a list of labels, or null to leave it out.",
        examples=[{"hammerhead shark": "hammerhead", "n02012849": "crane (bird)"}],
    )

    @field_validator("map", mode="before")
    @classmethod
    def _parse_map(cls, value: object) -> object:
        return from_json(value) if isinstance(value, str) else value  # a field of a form is text


class DocumentImportIn(_ImportIn):
    """One file. `auto` recognises the format, and the shapes of label → texts that are published with papers."""

    format: ImportFormat
    document: dict[str, Any] | list[Any] | str | Annotated[bytes, WithJsonSchema(_BINARY_SCHEMA)] = Field(
        description="The file's content as text; JSON also as a value; Parquet and zip as a file, or in base64.",
        examples=[
            {"Laysan albatross": ["a white head", "dark wings"]},
            "label,kind,text\nLaysan albatross,phrase,a white head\n",
        ],
    )

    @field_validator("document")
    @classmethod
    def _content(cls, document: object, info: ValidationInfo) -> object:
        format: ImportFormat | None = info.data.get("format")
        if format in BINARY_FORMATS and isinstance(document, str):
            try:
                return base64.b64decode(document, validate=True)
            except ValueError:
                raise ValueError(f"is neither a file nor base64, which format {format} needs") from None
        is_json = format is None or format == "auto" or FORMATS[format].is_json
        if not is_json and isinstance(document, dict | list):
            raise ValueError(f"must be a string for format {format}")
        return document


def _decoded(value: object) -> object:
    if not isinstance(value, bytes):
        return value
    try:
        return decode(value)[0]
    except FormatError as error:
        raise ValueError(error.detail) from None


_Text = Annotated[str, BeforeValidator(_decoded)]


class Label2TextImportIn(_ImportIn):
    """Two text files: `label2text` with rows `folder number label`, and `sentences` with one sentence per row."""

    format: Literal["label2text"]
    label2text: _Text = Field(examples=["002.Laysan_Albatross 2 Laysan_Albatross\n"])
    sentences: _Text = Field(examples=["The Laysan Albatross has a large, white body with black wings.\n"])


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


def parse_json_upload(body: bytes) -> "ParsedImport":
    """Parse a JSON body and its file. Raises ProblemError."""
    try:
        request = IMPORT_ADAPTER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if first["type"] == "json_invalid":
            raise ProblemError(400, "malformed_json", first["msg"]) from None
        raise validation_problem(error, from_json(body)) from None
    return _parsed(request)


def parse_form_upload(fields: dict[str, str | bytes]) -> "ParsedImport":
    """Parse the fields of a form and its file; files are bytes. Raises ProblemError."""
    try:
        request = IMPORT_ADAPTER.validate_python(fields)
    except ValidationError as error:
        raise validation_problem(error, fields) from None
    return _parsed(request)


def _parsed(request: ImportIn) -> "ParsedImport":
    imported = _parse_import(request)
    if isinstance(request, DocumentImportIn):
        request = request.model_copy(update={"document": ""})  # it has been read, and is large
    entries = imported.file.entries
    return (request, replace(imported, file=replace(imported.file, entries=[]))), entries


@dataclass(frozen=True)
class ImportedFile:
    """The content of an uploaded file, the report of its reading, and its format.

    `pointer` is the JSON pointer of the field that holds the attributes; `is_text`: its faults have lines.
    """

    file: AttributeFile
    report: ReadReport
    format: str
    pointer: str
    is_text: bool

    @property
    def labels(self) -> list[LabelPair]:
        """The labels of the file."""
        return [(entry.label, entry.sense) for entry in self.file.entries]


ParsedImport = tuple[tuple[ImportIn, ImportedFile], list[Entry]]
"""The request without its document, the file without its entries, and the entries."""


def read_upload(content: bytes | dict[str, str | bytes]) -> tuple[ImportIn, ImportedFile]:
    """The request and its file, from a JSON body or the fields of a form; read in a process if it is large."""
    if isinstance(content, bytes):
        (request, imported), entries = limited_process.run(parse_json_upload, content, num_bytes=len(content))
    else:
        num_bytes = sum(map(len, content.values()))
        (request, imported), entries = limited_process.run(parse_form_upload, content, num_bytes=num_bytes)
    return request, replace(imported, file=replace(imported.file, entries=entries))


def _parse_import(body: ImportIn) -> ImportedFile:
    """The content of the uploaded file. Raises ProblemError with all faults: their lines, or locations in the JSON."""
    reading = Reading(partial=body.partial)
    pointer, is_text, format = "/document", True, body.format
    try:
        match body:
            case DocumentImportIn():
                is_text = isinstance(body.document, str | bytes)
                content = body.document if isinstance(body.document, str | bytes) else json.dumps(body.document)
                known = detect_format(content) if body.format == "auto" else body.format
                format, file = known, FORMATS[known].read(content, reading)
            case Label2TextImportIn():
                pointer = "/label2text"
                rows = label2text.read_label2text(body.label2text, reading)
                pointer, reading.report.read_as = "/sentences", "label2text with sentences"
                file = AttributeFile(entries=label2text.join_sentences(rows, body.sentences, reading))
    except FormatError as error:
        raise _malformed(error, pointer, is_text=is_text) from None
    _reject_unstorable(file, pointer)
    if not file.entries:
        if reading.report.faults:
            all_faults = FormatError(reading.report.faults, num_faults=reading.report.left_out)
            raise _malformed(all_faults, pointer, is_text=is_text)
        raise unprocessable("import_empty", "the file contains no labels", pointer)
    return ImportedFile(file, reading.report, format, pointer, is_text)


def _malformed(error: FormatError, pointer: str, *, is_text: bool) -> ProblemError:
    fields = fault_fields(error.faults, pointer, is_text=is_text)
    detail = fields[0].detail
    if error.num_faults > 1:
        detail = (
            f"the file has {counted(error.num_faults, 'fault')}; the first: {detail}; post "
            "partial: true to leave them out"
        )
    return ProblemError(422, "import_malformed", detail, fields)


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


def new_labels(imported: ImportedFile, body: ImportIn) -> tuple[list[LabelPair], Assignment]:
    """The labels of a new vocabulary for the file, renamed by the map, and which entry each one has.

    Raises ProblemError for a wrong map, and for labels that are identifiers: an LLM must not take them for names.
    """
    names, faults = rename(imported.labels, body.map)
    if faults:
        raise _wrong_map(faults)
    labels = [label for label in names if label is not None]
    if labels and all(is_identifier(name) for name, _ in labels):
        detail = f'the labels are identifiers such as "{labels[0][0]}", which say nothing to an LLM; name them in map'
        raise unprocessable("label_is_identifier", detail, imported.pointer)
    if all(without_number(name) not in ("", name) for name, _ in labels) and len(labels) > 1:
        labels = [(without_number(name), sense) for name, sense in labels]
        imported.report.warnings.append("the number before each label, such as 001., was removed")
    if imported.format in ("dclip", "cupl") and not any(" " in name for name, _ in labels):
        labels = _with_spaces(labels, imported.report)
    kept = [at for at, label in enumerate(names) if label is not None]
    matched = [
        MatchedEntry(at, (position,), Rule.EXACT if names[at] == imported.labels[at] else Rule.MAP)
        for position, at in enumerate(kept)
    ]
    left_out = [at for at, label in enumerate(names) if label is None]
    return labels, Assignment(entry_of=list(kept), matched=matched, left_out=left_out)


def _wrong_map(faults: Sequence[str]) -> ProblemError:
    fields = [InvalidField("/map", detail) for detail in faults[:MAX_ERRORS]]
    return ProblemError(422, "map_invalid", faults[0], fields)


def _with_spaces(labels: list[LabelPair], report: ReadReport) -> list[LabelPair]:
    """The labels with spaces for underscores, if the file has no spaces in its labels, and a warning."""
    spaced = [(" ".join(name.replace("_", " ").split()) or name, sense) for name, sense in labels]
    if num_changed := sum(one != other for one, other in zip(labels, spaced, strict=True)):
        report.warnings.append(f"the underscores of {counted(num_changed, 'label')} became spaces")
    return spaced


def match_to_labels(imported: ImportedFile, labels: Sequence[LabelPair], body: ImportIn) -> Assignment:
    """Assign the entries to the labels of a vocabulary.

    Raises ProblemError that lists the entries without a label, and their nearest labels, unless the import is partial.
    A wrong map is always an error.
    """
    assignment = assign(imported.labels, labels, body.map)
    of_map = [detail for entry, detail in assignment.faults if entry is None or "the map gives" in detail]
    if of_map:
        raise _wrong_map(of_map)
    if assignment.num_faults and not (body.partial and assignment.matched):
        fields = [InvalidField(imported.pointer, detail) for _, detail in assignment.faults]
        detail = fields[0].detail
        if assignment.num_faults > 1:
            detail = f"{assignment.num_faults} of {len(imported.labels)} labels have no place; the first: {detail}"
        remedy = "name their labels in map, or post partial: true to leave them out"
        raise ProblemError(422, "label_unknown", f"{detail}; {remedy}", fields)
    return assignment


def assigned_entries(imported: ImportedFile, labels: Sequence[LabelPair], assignment: Assignment) -> list[Entry | None]:
    """One item per label of the vocabulary, in its order: the label's entry under its name, or None."""
    entries = imported.file.entries
    return [
        None if at is None else dataclasses.replace(entries[at], label=name, sense=sense)
        for (name, sense), at in zip(labels, assignment.entry_of, strict=True)
    ]


def entry_content(entry: Entry) -> EntryContent | None:
    """The entry in the form that the store keeps; None if it has no lines."""
    if not entry.lines:
        return None
    fields = entry.as_json()
    return EntryContent(label=fields["label"], sense=fields["sense"], lines=fields["lines"], flags=fields["flags"])
