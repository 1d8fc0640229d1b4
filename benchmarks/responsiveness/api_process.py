"""The API in a separate process over an empty database, and the command line of these benchmarks."""

import argparse
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from rich.console import Console
from rich.table import Table

from benchmarks import load
from benchmarks.measurement import Measurement
from benchmarks.service import database
from store.db import Database
from store.migrate import upgrade


@dataclass(frozen=True)
class ApiProcess:
    """The API under test."""

    port: int
    pid: int
    db: Database
    url: str
    home: Path


@contextmanager
def api_process(kind: str) -> Iterator[ApiProcess]:
    """The API over an empty database of this kind. Raises psycopg.OperationalError without a server."""
    with tempfile.TemporaryDirectory() as scratch, database(kind, Path(scratch)) as url:
        db = Database(url)
        upgrade(db)
        port = load.free_port()
        environment = {
            "LIMBECK_HOME": scratch,
            "LIMBECK_DATABASE_URL": url,
            "LIMBECK_PORT": str(port),
            "LIMBECK_HOST": "127.0.0.1",
            "LIMBECK_ARTEFACTS_URL": "",
            "LIMBECK_REDIS_URL": "",
            "LIMBECK_LLM_MODEL": "m",
        }
        with load.process(["-m", "api"], environment) as child:
            load.wait_for(f"http://127.0.0.1:{port}/healthz", child)
            yield ApiProcess(port, child.pid, db, url, Path(scratch))
        db.dispose()


def percentiles(latencies_s: Sequence[float]) -> str:
    """Median, 99th percentile and maximum, in milliseconds."""
    ordered = sorted(latencies_s)
    p50, p99, most = (ordered[min(int(len(ordered) * share), len(ordered) - 1)] * 1000 for share in (0.5, 0.99, 1))
    return f"p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {most:.1f} ms"


def p99_s(latencies_s: Sequence[float]) -> float:
    """The 99th percentile."""
    return sorted(latencies_s)[int(len(latencies_s) * 0.99)]


def parser(description: str) -> argparse.ArgumentParser:
    """The options of every benchmark."""
    made = argparse.ArgumentParser(description=description)
    made.add_argument("--only", choices=["sqlite", "postgres"])
    return made


def run(only: str | None, measure: Callable[[ApiProcess], Iterator[Measurement]]) -> int:
    """Measure on each kind of database and print a table; returns 1 if a target is missed."""
    table = Table("", "database", "target", "measured", "", title=load.machine(), title_justify="left")
    num_missed = 0
    for kind in ("sqlite", "postgres") if only is None else (only,):
        try:
            with api_process(kind) as api:
                for one in measure(api):
                    num_missed += one.ok is False
                    table.add_row(one.name, kind, one.target, one.measured, one.verdict)
                    print(f"{kind}: {one.name}: {one.measured} {one.verdict}", file=sys.stderr, flush=True)
        except psycopg.OperationalError as error:
            table.add_row("all", kind, "", f"skipped: no server ({error})".strip(), "")
    Console(width=160).print(table)
    return 1 if num_missed else 0
