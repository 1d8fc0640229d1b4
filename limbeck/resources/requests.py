"""Typed requests: the response of the service is validated as a pydantic model of `limbeck.models`."""

from collections.abc import Iterator, Mapping
from typing import TypeVar
from urllib.parse import quote

from pydantic import BaseModel

from limbeck.http import READ_TIMEOUT_S, Http, Param

Model = TypeVar("Model", bound=BaseModel)


def resource_path(resource: str, id: str, *more: str) -> str:
    """`/v1/{resource}/{id}/…`, with the id quoted."""
    return "/".join(("/v1", resource, quote(id, safe=""), *more))


def get(http: Http, model: type[Model], resource: str, id: str) -> Model:
    """One resource by id."""
    return model.model_validate(http.json("GET", resource_path(resource, id)))


def post(
    http: Http, model: type[Model], path: str, body: object = None, *, read_timeout_s: float = READ_TIMEOUT_S
) -> Model:
    """The response of a POST request."""
    return model.model_validate(http.json("POST", path, body=body, read_timeout_s=read_timeout_s))


def items(
    http: Http,
    model: type[Model],
    path: str,
    filters: Mapping[str, Param] | None = None,
    *,
    limit: int = 100,
    start: int | None = None,
) -> Iterator[Model]:
    """The items of a list after `start`, fetched in pages of `limit` items."""
    params: dict[str, Param] = {"limit": limit, **(filters or {})}
    return (model.model_validate(item) for item in http.items(path, params, start=start))


def without_none(**fields: object) -> dict[str, object]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}
