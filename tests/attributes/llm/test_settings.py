"""Settings of the LLM client: invalid values are refused, and secrets are not shown."""

from typing import Any

import pytest
from pydantic import ValidationError

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
    ],
)
def test_invalid_settings_are_refused_without_showing_secrets(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        LLMSettings(**({"model": "m"} | wrong))
    assert "secret" not in str(caught.value)
    assert "sécret" not in str(caught.value)
