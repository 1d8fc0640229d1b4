"""Errors in the form that clients of the Hugging Face Hub read, for the paths of the Hub's protocol (`api.routes.hub`).

huggingface_hub chooses its exception by the header `X-Error-Code` and shows `X-Error-Message`; huggingface.js shows the
field `error` of the body.
"""

import re
from collections.abc import Mapping
from typing import Any

_PATH = re.compile(r"/api/(models|datasets|spaces|repos|whoami-v2)(/|$)|/[^/]+(/[^/]+){0,2}/resolve/")
_PATHS_INFO = re.compile(r"/api/models/[^/]+/[^/]+/paths-info/")
_MAX_MESSAGE_CHARS = 500

_ERROR_CODES = {
    "not_found": "RepoNotFound",
    "checkpoint_not_found": "RepoNotFound",
    "part_missing": "RepoNotFound",
    "revision_not_found": "RevisionNotFound",
    "file_not_found": "EntryNotFound",
    "file_gone": "EntryNotFound",
    # The Hub does not tell a client without a token whether a private repository exists.
    "unauthorized": "RepoNotFound",
    "scope_missing": "GatedRepo",
}
"""Code of the problem -> error code of the Hub."""

INVALID_KEY = "Invalid credentials in Authorization header"
"""The Hub's message for an unknown token. Clients then report the token, instead of a repository that is not found."""


def is_hub_path(scope: Mapping[str, Any]) -> bool:
    """Whether a request is of the Hub's protocol."""
    return _PATH.match(_path(scope)) is not None


def is_read(scope: Mapping[str, Any]) -> bool:
    """Whether a POST only reads: the list of paths is in its body."""
    return scope["method"] == "POST" and _PATHS_INFO.match(_path(scope)) is not None


def headers(code: str, detail: str, authenticate: str) -> dict[str, str]:
    """The headers of an error. `code` is the problem's, `authenticate` the header `WWW-Authenticate` or empty."""
    if "invalid_token" in authenticate:
        return {"X-Error-Message": INVALID_KEY}
    message = "".join(character if " " <= character <= "~" else "?" for character in detail[:_MAX_MESSAGE_CHARS])
    return {"X-Error-Message": message} | ({"X-Error-Code": _ERROR_CODES[code]} if code in _ERROR_CODES else {})


def _path(scope: Mapping[str, Any]) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))
