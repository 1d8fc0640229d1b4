"""The result of a job, written in the transaction that ends its last part.

An enrich job publishes an attribute set of every response it got, also if it was cancelled or failed half-way: the
responses are paid for. The result of any other job is the results of its parts, merged, without their `files`.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from pydantic import ValidationError
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from store.enrich import assembly, usage
from store.enrich.assembly import ROUND
from store.jobs import events
from store.jobs.part_results import (
    CallUsage,
    CaptionJobResult,
    CaptionsResult,
    DescribeJobResult,
    JobResult,
    RepairResult,
    RepairRoundResult,
    ReportResult,
    StrategyResult,
    merge_results,
)
from store.jobs.specs import CaptionSpec, DescribeSpec, EnrichSpec, parse_job_spec
from store.lifecycle import failures
from store.lifecycle.failures import Failure
from store.models import EnrichResult, Job, LLMCall
from store.sets import attribute_sets, reports

BUDGET_SPENT = "budget_spent"
MAX_NAMED_FAILURES = 1_000

StoredResult = Mapping[str, Any] | None  # of a part, as JSON


@dataclass(frozen=True)
class JobOutcome:
    """How a job ends unless it was stopped; `budget_error` replaces its error if the budget was spent."""

    status: Literal["succeeded", "failed"]
    result: JobResult
    error: dict[str, str] | None = None
    budget_error: dict[str, str] | None = None


def publish_result(tx: Session, job: Job, results: Sequence[StoredResult]) -> JobOutcome:
    """Publish the result of the job, from the stored results of its parts. Returns the outcome."""
    if job.kind != "enrich":
        return JobOutcome("succeeded", merge_results(results))
    try:
        spec = parse_job_spec(job.kind, job.spec)
    except ValidationError:  # the part that read the spec has failed with the reason
        return JobOutcome("succeeded", JobResult())
    if isinstance(spec, CaptionSpec):
        outcome = _publish_captions(tx, job, spec, results)
    else:
        assert isinstance(spec, DescribeSpec)
        outcome = _publish_set(tx, job, spec, results)
    return replace(outcome, budget_error=_budget_error(tx, job, outcome.result)) if _is_spent(job) else outcome


def _is_spent(job: Job) -> bool:
    return job.stopping == "failure" and (job.error or {}).get("code") == BUDGET_SPENT


def _budget_error(tx: Session, job: Job, result: JobResult) -> dict[str, str]:
    """The error of a job whose budget is spent; complete only when its last calls have ended."""
    spend = usage.totals_of_job(tx, job.id)
    kept = ""
    if isinstance(result, CaptionJobResult):
        what, num, done = "images", result.num_images, result.num_captioned
    else:
        assert isinstance(result, DescribeJobResult)
        what, num, done = "labels", result.num_labels, result.num_described
        if result.attribute_set_id:
            kept = f"; the others are kept as {result.attribute_set_id}"
    message = (
        f"the budget is spent: {usage.spent_text(spend) if spend else 'nothing is left'}; {num - done:,} of {num:,} "
        f"{what} have no response yet{kept}. Post the job again with a larger budget: responses are not paid for twice"
    )
    return {"code": BUDGET_SPENT, "message": message}


def _usage_by_strategy(tx: Session, job_id: str) -> dict[str, CallUsage]:
    query = select(
        LLMCall.strategy,
        func.count(),
        func.coalesce(func.sum(LLMCall.prompt_tokens), 0),
        func.coalesce(func.sum(LLMCall.completion_tokens), 0),
    ).where(LLMCall.job_id == job_id)
    return {
        strategy: CallUsage(calls=calls, prompt_tokens=int(prompt or 0), completion_tokens=int(completion or 0))
        for strategy, calls, prompt, completion in tx.execute(query.group_by(LLMCall.strategy))
    }


def _publish_set(tx: Session, job: Job, spec: DescribeSpec, results: Sequence[StoredResult]) -> JobOutcome:
    """Pages that a stopped job has not assembled are assembled here. A stopped job has no report."""
    recorded = assembly.recorded_pages(tx, job.id)
    numbers = range(-(-spec.num_labels // attribute_sets.PAGE_SIZE))
    pages = [recorded.get(number) or assembly.assemble_page(tx, job.id, spec, number) for number in numbers]
    described = attribute_sets.described_positions(tx, pages)
    failed, partly = _failures(tx, job, spec.num_labels, described)
    counts, partly_failed = (Counter(cause.reason for cause in one.values()) for one in (failed, partly))
    set_id, gates = _create_set(tx, job, spec, pages, results) if len(failed) < spec.num_labels else (None, {})
    strategies, total = _figures(tx, job, spec)
    result = DescribeJobResult(
        attribute_set_id=set_id,
        num_labels=spec.num_labels,
        num_described=spec.num_labels - len(failed),
        failed_labels=dict(counts),
        failed_positions=list(failed)[:MAX_NAMED_FAILURES],
        partly_failed_labels=dict(partly_failed),
        partly_failed_positions=list(partly)[:MAX_NAMED_FAILURES],
        failed_reasons=failures.summarise(failed, partly, partial(failures.label_names, tx, spec)),
        mended=_repair_rounds(results),
        strategies=strategies,
        usage=total,
        calls_by_status=failures.calls_by_status(tx, job),
        **gates,
    )
    _warn(tx, job, "label", "without attributes", counts)
    _warn(tx, job, "label", "with unanswered questions", partly_failed)
    return _failed_if_all_failed(result, spec.num_labels, counts, "label could be described", "all_labels_failed")


def _create_set(
    tx: Session, job: Job, spec: DescribeSpec, pages: Sequence[str], results: Sequence[StoredResult]
) -> tuple[str, dict[str, list[str]]]:
    """Create the attribute set with its report. Returns its id, and the failing gates if there is a report."""
    made = attribute_sets.create(
        tx,
        vocabulary_id=spec.vocabulary_id,
        pages=pages,
        source={"job_id": job.id, **spec.as_json()},
        parent_id=spec.base_set_id if spec.same_vocabulary else None,
        owner=job.owner,
    )
    for stored in results:
        if stored and "report" in stored:
            report = ReportResult.model_validate(stored).report
            reports.put(tx, set_id=made.id, **report.as_json())
            return made.id, {"failing_gates": reports.failing_gates(report.figures)}
    return made.id, {}


def _repair_rounds(results: Sequence[StoredResult]) -> list[RepairRoundResult]:
    """Counts of each repair round: the part after a round says how many labels it improved."""
    counted = [RepairResult.model_validate(stored).mended for stored in results if stored and "mended" in stored]
    return [
        RepairRoundResult(num_labels=one.num_labels, num_asked=one.num_asked, num_better_labels=after.num_better)
        for one, after in zip(counted, counted[1:], strict=False)
        if one.num_asked
    ]


def _publish_captions(tx: Session, job: Job, spec: CaptionSpec, results: Sequence[StoredResult]) -> JobOutcome:
    """The job's last part has written the caption set. A stopped job has none; the next job finds its responses."""
    query = select(EnrichResult.position).where(EnrichResult.job_id == job.id, EnrichResult.key.is_not(None))
    captioned = set(tx.scalars(query.distinct()))
    failed, partly = _failures(tx, job, spec.num_images, captioned)
    counts = Counter(cause.reason for cause in failed.values())
    caption_sets = [CaptionsResult.model_validate(one) for one in results if one and "caption_set_id" in one]
    strategies, total = _figures(tx, job, spec)
    result = CaptionJobResult(
        caption_set_id=caption_sets[-1].caption_set_id if caption_sets else None,
        num_images=spec.num_images,
        num_captioned=len(captioned),
        failed_images=dict(counts),
        failed_positions=list(failed)[:MAX_NAMED_FAILURES],
        failed_reasons=failures.summarise(failed, partly, lambda positions: {at: f"image {at}" for at in positions}),
        strategies=strategies,
        usage=total,
        calls_by_status=failures.calls_by_status(tx, job),
    )
    _warn(tx, job, "image", "without a caption", counts)
    return _failed_if_all_failed(result, spec.num_images, counts, "image has a caption", "all_images_failed")


def _failures(
    tx: Session, job: Job, total: int, answered: Collection[int]
) -> tuple[dict[int, Failure], dict[int, Failure]]:
    """The failures by position of those that are not `answered`, and of those of which only some questions failed."""
    causes = failures.first_failures(tx, job)
    default = Failure(_default_reason(job), "")
    failed = {at: causes.get(at, default) for at in range(total) if at not in answered}
    return failed, {at: cause for at, cause in causes.items() if at in answered}


def _default_reason(job: Job) -> str:
    """Why a label or image has no result at all."""
    if _is_spent(job):
        return BUDGET_SPENT
    return "cancelled" if job.stopping == "cancel" else "not_asked" if job.stopping else "worker_lost"


def _warn(tx: Session, job: Job, noun: str, what: str, counts: Mapping[str, int]) -> None:
    if counts:
        ordered = sorted(counts.items(), key=lambda item: -item[1])
        summary = ", ".join(f"{count} {reason}" for reason, count in ordered)
        total = sum(counts.values())
        events.add(
            tx, job.id, "message", f"{total} {noun}{'' if total == 1 else 's'} {what}: {summary}", level="warning"
        )


def _failed_if_all_failed(result: JobResult, total: int, counts: Counter[str], what: str, code: str) -> JobOutcome:
    if counts.total() < total:
        return JobOutcome("succeeded", result)
    reason = counts.most_common(1)[0][0]
    return JobOutcome("failed", result, {"code": code, "message": f"no {what} (most often: {reason})"})


def _figures(tx: Session, job: Job, spec: EnrichSpec) -> tuple[list[StrategyResult], CallUsage]:
    """Per step: how its questions ended (a question about a pair counts once) and the usage of its calls; the total."""
    used = _usage_by_strategy(tx, job.id)
    answered: Counter[int] = Counter()
    failed: list[dict[str, int]] = [{} for _ in spec.strategies]
    query = select(EnrichResult.step, EnrichResult.reason, func.count()).where(
        EnrichResult.job_id == job.id, EnrichResult.side == 0, EnrichResult.step < ROUND
    )
    for step, reason, count in tx.execute(query.group_by(EnrichResult.step, EnrichResult.reason)):
        if reason is None:
            answered[step] = count
        else:
            failed[step][reason] = count
    strategies = [
        StrategyResult(
            strategy=ref,
            answered=answered[step],
            failed=failed[step],
            **used.get(ref, CallUsage()).model_dump(),
        )
        for step, ref in enumerate(spec.strategies)
    ]
    total = CallUsage(
        calls=sum(one.calls for one in used.values()),
        prompt_tokens=sum(one.prompt_tokens for one in used.values()),
        completion_tokens=sum(one.completion_tokens for one in used.values()),
    )
    return strategies, total
