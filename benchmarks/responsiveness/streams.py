"""Polls beside 500 event streams: `python -m benchmarks.responsiveness.streams [--streams 500] [--jobs 10]`.

Streams, polls and the writer of events run in processes of their own, on loopback. The latency of an event is the time
from before its transaction to the arrival at a stream; the latency of a poll counts from when it was due.
"""

import argparse
import asyncio
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks import load
from benchmarks.measurement import Measurement
from benchmarks.responsiveness import api_process
from benchmarks.responsiveness.api_process import ApiProcess
from store import vocabularies
from store.db import Database
from store.jobs import events, jobs
from store.jobs.jobs import NewPart
from store.jobs.specs import EncodeSpec
from store.vocabularies import NewLabel

POLLS_PER_S = 20
_SENT = re.compile(rb'"sent": ?([0-9.]+)')


def write_events(url: str, job_ids: list[str], per_s: float, seconds: float) -> None:
    """Append events to the jobs in turn, at this rate in total."""
    db = Database(url)
    start = time.monotonic()
    for number in range(int(per_s * seconds)):
        time.sleep(max(0.0, start + number / per_s - time.monotonic()))
        data = {"sent": time.time(), "step": number, "loss": 1.25, "losses": {"image_contrastive": 0.5, "mse": 0.75}}
        with db.write() as tx:
            events.add(tx, job_ids[number % len(job_ids)], "metrics", f"step {number}: loss 1.250", data=data)
    db.dispose()


async def _watch(port: int, job_id: str, latencies: list[float]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        f"GET /v1/jobs/{job_id}/events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\n\r\n".encode()
    )
    while line := await reader.readline():
        if sent := _SENT.search(line):
            latencies.append(time.time() - float(sent[1]))


async def watch(port: int, job_ids: list[str], num_streams: int, seconds: float) -> list[float]:
    """Open the streams, and collect the latencies of their events for some seconds after `ready` was printed."""
    latencies: list[float] = []
    tasks = []
    for number in range(num_streams):
        tasks.append(asyncio.create_task(_watch(port, job_ids[number % len(job_ids)], latencies)))
        if number % 25 == 24:
            await asyncio.sleep(0.1)
    await asyncio.sleep(2)
    print("ready", flush=True)
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return latencies


def _create_jobs(db: Database, count: int) -> list[str]:
    with db.write() as tx:
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=[NewLabel("crane")])
        spec = EncodeSpec(vocabulary_id=vocabulary.id, teacher="t", text="names")
        return [jobs.create(tx, spec, [NewPart(kind="encode", queue="gpu")]).id for _ in range(count)]


def measure(api: ApiProcess, options: argparse.Namespace) -> Iterator[Measurement]:
    """Latencies of polls without and with the streams, and of the events."""
    job_ids = _create_jobs(api.db, options.jobs)

    def poll() -> tuple[list[float], int]:
        path = f"/v1/jobs/{job_ids[0]}"
        found, failed, _ = asyncio.run(load.polls(api.port, path, per_s=POLLS_PER_S, seconds=options.seconds))
        return found, failed

    alone, _ = poll()
    yield Measurement("20 polls per second, alone", "", api_process.percentiles(alone), None)
    common = [*("--port", str(api.port), "--job-ids", ",".join(job_ids), "--seconds", str(options.seconds + 6))]
    command = [sys.executable, "-m", "benchmarks.responsiveness.streams", *common]
    environment = {**os.environ, "LIMBECK_DATABASE_URL": api.url}
    watcher = subprocess.Popen([*command, "--watch", str(options.streams)], stdout=subprocess.PIPE)
    assert watcher.stdout is not None
    watcher.stdout.readline()
    cpu_before, started = load.cpu_s(api.pid), time.monotonic()
    writer = subprocess.Popen([*command, "--write", str(options.events_per_s)], env=environment)
    beside, failed = poll()
    cpu_share = (load.cpu_s(api.pid) - cpu_before) / (time.monotonic() - started)
    writer.wait()
    latencies = json.loads(watcher.communicate()[0])
    cpu_ms = (load.cpu_s(api.pid) - cpu_before) * 1000 / max(len(latencies), 1)
    name = f"20 polls per second beside {options.streams} streams of {options.jobs} jobs"
    measured = f"{api_process.percentiles(beside)}, {cpu_share:.0%} of a core"
    yield Measurement(name, "p99 < 100 ms", measured, api_process.p99_s(beside) < 0.1 and not failed)
    num_sent = int(options.events_per_s * (options.seconds + 6))  # the writer ends before the streams
    expected = num_sent * options.streams / options.jobs
    arrived = f"{len(latencies) / expected:.1%} arrived, {cpu_ms:.2f} ms of CPU each, with the polls"
    measured = f"{api_process.percentiles(latencies)}, {arrived}"
    yield Measurement(f"{options.events_per_s:g} events per second, each to its streams", "all", measured, None)


def main() -> int:
    """Run the command line; returns 1 if a target is missed."""
    parser = api_process.parser(__doc__.splitlines()[0])
    parser.add_argument("--streams", type=int, default=500)
    parser.add_argument("--jobs", type=int, default=10)
    parser.add_argument("--events-per-s", type=float, default=10.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    for hidden in ("--watch", "--write", "--port", "--job-ids"):
        parser.add_argument(hidden, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.watch:
        ids = options.job_ids.split(",")
        print(json.dumps(asyncio.run(watch(int(options.port), ids, int(options.watch), options.seconds + 8))))
        return 0
    if options.write:
        ids = options.job_ids.split(",")
        write_events(os.environ["LIMBECK_DATABASE_URL"], ids, float(options.write), options.seconds)
        return 0
    return api_process.run(options.only, lambda api: measure(api, options))


if __name__ == "__main__":
    sys.exit(main())
