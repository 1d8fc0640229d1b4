# Written by `python -m tests.limbeck.sync_client` from limbeck/client/asynchronous/http.py: edit that file.
"""HTTP requests with retries, by the rules of `limbeck.client.responses`."""

import copy
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Self

import httpx2

from limbeck.client.responses import (
    ATTEMPTS,
    READ_TIMEOUT_S,
    Param,
    is_transient,
    parse_url,
    pause_s,
    problem_of,
    timeout,
    uses_proxy,
    uses_tls,
    wait_before_retry_s,
    warn_of_plain_text,
)
from limbeck.client.synchronous import runtime
from limbeck.errors import Unreachable


class Http:
    """An HTTP client of one service.

    `attempts` is the maximum number of times that a request is sent. `timeout_s`: seconds without any byte of a
    response after which an attempt ends; None for the method's own.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        attempts: int = ATTEMPTS,
        timeout_s: float | None = None,
        sleep: runtime.Sleep = runtime.sleep,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        url = parse_url(base_url)
        if key:
            warn_of_plain_text(url)
        self._client = httpx2.Client(
            base_url=url,
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=timeout(READ_TIMEOUT_S),
            transport=transport,
            trust_env=uses_proxy(url),
            verify=uses_tls(url),
        )
        self.attempts = attempts
        self.timeout_s = timeout_s
        self.sleep = sleep

    def with_options(self, *, attempts: int | None, timeout_s: float | None) -> Self:
        """A copy with other options, and the same connections."""
        copied = copy.copy(self)
        copied.attempts = self.attempts if attempts is None else attempts
        copied.timeout_s = self.timeout_s if timeout_s is None else timeout_s
        return copied

    def close(self) -> None:
        self._client.close()

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
                    timeout=timeout(self.timeout_s or read_timeout_s),
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
            if is_last or wait_s is None or not is_transient(problem):
                raise problem
            self.sleep(wait_s)
        raise AssertionError("unreachable: the last attempt returns or raises")

    @contextmanager
    def stream(
        self, method: str, path: str, *, headers: Mapping[str, str], read_timeout_s: float | None = None
    ) -> Iterator[httpx2.Response]:
        """One attempt at a streamed response; the caller handles a TransportError."""
        read_s = read_timeout_s or self.timeout_s or READ_TIMEOUT_S
        with self._client.stream(method, path, headers=dict(headers), timeout=timeout(read_s)) as response:
            yield response

    def unreachable(self, error: Exception) -> Unreachable:
        """The exception for a service that does not respond."""
        return Unreachable(f"{self._client.base_url} does not respond: {error or type(error).__name__}")
