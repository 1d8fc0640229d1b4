"""What goes into asking an LLM, and what comes of it: settings, the ledger of HTTP attempts, outcomes, fatal errors."""

from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from attributes.types import Entry, Label

OPENAI_BASE_URL = "https://api.openai.com/v1"

# Why a label can end without an entry, or why one HTTP attempt was not the last.
REASONS = {
    "refused": "the model or its content filter declined",
    "timeout": "no complete answer within the time allowed",
    "connection": "the connection broke",
    "rate_limited": "429, also after waiting",
    "server_error": "5xx or another fault on the server's side, also after waiting",
    "bad_request": "the server does not accept the request in any form",
    "empty_answer": "an answer without choices or content",
    "truncated_answer": "JSON that breaks off or has a fault",
    "invalid_answer": "an answer that does not fit the schema",
    "answer_too_long": "cut off at the token limit, at the larger one too",
    "wrong_label": "an answer about another label",
    "stopped": "asked to stop before an answer came; the label is still to be asked",
}


class LLMSettings(BaseModel):
    """Which server and model to ask, and how. The key is shown by no repr, str, dump or log.

    An empty `base_url` is OpenAI's own. `max_attempts` bounds the HTTP calls for one label that end in a fault or a
    useless answer. Beyond it come, at most once each, the steps by which a server's ways are learnt (two rungs of
    the ladder, two parameters it may not know) and one larger limit for an answer that was cut off.
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


@dataclass(frozen=True, kw_only=True)
class Call:
    """One HTTP attempt. `status` is `ok`, or why it gave no answer: a key of `REASONS`, or a fatal error's code.

    Tokens are None where the server did not say; `rung` is the form of the request; `attempt` counts from 1.
    """

    attempt: int
    status: str
    rung: str
    http_status: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    latency_s: float
    answer_text: str | None = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How one label ended: with an entry, or with a `reason` (a key of `REASONS`) and its `detail`.

    `calls` has every HTTP attempt; `messages` is the request as the strategy wrote it and `answer` the text the entry
    was read from (provenance). A label that `stopped` is not failed: it has still to be asked.
    """

    label: Label
    key: str
    entry: Entry | None
    reason: str | None
    detail: str
    calls: list[Call]
    messages: tuple[Any, ...] = field(default=(), repr=False)
    answer: str | None = field(default=None, repr=False)


class FatalLLMError(Exception):
    """No label can be answered as things are: to go on would only burn through the list.

    `code` is `llm_wrong_key`, `llm_unknown_model`, `llm_quota_exhausted` or `llm_unreachable`; `calls` are the
    attempts for the label at hand. The message holds no secret.
    """

    def __init__(self, code: str, message: str, calls: list[Call] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.calls = calls or []
