"""JSON bodies that are too large for the event loop: parsed and validated in a process of their own.

FastAPI parses and validates a body on the event loop. 16 MB of numbers where labels are expected would keep every other
request waiting for 20 s. A route of this class hands a body above `LARGE_BYTES` to `limited_process`, and FastAPI gets
the validated model.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any

import anyio.to_thread
from fastapi import Request
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.responses import Response

from api.http import limited_process
from api.http.problems import ProblemError, validation_items
from store.errors import InvalidField


def validate(body: bytes, model: Any) -> tuple[Any, list[object]]:
    """The body as this type, which can be pickled, and no items. Raises ProblemError as a small body does."""
    try:
        document = json.loads(body)
    except json.JSONDecodeError as error:
        raise ProblemError(400, "malformed_json", f"malformed JSON at character {error.pos}: {error.msg}") from None
    except (UnicodeDecodeError, RecursionError):
        raise ValueError("the body is not JSON") from None  # which FastAPI turns into its own 400
    try:
        return TypeAdapter[Any](model).validate_python(document), []
    except ValidationError as error:
        items = validation_items(error.errors(include_url=False, include_context=False), document)
        fields = [InvalidField(item.pointer, item.detail) for item in items]
        detail = f"{fields[0].pointer or 'the body'}: {fields[0].detail}"
        raise ProblemError(422, "invalid_request", detail, fields) from None


class LargeJSONRoute(APIRoute):
    """A route whose large JSON bodies do not delay other requests."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The handler of FastAPI, with a request that parses its large body elsewhere."""
        handler = super().get_route_handler()
        model = self.body_field.field_info.annotation if self.body_field is not None else None
        if model is None:
            return handler

        async def handle(request: Request) -> Response:
            return await handler(_JSONRequest(request, model))

        return handle


class _JSONRequest(Request):
    def __init__(self, request: Request, model: object) -> None:
        super().__init__(request.scope, request.receive)
        self._model = model

    async def json(self) -> Any:
        body = await self.body()
        if len(body) <= limited_process.LARGE_BYTES:
            return await super().json()
        return await anyio.to_thread.run_sync(self._validate, body)

    def _validate(self, body: bytes) -> Any:
        parsed, _ = limited_process.run(validate, body, self._model, num_bytes=len(body))
        return parsed
