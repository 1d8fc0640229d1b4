"""What an enrich job spends: running sums beside its ledger of calls, and the cap that all its workers keep together.

    spent + set aside ≤ cap, at every moment

Each part sets the worst case of its next calls aside before it makes them, in blocks, so that not every call costs a
transaction; what the calls then really took is moved from there to what is spent in the transaction that records them,
and what is left of a block is given back. What was set aside for a call whose use nobody ever states (its worker died,
or its server does not say) stays there: it counts as spent, for it may be billed. Whoever writes to a job's sums does
so last in its transaction, since all of the job's workers share the row.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from store.clock import now_s
from store.jobs.batches import WAITS
from store.models import JobUsage, LLMCall, Part

if TYPE_CHECKING:
    from store.jobs.claims import Claim
    from store.jobs.progress import Stage

_QUIETLY = {"synchronize_session": False}


@dataclass(frozen=True, slots=True)
class Amount:
    """Money and tokens; prompt and answer count alike."""

    pusd: int = 0
    tokens: int = 0

    def __add__(self, other: Self) -> "Amount":
        return Amount(self.pusd + other.pusd, self.tokens + other.tokens)

    def __sub__(self, other: Self) -> "Amount":
        return Amount(self.pusd - other.pusd, self.tokens - other.tokens)

    def times(self, number: int) -> "Amount":
        """So many of it."""
        return Amount(self.pusd * number, self.tokens * number)

    def covers(self, other: Self) -> bool:
        """Whether `other` is no more, in money nor in tokens."""
        return self.pusd >= other.pusd and self.tokens >= other.tokens

    def at_most(self, other: Self) -> "Amount":
        """The smaller of both, and never less than nothing."""
        return Amount(max(0, min(self.pusd, other.pusd)), max(0, min(self.tokens, other.tokens)))


NOTHING = Amount()


def begin(tx: Session, job_id: str, *, cap_pusd: int | None, cap_tokens: int | None, plan: Mapping[str, Any]) -> None:
    """Nothing spent yet. `plan`: kind of part → how many units it has at most, and how many questions a unit is."""
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
            reserved_pusd=0,
            reserved_tokens=0,
        )
    )
    tx.flush()


def came_to(calls: Sequence[Mapping[str, Any]]) -> Amount:
    """What these rows of the ledger are known to have taken."""
    return Amount(sum(call["cost_pusd"] or 0 for call in calls), sum(_tokens(call) for call in calls))


def record(tx: Session, job_id: str, calls: Sequence[Mapping[str, Any]], *, released: Amount = NOTHING) -> None:
    """Add rows that were just appended to the ledger, and let go of what was set aside for them."""
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
            reserved_pusd=JobUsage.reserved_pusd - released.pusd,
            reserved_tokens=JobUsage.reserved_tokens - released.tokens,
        )
    )
    tx.execute(statement, execution_options=_QUIETLY)


def reserve(tx: Session, job_id: str, wanted: Amount) -> bool:
    """Set this aside if the cap has room for it: one compare-and-set."""
    used_tokens = JobUsage.prompt_tokens + JobUsage.completion_tokens + JobUsage.reserved_tokens
    statement = (
        update(JobUsage)
        .where(
            JobUsage.job_id == job_id,
            JobUsage.cap_pusd.is_(None)
            | (JobUsage.spent_pusd + JobUsage.reserved_pusd + wanted.pusd <= JobUsage.cap_pusd),
            JobUsage.cap_tokens.is_(None) | (used_tokens + wanted.tokens <= JobUsage.cap_tokens),
        )
        .values(
            reserved_pusd=JobUsage.reserved_pusd + wanted.pusd, reserved_tokens=JobUsage.reserved_tokens + wanted.tokens
        )
        .returning(JobUsage.job_id)
    )
    return tx.scalar(statement, execution_options=_QUIETLY) is not None


def give_back(tx: Session, job_id: str, amount: Amount) -> None:
    """Let go of what was set aside and is not needed."""
    statement = (
        update(JobUsage)
        .where(JobUsage.job_id == job_id)
        .values(
            reserved_pusd=JobUsage.reserved_pusd - amount.pusd, reserved_tokens=JobUsage.reserved_tokens - amount.tokens
        )
    )
    tx.execute(statement, execution_options=_QUIETLY)


def mark_holder(tx: Session, claim: "Claim", *, holds: bool) -> None:
    """Note whether the part has anything set aside that may come back."""
    tx.execute(
        update(Part).where(Part.id == claim.part_id, Part.lease_token == claim.token).values(holds_budget=holds),
        execution_options=_QUIETLY,
    )


def others_hold(tx: Session, claim: "Claim") -> bool:
    """Whether another part of the job is at work with something set aside, some of which may come back."""
    runs = (Part.status == "running") & (Part.lease_expires_at >= now_s()) & Part.holds_budget
    waits = Part.status.in_(("queued", "running")) & WAITS
    query = select(Part.id).where(Part.job_id == claim.job_id, Part.id != claim.part_id, runs | waits)
    return tx.scalar(query.limit(1)) is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """A job's row of `JobUsage`, where there is one row for a poll and no session's object is wanted."""

    job_id: str
    cap_pusd: int | None
    cap_tokens: int | None
    plan: Mapping[str, Any]
    calls: int
    prompt_tokens: int
    completion_tokens: int
    spent_pusd: int
    unpriced_calls: int
    reserved_pusd: int
    reserved_tokens: int

    @property
    def is_priced(self) -> bool:
        """Whether what was spent is known in money, at least of some calls: a price that is not known is not 0."""
        return not self.unpriced_calls or self.spent_pusd > 0


_FIELDS = Sums.__slots__


def of_many(tx: Session, job_ids: Sequence[str]) -> Mapping[str, Sums]:
    """The sums of those jobs that ask an LLM."""
    query = select(*(getattr(JobUsage, name) for name in _FIELDS)).where(JobUsage.job_id.in_(job_ids))
    return {row.job_id: Sums(**row._mapping) for row in tx.execute(query)}


def of(tx: Session, job_id: str) -> Sums | None:
    """The job's sums; None for a job that asks no LLM."""
    return of_many(tx, [job_id]).get(job_id)


def in_row(row: Any) -> Sums | None:
    """The sums that came with a job's row from `store.jobs.progress.job`."""
    return None if row.spend_job_id is None else Sums(**{name: getattr(row, f"spend_{name}") for name in _FIELDS})


def projected_pusd(spend: Sums, stages: Sequence["Stage"]) -> int | None:
    """What the job will have cost when it is done, if what is left costs what the questions so far did; None where
    that cannot be told yet. A stage whose size is not known counts as large as it can be."""
    known = {stage.stage: stage for stage in stages}
    done = total = 0
    for kind, (units, questions) in spend.plan.items():
        stage = known.get(kind)
        done += (stage.done if stage else 0) * questions
        total += (stage.total if stage else units) * questions
    return spend.spent_pusd * total // done if done and spend.is_priced else None


def calls(tx: Session, job_id: str, *, after: str | None, limit: int) -> tuple[list[LLMCall], bool]:
    """Up to `limit` calls of the ledger after the call `after`, in the order of their ids; and whether there are
    more."""
    query = select(LLMCall).where(LLMCall.job_id == job_id).order_by(LLMCall.id).limit(limit + 1)
    if after is not None:
        query = query.where(LLMCall.id > after)
    rows = list(tx.scalars(query))
    return rows[:limit], len(rows) > limit


def averages(tx: Session, *, model: str, strategy: str, latest: int = 5_000) -> "Averages | None":
    """What the latest questions of a strategy to a model took, all attempts at them counted; None without any."""
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
    return Averages(
        num_answered=num_answered,
        calls=num_calls / num_answered,
        prompt_tokens=float(prompt) / num_answered,
        completion_tokens=float(completion) / num_answered,
    )


@dataclass(frozen=True, kw_only=True)
class Averages:
    """Per question that got an answer; `num_answered` is how many there were."""

    num_answered: int
    calls: float
    prompt_tokens: float
    completion_tokens: float


def usd_text(pusd: int) -> str:
    """Pico-dollars as dollars in exact decimals: `0.000135`."""
    return f"{Decimal(pusd).scaleb(-12):f}".rstrip("0").rstrip(".") if pusd else "0"


def exhausted(spend: Sums) -> str:
    """How far a budget went, for people."""
    tokens = spend.prompt_tokens + spend.completion_tokens
    parts = []
    if spend.cap_pusd is not None:
        parts.append(f"${usd_text(spend.spent_pusd)} of ${usd_text(spend.cap_pusd)}")
    if spend.cap_tokens is not None:
        parts.append(f"{tokens:,} of {spend.cap_tokens:,} tokens")
    said = f"{' and '.join(parts)} spent in {spend.calls:,} calls, and another could go beyond"
    if spend.reserved_pusd or spend.reserved_tokens:
        unstated = f"${usd_text(spend.reserved_pusd)}" if spend.cap_pusd else f"{spend.reserved_tokens:,} tokens"
        said += f" ({unstated} are counted for calls whose use nobody stated)"
    return said


def _tokens(call: Mapping[str, Any]) -> int:
    return (call["prompt_tokens"] or 0) + (call["completion_tokens"] or 0)
