"""Rules about responses that both clients share: which requests are retried and when, and how a response is read.

Every request can be repeated safely: reads change nothing, and all other requests carry an `Idempotency-Key`, so that
the service performs them once and returns the same response to each repetition.
"""

import warnings
from collections.abc import Mapping
from typing import TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from limbeck.client.environment import allows_plain_http
from limbeck.errors import (
    FieldError,
    PlainTextKey,
    Problem,
    UnexpectedResponse,
    Unreachable,
    VersionMismatch,
    problem_for,
)
from limbeck.shared.parts import VERSION_HEADER, installed_version
from limbeck.shared.retry import backoff_s, retry_after_s

Model = TypeVar("Model", bound=BaseModel)
Param = str | int | float | bool | list[str] | None  # a query parameter; None leaves it out, a list repeats it

ATTEMPTS = 7
READ_TIMEOUT_S = 60.0
CHECK_TIMEOUT_S = 3600.0
"""How long to wait until the service has checked all images; a request that is repeated continues the check."""
_CONNECT_TIMEOUT_S = 5.0
_WRITE_TIMEOUT_S = 60.0
_FIRST_PAUSE_S = 0.25
_MAX_PAUSE_S = 8.0
_JITTER = (0.75, 1.25)  # no short pauses: the attempts must outlast a restart of the service
_MAX_RETRY_AFTER_S = 60.0
_OUTAGES = frozenset({502, 503, 504})
_RETRYABLE = _OUTAGES | {408, 429}
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def parse_url(base_url: str) -> httpx2.URL:
    """The URL of a service. Raises Unreachable if it is none."""
    try:
        url = httpx2.URL(base_url)
    except httpx2.InvalidURL as error:
        raise Unreachable(f"{base_url!r} is not a URL: {error}") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise Unreachable(f"{base_url!r} is not the URL of a service; write http://host:port")
    return url


def uses_proxy(url: httpx2.URL) -> bool:
    """Whether a proxy of the environment applies: it cannot reach the loopback interface of this machine."""
    return url.host not in _LOOPBACK


def uses_tls(url: httpx2.URL) -> bool:
    """Whether certificates must be loaded, which takes most of a client's start: not for HTTP on this machine."""
    return url.scheme == "https" or uses_proxy(url)


def warn_of_plain_text(url: httpx2.URL) -> None:
    """Warn if a key is sent over HTTP to another machine, unless LIMBECK_ALLOW_PLAIN_HTTP is set."""
    if url.scheme == "http" and url.host not in _LOOPBACK and not allows_plain_http():
        warnings.warn(
            f"the key is sent to {url.host} in plain text: use https://, or set LIMBECK_ALLOW_PLAIN_HTTP=true in a "
            "private network",
            PlainTextKey,
            stacklevel=4,
        )


def timeout(read_s: float) -> httpx2.Timeout:
    """The limits of one attempt: `read_s` seconds without any byte of the response."""
    return httpx2.Timeout(_WRITE_TIMEOUT_S, connect=_CONNECT_TIMEOUT_S, read=read_s)


def pause_s(num_failures: int) -> float:
    """Seconds to wait after `num_failures` failed attempts: exponential backoff with jitter."""
    return backoff_s(num_failures, first_s=_FIRST_PAUSE_S, max_s=_MAX_PAUSE_S, jitter=_JITTER)


def is_outage(error: Problem | Unreachable) -> bool:
    """Whether an error says that the service is away, and not that it refuses the request."""
    return isinstance(error, Unreachable) or error.status in _OUTAGES


def wait_before_retry_s(response: httpx2.Response, num_failures: int) -> float | None:
    """Seconds to wait before a retry: `Retry-After` if given, else `pause_s`; None if `Retry-After` is too long."""
    wait_s = retry_after_s(response.headers)
    if wait_s is None:
        return pause_s(num_failures)
    return wait_s if wait_s <= _MAX_RETRY_AFTER_S else None


def is_transient(problem: Problem) -> bool:
    """Whether the same request can succeed later."""
    # `idempotency_in_progress`: an earlier attempt of this request is still running; a retry returns its response.
    return problem.status in _RETRYABLE or problem.code == "idempotency_in_progress"


def problem_of(response: httpx2.Response) -> Problem:
    """The response as a Problem, also if it comes from a proxy."""
    try:
        body = response.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        first_line = next(iter(response.text.strip().splitlines()), "")[:200]
        return problem_for(
            status=response.status_code,
            code=f"http_{response.status_code}",
            detail=first_line or response.reason_phrase or "no reason given",
        )
    errors = body.get("errors")
    return problem_for(
        status=response.status_code,
        code=str(body.get("code") or f"http_{response.status_code}"),
        detail=str(body.get("detail") or body.get("title") or "no reason given") + _versions_text(body, response),
        errors=[
            FieldError(
                str(error.get("pointer", "")),
                str(error.get("detail", "")),
                error.get("parameter"),
                error.get("kind"),
                error.get("id"),
            )
            for error in (errors if isinstance(errors, list) else [])
            if isinstance(error, dict)
        ],
    )


def _versions_text(body: Mapping[str, object], response: httpx2.Response) -> str:
    """Names both versions if they differ, for a route or a field that the service does not know."""
    theirs, ours = response.headers.get(VERSION_HEADER), installed_version()
    unknown = response.status_code in (405, 422) or body.get("code") == "not_found"
    return f" (the service is Limbeck {theirs}, this client {ours})" if unknown and theirs not in (None, ours) else ""


def parsed(model: type[Model], response: httpx2.Response) -> Model:
    """The body of a response as a model. Raises UnexpectedResponse, or VersionMismatch if the service is another
    version than this client."""
    return parsed_text(model, response.content, response)


def parsed_text(model: type[Model], text: str | bytes, response: httpx2.Response) -> Model:
    """JSON in a response as a model. Raises as `parsed` does."""
    try:
        return model.model_validate_json(text)
    except ValidationError as error:
        raise _unexpected(error, response) from None


def parsed_item(model: type[Model], item: object, response: httpx2.Response) -> Model:
    """One item of a list in a response. Raises as `parsed` does."""
    try:
        return model.model_validate(item)
    except ValidationError as error:
        raise _unexpected(error, response) from None


def _unexpected(error: ValidationError, response: httpx2.Response) -> UnexpectedResponse:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    address = f"{response.url} returned {response.status_code}"
    if first["type"] == "json_invalid":
        what = f"{address} and a body that is not JSON; is it a Limbeck service?"
    else:
        where = ".".join(map(str, first["loc"]))
        what = f"{address} and a body that this client cannot read, at {where}: {first['msg']}"
    theirs, ours = response.headers.get(VERSION_HEADER), installed_version()
    if theirs is None or theirs == ours:
        return UnexpectedResponse(what)
    return VersionMismatch(what, client=ours, service=theirs)
