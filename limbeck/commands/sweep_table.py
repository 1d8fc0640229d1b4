"""The table of a sweep: differing settings, accuracies with 95% intervals, and the best training by held-out images.

For images with several labels, the mean average precision (mAP) takes the place of the accuracy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from limbeck.commands.sweep_settings import Combination, shown

if TYPE_CHECKING:
    from rich.table import Table

    from limbeck.models import Job

COLUMNS = {"id": "seen", "ood": "unseen", "joint": "H"}
"""Part of an evaluation → its heading; H is the harmonic mean of both among all labels."""
FIGURE_WIDTH = 12
"""In a narrow terminal a figure breaks before its interval ends; settings and ids stay whole."""


@dataclass(frozen=True)
class Figure:
    """An accuracy, or a mAP, with its 95% interval over other images of the same labels."""

    value: float
    interval: tuple[float, float] | None

    def __str__(self) -> str:
        if self.interval is None:
            return f"{self.value:.1%}"
        low, high = self.interval
        return f"{self.value:.1%} ({100 * low:.1f} to {100 * high:.1f})"


@dataclass(frozen=True)
class Result:
    """How a training ended. `evaluation`: None if it failed, `status` then says how. `chosen`: by its worker."""

    combination: Combination
    job_id: str
    status: str
    checkpoint_id: str | None
    evaluation: Mapping[str, Any] | None

    @classmethod
    def of(cls, combination: Combination, job: "Job") -> "Result":
        """The result of an ended job."""
        result = job.result or {}
        succeeded = job.status == "succeeded"
        reason = f": {job.error.message}" if job.error is not None else ""
        return cls(
            combination,
            job.id,
            job.status + reason,
            result.get("checkpoint_id"),
            result.get("evaluation") if succeeded else None,
        )

    @property
    def precisions(self) -> Mapping[str, Any] | None:
        """The mean average precisions of images with several labels; None with one label an image."""
        return (self.evaluation or {}).get("multi_label")

    def figure(self, part: str) -> Figure | None:
        """Accuracy, or mAP, of `id` or `ood`, of `joint` the harmonic mean; None if it was not measured."""
        value_of, intervals_of = (
            ("harmonic_mean", "harmonic_intervals")
            if part == "joint"
            else (
                "mean_ap" if self.precisions else "accuracy",
                "intervals",
            )
        )
        found = (self.precisions or self.evaluation or {}).get(part)
        if not found or value_of not in found:
            return None
        interval = (found.get(intervals_of) or {}).get("images")
        return Figure(found[value_of], (interval[0], interval[1]) if interval else None)

    def text(self) -> str:
        """`seen, held out 71.2% (69.0% to 73.4%), …`, or how the job ended."""
        figures = [f"{heading} {figure}" for part, heading in COLUMNS.items() if (figure := self.figure(part))]
        return ", ".join(figures) or (self.status if self.evaluation is None else "not measured")

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        figures = {part: self.figure(part) for part in COLUMNS}
        return {
            "settings": dict(self.combination.changed),
            "job_id": self.job_id,
            "status": self.status,
            "checkpoint_id": self.checkpoint_id,
            **{
                part: None if figure is None else {"value": figure.value, "interval": figure.interval}
                for part, figure in figures.items()
            },
        }


def sweep_table(results: Sequence[Result]) -> "Table":
    """A row for each training, the best by held-out images first."""
    from rich.table import Table

    names = list(results[0].combination.changed)
    parts = [part for part in COLUMNS if any(result.figure(part) for result in results)]
    measure = "mean average precision" if any(result.precisions for result in results) else "mean per-class accuracy"
    harmonic = "; H: harmonic mean among all labels" if "joint" in parts else ""
    table = Table(title=f"{measure} of held-out images, with 95% intervals{harmonic}", title_style="bold", box=None)
    for name in names:
        table.add_column(name, no_wrap=True)
    for part in parts:
        table.add_column(COLUMNS[part], justify="right", min_width=FIGURE_WIDTH)
    table.add_column("job", no_wrap=True)
    for result in ranked(results):
        settings = [shown(value) for value in result.combination.changed.values()]
        figures = [str(result.figure(part) or "") for part in parts]
        if result.evaluation is None and figures:
            figures[0] = result.status.partition(":")[0]
        table.add_row(*settings, *figures, result.job_id)
    return table


def ranked(results: Sequence[Result]) -> list[Result]:
    """By the accuracy on held-out images of seen labels, the best first, trainings without one last."""
    return sorted(results, key=lambda result: -(figure.value if (figure := result.figure("id")) else -1.0))


def best_line(results: Sequence[Result]) -> str:
    """The best training, and the others that its held-out images do not tell apart from it."""
    best = ranked(results)[0]
    figure = best.figure("id")
    if figure is None:
        return "no training was measured on held-out images, so that none is best"
    student = f", student {best.checkpoint_id}" if best.checkpoint_id else ""
    line = f"best by held-out images of seen labels: {best.combination}, {figure}{student}"
    low = figure.interval[0] if figure.interval else figure.value
    near = [
        str(result.combination)
        for result in ranked(results)[1:]
        if (other := result.figure("id")) and (other.interval[1] if other.interval else other.value) >= low
    ]
    return f"{line}; within its interval: {'; '.join(near)}" if near else line
