"""Throughput and memory of enrichment on SQLite and on Postgres: `python -m benchmarks.attributes`.

    pipe      responses after 500 ms, 64 calls in flight: calls per second relative to the ideal, including storage
    instant   responses without latency: the maximum calls per second, and a CPU profile of the worker
    limit     four Celery workers under a limit of 600 requests per minute, counted by the server (Postgres and Redis)
    scale     100,000 labels: memory of each process, a worker that is killed half-way and restarted, and a second job
              for the same labels

The service runs as in production, with API and worker in their own processes, and jobs are posted through the API. The
LLM is `benchmarks.standin`, whose maximum rate is printed. The exit code is 1 if a target is missed.
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

import httpx2
import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy import func, select

from benchmarks import load
from benchmarks.measurement import Measurement
from benchmarks.service import database
from benchmarks.standin import StatsJSON, busiest, ceiling
from limbeck import Client
from limbeck.models import Job
from store.db import Database
from store.migrate import upgrade
from store.models import EnrichResult, LLMCall, Part

LATENCY_S, IN_FLIGHT = 0.5, 64
PER_MIN = 600
NUM_PIPE, NUM_INSTANT, NUM_LABELS = 3_840, 4_096, 100_000
SAMPLE_INTERVAL_S = 0.5
MIB = 1e6 / 2**20
KINDS = ("sqlite", "postgres")
PARTS = ("pipe", "instant", "scale", "limit")


@dataclass
class StandInProcess:
    """A stand-in LLM server in its own process."""

    url: str
    pid: int

    def stats(self) -> StatsJSON:
        """Counts and times, as in `benchmarks.standin.StandInState.stats`."""
        stats: StatsJSON = httpx2.get(f"{self.url}/stats").json()
        return stats

    def times(self) -> list[float]:
        """The time of each call, in order, in seconds of the monotonic clock."""
        times: list[float] = httpx2.get(f"{self.url}/times").json()
        return times


@contextmanager
def standin(*, latency_s: float = 0.0, in_flight: int | None = None) -> Iterator[StandInProcess]:
    """Run a stand-in server during the block."""
    port = load.free_port()
    arguments = ["-m", "benchmarks.standin", "--port", str(port), "--latency-ms", str(1000 * latency_s)]
    if in_flight is not None:
        arguments += ["--in-flight", str(in_flight)]
    with load.process(arguments, {}) as child:
        load.wait_for(f"http://127.0.0.1:{port}/stats", child)
        yield StandInProcess(f"http://127.0.0.1:{port}", child.pid)


@dataclass
class ServiceUnderTest:
    """API and workers on one database, with a stand-in LLM. `processes`: by name."""

    db: Database
    llm: StandInProcess
    environment: dict[str, str]
    stack: ExitStack
    client: Client
    processes: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    def start(self, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
        child = self.stack.enter_context(load.process(arguments, self.environment))
        self.processes[name] = child
        return child

    def end(self, name: str) -> None:
        """Terminate a worker and wait until it has shut down."""
        child = self.processes.pop(name)
        child.terminate()
        child.wait(60)

    def kill(self, name: str) -> None:
        child = self.processes.pop(name)
        child.kill()
        child.wait()

    def vocabulary(self, name: str, num_labels: int) -> str:
        labels = [f"{name} number {number}" for number in range(num_labels)]
        return self.client.vocabularies.create(name, labels, domain="birds").id

    def enrich(self, vocabulary_id: str) -> Job:
        return self.client.jobs.wait(self.client.jobs.create("enrich", vocabulary_id=vocabulary_id), timeout_s=1_800)

    def updates(self, job: Job) -> Iterator[Job]:
        """Yield the job at each request for it, up to its end."""
        return self.client.jobs.updates(job, timeout_s=1_800, unchanged=True)

    def llm_stage_s(self, job_id: str) -> float:
        """Seconds from the start of a job's first LLM part to the end of its last one."""
        query = select(func.min(Part.started_at), func.max(Part.finished_at))
        with self.db.read() as tx:
            start, end = tx.execute(query.where(Part.job_id == job_id, Part.kind == "describe")).one()
        return end - start if start and end else 0.0

    def num_calls(self, job_id: str) -> int:
        with self.db.read() as tx:
            return tx.scalar(select(func.count()).select_from(LLMCall).where(LLMCall.job_id == job_id)) or 0

    def num_results(self, job_id: str) -> int:
        query = select(func.count()).select_from(EnrichResult)
        with self.db.read() as tx:
            return tx.scalar(query.where(EnrichResult.job_id == job_id, EnrichResult.key.is_not(None))) or 0


@contextmanager
def service(kind: str, llm: StandInProcess, **settings: str) -> Iterator[ServiceUnderTest]:
    """Run an API on a fresh database during the block; the benchmark starts the workers."""
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
        client = stack.enter_context(Client(f"http://127.0.0.1:{port}"))
        run = ServiceUnderTest(db, llm, environment, stack, client)
        load.wait_for(f"http://127.0.0.1:{port}/healthz", run.start("api", "-m", "api"))
        yield run


def start_warm_worker(run: ServiceUnderTest) -> "subprocess.Popen[bytes]":
    """Start a worker and warm it up: its modules are imported, and it knows the server's response formats."""
    worker = run.start("worker", "-m", "workers.embedded")
    run.enrich(run.vocabulary("warm", IN_FLIGHT))
    return worker


@dataclass(frozen=True)
class EnrichTiming:
    """Timing of one enrichment: calls per second of its LLM stage, worker CPU per call, seconds of the whole job."""

    num_labels: int
    per_s: float
    cpu_ms: float
    job_s: float


def enrich_new_labels(
    run: ServiceUnderTest, worker: "subprocess.Popen[bytes]", name: str, num_labels: int
) -> EnrichTiming:
    """Enrich new labels, none of which is cached."""
    vocabulary_id = run.vocabulary(name, num_labels)
    calls_before, cpu_before_s = run.llm.stats()["calls"], load.cpu_s(worker.pid)
    cpu_after_s = cpu_before_s

    for job in run.updates(run.client.jobs.create("enrich", vocabulary_id=vocabulary_id)):
        if job.stage == "describe":
            cpu_after_s = load.cpu_s(worker.pid)
    calls = run.llm.stats()["calls"] - calls_before
    if not calls == run.num_calls(job.id) == run.num_results(job.id) == num_labels:
        raise RuntimeError(f"{calls} calls for {num_labels} labels: {run.llm.stats()}, {job.result}")
    return EnrichTiming(
        num_labels,
        per_s=num_labels / run.llm_stage_s(job.id),
        cpu_ms=1000 * (cpu_after_s - cpu_before_s) / num_labels,
        job_s=job.seconds or 0.0,
    )


def pipe(kind: str) -> Iterator[Measurement]:
    """Calls per second with a latency of 500 ms and 64 calls in flight."""
    with standin(latency_s=LATENCY_S, in_flight=IN_FLIGHT) as llm, service(kind, llm) as run:
        timing = enrich_new_labels(run, start_warm_worker(run), "pipe", NUM_PIPE)
        stats = llm.stats()
    ideal = IN_FLIGHT / LATENCY_S
    measured = (
        f"{timing.per_s:.1f}/s ({timing.per_s / ideal:.1%}), {stats['max_in_flight']} in flight; "
        f"{timing.cpu_ms:.1f} ms of CPU per call; whole job {timing.job_s:.1f} s"
    )
    yield Measurement("calls of 500 ms, 64 in flight", f"≥ 95% of {ideal:g}/s", measured, timing.per_s >= 0.95 * ideal)


def instant(kind: str) -> Iterator[Measurement]:
    """Calls per second without latency, then the same with a CPU profile of the worker."""
    with standin() as llm, service(kind, llm) as run:
        timing = enrich_new_labels(run, start_warm_worker(run), "instant", NUM_INSTANT)
        measured = (
            f"{timing.per_s:.0f}/s; {timing.cpu_ms:.2f} ms of CPU per call, so {1000 / timing.cpu_ms:.0f}/s per core"
        )
        yield Measurement("calls without latency", "", measured, True)
        run.end("worker")
        out = Path(run.environment["LIMBECK_HOME"]) / "profile.json"
        worker = run.start("worker", "-m", "benchmarks.sampling", str(out))
        run.enrich(run.vocabulary("profiled", NUM_INSTANT))
        run.end("worker")
        assert worker.returncode == 0
        yield Measurement("CPU profile of the worker", "", cpu_shares(json.loads(out.read_text())), True)


def cpu_shares(profile: Mapping[str, Mapping[str, float]]) -> str:
    """Shares of the CPU time by subject, largest first; shares below 1% are left out."""
    seconds = profile["seconds"]
    total = sum(seconds.values())
    shares = sorted(((value / total, name) for name, value in seconds.items()), reverse=True)
    return ", ".join(f"{name} {share:.0%}" for share, name in shares if share >= 0.01)


def limit() -> Iterator[Measurement]:
    """Four Celery workers share a limit of requests per minute."""
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
        job = run.client.jobs.create("enrich", vocabulary_id=run.vocabulary("limit", 2 * PER_MIN + 100))
        times: list[float] = []
        while len(times) <= 2 * PER_MIN:
            if run.client.jobs.get(job.id).ended:
                raise RuntimeError(f"the job ended after {len(times)} calls: {run.client.jobs.get(job.id)}")
            time.sleep(1)
            times = llm.times()
        with run.db.read() as tx:
            num_workers = tx.scalar(select(func.count(Part.worker.distinct())).where(Part.job_id == job.id)) or 0
        run.client.jobs.cancel(job.id)
    used = 2 * 60 / (times[2 * PER_MIN] - times[0])
    most = busiest(times, 60.0)
    measured = f"{most} in the busiest minute, {used:.1%} used, {num_workers} workers"
    ok = most <= PER_MIN and used >= 0.97 and num_workers == 4
    yield Measurement(
        f"four workers, {PER_MIN} requests per minute", f"≤ {PER_MIN} in any 60 s, ≥ 97% used", measured, ok
    )


def _end(child: "subprocess.Popen[bytes]") -> None:
    child.terminate()
    child.wait(20)


class MemorySampler:
    """Samples the resident memory of a service's processes twice a second, in a thread."""

    def __init__(self, service_run: ServiceUnderTest) -> None:
        self._service_run = service_run
        self._stopped = threading.Event()
        self.samples: dict[str, list[tuple[float, float]]] = {}  # process name -> (time, MiB)
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "MemorySampler":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.wait(SAMPLE_INTERVAL_S):
            for name, child in list(self._service_run.processes.items()):
                try:
                    mib = load.memory_mib(child.pid, "VmRSS")
                except (OSError, StopIteration):  # the process has just ended
                    continue
                self.samples.setdefault(name, []).append((time.monotonic(), mib))

    def peak(self, name: str) -> float:
        """The highest memory of a process in MiB."""
        return max(mib for _, mib in self.samples[name])

    def growth(self, name: str, start: float, end: float) -> float:
        """Relative growth of the peak memory from the first half of a period to the second half.

        Excludes the first tenth of the period, in which the process loads its modules.
        """
        start, middle = start + (end - start) / 10, (start + end) / 2
        halves = [
            max(mib for time_s, mib in self.samples[name] if first <= time_s < last)
            for first, last in ((start, middle), (middle, end))
        ]
        return halves[1] / halves[0] - 1


def scale(kind: str, num_labels: int) -> Iterator[Measurement]:
    """A long list of labels: memory of each process, a killed and restarted worker, then a second job."""
    with standin() as llm, service(kind, llm) as run:
        run.start("worker", "-m", "workers.embedded")
        vocabulary_id = run.vocabulary("scale", num_labels)
        with MemorySampler(run) as memory:
            job = run.client.jobs.create("enrich", vocabulary_id=vocabulary_id)
            while llm.stats()["calls"] < 0.4 * num_labels:
                time.sleep(0.2)
            run.kill("worker")
            calls_before, killed_at = llm.stats()["calls"], time.monotonic()
            run.start("restarted worker", "-m", "workers.embedded")
            while llm.stats()["calls"] == calls_before:
                time.sleep(0.02)
            restart_s = time.monotonic() - killed_at
            last_call_at = killed_at

            for current in run.updates(job):
                if current.stage == "describe":
                    last_call_at = time.monotonic()
        num_repeated = llm.stats()["calls"] - num_labels
        peaks = {name: memory.peak(name) for name in memory.samples}
        growth = {name: memory.growth(name, killed_at, last_call_at) for name in ("api", "restarted worker")}
        measured = ", ".join(f"{name} {mib:.0f} MiB" for name, mib in peaks.items())
        measured += "; second half " + ", ".join(f"{name} {share:+.0%}" for name, share in growth.items())
        ok = max(peaks.values()) < 500 * MIB and max(growth.values()) < 0.1
        yield Measurement(f"memory, {num_labels:,} labels", "< 500 MB each, flat", measured, ok)
        num_missing = num_labels - run.num_results(job.id)
        measured = f"{restart_s:.1f} s from start to first call; {num_repeated} calls repeated, {num_missing} missing"
        ok = restart_s < 5 and not num_missing and num_repeated <= 2 * IN_FLIGHT + 512
        yield Measurement("restarted worker resumes the job", "< 5 s", measured, ok)
        yield second_job(run, vocabulary_id, num_labels)


def second_job(run: ServiceUnderTest, vocabulary_id: str, num_labels: int) -> Measurement:
    """A second enrichment of the same labels, for which every response is cached."""
    calls_before = run.llm.stats()["calls"]
    job = run.enrich(vocabulary_id)
    calls = run.llm.stats()["calls"] - calls_before
    rate, rate_of_job = num_labels / run.llm_stage_s(job.id), num_labels / (job.seconds or 0.0)
    measured = f"{calls} calls, {rate:,.0f} labels/s; {rate_of_job:,.0f}/s including the creation of the set"
    return Measurement("second job, same labels", "0 calls, > 5,000 labels/s", measured, calls == 0 and rate > 5_000)


def standin_ceiling() -> str:
    """The maximum rate of the stand-in server, as a line of text."""
    with standin() as llm:
        port = int(llm.url.rpartition(":")[2])
        cpu_s = load.cpu_s(llm.pid)
        per_s = asyncio.run(ceiling(port, seconds=2.0))
        cpu_s = load.cpu_s(llm.pid) - cpu_s
    cpu_ms = 1000 * cpu_s / (2 * per_s)
    return f"the stand-in server handles {per_s:,.0f} calls/s of a trivial client, {cpu_ms:.3f} ms of CPU each"


def main() -> int:
    """Run the command line: print the table; returns 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, nargs="+", default=list(PARTS))
    parser.add_argument("--database", choices=KINDS, nargs="+", default=list(KINDS))
    parser.add_argument("--labels", type=int, default=NUM_LABELS, help="number of labels of the part `scale`")
    arguments = parser.parse_args()
    console = Console(width=170)
    console.print(load.machine())
    console.print(standin_ceiling())
    results: dict[str, dict[str, Measurement]] = {}

    def measure(kind: str, measurements: Iterator[Measurement]) -> None:
        try:
            for one in measurements:
                results.setdefault(one.name, {})[kind] = one
                console.print(f"{kind}: {one.name}: {one.measured}")
        except psycopg.OperationalError as error:
            console.print(f"{kind}: skipped: no server ({error})".strip())

    parts: dict[str, Callable[[str], Iterator[Measurement]]] = {
        "pipe": pipe,
        "instant": instant,
        "scale": lambda kind: scale(kind, arguments.labels),
    }
    for name, part in parts.items():
        for kind in arguments.database if name in arguments.only else ():
            measure(kind, part(kind))
    if "limit" in arguments.only:
        measure("postgres", limit())
    return show(console, results)


def show(console: Console, results: Mapping[str, Mapping[str, Measurement]]) -> int:
    """Print the table with both databases side by side; returns 1 if a target is missed."""
    table = Table("", "target", *KINDS, "")
    for name, by_kind in results.items():
        ok = all(one.ok for one in by_kind.values())
        target = next(iter(by_kind.values())).target
        measured = [by_kind[kind].measured if kind in by_kind else "" for kind in KINDS]
        table.add_row(name, target, *measured, ("ok" if ok else "MISSED") if target else "")
    console.print(table)
    return int(any(not one.ok for by_kind in results.values() for one in by_kind.values()))


if __name__ == "__main__":
    sys.exit(main())
