"""What `/metrics` reads from the database, one function per table or concept. `COLLECTORS` lists them.

Workers run in other processes and on other machines, so their figures come from the database too: totals from
`store.jobs.counters`, and the gauges that a running part reports with its progress.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy.orm import Session

from store.jobs import counters, heartbeats, live_figures

_PART_GAUGES = {
    "images_per_second": ("limbeck_training_images_per_second", "Images per second of a running training"),
    "data_wait_ratio": ("limbeck_training_data_wait_ratio", "Share of its time that a training waits for images"),
    "gpu_memory_bytes": ("limbeck_gpu_memory_bytes", "Most GPU memory that the tensors of a running part took"),
}
"""Gauge of a running part -> its metric."""
_ROLES = ("sweeper", "enrich", "gpu")


def _gauge(name: str, help: str, labels: tuple[str, ...], values: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
    family = GaugeMetricFamily(name, help, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, value)
    return family


def jobs(tx: Session) -> Iterator[Metric]:
    """Jobs and parts that have not ended."""
    yield _gauge("limbeck_jobs", "Jobs that have not ended", ("kind", "status"), live_figures.active_jobs(tx).items())
    yield _gauge("limbeck_parts", "Parts that have not ended", ("queue", "status"), live_figures.live_parts(tx).items())


def queues(tx: Session) -> Iterator[Metric]:
    """Depth and age of the queues, 0 for an empty queue."""
    found = live_figures.queues(tx)
    depth = {(queue,): figures.depth for queue, figures in found.items()}
    oldest_s = {(queue,): figures.oldest_s for queue, figures in found.items()}
    yield _gauge("limbeck_queue_depth", "Queued parts that may start now", ("queue",), depth.items())
    yield _gauge("limbeck_queue_oldest_seconds", "How long the first of them has waited", ("queue",), oldest_s.items())


def processes(tx: Session) -> Iterator[Metric]:
    """Live sweepers and workers; 0 for a role without any."""
    alive = heartbeats.alive(tx)
    values = {(role,): alive.get(role, 0) for role in sorted({*_ROLES, *alive})}
    yield _gauge("limbeck_processes", "Sweepers and workers with a recent heartbeat", ("role",), values.items())


def running_parts(tx: Session) -> Iterator[Metric]:
    """Figures of the parts that run now: only a running training has a speed."""
    running = live_figures.running_gauges(tx)
    for gauge, (name, help) in _PART_GAUGES.items():
        values = {
            (part.job_id, part.kind, part.worker.rpartition(":")[0]): float(part.gauges[gauge])
            for part in running
            if gauge in part.gauges
        }
        yield _gauge(name, help, ("job", "kind", "worker"), values.items())


def totals(tx: Session) -> Iterator[Metric]:
    """The counters, and the histogram of the durations of parts."""
    values: dict[str, dict[tuple[str, ...], float]] = defaultdict(dict)
    for (name, labels), value in counters.totals(tx).items():
        values[name][labels] = value
    for metric in counters.COUNTERS:
        family = CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        for labels, value in sorted(values[metric.name].items()):
            family.add_metric(labels, value)
        yield family
    yield _part_seconds(values[f"{counters.PART_SECONDS}_bucket"], values[f"{counters.PART_SECONDS}_sum"])


def _part_seconds(buckets: Mapping[tuple[str, ...], float], sums: Mapping[tuple[str, ...], float]) -> Metric:
    family = HistogramMetricFamily(
        counters.PART_SECONDS,
        "Duration of attempts at parts by kind and outcome: succeeded, failed, retried, deferred, released, cancelled",
        labels=counters.PART_SECONDS_LABELS,
    )
    bounds = [*(f"{bound:g}" for bound in counters.PART_BOUNDS_S), "+Inf"]
    for labels, sum_s in sorted(sums.items()):
        cumulative, num_parts = [], 0.0
        for bound in bounds:
            num_parts += buckets.get((*labels, bound), 0.0)
            cumulative.append((bound, num_parts))
        family.add_metric(labels, buckets=cumulative, sum_value=sum_s)
    return family


COLLECTORS: tuple[Callable[[Session], Iterable[Metric]], ...] = (jobs, queues, processes, running_parts, totals)
