"""Attribute sets as files: exported in any of the formats, imported with the labels of a vocabulary or as a new one."""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from api.http.dependencies import Created, IdempotencyDep, Services, ServicesDep
from api.http.problems import ProblemError, not_found_at
from api.readers import attribute_files
from api.readers.attribute_files import ImportIn, Label2TextImportIn
from api.routes.attribute_sets import AttributeSetOut, labels_with_entries
from attributes.formats import common, csv, cupl, dclip, label2text, limbeck_json
from attributes.types import Entry, entry_from_json
from store import vocabularies
from store.db import Database
from store.models import AttributeSet
from store.sets import attribute_sets
from store.sets.attribute_sets import PAGE_SIZE
from store.vocabularies import NewLabel

router = APIRouter(prefix="/v1/attribute-sets", tags=["attribute sets"])
_CHUNK_CHARS = 2**18

Format = Literal["json", "csv", "dclip", "cupl", "label2text", "sentences"]
_FILES: dict[Format, tuple[str, str]] = {
    "json": ("json", "application/json"),
    "csv": ("csv", "text/csv; charset=utf-8"),
    "dclip": ("dclip.json", "application/json"),
    "cupl": ("cupl.json", "application/json"),
    "label2text": ("label2text.txt", "text/plain; charset=utf-8"),
    "sentences": ("sentences.txt", "text/plain; charset=utf-8"),
}


@router.get("/{id}/export", response_class=Response)
def export(
    services: ServicesDep,
    id: str,
    format: Annotated[Format, Query(description="json and csv hold all that is said; the others what they can.")] = (
        "json"
    ),
) -> Response:
    """The set as a file: our own JSON, CSV, DCLIP's or CuPL's JSON, label2text.txt, or the sentence lines beside it."""
    with services.db.read() as tx:
        found = attribute_sets.get(tx, id)
        domain = vocabularies.get(tx, found.vocabulary_id).domain or None
    ending, media_type = _FILES[format]
    headers = {"Content-Disposition": f'attachment; filename="{id}.{ending}"'}
    entries = _entries(services.db, found)
    whole: dict[str, Callable[[], str]] = {
        "dclip": lambda: dclip.write_dclip(entries),
        "cupl": lambda: cupl.write_cupl(entries),
        "label2text": lambda: label2text.write_label2text(
            label2text.label2text_of(entries, _published(services, found))
        ),
        "sentences": lambda: label2text.write_sentences(entries),
    }
    if format in whole:
        try:
            return Response(whole[format](), headers=headers, media_type=media_type)
        except common.FormatError as error:
            raise ProblemError(409, "not_in_this_format", str(error)) from None
    known = {"strategy": strategy_of(found.source), "model": found.source.get("model")}
    pieces = limbeck_json.write_json(entries, domain=domain, **known) if format == "json" else csv.write_csv(entries)
    return StreamingResponse(join_into_chunks(pieces), headers=headers, media_type=media_type)


async def _import(request: Request) -> ImportIn:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        return attribute_files.parse_json_import(await request.body())
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
    return attribute_files.parse_form_import(fields)


@router.post("/import", status_code=201, response_model=AttributeSetOut, openapi_extra=attribute_files.IMPORT_BODY)
def import_(
    services: ServicesDep, idempotency: IdempotencyDep, given: Annotated[ImportIn, Depends(_import)]
) -> Response:
    """Keep a file of attributes as a set, of a vocabulary that is there or of a new one with the file's labels."""
    file = attribute_files.parse_import(given)
    source = {"import": given.format, "domain": file.domain, "strategy": file.strategy, "model": file.model}
    if isinstance(given, Label2TextImportIn):
        # Folders and numbers are no part of a set, and a file that came in goes out as it was.
        content = given.label2text.encode()
        key = f"imports/{hashlib.sha256(content).hexdigest()}/label2text.txt"
        source["label2text"] = services.artefacts.put_bytes(content, key).key

    def make(tx: Session) -> Created:
        if given.vocabulary_id is None:
            names = [NewLabel(entry.label, entry.sense) for entry in file.entries]
            made = vocabularies.create(tx, name=given.name, domain=given.domain or file.domain or "", labels=names)
            vocabulary_id = made.id
        else:
            with not_found_at("/vocabulary_id"):
                vocabulary_id = vocabularies.get(tx, given.vocabulary_id).id
        labels = vocabularies.labels(tx, vocabulary_id)
        placed = attribute_files.match_to_labels(
            file.entries, labels, attribute_files.attributes_pointer(given)
        ).entries
        pages = attribute_sets.put_pages(
            tx, [attribute_files.entry_content(entry) if entry else None for entry in placed]
        )
        row = attribute_sets.create(tx, vocabulary_id=vocabulary_id, pages=pages, source=source)
        return AttributeSetOut.model_validate(row), f"/v1/attribute-sets/{row.id}"

    return idempotency.respond(make)


def _entries(db: Database, found: AttributeSet) -> Iterator[Entry]:
    for start in range(0, found.num_labels, PAGE_SIZE):
        with db.read() as tx:
            pairs = labels_with_entries(tx, found, start, start + PAGE_SIZE)
        for label, entry in pairs:
            lines, flags = (entry.lines, entry.flags) if entry else ([], [])
            yield entry_from_json({"label": label.name, "sense": label.sense, "lines": lines, "flags": flags})


def _published(services: Services, found: AttributeSet) -> list[label2text.Label2Text]:
    """The rows of the label2text.txt that the set, or one that it was edited from, came with."""
    key = found.source.get("label2text")
    if key is None:
        return []
    try:
        with services.artefacts.open(key) as file:
            return label2text.read_label2text(file.read().decode())
    except FileNotFoundError:
        raise ProblemError(410, "file_gone", "label2text.txt is no longer in the artefact store") from None


def strategy_of(source: Mapping[str, Any]) -> str | None:
    """What a file says of the prompts that its lines come from."""
    return ", ".join(source["strategies"]) if "strategies" in source else source.get("strategy")


def join_into_chunks(pieces: Iterable[str]) -> Iterator[str]:
    """The same text in larger pieces."""
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
