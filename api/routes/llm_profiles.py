"""Learned model profiles: what LLM servers accept for their models. They expire, and can be reset."""

import hashlib
from collections.abc import Mapping
from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from api.http.dependencies import IdempotencyDep, ServicesDep
from api.http.problems import invalid_parameter
from api.http.schemas import After, Limit, Page, ResponseModel, Timestamp, page
from api.jobs.llm_endpoints import load_endpoints
from attributes.endpoints.endpoints import EndpointRequestError
from attributes.llm.model_profile import FormatLevel, profile_from_json
from store.enrich import llm_profiles
from store.models import LLMModelProfile
from store.settings import Settings

router = APIRouter(prefix="/v1/llm-profiles", tags=["LLM"])


class LLMProfileOut(ResponseModel):
    """What a server accepts for a model, as the calls of all jobs have found."""

    object: Literal["llm_profile"] = "llm_profile"
    id: str = Field(description="Hash of base URL and model.")
    base_url: str
    model: str
    response_format: FormatLevel | None = Field(
        description="The highest level of structured output that works; null if another release of Limbeck stored it."
    )
    omitted: list[str] = Field(description="Optional parameters that the server refuses, such as `temperature`.")
    limit_name: str | None = Field(description="Name of the token limit; null if the server knows none.")
    has_system_role: bool = Field(description="Whether the server accepts a system message for this model.")
    reasoning_tokens: int = Field(description="The most reasoning tokens of one response so far.")
    learned_at: Timestamp
    expires_at: Timestamp


class LLMProfilesResetOut(ResponseModel):
    """The number of profiles that were deleted."""

    object: Literal["llm_profiles_reset"] = "llm_profiles_reset"
    num_deleted: int


@router.get("", response_model=Page[LLMProfileOut])
def list_all(services: ServicesDep, limit: Limit = 100, after: After = None) -> object:
    """The profiles that have not expired, by server and model."""
    with services.db.read() as tx:
        found = [_profile_out(row) for row in llm_profiles.list_all(tx)]
    ids = [one.id for one in found]
    start = ids.index(after) + 1 if after in ids else 0
    return page(found[start : start + limit], start + limit < len(found), lambda item: item.id)


@router.delete("", response_model=LLMProfilesResetOut)
def reset(
    services: ServicesDep,
    idempotency: IdempotencyDep,
    base_url: Annotated[str | None, Query(description="Only profiles of this server.")] = None,
    endpoint: Annotated[str | None, Query(description="Only profiles of this endpoint's server.")] = None,
    model: Annotated[str | None, Query(description="Only profiles of this model.")] = None,
    everything: Annotated[bool, Query(alias="all", description="All profiles, in place of the others.")] = False,
) -> Response:
    """Delete profiles, so that the next calls learn them again. A part that is running keeps what it knows."""
    if everything == any(one is not None for one in (base_url, endpoint, model)):
        raise invalid_parameter("all", "must be true if base_url, endpoint and model are missing, and only then")
    if endpoint is not None:
        if base_url is not None:
            raise invalid_parameter("endpoint", "must not be given with base_url, which it stands for")
        base_url = _base_url_of(services.settings, endpoint)
    server = None if base_url is None else base_url.rstrip("/")

    def write(tx: Session) -> tuple[LLMProfilesResetOut, Mapping[str, str]]:
        return LLMProfilesResetOut(num_deleted=llm_profiles.reset_matching(tx, base_url=server, model=model)), {}

    return idempotency.respond_with_headers(write)


def _base_url_of(settings: Settings, endpoint: str) -> str:
    try:
        return load_endpoints(settings).get(endpoint).base_url
    except EndpointRequestError as error:
        raise invalid_parameter("endpoint", f"names none: {error}", code="endpoint_unknown") from None


def _profile_out(row: LLMModelProfile) -> LLMProfileOut:
    profile = profile_from_json(row.profile)
    return LLMProfileOut(
        id=hashlib.sha256(f"{row.base_url}\0{row.model}".encode()).hexdigest()[:16],
        base_url=row.base_url,
        model=row.model,
        response_format=profile.level if profile else None,
        omitted=list(profile.omitted) if profile else [],
        limit_name=(profile.limit_name or None) if profile else None,
        has_system_role=profile.has_system_role if profile else True,
        reasoning_tokens=profile.reasoning_tokens if profile else 0,
        learned_at=row.learned_at,
        expires_at=row.expires_at,
    )
