"""Caption sets: what a model that sees said of the training images of a dataset, and the file that holds it."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from starlette.responses import Response

from api.http import downloads
from api.http.dependencies import Use
from api.http.schemas import After, Limit, Output, Page, Time, page
from store import resources
from store.models import CaptionSet
from store.sets import caption_sets

router = APIRouter(prefix="/v1/caption-sets", tags=["caption sets"])


class CaptionSetOut(Output):
    """A caption for each training image of a dataset, as far as there is one; `source` is the job that asked."""

    object: Literal["caption_set"] = "caption_set"
    id: str
    dataset_id: str
    job_id: str
    source: dict[str, Any]
    num_images: int
    num_captioned: int
    digest: str
    size: int
    created_at: Time


@router.get("", response_model=Page[CaptionSetOut])
def list_all(use: Use, limit: Limit = 20, after: After = None, dataset_id: str | None = None) -> object:
    """Caption sets, newest first."""
    with use.db.read() as tx:
        rows, more = resources.page(tx, CaptionSet, limit=limit, after=after, dataset_id=dataset_id)
        return page([CaptionSetOut.model_validate(row) for row in rows], more, lambda one: one.id)


@router.get("/{id}", response_model=CaptionSetOut)
def get(use: Use, id: str) -> object:
    """A caption set."""
    with use.db.read() as tx:
        return CaptionSetOut.model_validate(caption_sets.get(tx, id))


@router.get("/{id}/file", response_class=Response, responses=downloads.RESPONSES)
@router.head("/{id}/file", include_in_schema=False)
def file(request: Request, use: Use, id: str) -> Response:
    """The captions as JSON lines, `{"path", "sha256", "caption"}` an image; ETag is the sha256, and Range works."""
    with use.db.read() as tx:
        row = caption_sets.get(tx, id)
    stored = downloads.StoredFile(row.file_key, row.digest, row.size, f"{row.id}.jsonl")
    return downloads.respond(request, use.artefacts, stored)
