"""HTTP requests with retries: this module decides which requests are retried, and when.

Every request can be repeated safely: reads change nothing, and all other requests carry an `Idempotency-Key`, so that
the service performs them once and returns the same response to each repetition.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import httpx2
from pydantic import JsonValue

from limbeck.errors import FieldError, LimbeckError, Problem, Unreachable
from limbeck.models import Page
from limbeck.shared.retry import backoff_s, retry_after_s

Param = str | int | float | bool | None  # a query parameter; None leaves it out

ATTEMPTS = 7
_FIRST_PAUSE_S = 0.25
_MAX_PAUSE_S = 8.0
_JITTER = (0.75, 1.25)  # no short pauses: the attempts must outlast a restart of the service
_MAX_RETRY_AFTER_S = 60.0
_RETRYABLE = frozenset({408, 429, 502, 503, 504})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
READ_TIMEOUT_S = 60.0


class Http:
    """An HTTP client of one service. `attempts` is the maximum number of times that a request is sent."""

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        attempts: int = ATTEMPTS,
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        try:
            url = httpx2.URL(base_url)
        except httpx2.InvalidURL as error:
            raise Unreachable(f"{base_url!r} is not a URL: {error}") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise Unreachable(f"{base_url!r} is not the URL of a service; write http://host:port")
        self._client = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=_timeout(READ_TIMEOUT_S),
            transport=transport,
            # A proxy from the environment cannot reach the loopback interface of this machine.
            trust_env=url.host not in _LOOPBACK,
        )
        self.attempts = attempts
        self.sleep = sleep

    def close(self) -> None:
        self._client.close()

    def items(
        self, path: str, params: Mapping[str, Param], *, start: int | None = None
    ) -> Iterator[dict[str, JsonValue]]:
        """The items of a list after `start`, fetched page by page."""
        after: str | int | None = start
        while True:
            page = Page.model_validate(self.json("GET", path, params={**params, "after": after}))
            yield from page.data
            if not page.has_more:
                return
            after = page.last_id

    def json(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Param] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> object:
        """Send a request with an optional JSON body. Returns the response's JSON. Raises Problem or Unreachable."""
        response = self.request(method, path, params=params, headers=headers, json=body, read_timeout_s=read_timeout_s)
        if not response.content:
            return None
        try:
            content: object = response.json()
            return content
        except ValueError:
            url = self._client.base_url.join(path)
            raise LimbeckError(
                f"{url} returned {response.status_code} and a body that is not JSON; is it a Limbeck service?"
            ) from None

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Param] | None = None,
        headers: Mapping[str, str] | None = None,
        attempts: int | None = None,
        json: object = None,
        content: bytes | None = None,
        read_timeout_s: float = READ_TIMEOUT_S,
    ) -> httpx2.Response:
        """Send a request with retries. Returns the complete response. Raises Problem (status >= 400) or Unreachable."""
        attempts = attempts or self.attempts
        all_headers = dict(headers or {})
        if method not in ("GET", "HEAD"):
            all_headers["Idempotency-Key"] = str(uuid.uuid4())
        given = {name: value for name, value in (params or {}).items() if value is not None}
        for attempt in range(1, attempts + 1):
            is_last = attempt == attempts
            try:
                response = self._client.request(
                    method,
                    path,
                    params=given,
                    headers=all_headers,
                    json=json,
                    content=content,
                    timeout=_timeout(read_timeout_s),
                )
            except httpx2.TransportError as error:
                if is_last:
                    raise self.unreachable(error) from error
                self.sleep(pause_s(attempt))
                continue
            if response.status_code < 400:
                return response
            problem = problem_of(response)
            wait_s = wait_before_retry_s(response, attempt)
            if is_last or wait_s is None or not _is_transient(problem):
                raise problem
            self.sleep(wait_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    @contextmanager
    def stream(
        self, method: str, path: str, *, headers: Mapping[str, str], read_timeout_s: float = READ_TIMEOUT_S
    ) -> Iterator[httpx2.Response]:
        """One attempt at a streamed response; the caller handles a TransportError."""
        timeout = _timeout(read_timeout_s)
        with self._client.stream(method, path, headers=dict(headers), timeout=timeout) as response:
            yield response

    def unreachable(self, error: Exception) -> Unreachable:
        """The exception for a service that does not respond."""
        return Unreachable(f"{self._client.base_url} does not respond: {error or type(error).__name__}")


def _timeout(read_s: float) -> httpx2.Timeout:
    return httpx2.Timeout(60.0, connect=5.0, read=read_s)


def pause_s(num_failures: int) -> float:
    """Seconds to wait after `num_failures` failed attempts: exponential backoff with jitter."""
    return backoff_s(num_failures, first_s=_FIRST_PAUSE_S, max_s=_MAX_PAUSE_S, jitter=_JITTER)


def wait_before_retry_s(response: httpx2.Response, num_failures: int) -> float | None:
    """Seconds to wait before a retry: `Retry-After` if given, else `pause_s`; None if `Retry-After` is too long."""
    wait_s = retry_after_s(response.headers)
    if wait_s is None:
        return pause_s(num_failures)
    return wait_s if wait_s <= _MAX_RETRY_AFTER_S else None


def _is_transient(problem: Problem) -> bool:
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
        return Problem(
            status=response.status_code,
            code=f"http_{response.status_code}",
            detail=first_line or response.reason_phrase or "no reason given",
        )
    errors = body.get("errors")
    return Problem(
        status=response.status_code,
        code=str(body.get("code") or f"http_{response.status_code}"),
        detail=str(body.get("detail") or body.get("title") or "no reason given"),
        errors=[
            FieldError(str(error.get("pointer", "")), str(error.get("detail", "")), error.get("parameter"))
            for error in (errors if isinstance(errors, list) else [])
            if isinstance(error, dict)
        ],
    )
