"""Drafts of attribute sets: read, changed under If-Match, dropped, sealed into a new set."""

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Header
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import Made, OnlyOnce, Use
from api.http.problems import ErrorItem, ProblemError
from api.http.schemas import AfterPosition, LongLimit, Output, Page, Time, page
from api.readers.draft_changes import DraftIn, apply
from api.routes.attribute_sets import Attributes, AttributeSetOut, attributes_of
from store import vocabularies
from store.sets import attribute_sets, drafts
from store.sets.drafts import Draft

router = APIRouter(prefix="/v1/attribute-sets", tags=["attribute sets"])


class DraftOut(Output):
    """Edits of a set that are not sealed yet. `version` is the ETag; it is 0 where nobody has touched the draft."""

    object: Literal["attribute_draft"] = "attribute_draft"
    attribute_set_id: str
    version: int
    num_edited: int
    updated_at: Time | None


class DraftChanged(DraftOut):
    """The draft after a change, and the labels that the change was about as they now stand."""

    changed: list[Attributes]


async def _version(if_match: Annotated[str | None, Header(examples=['"3"'])] = None) -> int | None:
    """The version that If-Match names; None where it is absent or `*`."""
    if if_match is None or if_match.strip() == "*":
        return None
    found = re.fullmatch(r'\s*"([0-9]{1,9})"\s*', if_match)
    if found is None:
        detail = f'If-Match must be the ETag of the draft, such as "3", not {if_match[:40]!r}'
        problem = ProblemError(412, "draft_stale", detail)
        problem.errors.append(ErrorItem(parameter="If-Match", detail=detail))
        raise problem
    return int(found[1])


Version = Annotated[int | None, Depends(_version)]


async def _stated(version: Version, if_match: Annotated[str | None, Header()] = None) -> int | None:
    if if_match is None:
        detail = "name the version that the change starts from: If-Match with the ETag of GET …/draft"
        problem = ProblemError(428, "if_match_missing", detail)
        problem.errors.append(ErrorItem(parameter="If-Match", detail=detail))
        raise problem
    return version


StatedVersion = Annotated[int | None, Depends(_stated)]


@router.get("/{id}/draft", response_model=DraftOut)
def get(use: Use, id: str, response: Response) -> object:
    """How far the set's draft is; its ETag is what a change names in If-Match."""
    with use.db.read() as tx:
        attribute_sets.get(tx, id)
        draft = drafts.get(tx, id)
    response.headers.update(_etag(draft.version))
    return _out(draft)


@router.get("/{id}/draft/labels", response_model=Page[Attributes])
def labels(use: Use, id: str, limit: LongLimit = 100, after: AfterPosition = None) -> object:
    """The labels that the draft changes, as it has them."""
    with use.db.read() as tx:
        found = attribute_sets.get(tx, id)
        rows, more = drafts.page(tx, id, start=0 if after is None else after + 1, limit=limit)
        named = vocabularies.labels_at(tx, found.vocabulary_id, [row.position for row in rows])
        data = [
            Attributes(**attributes_of(label, row.lines, row.flags)) for label, row in zip(named, rows, strict=True)
        ]
        return page(data, more, lambda one: one.position)


@router.patch("/{id}/draft", response_model=DraftChanged)
def change(once: OnlyOnce, id: str, body: DraftIn, version: StatedVersion) -> Response:
    """Make changes, all of them or none. 412 where somebody else has changed the draft since."""

    def make(tx: Session) -> tuple[DraftChanged, Mapping[str, str]]:
        found = attribute_sets.get(tx, id)
        drafts.advance(tx, id, version)
        told = [Attributes(**attributes_of(*one)) for one in apply(tx, found, body.operations)]
        draft = drafts.get(tx, id)
        return DraftChanged(**vars(_out(draft)), changed=told), _etag(draft.version)

    return once.answer_with(make)


@router.delete("/{id}/draft", response_model=DraftOut)
def drop(once: OnlyOnce, id: str, version: Version) -> Response:
    """Forget all edits that are not sealed."""

    def make(tx: Session) -> tuple[DraftOut, Mapping[str, str]]:
        attribute_sets.get(tx, id)
        drafts.advance(tx, id, version)
        drafts.drop(tx, id)
        draft = drafts.get(tx, id)
        return _out(draft), _etag(draft.version)

    return once.answer_with(make)


@router.post("/{id}/draft/seal", status_code=201, response_model=AttributeSetOut)
def seal(once: OnlyOnce, id: str, version: Version) -> Response:
    """Make the draft a new set, whose parent is this one; the draft is empty afterwards."""

    def make(tx: Session) -> Made:
        found = attribute_sets.get(tx, id)
        made = drafts.seal(tx, found, expected=version, edited_by=once.principal)
        return AttributeSetOut.model_validate(made), f"/v1/attribute-sets/{made.id}"

    return once.answer(make)


def _out(draft: Draft) -> DraftOut:
    return DraftOut(
        attribute_set_id=draft.set_id, version=draft.version, num_edited=draft.num_edited, updated_at=draft.updated_at
    )


def _etag(version: int) -> dict[str, str]:
    return {"ETag": f'"{version}"'}
