"""LLM usage of enrich jobs: totals per job, and the budget that all workers of a job share.

    spent + reserved <= cap, at every moment
    billed <= spent + reserved, at every moment

Each part reserves the maximum cost of its next calls before it makes them, in blocks, so that not every call needs a
transaction; also without a cap, so that the calls of a worker that dies are known. The transaction that records a call
moves its actual cost from the reserved to the spent amount; the unused rest of a block is released. The reservation of
a call with unknown usage (its worker died, or its server does not report tokens) is never released: it counts as spent,
because the call may be billed. All workers of a job share one row of totals, so a transaction updates this row last.

`LLMReservation` has what each attempt at a part holds. What an attempt holds that does not run any more is
*unconfirmed*: it is shown with the usage of the job.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from limbeck.shared.money import usd_from_pusd, usd_text
from limbeck.shared.text import counted
from store.clock import now_s
from store.enrich.batches import HAS_OPEN_BATCH
from store.jobs import counters
from store.models import JobUsage, LLMCall, LLMReservation, Part

if TYPE_CHECKING:
    from store.jobs.claims import Claim
    from store.jobs.progress import Stage

_NO_SYNC = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class Cost:
    """Pico-dollars, tokens (prompt and completion tokens count alike), and calls that are not recorded yet."""

    pusd: int = 0
    tokens: int = 0
    calls: int = 0

    def __add__(self, other: Self) -> "Cost":
        return Cost(self.pusd + other.pusd, self.tokens + other.tokens, self.calls + other.calls)

    def __sub__(self, other: Self) -> "Cost":
        return Cost(self.pusd - other.pusd, self.tokens - other.tokens, self.calls - other.calls)

    def times(self, number: int) -> "Cost":
        """Multiply by `number`."""
        return Cost(self.pusd * number, self.tokens * number, self.calls * number)

    def covers(self, other: Self) -> bool:
        """Whether `other` is not larger, in money, in tokens and in calls."""
        return self.pusd >= other.pusd and self.tokens >= other.tokens and self.calls >= other.calls

    def at_most(self, limit: Self) -> "Cost":
        """Clamp money, tokens and calls each to the range from 0 to `limit`."""
        pairs = ((self.pusd, limit.pusd), (self.tokens, limit.tokens), (self.calls, limit.calls))
        return Cost(*(max(0, min(own, most)) for own, most in pairs))


NO_COST = Cost()


def create(
    tx: Session, job_id: str, *, cap_pusd: int | None, cap_tokens: int | None, plan: Mapping[str, list[int]]
) -> None:
    """Add the totals of a new job, all 0. `plan`: kind of part -> (maximum number of units, questions per unit)."""
    tx.add(
        JobUsage(
            job_id=job_id,
            cap_pusd=cap_pusd,
            cap_tokens=cap_tokens,
            plan=dict(plan),
            calls=0,
            prompt_tokens=0,
            completion_tokens=0,
            spent_pusd=0,
            unpriced_calls=0,
            repeated_calls=0,
            repaired_responses=0,
            reserved_pusd=0,
            reserved_tokens=0,
        )
    )
    tx.flush()


def cost_of_calls(calls: Sequence[Mapping[str, Any]]) -> Cost:
    """The known cost of these rows of `LLMCall`."""
    return Cost(sum(call["cost_pusd"] or 0 for call in calls), sum(_tokens(call) for call in calls))


def add_calls(
    tx: Session, job_id: str, calls: Sequence[Mapping[str, Any]], *, num_repaired: int = 0, released: Cost = NO_COST
) -> None:
    """Add newly recorded rows of `LLMCall` to the totals, and release what was reserved for them.

    `num_repaired` of their responses had to be repaired.
    """
    if not calls:
        return
    statement = (
        update(JobUsage)
        .where(JobUsage.job_id == job_id)
        .values(
            calls=JobUsage.calls + len(calls),
            prompt_tokens=JobUsage.prompt_tokens + sum(call["prompt_tokens"] or 0 for call in calls),
            completion_tokens=JobUsage.completion_tokens + sum(call["completion_tokens"] or 0 for call in calls),
            spent_pusd=JobUsage.spent_pusd + sum(call["cost_pusd"] or 0 for call in calls),
            unpriced_calls=JobUsage.unpriced_calls + sum(call["cost_pusd"] is None for call in calls),
            repeated_calls=JobUsage.repeated_calls + sum(call["attempt"] > 1 for call in calls),
            repaired_responses=JobUsage.repaired_responses + num_repaired,
            reserved_pusd=JobUsage.reserved_pusd - released.pusd,
            reserved_tokens=JobUsage.reserved_tokens - released.tokens,
        )
    )
    tx.execute(statement, execution_options=_NO_SYNC)
    counters.add(tx, [increment for call in calls for increment in _increments(call)])


def _increments(call: Mapping[str, Any]) -> Iterator[counters.Increment]:
    model = call["model"]
    yield counters.LLM_CALLS.increment(1, model, call["status"])
    yield counters.LLM_SECONDS.increment(call["latency_s"], model)
    for kind in ("prompt", "cached", "completion"):
        yield counters.LLM_TOKENS.increment(call[f"{kind}_tokens"] or 0, model, kind)
    if call["cost_pusd"] is None:
        yield counters.LLM_UNPRICED_CALLS.increment(1, model)
    else:
        yield counters.LLM_COST.increment(float(usd_from_pusd(call["cost_pusd"])), model)


def reserve(tx: Session, job_id: str, cost: Cost) -> bool:
    """Reserve this cost in one compare-and-set if the cap allows it. Returns whether it was reserved."""
    used_tokens = JobUsage.prompt_tokens + JobUsage.completion_tokens + JobUsage.reserved_tokens
    statement = (
        update(JobUsage)
        .where(
            JobUsage.job_id == job_id,
            JobUsage.cap_pusd.is_(None)
            | (JobUsage.spent_pusd + JobUsage.reserved_pusd + cost.pusd <= JobUsage.cap_pusd),
            JobUsage.cap_tokens.is_(None) | (used_tokens + cost.tokens <= JobUsage.cap_tokens),
        )
        .values(
            reserved_pusd=JobUsage.reserved_pusd + cost.pusd, reserved_tokens=JobUsage.reserved_tokens + cost.tokens
        )
        .returning(JobUsage.job_id)
    )
    return tx.scalar(statement, execution_options=_NO_SYNC) is not None


def release(tx: Session, job_id: str, cost: Cost) -> None:
    """Release a reservation that is not needed."""
    statement = (
        update(JobUsage)
        .where(JobUsage.job_id == job_id)
        .values(
            reserved_pusd=JobUsage.reserved_pusd - cost.pusd, reserved_tokens=JobUsage.reserved_tokens - cost.tokens
        )
    )
    tx.execute(statement, execution_options=_NO_SYNC)


def change_reservation(tx: Session, claim: "Claim", change: Cost) -> None:
    """Add to what this attempt at the part holds, or subtract from it; allowed after its lease is lost."""
    mine = (LLMReservation.part_id == claim.part_id, LLMReservation.token == claim.token)
    statement = update(LLMReservation).where(*mine)
    statement = statement.values(
        pusd=LLMReservation.pusd + change.pusd,
        tokens=LLMReservation.tokens + change.tokens,
        calls=LLMReservation.calls + change.calls,
    )
    found = tx.scalar(statement.returning(LLMReservation.part_id), execution_options=_NO_SYNC)
    if found is None and change.covers(NO_COST):
        held = {"pusd": change.pusd, "tokens": change.tokens, "calls": change.calls}
        tx.add(LLMReservation(part_id=claim.part_id, token=claim.token, job_id=claim.job_id, **held))
        tx.flush()


def end_reservation(tx: Session, claim: "Claim") -> None:
    """Every call of this attempt at the part is recorded."""
    mine = (LLMReservation.part_id == claim.part_id, LLMReservation.token == claim.token)
    tx.execute(delete(LLMReservation).where(*mine), execution_options=_NO_SYNC)


def set_holds_budget(tx: Session, claim: "Claim", *, holds: bool) -> None:
    """Store whether the part has a reservation that it may release later."""
    tx.execute(
        update(Part).where(Part.id == claim.part_id, Part.lease_token == claim.token).values(holds_budget=holds),
        execution_options=_NO_SYNC,
    )


def others_hold_budget(tx: Session, claim: "Claim") -> bool:
    """Whether another active part of the job has a reservation that it may release later."""
    runs = (Part.status == "running") & (Part.lease_expires_at >= now_s()) & Part.holds_budget
    waits = Part.status.in_(("queued", "running")) & HAS_OPEN_BATCH
    query = select(Part.id).where(Part.job_id == claim.job_id, Part.id != claim.part_id, runs | waits)
    return tx.scalar(query.limit(1)) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageTotals:
    """The columns of a job's `JobUsage` row, without an ORM object."""

    job_id: str
    cap_pusd: int | None
    cap_tokens: int | None
    plan: Mapping[str, list[int]]
    calls: int
    prompt_tokens: int
    completion_tokens: int
    spent_pusd: int
    unpriced_calls: int
    repeated_calls: int
    repaired_responses: int
    reserved_pusd: int
    reserved_tokens: int

    @property
    def is_priced(self) -> bool:
        """Whether `spent_pusd` is known at least for some calls: an unknown price is not 0."""
        return not self.unpriced_calls or self.spent_pusd > 0


_FIELDS = UsageTotals.__slots__


def unconfirmed(tx: Session, totals: Iterable[UsageTotals]) -> Mapping[str, Cost]:
    """Job id → at most what its calls cost whose worker died before it could record them; only jobs that have any.

    No query if nothing is reserved.
    """
    job_ids = [one.job_id for one in totals if one.reserved_pusd > 0 or one.reserved_tokens > 0]
    if not job_ids:
        return {}
    runs = exists().where(
        Part.id == LLMReservation.part_id,
        Part.lease_token == LLMReservation.token,
        Part.status == "running",
        Part.lease_expires_at >= now_s(),
    )
    sums = (func.sum(getattr(LLMReservation, name)) for name in ("pusd", "tokens", "calls"))
    query = select(LLMReservation.job_id, *sums).where(LLMReservation.job_id.in_(job_ids), ~runs)
    rows = tx.execute(query.group_by(LLMReservation.job_id)).all()
    return {job_id: Cost(int(pusd), int(tokens), int(calls)) for job_id, pusd, tokens, calls in rows}


def totals_of_jobs(tx: Session, job_ids: Sequence[str]) -> Mapping[str, UsageTotals]:
    """Job id -> totals; without the jobs that use no LLM."""
    query = select(*(getattr(JobUsage, name) for name in _FIELDS)).where(JobUsage.job_id.in_(job_ids))
    return {row.job_id: UsageTotals(**row._mapping) for row in tx.execute(query)}


def totals_of_job(tx: Session, job_id: str) -> UsageTotals | None:
    """The totals of a job; None for a job that uses no LLM."""
    return totals_of_jobs(tx, [job_id]).get(job_id)


def totals_from_row(row: Any) -> UsageTotals | None:
    """The totals in a row of `store.jobs.progress`, which has them as columns `spend_*`; None without any."""
    if row.spend_job_id is None:
        return None
    return UsageTotals(**{name: getattr(row, f"spend_{name}") for name in _FIELDS})


def projected_pusd(totals: UsageTotals, stages: Sequence["Stage"]) -> int | None:
    """The cost of the finished job if each further question costs the average of those so far; None if unknown.

    A stage of unknown size counts with its maximum size.
    """
    known = {stage.stage: stage for stage in stages}
    done = total = 0
    for kind, (units, questions) in totals.plan.items():
        stage = known.get(kind)
        done += (stage.done if stage else 0) * questions
        total += (stage.total if stage else units) * questions
    return totals.spent_pusd * total // done if done and totals.is_priced else None


def list_calls(tx: Session, job_id: str, *, after: str | None, limit: int) -> tuple[list[LLMCall], bool]:
    """Up to `limit` calls of a job with ids above `after`, ordered by id; and whether more calls follow."""
    query = select(LLMCall).where(LLMCall.job_id == job_id).order_by(LLMCall.id).limit(limit + 1)
    if after is not None:
        query = query.where(LLMCall.id > after)
    rows = list(tx.scalars(query))
    return rows[:limit], len(rows) > limit


def average_usage(tx: Session, *, model: str, strategy: str, latest: int = 5_000) -> "AverageUsage | None":
    """Average usage per question of a strategy, from the `latest` calls including retries; None without any."""
    some = (
        select(LLMCall.status, LLMCall.prompt_tokens, LLMCall.completion_tokens)
        .where(LLMCall.model == model, LLMCall.strategy == strategy)
        .order_by(LLMCall.id.desc())
        .limit(latest)
        .subquery()
    )
    answered = func.count().filter(some.c.status == "ok", some.c.completion_tokens.is_not(None))
    row = tx.execute(
        select(answered, func.count(), func.sum(some.c.prompt_tokens), func.sum(some.c.completion_tokens))
    ).one()
    num_answered, num_calls, prompt, completion = row
    if not num_answered:
        return None
    return AverageUsage(
        num_answered=num_answered,
        calls=num_calls / num_answered,
        prompt_tokens=float(prompt) / num_answered,
        completion_tokens=float(completion) / num_answered,
    )


@dataclass(frozen=True, kw_only=True)
class AverageUsage:
    """Averages per question with a valid response; `num_answered` is the number of these questions."""

    num_answered: int
    calls: float
    prompt_tokens: float
    completion_tokens: float


def spent_text(totals: UsageTotals) -> str:
    """How much of a budget is spent, as part of an error message."""
    tokens = totals.prompt_tokens + totals.completion_tokens
    parts = []
    if totals.cap_pusd is not None:
        parts.append(f"{_usd(totals.spent_pusd)} of {_usd(totals.cap_pusd)}")
    if totals.cap_tokens is not None:
        parts.append(f"{tokens:,} of {totals.cap_tokens:,} tokens")
    text = f"{' and '.join(parts)} spent in {counted(totals.calls, 'call')}, and another call could exceed the budget"
    if totals.reserved_pusd or totals.reserved_tokens:
        unknown = _usd(totals.reserved_pusd) if totals.cap_pusd else f"{totals.reserved_tokens:,} tokens"
        text += f" ({unknown} are reserved for calls with unknown usage)"
    return text


def _usd(pusd: int) -> str:
    return usd_text(usd_from_pusd(pusd))


def _tokens(call: Mapping[str, Any]) -> int:
    return (call["prompt_tokens"] or 0) + (call["completion_tokens"] or 0)
