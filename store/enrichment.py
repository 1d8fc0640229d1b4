"""What enrich jobs write: answers, the ledger of calls, one result per label; and the set that they end in."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import attribute_sets, events, jobs
from store.attribute_sets import EntryContent, insert_ignore
from store.ids import new_id
from store.jobs import Claim, Outcome
from store.models import AttributeEntry, EnrichResult, Job, Label, LLMAnswer, LLMCall, Part

MAX_NAMED_FAILURES = 1_000


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
    tx: Session, claim: Claim, *, position: int, key: str, entry: EntryContent, model: str, base_url: str,
    strategy: str, messages: Sequence[Any], answer: str,
) -> None:  # fmt: skip
    """Keep a label's valid answer and its result."""
    (digest,) = attribute_sets.put_entries(tx, [entry])
    kept = {
        "key": key, "model": model, "base_url": base_url, "strategy": strategy, "messages": list(messages),
        "answer": answer, "entry": digest, "created_at": time.time(),
    }  # fmt: skip
    insert_ignore(tx, LLMAnswer, [kept])
    record_results(tx, claim, [(position, digest)])


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


def usage(tx: Session, job_id: str) -> dict[str, int]:
    """What the job's calls used, attempts that failed included."""
    row = tx.execute(
        select(
            func.count(),
            func.coalesce(func.sum(LLMCall.prompt_tokens), 0),
            func.coalesce(func.sum(LLMCall.completion_tokens), 0),
        ).where(LLMCall.job_id == job_id)
    ).one()
    return {"calls": row[0], "prompt_tokens": int(row[1] or 0), "completion_tokens": int(row[2] or 0)}


def _seal(tx: Session, job: Job, _parts: Sequence[Part]) -> Outcome:
    num_labels = job.spec["num_labels"]
    chosen: list[str | None] = [None] * num_labels
    reasons = ["cancelled" if job.stopping == "cancel" else "not_asked" if job.stopping else "worker_lost"] * num_labels
    rows = tx.execute(
        select(EnrichResult.position, EnrichResult.entry, EnrichResult.reason).where(EnrichResult.job_id == job.id)
    )
    for position, entry, reason in rows:
        chosen[position] = entry
        reasons[position] = reason or reasons[position]
    failed = [position for position in range(num_labels) if chosen[position] is None]
    counts = Counter(reasons[position] for position in failed)
    result: dict[str, Any] = {
        "attribute_set_id": None,
        "num_labels": num_labels,
        "num_described": num_labels - len(failed),
        "failed_labels": dict(counts),
        "failed_positions": failed[:MAX_NAMED_FAILURES],
        "usage": usage(tx, job.id),
    }
    if len(failed) < num_labels:
        made = attribute_sets.create(
            tx, vocabulary_id=job.spec["vocabulary_id"], entries=chosen, source={"job_id": job.id, **job.spec}
        )
        result["attribute_set_id"] = made.id
    if failed:
        summary = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        events.add(tx, job.id, "message", f"{len(failed)} labels without attributes: {summary}", level="warning")
    if len(failed) == num_labels:
        reason = counts.most_common(1)[0][0]
        error = {"code": "all_labels_failed", "message": f"no label could be described (most often: {reason})"}
        return Outcome("failed", result, error)
    return Outcome("succeeded", result)


jobs.sealers["enrich"] = _seal
