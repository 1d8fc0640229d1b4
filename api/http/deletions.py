"""DELETE of a resource: 204, or with `force` 200 and what was deleted; 409 names what uses it."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from fastapi import Query
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import Idempotency, Services
from api.http.schemas import ResponseModel
from store.removal.delete import DeletedResources, delete_resource
from store.removal.holds import Kind
from store.removal.purge import purge
from store.upkeep.unused_artefacts import delete_unreferenced
from store.uploads import places

MAX_LISTED = 1_000
_PURGE_S = 1.0

Force = Annotated[
    bool, Query(description="Also delete everything that refers to it; without this, such a request is refused.")
]


class DeletedResourceOut(ResponseModel):
    """A resource that was deleted."""

    kind: Literal[
        "job", "upload", "vocabulary", "attribute_set", "dataset", "text_targets", "caption_set", "checkpoint"
    ]
    id: str


class DeletionOut(ResponseModel):
    """What a DELETE with `force` has deleted."""

    object: Literal["deletion"] = "deletion"
    deleted: list[DeletedResourceOut] = Field(
        description=f"The resource, and what referred to it; at most {MAX_LISTED:,}."
    )
    counts: dict[str, int] = Field(description="Number of deleted resources by kind.")


RESPONSES: Mapping[int | str, dict[str, Any]] = {
    204: {"description": "It was deleted, and nothing else"},
    200: {"model": DeletionOut, "description": "With `force`: it was deleted, with what referred to it"},
    409: {"description": "Something uses it (`in_use`), or a job that has not ended needs it (`job_running`)"},
}


def delete(services: Services, idempotency: Idempotency, kind: Kind, id: str, *, force: bool) -> Response:
    """Delete the resource and its files. Raises NotFound, NotOwner and InUse."""
    deletions: list[DeletedResources] = []

    def write(tx: Session) -> DeletionOut | None:
        allowed = idempotency.principal.check_may_change
        deletion = delete_resource(tx, kind, id, force=force, check_allowed=allowed)
        deletions.append(deletion)
        if not force:
            return None
        listed = [DeletedResourceOut(kind=one.kind, id=one.id) for one in deletion.resources[:MAX_LISTED]]
        return DeletionOut(deleted=listed, counts=dict(deletion.counts))

    response = idempotency.respond_deleted(write)
    # The rest is deleted now, as far as it is done soon; the sweeper does what is left.
    for deletion in deletions:
        delete_unreferenced(services.db, services.artefacts, deletion.file_keys)
        for one in deletion.resources:
            if one.kind == "upload" and services.settings.upload_root is not None:
                places.place_of(services.settings, one.id).remove()
        purge(services.db, for_s=_PURGE_S)
    return response
