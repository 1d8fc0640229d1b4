"""Which server and model to ask, and how."""

from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

OPENAI_BASE_URL = "https://api.openai.com/v1"


class LLMSettings(BaseModel):
    """Which server and model to ask, and how. The key is shown by no repr, str, dump or log.

    An empty `base_url` is OpenAI's own. `temperature` and `max_tokens` hold where a strategy has none of its own.
    `max_attempts` bounds the HTTP calls for one question that end in a fault or a useless answer. Beyond it come, at
    most once each, the steps by which a server's ways are learnt (three rungs of the ladder, two parameters it may not
    know) and one larger limit for an answer that was cut off.
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
    # A server that asks for a longer wait than this is not asked again.
    max_wait_s: float = Field(60.0, gt=0)

    @field_validator("api_key")
    @classmethod
    def _sendable_key(cls, key: SecretStr) -> SecretStr:
        stripped = key.get_secret_value().strip()
        if not (stripped.isascii() and (stripped.isprintable() or not stripped)):
            raise ValueError("holds characters that no HTTP header can carry")
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
            raise ValueError("must not carry a user, a key, a query or a fragment; the key is a setting of its own")
        return url.rstrip("/")
