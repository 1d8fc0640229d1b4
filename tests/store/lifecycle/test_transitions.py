"""Transitions of parts and jobs: stages, failures, retries, cancelling and expired leases. On both databases."""

import time

import pytest
from sqlalchemy import select, text

from store import vocabularies
from store.clock import now_s
from store.db import Database
from store.jobs import claims, jobs
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.jobs.specs import RangeSpec
from store.lifecycle import transitions
from store.models import Part
from store.vocabularies import NewLabel
from tests.job_specs import NumberedResult, describe_spec
from tests.store.job_helpers import (
    DISTILL_PARTS,
    LEASE_S,
    claim_next,
    create_job,
    get_job,
    must_claim_next,
    part_statuses,
)


def test_parts_run_in_order_and_the_last_one_ends_the_job(db: Database) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    for step, kind in enumerate(["encode", "train", "evaluate"]):
        claim = must_claim_next(db)
        assert claim.kind == kind
        assert get_job(db, job_id).status == "running"
        assert claim_next(db) is None
        with db.write() as tx:
            transitions.finish(tx, claim, NumberedResult(**{kind: step}))
    job = get_job(db, job_id)
    assert (job.status, job.result) == ("succeeded", {"encode": 0, "train": 1, "evaluate": 2})
    assert job.finished_at is not None


def test_a_stage_waits_for_every_part_of_the_previous_stage(db: Database) -> None:
    stages = ((0, "a"), (0, "b"), (2, "c"))
    parts = [NewPart(kind=kind, queue="enrich", stage=stage) for stage, kind in stages]
    job_id = create_job(db, *parts, kind="enrich")
    first, second = must_claim_next(db), must_claim_next(db)
    assert claim_next(db) is None
    with db.write() as tx:
        transitions.finish(tx, second, PartResult())
    assert claim_next(db) is None
    with db.write() as tx:  # an enrich job continues after a failed part
        transitions.fail(tx, first, code="no", message="no")
    assert must_claim_next(db).kind == "c"
    assert get_job(db, job_id).status == "running"


def test_a_part_that_ends_while_its_job_is_cancelled_starts_nothing_that_it_has_added(db: Database) -> None:
    job_id = create_job(db, DISTILL_PARTS[0])
    claim = must_claim_next(db)
    with db.write() as tx:
        transitions.cancel(tx, job_id)
    with db.write() as tx:
        jobs.add_parts(tx, claim, [NewPart(kind="train", queue="gpu", stage=claim.stage + 1)])
        transitions.finish(tx, claim, PartResult())
    assert (claim_next(db), get_job(db, job_id).status) == (None, "cancelled")


@pytest.mark.slow
def test_a_deferred_part_is_queued_again_without_counting_an_attempt(db: Database) -> None:
    create_job(db)
    with db.write() as tx:
        transitions.defer(tx, must_claim_next(db), in_s=0.3)
    assert claim_next(db) is None
    time.sleep(0.35)
    assert must_claim_next(db).attempt == 1


def test_a_released_part_is_queued_again_without_counting_an_attempt(db: Database) -> None:
    create_job(db)
    for _ in range(5):
        claim = must_claim_next(db)
        assert claim.attempt == 1
        with db.write() as tx:
            transitions.release(tx, claim)


def test_the_last_lost_attempt_fails_with_worker_lost(db: Database) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    for _ in range(3):
        must_claim_next(db, lease_s=-1)
        with db.write() as tx:
            transitions.requeue_expired(tx, max_attempts=3)
            tx.execute(text("update parts set not_before = 0"))
    job = get_job(db, job_id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "worker_lost"
    assert part_statuses(db) == ["failed", "cancelled", "cancelled"]


def test_only_attempts_without_a_new_state_count_and_each_waits_longer(db: Database) -> None:
    """A training that is killed after steps 7, 14, 21 … goes on for ever; one that saves nothing new does not."""
    job_id = create_job(db)

    def lose(saved: int | None) -> float:
        claim = must_claim_next(db)
        with db.write() as tx:
            if saved is not None:
                claims.save_state(tx, claim, f"{claim.place}/state/1", units=saved)
            transitions.lose(tx, claim.part_id, claim.token, code="worker_lost", message="killed", max_attempts=3)
        with db.write() as tx:
            wait_s: float = tx.scalar(select(Part.not_before - now_s())) or 0.0
            tx.execute(text("update parts set not_before = 0"))
        return wait_s

    assert all(lose(step) <= 0 for step in range(7, 70, 7))
    assert get_job(db, job_id).status == "running"
    first, second = lose(63), lose(None)  # the state of an earlier step, and none
    assert 0.5 < first < 2.1 < 2.5 < second + 0.6 < 5
    lose(None)
    failed = get_job(db, job_id)
    assert failed.error == {
        "code": "worker_lost",
        "message": "train: killed, 3 times in a row without progress",
    }


def test_an_enrichment_makes_progress_with_each_stored_result(db: Database) -> None:
    with db.write() as tx:
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=[NewLabel("a")])
        parts = [NewPart(kind="describe", queue="enrich", spec=RangeSpec(start=0, stop=1))]
        job_id = jobs.create(tx, describe_spec(vocabulary_id=vocabulary.id), parts).id
    for done in (1, 2, 3, 4, 4, 4):
        claim = must_claim_next(db)
        with db.write() as tx:
            claims.record_progress(tx, claim, done=done, total=9, unit="labels", rate=None)
            transitions.lose(tx, claim.part_id, claim.token, code="worker_lost", message="m", max_attempts=3)
            tx.execute(text("update parts set not_before = 0"))
        assert get_job(db, job_id).status == "running"
    with db.write() as tx:
        claim = claims.claim(tx, claim.part_id, worker="w", lease_s=LEASE_S)
        assert claim is not None
        transitions.lose(tx, claim.part_id, claim.token, code="worker_lost", message="m", max_attempts=3)
    assert get_job(db, job_id).status == "failed"


def test_a_retried_failure_waits_and_the_last_one_ends_the_job(db: Database) -> None:
    job_id = create_job(db)
    with db.write() as tx:
        ended = transitions.fail(tx, must_claim_next(db), code="x", message="m", retry_in_s=0.2, max_attempts=2)
    assert not ended
    assert claim_next(db) is None
    time.sleep(0.25)
    with db.write() as tx:
        assert transitions.fail(tx, must_claim_next(db), code="x", message="m", retry_in_s=0.2, max_attempts=2)
    assert get_job(db, job_id).error == {"code": "x", "message": "m"}


def test_fail_job_stops_the_other_parts(db: Database) -> None:
    with db.write() as tx:
        parts = [NewPart(kind="describe", queue="enrich", spec=RangeSpec(start=i, stop=i + 1)) for i in range(3)]
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=[NewLabel(name) for name in "abc"])
        job_id = jobs.create(tx, describe_spec(num_labels=3, vocabulary_id=vocabulary.id), parts).id
    first, second = must_claim_next(db), must_claim_next(db)
    with db.write() as tx:
        transitions.fail_job(tx, first, code="llm_wrong_key", message="the key is wrong")
    assert part_statuses(db) == ["failed", "running", "cancelled"]
    with db.write() as tx:
        assert not claims.renew(tx, second, lease_s=LEASE_S)
    with db.write() as tx:
        transitions.release(tx, second)
    job = get_job(db, job_id)
    assert (job.status, job.error) == ("failed", {"code": "llm_wrong_key", "message": "the key is wrong"})
    assert job.result is not None
    assert job.result["failed_labels"] == {"not_asked": 3}


def test_cancelling_a_queued_job_is_immediate_and_idempotent(db: Database) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    for _ in range(2):
        with db.write() as tx:
            assert transitions.cancel(tx, job_id).status == "cancelled"
    assert part_statuses(db) == ["cancelled"] * 3
    assert claim_next(db) is None


def test_cancelling_a_running_job_stops_its_worker_at_the_next_renewal(db: Database) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    claim = must_claim_next(db)
    with db.write() as tx:
        assert transitions.cancel(tx, job_id).status == "cancelling"
        assert transitions.cancel(tx, job_id).status == "cancelling"
    with db.write() as tx:
        assert not claims.renew(tx, claim, lease_s=LEASE_S)
    with db.write() as tx:
        transitions.release(tx, claim)
    assert get_job(db, job_id).status == "cancelled"
    with db.write() as tx:
        assert transitions.cancel(tx, job_id).status == "cancelled"


def test_a_cancelled_job_with_a_dead_worker_ends_when_the_lease_expires(db: Database) -> None:
    job_id = create_job(db)
    must_claim_next(db, lease_s=-1)
    with db.write() as tx:
        transitions.cancel(tx, job_id)
    with db.write() as tx:
        transitions.requeue_expired(tx, max_attempts=3)
    assert get_job(db, job_id).status == "cancelled"


def test_a_part_that_finishes_while_cancelling_keeps_its_result(db: Database) -> None:
    job_id = create_job(db)
    claim = must_claim_next(db)
    with db.write() as tx:
        transitions.cancel(tx, job_id)
    with db.write() as tx:
        transitions.finish(tx, claim, NumberedResult(kept=1))
    job = get_job(db, job_id)
    assert (job.status, job.result) == ("cancelled", {"kept": 1})
