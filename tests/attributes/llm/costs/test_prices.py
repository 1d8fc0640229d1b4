"""Prices: exact, from genai-prices or the user's file, and unknown at any other server."""

import sys
from decimal import Decimal
from pathlib import Path
from subprocess import run
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attributes.llm.costs.prices import Price, PriceError, load_prices, read_prices
from attributes.llm.settings import OPENAI_BASE_URL
from limbeck.shared.money import usd_from_pusd

USER_FILE = """
[[price]]
base_url = "http://127.0.0.1:8080/v1/"
models = { tiny = { input = "0", output = "0" } }

[[price]]
batch = "0.25"
models = { "gpt-4o-mini" = { input = "0.3", output = "1.2" }, "my-gpt" = { input = "3", output = "9" } }
"""


def _price(model: str, base_url: str = "") -> Price:
    price = load_prices().find(model, base_url)
    assert price is not None
    return price


def _usd_per_million(price: Price, *, batch: bool = False, **tokens: int) -> Decimal:
    """Dollars of calls with these tokens, in millions, each call with a short prompt."""
    counts: dict[str, Any] = {f"{kind}_tokens": number * 10**6 for kind, number in tokens.items()}
    counts = {"prompt_tokens": 0, "completion_tokens": 0} | counts
    return usd_from_pusd(price.cost(**counts, batch=batch, num_calls=10**6))


def test_prices_are_exact() -> None:
    price = _price("gpt-4o-mini")
    assert usd_from_pusd(price.cost(prompt_tokens=1, completion_tokens=1)) == Decimal("0.00000075")
    cached = price.cost(prompt_tokens=400, cached_tokens=300, completion_tokens=100)
    assert usd_from_pusd(cached) == Decimal("0.0000975")
    assert usd_from_pusd(price.cost(prompt_tokens=400, completion_tokens=100, batch=True)) == Decimal("0.00006")


@pytest.mark.parametrize(
    ("model", "prices"),
    [
        ("gpt-4o", "2.50 1.25 10.00"),
        ("gpt-4o-mini", "0.15 0.075 0.60"),
        ("gpt-4o-mini-2024-07-18", "0.15 0.075 0.60"),
        ("gpt-4.1-nano", "0.10 0.025 0.40"),
        ("gpt-5-mini-2025-08-07", "0.25 0.025 2.00"),
        ("gpt-5.4", "2.50 0.25 15.00"),
        ("gpt-5.4-mini", "0.75 0.075 4.50"),
    ],
)
def test_prices_of_openai(model: str, prices: str) -> None:
    """OpenAI's price page, as copied by others in March and May 2026."""
    price = _price(model)
    assert [
        _usd_per_million(price, prompt=1),
        _usd_per_million(price, prompt=1, cached=1),
        _usd_per_million(price, completion=1),
    ] == [Decimal(text) for text in prices.split()]
    assert _usd_per_million(price, prompt=1, completion=1, batch=True) * 2 == _usd_per_million(
        price, prompt=1, completion=1
    )


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("openai/gpt-4o-mini", "https://openrouter.ai/api/v1"),
        ("mistral-small-latest", "https://api.mistral.ai/v1"),
        ("gemini-2.5-flash", "https://generativelanguage.googleapis.com/v1beta/openai"),
        ("llama-3.3-70b-versatile", "https://api.groq.com/openai/v1/"),
        ("kimi-k2-0905-preview", "https://api.moonshot.ai/v1"),
    ],
)
def test_providers_are_known_by_their_base_url(model: str, base_url: str) -> None:
    price = _price(model, base_url)
    assert price.cost(prompt_tokens=1, completion_tokens=0) > 0
    assert price.cost(prompt_tokens=0, completion_tokens=1) > 0


@pytest.mark.parametrize(
    ("model", "base_url"),
    [
        ("gpt-4o-mini", "http://127.0.0.1:8080/v1"),
        ("gpt-4o-mini", "http://api.openai.com/v1"),
        ("gpt-4o-mini", "https://api.openai.com:8443/v1"),
        ("gpt-4o-mini", "https://api.openai.com.example/v1"),
        ("gpt-4o-mini", "https://eu.api.openai.com/v1"),
        ("kimi-k2-0905-preview", "https://api.moonshot.example.com/v1"),
        ("gemini-2.5-flash", "https://example.com/x.googleapis.com/v1"),
        ("gpt-4o-mini", "https://openrouter.ai/api/v1"),  # there it is `openai/gpt-4o-mini`
        ("gpt-4o-mini", "https://mine.openai.azure.com"),
        ("o1", "https://mine.openai.azure.com"),
        ("sonar", "https://api.perplexity.ai"),  # has a price per request, which is not counted
        ("meta-llama/llama-3.3-70b-instruct:free", "https://openrouter.ai/api/v1"),
        ("gpt-4o-minimal", ""),
        ("text-embedding-3-small", ""),
        ("gpt-image-1", ""),
    ],
)
def test_other_prices_are_unknown(model: str, base_url: str) -> None:
    assert load_prices().find(model, base_url) is None


def test_a_long_prompt_has_the_price_of_its_length() -> None:
    price = _price("gpt-5.4")
    below, above = (price.cost(prompt_tokens=n, completion_tokens=10) for n in (272_000, 272_001))
    assert usd_from_pusd(below) == Decimal("0.68") + Decimal("0.00015")
    assert above > 1.9 * below
    many = price.cost(prompt_tokens=1_000 * 1_000, completion_tokens=10_000, num_calls=1_000)
    assert many == 1_000 * price.cost(prompt_tokens=1_000, completion_tokens=10)


def test_a_prompt_that_the_server_caches_can_cost_more() -> None:
    price = _price("gpt-5.6-terra")
    assert _usd_per_million(price, prompt=2, cached=1, cache_write=1) == Decimal("2.7")
    assert usd_from_pusd(price.max_cost(prompt_tokens=1_000, completion_tokens=0)) == Decimal("0.0025")
    plain = _price("gpt-4o")
    assert plain.max_cost(prompt_tokens=7, completion_tokens=3) == plain.cost(prompt_tokens=7, completion_tokens=3)


def test_a_price_by_the_time_of_day_is_the_highest() -> None:
    assert _usd_per_million(_price("deepseek-reasoner", "https://api.deepseek.com/v1"), completion=1) == Decimal("2.19")


def test_a_batch_price_is_not_below_the_list() -> None:
    """For this model the Batch API has no discount on cached tokens."""
    assert _usd_per_million(_price("gpt-4.1"), prompt=1, cached=1, batch=True) == Decimal("0.50")


_LOADS_PRICES = """
import sys
from attributes.llm.costs.prices import load_prices
assert "genai_prices" not in sys.modules
def refuse(event, arguments):
    assert event not in ("socket.connect", "socket.getaddrinfo"), event
sys.addaudithook(refuse)
assert load_prices().find("gpt-4o", "")
assert "openai" not in sys.modules
"""


def test_prices_need_no_network_and_no_llm_library() -> None:
    run([sys.executable, "-c", _LOADS_PRICES], check=True)


def test_a_user_file_adds_and_overrides_prices(tmp_path: Path) -> None:
    (tmp_path / "user.toml").write_text(USER_FILE)
    prices = load_prices(tmp_path / "user.toml")
    free = prices.find("tiny", "http://127.0.0.1:8080/v1")
    overridden, shipped = prices.find("gpt-4o-mini", ""), prices.find("gpt-4o", "")
    assert free is not None
    assert free.cost(prompt_tokens=10**9, completion_tokens=10**9) == 0
    assert overridden is not None
    assert usd_from_pusd(overridden.cost(prompt_tokens=10**6, cached_tokens=10**6, completion_tokens=0)) == Decimal(
        "0.3"
    )
    assert usd_from_pusd(overridden.cost(prompt_tokens=10**6, completion_tokens=0, batch=True)) == Decimal("0.075")
    assert shipped == load_prices().find("gpt-4o", "")
    assert prices.find("my-gpt-2026-01-01", OPENAI_BASE_URL) == prices.find("my-gpt", "")
    assert prices.find("my-gpt", "https://openrouter.ai/api/v1") is None


@given(st.lists(st.tuples(*[st.integers(0, 10**6)] * 3), max_size=20))
def test_the_cost_of_calls_is_additive(calls: list[tuple[int, int, int]]) -> None:
    price = load_prices().find("gpt-4.1-nano", "")
    assert price is not None
    uncached, cached, completion = (sum(column) for column in zip(*calls, strict=True)) if calls else (0, 0, 0)
    summed = sum(
        price.cost(prompt_tokens=new + old, cached_tokens=old, completion_tokens=out) for new, old, out in calls
    )
    assert summed == price.cost(prompt_tokens=uncached + cached, cached_tokens=cached, completion_tokens=completion)
    exact = (uncached * Decimal("0.1") + cached * Decimal("0.025") + completion * Decimal("0.4")) / 10**6
    assert usd_from_pusd(summed) == exact


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("price = 3", "[[price]] blocks"),
        ("[[price]]\nmodels = { m = { input = '1' } }", "m: must give input and output"),
        ("[[price]]\nmodels = { m = { input = '1', output = 0.5 } }", "m: output: 0.5 must be a number of dollars"),
        ("[[price]]\nmodels = { m = { input = '-1', output = '1' } }", "m: input: '-1' must be"),
        ("[[price]]\nmodels = { m = { input = 'NaN', output = '1' } }", "m: input: 'NaN' must be"),
        ("[[price]]\nmodels = { m = { input = '0.0000001', output = '1' } }", "more than six digits"),
        ("[[price]]\nmodel = 'm'", "'model' is not a field"),
        ("[[price]]\nmodels = 7", "models a table"),
        ("[[price", "cannot be read"),
    ],
)
def test_the_error_of_an_invalid_file_names_the_place(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(PriceError) as caught:
        read_prices(tmp_path / "bad.toml")
    assert message in str(caught.value)
    assert "bad.toml" in str(caught.value)
    with pytest.raises(PriceError, match="cannot be read"):
        read_prices(tmp_path / "missing.toml")
