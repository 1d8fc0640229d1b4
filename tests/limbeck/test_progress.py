"""Texts and rates of progress bars."""

import pytest

from limbeck.models import Spend
from limbeck.progress import Rate, duration_text, rate_text, spend_text
from tests.limbeck.helpers import SPEND


def test_a_rate_covers_the_last_seconds_and_restarts_with_a_new_unit() -> None:
    now = 0.0
    rate = Rate(clock=lambda: now)
    assert rate.update(0, "steps") is None
    for second in range(1, 31):
        now = float(second)
        latest = rate.update(5 * second if second <= 10 else 50 + (second - 10), "steps")
    assert latest == pytest.approx(1.0)
    now = 31.0
    assert rate.update(3, "images") is None
    now = 32.0
    assert rate.update(13, "images") == pytest.approx(10.0)


@pytest.mark.parametrize(("seconds", "text"), [(0.2, "0:00"), (42.4, "0:42"), (725, "12:05"), (11220, "3:07:00")])
def test_duration_text(seconds: float, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(("rate", "text"), [(0.25, "0.2"), (9.94, "9.9"), (1234.5, "1,234")])
def test_rate_text(rate: float, text: str) -> None:
    assert rate_text(rate) == text


def test_a_spend_of_unknown_price_shows_tokens() -> None:
    unknown = Spend.model_validate({**SPEND, "usd": None, "projected_usd": None, "cap_usd": None, "cap_tokens": 5000})
    assert spend_text(unknown) == "2,100 tokens spent, price unknown (cap 2,100 of 5,000 tokens)"


def test_repeated_calls_and_repaired_responses_are_counted() -> None:
    counted = Spend.model_validate({**SPEND, "projected_usd": None, "repeated_calls": 1, "repaired_responses": 1200})
    assert spend_text(counted) == "$0.01 spent (cap $2.50), 1 call repeated, 1,200 responses repaired"


def test_an_ended_job_has_no_projection() -> None:
    spend = Spend.model_validate(SPEND)
    assert "about $0.02 in all" in spend_text(spend)
    assert spend_text(spend, ended=True) == "$0.01 spent (cap $2.50)"


def test_calls_without_usage_have_an_unknown_cost_not_an_unknown_price() -> None:
    outage = {**SPEND, "usd": None, "projected_usd": None, "cap_usd": None, "tokens": 0, "calls": 50}
    assert spend_text(Spend.model_validate(outage)) == "cost of 50 calls unknown"
    one = Spend.model_validate({**SPEND, "projected_usd": None, "cap_usd": None, "unpriced_calls": 1})
    assert spend_text(one) == "$0.01 spent, cost of 1 call unknown"
