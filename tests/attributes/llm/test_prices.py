"""Prices: exact, overridden by a file of one's own, and unknown where nobody said them."""

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attributes.llm.prices import PriceError, load_prices, pusd_from_usd, read_prices, usd_from_pusd, usd_text
from attributes.llm.settings import OPENAI_BASE_URL

OWN = """
[[price]]
base_url = "http://127.0.0.1:8080/v1/"
models = { tiny = { input = "0", output = "0" } }

[[price]]
batch = "0.25"
models = { "gpt-4o-mini" = { input = "0.3", output = "1.2" } }
"""


def test_shipped_prices_are_exact_and_hold_for_dated_names_at_openai_alone() -> None:
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


def test_a_file_of_ones_own_adds_and_overrides(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(OWN)
    prices = load_prices(tmp_path / "own.toml")
    free, dearer, kept = (
        prices.find("tiny", "http://127.0.0.1:8080/v1"), prices.find("gpt-4o-mini", ""), prices.find("gpt-4o", ""),
    )  # fmt: skip
    assert free is not None
    assert free.cost(prompt_tokens=10**9, completion_tokens=10**9) == 0
    assert dearer is not None
    assert usd_from_pusd(dearer.cost(prompt_tokens=10**6, cached_tokens=10**6, completion_tokens=0)) == Decimal("0.3")
    assert usd_from_pusd(dearer.cost(prompt_tokens=10**6, completion_tokens=0, batch=True)) == Decimal("0.075")
    assert kept == load_prices().find("gpt-4o", "")


@given(st.lists(st.tuples(*[st.integers(0, 10**6)] * 3), max_size=20))
def test_the_sum_of_calls_is_the_price_of_their_sum(calls: list[tuple[int, int, int]]) -> None:
    price = load_prices().find("gpt-4.1-nano", "")
    assert price is not None
    fresh, cached, out = (sum(column) for column in zip(*calls, strict=True)) if calls else (0, 0, 0)
    summed = sum(
        price.cost(prompt_tokens=new + old, cached_tokens=old, completion_tokens=told) for new, old, told in calls
    )
    assert summed == price.cost(prompt_tokens=fresh + cached, cached_tokens=cached, completion_tokens=out)
    exact = (fresh * Decimal("0.1") + cached * Decimal("0.025") + out * Decimal("0.4")) / 10**6
    assert usd_from_pusd(summed) == exact


@pytest.mark.parametrize(
    ("text", "responses"),
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
def test_a_file_that_cannot_be_used_names_the_place(tmp_path: Path, text: str, responses: str) -> None:
    (tmp_path / "bad.toml").write_text(text)
    with pytest.raises(PriceError) as caught:
        read_prices(tmp_path / "bad.toml")
    assert responses in str(caught.value)
    assert "bad.toml" in str(caught.value)
    with pytest.raises(PriceError, match="cannot be read"):
        read_prices(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("dollars", "said"),
    [("0", "$0.00"), ("1234.5", "$1,234.50"), ("0.01", "$0.01"), ("0.00123", "$0.0012"), ("0.00000015", "$0.00000015")],
)
def test_money_spent_never_reads_as_none(dollars: str, said: str) -> None:
    assert usd_text(pusd_from_usd(Decimal(dollars))) == said
