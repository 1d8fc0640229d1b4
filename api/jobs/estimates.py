"""Estimate of an enrich job: calls, tokens and cost before it is posted.

Cached responses are looked up in bulk and need no call. The number of pairs is an upper bound until a teacher has
encoded the labels. The tokens of a call are the average over recorded calls of the same strategy and model, or else a
guess. `at_most` is one call per question at its limits. Repeated calls come on top, and so do repair rounds (`again`),
whose number of questions depends on the responses. A budget counts all of them.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal

from fastapi import APIRouter
from sqlalchemy.orm import Session

from api.http.dependencies import ServicesDep
from api.http.schemas import ResponseModel
from api.jobs.llm_endpoints import unknown_price
from api.jobs.plan_enrich import EnrichIn, EnrichPlan, plan_enrich
from attributes.endpoints.endpoint import DEFAULT_ENDPOINT
from attributes.llm.estimates import MAX_CORRECTION_BYTES, TokenEstimate, estimate_tokens, label_bytes
from attributes.llm.prices import Price
from attributes.llm.requests import cache_key_of
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import questions_for_label
from attributes.prompts.strategy import Strategy
from attributes.types import Label
from limbeck.shared.money import decimal_text, usd_from_pusd
from store import vocabularies
from store.enrich import results, usage
from store.enrich.usage import AverageUsage
from store.jobs.specs import CaptionSpec, DescribeSpec

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
MAX_LOOKUPS = 100_000
_LOOKUPS_PER_QUERY = 4_096


class Range(ResponseModel):
    """The expected number, and the upper bound if no call is repeated."""

    expected: int
    at_most: int


class UsdRange(ResponseModel):
    """Dollars as exact decimal text."""

    expected: str
    at_most: str


class StrategyEstimate(ResponseModel):
    """One strategy: its questions, how many of them have a cached response, and the usage of the others.

    `is_bound`: `questions` is an upper bound, because the strategy compares pairs, or captions images whose cached
    responses are not looked up. `is_sampled`: `answered` is extrapolated from a part of the labels. `basis`: where the
    tokens of a call come from: the average of `num_seen` recorded calls, or a guess.
    """

    strategy: str
    questions: int
    answered: int
    is_bound: bool
    is_sampled: bool
    calls: int
    prompt_tokens: Range
    completion_tokens: Range
    basis: Literal["ledger", "guess"]
    num_seen: int


class AgainEstimate(ResponseModel):
    """Upper bound of the repair rounds: every question about a label, in every round."""

    rounds: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: str | None


class EstimateOut(ResponseModel):
    """Calls, tokens and cost of a job; `usd` is null if `usd_unknown` says why, `again` if there is no repair round."""

    object: Literal["estimate"] = "estimate"
    endpoint: str = DEFAULT_ENDPOINT
    model: str
    calls: int
    prompt_tokens: Range
    completion_tokens: Range
    usd: UsdRange | None
    usd_unknown: str | None
    strategies: list[StrategyEstimate]
    again: AgainEstimate | None


@router.post("/estimate", response_model=EstimateOut)
def estimate(services: ServicesDep, given: EnrichIn) -> object:
    """Estimate an enrich job. Nothing is requested or stored."""
    with services.db.read() as tx:
        return _estimate(tx, plan_enrich(tx, given, services.settings))


def _estimate(tx: Session, plan: EnrichPlan) -> EstimateOut:
    spec = plan.spec
    llm = plan.llm.settings
    labels: list[Label] = []
    if isinstance(spec, DescribeSpec):
        labels = [Label(row.name, row.sense) for row in vocabularies.labels(tx, spec.vocabulary_id)]
    estimates = [_estimate_strategy(tx, strategy, spec, labels, llm) for strategy in plan.strategies]
    prompt = _sum([one.prompt_tokens for one in estimates])
    completion = _sum([one.completion_tokens for one in estimates])
    price = plan.llm.price
    batch = spec.mode == "batch"
    return EstimateOut(
        endpoint=plan.llm.endpoint,
        model=spec.model,
        calls=sum(one.calls for one in estimates),
        prompt_tokens=prompt,
        completion_tokens=completion,
        usd=None if price is None else _usd_range(price, estimates, batch=batch),
        usd_unknown=unknown_price(plan.llm) if price is None else None,
        strategies=estimates,
        again=_estimate_repair(plan, labels, llm, price, batch=batch),
    )


def _sum(ranges: Sequence[Range]) -> Range:
    return Range(expected=sum(one.expected for one in ranges), at_most=sum(one.at_most for one in ranges))


def _estimate_repair(
    plan: EnrichPlan, labels: Sequence[Label], llm: LLMSettings, price: Price | None, *, batch: bool
) -> AgainEstimate | None:
    strategies = [strategy for strategy in plan.strategies if strategy.about == "label"]
    if not (isinstance(plan.spec, DescribeSpec) and plan.spec.mend_rounds and strategies):
        return None
    rounds = plan.spec.mend_rounds
    calls = prompt = completion = 0
    for strategy in strategies:
        tokens = estimate_tokens(strategy, llm, plan.spec.domain)
        questions = rounds * len(labels) * strategy.num_questions
        calls += questions
        prompt += round(
            questions * (tokens.max_prompt_tokens + MAX_CORRECTION_BYTES + _mean_label_bytes(strategy, labels))
        )
        completion += questions * tokens.max_completion_tokens
    pusd = None
    if price is not None:
        pusd = price.max_cost(prompt_tokens=prompt, completion_tokens=completion, batch=batch, num_calls=calls)
    return AgainEstimate(
        rounds=rounds,
        calls=calls,
        prompt_tokens=prompt,
        completion_tokens=completion,
        usd=None if pusd is None else decimal_text(usd_from_pusd(pusd)),
    )


def _mean_label_bytes(strategy: Strategy, labels: Sequence[Label]) -> float:
    """Mean bytes that labels add to the upper bound of a prompt."""
    return sum(map(label_bytes, labels)) / max(1, len(labels)) * (2 if strategy.about == "pair" else 1)


def _estimate_strategy(
    tx: Session, strategy: Strategy, spec: DescribeSpec | CaptionSpec, labels: Sequence[Label], llm: LLMSettings
) -> StrategyEstimate:
    answered, is_sampled = 0, False
    if isinstance(spec, CaptionSpec):
        units = spec.num_images
    elif strategy.about == "pair":
        units = min(len(labels) * (spec.neighbours or 0), len(labels) * (len(labels) - 1) // 2)
    else:
        units = len(labels)
        answered, is_sampled = _num_cached(tx, strategy, labels, spec.domain, llm)
    open_questions = units * strategy.num_questions - answered
    tokens = estimate_tokens(strategy, llm, spec.domain)
    averages = usage.average_usage(tx, model=llm.model, strategy=strategy.ref)
    prompt, completion, calls = _expected(tokens, averages, open_questions)
    max_prompt = round(open_questions * (tokens.max_prompt_tokens + _mean_label_bytes(strategy, labels)))
    return StrategyEstimate(
        strategy=strategy.ref,
        questions=units * strategy.num_questions,
        answered=answered,
        is_bound=strategy.about != "label",
        is_sampled=is_sampled,
        calls=calls,
        prompt_tokens=Range(expected=prompt, at_most=max(prompt, max_prompt)),
        completion_tokens=Range(
            expected=completion, at_most=max(completion, open_questions * tokens.max_completion_tokens)
        ),
        basis="ledger" if averages else "guess",
        num_seen=averages.num_answered if averages else 0,
    )


def _expected(tokens: TokenEstimate, averages: AverageUsage | None, questions: int) -> tuple[int, int, int]:
    """(prompt tokens, completion tokens, calls) of these questions; more calls than questions if some are repeated."""
    if averages is None:
        return questions * tokens.prompt_tokens, questions * tokens.completion_tokens, questions
    return (
        round(questions * averages.prompt_tokens),
        round(questions * averages.completion_tokens),
        round(questions * averages.calls),
    )


def _num_cached(
    tx: Session, strategy: Strategy, labels: Sequence[Label], domain: str, llm: LLMSettings
) -> tuple[int, bool]:
    """Number of the strategy's questions with a cached response, and whether it is extrapolated.

    Of very many labels, an evenly spaced part is looked up.
    """
    if not results.has_responses(tx, model=llm.model, strategy=strategy.ref):
        return 0, False
    max_labels = max(1, MAX_LOOKUPS // strategy.num_questions)
    step = -(-len(labels) // max_labels)
    sample = labels[::step]
    keys: Iterator[str] = (
        cache_key_of(question, llm) for label in sample for question in questions_for_label(strategy, label, domain)
    )
    found = 0
    while window := list(islice(keys, _LOOKUPS_PER_QUERY)):
        known = results.cached_keys(tx, window)
        found += sum(key in known for key in window)
    return found * len(labels) // max(1, len(sample)), step > 1


def _usd_range(price: Price, estimates: Sequence[StrategyEstimate], *, batch: bool) -> UsdRange:
    """The cost of all strategies. The price of a call can depend on its length, so each strategy has its own."""
    expected = at_most = 0
    for one in estimates:
        prompt, completion = one.prompt_tokens, one.completion_tokens
        expected += price.cost(
            prompt_tokens=prompt.expected, completion_tokens=completion.expected, batch=batch, num_calls=one.calls
        )
        at_most += price.max_cost(
            prompt_tokens=prompt.at_most,
            completion_tokens=completion.at_most,
            batch=batch,
            num_calls=one.questions - one.answered,
        )
    return UsdRange(expected=decimal_text(usd_from_pusd(expected)), at_most=decimal_text(usd_from_pusd(at_most)))
