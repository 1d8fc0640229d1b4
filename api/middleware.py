"""The outermost middleware: request ids, log lines, latencies, security headers, Content-Length, exceptions as 500."""

import logging
import random
import re
import time

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.typing import FilteringBoundLogger

from api.http import body_limits, problems
from api.logs import level_of
from api.metrics.registry import Metrics
from limbeck.shared.parts import VERSION_HEADER, installed_version
from store.access.principals import Principal

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DEFAULT_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # `api.pages.rendering` sends a policy for each page, which allows the page's own style and script.
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"),
    (b"cache-control", b"no-store"),
    (VERSION_HEADER.lower().encode(), installed_version().encode()),
)


class RequestMiddleware:
    """Wraps the whole app.

    Sets `state.request_id` for the inner layers. An inner layer that turns an exception into a response sets
    `state.exception`, which is then logged here.
    """

    def __init__(self, app: ASGIApp, *, log: FilteringBoundLogger, metrics: Metrics, max_body_bytes: int) -> None:
        self.app = app
        self.log = log
        self.metrics = metrics
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        client_id = headers.get("x-request-id", "")
        request_id = client_id if _REQUEST_ID.fullmatch(client_id) else f"{random.getrandbits(64):016x}"
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 0
        first_byte_s: float | None = None

        async def send_with_headers(message: Message) -> None:
            nonlocal status, first_byte_s
            if message["type"] == "http.response.start":
                status = message["status"]
                first_byte_s = time.perf_counter() - started
                present = {name for name, _ in message["headers"]}
                defaults = [header for header in _DEFAULT_HEADERS if header[0] not in present]
                message["headers"] = [*message["headers"], *defaults, (b"x-request-id", request_id.encode())]
            await send(message)

        exception: BaseException | None = None
        try:
            if rejection := self._rejection(scope, headers):
                await rejection(scope, receive, send_with_headers)
            else:
                await self.app(scope, receive, send_with_headers)
        except Exception as error:
            exception = error
            if status:
                raise  # part of the response has been sent: the connection must be closed
            detail = f"internal error; the log has the exception under request {request_id}"
            await problems.problem_response(scope, 500, "internal_error", detail)(scope, receive, send_with_headers)
        finally:
            duration_s = time.perf_counter() - started
            self._record(
                scope,
                status,
                duration_s,
                first_byte_s=duration_s if first_byte_s is None else first_byte_s,
                exception=exception or state.get("exception"),
            )

    def _rejection(self, scope: Scope, headers: Headers) -> Response | None:
        """The response to a request that no route may see; None for every other request."""
        # The databases cannot store NUL characters, so no id and no name contains one.
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return problems.problem_response(scope, 400, "bad_request", "the URL has a NUL character")
        # FastAPI's `max_body_size` counts the bytes that a route reads. It would answer a Content-Length above the
        # limit with text/plain, and only after a route that reads no body has done its work.
        length = headers.get("content-length", "0")
        limit = body_limits.of_path(scope["path"], self.max_body_bytes)
        if not length.isascii() or not length.isdigit() or int(length) > limit:
            return problems.body_too_large(scope, limit)
        return None

    def _record(
        self, scope: Scope, status: int, duration_s: float, *, first_byte_s: float, exception: BaseException | None
    ) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        self.metrics.observe(scope["method"], route, status, duration_s)
        state = scope["state"]
        principal: Principal | None = state.get("principal")
        level = level_of(scope["method"], route, status, first_byte_s=first_byte_s, has_exception=exception is not None)
        self.log.log(
            logging.getLevelNamesMapping()[level.upper()],
            "request",
            request_id=state["request_id"],
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round(duration_s * 1000, 1),
            principal=principal.id if principal else None,
            owner=principal.owner if principal else None,
            **({"exc_info": exception} if exception else {}),
        )
