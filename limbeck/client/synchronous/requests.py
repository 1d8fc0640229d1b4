# Written by `python -m tests.limbeck.sync_client` from limbeck/client/asynchronous/requests.py: edit that file.
"""Typed requests: the response of the service is validated as a pydantic model of `limbeck.models`."""

from collections.abc import Iterator, Mapping

from limbeck.client.paths import resource_path
from limbeck.client.responses import READ_TIMEOUT_S, Model, Param, parsed, parsed_item
from limbeck.client.synchronous.http import Http
from limbeck.models import Deletion, Page


def get(http: Http, model: type[Model], resource: str, id: str) -> Model:
    """One resource by id."""
    return parsed(model, http.request("GET", resource_path(resource, id)))


def post(
    http: Http,
    model: type[Model],
    path: str,
    body: object = None,
    *,
    params: Mapping[str, Param] | None = None,
    read_timeout_s: float = READ_TIMEOUT_S,
) -> Model:
    """The response of a POST request."""
    return parsed(model, http.request("POST", path, params=params, json=body, read_timeout_s=read_timeout_s))


def patch(http: Http, model: type[Model], path: str, body: object) -> Model:
    """The response of a PATCH request."""
    return parsed(model, http.request("PATCH", path, json=body))


def delete(http: Http, resource: str, id: str, *, force: bool) -> Deletion:
    """Delete one resource by id; with `force`, also what refers to it. Returns what was deleted."""
    response = http.request("DELETE", resource_path(resource, id), params={"force": force or None})
    return parsed(Deletion, response) if response.content else Deletion.of_one(resource, id)


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
    after: str | int | None = start
    while True:
        response = http.request("GET", path, params={"limit": limit, **(filters or {}), "after": after})
        page = parsed(Page, response)
        for item in page.data:
            yield parsed_item(model, item, response)
        if not page.has_more:
            return
        after = page.last_id
