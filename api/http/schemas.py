"""What all resources share: input that refuses unknown fields, output read from rows, pages, and times in UTC."""

import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from fastapi import Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, WithJsonSchema

MAX_INT32 = 2**31 - 1
MAX_NAME_CHARS = 200


class Input(BaseModel):
    """A request body; a field that it does not know is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Output(BaseModel):
    """A resource as it is answered, read from a row of the same names."""

    model_config = ConfigDict(from_attributes=True, frozen=True)


def iso(seconds: float) -> str:
    """Seconds since 1970 as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def _iso(value: Any) -> Any:
    return iso(value) if isinstance(value, float | int) else value


Time = Annotated[
    str,
    BeforeValidator(_iso),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2026-11-23T21:04:05.678Z"]}),
]


def unstorable(text: str) -> str | None:
    """Why no database would keep this text, or None: NUL characters and halves of surrogate pairs."""
    if "\0" in text:
        return "has a NUL character"
    if any("\ud800" <= character <= "\udfff" for character in text):
        return "has a lone surrogate, which is no character"
    return None


def _plain(text: str) -> str:
    text = unicodedata.normalize("NFC", text).strip()
    if any(unicodedata.category(character) in {"Cc", "Cs", "Zl", "Zp"} for character in text):
        raise ValueError("has a control character")
    if len(text) > MAX_NAME_CHARS:
        raise ValueError(f"has {len(text)} characters; at most {MAX_NAME_CHARS} are allowed")
    return text


def _named(text: str) -> str:
    if not text:
        raise ValueError("is blank")
    return text


PlainText = Annotated[str, AfterValidator(_plain)]
Name = Annotated[str, AfterValidator(_plain), AfterValidator(_named)]

Limit = Annotated[int, Query(ge=1, le=100, description="How many to answer at most.")]
LongLimit = Annotated[int, Query(ge=1, le=1000, description="How many to answer at most.")]
After = Annotated[
    str | None, Query(max_length=64, description="`last_id` of the page before; lists begin with the newest.")
]
AfterPosition = Annotated[
    int | None, Query(ge=0, le=MAX_INT32, description="`last_id` of the page before: a position in the vocabulary.")
]

Item = TypeVar("Item")


class Page(BaseModel, Generic[Item]):
    """A page of a list. The next one is asked for with `after=last_id`."""

    object: Literal["list"] = "list"
    data: list[Item]
    has_more: bool
    first_id: str | None
    last_id: str | None


def page(data: Sequence[Item], has_more: bool, key: Callable[[Item], str | int]) -> dict[str, Any]:
    """The page of these items, each named by `key`."""
    return {
        "object": "list",
        "data": list(data),
        "has_more": has_more,
        "first_id": str(key(data[0])) if data else None,
        "last_id": str(key(data[-1])) if data else None,
    }
