"""How fast the service is, on SQLite and on Postgres: `python -m benchmarks.service [--only sqlite|postgres]`.

The API runs as it does in earnest, `python -m api` in a process of its own; what it is compared with and what writes
beside it run in others. Each figure is printed with its target and the machine, and the exit status is 1 where one is
missed. Downloads are compared with Starlette's StaticFiles under the same uvicorn: the way a Python service sends a
file when it does nothing else.
"""

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import make_url

from benchmarks import load
from store import resources, vocabularies
from store.artefacts import Artefacts
from store.db import Database
from store.enrich import results
from store.jobs import lifecycle
from store.migrate import upgrade
from store.models import EnrichResult, Job, Vocabulary
from store.vocabularies import NewLabel

NUM_LABELS = 100_000
FILE_BYTES = 512 * 2**20
POLLS_PER_S = 200
WRITES_PER_S = 100
POSTGRES = os.environ.get("LIMBECK_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Figure:
    """One measurement against its target."""

    what: str
    target: str
    measured: str
    ok: bool


@dataclass(frozen=True)
class Running:
    """A service to measure."""

    port: int
    pid: int
    db: Database
    url: str
    home: Path


def import_time() -> Figure:
    """Import of the API in a fresh interpreter: the best of five, for the rest of the machine is no part of it."""
    code = "import time; t = time.perf_counter(); import api.app; print(time.perf_counter() - t)"
    took = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(5)
    ]
    return Figure("import of the API", "< 1.5 s", f"{min(took):.2f} s", min(took) < 1.5)


def post_labels(run: Running) -> tuple[Figure, str]:
    """A POST of 100,000 labels as JSON; the figure, and the vocabulary's id."""
    labels = [{"name": f"species number {n}", "sense": None} for n in range(NUM_LABELS)]
    body = json.dumps({"name": "all", "domain": "birds", "labels": labels}).encode()
    took = load.request_s(run.port, "POST", "/v1/vocabularies", body, {**JSON, "Idempotency-Key": "bench"})
    peak = load.memory_mib(run.pid, "VmHWM")
    with run.db.read() as tx:
        (row,) = resources.page(tx, Vocabulary, limit=1, after=None)[0]
    measured = f"{took:.2f} s, {peak:.0f} MiB at the peak"
    return Figure("POST of 100,000 labels", "≤ 5 s, ≤ 300 MB", measured, took <= 5 and peak <= 300e6 / 2**20), row.id


def pages(run: Running, vocabulary_id: str) -> Figure:
    """The last page of 100,000 labels against the first, in turns; medians."""
    places: dict[str, list[float]] = {"": [], f"&after={NUM_LABELS - 101}": []}
    for _ in range(60):
        for place, took in places.items():
            took.append(load.request_s(run.port, "GET", f"/v1/vocabularies/{vocabulary_id}/labels?limit=100{place}"))
    first, last = (statistics.median(took) for took in places.values())
    measured = f"{last * 1000:.1f} ms, first {first * 1000:.1f} ms"
    return Figure("last page of 100,000 labels", "≤ 1.2 × first", measured, last <= 1.2 * first)


def poll_while_writing(run: Running, vocabulary_id: str, seconds: float) -> Figure:
    """200 polls a second of one job while another process writes its labels' answers."""
    body = json.dumps({"kind": "enrich", "vocabulary_id": vocabulary_id}).encode()
    load.request_s(run.port, "POST", "/v1/jobs", body, JSON)
    with run.db.read() as tx:
        job_id = resources.page(tx, Job, limit=1, after=None)[0][0].id
    arguments = ["-m", "benchmarks.service", "--write", job_id, "--seconds", str(seconds + 3)]
    with load.process(arguments, {"LIMBECK_DATABASE_URL": run.url}):
        while _written(run, job_id) == 0:
            time.sleep(0.1)
        before, started = _written(run, job_id), time.monotonic()
        latencies, failed, took = asyncio.run(
            load.polls(run.port, f"/v1/jobs/{job_id}", per_s=POLLS_PER_S, seconds=seconds)
        )
        writes = (_written(run, job_id) - before) / (time.monotonic() - started)
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
    measured = f"{len(latencies) / took:.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {writes:.0f} labels/s written"
    if failed:
        measured += f", {failed} failed"
    ok = p99 < 50 and not failed and writes > 0.8 * WRITES_PER_S
    return Figure("job polls while an enrichment writes", "200/s, p99 < 50 ms", measured, ok)


def _written(run: Running, job_id: str) -> int:
    with run.db.read() as tx:
        return tx.query(EnrichResult).filter_by(job_id=job_id).count()


def write(job_id: str, seconds: float, url: str) -> None:
    """Write answers of a job's labels as an enrich worker does: each a commit of its own."""
    db = Database(url)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with db.write() as tx:
            claims = (
                lifecycle.claim(tx, id, worker="bench", lease_s=60) for id in lifecycle.ready(tx, ["enrich"], limit=1)
            )
            claim = next((claim for claim in claims if claim), None)
        if claim is None or claim.job_id != job_id:
            raise RuntimeError("nothing left to write")
        start, stop = claim.spec["start"], claim.spec["stop"]
        began = time.monotonic()
        for number, position in enumerate(range(start, stop)):
            _write_one(db, claim, position)
            if number % 20 == 19:
                with db.write() as tx:
                    lifecycle.progress(
                        tx, claim, done=number + 1, total=stop - start, unit="labels", rate=float(WRITES_PER_S)
                    )
            time.sleep(max(0.0, began + (number + 1) / WRITES_PER_S - time.monotonic()))
        with db.write() as tx:
            lifecycle.finish(tx, claim, {})
    db.dispose()


def _write_one(db: Database, claim: lifecycle.Claim, position: int) -> None:
    lines: list[Any] = [
        {
            "kind": "phrase",
            "text": f"a long part {n} of {position}",
            "part": f"part {n}",
            "value": "long",
            "origin": "llm",
        }
        for n in range(6)
    ]
    text = f"Species number {position} has a long, slender body and a short tail. " * 2
    lines.insert(0, {"kind": "sentence", "text": text, "origin": "llm"})
    key = f"{position:064}"
    call = {
        "position": position,
        "key": key,
        "strategy": "describe@1",
        "model": "m",
        "mode": "live",
        "attempt": 1,
        "status": "ok",
        "http_status": 200,
        "prompt_tokens": 300,
        "cached_tokens": None,
        "completion_tokens": 150,
        "cost_pusd": None,
        "latency_s": 0.5,
    }
    answer = {
        "key": key,
        "model": "m",
        "base_url": "",
        "strategy": "describe@1",
        "messages": [{"role": "user", "content": "Describe it. " * 40}],
        "answer": json.dumps(lines),
        "lines": lines,
        "other_lines": None,
        "flags": [],
    }
    with db.write() as tx:
        lifecycle.check(tx, claim)
        results.record_calls(tx, claim, [call])
        results.record_answers(tx, [answer])
        results.record_results(tx, claim, [(results.Place(0, position), key)])


def download(run: Running) -> Figure:
    """A file of 512 MiB from the service and from StaticFiles, in turns, and what the service's memory grew by."""
    artefacts = Artefacts(f"file://{run.home / 'artefacts'}")
    source = run.home / "big"
    with source.open("wb") as out:
        for _ in range(FILE_BYTES // 2**20):
            out.write(os.urandom(2**20))
    stored = artefacts.put_file(source, "bench/big")
    path = f"/v1/checkpoints/{_publish(run.db, stored)}/files/image/model.safetensors"
    port = load.free_port()
    with load.process(["-m", "benchmarks.service", "--static", str(run.home), "--port", str(port)], {}) as child:
        load.wait_for(f"http://127.0.0.1:{port}/", child)
        took: dict[str, list[float]] = {"static": [], "service": []}
        load.download_s(port, "/big", FILE_BYTES)
        load.download_s(run.port, path, FILE_BYTES)
        load.forget_peak(run.pid)
        before = load.memory_mib(run.pid, "VmRSS")
        for _ in range(5):
            took["static"].append(load.download_s(port, "/big", FILE_BYTES))
            took["service"].append(load.download_s(run.port, path, FILE_BYTES))
        grown = max(0.0, load.memory_mib(run.pid, "VmHWM") - before)
    speed = {name: FILE_BYTES / 1e6 / statistics.median(each) for name, each in took.items()}
    share = speed["service"] / speed["static"]
    measured = f"{share:.2f} × ({speed['service']:.0f} and {speed['static']:.0f} MB/s), memory +{grown:.0f} MiB"
    return Figure("download, against StaticFiles", "≥ 0.8 ×, flat memory", measured, share >= 0.8 and grown < 16)


def _publish(db: Database, stored: Any) -> str:
    with db.write() as tx:
        row = vocabularies.create(tx, name="v", domain="", labels=[NewLabel("crane")])
        job = lifecycle.create(tx, "distill", {}, [])
        teacher = resources.put_teacher(
            tx, ref="t", digest="0" * 64, width=8, context_length=77, logit_scale=1.0, preprocess={}, tokenizer_key="t"
        )
        targets = resources.add_text_targets(
            tx,
            vocabulary_id=row.id,
            attribute_set_id=None,
            teacher_id=teacher.id,
            job_id=job.id,
            text="names",
            num_labels=1,
            width=8,
            report={},
            file=stored,
        )
        dataset = resources.add_dataset(
            tx,
            id="dst_bench",
            vocabulary_id=row.id,
            name="d",
            path="d",
            split={},
            counts={},
            digest="0" * 64,
            manifest_key="m",
        )
        made = resources.add_checkpoint(
            tx,
            id="ckp_bench",
            job_id=job.id,
            dataset_id=dataset.id,
            vocabulary_id=row.id,
            attribute_set_id=None,
            text_targets_id=targets.id,
            teacher_id=teacher.id,
            student="s",
            text="names",
            evaluation={},
            digest="0" * 64,
            files=[("image/model.safetensors", stored)],
        )
        return made.id


def serve_static(folder: str, port: int) -> None:
    """What downloads are compared with."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder))])
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="error")


@contextmanager
def database(kind: str, home: Path) -> Iterator[str]:
    """The URL of a fresh database. Raises psycopg.OperationalError where there is no server."""
    if kind == "sqlite":
        yield f"sqlite:///{home / 'limbeck.db'}"
        return
    name = f"limbeck_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(POSTGRES, autocommit=True, connect_timeout=5) as admin:
        admin.execute(f'create database "{name}"'.encode())
        try:
            url = make_url(POSTGRES).set(drivername="postgresql+psycopg", database=name)
            yield url.render_as_string(hide_password=False)
        finally:
            admin.execute(f'drop database "{name}" with (force)'.encode())


def measure(kind: str, seconds: float, show: Callable[[Figure], None]) -> None:
    """All figures of the service over one kind of database."""
    with tempfile.TemporaryDirectory() as scratch, database(kind, Path(scratch)) as url:
        home = Path(scratch)
        db = Database(url)
        upgrade(db)
        port = load.free_port()
        environment: Mapping[str, str] = {
            "LIMBECK_HOME": str(home),
            "LIMBECK_DATABASE_URL": url,
            "LIMBECK_PORT": str(port),
            "LIMBECK_HOST": "127.0.0.1",
            "LIMBECK_ARTEFACTS_URL": "",
            "LIMBECK_REDIS_URL": "",
            "LIMBECK_LLM_MODEL": "m",
        }
        with load.process(["-m", "api"], environment) as child:
            load.wait_for(f"http://127.0.0.1:{port}/healthz", child)
            run = Running(port, child.pid, db, url, home)
            figure, vocabulary_id = post_labels(run)
            show(figure)
            show(pages(run, vocabulary_id))
            show(poll_while_writing(run, vocabulary_id, seconds))
            show(download(run))
        db.dispose()


def main() -> int:
    """Measure everything and print the table; 1 where a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    parser.add_argument("--seconds", type=float, default=15.0, help="how long to poll")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--static", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.write:
        write(asked.write, asked.seconds, os.environ["LIMBECK_DATABASE_URL"])
        return 0
    if asked.static:
        serve_static(asked.static, asked.port)
        return 0
    table = Table("", "database", "target", "measured", "", title=load.machine(), title_justify="left")
    missed = 0

    def shown(kind: str) -> Callable[[Figure], None]:
        def show(figure: Figure) -> None:
            nonlocal missed
            missed += not figure.ok
            table.add_row(figure.what, kind, figure.target, figure.measured, "ok" if figure.ok else "MISSED")

        return show

    shown("")(import_time())
    for kind in ("sqlite", "postgres") if asked.only is None else (asked.only,):
        try:
            measure(kind, asked.seconds, shown(kind))
        except psycopg.OperationalError as error:
            table.add_row("all", kind, "", f"skipped: no server ({error})".strip(), "")
    Console(width=150).print(table)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
