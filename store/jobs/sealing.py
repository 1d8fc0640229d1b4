"""What a job comes to, in the transaction that ends its last part.

`files` in a part's result are for the parts after it, and are left out of the job's.

An enrich job ends in an attribute set of all that was answered, also where it was cancelled or failed half-way: it is
paid for. Any other job's result is what its parts have to say, one after the other; that of captions, too, with what
became of the images.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.enrich import assembly, usage
from store.enrich.assembly import ROUND
from store.jobs import events
from store.models import EnrichResult, Job, LLMCall
from store.sets import attribute_sets, reports

BUDGET_SPENT = "budget_spent"
MAX_NAMED_FAILURES = 1_000
_NOTHING = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0}


@dataclass(frozen=True)
class Outcome:
    """How a job ends where nobody stopped it; `budget_error` in place of its error where its budget was spent."""

    status: Literal["succeeded", "failed"]
    result: dict[str, Any]
    error: dict[str, Any] | None = None
    budget_error: dict[str, Any] | None = None


def seal(tx: Session, job: Job, results: Sequence[Mapping[str, Any] | None]) -> Outcome:
    """The job's outcome, from what its parts came to, with whatever it publishes written."""
    result: dict[str, Any] = {}
    for each in results:
        result |= {name: value for name, value in (each or {}).items() if name != "files"}
    if job.kind != "enrich":
        return Outcome("succeeded", result)
    outcome = _captioned(tx, job, result) if "dataset_id" in job.spec else _described(tx, job, results)
    return replace(outcome, budget_error=_budget_error(tx, job, outcome.result)) if _is_spent(job) else outcome


def _is_spent(job: Job) -> bool:
    return job.stopping == "failure" and (job.error or {}).get("code") == BUDGET_SPENT


def _budget_error(tx: Session, job: Job, result: Mapping[str, Any]) -> dict[str, Any]:
    """What was spent and what is missing: known only when the last calls in flight have ended."""
    spend = usage.of(tx, job.id)
    what, num, done = (
        ("images", result["num_images"], result["num_captioned"])
        if "num_images" in result
        else ("labels", result["num_labels"], result["num_described"])
    )
    kept = f"; the others are kept as {result['attribute_set_id']}" if result.get("attribute_set_id") else ""
    message = (
        f"the budget is spent: {usage.exhausted(spend) if spend else 'nothing is left'}; {num - done:,} of {num:,} "
        f"{what} have no answer yet{kept}. Post the job again with a larger budget: what was answered is not paid twice"
    )
    return {"code": BUDGET_SPENT, "message": message}


def _used(tx: Session, job_id: str) -> dict[str, dict[str, int]]:
    """Strategy → what its calls used."""
    query = select(
        LLMCall.strategy,
        func.count(),
        func.coalesce(func.sum(LLMCall.prompt_tokens), 0),
        func.coalesce(func.sum(LLMCall.completion_tokens), 0),
    ).where(LLMCall.job_id == job_id)
    return {
        strategy: {"calls": calls, "prompt_tokens": int(prompt or 0), "completion_tokens": int(completion or 0)}
        for strategy, calls, prompt, completion in tx.execute(query.group_by(LLMCall.strategy))
    }


def _described(tx: Session, job: Job, results: Sequence[Mapping[str, Any] | None]) -> Outcome:
    """Pages that the job did not come to put together, because it was stopped, are put together here; then there is no
    report either."""
    num_labels = job.spec["num_labels"]
    noted = assembly.noted_pages(tx, job.id)
    numbers = range(-(-num_labels // attribute_sets.PAGE_SIZE))
    pages = [noted[number] if number in noted else assembly.put_page(tx, job, number) for number in numbers]
    described = attribute_sets.described(tx, pages)
    reasons = _reasons(tx, job)
    failed = [position for position in range(num_labels) if position not in described]
    partly = [position for position in sorted(reasons) if position in described]
    counts = Counter(reasons.get(position, _untold(job)) for position in failed)
    result: dict[str, Any] = {
        "attribute_set_id": None,
        "num_labels": num_labels,
        "num_described": num_labels - len(failed),
        "failed_labels": dict(counts),
        "failed_positions": failed[:MAX_NAMED_FAILURES],
        "partly_failed_labels": dict(Counter(reasons[position] for position in partly)),
        "partly_failed_positions": partly[:MAX_NAMED_FAILURES],
        "mended": _mended(results),
        **_figures(tx, job),
    }
    if len(failed) < num_labels:
        source = {"job_id": job.id, **job.spec}
        made = attribute_sets.create(
            tx,
            vocabulary_id=job.spec["vocabulary_id"],
            pages=pages,
            source=source,
            parent_id=job.spec.get("base_set_id") if job.spec.get("same_vocabulary") else None,
        )
        result["attribute_set_id"] = made.id
        if report := next((each["report"] for each in results if each and "report" in each), None):
            reports.put(tx, set_id=made.id, **report)
            result["failing_gates"] = reports.failing(report["figures"])
    _warn(tx, job, "labels without attributes", counts)
    _warn(tx, job, "labels of which some questions have no answer", result["partly_failed_labels"])
    return _unless_all_failed(result, num_labels, counts, "label could be described", "all_labels_failed")


def _mended(results: Sequence[Mapping[str, Any] | None]) -> list[dict[str, Any]]:
    """What each round of asking again came to: a round's answers are chosen from by the part after it."""
    told = [each["mended"] for each in results if each and "mended" in each]
    asked = zip(told, told[1:], strict=False)
    return [
        {"num_labels": one["num_labels"], "num_asked": one["num_asked"], "num_better_labels": after["num_better"]}
        for one, after in asked
        if one["num_asked"]
    ]


def _captioned(tx: Session, job: Job, made: Mapping[str, Any]) -> Outcome:
    """The set is kept by the job's last part, for it is a file; a job that was stopped has none, and its answers are
    found again by the next."""
    num_images = job.spec["num_images"]
    query = select(func.count()).where(EnrichResult.job_id == job.id, EnrichResult.key.is_not(None))
    num_captioned = tx.scalars(query).one()
    reasons = _reasons(tx, job)
    counts = Counter(reasons.values())
    if untold := num_images - num_captioned - len(reasons):
        counts[_untold(job)] += untold
    result: dict[str, Any] = {
        "caption_set_id": made.get("caption_set_id"),
        "num_images": num_images,
        "num_captioned": num_captioned,
        "failed_images": dict(counts),
        "failed_positions": sorted(reasons)[:MAX_NAMED_FAILURES],
        **_figures(tx, job),
    }
    _warn(tx, job, "images without a caption", counts)
    return _unless_all_failed(result, num_images, counts, "image has a caption", "all_images_failed")


def _untold(job: Job) -> str:
    """Why something has no result at all."""
    if _is_spent(job):
        return BUDGET_SPENT
    return "cancelled" if job.stopping == "cancel" else "not_asked" if job.stopping else "worker_lost"


def _warn(tx: Session, job: Job, what: str, counts: Mapping[str, int]) -> None:
    if counts:
        ordered = sorted(counts.items(), key=lambda item: -item[1])
        summary = ", ".join(f"{count} {reason}" for reason, count in ordered)
        events.add(tx, job.id, "message", f"{sum(counts.values())} {what}: {summary}", level="warning")


def _unless_all_failed(result: dict[str, Any], total: int, counts: Counter[str], what: str, code: str) -> Outcome:
    if counts.total() < total:
        return Outcome("succeeded", result)
    reason = counts.most_common(1)[0][0]
    return Outcome("failed", result, {"code": code, "message": f"no {what} (most often: {reason})"})


def _figures(tx: Session, job: Job) -> dict[str, Any]:
    """Per step: how its questions ended (that about a pair counts once), and what its calls used."""
    used = _used(tx, job.id)
    figures: list[dict[str, Any]] = [
        {"strategy": ref, "answered": 0, "failed": {}, **used.get(ref, _NOTHING)} for ref in job.spec["strategies"]
    ]
    query = select(EnrichResult.step, EnrichResult.reason, func.count()).where(
        EnrichResult.job_id == job.id, EnrichResult.side == 0, EnrichResult.step < ROUND
    )
    for step, reason, count in tx.execute(query.group_by(EnrichResult.step, EnrichResult.reason)):
        if reason is None:
            figures[step]["answered"] = count
        else:
            figures[step]["failed"][reason] = count
    return {"strategies": figures, "usage": {name: sum(each[name] for each in used.values()) for name in _NOTHING}}


def _reasons(tx: Session, job: Job) -> dict[int, str]:
    """Position → why a question about it failed, the first one."""
    query = select(EnrichResult.position, EnrichResult.reason).where(
        EnrichResult.job_id == job.id, EnrichResult.key.is_(None), EnrichResult.step < ROUND
    )
    rows: Iterable[Any] = tx.execute(query.order_by(EnrichResult.position, EnrichResult.step, EnrichResult.slot))
    reasons: dict[int, str] = {}
    for position, reason in rows:
        reasons.setdefault(position, reason or "unknown")
    return reasons
