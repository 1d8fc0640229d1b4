"""What enrich jobs write as they go: answers, the ledger of calls, one result per question.

A question is a (step, position, slot) of its job: which strategy, which label, which of several about that label.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from store.attribute_sets import insert_ignore
from store.errors import NotFound
from store.ids import new_id
from store.jobs import Claim
from store.models import EnrichResult, Label, LLMAnswer, LLMCall


@dataclass(frozen=True, kw_only=True)
class Answered:
    """A question and the key of its answer; `side` 1: the label is the one that the answer tells its own apart from."""

    step: int
    position: int
    slot: int = 0
    key: str
    side: int = 0


def labels_of(tx: Session, claim: Claim) -> list[Label]:
    """The labels of the claimed part, in order."""
    query = select(Label).where(
        Label.vocabulary_id == claim.job_spec["vocabulary_id"],
        Label.position >= claim.spec["start"],
        Label.position < claim.spec["stop"],
    )
    return list(tx.scalars(query.order_by(Label.position)))


def ended(tx: Session, claim: Claim, *, step: int) -> set[tuple[int, int]]:
    """(position, slot) of the questions of the claimed part's labels that have a result in its job already."""
    query = select(EnrichResult.position, EnrichResult.slot).where(
        EnrichResult.job_id == claim.job_id,
        EnrichResult.step == step,
        EnrichResult.position >= claim.spec["start"],
        EnrichResult.position < claim.spec["stop"],
    )
    return {(position, slot) for position, slot in tx.execute(query)}


def known_answers(tx: Session, keys: Sequence[str]) -> set[str]:
    """Those of the keys under which an earlier call left an answer."""
    return set(tx.scalars(select(LLMAnswer.key).where(LLMAnswer.key.in_(keys))))


def answer(tx: Session, key: str) -> LLMAnswer:
    """The answer under a key, or `NotFound`."""
    found = tx.get(LLMAnswer, key)
    if found is None:
        raise NotFound("answer", key)
    return found


def record_calls(tx: Session, claim: Claim, calls: Sequence[Mapping[str, Any]]) -> None:
    """Append to the ledger; also under a lease that was lost, for the calls were made and will be billed."""
    now = time.time()
    insert_ignore(
        tx, LLMCall, [{"id": new_id("cal"), "job_id": claim.job_id, "created_at": now, **call} for call in calls]
    )


def record_answers(tx: Session, answers: Sequence[Mapping[str, Any]]) -> None:
    """Keep valid answers (fields of `LLMAnswer`) for this job and any other; the first one under a key stays."""
    now = time.time()
    insert_ignore(tx, LLMAnswer, sorted(({**one, "created_at": now} for one in answers), key=lambda row: row["key"]))


def record_results(tx: Session, claim: Claim, results: Sequence[Answered]) -> None:
    """Keep which answers the questions came to."""
    rows = [
        {
            "job_id": claim.job_id, "step": one.step, "position": one.position, "slot": one.slot, "key": one.key,
            "side": one.side,
        }
        for one in results
    ]  # fmt: skip
    insert_ignore(tx, EnrichResult, rows)


def record_failure(
    tx: Session, claim: Claim, *, step: int, position: int, slot: int = 0, reason: str, detail: str
) -> None:
    """Keep why a question ended without an answer."""
    row = {
        "job_id": claim.job_id, "step": step, "position": position, "slot": slot, "key": None, "side": 0,
        "reason": reason, "detail": detail,
    }  # fmt: skip
    insert_ignore(tx, EnrichResult, [row])


def partial(tx: Session, job_id: str, *, after: int, limit: int) -> list[int]:
    """The first `limit` positions above `after` that have a result, of whatever step."""
    query = select(EnrichResult.position).where(EnrichResult.job_id == job_id, EnrichResult.position > after)
    return list(tx.scalars(query.distinct().order_by(EnrichResult.position).limit(limit)))
