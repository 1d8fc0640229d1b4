"""API keys, for keys with the scope admin: create, list, get, change the limits, revoke.

`limbeck key` does the same without the API, in the database of the service.
"""

import time
from collections.abc import Mapping
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import APIRouter, Depends
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import Created, IdempotencyDep, OwnerFilter, ServicesDep, require_admin
from api.http.json_bodies import LargeJSONRoute
from api.http.problems import StorableRequestModel
from api.http.schemas import ONE_FAULT, After, Limit, Name, Page, ResponseModel, Timestamp, Usd, page
from limbeck.shared.money import decimal_text, pusd_from_usd, usd_from_pusd
from store import resources
from store.access import api_keys, limits
from store.access.principals import KeyLimits
from store.models import ApiKey

router = APIRouter(prefix="/v1/keys", tags=["keys"], dependencies=[Depends(require_admin)], route_class=LargeJSONRoute)
_DEFAULT_LIFETIME_S = 90 * 86_400
_MAX_LIFETIME_S = 100 * 365 * 86_400
_MAX_COUNT = 100_000

_RequestsPerMin = Annotated[int, Field(ge=1, le=_MAX_COUNT, description="Requests per minute with this key.")]
_MaxJobs = Annotated[int, Field(ge=0, le=_MAX_COUNT, description="Jobs of the owner that have not ended, paused too.")]
_Budget = Annotated[
    Usd,
    Field(
        description=f"LLM budget of the owner per {limits.BUDGET_DAYS} days, in dollars. An enrich job then needs a "
        "budget_usd of its own."
    ),
]


class KeyLimitsIn(StorableRequestModel):
    """Limits of a key; null: none."""

    requests_per_min: _RequestsPerMin | None = None
    max_jobs: _MaxJobs | None = None
    budget_usd: _Budget | None = None

    def changes(self) -> dict[str, int | None]:
        """The fields that the request names, as columns."""
        given = self.model_dump(include=set(KeyLimitsIn.model_fields), exclude_unset=True)
        if "budget_usd" in given:
            budget = given.pop("budget_usd")
            given["budget_pusd"] = None if budget is None else pusd_from_usd(Decimal(budget))
        return given


class KeyIn(KeyLimitsIn):
    """A new key."""

    name: Name = Field(description="Owner of what is created with the key. Keys of one name are one owner.")
    scopes: Annotated[list[Literal["read", "write", "admin"]], ONE_FAULT] = Field(
        ["read", "write"], min_length=1, max_length=3, description="`admin` includes the others."
    )
    lifetime_s: float | None = Field(
        _DEFAULT_LIFETIME_S, gt=0, le=_MAX_LIFETIME_S, description="Seconds until it expires; null: never."
    )


class KeyOut(ResponseModel):
    """An API key, without its secret."""

    object: Literal["key"] = "key"
    id: str
    name: str = Field(description="Owner of what is created with the key.")
    scopes: list[str]
    requests_per_min: int | None
    max_jobs: int | None
    budget_usd: str | None
    created_at: Timestamp
    expires_at: Timestamp | None
    revoked_at: Timestamp | None
    last_used_at: Timestamp | None = Field(description="Written at most once a minute.")


class CreatedKeyOut(KeyOut):
    """A new key with its secret, which is not stored."""

    secret: str | None = Field(
        description="Shown once: null in the response to a repeated request, whose key should be revoked."
    )


class KeyUsageOut(KeyOut):
    """A key, and what counts against its limits."""

    unfinished_jobs: int = Field(description="Jobs of the owner that have not ended.")
    committed_usd: str = Field(
        description=f"What the jobs of the owner cost in the last {limits.BUDGET_DAYS} days, and the budgets of those "
        "that have not ended."
    )


@router.post("", status_code=201, response_model=CreatedKeyOut)
def create(idempotency: IdempotencyDep, body: KeyIn) -> Response:
    """Create a key. The response has its secret, which cannot be read again."""

    def write(tx: Session) -> Created:
        expires_at = None if body.lifetime_s is None else time.time() + body.lifetime_s
        row, secret = api_keys.create(
            tx, name=body.name, scopes=body.scopes, expires_at=expires_at, limits=KeyLimits(**body.changes())
        )
        return CreatedKeyOut(**_fields(row), secret=secret), f"/v1/keys/{row.id}"

    return idempotency.respond(write, secrets=("secret",))


@router.get("", response_model=Page[KeyOut])
def list_all(services: ServicesDep, limit: Limit = 20, after: After = None, owner: OwnerFilter = None) -> object:
    """Keys, newest first; expired and revoked ones too."""
    with services.db.read() as tx:
        rows, more = resources.page(tx, ApiKey, limit=limit, after=after, name=owner)
        return page([KeyOut(**_fields(row)) for row in rows], more, lambda item: item.id)


@router.get("/{id}", response_model=KeyUsageOut)
def get(services: ServicesDep, id: str) -> object:
    """A key, and what counts against its limits."""
    with services.db.read() as tx:
        row = api_keys.get(tx, id)
        committed = decimal_text(usd_from_pusd(limits.committed_pusd(tx, row.name)))
        unfinished = limits.num_unfinished(tx, row.name)
        return KeyUsageOut(**_fields(row), unfinished_jobs=unfinished, committed_usd=committed)


@router.patch("/{id}", response_model=KeyOut)
def change(idempotency: IdempotencyDep, id: str, body: KeyLimitsIn) -> Response:
    """Change limits of a key: those that the body names; null removes one. They apply to the next request."""

    def write(tx: Session) -> tuple[KeyOut, Mapping[str, str]]:
        return KeyOut(**_fields(api_keys.set_limits(tx, id, body.changes()))), {}

    return idempotency.respond_with_headers(write)


@router.delete("/{id}", response_model=KeyOut)
def revoke(idempotency: IdempotencyDep, id: str) -> Response:
    """Revoke a key: requests with it get 401. Its row stays, and its name goes on owning what was created with it."""

    def write(tx: Session) -> tuple[KeyOut, Mapping[str, str]]:
        return KeyOut(**_fields(api_keys.revoke(tx, id))), {}

    return idempotency.respond_with_headers(write)


def _fields(row: ApiKey) -> dict[str, object]:
    names = [name for name in KeyOut.model_fields if name not in ("object", "budget_usd")]
    budget_usd = None if row.budget_pusd is None else decimal_text(usd_from_pusd(row.budget_pusd))
    return {name: getattr(row, name) for name in names} | {"budget_usd": budget_usd}
