"""What an enrich job will ask and cost, before it is posted.

Calls are counted for each strategy: what is answered already is found in bulk and asked no more. How many pairs there
will be nobody knows before a teacher has read the labels; so they are a bound. What a call takes is what the ledger has
of this strategy and model, else a guess. `at_most` is what one call for each question can take at its limits; what the
gates catch and is asked for again comes on top, and is told apart (`again`), for how much that is depends on the
answers. So do calls that have to be made again. A budget counts them all.
"""

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Literal

from fastapi import APIRouter
from pydantic import SecretStr
from sqlalchemy.orm import Session

from api.http.dependencies import Use
from api.http.schemas import Output
from api.jobs.plan_enrich import EnrichIn, Planned, plan_enrich, price_of
from attributes.llm.estimates import CORRECTION_BYTES, Guess, guess, label_bytes
from attributes.llm.prices import Price
from attributes.llm.requests import key_of
from attributes.llm.settings import OPENAI_BASE_URL, LLMSettings
from attributes.prompts.questions import asks_about
from attributes.prompts.strategy import Strategy
from attributes.types import Label
from store import vocabularies
from store.enrich import results, usage
from store.enrich.usage import Averages, usd_text
from store.settings import Settings

router = APIRouter(prefix="/v1/jobs", tags=["jobs"])
MOST_LOOKED_UP = 100_000
_AT_ONCE = 4_096


class Range(Output):
    """As expected, and the most it can come to if no call has to be made again."""

    expected: int
    at_most: int


class UsdRange(Output):
    """Dollars as exact decimal text."""

    expected: str
    at_most: str


class StrategyEstimate(Output):
    """Of one strategy: its questions, those answered already, and what the rest will take.

    `is_bound`: it asks about pairs, of which there will be no more than that, or about images, of which answered ones
    are not looked up. `is_sampled`: `answered` is worked out from some of the labels. `basis`: what is expected of a
    call is the average of as many in the ledger (`num_seen`), or a guess.
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


class AgainEstimate(Output):
    """The most that asking again for what the gates catch can take: every question about a label, in every round."""

    rounds: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    usd: str | None


class EstimateOut(Output):
    """What the job will ask and cost; `usd` is null where `usd_unknown` says why, `again` where nothing is asked for
    again."""

    object: Literal["estimate"] = "estimate"
    model: str
    calls: int
    prompt_tokens: Range
    completion_tokens: Range
    usd: UsdRange | None
    usd_unknown: str | None
    strategies: list[StrategyEstimate]
    again: AgainEstimate | None


@router.post("/estimate", response_model=EstimateOut)
def estimate(use: Use, given: EnrichIn) -> object:
    """What such an enrich job would ask and cost; nothing is asked or kept."""
    with use.db.read() as tx:
        return _estimated(tx, plan_enrich(tx, given, use.settings), use.settings)


def _estimated(tx: Session, planned: Planned, settings: Settings) -> EstimateOut:
    spec, model = planned.spec, planned.spec["model"]
    llm = LLMSettings(
        base_url=settings.llm_base_url,
        model=model,
        api_key=SecretStr(""),
        temperature=settings.llm_temperature,
        max_tokens=settings.llm_max_tokens,
    )
    labels: list[Label] = []
    if "vocabulary_id" in spec:
        rows = vocabularies.labels(tx, spec["vocabulary_id"])
        labels = [Label(row.name, row.sense) for row in rows]
    each = [_of_strategy(tx, strategy, planned, labels, llm) for strategy in planned.chain]
    prompt, completion = (
        Range(expected=sum(one.expected for one in ranges), at_most=sum(one.at_most for one in ranges))
        for ranges in ([one.prompt_tokens for one in each], [one.completion_tokens for one in each])
    )
    price = price_of(model, settings)
    batch = spec.get("mode") == "batch"
    unknown = f"the price of {model} at {llm.base_url or OPENAI_BASE_URL} is not known; LIMBECK_PRICES can give it"
    return EstimateOut(
        model=model,
        calls=sum(one.calls for one in each),
        prompt_tokens=prompt,
        completion_tokens=completion,
        usd=None if price is None else _usd(price, prompt, completion, batch=batch),
        usd_unknown=unknown if price is None else None,
        strategies=each,
        again=_again(planned, labels, llm, price, batch=batch),
    )


def _again(
    planned: Planned, labels: Sequence[Label], llm: LLMSettings, price: Price | None, *, batch: bool
) -> AgainEstimate | None:
    rounds = planned.spec.get("mend_rounds", 0)
    chain = [strategy for strategy in planned.chain if strategy.about == "label"]
    if not (rounds and chain):
        return None
    calls = prompt = completion = 0
    for strategy in chain:
        one = guess(strategy, llm, planned.spec["domain"])
        asked = rounds * len(labels) * strategy.num_asks
        calls += asked
        prompt += round(asked * (one.prompt_at_most + CORRECTION_BYTES + _extra(strategy, labels)))
        completion += asked * one.completion_at_most
    usd = None if price is None else price.cost(prompt_tokens=prompt, completion_tokens=completion, batch=batch)
    return AgainEstimate(
        rounds=rounds,
        calls=calls,
        prompt_tokens=prompt,
        completion_tokens=completion,
        usd=None if usd is None else usd_text(usd),
    )


def _extra(strategy: Strategy, labels: Sequence[Label]) -> float:
    """What the labels add to the bound of a prompt, on average."""
    return sum(map(label_bytes, labels)) / max(1, len(labels)) * (2 if strategy.about == "pair" else 1)


def _of_strategy(
    tx: Session, strategy: Strategy, planned: Planned, labels: Sequence[Label], llm: LLMSettings
) -> StrategyEstimate:
    spec, domain = planned.spec, planned.spec["domain"]
    answered, is_sampled = 0, False
    if strategy.about == "label":
        units = len(labels)
        answered, is_sampled = _answered(tx, strategy, labels, domain, llm)
    elif strategy.about == "pair":
        units = min(len(labels) * spec["neighbours"], len(labels) * (len(labels) - 1) // 2)
    else:
        units = spec["num_images"]
    left = units * strategy.num_asks - answered
    one = guess(strategy, llm, domain)
    seen = usage.averages(tx, model=llm.model, strategy=strategy.ref)
    prompt, completion, calls = _expected(one, seen, left)
    extra = _extra(strategy, labels)
    return StrategyEstimate(
        strategy=strategy.ref,
        questions=units * strategy.num_asks,
        answered=answered,
        is_bound=strategy.about != "label",
        is_sampled=is_sampled,
        calls=calls,
        prompt_tokens=Range(expected=prompt, at_most=max(prompt, round(left * (one.prompt_at_most + extra)))),
        completion_tokens=Range(expected=completion, at_most=max(completion, left * one.completion_at_most)),
        basis="ledger" if seen else "guess",
        num_seen=seen.num_answered if seen else 0,
    )


def _expected(one: Guess, seen: Averages | None, left: int) -> tuple[int, int, int]:
    """Tokens of prompts and of answers, and calls, of as many questions; more calls where some had to be made again."""
    if seen is None:
        return left * one.prompt_tokens, left * one.completion_tokens, left
    return round(left * seen.prompt_tokens), round(left * seen.completion_tokens), round(left * seen.calls)


def _answered(
    tx: Session, strategy: Strategy, labels: Sequence[Label], domain: str, llm: LLMSettings
) -> tuple[int, bool]:
    """How many of the strategy's questions about the labels have an answer already, and whether that is worked out
    from some of the labels, evenly spaced: where there are very many."""
    if not results.has_answers(tx, model=llm.model, strategy=strategy.ref):
        return 0, False
    most = max(1, MOST_LOOKED_UP // strategy.num_asks)
    step = -(-len(labels) // most)
    some = labels[::step]
    keys: Iterator[str] = (key_of(ask, llm) for label in some for ask in asks_about(strategy, label, domain))
    found = 0
    while window := list(islice(keys, _AT_ONCE)):
        known = results.known_answers(tx, window)
        found += sum(key in known for key in window)
    return found * len(labels) // max(1, len(some)), step > 1


def _usd(price: Price, prompt: Range, completion: Range, *, batch: bool) -> UsdRange:
    expected, at_most = (
        usd_text(price.cost(prompt_tokens=tokens, completion_tokens=answer, batch=batch))
        for tokens, answer in ((prompt.expected, completion.expected), (prompt.at_most, completion.at_most))
    )
    return UsdRange(expected=expected, at_most=at_most)
