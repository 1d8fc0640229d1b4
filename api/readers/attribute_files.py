"""Attribute files that are posted: our own JSON, CSV, DCLIP's or CuPL's JSON, or label2text with a file of sentences.

A body is JSON (`format` and the content as fields) or a form (the same fields, each a text or a file). What is read
becomes labels for a new vocabulary, or is matched to the labels of one that is there.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from api.http.problems import MAX_ERRORS, ProblemError, invalid, json_pointer, refused
from api.http.schemas import Input, Name, PlainText, unstorable
from attributes.formats import csv, formats
from attributes.formats.formats import AttributeFile, FormatError
from attributes.types import Entry
from attributes.types import Label as NamedLabel
from store.errors import Culprit
from store.models import Label
from store.sets.attribute_sets import EntryContent


class _Import(Input):
    vocabulary_id: str | None = Field(None, description="Match to this vocabulary; a new one is made where absent.")
    name: Name = Field("imported", description="Name of the new vocabulary.")
    domain: PlainText = Field("", description="Domain of the new vocabulary; else what the file says.")


class ImportJson(_Import):
    """Our own JSON, as `export?format=json` gives it."""

    format: Literal["json"]
    document: dict[str, Any] | str


class ImportDclip(_Import):
    """DCLIP's JSON: label → list of phrases."""

    format: Literal["dclip"]
    document: dict[str, Any] | str = Field(examples=[{"Laysan albatross": ["a white head", "dark wings"]}])


class ImportCupl(_Import):
    """CuPL's JSON: label → list of sentences, kept as answers."""

    format: Literal["cupl"]
    document: dict[str, Any] | str = Field(examples=[{"Laysan albatross": ["A Laysan albatross has a white head."]}])


class ImportCsv(_Import):
    """CSV, as `export?format=csv` gives it: a row for each line of a label."""

    format: Literal["csv"]
    document: str = Field(examples=["label,kind,text\nLaysan albatross,phrase,a white head\n"])


class ImportLabel2Text(_Import):
    """`folder number label` lines, and as many lines with a sentence each."""

    format: Literal["label2text"]
    label2text: str = Field(examples=["002.Laysan_Albatross 2 Laysan_Albatross\n"])
    sentences: str = Field(examples=["The Laysan Albatross has a large, white body with black wings.\n"])


AnyImport = ImportJson | ImportCsv | ImportDclip | ImportCupl | ImportLabel2Text
ADAPTER: TypeAdapter[AnyImport] = TypeAdapter(Annotated[AnyImport, Field(discriminator="format")])
BODY = {
    "requestBody": {
        "required": True,
        "content": {
            media_type: {"schema": ADAPTER.json_schema(ref_template="#/components/schemas/{model}")}
            for media_type in ("application/json", "multipart/form-data")
        },
    }
}


def from_body(body: bytes) -> AnyImport:
    """The import that a JSON body asks for. Raises ProblemError."""
    try:
        return ADAPTER.validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        if first["type"] == "json_invalid":
            raise ProblemError(400, "malformed_json", first["msg"]) from None
        raise invalid(error, from_json(body)) from None


def from_form(fields: Mapping[str, str]) -> AnyImport:
    """The import that a form's fields ask for. Raises ProblemError."""
    try:
        return ADAPTER.validate_python(dict(fields))
    except ValidationError as error:
        raise invalid(error, dict(fields)) from None


def read(given: AnyImport) -> AttributeFile:
    """What the file says. Raises ProblemError that names the line, or the place in the document."""
    pointer = "/document"
    try:
        match given:
            case ImportJson():
                file = formats.read_json(_text(given.document))
            case ImportCsv():
                file = AttributeFile(entries=csv.read_csv(given.document))
            case ImportDclip():
                file = AttributeFile(entries=formats.read_dclip(_text(given.document)))
            case ImportCupl():
                file = AttributeFile(entries=formats.read_cupl(_text(given.document)))
            case ImportLabel2Text():
                pointer = "/label2text"
                rows = formats.read_label2text(given.label2text)
                pointer = "/sentences"
                file = AttributeFile(entries=formats.join_sentences(rows, given.sentences))
    except FormatError as error:
        # Lines are those of a text that the client sent; an object has none that it would know.
        is_text = isinstance(given, ImportLabel2Text) or isinstance(given.document, str)
        raise refused("import_malformed", str(error) if is_text else error.detail, pointer) from None
    _refuse_unstorable(file, pointer)
    if not file.entries:
        raise refused("import_empty", "the file holds no label", pointer)
    return file


def pointer_of(given: AnyImport) -> str:
    """Where in the body the labels' attributes stand."""
    return "/sentences" if isinstance(given, ImportLabel2Text) else "/document"


def _text(document: dict[str, Any] | str) -> str:
    return document if isinstance(document, str) else json.dumps(document)


def _refuse_unstorable(file: AttributeFile, pointer: str) -> None:
    for index, entry in enumerate(file.entries):
        if fault := next((fault for text in _strings(entry.as_json()) if (fault := unstorable(text))), None):
            raise refused("import_malformed", f'label {index} "{entry.label[:80]}": {fault}', pointer)
    for text in (file.domain, file.strategy, file.model):
        if text and (fault := unstorable(text)):
            raise refused("import_malformed", fault, pointer)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for below in value.values() if isinstance(value, dict) else value:
            yield from _strings(below)


@dataclass(frozen=True)
class Placed:
    """A file's entries in the order of a vocabulary, None for a label of which nothing is said."""

    entries: list[Entry | None]


def place(entries: Sequence[Entry], labels: Sequence[Label], pointer: str) -> Placed:
    """Match entries to labels by name and sense, without case. Raises ProblemError that names those without a label."""
    position: dict[str, int] = {}
    for label in labels:
        position[_key(label.name, label.sense)] = label.position
        # DCLIP's JSON has one key per label, in which the sense stands in brackets.
        position.setdefault(_key(str(NamedLabel(label.name, label.sense)), None), label.position)
    placed: list[Entry | None] = [None] * len(labels)
    culprits: list[Culprit] = []
    for index, entry in enumerate(entries):
        at = position.get(_key(entry.label, entry.sense))
        if at is None:
            culprits.append(Culprit(pointer, f'label {index} "{entry.label}" is none of the vocabulary'))
            if len(culprits) == MAX_ERRORS:
                break
            continue
        placed[at] = dataclasses.replace(entry, label=labels[at].name, sense=labels[at].sense)
    if culprits:
        raise ProblemError(422, "label_unknown", culprits[0].detail, culprits)
    return Placed(placed)


def _key(name: str, sense: str | None) -> str:
    return json_pointer(name.strip().casefold(), (sense or "").strip().casefold())


def content(entry: Entry) -> EntryContent | None:
    """The entry as it is kept; None where the file only listed the label, and said nothing of it."""
    if not entry.lines:
        return None
    said = entry.as_json()
    return EntryContent(label=said["label"], sense=said["sense"], lines=said["lines"], flags=said["flags"])
