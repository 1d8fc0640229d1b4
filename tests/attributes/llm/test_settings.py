"""Settings of the LLM client: invalid values are refused, and secrets are not shown."""

from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from attributes.llm.settings import LLMSettings


@pytest.mark.parametrize(
    "wrong",
    [
        {"api_key": "sk-secret\nX-Evil: 1"},
        {"api_key": "sk-sécret"},
        {"base_url": "http://user:sk-secret@host/v1"},
        {"base_url": "http://host/v1?key=sk-secret"},
        {"base_url": "file:///etc/sk-secret"},
        {"base_url": "http://host:sk-secret/v1"},
        {"api_version": "2024-10-21&api-key=sk-secret"},
        {"headers": "X-Key: sk-secret"},
        {"headers": '["sk-secret"]'},
        {"headers": '{"X-Key": 5}'},
        {"headers": '{"X-Key": "sk-secret\\r\\nX-Evil: 1"}'},
        {"headers": '{"X Key": "sk-secret"}'},
    ],
)
def test_invalid_settings_are_refused_without_showing_secrets(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        LLMSettings(**({"model": "m"} | wrong))
    assert "secret" not in str(caught.value)
    assert "sécret" not in str(caught.value)


def test_headers_are_secret_and_settings_with_equal_headers_are_equal() -> None:
    headers = '{"X-Key": "sk-secret", "Authorization": "Bearer token-9876543210"}'
    settings = LLMSettings(model="m", headers=SecretStr(headers))
    assert settings.extra_headers() == {"X-Key": "sk-secret", "Authorization": "Bearer token-9876543210"}
    assert settings.secrets() >= {"sk-secret", "Bearer token-9876543210", "token-9876543210"}
    assert all("secret" not in text and "token-" not in text for text in _texts(settings))
    # The client pool shares connections between parts with equal settings.
    assert {settings: 1}[LLMSettings(model="m", headers=SecretStr(headers))] == 1
    assert settings != LLMSettings(model="m")


def _texts(settings: LLMSettings) -> list[str]:
    return [repr(settings), str(settings), settings.model_dump_json(), str(settings.model_dump())]
