"""Follow a job on a terminal: a progress bar with rate and remaining time, and warnings above it.

If the output is not a terminal, the bar is printed once, at the end of the job.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from limbeck import Client
from limbeck.errors import JobFailed, StoppedFollowing
from limbeck.models import Job, Spend
from limbeck.shared.money import usd_text

_RATE_WINDOW_S = 10.0
_EVENTS_INTERVAL_S = 2.0
_MAX_WARNINGS = 20  # printed while a job is followed; the report has each reason with its count


class _NumbersColumn(ProgressColumn):
    """`done/total unit  rate/s  m:ss left  cost`; values that are not known are left out."""

    def render(self, task: Task) -> Text:
        fields: dict[str, Any] = task.fields
        if not task.total:
            return Text(fields["status"], style="dim")
        parts = [f"{int(task.completed):,}/{int(task.total):,} {fields['unit']}"]
        if fields["rate"]:
            parts.append(f"{rate_text(fields['rate'])}/s")
        if fields["eta_s"] is not None and not task.finished:
            parts.append(f"{duration_text(fields['eta_s'])} left")
        if fields["spend"]:
            parts.append(fields["spend"])
        return Text("  ".join(parts), style="cyan")


class Rate:
    """Units per second over the last ten seconds; starts over when the unit changes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._samples: deque[tuple[float, int]] = deque()
        self._unit = ""

    def update(self, done: int, unit: str) -> float | None:
        """Add a sample (`done` units are done). Returns the rate in units per second, None if it is not known yet."""
        now = self._clock()
        if unit != self._unit or (self._samples and done < self._samples[-1][1]):
            self._samples.clear()
            self._unit = unit
        self._samples.append((now, done))
        while len(self._samples) > 2 and now - self._samples[0][0] > _RATE_WINDOW_S:
            self._samples.popleft()
        start, done_at_start = self._samples[0]
        elapsed_s = now - start
        return (done - done_at_start) / elapsed_s if elapsed_s > 0.2 and done > done_at_start else None


def follow(client: Client, job: Job, console: Console, *, title: str) -> Job:
    """Wait for the job with a live bar called `title`. Returns the succeeded job.

    Raises JobFailed, and StoppedFollowing if the user interrupts; the job then goes on.
    """
    latest = job
    last_event, checked_at, rate = 0, float("-inf"), Rate()
    warnings = _Warnings(job, console)
    bar = Progress(
        TextColumn("{task.description}"), BarColumn(14), _NumbersColumn(), TimeElapsedColumn(), console=console
    )

    def show(now: Job, task: TaskID) -> None:
        nonlocal latest, last_event, checked_at
        latest = now
        if now.ended or time.monotonic() - checked_at > _EVENTS_INTERVAL_S:
            checked_at = time.monotonic()
            for event in client.jobs.events(job.id, after=last_event):
                last_event = event.id
                if event.type == "message" and event.level == "warning":
                    warnings.print(event.message)
        done, total = now.progress.done, now.progress.total
        if now.status == "succeeded":
            done = total
        unit = now.progress.unit
        bar.update(
            task,
            completed=done,
            total=total or None,
            unit=unit,
            status=now.status,
            rate=rate.update(done, unit),
            eta_s=now.progress.eta_s,
            spend=spend_text(now.spend, ended=now.ended),
        )

    with bar:
        task = bar.add_task(escape(title), total=None, unit="", status=job.status, rate=None, eta_s=None, spend="")
        try:
            for now in client.jobs.updates(job, unchanged=True):
                show(now, task)
        except KeyboardInterrupt:
            raise StoppedFollowing(_interrupted_text(latest)) from None
        if latest.status != "succeeded":
            bar.update(task, description=f"[red]{escape(title)}")
            raise JobFailed(latest)
    return latest


class _Warnings:
    """Prints the first warnings of a job, and where the others are."""

    def __init__(self, job: Job, console: Console) -> None:
        self._job, self._console, self._number = job, console, 0

    def print(self, message: str) -> None:
        self._number += 1
        if self._number <= _MAX_WARNINGS:
            # Event messages are data, not markup.
            self._console.print(f"[yellow]warning[/] {escape(message)}", highlight=False)
        elif self._number == _MAX_WARNINGS + 1:
            text = f"more warnings are in the job's events: limbeck job {self._job.id}"
            self._console.print(f"[yellow]warning[/] {text}", highlight=False)


def _interrupted_text(job: Job) -> str:
    """What happens to a job that is no longer followed."""
    progress = f"{job.progress.done:,}/{job.progress.total:,} {job.progress.unit}" if job.progress.total else ""
    state = ", ".join(text for text in (job.status, progress, spend_text(job.spend)) if text)
    return (
        f"interrupted; the {job.kind} job {job.id} goes on at the service ({state}): "
        f"`limbeck job {job.id} --watch` follows it, `limbeck cancel {job.id}` cancels it"
    )


def spend_text(spend: Spend | None, *, ended: bool = False) -> str:
    """`$0.12 spent, about $1.40 in all (cap $2.50), 3 calls repeated, 2 responses repaired`; "" without calls.

    Tokens in place of dollars if the price is unknown. An `ended` job costs nothing more.
    """
    if spend is None or not spend.calls:
        return ""
    if spend.usd is None and not spend.tokens:  # an outage: no response had usage
        text = f"cost of {_number(spend.calls, 'call')} unknown"
    elif spend.usd is None:
        text = f"{spend.tokens:,} tokens spent, price unknown"
    else:
        text = f"{usd_text(spend.usd)} spent"
        if not ended and spend.projected_usd is not None and spend.projected_usd > spend.usd:
            text += f", about {usd_text(spend.projected_usd)} in all"
        if spend.unpriced_calls:
            text += f", cost of {_number(spend.unpriced_calls, 'call')} unknown"
    caps = [usd_text(spend.cap_usd)] if spend.cap_usd is not None else []
    if spend.cap_tokens is not None:
        caps.append(f"{spend.tokens:,} of {spend.cap_tokens:,} tokens")
    text += f" (cap {', '.join(caps)})" if caps else ""
    text += f", {_number(spend.repeated_calls, 'call')} repeated" if spend.repeated_calls else ""
    return text + (f", {_number(spend.repaired_responses, 'response')} repaired" if spend.repaired_responses else "")


def _number(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def rate_text(rate: float) -> str:
    """A rate with one decimal below 10, else without decimals."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def duration_text(seconds: float) -> str:
    """`0:42`, `12:05`, `3:07:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
