"""Estimates of the LLM calls of a job."""

from decimal import Decimal
from typing import Literal

from limbeck.models.base import ServiceResponse


class Range(ServiceResponse):
    """The expected number, that of one call per question at its limits, and the upper bound with all retries."""

    expected: int
    without_repeats: int
    at_most: int


class UsdRange(ServiceResponse):
    """Exact dollars; the fields as in `Range`. The bill is never above `at_most`."""

    expected: Decimal
    without_repeats: Decimal
    at_most: Decimal


class StrategyEstimate(ServiceResponse):
    """The estimate of one strategy. `is_bound`: the number of calls is an upper bound. `is_sampled`: `answered` is
    extrapolated from a part of the labels. `basis`: `ledger` (means of
    `num_seen` past responses) or `guess` (default lengths)."""

    strategy: str
    questions: int
    answered: int
    is_bound: bool
    is_sampled: bool
    calls: int
    prompt_tokens: Range
    completion_tokens: Range
    basis: Literal["ledger", "guess"] | str
    num_seen: int


class AgainEstimate(ServiceResponse):
    """The maximum usage of repair rounds, with all retries of their questions; `at_most` of the job includes it."""

    rounds: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: Decimal | None


class Estimate(ServiceResponse):
    """The estimated usage and cost of an enrich job. `usd` is None if the price is unknown (`usd_unknown`: the reason),
    `again` is None without repair rounds. `max_attempts`: calls that one question can need. `reasoning_tokens`: how
    many tokens the model is known to think in one response."""

    endpoint: str = "default"  # services before named endpoints do not say it
    model: str
    max_attempts: int
    reasoning_tokens: int
    calls: int
    prompt_tokens: Range
    completion_tokens: Range
    usd: UsdRange | None
    usd_unknown: str | None
    strategies: tuple[StrategyEstimate, ...]
    again: AgainEstimate | None
