"""Caption sets: captions of a dataset's training images by a multimodal LLM, and the file that contains them."""

from typing import Any, Literal

from fastapi import APIRouter, Request
from pydantic import Field
from starlette.responses import Response

from api.http import deletions, downloads
from api.http.dependencies import IdempotencyDep, OwnerFilter, ServicesDep
from api.http.schemas import OWNER, After, Limit, Page, ResponseModel, Timestamp, page
from store import resources
from store.blobs.reading import whole_file
from store.models import CaptionSet
from store.sets import caption_sets

router = APIRouter(prefix="/v1/caption-sets", tags=["caption sets"])


class CaptionSetOut(ResponseModel):
    """Captions of a dataset's training images. Images whose question failed have none."""

    object: Literal["caption_set"] = "caption_set"
    id: str
    dataset_id: str
    job_id: str
    source: dict[str, Any] = Field(description="The id and the spec of the enrich job.")
    num_images: int = Field(description="Number of training images.")
    num_captioned: int = Field(description="Number of images with a caption.")
    digest: str = Field(description="The sha256 of the file.")
    size: int = Field(description="Size of the file in bytes.")
    owner: str | None = Field(None, description=OWNER)
    created_at: Timestamp


@router.get("", response_model=Page[CaptionSetOut])
def list_all(
    services: ServicesDep,
    limit: Limit = 20,
    after: After = None,
    owner: OwnerFilter = None,
    dataset_id: str | None = None,
) -> object:
    """Caption sets, newest first."""
    with services.db.read() as tx:
        rows, more = resources.page(tx, CaptionSet, limit=limit, after=after, owner=owner, dataset_id=dataset_id)
        return page([CaptionSetOut.model_validate(row) for row in rows], more, lambda item: item.id)


@router.get("/{id}", response_model=CaptionSetOut)
def get(services: ServicesDep, id: str) -> object:
    """A caption set."""
    with services.db.read() as tx:
        return CaptionSetOut.model_validate(caption_sets.get(tx, id))


@router.delete("/{id}", status_code=204, response_class=Response, responses={**deletions.RESPONSES})
def delete(services: ServicesDep, idempotency: IdempotencyDep, id: str, force: deletions.Force = False) -> Response:
    """Delete a caption set and its file."""
    return deletions.delete(services, idempotency, "caption_set", id, force=force)


@router.get("/{id}/file", response_class=Response, responses=downloads.RESPONSES)
@router.head("/{id}/file", include_in_schema=False)
def file(request: Request, services: ServicesDep, id: str) -> Response:
    """Download the captions as JSON lines, `{"path", "sha256", "caption"}` per image. The ETag is the sha256; Range is
    supported."""
    with services.db.read() as tx:
        row = caption_sets.get(tx, id)
    stored = downloads.StoredFile(whole_file(row.file_key), row.digest, row.size, f"{row.id}.jsonl")
    return downloads.file_response(request, services.artefacts, stored)
