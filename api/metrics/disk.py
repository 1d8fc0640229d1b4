"""`limbeck_disk_bytes{kind}`: the last scan of `GET /v1/storage`; a scrape begins a scan, and does not wait for it."""

from collections.abc import Iterator

from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from store.upkeep.disk_used import DiskScan


class DiskCollector(Collector):
    """The gauge of one app."""

    def __init__(self, scan: DiskScan) -> None:
        self._scan = scan

    def describe(self) -> Iterator[GaugeMetricFamily]:
        yield from ()  # registration must not scan

    def collect(self) -> Iterator[GaugeMetricFamily]:
        self._scan.begin()
        family = GaugeMetricFamily("limbeck_disk_bytes", "Disk used, by kind", labels=["kind"])
        last = self._scan.last
        for one in last.kinds if last else ():
            family.add_metric([one.kind], one.size)
        yield family
