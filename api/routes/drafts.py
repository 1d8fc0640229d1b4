"""Drafts of attribute sets: read, change (with If-Match), discard, and seal as a new set."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import Created, Idempotency, IdempotencyDep, ServicesDep
from api.http.json_bodies import LargeJSONRoute
from api.http.problems import invalid_parameter
from api.http.schemas import AfterPosition, LongLimit, Page, ResponseModel, Timestamp, page
from api.readers.draft_changes import DraftChangesIn, apply_operations
from api.routes.attribute_sets import AttributeSetOut
from api.routes.attributes import AttributesOut, attributes_fields
from store import vocabularies
from store.models import AttributeSet
from store.sets import attribute_sets, drafts
from store.sets.drafts import Draft

router = APIRouter(prefix="/v1/attribute-sets", tags=["attribute sets"], route_class=LargeJSONRoute)


class DraftOut(ResponseModel):
    """The edits of a set that are not sealed yet."""

    object: Literal["attribute_draft"] = "attribute_draft"
    attribute_set_id: str
    version: int = Field(description="The draft's ETag. Every change increases it; 0 before the first change.")
    num_edited: int = Field(description="Number of labels whose lines differ from the set.")
    updated_at: Timestamp | None


class ChangedDraftOut(DraftOut):
    """The draft after a change."""

    changed: list[AttributesOut] = Field(description="The labels that the operations name, as they are now.")


async def _version(if_match: Annotated[str | None, Header(examples=['"3"'])] = None) -> int | None:
    """The version in If-Match; None if the header is absent or `*`."""
    if if_match is None or if_match.strip() == "*":
        return None
    match = re.fullmatch(r'\s*"([0-9]{1,9})"\s*', if_match)
    if match is None:
        detail = f'must be the ETag of the draft, such as "3", not {if_match[:40]!r}'
        raise invalid_parameter("If-Match", detail, status=412, code="draft_stale")
    return int(match[1])


Version = Annotated[int | None, Depends(_version)]


async def _required_version(version: Version, if_match: Annotated[str | None, Header()] = None) -> int | None:
    """Like `_version`, but the header is required."""
    if if_match is None:
        detail = "is required: send the ETag of GET …/draft, the version that the change starts from"
        raise invalid_parameter("If-Match", detail, status=428, code="if_match_missing")
    return version


RequiredVersion = Annotated[int | None, Depends(_required_version)]


@router.get("/{id}/draft", response_model=DraftOut)
def get(services: ServicesDep, id: str, response: Response) -> object:
    """The state of the set's draft. A change sends the ETag of this response in If-Match."""
    with services.db.read() as tx:
        attribute_sets.get(tx, id)
        draft = drafts.get(tx, id)
    response.headers.update(_etag(draft.version))
    return _draft_out(draft)


@router.get("/{id}/draft/labels", response_model=Page[AttributesOut])
def labels(services: ServicesDep, id: str, limit: LongLimit = 100, after: AfterPosition = None) -> object:
    """The labels that the draft changes, with the draft's lines."""
    with services.db.read() as tx:
        attribute_set = attribute_sets.get(tx, id)
        rows, more = drafts.page(tx, id, start=0 if after is None else after + 1, limit=limit)
        labels = vocabularies.labels_at(tx, attribute_set.vocabulary_id, [row.position for row in rows])
        data = [
            AttributesOut(**attributes_fields(label, row.lines, row.flags))
            for label, row in zip(labels, rows, strict=True)
        ]
        return page(data, more, lambda item: item.position)


@router.patch("/{id}/draft", response_model=ChangedDraftOut)
def change(idempotency: IdempotencyDep, id: str, body: DraftChangesIn, version: RequiredVersion) -> Response:
    """Apply operations to the draft, all or none. 412 if the draft has changed since the version in If-Match."""

    def write(tx: Session) -> tuple[ChangedDraftOut, Mapping[str, str]]:
        attribute_set = _changeable_set(tx, id, idempotency)
        drafts.advance(tx, id, version)
        states = apply_operations(tx, attribute_set, body.operations)
        changed = [AttributesOut(**attributes_fields(*state)) for state in states]
        draft = drafts.get(tx, id)
        return ChangedDraftOut(**vars(_draft_out(draft)), changed=changed), _etag(draft.version)

    return idempotency.respond_with_headers(write)


@router.delete("/{id}/draft", response_model=DraftOut)
def drop(idempotency: IdempotencyDep, id: str, version: Version) -> Response:
    """Discard all edits of the draft."""

    def write(tx: Session) -> tuple[DraftOut, Mapping[str, str]]:
        _changeable_set(tx, id, idempotency)
        drafts.advance(tx, id, version)
        drafts.drop(tx, id)
        draft = drafts.get(tx, id)
        return _draft_out(draft), _etag(draft.version)

    return idempotency.respond_with_headers(write)


@router.post("/{id}/draft/seal", status_code=201, response_model=AttributeSetOut)
def seal(idempotency: IdempotencyDep, id: str, version: Version) -> Response:
    """Make a new set from this set and its draft. This set is the new set's parent; its draft becomes empty."""

    def write(tx: Session) -> Created:
        attribute_set = _changeable_set(tx, id, idempotency)
        sealed = drafts.seal(tx, attribute_set, expected=version, edited_by=idempotency.principal.owner)
        return AttributeSetOut.model_validate(sealed), f"/v1/attribute-sets/{sealed.id}"

    return idempotency.respond(write)


def _changeable_set(tx: Session, id: str, idempotency: Idempotency) -> AttributeSet:
    """The set, whose draft only its owner changes. Raises NotFound and NotOwner."""
    attribute_set = attribute_sets.get(tx, id)
    idempotency.principal.check_may_change("attribute set", attribute_set)
    return attribute_set


def _draft_out(draft: Draft) -> DraftOut:
    return DraftOut(
        attribute_set_id=draft.set_id, version=draft.version, num_edited=draft.num_edited, updated_at=draft.updated_at
    )


def _etag(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}
