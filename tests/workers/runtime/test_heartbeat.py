"""Heartbeats: recorded at once and again, whatever the process does otherwise."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from store.db import Database
from store.jobs import heartbeats
from store.models import Heartbeat
from tests.limbeck.processes import until
from tests.workers.enrich_bench import Bench
from workers.runtime import heartbeat
from workers.runtime.context import Context
from workers.sweeper import Sweeper


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


@pytest.mark.parametrize("process", ["worker", "sweeper"])
def test_the_alive_file_is_touched_also_while_the_database_is_away(
    process: str, bench_on_sqlite: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart of the container would not bring the database back."""
    monkeypatch.setattr(heartbeat, "INTERVAL_S", 0.05)
    file = tmp_path / "alive"
    away = Database("postgresql+psycopg://nobody@127.0.0.1:1/none")
    settings = bench_on_sqlite.context.settings.model_copy(update={"alive_file": file, "sweep_s": 0.05})
    context = replace(bench_on_sqlite.context, settings=settings, db=away, shutting_down=threading.Event())
    thread = _start(process, context)
    until(file.exists)
    file.unlink()
    until(file.exists)
    context.shutting_down.set()
    thread.join(timeout=10)
    assert not thread.is_alive()
    away.dispose()


def test_an_alive_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    heartbeat.touch(tmp_path / "missing" / "alive")
    heartbeat.touch(None)


def _start(process: str, context: Context) -> threading.Thread:
    if process == "worker":
        return heartbeat.start_heartbeats(context, ["enrich"])
    thread = threading.Thread(target=Sweeper(context).run, daemon=True)
    thread.start()
    return thread
