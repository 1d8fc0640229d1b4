"""Speed of the service on SQLite and on Postgres: `python -m benchmarks.service [--only sqlite|postgres]`.

The API runs as in production (`python -m api`) in its own process; the concurrent writer and the baseline run in other
processes. Prints each measurement with its target and the machine; the exit code is 1 if a target is missed. The
baseline of downloads is Starlette's StaticFiles under the same uvicorn, which does nothing but send the file.
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

import psycopg
from rich.console import Console
from rich.table import Table
from sqlalchemy.engine import make_url

from benchmarks import load
from benchmarks.measurement import Measurement
from store import resources, vocabularies
from store.artefacts import Artefacts, StoredArtefact
from store.blobs.writing import StoredFiles, store_files
from store.db import Database
from store.enrich import results
from store.jobs import claims, jobs
from store.jobs.part_results import PartResult
from store.jobs.specs import EncodeSpec, RangeSpec
from store.json_types import LineJSON
from store.lifecycle import transitions
from store.migrate import upgrade
from store.models import Checkpoint, EnrichResult, Job, Vocabulary
from store.vocabularies import NewLabel

NUM_LABELS = 100_000
FILE_BYTES = 512 * 2**20
POLLS_PER_S = 200
WRITES_PER_S = 100
POSTGRES = os.environ.get("LIMBECK_TEST_POSTGRES", "postgresql://postgres@127.0.0.1:5432/postgres")
JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class ApiUnderTest:
    """The API process under test, and its database and home folder."""

    port: int
    pid: int
    db: Database
    url: str
    home: Path


def import_time() -> Measurement:
    """Import time of the API in a fresh interpreter; the best of five, to exclude other load on the machine."""
    code = "import time; t = time.perf_counter(); import api.app; print(time.perf_counter() - t)"
    times_s = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(5)
    ]
    return Measurement("import of the API", "< 1.5 s", f"{min(times_s):.2f} s", min(times_s) < 1.5)


def post_labels(run: ApiUnderTest) -> tuple[Measurement, str]:
    """Time and peak memory of a POST of 100,000 labels as JSON; also returns the id of the vocabulary."""
    labels = [{"name": f"species number {n}", "sense": None} for n in range(NUM_LABELS)]
    body = json.dumps({"name": "all", "domain": "birds", "labels": labels}).encode()
    elapsed_s = load.request_s(run.port, "POST", "/v1/vocabularies", body, {**JSON, "Idempotency-Key": "bench"})
    peak_mib = load.memory_mib(run.pid, "VmHWM")
    with run.db.read() as tx:
        (row,) = resources.page(tx, Vocabulary, limit=1, after=None)[0]
    measured = f"{elapsed_s:.2f} s, peak {peak_mib:.0f} MiB"
    return Measurement(
        "POST of 100,000 labels", "≤ 5 s, ≤ 300 MB", measured, elapsed_s <= 5 and peak_mib <= 300e6 / 2**20
    ), row.id


def pages(run: ApiUnderTest, vocabulary_id: str) -> Measurement:
    """Median time of the last page of 100,000 labels, compared with the first page; requests alternate."""
    times_s: dict[str, list[float]] = {"": [], f"&after={NUM_LABELS - 101}": []}
    for _ in range(60):
        for query, each in times_s.items():
            each.append(load.request_s(run.port, "GET", f"/v1/vocabularies/{vocabulary_id}/labels?limit=100{query}"))
    first, last = (statistics.median(each) for each in times_s.values())
    measured = f"{last * 1000:.1f} ms, first {first * 1000:.1f} ms"
    return Measurement("last page of 100,000 labels", "≤ 1.2 × first", measured, last <= 1.2 * first)


def poll_while_writing(run: ApiUnderTest, vocabulary_id: str, seconds: float) -> Measurement:
    """Latency of 200 polls per second of one job while another process writes the results of its labels."""
    body = json.dumps({"kind": "enrich", "vocabulary_id": vocabulary_id}).encode()
    load.request_s(run.port, "POST", "/v1/jobs", body, JSON)
    with run.db.read() as tx:
        job_id = resources.page(tx, Job, limit=1, after=None)[0][0].id
    arguments = ["-m", "benchmarks.service", "--write", job_id, "--seconds", str(seconds + 3)]
    with load.process(arguments, {"LIMBECK_DATABASE_URL": run.url}):
        while _num_written(run, job_id) == 0:
            time.sleep(0.1)
        num_before, start = _num_written(run, job_id), time.monotonic()
        latencies, num_failed, elapsed_s = asyncio.run(
            load.polls(run.port, f"/v1/jobs/{job_id}", per_s=POLLS_PER_S, seconds=seconds)
        )
        writes_per_s = (_num_written(run, job_id) - num_before) / (time.monotonic() - start)
    latencies.sort()
    p50, p99 = (latencies[int(len(latencies) * share)] * 1000 for share in (0.5, 0.99))
    polls_per_s = len(latencies) / elapsed_s
    measured = f"{polls_per_s:.0f}/s, p50 {p50:.1f} ms, p99 {p99:.1f} ms, {writes_per_s:.0f} labels/s written"
    if num_failed:
        measured += f", {num_failed} failed"
    ok = p99 < 50 and not num_failed and writes_per_s > 0.8 * WRITES_PER_S
    return Measurement("job polls while an enrichment writes", "200/s, p99 < 50 ms", measured, ok)


def _num_written(run: ApiUnderTest, job_id: str) -> int:
    with run.db.read() as tx:
        return tx.query(EnrichResult).filter_by(job_id=job_id).count()


def write(job_id: str, seconds: float, url: str) -> None:
    """Write the results of a job's labels as an enrich worker does, with one commit per label."""
    db = Database(url)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with db.write() as tx:
            claim = None
            for part_id in claims.ready(tx, ["enrich"], limit=1):
                claim = claims.claim(tx, part_id, worker="bench", lease_s=60)
        if claim is None or claim.job_id != job_id:
            raise RuntimeError("no part of the job is left to write: shorten --seconds")
        part = claim.part(RangeSpec)
        start, stop = part.start, part.stop
        start_s = time.monotonic()
        for number, position in enumerate(range(start, stop)):
            _write_one(db, claim, position)
            if number % 20 == 19:
                with db.write() as tx:
                    claims.record_progress(
                        tx, claim, done=number + 1, total=stop - start, unit="labels", rate=float(WRITES_PER_S)
                    )
            time.sleep(max(0.0, start_s + (number + 1) / WRITES_PER_S - time.monotonic()))
        with db.write() as tx:
            transitions.finish(tx, claim, PartResult())
    db.dispose()


def _write_one(db: Database, claim: claims.Claim, position: int) -> None:
    lines: list[LineJSON] = [
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
        claims.check(tx, claim)
        results.record_calls(tx, claim, [call])
        results.record_responses(tx, [answer])
        results.record_results(tx, claim, [(results.ResultSlot(0, position), key)])


def download(run: ApiUnderTest) -> Measurement:
    """Download speed of a file of 512 MiB, compared with StaticFiles in turns, and the growth of the API's memory."""
    artefacts = Artefacts(f"file://{run.home / 'artefacts'}")
    source = run.home / "big"
    with source.open("wb") as out:
        for _ in range(FILE_BYTES // 2**20):
            out.write(os.urandom(2**20))
    stored = artefacts.put_file(source, "bench/big")
    files = store_files(run.db, artefacts, [("image/model.safetensors.bin", source)], place="bench")
    path = f"/v1/checkpoints/{_publish(run.db, stored, files)}/files/image/model.safetensors.bin"
    port = load.free_port()
    with load.process(["-m", "benchmarks.service", "--static", str(run.home), "--port", str(port)], {}) as child:
        load.wait_for(f"http://127.0.0.1:{port}/", child)
        times_s: dict[str, list[float]] = {"static": [], "service": []}
        load.download_s(port, "/big", FILE_BYTES)
        load.download_s(run.port, path, FILE_BYTES)
        load.reset_peak_memory(run.pid)
        before_mib = load.memory_mib(run.pid, "VmRSS")
        for _ in range(5):
            times_s["static"].append(load.download_s(port, "/big", FILE_BYTES))
            times_s["service"].append(load.download_s(run.port, path, FILE_BYTES))
        growth_mib = max(0.0, load.memory_mib(run.pid, "VmHWM") - before_mib)
    speed = {name: FILE_BYTES / 1e6 / statistics.median(each) for name, each in times_s.items()}
    ratio = speed["service"] / speed["static"]
    measured = f"{ratio:.2f} × ({speed['service']:.0f} and {speed['static']:.0f} MB/s), memory +{growth_mib:.0f} MiB"
    return Measurement(
        "download, against StaticFiles", "≥ 0.8 ×, flat memory", measured, ratio >= 0.8 and growth_mib < 16
    )


def _publish(db: Database, stored: StoredArtefact, files: StoredFiles) -> str:
    with db.write() as tx:
        row = vocabularies.create(tx, name="v", domain="", labels=[NewLabel("crane")])
        job = jobs.create(tx, EncodeSpec(vocabulary_id=row.id, teacher="t", text="names"), [])
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
            Checkpoint(
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
            ),
            files=files,
        )
        return made.id


def serve_static(folder: str, port: int) -> None:
    """Serve a folder with StaticFiles: the baseline of downloads."""
    import uvicorn
    from starlette.applications import Starlette
    from starlette.routing import Mount
    from starlette.staticfiles import StaticFiles

    app = Starlette(routes=[Mount("/", StaticFiles(directory=folder))])
    uvicorn.run(app, host="127.0.0.1", port=port, access_log=False, log_level="error")


@contextmanager
def database(kind: str, home: Path) -> Iterator[str]:
    """The URL of a fresh database. Raises psycopg.OperationalError if there is no server."""
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


def measure(kind: str, seconds: float, show: Callable[[Measurement], None]) -> None:
    """Measure the service on one kind of database; `show` receives each measurement."""
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
            run = ApiUnderTest(port, child.pid, db, url, home)
            measurement, vocabulary_id = post_labels(run)
            show(measurement)
            show(pages(run, vocabulary_id))
            show(poll_while_writing(run, vocabulary_id, seconds))
            show(download(run))
        db.dispose()


def main() -> int:
    """Run the command line: print the table; returns 1 if a target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=["sqlite", "postgres"])
    parser.add_argument("--seconds", type=float, default=15.0, help="duration of the polling")
    parser.add_argument("--write", help=argparse.SUPPRESS)
    parser.add_argument("--static", help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.write:
        write(arguments.write, arguments.seconds, os.environ["LIMBECK_DATABASE_URL"])
        return 0
    if arguments.static:
        serve_static(arguments.static, arguments.port)
        return 0
    table = Table("", "database", "target", "measured", "", title=load.machine(), title_justify="left")
    num_missed = 0

    def show_on(kind: str) -> Callable[[Measurement], None]:
        def show(one: Measurement) -> None:
            nonlocal num_missed
            num_missed += not one.ok
            table.add_row(one.name, kind, one.target, one.measured, one.verdict)

        return show

    show_on("")(import_time())
    for kind in ("sqlite", "postgres") if arguments.only is None else (arguments.only,):
        try:
            measure(kind, arguments.seconds, show_on(kind))
        except psycopg.OperationalError as error:
            table.add_row("all", kind, "", f"skipped: no server ({error})".strip(), "")
    Console(width=150).print(table)
    return 1 if num_missed else 0


if __name__ == "__main__":
    sys.exit(main())
