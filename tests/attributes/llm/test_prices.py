"""Prices: exact, overridden by the user's file, and unknown if in no file."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attributes.llm.prices import PriceError, load_prices, pusd_from_usd, read_prices, usd_from_pusd, usd_text
from attributes.llm.settings import OPENAI_BASE_URL

USER_FILE = """
[[price]]
base_url = "http://127.0.0.1:8080/v1/"
models = { tiny = { input = "0", output = "0" } }

[[price]]
batch = "0.25"
models = { "gpt-4o-mini" = { input = "0.3", output = "1.2" } }
"""


def test_shipped_prices_are_exact_and_apply_to_dated_names_at_openai_only() -> None:
    prices = load_prices()
    price = prices.find("gpt-4o-mini", "")
    assert price is not None
    assert price == prices.find("gpt-4o-mini-2024-07-18", OPENAI_BASE_URL)
    assert usd_from_pusd(price.cost(prompt_tokens=1_000_000, completion_tokens=0)) == Decimal("0.15")
    assert usd_from_pusd(price.cost(prompt_tokens=1, completion_tokens=1)) == Decimal("0.00000075")
    assert usd_from_pusd(price.cost(prompt_tokens=400, cached_tokens=300, completion_tokens=100)) == Decimal(
        "0.0000975"
    )
    assert usd_from_pusd(price.cost(prompt_tokens=400, completion_tokens=100, batch=True)) == Decimal("0.00006")
    assert prices.find("gpt-4o-mini", "http://127.0.0.1:8080/v1") is None
    assert prices.find("gpt-4o-minimal", "") is None


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


@pytest.mark.parametrize(
    ("dollars", "text"),
    [("0", "$0.00"), ("1234.5", "$1,234.50"), ("0.01", "$0.01"), ("0.00123", "$0.0012"), ("0.00000015", "$0.00000015")],
)
def test_a_cost_above_zero_is_not_shown_as_zero(dollars: str, text: str) -> None:
    assert usd_text(pusd_from_usd(Decimal(dollars))) == text
