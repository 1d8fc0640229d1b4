"""One HTTP attempt against an OpenAI-compatible server, and what became of it in a few words.

The call goes straight to the HTTP client, without retries; whoever calls `Wire.send` owns them. The openai library,
which makes the rarer calls (`api`) over the same connections, took two and a half times as long over each of these.
The answer's body is read here, field by field, because servers that call themselves compatible send other types, no
choices, or an error under status 200. Each library is imported when it is first needed.
"""

import asyncio
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, cast

from attributes.llm.settings import LLMSettings
from attributes.text import clean, storable

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI

MAX_ANSWER_CHARS = 100_000
MAX_DETAIL_CHARS = 300
MAX_CONNECT_S = 10.0
_MIN_REDACTED_CHARS = 8  # a shorter "key" is a placeholder, and blanking it would tear ordinary words
_KEPT_CONNECTIONS = 100
_NO_KEY = "none"  # the library wants one; servers without keys ignore it
_QUOTA = {"insufficient_quota", "billing_hard_limit_reached"}
_CONTENT = {"content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"}


@dataclass(frozen=True, kw_only=True)
class RawResponse:
    """What one attempt gave. `status` is `ok` (there is a text to read), or as `calls.Call` has it."""

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
    """The connection to one server; needs `close`."""

    def __init__(self, settings: LLMSettings) -> None:
        self._settings = settings
        self._key = settings.api_key.get_secret_value() or _NO_KEY
        self._url = f"{settings.base_url.rstrip('/')}/chat/completions"
        self._headers = {
            "Authorization": f"Bearer {self._key}",
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
        self._api: AsyncOpenAI | None = None
        self._http: httpx2.AsyncClient | None = None
        self.answered = False  # whether any HTTP response has come, so that the address is right

    async def send(self, body: Mapping[str, Any]) -> RawResponse:
        """Make one attempt. Never raises for what server or network do; cancelling it ends the request."""
        import httpx2

        http = self.open()
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                response = await http.post(self._url, content=_bytes_of(body), headers=self._headers)
            reply = self.read(response.status_code, _json(response.content), response.headers)
        except (httpx2.RequestError, TimeoutError) as error:
            reply = RawResponse(**self._no_response(error))
        self.answered = self.answered or reply.http_status is not None
        return replace(reply, latency_s=time.monotonic() - started)

    def read(self, http_status: int, data: Any, headers: Mapping[str, str]) -> RawResponse:
        """What a response means; `data` is its JSON, None where it had none."""
        if http_status < 300:
            return RawResponse(http_status=http_status, **self._fields(data))
        error = _error_in(data)
        return RawResponse(
            status=_status_of(http_status, error),
            http_status=http_status,
            retry_after_s=retry_after(headers),
            param=str(error.get("param") or ""),
            detail=f"HTTP {http_status}: {self.said(error.get('message'))}",
        )

    def said(self, message: Any) -> str:
        """A server's words, fit to be shown: short, printable, without the key."""
        return self._without_key(clean(str(message or ""), MAX_DETAIL_CHARS))

    async def close(self) -> None:
        """Close the connections."""
        if self._http is not None:
            await self._http.aclose()
            self._api = self._http = None

    def open(self) -> "httpx2.AsyncClient":
        """The HTTP client. The first time costs a moment, which whoever counts time should spend before."""
        if self._http is None:
            import httpx2

            # As many connections are kept as calls may be in flight, or those beyond would each make its own.
            kept = max(self._settings.concurrency, _KEPT_CONNECTIONS)
            limits = httpx2.Limits(max_connections=None, max_keepalive_connections=kept)
            self._http = httpx2.AsyncClient(timeout=self._timeout(), limits=limits, follow_redirects=True)
        return self._http

    def api(self) -> "AsyncOpenAI":
        """The openai library's client, over the same connections: for all that is not a chat completion."""
        if self._api is None:
            from openai import AsyncOpenAI, Omit

            # The library would else send an organisation and a project from the environment to any server.
            unsent = {"OpenAI-Organization": Omit(), "OpenAI-Project": Omit()}
            self._api = AsyncOpenAI(
                base_url=self._settings.base_url,
                api_key=self._key,
                max_retries=0,
                timeout=self._timeout(),
                default_headers=cast(Any, unsent),
                http_client=self.open(),
            )
        return self._api

    def _timeout(self) -> "httpx2.Timeout":
        import httpx2

        timeout_s = self._settings.timeout_s
        return httpx2.Timeout(timeout_s, connect=min(timeout_s, MAX_CONNECT_S))

    def _no_response(self, error: Exception) -> dict[str, Any]:
        import httpx2

        if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout) and not self.answered:
            return {"status": "llm_unreachable", "detail": f"no connection to {self._settings.base_url}"}
        if isinstance(error, httpx2.TimeoutException | TimeoutError):
            return {"status": "timeout", "detail": f"no complete answer within {self._settings.timeout_s:g} s"}
        return {"status": "connection", "detail": f"the connection broke ({type(error).__name__})"}

    def _fields(self, data: Any) -> dict[str, Any]:
        """The fields of a response with status 200."""
        if not isinstance(data, dict):
            return {"status": "invalid_answer", "detail": "the server's response is not a JSON object"}
        if not data.get("choices") and (error := _error_in(data)):
            code = error.get("code")
            status = _status_of(code if type(code) is int else 500, error)
            return {"status": status, "detail": self.said(error.get("message"))}
        usage = data.get("usage")
        tokens = {key: _count(usage, key) for key in ("prompt_tokens", "completion_tokens")}
        details = usage.get("prompt_tokens_details") if isinstance(usage, dict) else None
        tokens["cached_tokens"] = _count(details, "cached_tokens")
        choices = data.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        message = choice.get("message") if isinstance(choice, dict) else None
        if not isinstance(choice, dict) or not isinstance(message, dict):
            return {"status": "empty_answer", "detail": "the response has no choices", **tokens}
        text, refusal = _text_in(message.get("content")), message.get("refusal")
        if refusal or choice.get("finish_reason") == "content_filter":
            detail = self.said(refusal or "content filter")
            return {"status": "refused", "detail": detail, "text": self._kept(text), **tokens}
        cut_off = choice.get("finish_reason") == "length"
        return {"status": "ok", "text": self._kept(text), "cut_off": cut_off, **tokens}

    def _kept(self, text: str | None) -> str | None:
        return None if text is None else self._without_key(storable(text, MAX_ANSWER_CHARS))

    def _without_key(self, text: str) -> str:
        key = self._settings.api_key.get_secret_value()
        return text.replace(key, "[key]") if len(key) >= _MIN_REDACTED_CHARS else text


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds that `retry-after-ms` or `Retry-After` (seconds, or an HTTP date) asks to wait; None without."""
    if (value := _number(headers.get("retry-after-ms"))) is not None:
        return value / 1000
    given = headers.get("retry-after")
    if (value := _number(given)) is not None or given is None:
        return value
    try:
        return max(0.0, parsedate_to_datetime(given).timestamp() - time.time())
    except ValueError:
        return None


def _status_of(status: int, error: Mapping[str, Any]) -> str:
    code = str(error.get("code") or "")
    if code in _QUOTA or status == 402:
        return "llm_quota_exhausted"
    if code in _CONTENT:
        return "refused"
    if status in (401, 403):
        return "llm_wrong_key"
    if status == 404 or code == "model_not_found":
        return "llm_unknown_model"
    if status == 429:
        return "rate_limited"
    if "response_format" in str(error.get("message")):
        return "bad_request"  # llama-cpp-python answers a form that it does not know with 500
    if status >= 500 or status in (408, 409, 425):
        return "server_error"
    return "bad_request"


def _bytes_of(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None


def _error_in(data: Any) -> Mapping[str, Any]:
    """The error object of a response; some servers send only a string, or put its fields at the top, and those made
    with FastAPI say `detail`."""
    error = data.get("error", data) if isinstance(data, dict) else None
    if isinstance(error, dict) and "message" not in error and "detail" in error:
        error = error["detail"] if isinstance(error["detail"], str) else json.dumps(error["detail"])
    if isinstance(error, str):
        return {"message": error}
    return error if isinstance(error, dict) and ("message" in error or "code" in error) else {}


def _text_in(content: Any) -> str | None:
    """The text of a message's content: a string, or a list of parts."""
    if isinstance(content, list):
        parts = [part.get("text") for part in content if isinstance(part, dict)]
        content = "".join(part for part in parts if isinstance(part, str))
    return content if isinstance(content, str) else None


def _count(usage: Any, key: str) -> int | None:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if type(value) is int and 0 <= value < 2**31 else None


def _number(value: str | None) -> float | None:
    try:
        number = float(value) if value is not None else -1.0
    except ValueError:
        return None
    return number if 0 <= number < float("inf") else None
