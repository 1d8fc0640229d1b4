"""What a principal may do: its scopes, its limit of requests, and the record of refused writes.

`api.auth` says who sends a request. Requests without a principal are those that need none.
"""

import anyio.to_thread
from sqlalchemy.exc import SQLAlchemyError
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth import READS, REALM, SESSION
from api.http import hub_errors, problems
from api.http.write_requests import write_request
from api.key_uses import KeyUses
from api.rate_limits import WINDOW_S, RateLimiter
from store.access import audit
from store.access.principals import LOCAL, Principal
from store.db import Database


class AccessMiddleware:
    """Responds with 403 to a principal without the scope, and with 429 to a key with too many requests."""

    def __init__(self, app: ASGIApp, *, db: Database, limiter: RateLimiter, uses: KeyUses) -> None:
        self.app = app
        self.db = db
        self.limiter = limiter
        self.uses = uses

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal: Principal | None = scope.get("state", {}).get("principal")
        if scope["type"] != "http" or principal is None:
            await self.app(scope, receive, send)
            return
        if principal.id != LOCAL:
            self.uses.note(principal.id)
        rejection, headers = await self._limit(scope, principal)
        is_read = scope["method"] in READS or hub_errors.is_read(scope)
        rejection = rejection or _scope_missing(scope, principal, "read" if is_read else "write")

        async def send_noted(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers]
                if message["status"] == 403 and not is_read:
                    await self._record_refusal(scope)
            await send(message)

        await (rejection or self.app)(scope, receive, send_noted)

    async def _limit(self, scope: Scope, principal: Principal) -> tuple[Response | None, list[tuple[bytes, bytes]]]:
        """Count the request of a key with a limit: the 429 if it is one too many, and the headers of every response."""
        limit = principal.limits.requests_per_min
        if limit is None:
            return None, []
        found = await self.limiter.take(principal.id, limit)
        # https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
        headers = [
            (b"ratelimit-policy", f'"key";q={limit};w={WINDOW_S:.0f}'.encode()),
            (b"ratelimit", f'"key";r={found.remaining};t={found.retry_after_s}'.encode()),
        ]
        if found.allowed:
            return None, headers
        detail = f"this key allows {limit} requests per minute; the next one is in {found.retry_after_s} s"
        retry = {"Retry-After": str(found.retry_after_s)}
        return problems.problem_response(scope, 429, "rate_limited", detail, headers=retry), headers

    async def _record_refusal(self, scope: Scope) -> None:
        """Record a write that is answered with 403, before its response; a database that is away hides no 403."""

        def write() -> None:
            with self.db.write() as tx:
                resource_id = scope.get("path_params", {}).get("id")
                audit.record(tx, write_request(scope), resource_id=resource_id, status=403)

        try:
            await anyio.to_thread.run_sync(write)
        except SQLAlchemyError as error:
            scope["state"]["exception"] = error


def _scope_missing(scope: Scope, principal: Principal, needed: str) -> Response | None:
    """The 403 for a scope that the principal lacks."""
    if scope["path"] == SESSION or needed in principal.scopes:
        return None
    challenge = f'{REALM}, error="insufficient_scope", scope="{needed}"'
    detail = f'this key lacks the scope "{needed}"'
    return problems.problem_response(scope, 403, "scope_missing", detail, headers={"WWW-Authenticate": challenge})
