"""Text targets: a teacher's features of a vocabulary's rendered texts, and the file that holds them."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.http import downloads
from api.http.dependencies import Use
from api.http.schemas import After, Limit, Output, Page, Time, page
from distill.texts.text_templates import TextKind
from store import resources
from store.models import TextTargets

router = APIRouter(prefix="/v1/text-targets", tags=["text targets"])


class TextTargetsOut(Output):
    """Features (num_labels, width); `report` says which texts were shortened or fell back."""

    object: Literal["text_targets"] = "text_targets"
    id: str
    vocabulary_id: str
    attribute_set_id: str | None
    teacher_id: str
    job_id: str
    text: TextKind
    num_labels: int
    width: int
    report: dict[str, Any]
    digest: str
    size: int
    created_at: Time


@router.get("", response_model=Page[TextTargetsOut])
def list_all(
    use: Use,
    limit: Limit = 20,
    after: After = None,
    vocabulary_id: str | None = None,
    attribute_set_id: str | None = None,
) -> object:
    """Text targets, newest first."""
    with use.db.read() as tx:
        rows, more = resources.page(
            tx, TextTargets, limit=limit, after=after, vocabulary_id=vocabulary_id, attribute_set_id=attribute_set_id
        )
        return page([TextTargetsOut.model_validate(row) for row in rows], more, lambda one: one.id)


@router.get("/{id}", response_model=TextTargetsOut)
def get(use: Use, id: str) -> object:
    """Text targets."""
    with use.db.read() as tx:
        return TextTargetsOut.model_validate(resources.text_targets(tx, id))


@router.get("/{id}/file", response_class=Response, responses=downloads.RESPONSES)
@router.head("/{id}/file", include_in_schema=False)
def file(request: Request, use: Use, id: str) -> Response:
    """The features as safetensors; ETag is the sha256, and Range, If-Range and If-None-Match work."""
    with use.db.read() as tx:
        row = resources.text_targets(tx, id)
    stored = downloads.StoredFile(row.file_key, row.digest, row.size, f"{row.id}.safetensors")
    return downloads.respond(request, use.artefacts, stored)
