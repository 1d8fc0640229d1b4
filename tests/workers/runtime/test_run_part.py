"""Running a claimed part: what is written when it ends well, badly, late, or for somebody else. On both databases."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from store.artefacts import Artefacts
from store.db import Database
from store.jobs import claims, events, jobs
from store.jobs.claims import Claim
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.jobs.specs import JobKind
from store.lifecycle import transitions
from store.models import Event, Job, Part
from store.settings import Settings
from tests.job_specs import NumberedResult, job_spec
from workers.runtime.context import Context
from workers.runtime.errors import JobFailed, PartFailed, Stopped
from workers.runtime.lease_renewal import Keeper
from workers.runtime.run_part import Publish, claim_part, run_claimed
from workers.runtime.throughput import Rate
from workers.sweeper import Sweeper


@pytest.fixture
def context(db: Database, tmp_path: Path) -> Context:
    settings = Settings(home=tmp_path, lease_s=2.0, max_attempts=2, part_limit_s=60, redis_url="")  # type: ignore[arg-type]
    return Context(settings, db, Artefacts(settings.artefacts))


def claimed(context: Context, *, kind: JobKind = "encode") -> Claim:
    with context.db.write() as tx:
        job = jobs.create(tx, job_spec(kind), [NewPart(kind="encode", queue="gpu", total=4, unit="texts")])
    with context.db.read() as tx:
        (part_id,) = claims.ready(tx, ["gpu"])
    claim = claim_part(context, part_id)
    assert claim is not None
    assert claim.job_id == job.id
    return claim


def rows(context: Context, claim: Claim) -> tuple[Job, Part, list[Event]]:
    with context.db.read() as tx:
        return (
            jobs.get(tx, claim.job_id),
            tx.get_one(Part, claim.part_id),
            events.after(tx, claim.job_id, 0, limit=100),
        )


def ends_with(result: PartResult, during: Callable[[Keeper], None] = lambda _: None) -> Any:
    def work(_context: Context, _claim: Claim, keeper: Keeper) -> Publish:
        during(keeper)
        return lambda _tx: result

    return work


def raises(error: Exception) -> Any:
    def work(_context: Context, _claim: Claim, _keeper: Keeper) -> Publish:
        raise error

    return work


def test_a_long_part_keeps_its_lease_and_tells_how_far_it_is(context: Context) -> None:
    claim = claimed(context)

    def slowly(keeper: Keeper) -> None:
        for done in range(4):
            keeper.progress(done, 4, "texts", 2.0)
            keeper.note(f"at {done}")
            time.sleep(0.8)
            Sweeper(context).sweep()

    run_claimed(context, claim, ends_with(NumberedResult(x=1), slowly))
    job, part, told = rows(context, claim)
    assert (job.status, job.result, part.attempts) == ("succeeded", {"x": 1}, 1)
    assert (part.done, part.total, part.unit) == (4, 4, "texts")
    assert [event.message for event in told if event.type == "message"] == ["at 0", "at 1", "at 2", "at 3"]


def test_what_is_published_and_the_end_are_one_transaction(context: Context) -> None:
    claim = claimed(context)

    def work(_context: Context, _claim: Claim, _keeper: Keeper) -> Publish:
        def publish(tx: Session) -> Mapping[str, Any]:
            events.add(tx, claim.job_id, "message", "half published")
            raise PartFailed("broken", "the second half cannot be written")

        return publish

    run_claimed(context, claim, work)
    job, _, told = rows(context, claim)
    assert job.status == "failed"
    assert job.error == {"code": "broken", "message": "the second half cannot be written"}
    assert "half published" not in [event.message for event in told]


def test_work_whose_part_went_to_another_publishes_nothing(context: Context) -> None:
    claim = claimed(context)
    seen: list[bool] = []

    def stalled(keeper: Keeper) -> None:
        with context.db.write() as tx:
            tx.execute(text("update parts set lease_token = 'other'"))
        give_up = time.monotonic() + 5
        while not keeper.should_stop() and time.monotonic() < give_up:
            time.sleep(0.02)
        seen.append(keeper.lost)

    run_claimed(context, claim, ends_with(NumberedResult(zombie=1), stalled))
    job, part, _ = rows(context, claim)
    assert seen == [True]
    assert (job.status, job.result, part.status, part.result) == ("running", None, "running", None)


def test_an_unforeseen_fault_is_tried_again_and_then_ends_the_job(context: Context) -> None:
    claim = claimed(context)
    run_claimed(context, claim, raises(RuntimeError("cosmic ray")))
    job, part, told = rows(context, claim)
    assert (job.status, part.status) == ("running", "queued")
    assert part.not_before > time.time()
    with context.db.write() as tx:
        tx.execute(text("update parts set not_before = 0"))
    again = claim_part(context, claim.part_id)
    assert again is not None
    run_claimed(context, again, raises(RuntimeError("cosmic ray")))
    job, part, told = rows(context, claim)
    assert (job.status, part.status) == ("failed", "failed")
    assert job.error == {"code": "internal_error", "message": "RuntimeError: cosmic ray"}
    assert [event.level for event in told if event.type == "message"] == ["warning", "error"]


def test_a_fault_that_no_retry_mends_ends_the_job_at_once(context: Context) -> None:
    claim = claimed(context)
    run_claimed(context, claim, raises(PartFailed("teacher_not_found", "no such teacher")))
    job, part, _ = rows(context, claim)
    assert (job.status, part.attempts) == ("failed", 1)
    assert job.error == {"code": "teacher_not_found", "message": "no such teacher"}


def test_a_fault_for_the_whole_job_keeps_its_code(context: Context) -> None:
    claim = claimed(context)
    run_claimed(context, claim, raises(JobFailed("llm_wrong_key", "the key is wrong")))
    job, _, _ = rows(context, claim)
    assert job.error == {"code": "llm_wrong_key", "message": "the key is wrong"}


def test_asked_to_shut_down_it_gives_the_part_back(context: Context) -> None:
    claim = claimed(context)
    context.shutting_down.set()

    def work(_context: Context, _claim: Claim, keeper: Keeper) -> Publish:
        assert keeper.should_stop()
        raise Stopped

    run_claimed(context, claim, work)
    job, part, _ = rows(context, claim)
    assert (job.status, part.status, part.attempts) == ("running", "queued", 0)


def test_cancelled_it_stops_within_a_lease(context: Context) -> None:
    claim = claimed(context)

    def work(_context: Context, _claim: Claim, keeper: Keeper) -> Publish:
        with context.db.write() as tx:
            transitions.cancel(tx, claim.job_id)
        began = time.monotonic()
        while not keeper.should_stop():
            assert time.monotonic() - began < 5
            time.sleep(0.02)
        raise Stopped

    run_claimed(context, claim, work)
    job, part, _ = rows(context, claim)
    assert (job.status, part.status) == ("cancelled", "cancelled")


def test_past_its_time_it_fails_by_name(context: Context) -> None:
    claim = claimed(context)
    limited = Context(
        context.settings.model_copy(update={"part_limit_s": 0.3}), context.db, context.artefacts, threading.Event()
    )

    def work(_context: Context, _claim: Claim, keeper: Keeper) -> Publish:
        while not keeper.should_stop():
            time.sleep(0.02)
        raise Stopped

    run_claimed(limited, claim, work)
    job, _, _ = rows(context, claim)
    assert job.error is not None
    assert job.error["code"] == "time_limit"


def test_metrics_thin_out(context: Context) -> None:
    claim = claimed(context)

    def chatty(keeper: Keeper) -> None:
        for step in range(200):
            keeper.metrics("step", step=step)
            time.sleep(0.005)

    run_claimed(context, claim, ends_with(PartResult(), chatty))
    _, _, told = rows(context, claim)
    assert 1 <= len([event for event in told if event.type == "metrics"]) <= 4


def test_rate_is_of_the_last_half_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    rate = Rate()
    assert rate(0) is None
    for second in range(1, 101):
        now[0] = float(second)
        last = rate(second * (10 if second <= 50 else 1))
    now[0] = 101.0
    assert last is not None
    assert rate(101) == pytest.approx(1.0, abs=0.05)


def test_the_state_of_an_ended_training_is_swept_away(context: Context) -> None:
    running, done = claimed(context), claimed(context)
    for claim in (running, done):
        context.artefacts.put_bytes(b"weights", f"{claim.place}/state/1")
        with context.db.write() as tx:
            claims.save_state(tx, claim, f"{claim.place}/state/1")
    with context.db.write() as tx:
        transitions.finish(tx, done, PartResult())
    Sweeper(context).sweep()
    kept = context.artefacts.local_path(f"{running.place}/state/1")
    gone = context.artefacts.local_path(f"{done.place}/state/1")
    assert kept is not None
    assert gone is not None
    assert (kept.exists(), gone.exists()) == (True, False)
    assert rows(context, running)[1].state_key is not None
    assert rows(context, done)[1].state_key is None
