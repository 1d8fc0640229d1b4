"""Creation of jobs and their parts. On both databases."""

import pytest

from store.db import Database
from store.errors import NotFound
from store.jobs import claims, events, jobs
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.lifecycle import transitions
from tests.job_specs import distill_spec
from tests.store.job_helpers import DISTILL_PARTS, claim_next, create_job, get_job, must_claim_next, part_statuses


def test_a_new_job_is_queued_and_so_is_its_first_stage(db: Database) -> None:
    job_id = create_job(db, *DISTILL_PARTS)
    job = get_job(db, job_id)
    assert (job.kind, job.status, job.result, job.error) == ("distill", "queued", None, None)
    assert part_statuses(db) == ["queued", "waiting", "waiting"]
    with db.read() as tx:
        assert [event.data for event in events.after(tx, job_id, 0, limit=10)] == [{"status": "queued"}]


def test_parts_added_by_a_part_run_before_later_stages(db: Database) -> None:
    job_id = create_job(db, NewPart(kind="a", queue="gpu"), NewPart(kind="z", queue="gpu", stage=2))
    claim = must_claim_next(db)
    with db.write() as tx:
        claims.lock(tx, claim)
        jobs.add_parts(tx, claim, [NewPart(kind=kind, queue="gpu", stage=1) for kind in "bc"])
        transitions.finish(tx, claim, PartResult())
    order = []
    while next_claim := claim_next(db):
        order.append(next_claim.kind)
        with db.write() as tx:
            transitions.finish(tx, next_claim, PartResult())
    assert order == ["b", "c", "z"]
    assert get_job(db, job_id).status == "succeeded"


def test_distill_spec_of_a_job(db: Database) -> None:
    distill_id, encode_id = create_job(db), create_job(db, kind="encode")
    with db.read() as tx:
        assert jobs.distill_spec(tx, distill_id) == distill_spec()
        with pytest.raises(TypeError):
            jobs.distill_spec(tx, encode_id)
        with pytest.raises(NotFound):
            jobs.distill_spec(tx, "job_none")
