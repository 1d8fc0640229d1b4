"""One HTTP attempt at an OpenAI-compatible server, and its parsed response.

`Transport.send` posts through the openai library, without the library's retries; the caller owns the retries. The body
is built and the response is read here (`attributes.llm.http`), because compatible servers send other types, no choices,
or an error under status 200. `Transport.client` gives the library's client for the other endpoints. The library is
imported when first needed.
"""

import asyncio
import json
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from attributes.llm.http.bodies import Body, read_body
from attributes.llm.http.connection_faults import describe_fault, is_permanent
from attributes.llm.http.connections import http_client
from attributes.llm.http.proxies import ProxyServer
from attributes.llm.http.raw_response import RawResponse, RequestContext
from attributes.llm.http.responses import read_response
from attributes.llm.response_format import ChatBody, sent_parameters
from attributes.llm.settings import LLMSettings
from attributes.text import database_safe
from limbeck.shared.text import clean
from limbeck.shared.tracing import spans

if TYPE_CHECKING:
    import httpx2
    from openai import AsyncOpenAI, Omit

__all__ = ["RawResponse", "Transport"]

MAX_RESPONSE_CHARS = 100_000
MAX_DETAIL_CHARS = 300
_MIN_REDACTED_CHARS = 8  # a shorter secret is a placeholder; redacting it would damage ordinary words
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


class Transport:
    """The connections to one server; needs `close`."""

    def __init__(self, settings: LLMSettings) -> None:
        self._settings = settings
        self._extra_headers = settings.extra_headers()
        self._client: AsyncOpenAI | None = None
        self._proxy: ProxyServer | None = None
        self._url = ""  # of chat completions
        self._omitted: dict[str, Omit] = {}
        self._secrets, self._credentials = _long(settings.secrets()), _long(settings.credentials())
        self.has_responded = False  # whether any HTTP response of the server came, which proves the address
        self.has_succeeded = False  # whether a request succeeded, which proves the key

    async def send(self, body: ChatBody) -> RawResponse:
        """Make one attempt. Server and network faults are returned, not raised; cancelling it ends the request."""
        model = self._settings.model
        with spans.span(
            f"chat {model}", is_client=True, gen_ai__operation__name="chat", gen_ai__request__model=model
        ) as span:
            raw = await self._send(body)
            span.set(
                status=raw.status,
                http__response__status_code=raw.http_status,
                gen_ai__usage__input_tokens=raw.prompt_tokens,
                gen_ai__usage__output_tokens=raw.completion_tokens,
            )
            if raw.status != "ok":
                span.fail(raw.status)
        return raw

    async def _send(self, body: ChatBody) -> RawResponse:
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
            raw = self.parse_response(response, body)
        except openai.APIStatusError as error:
            raw = self.parse_response(error.response, body)
        except openai.APIConnectionError as error:
            raw = self._no_response(error.__cause__ or error)
        except TimeoutError as error:
            raw = self._no_response(error)
        return replace(raw, latency_s=time.monotonic() - started)

    def parse_response(self, response: "httpx2.Response", request_body: ChatBody | None = None) -> RawResponse:
        """Read an HTTP response; `request_body` is what was sent."""
        headers = response.headers
        body = read_body(response.content, headers.get("content-type", ""))
        raw = self._read(response.status_code, body, headers, request_body)
        if response.history and raw.http_status is not None and raw.http_status >= 300:
            to = f"{response.url.scheme}://{response.url.host}{response.url.path}"
            raw = replace(raw, detail=f"{raw.detail} (after a redirect to {to})")
        return raw

    def parse(
        self, http_status: int, data: object, headers: Mapping[str, str], request_body: ChatBody | None = None
    ) -> RawResponse:
        """Read a response whose body is parsed already: `data` is its JSON, or None without JSON."""
        return self._read(http_status, Body("empty" if data is None else "json", data), headers, request_body)

    def _read(
        self, http_status: int, body: Body, headers: Mapping[str, str], request_body: ChatBody | None
    ) -> RawResponse:
        context = RequestContext(
            base_url=self._settings.base_url,
            printable=self.printable,
            parameters=frozenset(sent_parameters(request_body)) if request_body else frozenset(),
            token_limit=_token_limit_of(request_body),
            has_succeeded=self.has_succeeded,
        )
        raw = read_response(http_status, body, headers, context)
        if http_status < 300 and raw.status in ("ok", "empty_answer", "refused"):
            self.has_succeeded = True
        self.has_responded = self.has_responded or raw.status != "llm_unreachable"
        return replace(raw, text=self._storable(raw.text))

    def printable(self, message: object) -> str:
        """A server's message, made safe to show: short, printable, without secrets."""
        whole = _without(self._secrets, str(message or ""))  # before a cut could leave a part of a secret
        return _without(self._secrets, clean(whole, MAX_DETAIL_CHARS))

    async def close(self) -> None:
        """Close the connections."""
        client, self._client = self._client, None  # first: the next run may start while the connections close
        if client is not None:
            await client.close()

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
        http, self._proxy = http_client(settings.connection())
        if self._proxy is not None:
            self._secrets += _long(self._proxy.secrets())
        # In place of the library's own, which the environment (OPENAI_CUSTOM_HEADERS) can override.
        own: dict[str, str | Omit] = {"Accept": "application/json", "Content-Type": "application/json"}
        if not settings.api_version:
            own["Authorization"] = f"Bearer {key}"
        headers = _default_headers(own, self._extra_headers)
        timeout = httpx2.Timeout(http.timeout)
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

    def _no_response(self, error: BaseException) -> RawResponse:
        import httpx2

        # A fault that a server under load has too is a broken connection, once the server has responded.
        never_connected = isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.ProxyError)
        settings = self._settings
        detail = self.printable(describe_fault(error, settings.base_url, self._proxy))
        if (never_connected and not self.has_responded) or is_permanent(error):
            return RawResponse(status="llm_unreachable" if not self.has_responded else "connection", detail=detail)
        if isinstance(error, httpx2.TimeoutException | TimeoutError):
            return RawResponse(status="timeout", detail=f"no complete response within {settings.timeout_s:g} s")
        is_unlike_http = isinstance(error, httpx2.RemoteProtocolError | httpx2.ReadError) and not self.has_responded
        if not never_connected and not is_unlike_http:
            detail = f"the connection broke ({type(error).__name__})"
        return RawResponse(status="connection", detail=detail)

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


def _bytes_of(body: ChatBody) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _long(secrets: Iterable[str]) -> list[str]:
    return [secret for secret in secrets if len(secret) >= _MIN_REDACTED_CHARS]


def _token_limit_of(body: ChatBody | None) -> int | None:
    if body is None:
        return None
    return body.get("max_tokens") or body.get("max_completion_tokens")
