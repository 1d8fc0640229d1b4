"""Recording of finished questions: calls, cached responses, response formats, results, failures, locks and usage.

Live and batch enrichment share it. The caller opens the transaction and checks the lease first; the job's usage row,
which all workers of the job share, is updated last.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypedDict

from sqlalchemy.orm import Session

from attributes.llm.costs.prices import Price
from attributes.llm.requests import Message
from attributes.llm.results import Call, QuestionResult
from attributes.llm.settings import LLMSettings
from attributes.prompts.questions import Question
from attributes.types import LineJSON
from store.enrich import llm_profiles, results, single_flight, usage
from store.enrich.results import ResultSlot
from store.jobs.claims import Claim
from workers.enrich.budget import PartBudget
from workers.enrich.call_costs import cost_pusd
from workers.enrich.questions import InvalidQuestion, PlannedQuestion

Mode = Literal["live", "batch"]
STOPPED = "stopped"  # the reason of a question that is still open


class CallRow(TypedDict):
    """The columns of `store.models.LLMCall` that describe a call."""

    position: int
    key: str
    strategy: str
    model: str
    mode: Mode
    attempt: int
    status: str
    http_status: int | None
    prompt_tokens: int | None
    cached_tokens: int | None
    completion_tokens: int | None
    cost_pusd: int | None
    latency_s: float


class ResponseRow(TypedDict):
    """The columns of `store.models.LLMAnswer`, without the time."""

    key: str
    model: str
    base_url: str
    strategy: str
    messages: list[Message]
    answer: str
    lines: list[LineJSON]
    other_lines: list[LineJSON] | None
    flags: list[str]


@dataclass(frozen=True, slots=True)
class FinishedQuestion:
    """The result of a cache key, and the questions that share it."""

    result: QuestionResult
    planned: Sequence[PlannedQuestion]


class Recorder:
    """Writes the rows of one part. `budget`: what a live part has reserved for its calls."""

    def __init__(
        self, claim: Claim, settings: LLMSettings, price: Price | None, *, mode: Mode, budget: PartBudget | None = None
    ) -> None:
        self._claim, self._settings, self._price = claim, settings, price
        self._mode, self._budget = mode, budget
        self._learned: dict[tuple[str, str], tuple[Mapping[str, object], float]] = {}

    def learn_profile(self, base_url: str, model: str, profile: Mapping[str, object], expires_at: float) -> None:
        """Keep what was learned about a model, for the next transaction."""
        self._learned[base_url, model] = profile, expires_at

    def forget_profiles(self) -> None:
        """Drop the learned profiles; call it after their transaction is committed."""
        self._learned.clear()

    def call_rows(self, question: Question, calls: Iterable[Call], *, key: str, position: int) -> list[CallRow]:
        """The rows of the calls, without the text of the responses."""
        return [
            {
                "position": position,
                "key": key,
                "strategy": question.strategy.ref,
                "model": self._settings.model,
                "mode": self._mode,
                "attempt": call.attempt,
                "status": call.status,
                "http_status": call.http_status,
                "prompt_tokens": call.prompt_tokens,
                "cached_tokens": call.cached_tokens,
                "completion_tokens": call.completion_tokens,
                "cost_pusd": cost_pusd(call, self._price, batch=self._mode == "batch"),
                "latency_s": call.latency_s,
            }
            for call in calls
        ]

    def record(
        self, tx: Session, calls: Sequence[CallRow], finished: Sequence[FinishedQuestion], *, lock_keys: Sequence[str]
    ) -> None:
        """Write all rows of the questions and release the locks of `lock_keys`. Needs a valid lease."""
        self._record_calls(tx, calls, finished)
        self._record_results(tx, finished)
        single_flight.release(tx, self._claim.part_id, lock_keys)
        self._record_usage(tx, calls, finished)

    def record_paid(self, tx: Session, calls: Sequence[CallRow], finished: Sequence[FinishedQuestion]) -> None:
        """Write only calls, responses and usage: they are paid for, and are valid after the lease is lost."""
        self._record_calls(tx, calls, finished)
        self._record_usage(tx, calls, finished)

    def _record_calls(self, tx: Session, calls: Sequence[CallRow], finished: Sequence[FinishedQuestion]) -> None:
        results.record_calls(tx, self._claim, calls)
        for (base_url, model), (profile, expires_at) in list(self._learned.items()):
            llm_profiles.save(tx, base_url=base_url, model=model, profile=profile, expires_at=expires_at)
        responses = [response_row(one.result, self._settings) for one in finished if not one.result.reason]
        results.record_responses(tx, responses)

    def _record_results(self, tx: Session, finished: Sequence[FinishedQuestion]) -> None:
        slots = [
            (slot, one.result)
            for one in finished
            if one.result.reason != STOPPED
            for planned in one.planned
            for slot in planned.slots
        ]
        answered = [(slot, result.key) for slot, result in slots if not result.reason]
        failed = [(slot, result.reason, result.detail) for slot, result in slots if result.reason]
        results.record_results(tx, self._claim, answered)
        results.record_failures(tx, self._claim, failed)

    def _record_usage(self, tx: Session, calls: Sequence[CallRow], finished: Sequence[FinishedQuestion]) -> None:
        released = self._budget.record(tx, calls) if self._budget is not None else usage.NO_COST
        num_repaired = sum(one.result.is_repaired for one in finished)
        usage.add_calls(tx, self._claim.job_id, calls, num_repaired=num_repaired, released=released)


@dataclass(frozen=True, slots=True)
class Acquired:
    """`cached` keys have a result now; `locked` keys are to be sent by this part; the others are locked elsewhere."""

    cached: set[str]
    locked: set[str]


def acquire_questions(
    tx: Session,
    claim: Claim,
    by_key: Mapping[str, Sequence[PlannedQuestion]],
    invalid: Sequence[InvalidQuestion],
    *,
    lease_s: float,
    lock_prefix: str = "",
) -> Acquired:
    """Record invalid questions and cached responses; lock the other keys. The caller has checked the lease."""
    failures = [(slot, one.reason, one.detail) for one in invalid for slot in one.slots]
    results.record_failures(tx, claim, failures)
    cached = results.record_cached(tx, claim, _keyed_slots(by_key))
    missing = [key for key in by_key if key not in cached]
    if not missing:
        return Acquired(cached, set())
    owner = claim.part_id
    locks = single_flight.acquire(tx, owner, [lock_prefix + key for key in missing], lease_s=lease_s)
    locked = {lock.removeprefix(lock_prefix) for lock in locks}
    if locked:  # an owner that has just released a lock may have stored a response
        late = results.record_cached(tx, claim, _keyed_slots({key: by_key[key] for key in missing if key in locked}))
        single_flight.release(tx, owner, [lock_prefix + key for key in late])
        cached |= late
        locked -= late
    return Acquired(cached, locked)


def _keyed_slots(by_key: Mapping[str, Sequence[PlannedQuestion]]) -> list[tuple[ResultSlot, str]]:
    return [(slot, key) for key, questions in by_key.items() for planned in questions for slot in planned.slots]


def response_row(result: QuestionResult, settings: LLMSettings) -> ResponseRow:
    """The row of a result with lines."""
    other_lines = [line.as_json() for line in result.other_lines] if result.question.other else None
    return {
        "key": result.key,
        "model": settings.model,
        "base_url": settings.base_url,
        "strategy": result.question.strategy.ref,
        "messages": list(result.messages),
        "answer": result.response_text or "",
        "lines": [line.as_json() for line in result.lines],
        "other_lines": other_lines,
        "flags": list(result.flags),
    }
