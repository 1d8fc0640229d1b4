"""Who may ask: a key with the scope, or, where the service is bound to loopback, anyone who sits on this machine.

Without a key, Host and Origin must be loopback's and no header may say that the request was forwarded: so that no web
page (by a rebound name, or a form) and no proxy that was put in front can drive a service that knows no keys.
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

from api.http import problems
from store import keys
from store.db import Database

OPEN_PATHS = frozenset({"/healthz"})
OPEN_BELOW = "/attributes/"  # the editing page, which holds nothing and asks the API with the key that it is given
LOCAL = "local"
_REALM = 'Bearer realm="limbeck"'


@functools.lru_cache(maxsize=64)  # asked three times a request, of a handful of names
def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own and no other's."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Access:
    """Lets a request through with `state.principal` set, or answers 401 or 403 before anything of it is read."""

    def __init__(self, app: ASGIApp, *, db: Database, host: str) -> None:
        self.app = app
        self.db = db
        self.bound_to_loopback = is_loopback(host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in OPEN_PATHS or scope["path"].startswith(OPEN_BELOW):
            await self.app(scope, receive, send)
            return
        refusal = await self._refusal(scope)
        await (refusal or self.app)(scope, receive, send)

    async def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        authorization = headers.get("authorization")
        if authorization is not None:
            return await self._by_key(scope, authorization)
        if not self.bound_to_loopback or not _came_in_on_loopback(scope):
            return _unauthorized(scope, "send a key: Authorization: Bearer lbk_...")
        if fault := _foreign(headers):
            return problems.respond(scope, 403, "not_loopback", f"{fault}; without a key only this machine may ask")
        scope["state"]["principal"] = LOCAL
        return None

    async def _by_key(self, scope: Scope, authorization: str) -> Response | None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            return _unauthorized(scope, "Authorization must be: Bearer lbk_...")
        try:
            found = await anyio.to_thread.run_sync(functools.partial(self._look_up, secret.strip()))
        except Exception as error:
            scope["state"]["fault"] = error
            return problems.respond(
                scope, 503, "database_unavailable", "keys cannot be looked up now", headers={"Retry-After": "2"}
            )
        if found is None:
            return _unauthorized(scope, "this key is unknown, expired or revoked", error="invalid_token")
        key_id, scopes = found
        scope["state"]["principal"] = key_id
        needed = "read" if scope["method"] in ("GET", "HEAD", "OPTIONS") else "write"
        if needed not in scopes:
            challenge = f'{_REALM}, error="insufficient_scope", scope="{needed}"'
            detail = f'this key lacks the scope "{needed}"'
            return problems.respond(scope, 403, "scope_missing", detail, headers={"WWW-Authenticate": challenge})
        return None

    def _look_up(self, secret: str) -> tuple[str, list[Any]] | None:
        with self.db.read() as tx:
            key = keys.find(tx, secret)
            return (key.id, key.scopes) if key else None


def _unauthorized(scope: Mapping[str, Any], detail: str, *, error: str = "") -> Response:
    challenge = _REALM + (f', error="{error}"' if error else "")
    return problems.respond(scope, 401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


def _came_in_on_loopback(scope: Scope) -> bool:
    # The settings say where to bind, but a server may have been started elsewhere than they say.
    server = scope.get("server")
    return server is None or server[1] is None or is_loopback(server[0])


def _foreign(headers: Headers) -> str | None:
    for name in headers:
        if name.startswith("x-forwarded-") or name in ("forwarded", "x-real-ip", "via"):
            return f"the header {name} says that the request was forwarded"
    host = _host_of("//" + headers.get("host", ""))
    if not is_loopback(host):
        return f"the host {host!r} is not this machine's loopback"
    origin = headers.get("origin")
    if origin is not None and not is_loopback(_host_of(origin)):
        return f"the origin {origin[:200]!r} is not on this machine"
    return None


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
