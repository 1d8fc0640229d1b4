"""Endpoints files, and operators whose settings are given."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from attributes.endpoints.endpoints import Endpoints

FILE = """
[[endpoint]]
name = "local"
base_url = "http://127.0.0.1:8080/v1/"
model = "gemma"
in_flight = 4
concurrency = 8
timeout_s = 300
[endpoint.extra_body.chat_template_kwargs]
enable_thinking = false
[endpoint.prices]
gemma = { input = "0", output = "0" }

[[endpoint]]
name = "azure"
base_url = "https://birds.openai.azure.com"
api_version = "2024-10-21"
models = ["gpt-4o-birds"]
api_key_env = "AZURE_KEY"
headers_env = "AZURE_HEADERS"
proxy_env = "PROXY"
requests_per_min = 60
batch = "0.5"
[endpoint.prices]
gpt-4o-birds = { input = "2.5", cached_input = "1.25", output = "10" }
"""
SECRETS = {
    "AZURE_KEY": "azure-secret-key",
    "AZURE_HEADERS": '{"X-Team": "hidden-team"}',
    "PROXY": "http://u:pw@proxy:1",
}


@dataclass(frozen=True)
class Operator:
    """The operator's settings."""

    llm: Mapping[str, object] = field(default_factory=lambda: {"base_url": "", "model": "gpt-4o-mini"})
    llm_endpoints: Path | None = None
    prices: Path | None = None


MakeEndpoints = Callable[..., Endpoints]


@pytest.fixture
def make_endpoints(tmp_path: Path) -> MakeEndpoints:
    """Loads endpoints from the text of a file, or without one."""

    def make(text: str | None = FILE, *, environment: Mapping[str, str] = SECRETS, **operator: Any) -> Endpoints:
        path = None
        if text is not None:
            path = tmp_path / "endpoints.toml"
            path.write_text(text)
        return Endpoints.load(Operator(llm_endpoints=path, **operator), environment)

    return make
