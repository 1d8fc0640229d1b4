"""Errors as RFC 9457 problems: `application/problem+json` with a stable `code` and `errors: [{pointer, detail}]`.

The packages below the API raise their own errors. Only this module maps them to HTTP responses.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any, Self

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ModelWrapValidatorHandler, ValidationError, model_validator
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import MAX_BODY_SIZE_SCOPE_KEY
from starlette.responses import Response
from starlette.routing import BaseRoute, Match

from api.http import hub_errors
from api.http.schemas import RequestModel, unstorable_reason
from store.errors import (
    BudgetExceeded,
    Conflict,
    DraftStale,
    InUse,
    InvalidField,
    InvalidRequest,
    NotFound,
    NotOwner,
    QuotaExceeded,
)
from store.uploads.places import UploadsOff

MAX_ERRORS = 20
_FEW_VALUES = 10_000
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
    """One invalid field of the body, or one invalid query parameter or header."""

    pointer: str = Field("", description="JSON pointer (RFC 6901) into the body.", examples=["/labels/17/sense"])
    parameter: str | None = Field(None, description="Name of the query parameter or header.", examples=["limit"])
    detail: str = Field(examples=['label 17 "crane" is also label 4; give each a sense'])
    kind: str | None = Field(None, description="With `id`: a resource that uses the one to be deleted, or a job.")
    id: str | None = Field(None, description="Id of that resource.")


class Problem(BaseModel):
    """The body of every error response (RFC 9457). `code` is stable; `title` and `detail` are for people."""

    type: str = "about:blank"
    title: str = Field(description="Phrase of the HTTP status.", examples=["Unprocessable Entity"])
    status: int = Field(description="HTTP status.", examples=[422])
    code: str = Field(description="Stable code of this kind of error.", examples=["label_invalid"])
    detail: str = Field(examples=['label 17 "crane" is also label 4; give each a sense'])
    errors: list[ErrorItem] = Field([], description=f"The invalid fields and parameters, at most {MAX_ERRORS}.")
    request_id: str | None = Field(None, description="The response's `X-Request-Id`, which is also in the log.")


class ProblemError(HTTPException):
    """An exception that becomes the problem response with these values."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        invalid_fields: Sequence[InvalidField] = (),
        *,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers or {}))
        self.code = code
        self.errors = [ErrorItem(pointer=field.pointer, detail=field.detail) for field in invalid_fields]

    def __reduce__(self) -> tuple[type[Self], tuple[object, ...], dict[str, object]]:
        """Pickled by `api.http.limited_process`; the default is made for exceptions of one argument."""
        return type(self), (self.status_code, self.code, self.detail), {"errors": self.errors, "headers": self.headers}


def problem_response(
    scope: MutableMapping[str, Any],
    status: int,
    code: str,
    detail: str,
    errors: Sequence[ErrorItem] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The response for a problem; of `errors`, the first `MAX_ERRORS` are sent.

    On the paths of the Hub's protocol, it also has what the Hub's clients read.
    """
    problem = Problem(
        title=HTTPStatus(status).phrase,
        status=status,
        code=code,
        detail=detail,
        errors=list(errors)[:MAX_ERRORS],
        request_id=scope.get("state", {}).get("request_id"),
    )
    if wants_page(scope) and (render := getattr(getattr(scope.get("app"), "state", None), "problem_page", None)):
        page: Response = render(Request(scope), problem)
        page.headers.update(headers or {})
        return page
    body = problem.model_dump(exclude_none=True)
    all_headers = dict(headers or {})
    if hub_errors.is_hub_path(scope):
        body["error"] = detail
        all_headers |= hub_errors.headers(code, detail, all_headers.get("WWW-Authenticate", ""))
    # `detail` may quote lone surrogates from the request. json.dumps escapes them, so that the body is valid UTF-8.
    return Response(json.dumps(body), status, all_headers, media_type=MEDIA_TYPE)


def wants_page(scope: MutableMapping[str, Any]) -> bool:
    """Whether a person looks at the response: a browser that opens an address outside the API."""
    accept = Headers(scope=scope).get("accept", "")
    return "text/html" in accept and not scope["path"].startswith("/v1/") and not hub_errors.is_hub_path(scope)


def body_too_large(scope: MutableMapping[str, Any], max_body_bytes: int) -> Response:
    """The 413 for a body above the limit. The rest of the body is not read, so the connection is closed."""
    detail = f"the body is longer than {max_body_bytes} bytes"
    return problem_response(scope, 413, _CODES[413], detail, headers={"Connection": "close"})


@contextmanager
def not_found_at(pointer: str) -> Iterator[None]:
    """Turn a `NotFound` inside this block into a 422 that points at the body's field `pointer`, instead of a 404."""
    try:
        yield
    except NotFound as error:
        raise unprocessable(f"{_snake_case(error.kind)}_not_found", str(error), pointer) from error


def unprocessable(code: str, detail: str, pointer: str) -> ProblemError:
    """A 422 with one invalid field of the body."""
    return ProblemError(422, code, detail, [InvalidField(pointer, detail)])


def invalid_parameter(parameter: str, detail: str, *, status: int = 422, code: str = "invalid_request") -> ProblemError:
    """A problem with one invalid query parameter or header; `detail` is a predicate such as `is blank`."""
    problem = ProblemError(status, code, f"{parameter} {detail}")
    problem.errors.append(ErrorItem(parameter=parameter, detail=detail))
    return problem


class StorableRequestModel(RequestModel):
    """A request body that is rejected if a text in it, at any depth, cannot be stored in the database."""

    @model_validator(mode="wrap")
    @classmethod
    def _storable(cls, body: object, validate: ModelWrapValidatorHandler[Self]) -> Self:
        # Validated before every text is read, so that lists have at most their maximum length.
        try:
            model = validate(body)
        except ValidationError:
            # pydantic says of a lone surrogate only that the text is none.
            if problem := _unstorable_problem(body, max_values=_FEW_VALUES):
                raise problem from None
            raise
        if problem := _unstorable_problem(body):
            raise problem
        return model


def _unstorable_problem(body: object, *, max_values: int | None = None) -> ProblemError | None:
    """The problem of a text that the database cannot store, in the first values of a body or in all; None if none."""
    # A stack instead of recursion: the depth of the body is up to the client.
    stack: list[tuple[object, tuple[str | int, ...]]] = [(body, ())]
    num_values = 0
    while stack and (max_values is None or num_values < max_values):
        value, steps = stack.pop()
        num_values += 1
        if isinstance(value, str) and (reason := unstorable_reason(value)):
            return unprocessable("text_invalid", reason, json_pointer(*steps))
        if isinstance(value, dict):
            stack += [(key, steps) for key in value] + [(child, (*steps, key)) for key, child in value.items()]
        elif isinstance(value, list):
            stack += [(child, (*steps, index)) for index, child in enumerate(value)]
    return None


def validation_problem(error: ValidationError, body: object, *, prefix: str = "") -> ProblemError:
    """pydantic's errors as a 422. `body` is the validated value, which lies at the JSON pointer `prefix`."""
    return problem_of_errors(error.errors(include_url=False, include_context=False), body, prefix=prefix)


def problem_of_errors(errors: Sequence[Mapping[str, Any]], body: object, *, prefix: str = "") -> ProblemError:
    """Errors in the form of pydantic's `errors()` as a 422; as `validation_problem`."""
    items = validation_items(errors, body)
    invalid_fields = [InvalidField(prefix + item.pointer, item.detail) for item in items]
    return ProblemError(422, "invalid_request", _summary(invalid_fields), invalid_fields)


def _summary(invalid_fields: Sequence[InvalidField]) -> str:
    first = invalid_fields[0]
    return f"{first.pointer or 'the body'}: {first.detail}" + (
        f" (and {len(invalid_fields) - 1} more)" * (len(invalid_fields) > 1)
    )


def validation_items(errors: Sequence[Mapping[str, Any]], body: object) -> list[ErrorItem]:
    """pydantic's errors with their locations as JSON pointers, at most `MAX_ERRORS`."""
    items = []
    for error in errors[:MAX_ERRORS]:
        steps = _resolve(list(error["loc"]), body, missing=error["type"] == "missing")
        items.append(ErrorItem(pointer=json_pointer(*(steps or [])), detail=_message(error)))
    return items


def json_pointer(*steps: str | int) -> str:
    """The RFC 6901 pointer of these object keys and array indices."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in steps)


def _message(error: Mapping[str, Any]) -> str:
    message = str(error["msg"])
    return message.removeprefix("Value error, ")


def _resolve(loc: list[Any], value: Any, *, missing: bool) -> list[str | int] | None:
    """The steps of `loc` that are keys of `value`: pydantic also lists names of union members, which are not keys."""
    if not loc:
        return []
    step, rest = loc[0], loc[1:]
    if isinstance(value, dict) and step in value or isinstance(value, list) and step in range(len(value)):
        steps = _resolve(rest, value[step], missing=missing)
        if steps is not None:
            return [step, *steps]
    if missing and not rest:
        return [step] if isinstance(value, dict | list) else None
    return _resolve(rest, value, missing=missing)


def _snake_case(kind: str) -> str:
    return kind.replace(" ", "_")


def _on_validation(request: Request, error: RequestValidationError) -> Response:
    errors = error.errors()
    media_type = request.headers.get("content-type", "")
    body_errors = [item for item in errors if item["loc"][:1] == ("body",)]
    if body_errors and error.body and "json" not in media_type:
        detail = f"the body must be application/json, not {media_type or 'untyped'}"
        return problem_response(request.scope, 415, _CODES[415], detail)
    if body_errors and body_errors[0]["type"] == "json_invalid":
        detail = f"malformed JSON at character {body_errors[0]['loc'][-1]}: {body_errors[0]['ctx']['error']}"
        return problem_response(request.scope, 400, "malformed_json", detail)
    items = validation_items([{**item, "loc": item["loc"][1:]} for item in body_errors], error.body)
    items += [
        ErrorItem(parameter=str(item["loc"][-1]), detail=_message(item))
        for item in errors
        if item["loc"][:1] != ("body",)
    ]
    first = items[0]
    detail = f"{first.parameter or first.pointer or 'the body'}: {first.detail}"
    return problem_response(request.scope, 422, "invalid_request", detail, items)


def _on_http(request: Request, error: HTTPException) -> Response:
    if isinstance(error, ProblemError):
        return problem_response(request.scope, error.status_code, error.code, error.detail, error.errors, error.headers)
    if error.status_code == 204:
        return Response(status_code=204)
    if error.status_code == 413:
        return body_too_large(request.scope, request.scope[MAX_BODY_SIZE_SCOPE_KEY])
    code = _CODES.get(error.status_code, "error")
    detail = f"{error.detail}: {request.method} {request.url.path}"
    headers = dict(error.headers or {})
    if error.status_code == 405 and (methods := allowed_methods(request)):
        headers["Allow"] = ", ".join(methods)  # Starlette names those of one route, but each method has its own
    return problem_response(request.scope, error.status_code, code, detail, headers=headers)


def allowed_methods(request: Request) -> list[str]:
    """The methods of a path. Of `/jobs/{id}` and `/jobs/estimate`, the path with the fewest parameters counts."""
    methods: dict[str, set[str]] = {}
    for route in _flat(request.app.routes):
        found, _ = route.matches(request.scope)
        if found is not Match.NONE:
            methods.setdefault(getattr(route, "path", ""), set()).update(getattr(route, "methods", None) or ())
    if not methods:
        return []
    return sorted(methods[min(methods, key=lambda path: path.count("{"))])


def _flat(routes: Iterable[BaseRoute]) -> Iterator[BaseRoute]:
    """The routes, with those of included routers, which FastAPI keeps behind one route."""
    for route in routes:
        included = getattr(route, "original_router", None)
        yield from [route] if included is None else _flat(included.routes)


def _on_invalid_request(request: Request, error: InvalidRequest) -> Response:
    items = [ErrorItem(pointer=field.pointer, detail=field.detail) for field in error.invalid_fields]
    return problem_response(request.scope, 422, error.code, str(error), items)


def _on_not_found(request: Request, error: NotFound) -> Response:
    return problem_response(request.scope, 404, f"{_snake_case(error.kind)}_not_found", str(error))


def _on_not_owner(request: Request, error: NotOwner) -> Response:
    return problem_response(request.scope, 403, "not_owner", str(error))


def _on_budget(request: Request, error: BudgetExceeded) -> Response:
    return problem_response(request.scope, 402, "budget_exceeded", str(error))


def _on_quota(request: Request, error: QuotaExceeded) -> Response:
    return problem_response(request.scope, 413, "upload_quota_exceeded", str(error))


def _on_uploads_off(request: Request, error: UploadsOff) -> Response:
    return problem_response(request.scope, 409, "uploads_off", str(error))


def _on_conflict(request: Request, error: Conflict) -> Response:
    return problem_response(request.scope, 409, error.code, str(error))


def _on_in_use(request: Request, error: InUse) -> Response:
    items = [ErrorItem(detail=user.detail, kind=user.kind, id=user.id) for user in error.users]
    return problem_response(request.scope, 409, error.code, str(error), items)


def _on_integrity(request: Request, error: IntegrityError) -> Response:
    """A resource that the request refers to was deleted, or one that it deletes was referred to, at the same time."""
    request.state.exception = error
    detail = "a resource of this request was changed or deleted by another one at the same time: look at it again"
    return problem_response(request.scope, 409, "changed_meanwhile", detail)


def _on_stale(request: Request, error: DraftStale) -> Response:
    return problem_response(request.scope, 412, error.code, str(error), headers={"ETag": f'"{error.version}"'})


def _on_database(request: Request, error: Exception) -> Response:
    request.state.exception = error
    detail = "the database does not respond; nothing was changed"
    return problem_response(request.scope, 503, "database_unavailable", detail, headers={"Retry-After": "2"})


def install(app: FastAPI) -> None:
    """Register the app's exception handlers."""
    handlers: dict[type[Exception], Callable[[Request, Any], Response]] = {
        RequestValidationError: _on_validation,
        HTTPException: _on_http,
        InvalidRequest: _on_invalid_request,
        NotFound: _on_not_found,
        NotOwner: _on_not_owner,
        BudgetExceeded: _on_budget,
        QuotaExceeded: _on_quota,
        UploadsOff: _on_uploads_off,
        Conflict: _on_conflict,
        InUse: _on_in_use,
        IntegrityError: _on_integrity,
        DraftStale: _on_stale,
        OperationalError: _on_database,
        PoolTimeout: _on_database,
    }
    for error_type, handler in handlers.items():
        app.add_exception_handler(error_type, _as_coroutine(handler))


def _as_coroutine(handler: Callable[[Request, Any], Response]) -> Callable[[Request, Exception], Awaitable[Response]]:
    # Starlette runs a plain function in a thread; a coroutine runs in the event loop.
    async def handle(request: Request, error: Exception) -> Response:
        return handler(request, error)

    return handle
