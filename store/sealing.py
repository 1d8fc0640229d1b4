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

from store import attribute_sets, events
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
