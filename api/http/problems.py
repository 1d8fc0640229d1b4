"""Errors as RFC 9457 problems: `application/problem+json` with a stable `code` and `errors: [{pointer, detail}]`.

Rooms below raise their own errors; here, and nowhere else, they become answers.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError, model_validator
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException
from starlette.responses import Response

from api.http.schemas import Input, unstorable
from store.errors import Conflict, Culprit, DraftStale, NotFound, Refused

MAX_ERRORS = 20
MEDIA_TYPE = "application/problem+json"

_CODES = {
    400: "bad_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    500: "internal_error",
}


class ErrorItem(BaseModel):
    """One culprit: a JSON pointer (RFC 6901) into the body, or the name of a query parameter or header."""

    pointer: str = Field("", examples=["/labels/17/sense"])
    parameter: str | None = Field(None, examples=["limit"])
    detail: str = Field(examples=['label 17 "crane" is also label 4; give each a sense'])


class Problem(BaseModel):
    """What every error is answered with (RFC 9457). `code` is stable; `title` and `detail` are for people."""

    type: str = "about:blank"
    title: str = Field(examples=["Unprocessable Entity"])
    status: int = Field(examples=[422])
    code: str = Field(examples=["label_invalid"])
    detail: str = Field(examples=['label 17 "crane" is also label 4; give each a sense'])
    errors: list[ErrorItem] = []
    request_id: str | None = None


class ProblemError(HTTPException):
    """An error that is answered as it stands."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        culprits: Sequence[Culprit] = (),
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.errors = [ErrorItem(pointer=culprit.pointer, detail=culprit.detail) for culprit in culprits]


def respond(
    scope: Mapping[str, Any],
    status: int,
    code: str,
    detail: str,
    errors: Sequence[ErrorItem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response for a problem."""
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        errors=list(errors)[:MAX_ERRORS],
        request_id=scope.get("state", {}).get("request_id"),
    )
    body = problem.model_dump(exclude_none=True)
    # What is refused may hold halves of surrogate pairs: written as escapes they do no harm.
    return Response(json.dumps(body), status, dict(headers or {}), media_type=MEDIA_TYPE)


@contextmanager
def at(pointer: str) -> Iterator[None]:
    """Within, a row that is not found is the fault of the body at `pointer`: 422 and no 404."""
    try:
        yield
    except NotFound as error:
        raise refused(f"{_word(error.kind)}_not_found", str(error), pointer) from error


def refused(code: str, detail: str, pointer: str) -> ProblemError:
    """A 422 with one culprit."""
    return ProblemError(422, code, detail, [Culprit(pointer, detail)])


class StorableInput(Input):
    """A body in which no text, at any depth, is one that no database would keep."""

    @model_validator(mode="before")
    @classmethod
    def _storable(cls, value: Any) -> Any:
        left: list[tuple[Any, tuple[str | int, ...]]] = [(value, ())]
        while left:
            one, steps = left.pop()
            if isinstance(one, str) and (fault := unstorable(one)):
                raise refused("text_invalid", fault, json_pointer(*steps))
            if isinstance(one, dict):
                left += [(key, steps) for key in one] + [(below, (*steps, key)) for key, below in one.items()]
            elif isinstance(one, list):
                left += [(below, (*steps, index)) for index, below in enumerate(one)]
        return value


def invalid(error: ValidationError, body: Any, *, below: str = "") -> ProblemError:
    """pydantic's complaints about (a part of) the body as a 422."""
    items = validation_items(error.errors(include_url=False, include_context=False), body)
    culprits = [Culprit(below + item.pointer, item.detail) for item in items]
    return ProblemError(422, "invalid_request", _summary(culprits), culprits)


def _summary(culprits: Sequence[Culprit]) -> str:
    first = culprits[0]
    return f"{first.pointer or 'the body'}: {first.detail}" + (f" (and {len(culprits) - 1} more)" * (len(culprits) > 1))


def validation_items(errors: Sequence[Mapping[str, Any]], body: Any) -> list[ErrorItem]:
    """pydantic's errors with their places as JSON pointers."""
    items = []
    for error in errors[:MAX_ERRORS]:
        steps = _resolve(list(error["loc"]), body, missing=error["type"] == "missing")
        items.append(ErrorItem(pointer=json_pointer(*(steps or [])), detail=_says(error)))
    return items


def json_pointer(*steps: str | int) -> str:
    """An RFC 6901 pointer."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _says(error: Mapping[str, Any]) -> str:
    message = str(error["msg"])
    return message.removeprefix("Value error, ")


def _resolve(loc: list[Any], value: Any, *, missing: bool) -> list[Any] | None:
    """The steps of `loc` that lead through `value`: pydantic also names the members of unions, which are no keys."""
    if not loc:
        return []
    step, rest = loc[0], loc[1:]
    if isinstance(value, dict) and step in value or isinstance(value, list) and step in range(len(value)):
        found = _resolve(rest, value[step], missing=missing)
        if found is not None:
            return [step, *found]
    if missing and not rest:
        return [step] if isinstance(value, dict | list) else None
    return _resolve(rest, value, missing=missing)


def _word(kind: str) -> str:
    return kind.replace(" ", "_")


def _on_validation(request: Request, error: RequestValidationError) -> Response:
    errors = error.errors()
    media_type = request.headers.get("content-type", "")
    body_errors = [one for one in errors if one["loc"][:1] == ("body",)]
    if body_errors and error.body and "json" not in media_type:
        detail = f"the body must be application/json, not {media_type or 'untyped'}"
        return respond(request.scope, 415, _CODES[415], detail)
    if body_errors and body_errors[0]["type"] == "json_invalid":
        detail = f"malformed JSON at character {body_errors[0]['loc'][-1]}: {body_errors[0]['ctx']['error']}"
        return respond(request.scope, 400, "malformed_json", detail)
    items = validation_items([{**one, "loc": one["loc"][1:]} for one in body_errors], error.body)
    items += [
        ErrorItem(parameter=str(one["loc"][-1]), detail=_says(one)) for one in errors if one["loc"][:1] != ("body",)
    ]
    first = items[0]
    detail = f"{first.parameter or first.pointer or 'the body'}: {first.detail}"
    return respond(request.scope, 422, "invalid_request", detail, items)


def _on_http(request: Request, error: HTTPException) -> Response:
    if isinstance(error, ProblemError):
        return respond(request.scope, error.status_code, error.code, error.detail, error.errors, error.headers)
    code = _CODES.get(error.status_code, "error")
    detail = f"{error.detail}: {request.method} {request.url.path}"
    return respond(request.scope, error.status_code, code, detail, headers=error.headers)


def _on_refused(request: Request, error: Refused) -> Response:
    items = [ErrorItem(pointer=culprit.pointer, detail=culprit.detail) for culprit in error.culprits]
    return respond(request.scope, 422, error.code, str(error), items)


def _on_not_found(request: Request, error: NotFound) -> Response:
    return respond(request.scope, 404, f"{_word(error.kind)}_not_found", str(error))


def _on_conflict(request: Request, error: Conflict) -> Response:
    return respond(request.scope, 409, error.code, str(error))


def _on_stale(request: Request, error: DraftStale) -> Response:
    return respond(request.scope, 412, error.code, str(error), headers={"ETag": f'"{error.version}"'})


def _on_database(request: Request, error: Exception) -> Response:
    request.state.fault = error
    detail = "the database does not answer; nothing was changed"
    return respond(request.scope, 503, "database_unavailable", detail, headers={"Retry-After": "2"})


def install(app: FastAPI) -> None:
    """Let the app answer each of these errors."""
    handlers: dict[type[Exception], Any] = {
        RequestValidationError: _on_validation,
        HTTPException: _on_http,
        Refused: _on_refused,
        NotFound: _on_not_found,
        Conflict: _on_conflict,
        DraftStale: _on_stale,
        OperationalError: _on_database,
        PoolTimeout: _on_database,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, _in_loop(handler))


def _in_loop(handler: Any) -> Any:
    # Handlers that are no coroutines would each take a thread.
    async def handle(request: Request, error: Exception) -> Response:
        response: Response = handler(request, error)
        return response

    return handle
