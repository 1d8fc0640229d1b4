"""The job's life, on both databases: claims, leases, cancelling, and what a worker thought dead may still do."""

import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from sqlalchemy import select

from store import vocabularies
from store.db import Database
from store.errors import LeaseLost
from store.jobs import claims, events, jobs, outbox
from store.jobs.claims import Claim
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.jobs.specs import JobKind, RangeSpec
from store.lifecycle import transitions
from store.models import Event, Job, Part
from store.vocabularies import NewLabel
from tests.job_specs import NumberedResult, describe_spec, job_spec

LEASE_S = 30.0


def make(db: Database, *parts: NewPart, kind: JobKind = "distill") -> str:
    with db.write() as tx:
        return jobs.create(tx, job_spec(kind), parts or [NewPart(kind="train", queue="gpu", total=10, unit="steps")]).id


def take(db: Database, *, lease_s: float = LEASE_S, worker: str = "w") -> Claim | None:
    with db.read() as tx:
        ready = claims.ready(tx, ["gpu", "enrich"], limit=1)
    with db.write() as tx:
        return claims.claim(tx, ready[0], worker=worker, lease_s=lease_s) if ready else None


def must_take(db: Database, *, lease_s: float = LEASE_S) -> Claim:
    claim = take(db, lease_s=lease_s)
    assert claim is not None
    return claim


def job(db: Database, job_id: str) -> Job:
    with db.read() as tx:
        return jobs.get(tx, job_id)


def statuses(db: Database) -> list[str]:
    with db.read() as tx:
        return list(tx.scalars(select(Part.status).order_by(Part.position)))


CHAIN = [
    NewPart(kind="encode", queue="gpu"),
    NewPart(kind="train", queue="gpu", stage=1),
    NewPart(kind="evaluate", queue="gpu", stage=2),
]


def test_parts_run_in_order_and_the_last_one_seals(db: Database) -> None:
    job_id = make(db, *CHAIN)
    for step, kind in enumerate(["encode", "train", "evaluate"]):
        claim = must_take(db)
        assert claim.kind == kind
        assert job(db, job_id).status == "running"
        assert take(db) is None
        with db.write() as tx:
            transitions.finish(tx, claim, NumberedResult(**{kind: step}))
    done = job(db, job_id)
    assert (done.status, done.result) == ("succeeded", {"encode": 0, "train": 1, "evaluate": 2})
    assert done.finished_at is not None


def test_a_stage_waits_for_every_part_of_the_one_before(db: Database) -> None:
    stages = ((0, "a"), (0, "b"), (2, "c"))
    parts = [NewPart(kind=kind, queue="enrich", stage=stage) for stage, kind in stages]
    job_id = make(db, *parts, kind="enrich")
    first, second = must_take(db), must_take(db)
    assert take(db) is None
    with db.write() as tx:
        transitions.finish(tx, second, PartResult())
    assert take(db) is None
    with db.write() as tx:  # what failed is over too, for an enrichment goes on without it
        transitions.fail(tx, first, code="no", message="no")
    assert must_take(db).kind == "c"
    assert job(db, job_id).status == "running"


def test_a_part_may_leave_more_parts_behind(db: Database) -> None:
    job_id = make(db, NewPart(kind="a", queue="gpu"), NewPart(kind="z", queue="gpu", stage=2))
    claim = must_take(db)
    with db.write() as tx:
        claims.lock(tx, claim)
        jobs.add_parts(tx, claim, [NewPart(kind=kind, queue="gpu", stage=1) for kind in "bc"])
        transitions.finish(tx, claim, PartResult())
    order = []
    while claim := take(db):
        order.append(claim.kind)
        with db.write() as tx:
            transitions.finish(tx, claim, PartResult())
    assert order == ["b", "c", "z"]
    assert job(db, job_id).status == "succeeded"


def test_a_deferred_part_comes_back_without_having_counted(db: Database) -> None:
    make(db)
    with db.write() as tx:
        transitions.defer(tx, must_take(db), in_s=0.3)
    assert take(db) is None
    time.sleep(0.35)
    assert must_take(db).attempt == 1


def test_many_claimers_take_each_part_once(db: Database) -> None:
    for _ in range(5):
        make(db, *[NewPart(kind="describe", queue="enrich") for _ in range(10)], kind="enrich")
    taken: list[str] = []

    def claim_all() -> None:
        idle = 0
        while idle < 3:
            with db.read() as tx:
                ready = claims.ready(tx, ["enrich"])
            idle = 0 if ready else idle + 1
            for part_id in ready:
                with db.write() as tx:
                    claim = claims.claim(tx, part_id, worker="w", lease_s=LEASE_S)
                if claim:
                    taken.append(claim.part_id)

    threads = [threading.Thread(target=claim_all) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 50
    assert max(Counter(taken).values()) == 1


def test_expired_lease_goes_to_another_and_the_zombie_changes_nothing(db: Database) -> None:
    job_id = make(db)
    zombie = must_take(db, lease_s=-1)
    with db.write() as tx:
        assert transitions.requeue_expired(tx, max_attempts=3) == 1
    heir = must_take(db)
    assert heir.part_id == zombie.part_id
    assert heir.token != zombie.token
    assert heir.place != zombie.place
    before = job(db, job_id)
    late: list[Callable[..., object]] = [
        lambda tx: transitions.finish(tx, zombie, NumberedResult(zombie=1)),
        lambda tx: transitions.fail(tx, zombie, code="x", message="x"),
        lambda tx: transitions.fail_job(tx, zombie, code="x", message="x"),
        lambda tx: transitions.release(tx, zombie),
        lambda tx: claims.record_progress(tx, zombie, done=9, total=9, unit="steps", rate=None),
        lambda tx: claims.save_state(tx, zombie, "parts/zombie/state"),
        lambda tx: claims.renew(tx, zombie, lease_s=LEASE_S),
        lambda tx: claims.note(tx, zombie, "message", "boo"),
    ]
    for write in late:
        with pytest.raises(LeaseLost), db.write() as tx:
            write(tx)
    after = job(db, job_id)
    assert (after.status, after.num_events, after.result) == (before.status, before.num_events, None)
    with db.write() as tx:
        transitions.finish(tx, heir, NumberedResult(heir=1))
    assert job(db, job_id).result == {"heir": True}


def test_last_attempt_lost_fails_as_worker_lost(db: Database) -> None:
    job_id = make(db, *CHAIN)
    for _ in range(3):
        must_take(db, lease_s=-1)
        with db.write() as tx:
            transitions.requeue_expired(tx, max_attempts=3)
    failed = job(db, job_id)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error["code"] == "worker_lost"
    assert statuses(db) == ["failed", "cancelled", "cancelled"]


def test_renewal_keeps_a_part(db: Database) -> None:
    make(db)
    claim = must_take(db, lease_s=0.3)
    for _ in range(3):
        time.sleep(0.15)
        with db.write() as tx:
            assert claims.renew(tx, claim, lease_s=0.3)
            assert transitions.requeue_expired(tx, max_attempts=3) == 0


def test_cancel_while_queued_is_immediate_and_twice_is_harmless(db: Database) -> None:
    job_id = make(db, *CHAIN)
    for _ in range(2):
        with db.write() as tx:
            assert transitions.cancel(tx, job_id).status == "cancelled"
    assert statuses(db) == ["cancelled"] * 3
    assert take(db) is None


def test_cancel_while_running_reaches_the_worker_at_its_renewal(db: Database) -> None:
    job_id = make(db, *CHAIN)
    claim = must_take(db)
    with db.write() as tx:
        assert transitions.cancel(tx, job_id).status == "cancelling"
        assert transitions.cancel(tx, job_id).status == "cancelling"
    with db.write() as tx:
        assert not claims.renew(tx, claim, lease_s=LEASE_S)
    with db.write() as tx:
        transitions.release(tx, claim)
    assert job(db, job_id).status == "cancelled"
    with db.write() as tx:
        assert transitions.cancel(tx, job_id).status == "cancelled"


def test_cancel_with_the_worker_dead_ends_at_the_lease(db: Database) -> None:
    job_id = make(db)
    must_take(db, lease_s=-1)
    with db.write() as tx:
        transitions.cancel(tx, job_id)
    with db.write() as tx:
        transitions.requeue_expired(tx, max_attempts=3)
    assert job(db, job_id).status == "cancelled"


def test_work_that_finishes_while_cancelling_ends_cancelled(db: Database) -> None:
    job_id = make(db)
    claim = must_take(db)
    with db.write() as tx:
        transitions.cancel(tx, job_id)
    with db.write() as tx:
        transitions.finish(tx, claim, NumberedResult(kept=1))
    assert (job(db, job_id).status, job(db, job_id).result) == ("cancelled", {"kept": 1})


def test_giving_back_costs_no_attempt(db: Database) -> None:
    make(db)
    for _ in range(5):
        claim = must_take(db)
        assert claim.attempt == 1
        with db.write() as tx:
            transitions.release(tx, claim)


def test_a_retried_failure_waits_and_the_last_one_ends_the_job(db: Database) -> None:
    job_id = make(db)
    with db.write() as tx:
        ended = transitions.fail(tx, must_take(db), code="x", message="m", retry_in_s=0.2, max_attempts=2)
    assert not ended
    assert take(db) is None
    time.sleep(0.25)
    with db.write() as tx:
        assert transitions.fail(tx, must_take(db), code="x", message="m", retry_in_s=0.2, max_attempts=2)
    assert job(db, job_id).error == {"code": "x", "message": "m"}


def test_a_fault_for_all_stops_the_other_chunks(db: Database) -> None:
    with db.write() as tx:
        parts = [NewPart(kind="describe", queue="enrich", spec=RangeSpec(start=i, stop=i + 1)) for i in range(3)]
        made = vocabularies.create(tx, name="v", domain="", labels=[NewLabel(name) for name in "abc"])
        job_id = jobs.create(tx, describe_spec(num_labels=3, vocabulary_id=made.id), parts).id
    first, second = must_take(db), must_take(db)
    with db.write() as tx:
        transitions.fail_job(tx, first, code="llm_wrong_key", message="the key is wrong")
    assert statuses(db) == ["failed", "running", "cancelled"]
    with db.write() as tx:
        assert not claims.renew(tx, second, lease_s=LEASE_S)
    with db.write() as tx:
        transitions.release(tx, second)
    failed = job(db, job_id)
    assert (failed.status, failed.error) == ("failed", {"code": "llm_wrong_key", "message": "the key is wrong"})
    assert failed.result is not None
    assert failed.result["failed_labels"] == {"not_asked": 3}


def test_dead_child_is_expired_by_its_own_name_only(db: Database) -> None:
    make(db)
    must_take(db)
    with db.write() as tx:
        claims.expire(tx, worker="other")
        assert transitions.requeue_expired(tx, max_attempts=3) == 0
        claims.expire(tx, worker="w")
        assert transitions.requeue_expired(tx, max_attempts=3) == 1


def test_messages_are_sent_once_until_they_are_due_again(db: Database) -> None:
    make(db, *CHAIN)
    with db.write() as tx:
        ((part_id, queue),) = outbox.to_send(tx, resend_s=0.2)
        assert queue == "gpu"
        outbox.mark_sent(tx, [part_id])
        assert outbox.to_send(tx, resend_s=0.2) == []
    time.sleep(0.25)
    with db.write() as tx:
        assert [row[0] for row in outbox.to_send(tx, resend_s=0.2)] == [part_id]


def test_event_numbers_ascend_without_gaps_under_many_writers(db: Database) -> None:
    job_id = make(db, *[NewPart(kind="describe", queue="enrich") for _ in range(4)], kind="enrich")
    held = [must_take(db) for _ in range(4)]

    def write(claim: Claim) -> None:
        for n in range(20):
            with db.write() as tx:
                claims.note(tx, claim, "message", f"{n}")

    threads = [threading.Thread(target=write, args=(claim,)) for claim in held]
    seen: list[int] = []
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads) or not seen or seen[-1] < 82:
        with db.read() as tx:
            seen += [event.id for event in events.after(tx, job_id, seen[-1] if seen else 0, limit=50)]
    for thread in threads:
        thread.join()
    assert seen == list(range(1, 83))
    with db.read() as tx:
        assert tx.scalars(select(Event.id).where(Event.job_id == job_id).order_by(Event.id)).all() == seen
