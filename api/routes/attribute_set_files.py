"""Files of attribute sets: export in every format, and import for an existing or a new vocabulary."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from sqlalchemy.orm import Session
from starlette.datastructures import UploadFile
from starlette.responses import Response, StreamingResponse

from api.http.dependencies import Created, IdempotencyDep, Services, ServicesDep
from api.http.problems import ProblemError, not_found_at
from api.readers import attribute_files
from api.readers.attribute_files import ImportedFile, Label2TextImportIn
from api.readers.import_report import ImportReportOut, import_report
from api.routes.attribute_sets import AttributeSetOut
from api.routes.attributes import labels_with_entries
from attributes.formats import label2text
from attributes.formats.common import FormatError
from attributes.formats.registry import FORMATS, FileHead
from attributes.types import Entry, entry_from_json
from limbeck.shared.attribute_files.matching import Assignment
from limbeck.shared.format_names import FileFormat
from limbeck.shared.labels import LabelPair
from store import vocabularies
from store.db import Database
from store.models import AttributeSet
from store.sets import attribute_sets
from store.sets.attribute_sets import PAGE_SIZE
from store.vocabularies import NewLabel

router = APIRouter(prefix="/v1/attribute-sets", tags=["attribute sets"])
_CHUNK_BYTES = 2**18
_TEXT = "text/plain; charset=utf-8"


@router.get("/{id}/export", response_class=Response)
def export(
    services: ServicesDep,
    id: str,
    format: Annotated[
        FileFormat,
        Query(description="dclip, cupl, label2text and sentences contain only some kinds of lines."),
    ] = "json",
) -> Response:
    """Export the set as JSON, CSV, JSONL, Parquet, a folder for Hugging Face `datasets`, or a published format."""
    with services.db.read() as tx:
        attribute_set = attribute_sets.get(tx, id)
        domain = vocabularies.get(tx, attribute_set.vocabulary_id).domain or None
    entries = _entries(services.db, attribute_set)
    source = attribute_set.source
    pieces: Iterator[str] | Iterator[bytes]
    head = FileHead(domain=domain, strategy=strategy_of(source), model=source.get("model"))
    try:
        match format:
            case "label2text":
                rows = label2text.label2text_of(entries, _label2text_rows(services, attribute_set))
                extension, media_type, pieces = "label2text.txt", _TEXT, iter([label2text.write_label2text(rows)])
            case "sentences":
                extension, media_type, pieces = "sentences.txt", _TEXT, iter([label2text.write_sentences(entries)])
            case _:
                file_format = FORMATS[format]
                extension, media_type = file_format.extension, file_format.media_type
                pieces = file_format.write(entries, head)
    except FormatError as error:
        raise ProblemError(409, "not_in_this_format", str(error)) from None
    headers = {"Content-Disposition": f'attachment; filename="{id}.{extension}"'}
    return StreamingResponse(join_into_chunks(pieces), headers=headers, media_type=media_type)


async def _posted(request: Request) -> bytes | dict[str, str | bytes]:
    """A JSON body, or the fields of a form."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == "application/json":
        return await request.body()
    if media_type != "multipart/form-data":
        detail = f"post application/json or multipart/form-data, not {media_type or 'an untyped body'}"
        raise ProblemError(415, "unsupported_media_type", detail)
    limit = request.app.state.services.settings.max_body_bytes
    fields: dict[str, str | bytes] = {}
    async with request.form(max_files=4, max_fields=8, max_part_size=limit) as form:
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                fields[name] = await value.read()
            else:
                fields[name] = value
    return fields


class ImportedSetOut(AttributeSetOut):
    """The set that an import made, with the report of the import."""

    import_report: ImportReportOut


@router.post("/import", status_code=201, response_model=ImportedSetOut, openapi_extra=attribute_files.IMPORT_BODY)
def import_(
    services: ServicesDep,
    idempotency: IdempotencyDep,
    posted: Annotated[bytes | dict[str, str | bytes], Depends(_posted)],
) -> Response:
    """Import a file as an attribute set, for an existing vocabulary or for a new one with the file's labels."""
    body, imported = attribute_files.read_upload(posted)
    owner = idempotency.principal.owner
    file = imported.file
    source = {"import": imported.format, "domain": file.domain, "strategy": file.strategy, "model": file.model}
    if isinstance(body, Label2TextImportIn):
        # A set contains no folder names and numbers. Keep the file, so that the export reproduces it.
        content = body.label2text.encode()
        key = f"imports/{hashlib.sha256(content).hexdigest()}/label2text.txt"
        source["label2text"] = services.artefacts.put_bytes(content, key).key

    def write(tx: Session) -> Created:
        if body.vocabulary_id is None:
            names, assignment = attribute_files.new_labels(imported, body)
            labels = [NewLabel(*label) for label in names]
            domain = body.domain or file.domain or ""
            vocabulary_id = vocabularies.create(tx, name=body.name, domain=domain, labels=labels, owner=owner).id
        else:
            with not_found_at("/vocabulary_id"):
                vocabulary_id = vocabularies.get(tx, body.vocabulary_id).id
            assignment = None
        pairs = [(label.name, label.sense) for label in vocabularies.labels(tx, vocabulary_id)]
        if assignment is None:
            assignment = attribute_files.match_to_labels(imported, pairs, body)
        entries = attribute_files.assigned_entries(imported, pairs, assignment)
        contents = [attribute_files.entry_content(entry) if entry else None for entry in entries]
        pages = attribute_sets.put_pages(tx, contents)
        row = attribute_sets.create(tx, vocabulary_id=vocabulary_id, pages=pages, source=source, owner=owner)
        num_lines = sum(len(entry.lines) for entry in entries if entry)
        report = _report(imported, pairs, assignment, num_lines)
        out = AttributeSetOut.model_validate(row).model_dump()
        return ImportedSetOut(**out, import_report=report), f"/v1/attribute-sets/{row.id}"

    return idempotency.respond(write)


def _report(
    imported: ImportedFile, labels: Sequence[LabelPair], assignment: Assignment, num_lines: int
) -> ImportReportOut:
    return import_report(
        imported.report,
        pointer=imported.pointer,
        is_text=imported.is_text,
        num_lines=num_lines,
        entries=imported.labels,
        labels=labels,
        assignment=assignment,
    )


def _entries(db: Database, attribute_set: AttributeSet) -> Iterator[Entry]:
    for start in range(0, attribute_set.num_labels, PAGE_SIZE):
        with db.read() as tx:
            pairs = labels_with_entries(tx, attribute_set, start, start + PAGE_SIZE)
        for label, entry in pairs:
            lines, flags = (entry.lines, entry.flags) if entry else ([], [])
            yield entry_from_json({"label": label.name, "sense": label.sense, "lines": lines, "flags": flags})


def _label2text_rows(services: Services, attribute_set: AttributeSet) -> list[label2text.Label2Text]:
    """The rows of the label2text.txt that was imported with the set, or with the set from which it was edited."""
    key = attribute_set.source.get("label2text")
    if key is None:
        return []
    try:
        with services.artefacts.open(key) as file:
            return label2text.read_label2text(file.read().decode())
    except FileNotFoundError:
        raise ProblemError(410, "file_gone", "label2text.txt is no longer in the artefact store") from None


def strategy_of(source: Mapping[str, Any]) -> str | None:
    """The value of the file's `strategy` field: the strategies of the job or of the imported file."""
    return ", ".join(source["strategies"]) if "strategies" in source else source.get("strategy")


def join_into_chunks(pieces: Iterator[str] | Iterator[bytes]) -> Iterator[bytes]:
    """Join the pieces into chunks of about `_CHUNK_BYTES` bytes."""
    # A streaming response switches threads for each item of its generator.
    chunk: list[bytes] = []
    size = 0
    for piece in pieces:
        content = piece.encode() if isinstance(piece, str) else piece
        chunk.append(content)
        size += len(content)
        if size >= _CHUNK_BYTES:
            yield b"".join(chunk)
            chunk, size = [], 0
    yield b"".join(chunk)
