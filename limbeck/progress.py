"""Following a job on a terminal: a bar with rate and remaining time, and its warnings above it as they happen.

Where the output is no terminal the bar is printed once, when the job has ended.
"""

import time
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeElapsedColumn
from rich.text import Text

from limbeck.client import Limbeck
from limbeck.errors import JobFailed
from limbeck.models import Job, Spend

_RATE_OVER_S = 10.0
_EVENTS_EVERY_S = 2.0


class _Numbers(ProgressColumn):
    """`done/total unit  rate/s  m:ss left`, of which each is shown once it is known."""

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
    """Units a second over the last ten seconds of what was seen; begins anew where the unit changes."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()
        self._unit = ""

    def see(self, done: int, unit: str) -> float | None:
        """The rate now that `done` units are done, None while it cannot be told."""
        now = self._clock()
        if unit != self._unit or (self._seen and done < self._seen[-1][1]):
            self._seen.clear()
            self._unit = unit
        self._seen.append((now, done))
        while len(self._seen) > 2 and now - self._seen[0][0] > _RATE_OVER_S:
            self._seen.popleft()
        then, before = self._seen[0]
        passed = now - then
        return (done - before) / passed if passed > 0.2 and done > before else None


def follow(client: Limbeck, job: Job, console: Console, *, title: str) -> Job:
    """Wait for the job's end with a live bar under `title`; the job, succeeded. Raises JobFailed."""
    seen, looked_at, rate = 0, float("-inf"), Rate()
    bar = Progress(TextColumn("{task.description}"), BarColumn(14), _Numbers(), TimeElapsedColumn(), console=console)

    def show(now: Job, task: TaskID) -> None:
        nonlocal seen, looked_at
        if now.ended or time.monotonic() - looked_at > _EVENTS_EVERY_S:
            looked_at = time.monotonic()
            for event in client.events(job.id, after=seen):
                seen = event.id
                if event.type == "message" and event.level == "warning":
                    # What an event says is data, and no markup.
                    console.print(f"[yellow]warning[/] {escape(event.message)}", highlight=False)
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
            rate=rate.see(done, unit),
            eta_s=now.progress.eta_s,
            spend=spend_text(now.spend),
        )

    with bar:
        task = bar.add_task(escape(title), total=None, unit="", status=job.status, rate=None, eta_s=None, spend="")
        try:
            return client.wait(job, lambda now: show(now, task))
        except JobFailed:
            bar.update(task, description=f"[red]{escape(title)}")
            raise


def spend_text(spend: Spend | None) -> str:
    """`$0.12 spent, about $1.40 in all (cap $2.50)`; tokens where money is not known; nothing where none was spent."""
    if spend is None or not spend.calls:
        return ""
    if spend.usd is None:
        said = f"{spend.tokens:,} tokens spent, price unknown"
    else:
        said = f"{usd_text(spend.usd)} spent"
        if spend.projected_usd is not None and spend.projected_usd > spend.usd:
            said += f", about {usd_text(spend.projected_usd)} in all"
        if spend.unpriced_calls:
            said += f", {spend.unpriced_calls:,} calls unknown"
    caps = [usd_text(spend.cap_usd)] if spend.cap_usd is not None else []
    if spend.cap_tokens is not None:
        caps.append(f"{spend.tokens:,} of {spend.cap_tokens:,} tokens")
    return said + (f" (cap {', '.join(caps)})" if caps else "")


def usd_text(dollars: Decimal) -> str:
    """Dollars and cents, or as many digits as a small amount needs: never a bare zero for money spent."""
    if dollars and abs(dollars) < Decimal("0.01"):
        return f"${dollars.quantize(Decimal(1).scaleb(dollars.adjusted() - 1)).normalize():f}"
    return f"${dollars:,.2f}"


def rate_text(rate: float) -> str:
    """A rate with as many digits as tell something."""
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def duration_text(seconds: float) -> str:
    """`0:42`, `12:05`, `3:07:00`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
