"""One endpoint: an LLM server with its models, limits and prices, as a table of the endpoints file describes it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator

from attributes.llm.settings import LLMSettings

DEFAULT_ENDPOINT = "default"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ONLY_BY_REFERENCE = {
    "api_key": "api_key_env (the name of an environment variable) or api_key_file",
    "headers": "headers_env, the name of an environment variable",
}


class EndpointError(ValueError):
    """The settings of an endpoint are invalid. The message names the file or the variable, the field and the fix."""


class Endpoint(LLMSettings):
    """An endpoint: the settings of its server, and which models, limits and prices it has.

    The file gives secrets by the name of an environment variable (`api_key_env`, `headers_env`, `proxy_env`), or of a
    file with the key (`api_key_file`). `model` is the default of jobs; with `models`, only these are allowed. `prices`
    is a table of model → dollars per million tokens, as in a price file; `batch` is the price factor of the Batch API.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    name: str
    model: str = ""
    models: tuple[str, ...] = ()
    api_key_env: str = ""
    api_key_file: Path | None = None
    headers_env: str = ""
    proxy_env: str = ""
    requests_per_min: int | None = Field(None, ge=1)
    tokens_per_min: int | None = Field(None, ge=1)
    in_flight: int | None = Field(None, ge=1)
    batch: str = "1"
    prices: dict[str, dict[str, str | int]] = Field(default_factory=dict)

    @field_validator("name")
    @classmethod
    def _usable_name(cls, name: str) -> str:
        if not _NAME.fullmatch(name):
            raise ValueError("must be 1 to 64 letters, digits, '.', '_' or '-', and begin with a letter or digit")
        return name

    @field_validator("models")
    @classmethod
    def _named_models(cls, models: tuple[str, ...]) -> tuple[str, ...]:
        if any(not model.strip() for model in models):
            raise ValueError("has a blank name")
        return models

    @field_validator("api_key_env", "headers_env", "proxy_env")
    @classmethod
    def _variable(cls, name: str) -> str:
        if name and not _VARIABLE.fullmatch(name):
            raise ValueError("must be the name of an environment variable, not its value")
        return name

    @field_validator("extra_body", mode="before")
    @classmethod
    def _table_or_text(cls, body: object) -> object:
        """A file has a table in place of the JSON text."""
        if not isinstance(body, Mapping):
            return body
        try:
            return json.dumps(body, allow_nan=False, ensure_ascii=False)
        except (TypeError, ValueError):
            raise ValueError("has a value that JSON does not have, such as a date or inf") from None

    @model_validator(mode="after")
    def _consistent(self) -> "Endpoint":
        if self.api_key_env and self.api_key_file:
            raise ValueError("api_key_env and api_key_file are both given; give one")
        if self.model and self.models and self.model not in self.models:
            raise ValueError(f"model {self.model!r} is not among models; add it there")
        return self

    @property
    def default_model(self) -> str:
        """The model of jobs that name none; empty if they must name one."""
        return self.model or (self.models[0] if len(self.models) == 1 else "")


def refuse_secrets(fields: Mapping[str, object]) -> None:
    """Raises EndpointError if the table of a file holds a secret itself. The message does not show it."""
    for name, instead in _ONLY_BY_REFERENCE.items():
        if name in fields:
            raise EndpointError(f"{name}: a file must not hold it; give {instead}")
    proxy = fields.get("proxy")
    if isinstance(proxy, str) and "@" in urlsplit(proxy if "//" in proxy else f"//{proxy}").netloc:
        raise EndpointError(
            "proxy: a file must not hold a password; give proxy_env, the name of an environment variable"
        )


def llm_settings_of(endpoint: Endpoint, model: str, **secrets: SecretStr) -> LLMSettings:
    """The settings of the client for a model of an endpoint, with these secrets in place of the endpoint's own."""
    shared = {name: getattr(endpoint, name) for name in LLMSettings.model_fields}
    return LLMSettings.model_validate({**shared, "model": model, **secrets})
