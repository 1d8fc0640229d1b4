"""The address of the service and the API key: arguments, else LIMBECK_URL and LIMBECK_KEY."""

import os

DEFAULT_URL = "http://127.0.0.1:8420"


def service_url(given: str | None) -> str:
    """The URL of the service: the given one, else LIMBECK_URL, else `DEFAULT_URL`."""
    return given or os.environ.get("LIMBECK_URL") or DEFAULT_URL


def api_key(given: str | None) -> str | None:
    """The given key, else LIMBECK_KEY. None without a key; an empty text means that none is sent."""
    return (os.environ.get("LIMBECK_KEY") if given is None else given) or None
