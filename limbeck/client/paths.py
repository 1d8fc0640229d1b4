"""Paths and bodies of requests."""

from urllib.parse import quote


def resource_path(resource: str, id: str, *more: str) -> str:
    """`/v1/{resource}/{id}/…`, with the id quoted."""
    return "/".join(("/v1", resource, quote(id, safe=""), *more))


def without_none(**fields: object) -> dict[str, object]:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}
