"""The message for a model without a price names the setting that would give it one."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from attributes.endpoints.endpoints import Endpoints

SERVER = "http://llm:8000/v1"
PRICE = '[price.models]\nqwen3 = { input = "0.1", output = "0.2" }\n'
ENTRY = f'[[price]] with base_url = "{SERVER}" and this model'


def resolve(tmp_path: Path, *, prices: str | None, **llm: Any) -> tuple[bool, str]:
    """Whether there is a price, and the message."""
    file = tmp_path / "prices.toml"
    if prices is not None:
        file.write_text(prices)
    settings = SimpleNamespace(llm=llm, llm_endpoints=None, prices=None if prices is None else file)
    found = Endpoints.load(settings).resolve(None, with_secrets=False)
    return found.price is not None, found.missing_price


def test_a_custom_server_needs_a_price_file(tmp_path: Path) -> None:
    known, message = resolve(tmp_path, prices=None, base_url=SERVER, model="qwen3")
    assert not known
    assert message == (
        f"the price of qwen3 at {SERVER} (LIMBECK_LLM_BASE_URL) is not known: "
        f"set LIMBECK_PRICES to a file that has a {ENTRY}"
    )


@pytest.mark.parametrize("elsewhere", ["", 'base_url = "http://127.0.0.1:8000/v1"\n'])
def test_a_price_at_another_server_is_named(elsewhere: str, tmp_path: Path) -> None:
    """A price without base_url is one of OpenAI, and LIMBECK_PRICES is set already."""
    known, message = resolve(tmp_path, prices=f"[[price]]\n{elsewhere}{PRICE}", base_url=SERVER, model="qwen3")
    assert not known
    server = "http://127.0.0.1:8000/v1" if elsewhere else "https://api.openai.com/v1"
    assert f"(LIMBECK_PRICES) has it at {server}; give both the same base_url" in message


def test_a_file_without_the_model_is_named(tmp_path: Path) -> None:
    known, message = resolve(tmp_path, prices=f"[[price]]\n{PRICE}", base_url=SERVER, model="gemma")
    assert not known
    assert f"add to the price file {tmp_path}/prices.toml (LIMBECK_PRICES) a {ENTRY}" in message


def test_a_process_without_the_server_is_told_so(tmp_path: Path) -> None:
    known, message = resolve(tmp_path, prices=None, base_url="", model="qwen3")
    assert not known
    assert "set LIMBECK_LLM_BASE_URL if the model is at another server, else set LIMBECK_PRICES" in message


def test_a_known_price_has_no_message(tmp_path: Path) -> None:
    prices = f'[[price]]\nbase_url = "{SERVER}/"\n{PRICE}'
    assert resolve(tmp_path, prices=prices, base_url=SERVER, model="qwen3") == (True, "")
