"""Prometheus: jobs by status, parts by queue and status, processes alive, and how long requests take."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from store.db import Database
from store.jobs import heartbeats, progress

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metrics:
    """One app's registry. What the tables know is read when it is asked for."""

    def __init__(self, db: Database) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Tables(db))
        self._seconds = Histogram(
            "limbeck_request_seconds",
            "Time to the end of the answer",
            ["method", "route", "status"],
            buckets=_BUCKETS_S,
            registry=self._registry,
        )

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Note a request that ended."""
        method = method if method in ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS") else "other"
        self._seconds.labels(method, route, str(status)).observe(seconds)

    def text(self) -> bytes:
        """All of it, as Prometheus scrapes it."""
        return generate_latest(self._registry)


class _Tables(Collector):
    def __init__(self, db: Database) -> None:
        self._db = db

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from ()  # registering must not ask the database

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
        family = GaugeMetricFamily("limbeck_processes", "Sweepers and workers seen lately", labels=["role"])
        for role, count in alive.items():
            family.add_metric([role], count)
        yield family
