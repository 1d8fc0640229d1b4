"""Rows that enrich jobs write while they run: LLM calls, cached responses, and one result per question.

A question is a (step, position, slot) of its job: the index of its strategy, the position of its label or image, and
its index among the strategy's questions about this label. Questions of repair round r have their results at step
r * `assembly.ROUND` + step, until `accept_repairs` moves or deletes them.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, literal, select, true, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from store.enrich.assembly import ROUND
from store.enrich.bulk_rows import values_table
from store.errors import NotFound
from store.ids import new_id
from store.jobs import counters
from store.jobs.claims import Claim
from store.models import EnrichResult, LLMAnswer, LLMCall
from store.unique_rows import insert_ignore

_POSITIONS_PER_QUERY = 5_000


@dataclass(frozen=True, slots=True)
class ResultSlot:
    """Where the result of a question is stored.

    `side` is 1 if the label at `position` is the other label of a question about a pair. `detail` of an image is the
    sha256 of its file, as it was read for the question.
    """

    step: int
    position: int
    slot: int = 0
    side: int = 0
    detail: str | None = None


def finished_questions(tx: Session, claim: Claim, *, start: int, stop: int) -> set[tuple[int, int, int]]:
    """(step, position, slot) of the job's questions with a result and start <= position < stop."""
    query = select(EnrichResult.step, EnrichResult.position, EnrichResult.slot).where(
        EnrichResult.job_id == claim.job_id, EnrichResult.position >= start, EnrichResult.position < stop
    )
    return {(step, position, slot) for step, position, slot in tx.execute(query)}


def record_cached(tx: Session, claim: Claim, slots: Sequence[tuple[ResultSlot, str]]) -> set[str]:
    """Record a result in each slot whose key has a cached response. Returns these keys."""
    wanted = values_table(
        tx,
        {
            "step": (int, [slot.step for slot, _ in slots]),
            "position": (int, [slot.position for slot, _ in slots]),
            "slot": (int, [slot.slot for slot, _ in slots]),
            "side": (int, [slot.side for slot, _ in slots]),
            "detail": (str, [slot.detail for slot, _ in slots]),
            "key": (str, [key for _, key in slots]),
        },
    )
    columns = [wanted.c[name] for name in ("step", "position", "slot", "side", "detail", "key")]
    rows = select(literal(claim.job_id), *columns).join(LLMAnswer, LLMAnswer.key == wanted.c.key).where(true())
    dialect = sqlite if tx.get_bind().dialect.name == "sqlite" else postgresql
    statement = dialect.insert(EnrichResult).from_select(["job_id", *(column.name for column in columns)], rows)
    return set(tx.scalars(statement.on_conflict_do_nothing().returning(EnrichResult.key)))


def has_responses(tx: Session, *, model: str, strategy: str) -> bool:
    """Whether any response of a model to a strategy is cached."""
    return (
        tx.scalar(select(LLMAnswer.key).where(LLMAnswer.model == model, LLMAnswer.strategy == strategy).limit(1))
        is not None
    )


def cached_keys(tx: Session, keys: Sequence[str]) -> set[str]:
    """The keys that have a cached response."""
    wanted = values_table(tx, {"key": (str, keys)})
    return set(tx.scalars(select(LLMAnswer.key).join(wanted, wanted.c.key == LLMAnswer.key)))


def get_response(tx: Session, key: str) -> LLMAnswer:
    """The cached response under a key. Raises NotFound."""
    found = tx.get(LLMAnswer, key)
    if found is None:
        raise NotFound("answer", key)
    return found


def record_calls(tx: Session, claim: Claim, calls: Sequence[Mapping[str, Any]]) -> None:
    """Append calls (fields of `LLMCall`). Allowed after the lease is lost too: the calls will be billed."""
    now = time.time()
    insert_ignore(
        tx, LLMCall, [{"id": new_id("cal"), "job_id": claim.job_id, "created_at": now, **call} for call in calls]
    )


def record_responses(tx: Session, responses: Sequence[Mapping[str, object]]) -> None:
    """Cache valid responses (fields of `LLMAnswer`) for all jobs. An existing response under a key is kept."""
    now = time.time()
    rows = [{**response, "created_at": now} for response in responses]
    insert_ignore(tx, LLMAnswer, sorted(rows, key=lambda row: str(row["key"])))


def record_results(tx: Session, claim: Claim, results: Sequence[tuple[ResultSlot, str]]) -> None:
    """Record the keys of the responses in their slots."""
    insert_ignore(tx, EnrichResult, [{**_slot_columns(claim, slot), "key": key} for slot, key in results])


def record_failures(tx: Session, claim: Claim, failures: Sequence[tuple[ResultSlot, str, str]]) -> None:
    """Record the reason and detail of each question that ended without a valid response."""
    rows = [
        {**_slot_columns(claim, slot), "key": None, "reason": reason, "detail": detail}
        for slot, reason, detail in failures
    ]
    insert_ignore(tx, EnrichResult, rows)
    counters.add(tx, [counters.LLM_FAILURES.increment(1, reason) for _, reason, _ in failures])


def accept_repairs(tx: Session, claim: Claim, *, round: int, positions: Collection[int]) -> None:
    """Replace the responses at these positions by those of a repair round; delete the round's other results."""
    first, stop = round * ROUND, (round + 1) * ROUND
    of_round = (EnrichResult.job_id == claim.job_id, EnrichResult.step >= first, EnrichResult.step < stop)
    accepted = sorted(positions)
    for start in range(0, len(accepted), _POSITIONS_PER_QUERY):
        some = values_table(tx, {"position": (int, accepted[start : start + _POSITIONS_PER_QUERY])})
        query = select(EnrichResult.step, EnrichResult.position, EnrichResult.slot, EnrichResult.key)
        query = query.join(some, some.c.position == EnrichResult.position).where(
            *of_round, EnrichResult.key.is_not(None)
        )
        rows = [
            {"b_job_id": claim.job_id, "b_step": step % ROUND, "b_position": position, "b_slot": slot, "b_key": key}
            for step, position, slot, key in tx.execute(query)
        ]
        if rows:
            primary_key = ("job_id", "step", "position", "slot")
            replaced = [getattr(EnrichResult, name) == bindparam(f"b_{name}") for name in primary_key]
            tx.connection().execute(update(EnrichResult).where(*replaced).values(key=bindparam("b_key")), rows)
    tx.execute(delete(EnrichResult).where(*of_round))


def _slot_columns(claim: Claim, slot: ResultSlot) -> dict[str, Any]:
    return {
        "job_id": claim.job_id,
        "step": slot.step,
        "position": slot.position,
        "slot": slot.slot,
        "side": slot.side,
        "detail": slot.detail,
    }


def positions_with_results(tx: Session, job_id: str, *, after: int, limit: int) -> list[int]:
    """The first `limit` positions above `after` with a result of any step."""
    query = select(EnrichResult.position).where(EnrichResult.job_id == job_id, EnrichResult.position > after)
    return list(tx.scalars(query.distinct().order_by(EnrichResult.position).limit(limit)))
