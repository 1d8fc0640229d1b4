"""Base models and types of all resources: request and response models, pages of lists, names, timestamps in UTC."""

import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Query
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    FailFast,
    Field,
    WithJsonSchema,
    model_validator,
)

from limbeck.shared import labels
from limbeck.shared.money import parsed_usd
from limbeck.shared.text import counted

MAX_INT32 = 2**31 - 1
MAX_NAME_CHARS = 200


MAX_FIELDS = 200
"""More fields than any object of a request has. pydantic would make an error for each unknown one."""


class RequestModel(BaseModel):
    """Base of request bodies. An unknown field is an error.

    A list is annotated with `ONE_FAULT` and a `max_length`: pydantic would collect an error for each invalid item,
    which takes 30 microseconds and 3 kB each.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _few_fields(cls, body: object) -> object:
        if isinstance(body, dict) and len(body) > MAX_FIELDS:
            raise ValueError(f"has {counted(len(body), 'field')}; at most {MAX_FIELDS} are possible")
        return body


ONE_FAULT = FailFast()
"""Annotation of a list: its validation ends at the first invalid item."""


class ResponseModel(BaseModel):
    """Base of response bodies. Fields are read from the attributes of a row that have the same names."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


def iso_utc(seconds: float) -> str:
    """Unix time in seconds → ISO 8601 in UTC with milliseconds, such as `2026-11-23T21:04:05.678Z`."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _timestamp(value: object) -> object:
    return iso_utc(value) if isinstance(value, float | int) else value


Timestamp = Annotated[
    str,
    BeforeValidator(_timestamp),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T21:04:05.678Z"]}),
]


def unstorable_reason(text: str) -> str | None:
    """Why the database cannot store this text (NUL characters, lone surrogates); None if it can.

    For texts of any kind and length; `limbeck.shared.labels` has the stricter rule of labels.
    """
    if "\0" in text:
        return "has a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "has a lone surrogate, which is not a character"
    return None


def _validate_plain_text(text: str) -> str:
    """A name of a resource or of a model: looser than a label, because no prompt and no comparison depends on it."""
    text = labels.normalize(text)
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        raise ValueError("has a control character")
    if len(text) > MAX_NAME_CHARS:
        raise ValueError(f"has {counted(len(text), 'character')}; at most {MAX_NAME_CHARS} are allowed")
    return text


def _validate_domain(domain: str) -> str:
    if fault := labels.domain_fault(domain):
        raise ValueError(fault)
    return labels.normalize(domain)


def _validate_not_blank(text: str) -> str:
    if not text:
        raise ValueError("is blank")
    return text


def _validate_usd(amount: str) -> str:
    parsed_usd(amount)
    return amount


Usd = Annotated[str, AfterValidator(_validate_usd)]
"""Dollars as decimal text."""
PlainText = Annotated[str, AfterValidator(_validate_plain_text)]
Domain = Annotated[str, AfterValidator(_validate_domain)]
Name = Annotated[str, AfterValidator(_validate_plain_text), AfterValidator(_validate_not_blank)]

Limit = Annotated[int, Query(ge=1, le=100, description="Maximum number of items on the page.")]
LongLimit = Annotated[int, Query(ge=1, le=1000, description="Maximum number of items on the page.")]
After = Annotated[
    str | None, Query(max_length=64, description="`last_id` of the previous page. Lists start with the newest item.")
]
AfterPosition = Annotated[
    int | None, Query(ge=0, le=MAX_INT32, description="`last_id` of the previous page: a position in the vocabulary.")
]

OWNER = "Name of the key that created it, or `local`; null if an earlier release created it."

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """A page of a list. Request the next page with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool = Field(description="Whether a page follows.")
    first_id: str | None = Field(description="Id or position of the first item; null for an empty page.")
    last_id: str | None = Field(description="Id or position of the last item: `after` of the next page.")


def page(data: Sequence[Item], has_more: bool, key: Callable[[Item], str | int]) -> dict[str, Any]:
    """The fields of `Page`; `key` returns an item's id or position."""
    return {
        "object": "list",
        "data": list(data),
        "has_more": has_more,
        "first_id": str(key(data[0])) if data else None,
        "last_id": str(key(data[-1])) if data else None,
    }
