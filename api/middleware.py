"""The outermost layer: a request's id, its log line and latency, headers that every answer bears, and faults as 500."""

import random
import re
import time
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.http import problems
from api.metrics import Metrics

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    # Pages are plain: no script, no frame, nothing from elsewhere.
    (
        b"content-security-policy",
        b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    ),
    (b"cache-control", b"no-store"),
)


class Edge:
    """Wraps the whole app."""

    def __init__(self, app: ASGIApp, *, log: Any, metrics: Metrics, max_body_bytes: int) -> None:
        self.app = app
        self.log = log
        self.metrics = metrics
        self.max_body_bytes = max_body_bytes
        self._too_long = f"the body is longer than {max_body_bytes} bytes"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        asked = headers.get("x-request-id", "")
        request_id = asked if _REQUEST_ID.fullmatch(asked) else f"{random.getrandbits(64):016x}"
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        status = 0

        async def answered(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                given = {name for name, _ in message["headers"]}
                own = [header for header in _HEADERS if header[0] not in given]
                message["headers"] = [*message["headers"], *own, (b"x-request-id", request_id.encode())]
            await send(message)

        received = 0

        async def counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.max_body_bytes:
                raise problems.ProblemError(413, "body_too_large", self._too_long, headers={"Connection": "close"})
            return message

        fault: BaseException | None = None
        try:
            if refusal := self._refusal(scope, headers):
                await refusal(scope, receive, answered)
            else:
                await self.app(scope, counted, answered)
        except Exception as error:
            fault = error
            if status:
                raise  # the answer is under way, and can only be broken off
            detail = f"something went wrong here; the log has it under request {request_id}"
            await problems.respond(scope, 500, "internal_error", detail)(scope, receive, answered)
        finally:
            self._note(scope, status, time.perf_counter() - started, fault or state.get("fault"))

    def _refusal(self, scope: Scope, headers: Headers) -> Any:
        # No database keeps these, so no id or name can hold one.
        if "\0" in scope["path"] or b"%00" in scope["query_string"]:
            return problems.respond(scope, 400, "bad_request", "the URL has a NUL character")
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > self.max_body_bytes:
            return problems.respond(scope, 413, "body_too_large", self._too_long, headers={"Connection": "close"})
        return None

    def _note(self, scope: Scope, status: int, seconds: float, fault: BaseException | None) -> None:
        route = getattr(scope.get("route"), "path", "(none)")
        self.metrics.observe(scope["method"], route, status, seconds)
        state = scope["state"]
        emit = self.log.error if fault else self.log.info
        emit(
            "request",
            request_id=state["request_id"],
            method=scope["method"],
            path=scope["path"],
            status=status,
            ms=round(seconds * 1000, 1),
            principal=state.get("principal"),
            **({"exc_info": fault} if fault else {}),
        )
