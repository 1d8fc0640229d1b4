"""Settings of the LLM client: server, connection, model, sampling, retries."""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from attributes.llm.http.base_urls import normal_base_url
from attributes.llm.http.connections import ConnectionOptions
from attributes.llm.http.proxies import parse_proxy

OPENAI_BASE_URL = "https://api.openai.com/v1"
_CREDENTIAL = re.compile(r"auth|cookie|key|token|secret|password", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class LLMSettings(BaseModel):
    """Server, model, sampling and retries. API key and headers do not appear in repr, str, dumps or logs.

    An empty `base_url` means OpenAI. With an `api_version` the server is Azure OpenAI: `base_url` is the endpoint of
    the resource (`https://NAME.openai.azure.com`) and `model` the name of the deployment. `headers` are extra headers
    of every request, as a JSON object of texts.

    `temperature` and `max_tokens` apply to strategies that set none; `top_p`, `seed` and `reasoning_effort` are sent if
    they are set. `extra_body` is a JSON object that is merged into every request; a null in it removes a parameter.
    `max_reasoning_tokens`: how many tokens the limit of a response may grow for a model that thinks before it answers.

    `proxy`: the address of a proxy, with its user and password; if empty, HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and
    NO_PROXY apply. `ca_file`: certificates of authorities to trust besides the system's.

    `max_attempts` limits the HTTP attempts at one question that the server may bill, or that fail while it responds to
    other questions. An outage does not count: `outage_limit_s` is how long the server may be away before the run ends.
    While a server fails calls at random, three times as many faults are excused if they are not billed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: str = OPENAI_BASE_URL
    model: str = Field(min_length=1)
    api_key: SecretStr = SecretStr("")
    api_version: str = ""
    headers: SecretStr = SecretStr("")
    temperature: float = Field(0.0, ge=0, le=2)
    max_tokens: int = Field(700, ge=16)
    timeout_s: float = Field(60.0, gt=0)
    max_attempts: int = Field(5, ge=1, le=20)
    concurrency: int = Field(16, ge=1, le=4096)
    max_wait_s: float = Field(60.0, gt=0, description="Longest wait between two attempts, if the server names none.")
    outage_limit_s: float = Field(600.0, gt=0)
    max_reasoning_tokens: int = Field(8_192, ge=0)
    top_p: float | None = Field(None, gt=0, le=1)
    seed: int | None = None
    reasoning_effort: str = Field("", pattern=r"^[a-z]*$")
    extra_body: str = ""
    proxy: SecretStr = SecretStr("")
    ca_file: Path | None = None

    @field_validator("api_key")
    @classmethod
    def _sendable_key(cls, key: SecretStr) -> SecretStr:
        stripped = key.get_secret_value().strip()
        if not (stripped.isascii() and (stripped.isprintable() or not stripped)):
            raise ValueError("has characters that are not allowed in an HTTP header; use printable ASCII")
        return SecretStr(stripped)

    @field_validator("api_version")
    @classmethod
    def _usable_version(cls, version: str) -> str:
        if not re.fullmatch(r"[\w.-]*", version, re.ASCII):
            raise ValueError("must be a version of the Azure OpenAI API such as 2024-10-21")
        return version

    @field_validator("headers")
    @classmethod
    def _sendable_headers(cls, headers: SecretStr) -> SecretStr:
        _parse_headers(headers)
        return headers

    @field_validator("base_url")
    @classmethod
    def _usable_url(cls, url: str) -> str:
        if not url.strip():
            return OPENAI_BASE_URL
        return normal_base_url(url)

    @field_validator("proxy")
    @classmethod
    def _usable_proxy(cls, proxy: SecretStr) -> SecretStr:
        if proxy.get_secret_value().strip():
            parse_proxy(proxy.get_secret_value())
        return SecretStr(proxy.get_secret_value().strip())

    @field_validator("ca_file", mode="before")
    @classmethod
    def _no_empty_path(cls, path: object) -> object:
        return None if path == "" else path

    @field_validator("extra_body")
    @classmethod
    def _json_object(cls, text: str) -> str:
        try:
            data = json.loads(text) if text.strip() else {}
        except ValueError:
            raise ValueError("must be a JSON object of request parameters") from None
        if not isinstance(data, dict):
            raise ValueError("must be a JSON object of request parameters")
        for name in ("model", "messages", "stream", "n"):
            if name in data:
                raise ValueError(f"must not set {name!r}, which Limbeck sets itself")
        return json.dumps(data, sort_keys=True, ensure_ascii=False) if data else ""

    def extra_parameters(self) -> dict[str, Any]:
        """The optional parameters of every request: `top_p`, `seed`, `reasoning_effort`, and those of `extra_body`."""
        named = {"top_p": self.top_p, "seed": self.seed, "reasoning_effort": self.reasoning_effort or None}
        given = {name: value for name, value in named.items() if value is not None}
        return given | (json.loads(self.extra_body) if self.extra_body else {})

    def extra_headers(self) -> dict[str, str]:
        """The extra headers by name."""
        return _parse_headers(self.headers)

    def secrets(self) -> set[str]:
        """The texts that no message may show: the API key, and the values of all headers, with and without a scheme."""
        return {self.api_key.get_secret_value(), *_with_tokens(self.extra_headers().values()), *self._proxy_secrets()}

    def credentials(self) -> set[str]:
        """The secrets that no stored response may contain: the API key, and headers that hold one by name or scheme.

        The value of another header (`X-Title: hummingbirds`) can be an ordinary word of a response.
        """
        headers = self.extra_headers().items()
        values = [value for name, value in headers if _CREDENTIAL.search(name) or _has_scheme(value)]
        return {self.api_key.get_secret_value(), *_with_tokens(values), *self._proxy_secrets()}

    def _proxy_secrets(self) -> set[str]:
        proxy = self.proxy.get_secret_value()
        return parse_proxy(proxy).secrets() if proxy else set()

    def connection(self) -> ConnectionOptions:
        """How to reach the server; `check_connection` of `attributes.llm.http.connections` checks it."""
        return ConnectionOptions(
            base_url=self.base_url,
            proxy=self.proxy.get_secret_value(),
            ca_file=self.ca_file,
            timeout_s=self.timeout_s,
            concurrency=self.concurrency,
            secret_headers=tuple(self.extra_headers()),
        )


def _has_scheme(value: str) -> bool:
    return value.lower().startswith(("basic ", "bearer "))


def _with_tokens(values: Iterable[str]) -> set[str]:
    """The values of headers, and those with a scheme also without it."""
    values = set(values)
    return values | {value.split(" ", 1)[1].strip() for value in values if _has_scheme(value)}


def _parse_headers(headers: SecretStr) -> dict[str, str]:
    """Raises ValueError; the message does not quote a value."""
    text = headers.get_secret_value().strip()
    try:
        data = json.loads(text) if text else {}
    except ValueError:
        raise ValueError("must be a JSON object of header names and texts") from None
    if not isinstance(data, dict) or not all(isinstance(value, str) for value in data.values()):
        raise ValueError("must be a JSON object of header names and texts")
    stripped = {name: value.strip() for name, value in data.items()}
    for name, value in stripped.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError("has a name that is not allowed in HTTP")
        if not (value.isascii() and value.isprintable()):
            raise ValueError(f"has a value that is not allowed in an HTTP header: {name}; use printable ASCII")
    return stripped
