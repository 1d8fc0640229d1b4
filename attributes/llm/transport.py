"""One HTTP attempt at an OpenAI-compatible server, and its parsed response.

`Transport.send` uses the HTTP client directly and without retries; the caller owns the retries. The openai library took
2.5 times as long per chat completion; it makes the rarer requests (`Transport.openai`) over the same connections. The
response body is parsed here, field by field, because some compatible servers send other types, no choices, or an error
under status 200. Each library is imported when first needed.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, cast

from attributes.json_types import JSONObject
from attributes.llm.response_format import ChatBody
from attributes.llm.settings import LLMSettings
from attributes.text import clean, database_safe

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

MAX_RESPONSE_CHARS = 100_000
MAX_DETAIL_CHARS = 300
MAX_CONNECT_TIMEOUT_S = 10.0
_MIN_REDACTED_CHARS = 8  # a shorter key is a placeholder; redacting it would damage ordinary words
_MIN_KEEPALIVE_CONNECTIONS = 100
_NO_KEY = "none"  # the openai library requires a key; servers without keys ignore it
_QUOTA_CODES = {"insufficient_quota", "billing_hard_limit_reached"}
_CONTENT_FILTER_CODES = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}


@dataclass(frozen=True, kw_only=True)
class RawResponse:
    """The response of one HTTP attempt. `status` is `ok` (`text` can be parsed) or as in `attributes.llm.results.Call`.

    `cut_off`: the response reached its token limit. `param` is the refused parameter that the server named.
    """

    status: str
    latency_s: float = 0.0
    http_status: int | None = None
    text: str | None = None
    cut_off: bool = False
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None
    retry_after_s: float | None = None
    param: str = ""
    detail: str = ""


class Transport:
    """The connections to one server; needs `close`."""

    def __init__(self, settings: LLMSettings) -> None:
        self._settings = settings
        self._key = settings.api_key.get_secret_value() or _NO_KEY
        self._url = f"{settings.base_url.rstrip('/')}/chat/completions"
        self._headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self._openai: AsyncOpenAI | None = None
        self._http: httpx2.AsyncClient | None = None
        self.has_responded = False  # whether any HTTP response came, which proves the address

    async def send(self, body: ChatBody) -> RawResponse:
        """Make one attempt. Server and network faults are returned, not raised; cancelling it ends the request."""
        import httpx2

        http = self.open()
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                response = await http.post(self._url, content=_bytes_of(body), headers=self._headers)
            raw = self.parse(response.status_code, _json(response.content), response.headers)
        except (httpx2.RequestError, TimeoutError) as error:
            raw = self._no_response(error)
        self.has_responded = self.has_responded or raw.http_status is not None
        return replace(raw, latency_s=time.monotonic() - started)

    def parse(self, http_status: int, data: object, headers: Mapping[str, str]) -> RawResponse:
        """Parse an HTTP response; `data` is its JSON, or None without JSON."""
        if http_status < 300:
            return self._parse_success(http_status, data)
        error = _error_in(data)
        return RawResponse(
            status=_status_of(http_status, error),
            http_status=http_status,
            retry_after_s=retry_after(headers),
            param=str(error.get("param") or ""),
            detail=f"HTTP {http_status}: {self.printable(error.get('message'))}",
        )

    def printable(self, message: object) -> str:
        """A server's message, made safe to show: short, printable, without the API key."""
        return self._without_key(clean(str(message or ""), MAX_DETAIL_CHARS))

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()
            self._openai = self._http = None

    def open(self) -> "httpx2.AsyncClient":
        """The HTTP client. Building it at the first call takes time; call this before timing a request."""
        if self._http is None:
            import httpx2

            # One kept-alive connection per call in flight; further calls would each open a new connection.
            num_kept = max(self._settings.concurrency, _MIN_KEEPALIVE_CONNECTIONS)
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=num_kept)
            self._http = httpx2.AsyncClient(timeout=self._timeout(), limits=limits, follow_redirects=True)
        return self._http

    def openai(self) -> "AsyncOpenAI":
        """The openai library's client over the same connections, for everything except chat completions."""
        if self._openai is None:
            from openai import AsyncOpenAI, Omit

            # Without this the library sends organisation and project from the environment to every server.
            omitted = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
            self._openai = AsyncOpenAI(
                base_url=self._settings.base_url,
                api_key=self._key,
                max_retries=0,
                timeout=self._timeout(),
                default_headers=cast(Mapping[str, str], omitted),
                http_client=self.open(),
            )
        return self._openai

    def _timeout(self) -> "httpx2.Timeout":
        import httpx2

        timeout_s = self._settings.timeout_s
        return httpx2.Timeout(timeout_s, connect=min(timeout_s, MAX_CONNECT_TIMEOUT_S))

    def _no_response(self, error: Exception) -> RawResponse:
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
        usage = data.get("usage")
        details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
        response = partial(
            response,
            prompt_tokens=_count(usage, "prompt_tokens"),
            completion_tokens=_count(usage, "completion_tokens"),
            cached_tokens=_count(details, "cached_tokens"),
        )
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
        return None if text is None else self._without_key(database_safe(text, MAX_RESPONSE_CHARS))

    def _without_key(self, text: str) -> str:
        key = self._settings.api_key.get_secret_value()
        return text.replace(key, "[key]") if len(key) >= _MIN_REDACTED_CHARS else text


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait by `retry-after-ms` or `Retry-After` (seconds or an HTTP date); None without either header."""
    if (value := _number(headers.get("retry-after-ms"))) is not None:
        return value / 1000
    header = headers.get("retry-after")
    if (value := _number(header)) is not None or header is None:
        return value
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except ValueError:
        return None


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


def _count(usage: object, key: str) -> int | None:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value < 2**31 else None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
