"""Running a claimed part: success, errors, retries, stops and invalid specs. On both databases."""

import threading
import time
from typing import Any

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.orm import Session

from store import vocabularies
from store.jobs import events, jobs
from store.jobs.claims import Claim
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.jobs.specs import JobSpec, RangeSpec
from store.lifecycle import transitions
from store.models import Job, Part
from store.vocabularies import NewLabel
from tests.job_specs import describe_spec, distill_spec
from tests.workers.runtime.part_helpers import claim_new_part, read_rows, work_raising
from workers.runtime.context import Context
from workers.runtime.errors import FatalJobError, PartError, Stopped
from workers.runtime.lease_renewal import LeaseRenewal
from workers.runtime.run_part import Publish, claim_part, run_claimed


def wait_for_stop(_context: Context, _claim: Claim, lease: LeaseRenewal) -> Publish:
    """Work that runs until it should stop."""
    give_up_at = time.monotonic() + 5
    while not lease.should_stop():
        assert time.monotonic() < give_up_at
        time.sleep(0.02)
    raise Stopped


def test_publishing_and_ending_are_one_transaction(context: Context) -> None:
    claim = claim_new_part(context)

    def work(_context: Context, _claim: Claim, _lease: LeaseRenewal) -> Publish:
        def publish(tx: Session) -> PartResult:
            events.add(tx, claim.job_id, "message", "half published")
            raise PartError("broken", "the second half cannot be written")

        return publish

    run_claimed(context, claim, work)
    job, _, job_events = read_rows(context, claim)
    assert job.status == "failed"
    assert job.error == {"code": "broken", "message": "the second half cannot be written"}
    assert "half published" not in [event.message for event in job_events]


def test_an_unexpected_exception_is_retried_and_then_fails_the_job(context: Context) -> None:
    claim = claim_new_part(context)
    run_claimed(context, claim, work_raising(RuntimeError("cosmic ray")))
    job, part, _ = read_rows(context, claim)
    assert (job.status, part.status) == ("running", "queued")
    assert part.not_before > time.time()
    with context.db.write() as tx:
        tx.execute(text("update parts set not_before = 0"))
    second = claim_part(context, claim.part_id)
    assert second is not None
    run_claimed(context, second, work_raising(RuntimeError("cosmic ray")))
    job, part, job_events = read_rows(context, claim)
    assert (job.status, part.status) == ("failed", "failed")
    assert job.error == {"code": "internal_error", "message": "RuntimeError: cosmic ray"}
    assert [event.level for event in job_events if event.type == "message"] == ["warning", "error"]


def test_a_part_error_fails_the_job_without_a_retry(context: Context) -> None:
    claim = claim_new_part(context)
    run_claimed(context, claim, work_raising(PartError("teacher_not_found", "no such teacher")))
    job, part, _ = read_rows(context, claim)
    assert (job.status, part.attempts) == ("failed", 1)
    assert job.error == {"code": "teacher_not_found", "message": "no such teacher"}


def test_a_fatal_job_error_is_the_error_of_the_job(context: Context) -> None:
    claim = claim_new_part(context)
    run_claimed(context, claim, work_raising(FatalJobError("llm_wrong_key", "the key is wrong")))
    job, _, _ = read_rows(context, claim)
    assert job.error == {"code": "llm_wrong_key", "message": "the key is wrong"}


def create_two_part_job(context: Context, kind: str) -> str:
    """An enrich job over two labels or a distill job, each with two parts; its id."""
    with context.db.write() as tx:
        vocabulary = vocabularies.create(tx, name="v", domain="", labels=[NewLabel("a"), NewLabel("b")])
        spec: JobSpec
        if kind == "enrich":
            spec = describe_spec(num_labels=2, vocabulary_id=vocabulary.id)
            parts = [NewPart(kind="describe", queue="enrich", spec=RangeSpec(start=i, stop=i + 1)) for i in range(2)]
        else:
            spec = distill_spec(vocabulary_id=vocabulary.id)
            parts = [NewPart(kind="encode", queue="gpu"), NewPart(kind="train", queue="gpu", stage=1)]
        return jobs.create(tx, spec, parts).id


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "row", "stored", "reason"),
    [
        ("enrich", Job, {"strategies": []}, "strategies: Tuple should have at least 1 item"),
        ("enrich", Part, {"begin": 0}, "begin: Extra inputs are not permitted"),
        ("distill", Job, {"recipe": "limbeck"}, "dataset_id: Field required"),
        ("distill", Part, {"begin": 0}, "begin: Extra inputs are not permitted"),
    ],
)
def test_an_invalid_stored_spec_fails_the_job_without_retries(
    context: Context, kind: str, row: type[Job] | type[Part], stored: dict[str, Any], reason: str
) -> None:
    job_id = create_two_part_job(context, kind)
    with context.db.write() as tx:
        part_id = tx.scalars(select(Part.id).where(Part.job_id == job_id).order_by(Part.position)).first() or ""
        of_row = Job.id == job_id if row is Job else Part.id == part_id
        tx.execute(update(row).where(of_row).values(spec=stored))
    claim = claim_part(context, part_id)
    assert claim is not None
    run_claimed(context, claim, work_raising(AssertionError("work must not start")))
    job, part, _ = read_rows(context, claim)
    assert (part.status, part.attempts) == ("failed", 1)
    assert part.error is not None
    assert part.error["code"] == "spec_invalid"
    assert reason in part.error["message"]
    assert (job.status, job.error) == ("failed", part.error)
    with context.db.read() as tx:
        statuses = tx.scalars(select(Part.status).where(Part.job_id == job_id).order_by(Part.position)).all()
    assert statuses == ["failed", "cancelled"]


def test_a_part_is_released_when_the_process_shuts_down(context: Context) -> None:
    claim = claim_new_part(context)
    context.shutting_down.set()
    run_claimed(context, claim, wait_for_stop)
    job, part, _ = read_rows(context, claim)
    assert (job.status, part.status, part.attempts) == ("running", "queued", 0)


@pytest.mark.slow
def test_a_cancelled_part_stops_within_a_lease(context: Context) -> None:
    claim = claim_new_part(context)

    def work(work_context: Context, work_claim: Claim, lease: LeaseRenewal) -> Publish:
        with context.db.write() as tx:
            transitions.cancel(tx, claim.job_id)
        return wait_for_stop(work_context, work_claim, lease)

    run_claimed(context, claim, work)
    job, part, _ = read_rows(context, claim)
    assert (job.status, part.status) == ("cancelled", "cancelled")


@pytest.mark.slow
def test_a_part_that_exceeds_its_time_limit_fails(context: Context) -> None:
    claim = claim_new_part(context)
    limited = Context(
        context.settings.model_copy(update={"part_limit_s": 0.3}), context.db, context.artefacts, threading.Event()
    )
    run_claimed(limited, claim, wait_for_stop)
    job, _, _ = read_rows(context, claim)
    assert job.error is not None
    assert job.error["code"] == "time_limit"
