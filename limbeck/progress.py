"""Follow a job: on a terminal a bar for its current stage, elsewhere a plain line now and then; and its warnings.

The first line has the id of the job. A stage that has ended leaves a line.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from types import TracebackType
from typing import Protocol, Self

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from limbeck import Client
from limbeck.client.responses import is_outage
from limbeck.errors import JobFailed, Problem, Unreachable
from limbeck.job_texts import duration_text, spend_text, stage_text
from limbeck.models import Event, Job, Stage

LINE_INTERVAL_S = 30.0
"""The longest time without a line, if the output is no terminal."""
_EVENTS_INTERVAL_S = 2.0
_MAX_WARNINGS = 20  # printed while a job is followed; the report has each reason with its count


class Display(Protocol):
    """Shows the progress of a job, once per poll. A context manager."""

    def show(self, job: Job) -> None:
        """Show the job as it is now."""

    def __enter__(self) -> Self: ...
    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None: ...


def display_for(
    console: Console,
    *,
    above: Callable[[], Sequence[str]] = lambda: (),
    figures: Callable[[], str] = lambda: "",
    is_new: bool = True,
) -> Display:
    """A bar on a terminal, with the lines `above` it; elsewhere plain lines, which end with the `figures`.

    `is_new`: the job was just created, so that the time of its first stage is known.
    """
    ended = _EndedStages(is_new=is_new)
    return StageBar(console, ended, above) if console.is_terminal else StageLines(console, ended, figures)


def follow(client: Client, job: Job, console: Console, *, title: str) -> Job:
    """Wait for the job and show its progress; `title` says what it is for. Returns the succeeded job.

    Raises JobFailed. Ctrl-C is for the caller (`limbeck.interrupts`); the job goes on.
    """
    console.print(f"{title}: {job.kind} job {job.id}", highlight=False, markup=False, soft_wrap=True)
    latest, last_event, checked_at = job, 0, float("-inf")
    warnings = _Warnings(job, console)
    with display_for(console) as display:
        for latest in client.jobs.updates(job, unchanged=True):
            display.show(latest)
            if latest.ended or time.monotonic() - checked_at > _EVENTS_INTERVAL_S:
                checked_at = time.monotonic()
                for event in events_so_far(client, job, after=last_event):
                    last_event = event.id
                    if event.type == "message" and event.level == "warning":
                        warnings.print(event.message)
    if latest.status != "succeeded":
        raise JobFailed(latest)
    return latest


def events_so_far(client: Client, job: Job | str, *, after: int) -> Iterator[Event]:
    """The job's events with ids above `after`; while the service is away, those that it has sent before."""
    try:
        yield from client.jobs.events(job, after=after)
    except (Unreachable, Problem) as error:
        if not is_outage(error):
            raise


class _EndedStages:
    """Finds the stages that have ended since the last poll."""

    def __init__(self, *, is_new: bool) -> None:
        self._began: dict[str, float | None] = {}
        self._reported: set[str] = set()
        self._current: str | None = None
        self._sees_begin = is_new

    def lines(self, job: Job) -> Iterator[str]:
        """`teacher features: 60/60 images in 0:12`, for each stage that has ended and was not reported yet."""
        now = time.monotonic()
        if job.progress.name != self._current:  # a stage can begin again, on another worker
            self._current = job.progress.name
            self._began[self._current] = now if self._sees_begin else None
        self._sees_begin = True
        for stage in _ended(job):
            if stage.name not in self._reported:
                self._reported.add(stage.name)
                began = self._began.get(stage.name)
                took = f" in {duration_text(now - began)}" if began is not None else ""
                if done := stage_text(stage, is_running=False):
                    yield f"{stage.name}: {done}{took}"


def _ended(job: Job) -> tuple[Stage, ...]:
    """The stages before the current one; all of them if the job has succeeded."""
    if job.status == "succeeded":
        return job.stages
    names = [stage.name for stage in job.stages]
    return job.stages[: names.index(job.progress.name)] if job.progress.name in names else ()


def _line(job: Job) -> str:
    """`training: 30/120 steps, 9.1/s, 0:10 left`, `queued: no GPU worker is running`; with the spending."""
    name, state = _waiting(job) if job.waiting_for else (job.progress.name, stage_text(job.progress))
    if job.status in ("cancelling", "pausing"):
        name = f"{job.status}, {name}"
    state = ": ".join(text for text in (name, state) if text)
    return ", ".join(text for text in (state, spend_text(job.spend)) if text) or job.status


def _waiting(job: Job) -> tuple[str, str | None]:
    """What a job waits for. A running job waits between two parts."""
    return "waiting" if job.status == "running" else job.status, job.waiting_for


class StageLines:
    """Prints a line when the stage changes, when the job begins or ceases to wait, and every `LINE_INTERVAL_S`."""

    def __init__(self, console: Console, ended: "_EndedStages", figures: Callable[[], str]) -> None:
        self._console, self._ended, self._figures = console, ended, figures
        self._shown: tuple[str, str, bool] | None = None
        self._shown_at = float("-inf")

    def show(self, job: Job) -> None:
        for line in self._ended.lines(job):
            self._print(line)
        if job.ended:
            return
        state = job.status, job.progress.name, job.waiting_for is None
        if state != self._shown or time.monotonic() - self._shown_at >= LINE_INTERVAL_S:
            self._shown, self._shown_at = state, time.monotonic()
            self._print("; ".join(text for text in (_line(job), self._figures()) if text))

    def _print(self, line: str) -> None:
        self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        self._console.file.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        pass


class _StateColumn(ProgressColumn):
    """`30/120 steps, 9.1/s, 0:10 left, $0.12 spent`, or what the job waits for."""

    def render(self, task: Task) -> Text:
        return Text(task.fields["state"], style=task.fields["style"])


class _BarBelowLines(Progress):
    """A progress bar below lines that change."""

    def __init__(self, console: Console, above: Callable[[], Sequence[str]]) -> None:
        self._above = above
        columns = TextColumn("{task.description}"), BarColumn(14), _StateColumn(), TimeElapsedColumn()
        super().__init__(*columns, console=console, transient=True)

    def get_renderables(self) -> Iterator[RenderableType]:
        if lines := self._above():
            yield Text("\n".join(lines), no_wrap=True, overflow="ellipsis")
        yield self.make_tasks_table(self.tasks)


class StageBar:
    """A bar for the current stage; above it a line for each stage that has ended."""

    def __init__(self, console: Console, ended: "_EndedStages", above: Callable[[], Sequence[str]]) -> None:
        self._ended = ended
        self._bar = _BarBelowLines(console, above)
        self._name = ""
        self._task = self._bar.add_task("", total=None, state="", style="dim")

    def show(self, job: Job) -> None:
        for line in self._ended.lines(job):
            self._bar.console.print(line, highlight=False, markup=False)
        progress = job.progress
        if progress.name != self._name:
            self._name = progress.name
            self._bar.reset(self._task)  # the time of the stage
        state = ": ".join(map(str, _waiting(job))) if job.waiting_for else stage_text(progress) or job.status
        self._bar.update(
            self._task,
            description=escape(progress.name),
            completed=progress.done,
            total=progress.total or None,
            state=", ".join(text for text in (state, spend_text(job.spend, ended=job.ended)) if text),
            style="yellow" if job.waiting_for else "cyan",
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bar.stop()


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
            text = f"more warnings are in the job's events: limbeck jobs events {self._job.id}"
            self._console.print(f"[yellow]warning[/] {text}", highlight=False)
