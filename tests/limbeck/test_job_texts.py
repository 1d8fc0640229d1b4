"""Texts about a job."""

from typing import Any

import pytest

from limbeck.job_texts import duration_text, progress_text, rate_text, spend_text, stage_text, state_text
from limbeck.models import Job, Spend
from tests.limbeck.helpers import SPEND, job

PROGRESS = {"name": "training", "done": 30, "total": 120, "unit": "steps", "rate": 9.04, "eta_s": 10.0}


def made(status: str, **more: Any) -> Job:
    return Job.model_validate(job(status, **{"progress": PROGRESS, **more}))


def test_the_state_of_a_job_names_its_stage_or_what_it_waits_for() -> None:
    assert state_text(made("running")) == "running: training 30/120 steps"
    assert state_text(made("queued", waiting_for="no GPU worker is running")) == "queued: no GPU worker is running"
    assert state_text(made("succeeded")) == "succeeded"
    unknown = made("running", progress={**PROGRESS, "done": 0, "total": 0, "unit": ""})
    assert progress_text(unknown) == "training"


def test_a_stage_has_rate_and_remaining_time_while_it_runs() -> None:
    progress = made("running").progress
    assert stage_text(progress) == "30/120 steps, 9.0/s, 0:10 left"
    assert stage_text(progress, is_running=False) == "30/120 steps"


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
