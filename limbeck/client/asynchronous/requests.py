"""Typed requests: the response of the service is validated as a pydantic model of `limbeck.models`."""

from collections.abc import AsyncIterator, Mapping

from limbeck.client.asynchronous.http import AsyncHttp
from limbeck.client.paths import resource_path
from limbeck.client.responses import READ_TIMEOUT_S, Model, Param, parsed, parsed_item
from limbeck.models import Deletion, Page


async def get(http: AsyncHttp, model: type[Model], resource: str, id: str) -> Model:
    """One resource by id."""
    return parsed(model, await http.request("GET", resource_path(resource, id)))


async def post(
    http: AsyncHttp,
    model: type[Model],
    path: str,
    body: object = None,
    *,
    params: Mapping[str, Param] | None = None,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> Model:
    """The response of a POST request."""
    return parsed(model, await http.request("POST", path, params=params, json=body, read_timeout_s=read_timeout_s))


async def patch(http: AsyncHttp, model: type[Model], path: str, body: object) -> Model:
    """The response of a PATCH request."""
    return parsed(model, await http.request("PATCH", path, json=body))


async def delete(http: AsyncHttp, resource: str, id: str, *, force: bool) -> Deletion:
    """Delete one resource by id; with `force`, also what refers to it. Returns what was deleted."""
    response = await http.request("DELETE", resource_path(resource, id), params={"force": force or None})
    return parsed(Deletion, response) if response.content else Deletion.of_one(resource, id)


async def items(
    http: AsyncHttp,
    model: type[Model],
    path: str,
    filters: Mapping[str, Param] | None = None,
    *,
    limit: int = 100,
    start: int | None = None,
) -> AsyncIterator[Model]:
    """The items of a list after `start`, fetched in pages of `limit` items."""
    after: str | int | None = start
    while True:
        response = await http.request("GET", path, params={"limit": limit, **(filters or {}), "after": after})
        page = parsed(Page, response)
        for item in page.data:
            yield parsed_item(model, item, response)
        if not page.has_more:
            return
        after = page.last_id
