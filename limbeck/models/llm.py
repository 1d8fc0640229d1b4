"""LLM endpoints, what was learned about their models, and stored responses."""

from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from limbeck.models.base import ServiceResponse

FormatLevel = Literal["json_schema", "json_object_schema", "json_object", "prose"]


class LLMAnswer(ServiceResponse):
    """A request to an LLM and its response. `key` is the `call` of the lines that it produced."""

    key: str
    model: str
    base_url: str
    strategy: str
    messages: tuple[dict[str, JsonValue], ...]
    answer: str
    created_at: datetime


class LLMEndpoint(ServiceResponse):
    """An LLM server that enrichments can name. `model` is None if they must name one; empty `models` allow all."""

    name: str
    base_url: str
    model: str | None
    models: tuple[str, ...]
    api_version: str | None
    price_known: bool
    concurrency: int
    requests_per_min: int | None
    tokens_per_min: int | None
    in_flight: int | None


class LLMProfile(ServiceResponse):
    """What an LLM server accepts for a model, until it expires."""

    id: str
    base_url: str
    model: str
    response_format: FormatLevel | str | None
    omitted: tuple[str, ...]
    limit_name: str | None
    has_system_role: bool
    reasoning_tokens: int
    learned_at: datetime
    expires_at: datetime


class LLMProfilesReset(ServiceResponse):
    """How many learned profiles were deleted."""

    num_deleted: int
