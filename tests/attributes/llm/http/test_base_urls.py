"""Base URLs: what is normalised, what is refused with the address that was meant, and what a wrong path hints at."""

import pytest
from pydantic import ValidationError

from attributes.llm.http.base_urls import path_hint
from attributes.llm.settings import LLMSettings


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (" http://127.0.0.1:8080/v1/ \n", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/v1/chat/completions", "http://127.0.0.1:8080/v1"),
        ("http://127.0.0.1:8080/v1/chat/completions/", "http://127.0.0.1:8080/v1"),
        ("https://api.example.com/v1/models", "https://api.example.com/v1"),
        ("https://x.services.ai.azure.com/models", "https://x.services.ai.azure.com/models"),
        ("https://x.services.ai.azure.com/models/chat/completions", "https://x.services.ai.azure.com/models"),
        ("https://x.openai.azure.com/openai/deployments/gpt-4/chat/completions", "https://x.openai.azure.com"),
        ("http://127.0.0.1:8080//v1//", "http://127.0.0.1:8080/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("HTTP://LocalHost:8080/v1", "http://LocalHost:8080/v1"),
        ("http://my_server:8080/v1", "http://my_server:8080/v1"),
        ("http://müller.example/v1", "http://müller.example/v1"),
        ("", "https://api.openai.com/v1"),
        ("  ", "https://api.openai.com/v1"),
    ],
)
def test_a_base_url_is_normalised(url: str, expected: str) -> None:
    assert LLMSettings(base_url=url, model="m").base_url == expected


@pytest.mark.parametrize(
    ("url", "meant"),
    [
        ("localhost:1234", "http://localhost:1234/v1"),
        ("localhost:1234/v1", "http://localhost:1234/v1"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080/v1"),
        ("192.168.1.5", "http://192.168.1.5/v1"),
        ("api.example.com/v1", "https://api.example.com/v1"),
        ("//api.example.com/v1", "https://api.example.com/v1"),
        ("http:/localhost:1234/v1", "http://localhost:1234/v1"),
        ("http:localhost:1234/v1", "http://localhost:1234/v1"),
        ("http//localhost:1234/v1", "http://localhost:1234/v1"),
        ("htps://api.example.com/v1", "https://api.example.com/v1"),
        ("https://https://api.example.com/v1", "https://api.example.com/v1"),
        ("'http://localhost:1234/v1'", "http://localhost:1234/v1"),
        ('"https://api.example.com/v1"', "https://api.example.com/v1"),
        ("http://local host:1234/v1", "http://localhost:1234/v1"),
        ("http://::1:8080/v1", "http://[::1]:8080/v1"),
        ("::1", "http://[::1]/v1"),
        ("http://localhost:123456/v1", "http://127.0.0.1:8080/v1"),
        ("ftp://files.example/v1", "http://127.0.0.1:8080/v1"),
        ("sk-0123456789", "http://127.0.0.1:8080/v1"),
        ("http://", "http://127.0.0.1:8080/v1"),
        ("none", "http://127.0.0.1:8080/v1"),
    ],
)
def test_an_address_that_is_none_names_the_one_that_is_meant(url: str, meant: str) -> None:
    with pytest.raises(ValidationError) as caught:
        LLMSettings(base_url=url, model="m")
    assert caught.value.errors()[0]["msg"].endswith(f"such as {meant}")


def test_a_query_names_the_setting_that_is_meant() -> None:
    with pytest.raises(ValidationError, match="set the API version as api_version"):
        LLMSettings(base_url="https://x.openai.azure.com/openai?api-version=2024-10-21", model="m")


@pytest.mark.parametrize(
    ("url", "other"),
    [
        ("http://127.0.0.1:1234", "http://127.0.0.1:1234/v1"),
        ("http://127.0.0.1:11434/api", "http://127.0.0.1:11434/v1"),
        ("http://127.0.0.1:11434/api/chat", "http://127.0.0.1:11434/v1"),
        ("http://127.0.0.1:1234/v1/v1", "http://127.0.0.1:1234/v1"),
        ("http://127.0.0.1:1234/api/v0", "http://127.0.0.1:1234/v1"),
        ("http://127.0.0.1:1234/v1", "http://127.0.0.1:1234"),
        ("https://api.groq.com/v1", "https://api.groq.com/openai/v1"),
        ("https://openrouter.ai/v1", "https://openrouter.ai/api/v1"),
        ("https://generativelanguage.googleapis.com", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("https://x.openai.azure.com", "https://x.openai.azure.com/openai/v1"),
    ],
)
def test_a_wrong_path_hints_at_the_address_that_may_be_right(url: str, other: str) -> None:
    hint = path_hint(url)
    assert f"{url}/chat/completions" in hint
    assert hint.endswith(f"LIMBECK_LLM_BASE_URL={other}")
