"""Vocabularies: create from a label list, get, and list labels."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http import deletions, limited_process
from api.http.dependencies import IdempotencyDep, OwnerFilter, RawBody, Reused, ServicesDep
from api.http.problems import ProblemError
from api.http.schemas import (
    OWNER,
    After,
    AfterPosition,
    Limit,
    LongLimit,
    Page,
    ResponseModel,
    Timestamp,
    page,
)
from api.readers import label_files
from api.readers.label_files import VocabularyIn
from store import resources, vocabularies
from store.models import Vocabulary
from store.vocabularies import NewLabel

router = APIRouter(prefix="/v1/vocabularies", tags=["vocabularies"])
_PREVIEW_LABELS = 100


class VocabularyOut(ResponseModel):
    """An ordered, immutable list of labels."""

    object: Literal["vocabulary"] = "vocabulary"
    id: str
    name: str
    domain: str = Field(description="Category of the labels, such as `birds`; empty if unknown.")
    digest: str = Field(description="Digest of the domain and the labels.")
    num_labels: int
    owner: str | None = Field(None, description=OWNER)
    created_at: Timestamp


class LabelOut(ResponseModel):
    """A label of a vocabulary."""

    object: Literal["label"] = "label"
    position: int = Field(description="Position in the vocabulary, from 0.")
    name: str
    sense: str | None = Field(description="Distinguishes labels of the same name.")
    ids: dict[str, str | list[str]] | None = Field(
        description="Identifiers in the label file, such as `wnid` and `index`, and `aliases`; not part of prompts."
    )


class CreatedVocabularyOut(VocabularyOut):
    """A vocabulary, and how its label file was read."""

    reused: bool = Field(description="Whether an equal vocabulary existed: this is that one, with its name.")
    read_as: str | None = Field(description="The form of the label file; null for a JSON body of this schema.")
    notes: list[str] = Field(description="What was taken as the label, and what was changed or dropped.")
    warnings: list[str] = Field(description="What to check, because the file does not say it.")


class LabelPreviewOut(ResponseModel):
    """What a label file would become; nothing was stored."""

    object: Literal["label_preview"] = "label_preview"
    num_labels: int
    read_as: str | None = Field(description="The form of the label file; null for a JSON body of the schema.")
    notes: list[str] = Field(description="What was taken as the label, and what was changed or dropped.")
    warnings: list[str] = Field(description="What to check, because the file does not say it.")
    labels: list[LabelOut] = Field(description=f"The first {_PREVIEW_LABELS} labels.")


_TEXT = {"schema": {"type": "string"}}
_BINARY = {"schema": {"type": "string", "format": "binary"}}
_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": VocabularyIn.model_json_schema(ref_template="#/components/schemas/{model}")},
            "text/csv": _TEXT | {"example": "name,sense\ncrane,the bird\ncrane,the machine\n"},
            "text/plain": _TEXT | {"example": "Laysan albatross\ncrested auklet\n"},
            "text/tab-separated-values": _TEXT | {"example": "id\tname\n1\tcrane\n"},
            "application/yaml": _TEXT | {"example": "names:\n  0: crane\n  1: heron\n"},
            "application/x-ndjson": _TEXT | {"example": '{"name": "crane"}\n{"name": "heron"}\n'},
            "application/octet-stream": _BINARY,
            "multipart/form-data": {
                "schema": {"type": "object", "properties": {"file": _BINARY["schema"]}, "required": ["file"]}
            },
        },
    }
}
_PARAMETER_DESCRIPTION = "For label files. A JSON body of the schema has a field instead."


@router.post(
    "",
    status_code=201,
    response_model=CreatedVocabularyOut,
    responses={
        200: {
            "model": CreatedVocabularyOut | LabelPreviewOut,
            "description": "An equal vocabulary existed; or, with `dry_run`, nothing was stored",
        }
    },
    openapi_extra=_BODY,
)
def create(
    request: Request,
    idempotency: IdempotencyDep,
    body: RawBody,
    name: Annotated[str | None, Query(description=_PARAMETER_DESCRIPTION)] = None,
    domain: Annotated[str | None, Query(description=_PARAMETER_DESCRIPTION)] = None,
    dry_run: Annotated[bool, Query(description="Only report what would be stored.")] = False,
) -> Response:
    """Create a vocabulary from JSON of this schema, or from a label file with `?name=…`.

    A label file can be text with one label per line, CSV, TSV, JSON, JSON Lines or YAML, in the forms that data sets
    have: `id2label`, `class_index.json`, COCO's categories, `n01440764 tench, Tinca tinca`, and others. Its content
    decides; the response says how it was read.

    If a vocabulary has the same domain and the same labels with their senses and identifiers, it is the response, with
    status 200.
    """
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in label_files.MEDIA_TYPES and media_type != label_files.MULTIPART:
        types = ", ".join(_BODY["requestBody"]["content"])  # type: ignore[arg-type]
        detail = f"post one of {types}; not {media_type or 'an untyped body'}"
        raise ProblemError(415, "unsupported_media_type", detail)
    parsed = limited_process.run(
        label_files.parse_posted, body, content_type, name, domain, dry_run, num_bytes=len(body)
    )
    report, labels = parsed
    shown = {"read_as": report.read_as, "notes": list(report.notes), "warnings": list(report.warnings)}
    if dry_run:
        return _preview(vocabularies.validate_labels(labels), shown)

    def write(tx: Session) -> Reused:
        row, is_new = vocabularies.put(
            tx, name=report.name, domain=report.domain, labels=labels, owner=idempotency.principal.owner
        )
        created = VocabularyOut.model_validate(row).model_dump() | shown | {"reused": not is_new}
        return CreatedVocabularyOut.model_validate(created), f"/v1/vocabularies/{row.id}", not is_new

    return idempotency.respond_reusing(write)


def _preview(labels: Sequence[NewLabel], report: Mapping[str, object]) -> Response:
    first = [
        LabelOut(position=position, name=label.name, sense=label.sense, ids=label.ids)
        for position, label in enumerate(labels[:_PREVIEW_LABELS])
    ]
    preview = LabelPreviewOut.model_validate({"num_labels": len(labels), "labels": first, **report})
    return Response(preview.model_dump_json(), media_type="application/json")


@router.get("", response_model=Page[VocabularyOut])
def list_all(services: ServicesDep, limit: Limit = 20, after: After = None, owner: OwnerFilter = None) -> object:
    """Vocabularies, newest first."""
    with services.db.read() as tx:
        rows, more = resources.page(tx, Vocabulary, limit=limit, after=after, owner=owner)
        return page([VocabularyOut.model_validate(row) for row in rows], more, lambda item: item.id)


@router.get("/{id}", response_model=VocabularyOut)
def get(services: ServicesDep, id: str) -> object:
    """A vocabulary, without its labels."""
    with services.db.read() as tx:
        return VocabularyOut.model_validate(vocabularies.get(tx, id))


@router.delete("/{id}", status_code=204, response_class=Response, responses={**deletions.RESPONSES})
def delete(services: ServicesDep, idempotency: IdempotencyDep, id: str, force: deletions.Force = False) -> Response:
    """Delete a vocabulary and its labels."""
    return deletions.delete(services, idempotency, "vocabulary", id, force=force)


@router.get("/{id}/labels", response_model=Page[LabelOut])
def labels(services: ServicesDep, id: str, limit: LongLimit = 100, after: AfterPosition = None) -> object:
    """The labels of a vocabulary, in order. `after` is a position."""
    start = 0 if after is None else after + 1
    with services.db.read() as tx:
        vocabulary = vocabularies.get(tx, id)
        rows = vocabularies.labels(tx, id, start=start, stop=start + limit)
        more = start + limit < vocabulary.num_labels
        return page([LabelOut.model_validate(row) for row in rows], more, lambda item: item.position)
