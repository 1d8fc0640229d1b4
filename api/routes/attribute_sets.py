"""Attribute sets: list and get.

Related routes: `attributes` (the labels' lines), `comparison`, `attribute_set_files`, `drafts` and `reports`.
"""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import Field
from starlette.responses import Response

from api.http import deletions
from api.http.dependencies import IdempotencyDep, OwnerFilter, ServicesDep
from api.http.schemas import OWNER, After, Limit, Page, ResponseModel, Timestamp, page
from store import resources
from store.models import AttributeSet
from store.sets import attribute_sets

router = APIRouter(prefix="/v1/attribute-sets", tags=["attribute sets"])


class AttributeSetOut(ResponseModel):
    """An immutable set of attributes for the labels of a vocabulary."""

    object: Literal["attribute_set"] = "attribute_set"
    id: str
    vocabulary_id: str
    parent_id: str | None = Field(description="The set from whose draft this set was made.")
    digest: str = Field(description="Digest of the content: sets with the same attributes have the same digest.")
    num_labels: int
    num_described: int = Field(description="Number of labels that have lines.")
    num_flagged: int = Field(description="Number of labels that have flags.")
    source: dict[str, Any] = Field(description="Origin of the set: an enrich job, an imported file or a draft.")
    owner: str | None = Field(None, description=OWNER)
    created_at: Timestamp


@router.get("", response_model=Page[AttributeSetOut])
def list_all(
    services: ServicesDep,
    limit: Limit = 20,
    after: After = None,
    owner: OwnerFilter = None,
    vocabulary_id: str | None = None,
    parent_id: str | None = None,
) -> object:
    """Attribute sets, newest first."""
    with services.db.read() as tx:
        rows, more = resources.page(
            tx, AttributeSet, limit=limit, after=after, owner=owner, vocabulary_id=vocabulary_id, parent_id=parent_id
        )
        return page([AttributeSetOut.model_validate(row) for row in rows], more, lambda item: item.id)


@router.get("/{id}", response_model=AttributeSetOut)
def get(services: ServicesDep, id: str) -> object:
    """An attribute set, without the attributes of its labels."""
    with services.db.read() as tx:
        return AttributeSetOut.model_validate(attribute_sets.get(tx, id))


@router.delete("/{id}", status_code=204, response_class=Response, responses={**deletions.RESPONSES})
def delete(services: ServicesDep, idempotency: IdempotencyDep, id: str, force: deletions.Force = False) -> Response:
    """Delete an attribute set, with its draft and its reports."""
    return deletions.delete(services, idempotency, "attribute_set", id, force=force)
