"""Authentication: a key; a service bound to loopback also serves local clients without a key.
Clients of the Hugging Face Hub send a key as their token (`HF_TOKEN=lbk_...`). A browser sends the cookie of a session
(`api.pages.sign_in`), and repeats the CSRF token of the session in a header when it changes something.

Without a key, Host and Origin must be loopback addresses, and no header may show that the request was forwarded.
Otherwise a web page (by DNS rebinding or a form) or a proxy in front of the service could use it without a key.

A service on another address than loopback that has no key yet responds with 503 until the operator creates one.
"""

import functools
import ipaddress
import secrets
from collections.abc import Callable
from urllib.parse import quote, urlsplit

import anyio.to_thread
from starlette.datastructures import Headers
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.http import hub_errors, problems
from store.access import api_keys, browser_sessions
from store.access.principals import LOCAL_PRINCIPAL, Principal
from store.db import Database

SIGN_IN = "/sign-in"
SESSION = "/session"
PUBLIC_PATHS = frozenset({"/healthz", "/readyz", SIGN_IN})  # probes of containers and of load balancers have no key
STATIC_PREFIX = "/static/"  # styles and scripts of the pages
COOKIE = "limbeck_session"
CSRF_HEADER = "X-CSRF-Token"
READS = ("GET", "HEAD", "OPTIONS")
_NOT_LOOPBACK = "the service is not bound to loopback"
NO_KEY_YET = "no key yet: create one with the settings of the service: limbeck key create --name NAME"
REALM = 'Bearer realm="limbeck"'


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
    """Sets `state.principal` (a `Principal`), or responds with 401 or 403 before the body is read.

    `api.access` decides what the principal may do.
    """

    def __init__(self, app: ASGIApp, *, db: Database, host: str) -> None:
        self.app = app
        self.db = db
        self.bound_to_loopback = is_loopback(host)
        self._had_key = self.bound_to_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in PUBLIC_PATHS or scope["path"].startswith(STATIC_PREFIX):
            await self.app(scope, receive, send)
            return
        rejection = await self._authenticate(scope)
        if rejection is not None and rejection.status_code in (401, 303) and not self._had_key:
            rejection = await self._rejection_before_first_key(scope) or rejection
        await (rejection or self.app)(scope, receive, send)

    async def _authenticate(self, scope: Scope) -> Response | None:
        """Set the principal and return None, or return the 401, 403 or 503."""
        headers = Headers(scope=scope)
        authorization = headers.get("authorization")
        if authorization is not None and not _is_hub_token(scope, authorization):
            return await self._authenticate_key(scope, authorization)
        remote_reason = self._remote_reason(scope, headers)
        token = cookie_parser(headers.get("cookie", "")).get(COOKIE, "")
        if remote_reason and token:
            return await self._authenticate_session(scope, token)
        if remote_reason and (scope["method"] == "GET" and problems.wants_page(scope)):
            return _to_sign_in(scope)
        if remote_reason == _NOT_LOOPBACK:
            return _unauthorized(scope, "send a key: Authorization: Bearer lbk_...")
        if remote_reason:
            detail = f"{remote_reason}; only requests from this machine are allowed without a key"
            return problems.problem_response(scope, 403, "not_loopback", detail)
        if scope["method"] not in READS and not is_from_own_page(headers):
            detail = "this request comes from a page of another site; only pages of this service may change something"
            return problems.problem_response(scope, 403, "cross_site_request", detail)
        scope["state"]["principal"] = LOCAL_PRINCIPAL
        return None

    def _remote_reason(self, scope: Scope, headers: Headers) -> str | None:
        """Why the request may not come from this machine; None if it does."""
        if not self.bound_to_loopback or not _received_on_loopback(scope):
            return _NOT_LOOPBACK
        return _remote_reason(headers)

    async def _rejection_before_first_key(self, scope: Scope) -> Response | None:
        """The 503 of a service that has no active key yet. Once it has had one, the database is not asked again."""
        try:
            self._had_key = await anyio.to_thread.run_sync(self._has_key)
        except Exception as error:
            scope["state"]["exception"] = error
            return None
        if self._had_key:
            return None
        return problems.problem_response(scope, 503, "no_key_yet", NO_KEY_YET, headers={"Retry-After": "5"})

    async def _authenticate_key(self, scope: Scope, authorization: str) -> Response | None:
        scheme, _, secret = authorization.partition(" ")
        if scheme.lower() != "bearer" or not secret.strip():
            return _unauthorized(scope, "Authorization must be: Bearer lbk_...")
        found = await self._look_up(scope, functools.partial(self._find_key, secret.strip()))
        if isinstance(found, Response):
            return found
        if found is None:
            return _unauthorized(scope, "this key is unknown, expired or revoked", error="invalid_token")
        scope["state"]["principal"] = found
        return None

    async def _authenticate_session(self, scope: Scope, token: str) -> Response | None:
        found = await self._look_up(scope, functools.partial(self._find_session, token))
        if isinstance(found, Response):
            return found
        if found is None and scope["method"] == "GET" and problems.wants_page(scope):
            return _to_sign_in(scope)
        if found is None:
            return _unauthorized(scope, "this browser is not signed in any more", error="invalid_token")
        csrf = browser_sessions.csrf_token(token)
        sent = Headers(scope=scope).get(CSRF_HEADER, "")
        if scope["method"] not in READS and not secrets.compare_digest(sent.encode(), csrf.encode()):
            detail = f"the header {CSRF_HEADER} must repeat the token of the page that sends the request"
            return problems.problem_response(scope, 403, "csrf_token_invalid", detail)
        scope["state"] |= {"principal": found, "csrf": csrf, "viewer": found.owner}
        return None

    async def _look_up(self, scope: Scope, find: Callable[[], Principal | None]) -> Principal | Response | None:
        """The principal, None if there is none, or the 503 of a database that does not respond."""
        try:
            return await anyio.to_thread.run_sync(find)
        except Exception as error:
            scope["state"]["exception"] = error
            detail = "the key cannot be checked: the database does not respond"
            return problems.problem_response(scope, 503, "database_unavailable", detail, headers={"Retry-After": "2"})

    def _has_key(self) -> bool:
        with self.db.read() as tx:
            return api_keys.has_active_key(tx)

    def _find_key(self, secret: str) -> Principal | None:
        """The principal of the active key with this secret."""
        with self.db.read() as tx:
            key = api_keys.find(tx, secret)
            return api_keys.principal_of(key) if key else None

    def _find_session(self, token: str) -> Principal | None:
        with self.db.read() as tx:
            return browser_sessions.find(tx, token)


def is_from_own_page(headers: Headers) -> bool:
    """Whether a request comes from no browser, from its address bar, or from a page of this service."""
    return headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _to_sign_in(scope: Scope) -> Response:
    query = scope["query_string"].decode("latin-1")
    return RedirectResponse(f"{SIGN_IN}?next={quote(scope['path'] + ('?' + query if query else ''))}", 303)


def _unauthorized(scope: Scope, detail: str, *, error: str = "") -> Response:
    challenge = REALM + (f', error="{error}"' if error else "")
    return problems.problem_response(scope, 401, "unauthorized", detail, headers={"WWW-Authenticate": challenge})


def _is_hub_token(scope: Scope, authorization: str) -> bool:
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
