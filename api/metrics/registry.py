"""The metrics of one app: durations of its requests, and what the collectors read from the database at each scrape."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from sqlalchemy.exc import SQLAlchemyError

from api.metrics.collectors import COLLECTORS
from api.metrics.disk import DiskCollector
from store.db import Database
from store.upkeep.disk_used import DiskScan

MEDIA_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)


class Metrics:
    """The metrics registry of one app. Metrics from the database are read when Prometheus scrapes."""

    def __init__(self, db: Database, scan: DiskScan | None = None) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_DatabaseCollector(db))
        if scan is not None:
            self._registry.register(DiskCollector(scan))
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

    def families(self) -> Iterator[Metric]:
        """All metrics; those without a sample too."""
        yield from self._registry.collect()

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)


class _DatabaseCollector(Collector):
    def __init__(self, db: Database) -> None:
        self._db = db

    def describe(self) -> Iterator[Metric]:
        yield from ()  # registration must not query the database

    def collect(self) -> Iterator[Metric]:
        """Without a database, the metrics of this process are still served."""
        families: list[Metric] = []
        try:
            with self._db.read() as tx:
                for collect in COLLECTORS:
                    families += collect(tx)
            is_up = 1
        except SQLAlchemyError:
            families, is_up = [], 0
        yield GaugeMetricFamily("limbeck_database_up", "Whether the database responds", value=is_up)
        yield from families
