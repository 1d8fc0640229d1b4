"""How fast labels are enriched, and at what scale, on SQLite and on Postgres: `python -m benchmarks.attributes`.

    pipe      answers that take 500 ms, 64 calls in flight: calls a second against the ideal, storage included
    instant   answers that take no time: the most calls a second, and where the time goes
    limit     four Celery workers under 600 requests a minute, counted by the server (Postgres and Redis)
    scale     100,000 labels: memory of each process, a worker that is killed half-way and started again, and the same
              set once more

The service runs as it does in earnest, API and worker in processes of their own, and jobs are posted through the API;
the LLM is `benchmarks.standin`, whose own ceiling is printed. The exit status is 1 where a target is missed.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from benchmarks import load
from benchmarks.service import Figure, database
from benchmarks.standin import busiest, ceiling
from limbeck.client import Limbeck
from limbeck.models import Job
from store.db import Database
from store.migrate import upgrade
from store.models import EnrichResult, LLMCall, Part

LATENCY_S, IN_FLIGHT = 0.5, 64
PER_MIN = 600
NUM_PIPE, NUM_INSTANT, NUM_LABELS = 3_840, 4_096, 100_000
SAMPLE_EVERY_S = 0.5
MIB = 1e6 / 2**20
KINDS = ("sqlite", "postgres")
PARTS = ("pipe", "instant", "scale", "limit")


@dataclass
class Llm:
    """The stand-in server."""

    url: str
    pid: int

    def stats(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = httpx2.get(f"{self.url}/stats").json()
        return found

    def times(self) -> list[float]:
        """The moment of each call, in order."""
        found: list[float] = httpx2.get(f"{self.url}/times").json()
        return found


@contextmanager
def standin(*, latency_s: float = 0.0, in_flight: int | None = None) -> Iterator[Llm]:
    """A stand-in server of its own for the block."""
    port = load.free_port()
    arguments = ["-m", "benchmarks.standin", "--port", str(port), "--latency-ms", str(1000 * latency_s)]
    if in_flight is not None:
        arguments += ["--in-flight", str(in_flight)]
    with load.process(arguments, {}) as child:
        load.wait_for(f"http://127.0.0.1:{port}/stats", child)
        yield Llm(f"http://127.0.0.1:{port}", child.pid)


@dataclass
class Service:
    """API and workers over one database, and what they ask."""

    db: Database
    llm: Llm
    environment: dict[str, str]
    stack: ExitStack
    client: Limbeck
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        child = self.stack.enter_context(load.process(arguments, self.environment))
        self.processes[name] = child
        return child

    def end(self, name: str) -> None:
        """End a worker in order."""
        child = self.processes.pop(name)
        child.terminate()
        child.wait(60)

    def kill(self, name: str) -> None:
        child = self.processes.pop(name)
        child.kill()
        child.wait()

    def vocabulary(self, name: str, num_labels: int) -> str:
        labels = [f"{name} number {number}" for number in range(num_labels)]
        return self.client.create_vocabulary(name, labels, domain="birds").id

    def enrich(self, vocabulary_id: str, on_progress: Callable[[Job], None] | None = None) -> Job:
        job = self.client.enrich(vocabulary_id)
        return self.client.wait(job, on_progress, timeout_s=1_800)

    def asking_s(self, job_id: str) -> float:
        """Seconds from the begin of a job's first chunk to the end of its last."""
        query = select(func.min(Part.started_at), func.max(Part.finished_at))
        with self.db.read() as tx:
            began, ended = tx.execute(query.where(Part.job_id == job_id, Part.kind == "describe")).one()
        return ended - began if began and ended else 0.0

    def num_calls(self, job_id: str) -> int:
        with self.db.read() as tx:
            return tx.scalar(select(func.count()).select_from(LLMCall).where(LLMCall.job_id == job_id)) or 0

    def num_answered(self, job_id: str) -> int:
        query = select(func.count()).select_from(EnrichResult)
        with self.db.read() as tx:
            return tx.scalar(query.where(EnrichResult.job_id == job_id, EnrichResult.key.is_not(None))) or 0


@contextmanager
def service(kind: str, llm: Llm, **settings: str) -> Iterator[Service]:
    """An API over a fresh database; the workers are for the measurement to start."""
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(database(kind, home))
        db = Database(url)
        stack.callback(db.dispose)
        upgrade(db)
        port = load.free_port()
        environment = {
            "LIMBECK_HOME": str(home),
            "LIMBECK_DATABASE_URL": url,
            "LIMBECK_PORT": str(port),
            "LIMBECK_HOST": "127.0.0.1",
            "LIMBECK_ARTEFACTS_URL": "",
            "LIMBECK_REDIS_URL": "",
            "LIMBECK_LLM_MODEL": "standin",
            "LIMBECK_LLM_BASE_URL": f"{llm.url}/v1",
            "LIMBECK_LLM_API_KEY": "",
            "LIMBECK_LLM_CONCURRENCY": str(IN_FLIGHT),
            "NO_PROXY": "127.0.0.1",
            **settings,
        }
        client = stack.enter_context(Limbeck(f"http://127.0.0.1:{port}"))
        made = Service(db, llm, environment, stack, client)
        load.wait_for(f"http://127.0.0.1:{port}/healthz", made.start("api", "-m", "api"))
        yield made


def warm(run: Service) -> "subprocess.Popen[bytes]":
    """A worker that has imported what it needs and knows the server's ways."""
    worker = run.start("worker", "-m", "workers.embedded")
    run.enrich(run.vocabulary("warm", IN_FLIGHT))
    return worker


@dataclass(frozen=True)
class Ran:
    """A job that asked about `num_labels`: calls a second while it asked, CPU of the worker for each, the whole job."""

    num_labels: int
    per_s: float
    cpu_ms: float
    job_s: float


def ran(run: Service, worker: "subprocess.Popen[bytes]", name: str, num_labels: int) -> Ran:
    """Enrich labels that nobody has asked about before."""
    vocabulary_id = run.vocabulary(name, num_labels)
    calls, cpu_s = run.llm.stats()["calls"], load.cpu_s(worker.pid)
    asked_cpu_s = cpu_s

    def note(now: Job) -> None:
        nonlocal asked_cpu_s
        if now.stage == "describe":
            asked_cpu_s = load.cpu_s(worker.pid)

    job = run.enrich(vocabulary_id, note)
    calls = run.llm.stats()["calls"] - calls
    if not calls == run.num_calls(job.id) == run.num_answered(job.id) == num_labels:
        raise RuntimeError(f"{calls} calls for {num_labels} labels: {run.llm.stats()}, {job.result}")
    return Ran(
        num_labels, num_labels / run.asking_s(job.id), 1000 * (asked_cpu_s - cpu_s) / num_labels, job.seconds or 0.0
    )


def pipe(kind: str) -> Iterator[Figure]:
    """Answers of 500 ms, 64 in flight."""
    with standin(latency_s=LATENCY_S, in_flight=IN_FLIGHT) as llm, service(kind, llm) as run:
        done = ran(run, warm(run), "pipe", NUM_PIPE)
        stats = llm.stats()
    ideal = IN_FLIGHT / LATENCY_S
    measured = (
        f"{done.per_s:.1f}/s ({done.per_s / ideal:.1%}), {stats['max_in_flight']} in flight; "
        f"{done.cpu_ms:.1f} ms of CPU a call; the whole job {done.job_s:.1f} s"
    )
    yield Figure("calls of 500 ms, 64 in flight", f"≥ 95% of {ideal:g}/s", measured, done.per_s >= 0.95 * ideal)


def instant(kind: str) -> Iterator[Figure]:
    """Answers at once: how many, and then once more with somebody looking at what the worker does."""
    with standin() as llm, service(kind, llm) as run:
        done = ran(run, warm(run), "instant", NUM_INSTANT)
        measured = f"{done.per_s:.0f}/s; {done.cpu_ms:.2f} ms of CPU a call, so {1000 / done.cpu_ms:.0f}/s of a core"
        yield Figure("calls that are answered at once", "", measured, True)
        run.end("worker")
        out = Path(run.environment["LIMBECK_HOME"]) / "profile.json"
        worker = run.start("worker", "-m", "benchmarks.sampling", str(out))
        run.enrich(run.vocabulary("looked at", NUM_INSTANT))
        run.end("worker")
        assert worker.returncode == 0
        yield Figure("… where the worker's CPU goes", "", profile(json.loads(out.read_text())), True)


def profile(told: Mapping[str, Any]) -> str:
    """Shares of the CPU time, largest first, and how much of the time the process waited."""
    seconds: Mapping[str, float] = told["seconds"]
    total = sum(seconds.values())
    shares = sorted(((value / total, name) for name, value in seconds.items()), reverse=True)
    return ", ".join(f"{name} {share:.0%}" for share, name in shares if share >= 0.01)


def limit() -> Iterator[Figure]:
    """Four workers of Celery share a limit of requests a minute."""
    with ExitStack() as stack:
        port = load.free_port()
        redis = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"]
        stack.callback(_end, subprocess.Popen(redis, stdout=subprocess.DEVNULL))
        llm = stack.enter_context(standin())
        settings = {
            "LIMBECK_REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "LIMBECK_LLM_REQUESTS_PER_MIN": str(PER_MIN),
            "LIMBECK_LLM_CONCURRENCY": "16",
        }
        run = stack.enter_context(service("postgres", llm, **settings))
        run.start("sweeper", "-m", "workers.sweeper")
        for number in range(4):
            celery = ["-m", "celery", "-A", "workers.app", "worker", "-Q", "enrich", "-c", "1", "-n", f"w{number}@%h"]
            run.start(f"worker {number}", *celery)
        job = run.client.enrich(run.vocabulary("limit", 2 * PER_MIN + 100))
        times: list[float] = []
        while len(times) <= 2 * PER_MIN:
            if run.client.job(job.id).ended:
                raise RuntimeError(f"the job ended after {len(times)} calls: {run.client.job(job.id)}")
            time.sleep(1)
            times = llm.times()
        with run.db.read() as tx:
            workers = tx.scalar(select(func.count(Part.worker.distinct())).where(Part.job_id == job.id)) or 0
        run.client.cancel(job.id)
    used = 2 * 60 / (times[2 * PER_MIN] - times[0])
    most = busiest(times, 60.0)
    measured = f"{most} in the busiest minute, {used:.1%} used, {workers} workers"
    ok = most <= PER_MIN and used >= 0.97 and workers == 4
    yield Figure(f"four workers, {PER_MIN} requests a minute", f"≤ {PER_MIN} in any 60 s, ≥ 97% used", measured, ok)


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    child.wait(20)


class Memory:
    """Resident MiB of a service's processes, looked at twice a second by a thread."""

    def __init__(self, run: Service) -> None:
        self._run = run
        self._ended = threading.Event()
        self.seen: dict[str, list[tuple[float, float]]] = {}  # name → (moment, MiB)
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY_S):
            for name, child in list(self._run.processes.items()):
                try:
                    mib = load.memory_mib(child.pid, "VmRSS")
                except (OSError, StopIteration):  # it has just ended
                    continue
                self.seen.setdefault(name, []).append((time.monotonic(), mib))

    def peak(self, name: str) -> float:
        return max(mib for _, mib in self.seen[name])

    def growth(self, name: str, began: float, ended: float) -> float:
        """The peak of the second half of a span over that of the first, less 1; without the first tenth, in which a
        process loads what it needs."""
        began, middle = began + (ended - began) / 10, (began + ended) / 2
        halves = [
            max(mib for at, mib in self.seen[name] if first <= at < last)
            for first, last in ((began, middle), (middle, ended))
        ]
        return halves[1] / halves[0] - 1


def scale(kind: str, num_labels: int) -> Iterator[Figure]:
    """A long list: memory, and a worker that is killed half-way; then all of it once more."""
    with standin() as llm, service(kind, llm) as run:
        run.start("worker", "-m", "workers.embedded")
        vocabulary_id = run.vocabulary("scale", num_labels)
        with Memory(run) as memory:
            job = run.client.enrich(vocabulary_id)
            while llm.stats()["calls"] < 0.4 * num_labels:
                time.sleep(0.2)
            run.kill("worker")
            before, killed = llm.stats()["calls"], time.monotonic()
            run.start("restarted worker", "-m", "workers.embedded")
            while llm.stats()["calls"] == before:
                time.sleep(0.02)
            found_s = time.monotonic() - killed
            ended_asking = killed

            def note(now: Job) -> None:
                nonlocal ended_asking
                if now.stage == "describe":
                    ended_asking = time.monotonic()

            job = run.client.wait(job, note, timeout_s=1_800)
        asked_twice = llm.stats()["calls"] - num_labels
        peaks = {name: memory.peak(name) for name in memory.seen}
        grown = {name: memory.growth(name, killed, ended_asking) for name in ("api", "restarted worker")}
        told = ", ".join(f"{name} {mib:.0f} MiB" for name, mib in peaks.items())
        told += "; second half " + ", ".join(f"{name} {share:+.0%}" for name, share in grown.items())
        ok = max(peaks.values()) < 500 * MIB and max(grown.values()) < 0.1
        yield Figure(f"memory, {num_labels:,} labels", "< 500 MB each, flat", told, ok)
        missing = num_labels - run.num_answered(job.id)
        told = f"{found_s:.1f} s from its start to its first call; {asked_twice} asked twice, {missing} missing"
        ok = found_s < 5 and not missing and asked_twice <= 2 * IN_FLIGHT + 512
        yield Figure("a restart finds what is missing", "< 5 s", told, ok)
        yield again(run, vocabulary_id, num_labels)


def again(run: Service, vocabulary_id: str, num_labels: int) -> Figure:
    """The same labels a second time."""
    calls = run.llm.stats()["calls"]
    job = run.enrich(vocabulary_id)
    calls = run.llm.stats()["calls"] - calls
    rate = num_labels / run.asking_s(job.id)
    told = f"{calls} calls, {rate:,.0f} labels/s; with the set made of them {num_labels / (job.seconds or 0.0):,.0f}/s"
    return Figure("the same set once more", "0 calls, > 5,000 labels/s", told, calls == 0 and rate > 5_000)


def own_ceiling() -> str:
    """What the stand-in could answer, to a client that does nothing else."""
    with standin() as llm:
        port = int(llm.url.rpartition(":")[2])
        cpu_s = load.cpu_s(llm.pid)
        per_s = asyncio.run(ceiling(port, seconds=2.0))
        cpu_s = load.cpu_s(llm.pid) - cpu_s
    cpu_ms = 1000 * cpu_s / (2 * per_s)
    return f"the stand-in answers {per_s:,.0f} calls/s of a trivial client, at {cpu_ms:.3f} ms of CPU each"


def main() -> int:
    """Measure and print the table; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--database", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--labels", type=int, default=NUM_LABELS, help="of the long list")
    asked = parser.parse_args()
    console = Console(width=170)
    console.print(load.machine())
    console.print(own_ceiling())
    found: dict[str, dict[str, Figure]] = {}

    def measure(kind: str, figures: Iterator[Figure]) -> None:
        try:
            for figure in figures:
                found.setdefault(figure.what, {})[kind] = figure
                console.print(f"{kind}: {figure.what}: {figure.measured}")
        except psycopg.OperationalError as error:
            console.print(f"{kind}: skipped: no server ({error})".strip())

    parts: dict[str, Callable[[str], Iterator[Figure]]] = {
        "pipe": pipe,
        "instant": instant,
        "scale": lambda kind: scale(kind, asked.labels),
    }
    for name, part in parts.items():
        for kind in asked.database if name in asked.only else ():
            measure(kind, part(kind))
    if "limit" in asked.only:
        measure("postgres", limit())
    return show(console, found)


def show(console: Console, found: Mapping[str, Mapping[str, Figure]]) -> int:
    """The table, both databases side by side; 1 where a target is missed."""
    table = Table("", "target", *KINDS, "")
    for what, by_kind in found.items():
        ok = all(figure.ok for figure in by_kind.values())
        target = next(iter(by_kind.values())).target
        measured = [by_kind[kind].measured if kind in by_kind else "" for kind in KINDS]
        table.add_row(what, target, *measured, ("ok" if ok else "MISSED") if target else "")
    console.print(table)
    return int(any(not figure.ok for by_kind in found.values() for figure in by_kind.values()))


if __name__ == "__main__":
    sys.exit(main())
