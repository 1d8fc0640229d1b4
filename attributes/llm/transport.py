"""One HTTP attempt at an OpenAI-compatible server, and its parsed response.

`Transport.send` posts through the openai library, without the library's retries; the caller owns the retries. The body
is built and the response is parsed here, field by field, because some compatible servers send other types, no choices,
or an error under status 200. `Transport.client` gives the library's client for the other endpoints. The library is
imported when first needed.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from attributes.json_types import JSONObject
from attributes.llm.response_format import ChatBody
from attributes.llm.settings import LLMSettings
from attributes.text import database_safe
from limbeck.shared.retry import retry_after_s
from limbeck.shared.text import clean

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI, Omit

MAX_RESPONSE_CHARS = 100_000
MAX_DETAIL_CHARS = 300
MAX_CONNECT_TIMEOUT_S = 10.0
_MIN_REDACTED_CHARS = 8  # a shorter secret is a placeholder; redacting it would damage ordinary words
_MIN_KEEPALIVE_CONNECTIONS = 100
_NO_KEY = "none"  # the openai library requires a key; servers without keys ignore it
# Headers that the openai library adds from the environment (organisation, project), and about this machine. No server
# needs them, and they cost CPU time in every call.
_OMITTED_HEADERS = (
    "OpenAI-Organization",
    "OpenAI-Project",
    "X-Stainless-Arch",
    "X-Stainless-Async",
    "X-Stainless-Lang",
    "X-Stainless-OS",
    "X-Stainless-Package-Version",
    "X-Stainless-Runtime",
    "X-Stainless-Runtime-Version",
)
_OMITTED_PER_REQUEST = ("X-Stainless-Retry-Count", "X-Stainless-Read-Timeout")
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached"}
_CONTENT_FILTER_CODES = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}


@dataclass(frozen=True, kw_only=True)
class RawResponse:
    """The response of one HTTP attempt. `status` is `ok` (`text` can be parsed) or as in `attributes.llm.results.Call`.

    `cut_off`: the response reached its token limit. `completion_tokens` are all tokens that are billed for the
    response, with the `reasoning_tokens` among them. `is_moderated`: a refusal names the content of the question as its
    reason. `param` is the refused parameter that the server named. `retry_after_s`: how long the server asks to wait,
    from whatever place it says so.
    """

    status: str
    latency_s: float = 0.0
    http_status: int | None = None
    text: str | None = None
    cut_off: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    reasoning_tokens: int | None = None
    cached_tokens: int | None = None
    cache_write_tokens: int | None = None
    retry_after_s: float | None = None
    is_moderated: bool = False
    param: str = ""
    detail: str = ""


class Transport:
    """The connections to one server; needs `close`."""

    def __init__(self, settings: LLMSettings) -> None:
        self._settings = settings
        self._extra_headers = settings.extra_headers()
        self._client: AsyncOpenAI | None = None
        self._url = ""  # of chat completions
        self._omitted: dict[str, Omit] = {}
        self._secrets, self._credentials = (
            [secret for secret in secrets if len(secret) >= _MIN_REDACTED_CHARS]
            for secrets in (settings.secrets(), settings.credentials())
        )
        self.has_responded = False  # whether any HTTP response came, which proves the address
        self.has_succeeded = False  # whether a request was accepted, which proves the key

    async def send(self, body: ChatBody) -> RawResponse:
        """Make one attempt. Server and network faults are returned, not raised; cancelling it ends the request."""
        import httpx2
        import openai

        client = self.client()
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                response = await client.post(
                    self._url,
                    cast_to=httpx2.Response,
                    content=_bytes_of(body),
                    # Defaults, but given here: the library copies defaults deeply in each call.
                    options={"headers": self._omitted, "params": {}, "security": {"bearer_auth": True}},
                )
            raw = self.parse_response(response)
        except openai.APIStatusError as error:
            raw = self.parse_response(error.response)
        except openai.APIConnectionError as error:
            raw = self._no_response(error.__cause__ or error)
        except TimeoutError as error:
            raw = self._no_response(error)
        self.has_responded = self.has_responded or raw.http_status is not None
        self.has_succeeded = self.has_succeeded or (raw.http_status is not None and raw.http_status < 300)
        return replace(raw, latency_s=time.monotonic() - started)

    def parse_response(self, response: "httpx2.Response") -> RawResponse:
        """Parse an HTTP response."""
        return self.parse(response.status_code, _json(response.content), response.headers)

    def parse(self, http_status: int, data: object, headers: Mapping[str, str]) -> RawResponse:
        """Parse an HTTP response; `data` is its JSON, or None without JSON."""
        if http_status < 300:
            return self._parse_success(http_status, data)
        error = _error_in(data)
        return RawResponse(
            status=_status_of(http_status, error),
            http_status=http_status,
            retry_after_s=retry_after_s(headers),
            param=str(error.get("param") or ""),
            detail=f"HTTP {http_status}: {self.printable(error.get('message'))}",
        )

    def printable(self, message: object) -> str:
        """A server's message, made safe to show: short, printable, without secrets."""
        whole = _without(self._secrets, str(message or ""))  # before a cut could leave a part of a secret
        return _without(self._secrets, clean(whole, MAX_DETAIL_CHARS))

    async def close(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.close()
            self._client = None

    def client(self) -> "AsyncOpenAI":
        """The openai library's client. Building it at the first call takes time; call this before timing a request."""
        if self._client is None:
            from openai import Omit

            # Per request, because the library adds these to every request unless the request omits them.
            self._omitted = {name: Omit() for name in _OMITTED_PER_REQUEST}
            self._client = self._build_client()
            # The whole URL, so that the library parses it once less in each call.
            self._url = str(self._client.base_url).rstrip("/") + "/chat/completions"
        return self._client

    def _build_client(self) -> "AsyncOpenAI":
        import httpx2
        from openai import AsyncAzureOpenAI, AsyncOpenAI

        settings = self._settings
        key = settings.api_key.get_secret_value() or _NO_KEY
        timeout = httpx2.Timeout(settings.timeout_s, connect=min(settings.timeout_s, MAX_CONNECT_TIMEOUT_S))
        # One kept-alive connection per call in flight; further calls would each open a new connection.
        limits = httpx2.Limits(
            max_connections=None, max_keepalive_connections=max(settings.concurrency, _MIN_KEEPALIVE_CONNECTIONS)
        )
        http = httpx2.AsyncClient(timeout=timeout, limits=limits, follow_redirects=True)
        if self._extra_headers:
            http.event_hooks = {"request": [self._strip_headers_of_others]}
        # In place of the library's own, which the environment (OPENAI_CUSTOM_HEADERS) can override.
        own: dict[str, str | Omit] = {"Accept": "application/json", "Content-Type": "application/json"}
        if not settings.api_version:
            own["Authorization"] = f"Bearer {key}"
        headers = _default_headers(own, self._extra_headers)
        if not settings.api_version:
            return AsyncOpenAI(
                base_url=settings.base_url,
                api_key=key,
                max_retries=0,
                timeout=timeout,
                default_headers=cast(Mapping[str, str], headers),
                http_client=http,
            )
        return AsyncAzureOpenAI(
            azure_endpoint=settings.base_url,
            azure_deployment=quote(settings.model, safe=""),
            api_version=settings.api_version,
            api_key=key,
            max_retries=0,
            timeout=timeout,
            default_headers=cast(Mapping[str, str], headers),
            http_client=http,
        )

    async def _strip_headers_of_others(self, request: "httpx2.Request") -> None:
        """Remove the user's headers from a request that was redirected to another server: they may hold secrets. The
        HTTP client itself does so with `Authorization` only."""
        import httpx2

        own = httpx2.URL(self._settings.base_url)
        if (request.url.scheme, request.url.host, request.url.port) != (own.scheme, own.host, own.port):
            for name in self._extra_headers:
                request.headers.pop(name, None)

    def _no_response(self, error: BaseException) -> RawResponse:
        import httpx2

        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout) and not self.has_responded:
            return RawResponse(status="llm_unreachable", detail=f"no connection to {self._settings.base_url}")
        if isinstance(error, httpx2.TimeoutException | TimeoutError):
            return RawResponse(status="timeout", detail=f"no complete response within {self._settings.timeout_s:g} s")
        return RawResponse(status="connection", detail=f"the connection broke ({type(error).__name__})")

    def _parse_success(self, http_status: int, data: object) -> RawResponse:
        """Parse a response with a 2xx status, which may still hold an error."""
        response = partial(RawResponse, http_status=http_status)
        if not isinstance(data, dict):
            return response(status="invalid_answer", detail="the server's response is not a JSON object")
        if not data.get("choices") and (error := _error_in(data)):
            code = error.get("code")
            status = _status_of(code if type(code) is int else 500, error)
            return response(status=status, detail=self.printable(error.get("message")))
        response = partial(response, **_usage_in(data.get("usage")))
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            return response(status="empty_answer", detail="the response has no choices")
        text, refusal = _text_in(message.get("content")), message.get("refusal")
        if refusal or choice.get("finish_reason") == "content_filter":
            detail = self.printable(refusal or "content filter")
            return response(status="refused", detail=detail, text=self._storable(text))
        cut_off = choice.get("finish_reason") == "length"
        return response(status="ok", text=self._storable(text), cut_off=cut_off)

    def _storable(self, text: str | None) -> str | None:
        return None if text is None else _without(self._credentials, database_safe(text, MAX_RESPONSE_CHARS))


def _without(secrets: Iterable[str], text: str) -> str:
    for secret in secrets:
        text = text.replace(secret, "[key]")
    return text


def _default_headers(own: "dict[str, str | Omit]", extra: Mapping[str, str]) -> "dict[str, str | Omit]":
    """The headers of all requests: the user's `extra` ones, `own`, and the omission of those that the openai library
    adds by itself or reads from the environment."""
    from openai import Omit

    # The library parses this variable in the same way, line by line.
    lines = os.environ.get("OPENAI_CUSTOM_HEADERS", "").split("\n")
    from_environment = [name.strip() for name, colon, _ in (line.partition(":") for line in lines) if colon]
    headers: dict[str, str | Omit] = {name: Omit() for name in (*_OMITTED_HEADERS, *from_environment)}
    spelling = {name.lower(): name for name in (*headers, *own)}
    return headers | own | {spelling.get(name.lower(), name): value for name, value in extra.items()}


def _status_of(status: int, error: JSONObject) -> str:
    """The status of an HTTP error: a code of `RawResponse.status`."""
    code = str(error.get("code") or "")
    if code in _QUOTA_CODES or status == 402:
        return "llm_quota_exhausted"
    if code in _CONTENT_FILTER_CODES:
        return "refused"
    if status in (401, 403):
        return "llm_wrong_key"
    if status == 404 or code == "model_not_found":
        return "llm_unknown_model"
    if status == 429:
        return "rate_limited"
    if "response_format" in str(error.get("message")):
        return "bad_request"  # llama-cpp-python responds with 500 to a response format that it does not know
    if status >= 500 or status in (408, 409, 425):
        return "server_error"
    return "bad_request"


def _bytes_of(body: ChatBody) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _error_in(data: object) -> JSONObject:
    """The error object of a response. Some servers send only a string or put its fields at the top level; FastAPI
    servers send `detail`."""
    error = data.get("error", data) if isinstance(data, dict) else None
    if isinstance(error, dict) and "message" not in error and "detail" in error:
        error = error["detail"] if isinstance(error["detail"], str) else json.dumps(error["detail"])
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) and ("message" in error or "code" in error) else {}


def _text_in(content: object) -> str | None:
    """The text of a message's content: a string, or a list of parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else None


def _usage_in(usage: object) -> dict[str, int | None]:
    """The token counts that a response states, by field of `RawResponse`."""
    details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
    return {
        "prompt_tokens": _count(usage, "prompt_tokens"),
        "completion_tokens": _count(usage, "completion_tokens"),
        "cached_tokens": _count(details, "cached_tokens"),
        "cache_write_tokens": _count(details, "cache_write_tokens"),
    }


def _count(usage: object, key: str) -> int | None:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value < 2**31 else None
