"""Prometheus metrics: jobs by status, parts by queue and status, live processes, and request durations."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from store.db import Database
from store.jobs import heartbeats, progress

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metrics:
    """The metrics registry of one app. Metrics from the database are read when Prometheus scrapes."""

    def __init__(self, db: Database) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_DatabaseCollector(db))
        self._request_seconds = Histogram(
            "limbeck_request_seconds",
            "Time from the request to the end of the response",
            ["method", "route", "status"],
            buckets=_BUCKETS_S,
            registry=self._registry,
        )

    def observe(self, method: str, route: str, status: int, duration_s: float) -> None:
        """Record a finished request. `route` is the path template, which keeps the number of series bounded."""
        method = method if method in ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS") else "other"
        self._request_seconds.labels(method, route, str(status)).observe(duration_s)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _DatabaseCollector(Collector):
    def __init__(self, db: Database) -> None:
        self._db = db

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from ()  # registration must not query the database

    def collect(self) -> Iterator[GaugeMetricFamily]:
        with self._db.read() as tx:
            jobs, parts, alive = progress.jobs_by_status(tx), progress.parts_by_status(tx), heartbeats.alive(tx)
        family = GaugeMetricFamily("limbeck_jobs", "Jobs by kind and status", labels=["kind", "status"])
        for (kind, status), count in jobs.items():
            family.add_metric([kind, status], count)
        yield family
        family = GaugeMetricFamily("limbeck_parts", "Parts of jobs by queue and status", labels=["queue", "status"])
        for (queue, status), count in parts.items():
            family.add_metric([queue, status], count)
        yield family
        family = GaugeMetricFamily("limbeck_processes", "Sweepers and workers with a recent heartbeat", labels=["role"])
        for role, count in alive.items():
            family.add_metric([role], count)
        yield family
