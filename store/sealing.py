"""What a job comes to, in the transaction that ends its last part.

`files` in a part's result are for the parts after it, and are left out of the job's.

An enrich job ends in an attribute set of all that was answered, also where it was cancelled or failed half-way: it is
paid for. Any other job's result is what its parts have to say, one after the other.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store import assembly, attribute_sets, events
from store.models import EnrichResult, Job, LLMCall, Part

MAX_NAMED_FAILURES = 1_000


@dataclass(frozen=True)
class Outcome:
    """How a job ends where nobody stopped it."""

    status: Literal["succeeded", "failed"]
    result: dict[str, Any]
    error: dict[str, Any] | None = None


def seal(tx: Session, job: Job, parts: Sequence[Part]) -> Outcome:
    """The job's outcome, with whatever it publishes written."""
    if job.kind == "enrich":
        return _enriched(tx, job)
    result: dict[str, Any] = {}
    for part in parts:
        result |= {name: value for name, value in (part.result or {}).items() if name != "files"}
    return Outcome("succeeded", result)


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


def _enriched(tx: Session, job: Job) -> Outcome:
    """Pages that the job did not come to put together, because it was stopped, are put together here."""
    num_labels = job.spec["num_labels"]
    noted = assembly.noted_pages(tx, job.id)
    numbers = range(-(-num_labels // attribute_sets.PAGE_SIZE))
    pages = [noted[number] if number in noted else assembly.put_page(tx, job, number) for number in numbers]
    described = attribute_sets.described(tx, pages)
    failed = [position for position in range(num_labels) if position not in described]
    reasons = _reasons(tx, job)
    otherwise = "cancelled" if job.stopping == "cancel" else "not_asked" if job.stopping else "worker_lost"
    counts = Counter(reasons.get(position, otherwise) for position in failed)
    result: dict[str, Any] = {
        "attribute_set_id": None,
        "num_labels": num_labels,
        "num_described": num_labels - len(failed),
        "failed_labels": dict(counts),
        "failed_positions": failed[:MAX_NAMED_FAILURES],
        "usage": usage(tx, job.id),
    }
    if len(failed) < num_labels:
        source = {"job_id": job.id, **job.spec}
        made = attribute_sets.create(
            tx, vocabulary_id=job.spec["vocabulary_id"], pages=pages, source=source,
            parent_id=job.spec.get("base_set_id") if job.spec.get("same_vocabulary") else None,
        )  # fmt: skip
        result["attribute_set_id"] = made.id
    if failed:
        summary = ", ".join(f"{count} {reason}" for reason, count in counts.most_common())
        events.add(tx, job.id, "message", f"{len(failed)} labels without attributes: {summary}", level="warning")
    if len(failed) == num_labels:
        reason = counts.most_common(1)[0][0]
        error = {"code": "all_labels_failed", "message": f"no label could be described (most often: {reason})"}
        return Outcome("failed", result, error)
    return Outcome("succeeded", result)


def _reasons(tx: Session, job: Job) -> dict[int, str]:
    """Position → why a question about it failed, the first one."""
    query = select(EnrichResult.position, EnrichResult.reason).where(
        EnrichResult.job_id == job.id, EnrichResult.key.is_(None)
    )
    rows = tx.execute(query.order_by(EnrichResult.position, EnrichResult.step.desc(), EnrichResult.slot.desc()))
    return {position: reason or "unknown" for position, reason in rows}
