"""Running totals of counters: increments, folding, bounds, and what each transition counts."""

import threading

from sqlalchemy import func, select

from store.db import Database
from store.jobs import counters, live_figures
from store.jobs.counters import LLM_CALLS, LLM_COST, Series
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.lifecycle import transitions
from store.models import CounterIncrement, CounterTotal
from tests.store.job_helpers import create_job, must_claim_next


def _add(db: Database, *increments: counters.Increment) -> None:
    with db.write() as tx:
        counters.add(tx, increments)


def _fold(db: Database) -> int:
    with db.write() as tx:
        return counters.fold(tx)


def _totals(db: Database) -> dict[Series, float]:
    with db.read() as tx:
        return dict(counters.totals(tx))


def test_totals_include_increments_before_and_after_folding(db: Database) -> None:
    ok = ("limbeck_llm_calls", ("m", "ok"))
    _add(db, LLM_CALLS.increment(1, "m", "ok"), LLM_CALLS.increment(2, "m", "ok"), LLM_COST.increment(0.0, "m"))
    assert _totals(db) == {ok: 3}
    assert (_fold(db), _fold(db)) == (1, 0)
    _add(db, LLM_CALLS.increment(4, "m", "ok"), LLM_CALLS.increment(1, "m", "timeout"))
    before = _totals(db)
    _fold(db)
    assert _totals(db) == before == {ok: 7, ("limbeck_llm_calls", ("m", "timeout")): 1}


def test_two_sweepers_fold_each_increment_once(db: Database) -> None:
    for number in range(40):
        _add(db, LLM_CALLS.increment(1, f"m{number % 3}", "ok"))
    threads = [threading.Thread(target=_fold, args=(db,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _fold(db)
    assert sum(_totals(db).values()) == 40
    with db.read() as tx:
        assert tx.scalar(select(func.count()).select_from(CounterIncrement)) == 0
        assert tx.scalar(select(func.sum(CounterTotal.value))) == 40


def test_names_that_clients_choose_cannot_make_series_without_bound(db: Database) -> None:
    num_models = counters.MAX_SERIES + 50
    _add(db, *(LLM_CALLS.increment(1, f"m{number:05}" + "x" * 500, "ok") for number in range(num_models)))
    for _ in range(2):
        found = _totals(db)
        assert len(found) == counters.MAX_SERIES + 1
        assert found["limbeck_llm_calls", (counters.OTHER, "ok")] == 50
        assert max(len(values[0]) for _, values in found) == 100
        _fold(db)


def test_every_end_of_a_part_is_counted_with_its_reason(db: Database) -> None:
    create_job(db, NewPart(kind="train", queue="gpu"))
    with db.write() as tx:
        transitions.defer(tx, must_claim_next(db), in_s=0.0)
    with db.write() as tx:
        transitions.fail(tx, must_claim_next(db), code="disk_full", message="m", retry_in_s=0.0, max_attempts=4)
    with db.write() as tx:
        transitions.finish(tx, must_claim_next(db), PartResult())
    create_job(db, NewPart(kind="train", queue="gpu"))
    with db.write() as tx:
        transitions.fail(tx, must_claim_next(db), code="gpu_out_of_memory", message="m")
    create_job(db, NewPart(kind="train", queue="gpu"))
    must_claim_next(db, lease_s=-1)
    with db.write() as tx:
        transitions.requeue_expired(tx, max_attempts=1)
    totals = _totals(db)
    counted = {series: value for series, value in totals.items() if not series[0].endswith("_sum")}
    assert counted == {
        ("limbeck_part_seconds_bucket", ("train", "released", "1")): 1,
        ("limbeck_part_seconds_bucket", ("train", "retried", "1")): 1,
        ("limbeck_part_seconds_bucket", ("train", "succeeded", "1")): 1,
        ("limbeck_part_seconds_bucket", ("train", "failed", "1")): 1,
        ("limbeck_part_failures", ("train", "disk_full")): 1,
        ("limbeck_part_failures", ("train", "gpu_out_of_memory")): 1,
        ("limbeck_part_failures", ("train", "worker_lost")): 1,
        ("limbeck_jobs_ended", ("distill", "succeeded")): 1,
        ("limbeck_jobs_ended", ("distill", "failed")): 2,
        ("limbeck_job_failures", ("distill", "gpu_out_of_memory")): 1,
        ("limbeck_job_failures", ("distill", "worker_lost")): 1,
    }


def test_the_age_of_a_queue_is_that_of_its_first_part_that_is_due(db: Database) -> None:
    create_job(db, NewPart(kind="encode", queue="gpu"), NewPart(kind="train", queue="gpu", stage=1))
    with db.write() as tx:
        transitions.defer(tx, must_claim_next(db), in_s=3600.0)
    with db.read() as tx:
        assert live_figures.queues(tx)["gpu"].depth == 0
    create_job(db, NewPart(kind="train", queue="gpu"))
    with db.read() as tx:
        figures = live_figures.queues(tx)
        assert live_figures.live_parts(tx) == {("gpu", "queued"): 2, ("gpu", "waiting"): 1}
    assert (figures["gpu"].depth, figures["enrich"].depth) == (1, 0)
    assert 0 <= figures["gpu"].oldest_s < 60
