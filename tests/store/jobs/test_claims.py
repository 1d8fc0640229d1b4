"""Claims: one worker per part, leases that expire, and writes that a lost lease rejects. On both databases."""

import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text, update

from store.db import Database
from store.enrich import results
from store.enrich.results import ResultSlot
from store.errors import LeaseLost
from store.jobs import claims
from store.jobs.jobs import NewPart
from store.jobs.part_results import EncodeResult, TrainPartResult
from store.jobs.specs import DistillSpec, EncodeSpec
from store.lifecycle import transitions
from store.models import Job, Part
from tests.job_specs import NumberedResult
from tests.store.job_helpers import DISTILL_PARTS, LEASE_S, claim_next, create_job, get_job, must_claim_next


def test_concurrent_workers_claim_each_part_once(db: Database) -> None:
    for _ in range(5):
        create_job(db, *[NewPart(kind="describe", queue="enrich") for _ in range(10)], kind="enrich")
    claimed: list[str] = []

    def claim_all() -> None:
        num_empty = 0
        while num_empty < 3:
            with db.read() as tx:
                ready = claims.ready(tx, ["enrich"])
            num_empty = 0 if ready else num_empty + 1
            for part_id in ready:
                with db.write() as tx:
                    claim = claims.claim(tx, part_id, worker="w", lease_s=LEASE_S)
                if claim:
                    claimed.append(claim.part_id)

    threads = [threading.Thread(target=claim_all) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(claimed) == 50
    assert max(Counter(claimed).values()) == 1


def test_a_worker_that_lost_its_lease_cannot_write(db: Database) -> None:
    job_id = create_job(db)
    lost = must_claim_next(db, lease_s=-1)
    with db.write() as tx:
        assert transitions.requeue_expired(tx, max_attempts=3) == 1
        tx.execute(update(Part).values(not_before=0.0))
    current = must_claim_next(db)
    assert current.part_id == lost.part_id
    assert current.token != lost.token
    assert current.place != lost.place
    before = get_job(db, job_id)
    late_writes: list[Callable[..., object]] = [
        lambda tx: transitions.finish(tx, lost, NumberedResult(late=1)),
        lambda tx: transitions.fail(tx, lost, code="x", message="x"),
        lambda tx: transitions.fail_job(tx, lost, code="x", message="x"),
        lambda tx: transitions.release(tx, lost),
        lambda tx: claims.record_progress(tx, lost, done=9, total=9, unit="steps", rate=None),
        lambda tx: claims.save_state(tx, lost, "parts/late/state", units=1),
        lambda tx: claims.renew(tx, lost, lease_s=LEASE_S),
        lambda tx: claims.note(tx, lost, "message", "late"),
    ]
    for write in late_writes:
        with pytest.raises(LeaseLost), db.write() as tx:
            write(tx)
    after = get_job(db, job_id)
    assert (after.status, after.num_events, after.result) == (before.status, before.num_events, None)
    with db.write() as tx:
        transitions.finish(tx, current, NumberedResult(current=1))
    assert get_job(db, job_id).result == {"current": 1}


def test_another_process_of_an_attempt_has_its_claim_while_it_lasts(db: Database) -> None:
    create_job(db)
    claim = must_claim_next(db)
    with db.read() as tx:
        assert replace(claims.of_attempt(tx, claim.part_id, claim.token), claimed_at=claim.claimed_at) == claim
        for part_id, token in ((claim.part_id, "other"), ("prt_none", claim.token)):
            with pytest.raises(LeaseLost):
                claims.of_attempt(tx, part_id, token)
    with db.write() as tx:
        transitions.release(tx, claim)
    with db.read() as tx, pytest.raises(LeaseLost):
        claims.of_attempt(tx, claim.part_id, claim.token)


@pytest.mark.slow
def test_renewal_extends_the_lease(db: Database) -> None:
    create_job(db)
    claim = must_claim_next(db, lease_s=0.3)
    for _ in range(3):
        time.sleep(0.15)
        with db.write() as tx:
            assert claims.renew(tx, claim, lease_s=0.3)
            assert transitions.requeue_expired(tx, max_attempts=3) == 0


def test_next_part_is_of_the_same_job_and_of_a_later_stage(db: Database) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    create_job(db)
    claim = must_claim_next(db)
    with db.write() as tx:
        assert claims.next_part(tx, job_id, "gpu") is None  # the train part waits for the claimed part
        transitions.finish(tx, claim, NumberedResult())
        train_id = claims.next_part(tx, job_id, "gpu", after_stage=claim.stage)
        assert train_id is not None
        assert tx.get_one(Part, train_id).kind == "train"
        assert claims.next_part(tx, job_id, "gpu", after_stage=1) is None
        assert claims.next_part(tx, job_id, "enrich") is None


def test_result_of_is_the_typed_result_of_an_earlier_part(db: Database) -> None:
    create_job(db, *DISTILL_PARTS)
    result = EncodeResult(text_targets_id="ttg_1", teacher_id="tch_1", num_truncated=2)
    with db.write() as tx:
        transitions.finish(tx, must_claim_next(db), result)
    train = must_claim_next(db)
    with db.read() as tx:
        assert claims.result_of(tx, train, EncodeResult) == result
        assert claims.result_of(tx, train, TrainPartResult) is None


def test_a_claim_holds_the_parsed_spec_of_its_job(db: Database) -> None:
    create_job(db)
    claim = must_claim_next(db)
    assert claim.fault == ""
    assert claim.job(DistillSpec).recipe == "limbeck-small"
    with pytest.raises(TypeError, match="expected a EncodeSpec, got a DistillSpec"):
        claim.job(EncodeSpec)


@pytest.mark.parametrize(
    ("job_values", "part_values", "reason"),
    [
        ({"spec": {"recipe": "limbeck"}}, {}, r"dataset_id: Field required"),
        ({"kind": "none"}, {}, r"unknown kind 'none'"),
        ({}, {"spec": {"stop": 3}}, r"stop: Extra inputs are not permitted"),
    ],
)
def test_an_invalid_stored_spec_is_a_fault_of_the_claim(
    db: Database, job_values: dict[str, Any], part_values: dict[str, Any], reason: str
) -> None:
    create_job(db)
    with db.write() as tx:
        for row, values in ((Job, job_values), (Part, part_values)):
            if values:
                tx.execute(update(row).values(**values))
    claim = claim_next(db)
    assert claim is not None
    assert f"its train part is invalid ({reason})" in claim.fault


def test_an_event_does_not_block_the_results_of_its_part(db: Database) -> None:
    if db.is_sqlite:
        pytest.skip("SQLite has one writing transaction at a time")
    create_job(db, NewPart(kind="describe", queue="enrich"), kind="enrich")
    claim = must_claim_next(db)
    errors: list[BaseException] = []

    def add_event() -> None:
        try:
            with db.write() as tx:
                claims.note(tx, claim, "message", "half of it is done")
        except BaseException as error:
            errors.append(error)

    writer = threading.Thread(target=add_event)
    with db.write() as tx:
        claims.check(tx, claim)  # as before the results of a call are stored
        writer.start()
        _wait_for_a_blocked_transaction(db)  # it has the job, and waits for the part
        # The new row refers to the job.
        results.record_failures(tx, claim, [(ResultSlot(0, 0, 0), "timeout", "no response")])
    writer.join()
    assert errors == []


def _wait_for_a_blocked_transaction(db: Database) -> None:
    blocked = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    for _ in range(500):
        with db.read() as tx:
            if tx.scalar(blocked):
                return
        time.sleep(0.01)
    pytest.fail("no transaction waits for a lock")
