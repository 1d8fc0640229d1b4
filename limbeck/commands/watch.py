"""`limbeck watch`: follow a job with its messages and, while a student is trained, the curve of its loss."""

from typing import TYPE_CHECKING, Any

from limbeck.commands.common import DEFAULT_URL, Url, service
from limbeck.commands.jobs import JobId, event_line, print_end

if TYPE_CHECKING:
    from rich.console import Console

    from limbeck.models import Event

CHART_WIDTH, CHART_HEIGHT = 72, 10
_POLL_S = 1.0


def watch(id: JobId, url: Url = DEFAULT_URL) -> None:
    """Follow a job until it ends: its messages, its stage, and the loss curve of a training.

    A job that has ended is shown with its whole curve. Ctrl-C ends the command, not the job. Exit codes: 1 if the job
    failed or was cancelled, 3 if labels lack attributes.

        limbeck watch job_…
    """
    from rich.console import Console

    from limbeck.progress import display_for, events_so_far

    console = Console()
    training, last_event = TrainingRecord(), 0
    with service(url) as client:
        latest = client.jobs.get(id)
        _print(console, f"{latest.kind} job {latest.id}: {latest.status}")
        with display_for(
            console, above=lambda: training.curve(console), figures=training.figures, is_new=False
        ) as display:
            for latest in client.jobs.updates(id, poll_s=_POLL_S, unchanged=True):
                for event in events_so_far(client, id, after=last_event):
                    last_event = event.id
                    training.add(event)
                    if event.type == "message":
                        _print(console, event_line(event))
                display.show(latest)
    for line in training.curve(console):
        _print(console, line)
    print_end(latest, console)


def _print(console: "Console", text: str) -> None:
    console.print(text, highlight=False, markup=False, soft_wrap=True)


class TrainingRecord:
    """What the metrics of a job's training say: the loss by step, the latest figures, and the accuracies."""

    def __init__(self) -> None:
        self._loss: list[tuple[float, float]] = []
        self._latest: dict[str, Any] = {}
        self._accuracy = ""

    def add(self, event: "Event") -> None:
        """Add an event of the job; those without metrics are ignored."""
        step, loss = event.data.get("step"), event.data.get("loss")
        if isinstance(step, int) and isinstance(loss, int | float):
            while self._loss and self._loss[-1][0] >= step:  # resumed from an earlier step
                self._loss.pop()
            self._loss.append((step, loss))
            self._latest = {**event.data}
        elif "accuracy" in event.data:
            self._accuracy = event.message

    def curve(self, console: "Console") -> list[str]:
        """The curve of the loss, and the latest figures below it; empty before the second step that was reported."""
        from limbeck.loss_chart import curve_lines

        width = min(CHART_WIDTH, console.width)
        lines = curve_lines(self._loss, width=width, height=CHART_HEIGHT, ascii_only=console.options.ascii_only)
        if not lines:
            return []
        return [f"loss, steps {self._loss[0][0]:,.0f} to {self._loss[-1][0]:,.0f}", *lines, self.figures()]

    def figures(self) -> str:
        """`loss 1.234, learning rate 0.001, 350 images/s, waiting for images 2%`, and the accuracy of the last
        measured epoch; empty before the first step."""
        figures = (
            ("loss", "loss {:.4g}"),
            ("lr", "learning rate {:.3g}"),
            ("images_per_s", "{:,.0f} images/s"),
            ("data_wait", "waiting for images {:.0%}"),
        )
        texts = [
            form.format(value) for name, form in figures if isinstance(value := self._latest.get(name), int | float)
        ]
        return ", ".join([*texts, *([self._accuracy] if self._accuracy else [])])
