"""What enrich jobs write as they go: answers, the ledger of calls, one result per label."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from store import attribute_sets
from store.attribute_sets import EntryContent, insert_ignore
from store.ids import new_id
from store.jobs import Claim
from store.models import AttributeEntry, EnrichResult, Label, LLMAnswer, LLMCall


def missing(tx: Session, claim: Claim) -> list[Label]:
    """The labels of the claimed part that have no result in its job yet, in order."""
    start, stop = claim.spec["start"], claim.spec["stop"]
    has_result = select(EnrichResult.position).where(EnrichResult.job_id == claim.job_id)
    query = select(Label).where(
        Label.vocabulary_id == claim.job_spec["vocabulary_id"],
        Label.position >= start,
        Label.position < stop,
        Label.position.not_in(has_result.where(EnrichResult.position >= start, EnrichResult.position < stop)),
    )
    return list(tx.scalars(query.order_by(Label.position)))


def known_answers(tx: Session, keys: Sequence[str]) -> dict[str, str]:
    """Call key → digest of the entry that an earlier call with this key gave."""
    rows = tx.execute(select(LLMAnswer.key, LLMAnswer.entry).where(LLMAnswer.key.in_(keys)))
    return {row.key: row.entry for row in rows}


def record_calls(tx: Session, claim: Claim, *, position: int, key: str, calls: Sequence[Mapping[str, Any]]) -> None:
    """Append to the ledger; also under a lease that was lost, for the calls were made and will be billed."""
    now = time.time()
    tx.add_all(
        LLMCall(id=new_id("cal"), job_id=claim.job_id, position=position, key=key, created_at=now, **call)
        for call in calls
    )


def record_answer(
    tx: Session, *, key: str, entry: EntryContent, model: str, base_url: str, strategy: str,
    messages: Sequence[Any], answer: str,
) -> None:  # fmt: skip
    """Keep a valid answer under its key, for this job and any other; the first one under a key stays."""
    (digest,) = attribute_sets.put_entries(tx, [entry])
    kept = {
        "key": key, "model": model, "base_url": base_url, "strategy": strategy, "messages": list(messages),
        "answer": answer, "entry": digest, "created_at": time.time(),
    }  # fmt: skip
    insert_ignore(tx, LLMAnswer, [kept])


def record_results(tx: Session, claim: Claim, results: Sequence[tuple[int, str]]) -> None:
    """Keep (position, digest of the entry) of labels that ended well."""
    rows = [{"job_id": claim.job_id, "position": position, "entry": digest} for position, digest in results]
    insert_ignore(tx, EnrichResult, rows)


def record_failure(tx: Session, claim: Claim, *, position: int, reason: str, detail: str) -> None:
    """Keep why a label ended without an answer."""
    row = {"job_id": claim.job_id, "position": position, "entry": None, "reason": reason, "detail": detail}
    insert_ignore(tx, EnrichResult, [row])


def partial(tx: Session, job_id: str, *, after: int, limit: int) -> list[tuple[EnrichResult, AttributeEntry | None]]:
    """The results so far at positions above `after`, each with its entry."""
    query = (
        select(EnrichResult, AttributeEntry)
        .join(AttributeEntry, AttributeEntry.digest == EnrichResult.entry, isouter=True)
        .where(EnrichResult.job_id == job_id, EnrichResult.position > after)
        .order_by(EnrichResult.position)
        .limit(limit)
    )
    return [(row[0], row[1]) for row in tx.execute(query)]
