"""Money: exact conversions, and text that never shows a cost as zero."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from limbeck.shared.money import decimal_text, pusd_from_usd, usd_from_pusd, usd_text


@given(st.integers(-(10**24), 10**24))
def test_conversions_are_exact(pusd: int) -> None:
    usd = usd_from_pusd(pusd)
    assert pusd_from_usd(usd) == pusd
    assert Decimal(decimal_text(usd)) == usd


@given(st.decimals(min_value=0, max_value=10**6, places=15))
def test_dollars_are_rounded_towards_zero(usd: Decimal) -> None:
    assert usd_from_pusd(pusd_from_usd(usd)) <= usd < usd_from_pusd(pusd_from_usd(usd) + 1)


@pytest.mark.parametrize(
    ("usd", "text"), [("0", "0"), ("0.000135000000", "0.000135"), ("10.000000000000", "10"), ("100", "100")]
)
def test_decimal_text_has_all_digits_and_no_trailing_zeros(usd: str, text: str) -> None:
    assert decimal_text(Decimal(usd)) == text


@pytest.mark.parametrize(
    ("usd", "text"),
    [
        ("0", "$0.00"),
        ("1234.5", "$1,234.50"),
        ("0.01", "$0.01"),
        ("0.0099", "$0.0099"),
        ("0.00123", "$0.0012"),
        ("0.000135", "$0.00014"),
        ("0.00000015", "$0.00000015"),
        ("0.009999", "$0.01"),
    ],
)
def test_a_cost_above_zero_is_not_shown_as_zero(usd: str, text: str) -> None:
    assert usd_text(Decimal(usd)) == text
