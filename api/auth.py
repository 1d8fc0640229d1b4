"""Authentication: a key with the needed scope; a service bound to loopback also serves local clients without a key.
Clients of the Hugging Face Hub send a key as their token (`HF_TOKEN=lbk_...`).

Without a key, Host and Origin must be loopback addresses, and no header may show that the request was forwarded.
Otherwise a web page (by DNS rebinding or a form) or a proxy in front of the service could use it without a key.
"""

import functools
import ipaddress
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http import hub_errors, problems
from store import api_keys
from store.access.principals import LOCAL_PRINCIPAL, Principal
from store.db import Database

PUBLIC_PATHS = frozenset({"/healthz"})
# The editor page, which contains no data and calls the API with the key of the user, and styles and scripts.
PUBLIC_PREFIXES = ("/attributes/", "/static/")
_REALM = 'Bearer realm="limbeck"'


@functools.lru_cache(maxsize=64)  # called up to three times per request, with few different hosts
def is_loopback(host: str) -> bool:
    """Whether a host name or address is a loopback address of this machine."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class AuthMiddleware:
    """Sets `state.principal` (a `Principal`), or responds with 401 or 403 before the body is read."""

    def __init__(self, app: ASGIApp, *, db: Database, host: str) -> None:
        self.app = app
        self.db = db
        self.bound_to_loopback = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PUBLIC_PATHS or scope["path"].startswith(PUBLIC_PREFIXES):
            await self.app(scope, receive, send)
            return
        rejection = await self._authenticate(scope)
        await (rejection or self.app)(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> Response | None:
        """Set the principal and return None, or return the 401, 403 or 503."""
        headers = Headers(scope=scope)
        authorization = headers.get("authorization")
        if authorization is not None and not _is_hub_token(scope, authorization):
            return await self._authenticate_key(scope, authorization)
        if not self.bound_to_loopback or not _received_on_loopback(scope):
            return _unauthorized(scope, "send a key: Authorization: Bearer lbk_...")
        if reason := _remote_reason(headers):
            detail = f"{reason}; only requests from this machine are allowed without a key"
            return problems.problem_response(scope, 403, "not_loopback", detail)
        scope["state"]["principal"] = LOCAL_PRINCIPAL
        return None

    async def _authenticate_key(self, scope: Scope, authorization: str) -> Response | None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            return _unauthorized(scope, "Authorization must be: Bearer lbk_...")
        try:
            principal = await anyio.to_thread.run_sync(functools.partial(self._find_key, secret.strip()))
        except Exception as error:
            scope["state"]["exception"] = error
            return problems.problem_response(
                scope,
                503,
                "database_unavailable",
                "the key cannot be checked: the database does not respond",
                headers={"Retry-After": "2"},
            )
        if principal is None:
            return _unauthorized(scope, "this key is unknown, expired or revoked", error="invalid_token")
        scope["state"]["principal"] = principal
        is_read = scope["method"] in ("GET", "HEAD", "OPTIONS") or hub_errors.is_read(scope)
        needed = "read" if is_read else "write"
        if needed not in principal.scopes:
            challenge = f'{_REALM}, error="insufficient_scope", scope="{needed}"'
            detail = f'this key lacks the scope "{needed}"'
            return problems.problem_response(
                scope, 403, "scope_missing", detail, headers={"WWW-Authenticate": challenge}
            )
        return None

    def _find_key(self, secret: str) -> Principal | None:
        """The principal of the active key with this secret."""
        with self.db.read() as tx:
            key = api_keys.find(tx, secret)
            return api_keys.principal_of(key) if key else None


def _unauthorized(scope: Mapping[str, Any], detail: str, *, error: str = "") -> Response:
    challenge = _REALM + (f', error="{error}"' if error else "")
    return problems.problem_response(scope, 401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


def _is_hub_token(scope: Mapping[str, Any], authorization: str) -> bool:
    """Whether this is a token of the real Hub, which its clients send wherever `HF_ENDPOINT` points to: not a key."""
    return authorization.lower().startswith("bearer hf_") and hub_errors.is_hub_path(scope)


def _received_on_loopback(scope: Scope) -> bool:
    # The settings name the address to bind, but a server may have been started on another one.
    server = scope.get("server")
    return server is None or server[1] is None or is_loopback(server[0])


def _remote_reason(headers: Headers) -> str | None:
    """Why the headers show that the request may not come from this machine; None if they do not."""
    for name in headers:
        if name.startswith("x-forwarded-") or name in ("forwarded", "x-real-ip", "via"):
            return f"the header {name} shows that the request was forwarded"
    host = _host_of("//" + headers.get("host", ""))
    if not is_loopback(host):
        return f"the host {host!r} is not a loopback address"
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_host_of(origin)):
        return f"the origin {origin[:200]!r} is not on this machine"
    return None


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
