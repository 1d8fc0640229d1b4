"""Attribute sets: read page by page, exported and imported."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Request
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from api import attribute_files
from api.attribute_files import ImportDclip, ImportJson, ImportLabel2Text
from api.models import After, AfterPosition, Limit, LongLimit, Output, Page, Time, page
from api.problems import ProblemError, at
from api.services import Made, OnlyOnce, Use
from attributes import formats
from attributes.types import Entry, LineKind, Origin, entry_from_json, line_from_json
from store import attribute_sets, resources, vocabularies
from store.attribute_sets import PAGE_SIZE
from store.db import Database
from store.models import AttributeEntry, AttributeSet, Label
from store.vocabularies import NewLabel

router = APIRouter(prefix="/v1/attribute-sets", tags=["attribute sets"])
_CHUNK_CHARS = 2**18


class AttributeSetOut(Output):
    """An immutable set: for each label of a vocabulary an entry, or none."""

    object: Literal["attribute_set"] = "attribute_set"
    id: str
    vocabulary_id: str
    parent_id: str | None
    digest: str
    num_labels: int
    num_described: int
    num_flagged: int
    source: dict[str, Any]
    created_at: Time


class LineOut(Output):
    """One thing said of a label; `id` names it within the label's lines, and changes with what it says."""

    id: str
    kind: LineKind
    text: str
    part: str
    value: str
    about: str
    other_value: str
    origin: Origin
    locked: bool
    strategy: str
    call: str


class Attributes(Output):
    """What is said of one label, line by line. Where nothing is, `described` is false."""

    object: Literal["attributes"] = "attributes"
    position: int
    label: str
    sense: str | None
    described: bool
    lines: list[LineOut]
    flags: list[str]


def attributes_of(label: Label, lines: Sequence[Mapping[str, Any]], flags: Sequence[str]) -> dict[str, Any]:
    """The fields of `Attributes` for a label and what is said of it."""
    return {
        "position": label.position,
        "label": label.name,
        "sense": label.sense,
        "described": bool(lines),
        "lines": [LineOut.model_validate(line_from_json(line)) for line in lines],
        "flags": list(flags),
    }


def _of_pair(label: Label, entry: AttributeEntry | None) -> dict[str, Any]:
    return attributes_of(label, entry.lines if entry else (), entry.flags if entry else ())


@router.get("", response_model=Page[AttributeSetOut])
def list_all(use: Use, limit: Limit = 20, after: After = None, vocabulary_id: str | None = None) -> object:
    """Attribute sets, newest first."""
    with use.db.read() as tx:
        rows, more = resources.page(tx, AttributeSet, limit=limit, after=after, vocabulary_id=vocabulary_id)
        return page([AttributeSetOut.model_validate(row) for row in rows], more, lambda one: one.id)


@router.get("/{id}", response_model=AttributeSetOut)
def get(use: Use, id: str) -> object:
    """An attribute set without its entries."""
    with use.db.read() as tx:
        return AttributeSetOut.model_validate(attribute_sets.get(tx, id))


@router.get("/{id}/labels", response_model=Page[Attributes])
def labels(use: Use, id: str, limit: LongLimit = 100, after: AfterPosition = None) -> object:
    """The vocabulary's labels in order, each with what the set says of it; any page costs the same."""
    start = 0 if after is None else after + 1
    with use.db.read() as tx:
        found = attribute_sets.get(tx, id)
        data = [Attributes(**_of_pair(*pair)) for pair in _pairs(tx, found, start, start + limit)]
        return page(data, start + limit < found.num_labels, lambda one: one.position)


@router.get("/{id}/export", response_class=Response)
def export(use: Use, id: str, format: Literal["json", "dclip"] = "json") -> Response:
    """The set as a file: our own JSON, which holds everything, or DCLIP's (label → phrases)."""
    with use.db.read() as tx:
        found = attribute_sets.get(tx, id)
        vocabulary = vocabularies.get(tx, found.vocabulary_id)
    entries = _entries(use.db, found)
    headers = {"Content-Disposition": f'attachment; filename="{id}.{format}.json"'}
    if format == "dclip":
        try:
            text = formats.write_dclip(entries)
        except formats.FormatError as error:
            raise ProblemError(409, "not_in_this_format", str(error)) from None
        return Response(text, headers=headers, media_type="application/json")
    known = {key: found.source.get(key) for key in ("strategy", "model")}
    pieces = formats.write_json(entries, domain=vocabulary.domain or None, **known)
    return StreamingResponse(_chunks(pieces), headers=headers, media_type="application/json")


def _pairs(tx: Session, found: AttributeSet, start: int, stop: int) -> list[tuple[Label, AttributeEntry | None]]:
    rows = vocabularies.labels(tx, found.vocabulary_id, start=start, stop=stop)
    entries = attribute_sets.entries(tx, found.id, start=start, stop=stop) if rows else []
    return list(zip(rows, entries, strict=True))


def _entries(db: Database, found: AttributeSet) -> Iterator[Entry]:
    for start in range(0, found.num_labels, PAGE_SIZE):
        with db.read() as tx:
            pairs = _pairs(tx, found, start, start + PAGE_SIZE)
        for label, entry in pairs:
            lines, flags = (entry.lines, entry.flags) if entry else ([], [])
            yield entry_from_json({"label": label.name, "sense": label.sense, "lines": lines, "flags": flags})


def _chunks(pieces: Iterable[str]) -> Iterator[str]:
    # Each piece that leaves a generator costs a change of threads.
    held: list[str] = []
    size = 0
    for piece in pieces:
        held.append(piece)
        size += len(piece)
        if size >= _CHUNK_CHARS:
            yield "".join(held)
            held, size = [], 0
    yield "".join(held)


async def _import(request: Request) -> ImportJson | ImportDclip | ImportLabel2Text:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        return attribute_files.from_body(await request.body())
    if media_type != "multipart/form-data":
        detail = f"post application/json or multipart/form-data, not {media_type or 'an untyped body'}"
        raise ProblemError(415, "unsupported_media_type", detail)
    limit = request.app.state.services.settings.max_body_bytes
    fields: dict[str, str] = {}
    async with request.form(max_files=4, max_fields=8, max_part_size=limit) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                try:
                    fields[name] = (await value.read()).decode("utf-8-sig")
                except UnicodeDecodeError as error:
                    raise ProblemError(422, "not_utf8", f"{name} is not UTF-8 text: {error.reason}") from None
            else:
                fields[name] = value
    return attribute_files.from_form(fields)


@router.post("/import", status_code=201, response_model=AttributeSetOut, openapi_extra=attribute_files.BODY)
def import_(
    use: Use, once: OnlyOnce, given: Annotated[ImportJson | ImportDclip | ImportLabel2Text, Depends(_import)]
) -> Response:
    """Keep a file of attributes as a set, of a vocabulary that is there or of a new one with the file's labels."""
    file = attribute_files.read(given)
    source = {"import": given.format, "domain": file.domain, "strategy": file.strategy, "model": file.model}
    pointer = "/sentences" if isinstance(given, ImportLabel2Text) else "/document"

    def make(tx: Session) -> Made:
        if given.vocabulary_id is None:
            names = [NewLabel(entry.label, entry.sense) for entry in file.entries]
            made = vocabularies.create(tx, name=given.name, domain=given.domain or file.domain or "", labels=names)
            vocabulary_id = made.id
        else:
            with at("/vocabulary_id"):
                vocabulary_id = vocabularies.get(tx, given.vocabulary_id).id
        placed = attribute_files.place(file.entries, vocabularies.labels(tx, vocabulary_id), pointer).entries
        pages = attribute_sets.put_pages(tx, [attribute_files.content(entry) if entry else None for entry in placed])
        row = attribute_sets.create(tx, vocabulary_id=vocabulary_id, pages=pages, source=source)
        return AttributeSetOut.model_validate(row), f"/v1/attribute-sets/{row.id}"

    return once.answer(make)
