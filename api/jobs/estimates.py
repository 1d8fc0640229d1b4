"""Estimate of an enrich job: calls, tokens and cost before it is posted.

Cached responses are looked up in bulk and need no call. The number of pairs is an upper bound until a teacher has
encoded the labels. Three figures:

    expected          the tokens of a call are the average over recorded calls of the same strategy and model, with
                      retries and reasoning; without any, a guess
    without_repeats   one call per question, at the token limit that the model is known to need
    at_most           every question needs all its attempts (LIMBECK_LLM_MAX_ATTEMPTS), each at the largest token limit,
                      and every repair round asks every question again: the bill is never larger

`at_most` assumes that the server keeps the token limit, and that no worker is lost, which would send calls in flight
again.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import islice
from typing import Literal

from fastapi import APIRouter
from sqlalchemy.orm import Session

from api.http.dependencies import ServicesDep
from api.http.json_bodies import LargeJSONRoute
from api.http.schemas import ResponseModel
from api.jobs.plan_enrich import EnrichIn, EnrichPlan, plan_enrich
from attributes.endpoints.endpoint import DEFAULT_ENDPOINT
from attributes.llm.costs.estimates import TokenEstimate, estimate_tokens, label_bytes, max_num_calls
from attributes.llm.costs.prices import Price
from attributes.llm.model_profile import ModelProfile, profile_from_json
from attributes.llm.requests import cache_key_of
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import questions_for_label
from attributes.prompts.strategy import Strategy
from attributes.types import Label
from limbeck.shared.money import decimal_text, usd_from_pusd
from store import resources, vocabularies
from store.enrich import llm_profiles, results, usage
from store.enrich.usage import AverageUsage
from store.jobs.specs import CaptionSpec, DescribeSpec

router = APIRouter(prefix="/v1/jobs", tags=["jobs"], route_class=LargeJSONRoute)
MAX_LOOKUPS = 100_000
_LOOKUPS_PER_QUERY = 4_096


class Range(ResponseModel):
    """The expected number, that of one call per question at its limits, and the upper bound."""

    expected: int
    without_repeats: int
    at_most: int


class UsdRange(ResponseModel):
    """Dollars as exact decimal text; the fields as in `Range`."""

    expected: str
    without_repeats: str
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
    """Upper bound of the repair rounds: every question about a label in every round, with all its attempts.

    `calls` are the questions; tokens and dollars are those of all their attempts. The job's `at_most` includes them.
    """

    rounds: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: str | None


class EstimateOut(ResponseModel):
    """Calls, tokens and cost of a job; `usd` is null if `usd_unknown` says why, `again` if there is no repair round.

    `max_attempts`: how many calls one question can need. `reasoning_tokens`: how many tokens the model is known to
    think in one response.
    """

    object: Literal["estimate"] = "estimate"
    endpoint: str = DEFAULT_ENDPOINT
    model: str
    max_attempts: int
    reasoning_tokens: int
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
        return estimate_plan(tx, plan_enrich(tx, given, services.settings))


@dataclass(frozen=True, kw_only=True)
class _JobModel:
    """The LLM of the job, what was learned about it, its price, and whether the Batch API is used."""

    llm: LLMSettings
    profile: ModelProfile
    price: Price | None
    is_batch: bool

    def tokens(self, strategy: Strategy, domain: str, *, is_repair: bool = False) -> TokenEstimate:
        """The tokens of one question of the strategy about an empty label."""
        return estimate_tokens(strategy, self.llm, domain, profile=self.profile, is_repair=is_repair)


@dataclass(frozen=True, kw_only=True)
class _OpenQuestions:
    """Questions of a strategy: `number` have no cached response, and not more than `at_most`.

    They differ if only a part of the labels was looked up. `label_bytes`: the most that labels add to the prompts, if
    every question has one call.
    """

    total: int
    number: int
    at_most: int
    is_sampled: bool
    label_bytes: int


def estimate_plan(tx: Session, plan: EnrichPlan) -> EstimateOut:
    """The estimate of a plan."""
    spec = plan.spec
    model = _model(tx, plan)
    if isinstance(spec, DescribeSpec):
        vocabulary_id = spec.vocabulary_id
    else:
        vocabulary_id = resources.dataset(tx, spec.dataset_id).vocabulary_id
    labels = [Label(row.name, row.sense) for row in vocabularies.labels(tx, vocabulary_id)]
    estimates = [_estimate_strategy(tx, strategy, spec, labels, model) for strategy in plan.strategies]
    again = _estimate_repair(plan, labels, model)
    return EstimateOut(
        endpoint=plan.llm.endpoint,
        model=spec.model,
        max_attempts=model.llm.max_attempts,
        reasoning_tokens=model.profile.reasoning_tokens,
        calls=sum(one.calls for one in estimates),
        prompt_tokens=_sum([one.prompt_tokens for one in estimates], again.prompt_tokens if again else 0),
        completion_tokens=_sum([one.completion_tokens for one in estimates], again.completion_tokens if again else 0),
        usd=None if model.price is None else _usd_range(model, model.price, estimates, again),
        usd_unknown=plan.llm.missing_price or None,
        strategies=estimates,
        again=again,
    )


def _model(tx: Session, plan: EnrichPlan) -> _JobModel:
    llm = plan.llm.settings
    stored = llm_profiles.get(tx, base_url=llm.base_url, model=llm.model)
    return _JobModel(
        llm=llm,
        profile=(profile_from_json(stored.profile) if stored else None) or ModelProfile(),
        price=plan.llm.price,
        is_batch=plan.spec.mode == "batch",
    )


def _sum(ranges: Sequence[Range], repairs: int) -> Range:
    """The sums; the upper bound includes the repair rounds."""
    return Range(
        expected=sum(one.expected for one in ranges),
        without_repeats=sum(one.without_repeats for one in ranges),
        at_most=sum(one.at_most for one in ranges) + repairs,
    )


def _estimate_repair(plan: EnrichPlan, labels: Sequence[Label], model: _JobModel) -> AgainEstimate | None:
    strategies = [strategy for strategy in plan.strategies if strategy.about == "label"]
    if not (isinstance(plan.spec, DescribeSpec) and plan.spec.mend_rounds and strategies):
        return None
    rounds, num_calls = plan.spec.mend_rounds, max_num_calls(model.llm)
    calls = prompt = completion = 0
    for strategy in strategies:
        tokens = model.tokens(strategy, plan.spec.domain, is_repair=True)
        questions = rounds * len(labels) * strategy.num_questions
        calls += questions
        prompt += questions * tokens.max_prompt_tokens
        prompt += rounds * strategy.num_questions * num_calls * sum(map(label_bytes, labels))
        completion += questions * tokens.max_completion_tokens
    pusd = None
    if model.price is not None:
        pusd = model.price.max_cost(
            prompt_tokens=prompt, completion_tokens=completion, batch=model.is_batch, num_calls=calls * num_calls
        )
    return AgainEstimate(
        rounds=rounds,
        calls=calls,
        prompt_tokens=prompt,
        completion_tokens=completion,
        usd=None if pusd is None else decimal_text(usd_from_pusd(pusd)),
    )


def _open_questions(
    tx: Session, strategy: Strategy, spec: DescribeSpec | CaptionSpec, labels: Sequence[Label], llm: LLMSettings
) -> _OpenQuestions:
    longest = max(map(label_bytes, labels), default=0)
    found = num_looked_up = 0
    if isinstance(spec, CaptionSpec):
        units = spec.num_images
    elif strategy.about == "pair":
        units = min(len(labels) * (spec.neighbours or 0), len(labels) * (len(labels) - 1) // 2)
        longest *= 2  # a label can be in many pairs
    else:
        units = len(labels)
        found, num_looked_up = _num_cached(tx, strategy, labels, spec.domain, llm)
    total = units * strategy.num_questions
    answered = found * len(labels) // num_looked_up if num_looked_up else 0
    return _OpenQuestions(
        total=total,
        number=total - answered,
        at_most=total - found,
        is_sampled=0 < num_looked_up < len(labels),
        label_bytes=longest * (total - found),
    )


def _estimate_strategy(
    tx: Session, strategy: Strategy, spec: DescribeSpec | CaptionSpec, labels: Sequence[Label], model: _JobModel
) -> StrategyEstimate:
    questions = _open_questions(tx, strategy, spec, labels, model.llm)
    tokens = model.tokens(strategy, spec.domain)
    averages = usage.average_usage(tx, model=model.llm.model, strategy=strategy.ref)
    prompt, completion, calls = _expected(tokens, averages, questions.number)
    max_prompt = questions.at_most * tokens.max_prompt_tokens + max_num_calls(model.llm) * questions.label_bytes
    return StrategyEstimate(
        strategy=strategy.ref,
        questions=questions.total,
        answered=questions.total - questions.number,
        is_bound=strategy.about != "label",
        is_sampled=questions.is_sampled,
        calls=calls,
        prompt_tokens=Range(
            expected=prompt,
            without_repeats=questions.number * tokens.call_prompt_tokens + questions.label_bytes,
            at_most=max(prompt, max_prompt),
        ),
        completion_tokens=Range(
            expected=completion,
            without_repeats=questions.number * tokens.call_completion_tokens,
            at_most=max(completion, questions.at_most * tokens.max_completion_tokens),
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
) -> tuple[int, int]:
    """Number of the strategy's questions with a cached response among the labels that were looked up, and the number of
    these labels. Of very many labels, an evenly spaced part is looked up."""
    if not results.has_responses(tx, model=llm.model, strategy=strategy.ref):
        return 0, len(labels)
    max_labels = max(1, MAX_LOOKUPS // strategy.num_questions)
    sample = labels[:: -(-len(labels) // max_labels)]
    keys: Iterator[str] = (
        cache_key_of(question, llm) for label in sample for question in questions_for_label(strategy, label, domain)
    )
    found = 0
    while window := list(islice(keys, _LOOKUPS_PER_QUERY)):
        known = results.cached_keys(tx, window)
        found += sum(key in known for key in window)
    return found, len(sample)


def _usd_range(
    model: _JobModel, price: Price, estimates: Sequence[StrategyEstimate], again: AgainEstimate | None
) -> UsdRange:
    """The cost of all strategies. The price of a call can depend on its length, so each strategy has its own."""
    batch = model.is_batch
    expected = single = most = 0
    for one in estimates:
        prompt, completion, questions = one.prompt_tokens, one.completion_tokens, one.questions - one.answered
        expected += price.cost(
            prompt_tokens=prompt.expected, completion_tokens=completion.expected, batch=batch, num_calls=one.calls
        )
        single += price.max_cost(
            prompt_tokens=prompt.without_repeats,
            completion_tokens=completion.without_repeats,
            batch=batch,
            num_calls=questions,
        )
        most += price.max_cost(
            prompt_tokens=prompt.at_most,
            completion_tokens=completion.at_most,
            batch=batch,
            num_calls=questions * max_num_calls(model.llm),
        )
    repairs = Decimal(again.usd) if again and again.usd else Decimal(0)
    return UsdRange(
        expected=decimal_text(usd_from_pusd(expected)),
        without_repeats=decimal_text(usd_from_pusd(single)),
        at_most=decimal_text(usd_from_pusd(most) + repairs),
    )
