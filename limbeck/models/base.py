"""What every response of the service has, and pages of lists."""

from pydantic import BaseModel, ConfigDict, JsonValue


class ServiceResponse(BaseModel):
    model_config = ConfigDict(frozen=True, extra="allow", defer_build=True)


class Page(ServiceResponse):
    """One page of a list. If `has_more`, pass `last_id` as `after` to get the next page."""

    data: tuple[dict[str, JsonValue], ...]
    has_more: bool
    first_id: str | None
    last_id: str | None
