"""Failures of an enrich job: which labels or images lack responses, for which reason, with examples and remedies."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from limbeck.shared.failure_reasons import failure_reason
from limbeck.shared.text import clean
from store import vocabularies
from store.enrich.assembly import ROUND
from store.jobs.part_results import FailedExampleResult, FailedReasonResult
from store.jobs.specs import DescribeSpec
from store.models import EnrichResult, Job, LLMCall

NUM_EXAMPLES = 3
_DETAIL_CHARS = 300

NameSubjects = Callable[[Sequence[int]], Mapping[int, str]]


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the first failed question about a label or image failed."""

    reason: str
    detail: str


def first_failures(tx: Session, job: Job) -> dict[int, Failure]:
    """Position -> the first failed question about it."""
    query = select(EnrichResult.position, EnrichResult.reason, EnrichResult.detail).where(
        EnrichResult.job_id == job.id, EnrichResult.key.is_(None), EnrichResult.step < ROUND
    )
    rows: Iterable[Any] = tx.execute(query.order_by(EnrichResult.position, EnrichResult.step, EnrichResult.slot))
    failures: dict[int, Failure] = {}
    for position, reason, detail in rows:
        if position not in failures:
            failures[position] = Failure(reason or "unknown", detail or "")
    return failures


def summarise(
    failed: Mapping[int, Failure], partly: Mapping[int, Failure], name_subjects: NameSubjects
) -> list[FailedReasonResult]:
    """One entry per reason, most frequent first, with up to `NUM_EXAMPLES` examples each.

    `failed`: positions without any attributes; `partly`: positions of which only some questions failed.
    `name_subjects` returns the names of the labels or images at some positions.
    """
    counts = Counter(one.reason for one in failed.values())
    partly_counts = Counter(one.reason for one in partly.values())
    examples: dict[str, list[int]] = defaultdict(list)
    for failures in (failed, partly):
        for position, one in sorted(failures.items()):
            if len(examples[one.reason]) < NUM_EXAMPLES:
                examples[one.reason].append(position)
    subjects = name_subjects(sorted(position for some in examples.values() for position in some))
    causes = {**partly, **failed}
    return [
        FailedReasonResult(
            reason=reason,
            count=counts[reason],
            partly_count=partly_counts[reason],
            meaning=failure_reason(reason).meaning,
            remedy=failure_reason(reason).remedy,
            examples=[
                FailedExampleResult(
                    position=position,
                    subject=subjects.get(position, str(position)),
                    detail=clean(causes[position].detail, _DETAIL_CHARS),
                )
                for position in examples[reason]
            ],
        )
        for reason in sorted(examples, key=lambda reason: (-counts[reason], -partly_counts[reason], reason))
    ]


def label_names(tx: Session, spec: DescribeSpec, positions: Sequence[int]) -> dict[int, str]:
    """Position -> the label as people write it: `crane (bird)`."""
    return {
        row.position: f"{row.name} ({row.sense})" if row.sense else row.name
        for row in vocabularies.labels_at(tx, spec.vocabulary_id, positions)
    }


def calls_by_status(tx: Session, job: Job) -> dict[str, int]:
    """Number of recorded calls by status: `ok`, or why an attempt was repeated or failed; most frequent first."""
    number = func.count()
    query = select(LLMCall.status, number).where(LLMCall.job_id == job.id).group_by(LLMCall.status)
    return {status: count for status, count in tx.execute(query.order_by(number.desc(), LLMCall.status))}
