"""Time of a scrape of `/metrics` over a full database: `python -m benchmarks.responsiveness.scrape`.

By default 100,000 ended jobs with two parts each, 1,000 queued parts, 1,000,000 LLM calls, 500 series of counters, and
the increments of ten seconds that the sweeper has not folded yet.
"""

import sys
import time
from collections.abc import Iterator
from typing import Any

from sqlalchemy import insert

from benchmarks import load
from benchmarks.measurement import Measurement
from benchmarks.responsiveness import api_process
from benchmarks.responsiveness.api_process import ApiProcess
from store.jobs import counters
from store.models import Job, LLMCall, Part

_ROWS_AT_ONCE = 5_000


def _job(number: int, status: str) -> dict[str, Any]:
    spec = {"kind": "encode", "vocabulary_id": "voc_1", "teacher": "t", "text": "names", "note": "x" * 300}
    return {
        "id": f"job_{number:08}",
        "kind": "encode",
        "status": status,
        "spec": spec,
        "tally": [],
        "num_events": 3,
        "created_at": 1.0,
    }


def _part(number: int, position: int, status: str) -> dict[str, Any]:
    return {
        "id": f"prt_{number:08}_{position}",
        "job_id": f"job_{number:08}",
        "position": position,
        "kind": "encode",
        "queue": "gpu",
        "status": status,
        "stage": 0,
        "spec": {"padding": "x" * 100},
        "attempts": 1,
        "not_before": 0.0,
        "queued_at": time.time(),
        "done": 1,
        "total": 1,
        "unit": "texts",
        "holds_budget": False,
    }


def _call(number: int, num_jobs: int) -> dict[str, Any]:
    return {
        "id": f"cal_{number:08}",
        "job_id": f"job_{number % num_jobs:08}",
        "position": number,
        "key": f"{number:064}",
        "strategy": "describe@1",
        "model": "m",
        "mode": "live",
        "attempt": 1,
        "status": "ok",
        "latency_s": 0.5,
        "created_at": 1.0,
    }


def fill(api: ApiProcess, num_jobs: int, num_calls: int) -> None:
    """Insert the rows."""

    def put(model: Any, rows: Iterator[dict[str, Any]]) -> None:
        batch: list[dict[str, Any]] = []
        with api.db.write() as tx:
            for row in rows:
                batch.append(row)
                if len(batch) == _ROWS_AT_ONCE:
                    tx.connection().execute(insert(model.__table__), batch)
                    batch = []
            if batch:
                tx.connection().execute(insert(model.__table__), batch)

    num_queued = 1_000
    put(Job, (_job(number, "queued" if number < num_queued else "succeeded") for number in range(num_jobs)))
    statuses = ("queued", "succeeded")
    put(Part, (_part(number, at, statuses[number >= num_queued]) for number in range(num_jobs) for at in range(2)))
    put(LLMCall, (_call(number, num_jobs) for number in range(num_calls)))
    with api.db.write() as tx:
        counters.add(tx, [counters.LLM_CALLS.increment(1, f"model-{number}", "ok") for number in range(500)])
    with api.db.write() as tx:
        counters.fold(tx)
    for _ in range(200):
        with api.db.write() as tx:
            counters.add(tx, [counters.LLM_CALLS.increment(1, f"model-{number}", "ok") for number in range(5)])


def measure(api: ApiProcess, num_jobs: int, num_calls: int) -> Iterator[Measurement]:
    """Latencies of one scrape per second."""
    fill(api, num_jobs, num_calls)
    times_s = [load.request_s(api.port, "GET", "/metrics") for _ in range(20)]
    name = f"scrape with {num_jobs:,} jobs and {num_calls:,} calls"
    yield Measurement(name, "p99 < 500 ms", api_process.percentiles(times_s), api_process.p99_s(times_s) < 0.5)


def main() -> int:
    """Run the command line; returns 1 if a target is missed."""
    parser = api_process.parser(__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=1_000_000)
    options = parser.parse_args()
    return api_process.run(options.only, lambda api: measure(api, options.jobs, options.calls))


if __name__ == "__main__":
    sys.exit(main())
