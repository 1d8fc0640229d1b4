"""Lease renewal: the lease of a long part, progress, events, and a lease that is lost. On both databases."""

import time
from dataclasses import replace

import pytest
from sqlalchemy import text
from sqlalchemy.event import listen
from sqlalchemy.exc import OperationalError

from store.jobs import progress
from store.jobs.part_results import PartResult
from tests.job_specs import NumberedResult
from tests.workers.runtime.part_helpers import claim_new_part, read_rows, work_returning
from workers.runtime.context import Context
from workers.runtime.lease_renewal import STOP_POLL_S, LeaseRenewal
from workers.runtime.run_part import run_claimed
from workers.sweeper import Sweeper


@pytest.mark.slow
def test_a_long_part_keeps_its_lease_and_reports_progress(context: Context) -> None:
    claim = claim_new_part(context)

    def work_slowly(lease: LeaseRenewal) -> None:
        for done in range(4):
            lease.progress(done, 4, "texts", 2.0)
            lease.note(f"at {done}")
            time.sleep(0.8)
            Sweeper(context).sweep()

    run_claimed(context, claim, work_returning(NumberedResult(x=1), work_slowly))
    job, part, events = read_rows(context, claim)
    assert (job.status, job.result, part.attempts) == ("succeeded", {"x": 1}, 1)
    assert (part.done, part.total, part.unit) == (4, 4, "texts")
    assert [event.message for event in events if event.type == "message"] == ["at 0", "at 1", "at 2", "at 3"]


@pytest.mark.slow
def test_work_that_lost_its_lease_stops_and_publishes_nothing(context: Context) -> None:
    claim = claim_new_part(context)
    lost: list[bool] = []

    def lose_the_lease(lease: LeaseRenewal) -> None:
        with context.db.write() as tx:
            tx.execute(text("update parts set lease_token = 'other'"))
        give_up_at = time.monotonic() + 5
        while not lease.should_stop() and time.monotonic() < give_up_at:
            time.sleep(0.02)
        lost.append(lease.lost)

    run_claimed(context, claim, work_returning(NumberedResult(late=1), lose_the_lease))
    job, part, _ = read_rows(context, claim)
    assert lost == [True]
    assert (job.status, job.result, part.status, part.result) == ("running", None, "running", None)


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["cancel", "failure"])
def test_a_stop_of_the_job_is_seen_long_before_the_lease_is_renewed_and_without_a_write(
    context: Context, stop: str
) -> None:
    context = replace(context, settings=context.settings.model_copy(update={"lease_s": 600.0}))
    claim = claim_new_part(context)
    transactions: list[str] = []
    with LeaseRenewal(context, claim) as lease:
        time.sleep(STOP_POLL_S + 0.2)
        assert not lease.should_stop()
        with context.db.write() as tx:
            tx.execute(text("update jobs set stopping = :stop"), {"stop": stop})
        listen(context.db.writer, "begin", lambda _: transactions.append("write"))
        stopped_at = time.monotonic()
        while not lease.should_stop() and time.monotonic() < stopped_at + 5:
            time.sleep(0.02)
        seen_after_s = time.monotonic() - stopped_at
        time.sleep(STOP_POLL_S + 0.2)  # nor does it write afterwards
    assert seen_after_s < 2.0
    assert (lease.lost, transactions) == (False, [])


@pytest.mark.slow
def test_metrics_events_are_limited_in_number(context: Context) -> None:
    claim = claim_new_part(context)

    def report_often(lease: LeaseRenewal) -> None:
        for step in range(200):
            lease.metrics("step", step=step, is_last=step == 199)
            time.sleep(0.005)

    run_claimed(context, claim, work_returning(PartResult(), report_often))
    _, _, events = read_rows(context, claim)
    steps = [event.data["step"] for event in events if event.type == "metrics"]
    assert 1 <= len(steps) <= 5
    assert steps[-1] == 199


def test_phases_are_written_in_order_after_an_outage_of_the_database(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = claim_new_part(context)
    lease = LeaseRenewal(context, claim)
    lease.begin("teacher features")
    lease.progress(60, 60, "images", 2.0)

    def unreachable(*_: object, **__: object) -> None:
        raise OperationalError("update", {}, Exception("gone"))

    with monkeypatch.context() as outage:
        outage.setattr("store.jobs.claims.record_progress", unreachable)
        lease.begin("training")
        with pytest.raises(OperationalError):
            lease.flush()
        lease.progress(3, 9, "steps", 1.0)
    lease.flush()
    with context.db.read() as tx:
        found = progress.of_job(tx, claim.job_id)[1]
    assert found is not None
    assert [(stage.name, stage.done, stage.total, stage.unit) for stage in found.stages] == [
        ("teacher features", 60, 60, "images"),
        ("training", 3, 9, "steps"),
    ]
    _, _, events = read_rows(context, claim)
    assert [event.message for event in events if "stage" in event.data] == [
        "stage: teacher features",
        "stage: training",
    ]
