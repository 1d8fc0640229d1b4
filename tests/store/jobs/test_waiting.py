"""What a job waits for: workers, earlier jobs, a retry. On both databases."""

import re

import pytest
from sqlalchemy import func, select

from store.db import Database
from store.jobs import claims, heartbeats, jobs, waiting
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.jobs.waiting import Waiting
from store.lifecycle import transitions
from store.models import Part
from tests.job_specs import job_spec


def create(db: Database, num_parts: int = 1) -> str:
    with db.write() as tx:
        parts = [NewPart(kind="encode", queue="gpu") for _ in range(num_parts)]
        return jobs.create(tx, job_spec("encode"), [*parts, NewPart(kind="train", queue="gpu", stage=1)]).id


def read(db: Database, job_id: str) -> Waiting | None:
    with db.read() as tx:
        return waiting.of_jobs(tx, [job_id, "job_none"]).get(job_id)


def test_a_job_waits_for_a_worker_then_for_earlier_jobs_and_then_for_its_turn(db: Database) -> None:
    first, second = create(db, 2), create(db)
    found = read(db, second)
    assert found == Waiting(name="gpu", ahead=2, running=0, workers=0, sweepers=0, retry_in_s=None)
    assert found.text == "no GPU worker is running"
    with db.write() as tx:
        heartbeats.record(tx, name="w:gpu", role="gpu")
        heartbeats.record(tx, name="w:enrich", role="enrich")
        claim = claims.claim(tx, claims.ready(tx, ["gpu"])[0], worker="w", lease_s=30)
        assert claim is not None
    found = read(db, second)
    assert found == Waiting(name="gpu", ahead=1, running=1, workers=1, sweepers=0, retry_in_s=None)
    assert found.text == "no sweeper is running"
    with db.write() as tx:
        heartbeats.record(tx, name="s", role="sweeper")
    found = read(db, second)
    assert found == Waiting(name="gpu", ahead=1, running=1, workers=1, sweepers=1, retry_in_s=None)
    assert found.text == "1 part of other jobs comes first"
    assert read(db, first) is None  # one of its parts runs
    with db.write() as tx:
        transitions.finish(tx, claim, PartResult())
        transitions.cancel(tx, first)
    assert read(db, first) is None  # it has ended
    found = read(db, second)
    assert found is not None
    assert found.text == "the next free GPU worker takes it"


def test_a_deferred_part_waits_for_its_next_attempt_and_delays_nobody(db: Database) -> None:
    first, second = create(db), create(db)
    with db.write() as tx:
        heartbeats.record(tx, name="w:gpu", role="gpu")
        heartbeats.record(tx, name="s", role="sweeper")
        claim = claims.claim(tx, claims.ready(tx, ["gpu"])[0], worker="w", lease_s=30)
        assert claim is not None
        transitions.defer(tx, claim, in_s=90.0)
    found, other = read(db, first), read(db, second)
    assert found is not None
    assert other is not None
    assert found.retry_in_s == pytest.approx(90, abs=10)
    assert re.fullmatch(r"the next attempt is in \d\d s", found.text)
    assert other.ahead == 0


def test_a_job_waits_for_a_worker_with_enough_gpus(db: Database) -> None:
    with db.write() as tx:
        job_id = jobs.create(tx, job_spec("distill"), [NewPart(kind="train", queue="gpu", num_gpus=4)]).id
        heartbeats.record(tx, name="w1:gpu", role="gpu", num_gpus=1)
        heartbeats.record(tx, name="w2:gpu", role="gpu", num_gpus=2)
        assert claims.ready(tx, ["gpu"], num_gpus=2) == []
        assert claims.next_part(tx, job_id, "gpu", num_gpus=2) is None
    found = read(db, job_id)
    assert found is not None
    assert (found.workers, found.text) == (0, "no GPU worker with 4 GPUs is running")
    with db.write() as tx:
        heartbeats.record(tx, name="w1:gpu", role="gpu", num_gpus=0)  # without GPUs, it runs all parts on its CPU
        heartbeats.record(tx, name="w2:gpu", role="gpu", num_gpus=8)
        heartbeats.record(tx, name="s", role="sweeper")
        assert claims.ready(tx, ["gpu"], num_gpus=4) == claims.ready(tx, ["gpu"]) != []
        assert claims.next_part(tx, job_id, "gpu", num_gpus=4) == claims.next_part(tx, job_id, "gpu") is not None
    found = read(db, job_id)
    assert found is not None
    assert (found.workers, found.text) == (2, "the next free GPU worker takes it")


def test_no_more_than_the_maximum_is_counted(db: Database) -> None:
    create(db, waiting.MAX_AHEAD + 5)
    found = read(db, create(db))
    assert found is not None
    assert found.ahead == waiting.MAX_AHEAD
    with db.read() as tx:
        assert tx.scalar(select(func.count()).select_from(Part)) == waiting.MAX_AHEAD + 8
    assert "at least 1,000 parts" in Waiting(**{**vars(found), "workers": 1, "sweepers": 1}).text


def test_the_parts_ahead_are_found_by_the_index_over_queued_parts(sqlite_db: Database) -> None:
    job_id = create(sqlite_db, 500)
    statement = waiting._WAITING.params(job_ids=waiting._job_ids([job_id]), fresh=0.0)
    compiled = statement.compile(sqlite_db.reader, compile_kwargs={"literal_binds": True})
    with sqlite_db.read() as tx:
        plan = "\n".join(map(str, tx.connection().exec_driver_sql(f"explain query plan {compiled}")))
    assert plan.count("ix_parts_queued") == 1, plan
    assert plan.count("ix_parts_urgency") == 2, plan
    assert "SCAN parts" not in plan
