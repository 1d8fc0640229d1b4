"""Settings of the LLM client: server, model, sampling, retries."""

import json
import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

OPENAI_BASE_URL = "https://api.openai.com/v1"
_CREDENTIAL = re.compile(r"auth|cookie|key|token|secret|password", re.IGNORECASE)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


class LLMSettings(BaseModel):
    """Server, model, sampling and retries. API key and headers do not appear in repr, str, dumps or logs.

    An empty `base_url` means OpenAI. With an `api_version` the server is Azure OpenAI: `base_url` is the endpoint of
    the resource (`https://NAME.openai.azure.com`) and `model` the name of the deployment. `headers` are extra headers
    of every request, as a JSON object of texts.

    `temperature` and `max_tokens` apply to strategies that set none. `max_attempts` limits the HTTP attempts at one
    question that end in a fault or an unusable response. On top of it come, at most once each, three steps down in the
    response format, two refused parameters that are left out, and one larger token limit after a response was cut off.
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
    # If a server's `Retry-After` is longer than this, the question ends without another attempt.
    max_wait_s: float = Field(60.0, gt=0)

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
        if not url:
            return OPENAI_BASE_URL
        try:
            parts = urlsplit(url)
            host, _ = parts.hostname, parts.port
        except ValueError:
            host = None
        if not host or parts.scheme not in ("http", "https"):
            raise ValueError("must be an http:// or https:// address such as http://127.0.0.1:8080/v1")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise ValueError("must not contain a user, a key, a query or a fragment; set the key as api_key")
        return url.rstrip("/")

    def extra_headers(self) -> dict[str, str]:
        """The extra headers by name."""
        return _parse_headers(self.headers)

    def secrets(self) -> set[str]:
        """The texts that no message may show: the API key, and the values of all headers, with and without a scheme."""
        return {self.api_key.get_secret_value(), *_with_tokens(self.extra_headers().values())}

    def credentials(self) -> set[str]:
        """The secrets that no stored response may contain: the API key, and headers that hold one by name or scheme.

        The value of another header (`X-Title: hummingbirds`) can be an ordinary word of a response.
        """
        headers = self.extra_headers().items()
        values = [value for name, value in headers if _CREDENTIAL.search(name) or _has_scheme(value)]
        return {self.api_key.get_secret_value(), *_with_tokens(values)}


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
