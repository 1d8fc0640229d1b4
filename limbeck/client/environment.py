"""The address of the service and the API key: arguments, else LIMBECK_URL and LIMBECK_KEY."""

import os
from collections.abc import Mapping
from difflib import get_close_matches

from limbeck.shared.text import unknown_setting

DEFAULT_URL = "http://127.0.0.1:8420"


def service_url(given: str | None) -> str:
    """The URL of the service: the given one, else LIMBECK_URL, else `DEFAULT_URL`."""
    return given or os.environ.get("LIMBECK_URL") or DEFAULT_URL


def api_key(given: str | None) -> str | None:
    """The given key, else LIMBECK_KEY. None without a key; an empty text means that none is sent."""
    return (os.environ.get("LIMBECK_KEY") if given is None else given) or None


def allows_plain_http() -> bool:
    """Whether LIMBECK_ALLOW_PLAIN_HTTP allows to send a key over HTTP to another machine without a warning."""
    return os.environ.get("LIMBECK_ALLOW_PLAIN_HTTP", "").strip().lower() in ("1", "true", "yes", "on", "t", "y")


def unknown_client_settings(environment: Mapping[str, str]) -> list[str]:
    """A warning for each variable that is almost LIMBECK_URL or LIMBECK_KEY. The operator's settings are not."""
    found = []
    for name in sorted(environment):
        suffix = name.removeprefix("LIMBECK_")
        if suffix != name and suffix not in ("URL", "KEY", "TLS_KEY"):
            near = get_close_matches(suffix, ("URL", "KEY"), 1, cutoff=0.6)
            found += [unknown_setting(name, f"LIMBECK_{near[0]}")] if near else []
    return found
