"""Requests that survive a flaky way to the service: one place decides what is tried again, and when.

Everything the client sends may be repeated: reads change nothing, and all else carries an `Idempotency-Key`, under
which the service carries it out once and answers each repetition alike.
"""

import random
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from limbeck.errors import FieldError, LimbeckError, Problem, Unreachable
from limbeck.models import Page

ATTEMPTS = 7
_FIRST_PAUSE_S = 0.25
_LONGEST_PAUSE_S = 8.0
_LONGEST_RETRY_AFTER_S = 60.0
_WORTH_A_RETRY = frozenset({408, 429, 502, 503, 504})
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_TIMEOUT = httpx2.Timeout(60.0, connect=5.0)


class Http:
    """A connection to one service. `attempts` is how often a request is sent at most."""

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
            raise Unreachable(f"{base_url!r} is no URL: {error}") from None
        if url.scheme not in ("http", "https") or not url.host:
            raise Unreachable(f"{base_url!r} is no URL of a service: write http://host:port")
        self._client = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=_TIMEOUT,
            transport=transport,
            # A proxy that the environment names cannot reach this machine's own loopback.
            trust_env=url.host not in _LOOPBACK,
        )
        self.attempts = attempts
        self.sleep = sleep

    def close(self) -> None:
        self._client.close()

    def every(self, path: str, *, start: int | None = None, **params: Any) -> Iterator[dict[str, Any]]:
        """The items of a list from the one after `start` on, fetched page by page."""
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
        params: Mapping[str, Any] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        """The JSON of the answer to a request with an optional JSON body. Raises Problem or Unreachable."""
        response = self.request(method, path, params=params, headers=headers, json=body)
        if not response.content:
            return None
        try:
            return response.json()
        except ValueError:
            where = self._client.base_url.join(path)
            raise LimbeckError(f"{where} answered {response.status_code} with what is not JSON: no Limbeck?") from None

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        attempts: int | None = None,
        **body: Any,
    ) -> httpx2.Response:
        """The answer, read whole; below 400, or it is raised as Problem."""
        attempts = attempts or self.attempts
        sent = dict(headers or {})
        if method not in ("GET", "HEAD"):
            sent["Idempotency-Key"] = str(uuid.uuid4())
        known = {name: value for name, value in (params or {}).items() if value is not None}
        for attempt in range(1, attempts + 1):
            last = attempt == attempts
            try:
                response = self._client.request(method, path, params=known, headers=sent, **body)
            except httpx2.TransportError as error:
                if last:
                    raise self.unreachable(error) from error
                self.sleep(pause_s(attempt))
                continue
            if response.status_code < 400:
                return response
            problem = problem_of(response)
            wait_s = retry_after_s(response, attempt)
            if last or wait_s is None or not _passing(problem):
                raise problem
            self.sleep(wait_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    @contextmanager
    def stream(
        self, method: str, path: str, *, headers: Mapping[str, str], read_timeout_s: float = 60.0
    ) -> Iterator[httpx2.Response]:
        """One attempt at an answer that is read as it comes; the caller goes on after a TransportError."""
        timeout = httpx2.Timeout(60.0, connect=5.0, read=read_timeout_s)
        with self._client.stream(method, path, headers=dict(headers), timeout=timeout) as response:
            yield response

    def unreachable(self, error: Exception) -> Unreachable:
        """The error of a service that does not answer."""
        return Unreachable(f"{self._client.base_url} does not answer: {error or type(error).__name__}")


def pause_s(attempt: int) -> float:
    """Seconds to wait after failed attempt 1, 2, …: doubling, and spread so that many clients do not march in step."""
    doubled = _FIRST_PAUSE_S * 2.0 ** (attempt - 1)
    return min(_LONGEST_PAUSE_S, doubled) * random.uniform(0.75, 1.25)


def retry_after_s(response: httpx2.Response, attempt: int) -> float | None:
    """How long to wait before asking again: what the service says, else our own; None where it says too long."""
    said = response.headers.get("Retry-After")
    if said is None:
        return pause_s(attempt)
    try:
        seconds = float(said) if said.strip().isdigit() else parsedate_to_datetime(said).timestamp() - time.time()
    except (TypeError, ValueError):
        return pause_s(attempt)
    return max(0.0, seconds) if seconds <= _LONGEST_RETRY_AFTER_S else None


def _passing(problem: Problem) -> bool:
    # An earlier attempt of ours may still be under way: its answer will be ours.
    return problem.status in _WORTH_A_RETRY or problem.code == "idempotency_in_progress"


def problem_of(response: httpx2.Response) -> Problem:
    """The answer as a Problem, also where a proxy in between wrote it."""
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
            FieldError(str(one.get("pointer", "")), str(one.get("detail", "")), one.get("parameter"))
            for one in (errors if isinstance(errors, list) else [])
            if isinstance(one, dict)
        ],
    )
