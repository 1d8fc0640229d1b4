"""Heartbeats: recorded at once and again, whatever the process does otherwise."""

import pytest
from sqlalchemy import update

from store.jobs import heartbeats
from store.models import Heartbeat
from tests.limbeck.processes import until
from tests.workers.enrich_bench import Bench
from workers.runtime import heartbeat


def test_a_worker_is_alive_while_its_threads_are_busy(bench_on_sqlite: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    context = bench_on_sqlite.context
    monkeypatch.setattr(heartbeat, "INTERVAL_S", 0.05)

    def alive() -> bool:
        with context.db.read() as tx:
            return heartbeats.alive(tx) == {"enrich": 1, "gpu": 1}

    thread = heartbeat.start_heartbeats(context, ["enrich", "gpu"])
    until(alive)
    with context.db.write() as tx:
        tx.execute(update(Heartbeat).values(at=0.0))
    until(alive)
    context.shutting_down.set()
    thread.join(timeout=10)
    assert not thread.is_alive()
