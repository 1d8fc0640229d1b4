"""The charts of trainings, drawn once for all who look at the page of a job.

An event has a number that grows in commit order, and never changes. So a look at a running training reads only the
events since the last look, and draws again only if there are some. Drawing takes at most `MAX_SHARE` of a core: with
long curves, which one step does not change visibly, some seconds pass between two drawings, except at the end.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup
from sqlalchemy.orm import Session

from api.pages import charts
from api.pages.charts import Curve
from store.jobs import events

MAX_EVENTS = 1_000
MAX_SHARE = 0.003
_NUM_JOBS = 32
Chart = tuple[str, Markup]


@dataclass
class _Job:
    """What was read of a job. `last`: the number of its newest metrics; `data`: of the newest `MAX_EVENTS`. `num_new`:
    metrics that are not drawn; `draw_at`: when they may be."""

    last: int = 0
    data: list[Mapping[str, Any]] = field(default_factory=list)
    num_new: int = 0
    charts: Sequence[Chart] = ()
    draw_at: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)


class JobCurves:
    """The charts of the jobs that were looked at last."""

    def __init__(self) -> None:
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._lock = threading.Lock()

    def charts(self, tx: Session, job_id: str, *, has_ended: bool) -> Sequence[Chart]:
        """Title and chart of losses, accuracy on held-out images, learning rate, speed and share of waiting.

        Of a job that has ended, all its metrics are drawn.
        """
        with self._lock:
            job = self._jobs.setdefault(job_id, _Job())
            self._jobs.move_to_end(job_id)
            while len(self._jobs) > _NUM_JOBS:
                self._jobs.popitem(last=False)
        with job.lock:
            new = events.data_after(tx, job_id, "metrics", job.last, limit=MAX_EVENTS)
            if new:
                job.data = [*job.data, *(data for _, data in new)][-MAX_EVENTS:]
                job.last, job.num_new = new[-1][0], job.num_new + len(new)
            if job.num_new and (has_ended or time.monotonic() >= job.draw_at):
                began = time.thread_time()
                job.charts, job.num_new = draw(job.data), 0
                job.draw_at = time.monotonic() + (time.thread_time() - began) / MAX_SHARE
            return job.charts


def measure_of(rows: Iterable[Mapping[str, Any]]) -> str:
    """What the metrics of a training hold under `accuracy`."""
    return "Average precision" if any(one.get("measure") == "mean_ap" for one in rows) else "Accuracy"


def draw(data: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """The charts of metrics, without those of which there are no figures."""
    losses: dict[str, list[tuple[float, float]]] = {}
    for one in data:
        if "loss" in one:
            losses.setdefault("total", []).append((one["step"], one["loss"]))
        for name, value in (one.get("losses") or {}).items():
            losses.setdefault(name, []).append((one["step"], value))
    if len(losses) == 2:  # a single term is the total
        losses.pop("total")
    accuracies: dict[str, list[tuple[float, float]]] = {}
    for one in data:
        for part, value in (one.get("accuracy") or {}).items():
            if isinstance(value, int | float):
                name = {"id": "seen labels", "ood": "unseen labels"}.get(part, part.replace("_", " "))
                accuracies.setdefault(name, []).append((one["epoch"], value))
    measure = measure_of(data)
    found = {
        "Losses": charts.lines([Curve(*one) for one in losses.items()], title="Losses", x_label="step"),
        f"{measure} on held-out images": charts.lines(
            [Curve(*one) for one in accuracies.items()], title=measure, x_label="epoch", percent=True
        ),
        "Learning rate": _curve(data, "lr"),
        "Images per second": _curve(data, "images_per_s", from_zero=True),
        "Share of time waiting for data": _curve(data, "data_wait", percent=True, from_zero=True),
    }
    return [(title, chart) for title, chart in found.items() if chart]


def _curve(data: Sequence[Mapping[str, Any]], field: str, *, percent: bool = False, from_zero: bool = False) -> Markup:
    points = [(one["step"], one[field]) for one in data if field in one and "step" in one]
    return charts.lines([Curve(field, points)], title=field, x_label="step", percent=percent, from_zero=from_zero)
