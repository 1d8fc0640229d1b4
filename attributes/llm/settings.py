"""Settings of the LLM client: server, model, sampling, retries."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

OPENAI_BASE_URL = "https://api.openai.com/v1"


class LLMSettings(BaseModel):
    """Server, model, sampling and retries. The API key does not appear in repr, str, dumps or logs.

    An empty `base_url` means OpenAI. `temperature` and `max_tokens` apply to strategies that set none. `max_attempts`
    limits the HTTP attempts at one question that end in a fault or an unusable response. On top of it come, at most
    once each, three steps down in the response format, two refused parameters that are left out, and one larger token
    limit after a response was cut off.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    base_url: str = OPENAI_BASE_URL
    model: str = Field(min_length=1)
    api_key: SecretStr = SecretStr("")
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
