"""The report of an enrich job on a terminal: its set, what labels are missing and why, its calls and its cost.

`limbeck enrich`, `run` and `job` print it when the job has ended, also if it failed or was cancelled.
"""

from collections.abc import Mapping
from typing import Any

from rich.console import Console

from limbeck import Client
from limbeck.errors import JobFailed
from limbeck.job_texts import spend_text
from limbeck.models import Job
from limbeck.progress import follow
from limbeck.shared.failure_reasons import failure_reason


def follow_enrichment(client: Client, job: Job, console: Console) -> Job:
    """Follow an enrich job and print its report. Returns the succeeded job.

    Raises JobFailed after the report.
    """
    try:
        ended = follow(client, job, console, title="describe labels")
    except JobFailed as failed:
        print_report(failed.job, console)
        raise
    print_report(ended, console)
    return ended


def print_report(job: Job, console: Console) -> None:
    """Print the report of a job that has ended."""
    for line in report_lines(job):
        console.print(line, highlight=False, markup=False)


def missing_text(job: Job) -> str:
    """What a succeeded job lacks, in one line; "" if every label has all its attributes."""
    result = job.result or {}
    if job.status != "succeeded" or not _failed_reasons(result):
        return ""
    what, _, total, _ = _counted(result)
    return f"of {total:,} {what}, {_missing_counts(result)}; the reasons are above"


def report_lines(job: Job) -> list[str]:
    """The lines of the report: a summary, the remedy of the job's error, the reasons of failures, repeated calls."""
    result = job.result or {}
    lines = [_summary(job, result)]
    reasons = _failed_reasons(result)
    if job.error is not None and all(one["reason"] != job.error.code for one in reasons):
        lines.append(f"{job.error.code}: {failure_reason(job.error.code).remedy}")
    for reason in reasons:
        lines += _reason_lines(reason)
    if repeated := _repeated_calls_text(result.get("calls_by_status", {})):
        lines.append(repeated)
    return lines


def _summary(job: Job, result: Mapping[str, Any]) -> str:
    """`118 of 120 labels described as ats_1, 2 without attributes; $0.14 spent`."""
    spent = spend_text(job.spend, ended=True) or "no LLM call was necessary"
    if not result:
        return spent
    what, num_described, total, set_id = _counted(result)
    missing = _missing_counts(result)
    text = f"{num_described:,}{f' of {total:,}' if num_described < total else ''} {what} described"
    text += f" as {set_id}" if set_id else ""
    return f"{text}{f', {missing}' if missing else ''}; {spent}"


def _counted(result: Mapping[str, Any]) -> tuple[str, int, int, str | None]:
    """Labels or images; how many are described, and of how many; the id of the attribute or caption set."""
    if "num_images" in result:
        return "images", result["num_captioned"], result["num_images"], result["caption_set_id"]
    return "labels", result["num_described"], result["num_labels"], result["attribute_set_id"]


def _missing_counts(result: Mapping[str, Any]) -> str:
    """`2 without attributes and 1 with only some of them`; "" if nothing is missing."""
    _, num_described, total, _ = _counted(result)
    return _counts_text(total - num_described, sum(one["partly_count"] for one in _failed_reasons(result)))


def _counts_text(num_missing: int, num_partly: int) -> str:
    texts = [f"{num_missing:,} without attributes"] if num_missing else []
    texts += [f"{num_partly:,} with only some of them"] if num_partly else []
    return " and ".join(texts)


def _failed_reasons(result: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The reasons in a result. A service of an earlier release counts them without examples and remedies."""
    if "failed_reasons" in result:
        reasons: list[Mapping[str, Any]] = result["failed_reasons"]
        return reasons
    failed = result.get("failed_labels") or result.get("failed_images") or {}
    partly = result.get("partly_failed_labels", {})
    return [
        {"reason": reason, "count": failed.get(reason, 0), "partly_count": partly.get(reason, 0), "examples": []}
        for reason in dict.fromkeys([*failed, *partly])
    ]


def _reason_lines(entry: Mapping[str, Any]) -> list[str]:
    """`refused: 2 without attributes, because …`, examples with their details, and the remedy."""
    known = failure_reason(entry["reason"])
    counts = _counts_text(entry["count"], entry["partly_count"])
    lines = [f"{entry['reason']}: {counts}, because {entry.get('meaning', known.meaning)}"]
    for example in entry["examples"]:
        detail = f": {example['detail']}" if example["detail"] else ""
        lines.append(f"  for example {example['subject']}{detail}")
    return [*lines, f"  remedy: {entry.get('remedy', known.remedy)}"]


def _repeated_calls_text(calls_by_status: Mapping[str, int]) -> str:
    """`3 of 123 calls gave no usable response: 2 rate_limited, 1 timeout`; "" if all gave one."""
    others = {status: count for status, count in calls_by_status.items() if status != "ok"}
    if not others:
        return ""
    counts = ", ".join(f"{count:,} {status}" for status, count in others.items())
    total = sum(calls_by_status.values())
    return f"{sum(others.values()):,} of {total:,} calls gave no usable response: {counts}"
