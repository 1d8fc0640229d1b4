"""The record of writes, for keys with the scope admin."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import AwareDatetime, BeforeValidator, Field

from api.http.dependencies import OwnerFilter, ServicesDep, require_admin
from api.http.schemas import After, Limit, Page, ResponseModel, Timestamp, page
from store.access import audit


def _not_a_number(value: object) -> object:
    """pydantic also reads numbers as seconds since 1970."""
    if isinstance(value, str) and "-" not in value[1:]:
        raise ValueError("must be a time with its zone, such as 2026-11-30T09:00:00Z")
    return value


Time = Annotated[AwareDatetime, BeforeValidator(_not_a_number)]
router = APIRouter(prefix="/v1/audit", tags=["audit"], dependencies=[Depends(require_admin)])


class AuditRecordOut(ResponseModel):
    """A request that changed something or was refused with 403, or a command of the operator."""

    object: Literal["audit_record"] = "audit_record"
    id: str
    at: Timestamp
    owner: str = Field(description="Name of the key, or `local`.")
    key_id: str | None = Field(description="Null without a key.")
    method: str = Field(description="HTTP method; `CLI` for a command of the operator.", examples=["POST"])
    route: str = Field(description="Template of the path, or the command.", examples=["/v1/jobs/{id}/cancel"])
    resource_id: str | None = Field(description="What was created or changed.")
    status: int | None = Field(description="HTTP status; null for a command.")
    request_id: str | None = Field(description="The `X-Request-Id` of the response, which is also in the log.")
    client: str | None = Field(description="Address of the client; user and machine of a command.")


@router.get("", response_model=Page[AuditRecordOut])
def list_all(
    services: ServicesDep,
    limit: Limit = 20,
    after: After = None,
    owner: OwnerFilter = None,
    resource_id: Annotated[str | None, Query(max_length=200, description="Only those of this resource.")] = None,
    since: Annotated[Time | None, Query(description="Only those of this time and later.")] = None,
) -> object:
    """Records of writes, newest first."""
    with services.db.read() as tx:
        rows, more = audit.page(
            tx,
            limit=limit,
            after=after,
            owner=owner,
            resource_id=resource_id,
            since=since.timestamp() if since else None,
        )
        return page([AuditRecordOut.model_validate(row) for row in rows], more, lambda item: item.id)
