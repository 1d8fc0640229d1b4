"""Parts of a training on several machines: a round needs all claims, and a younger job yields. On both databases."""

import pytest

from store.db import Database
from store.errors import LeaseLost
from store.jobs import claims, jobs
from store.jobs.claims import Claim
from store.jobs.jobs import NewPart
from store.jobs.part_results import PartResult
from store.jobs.specs import NodeSpec
from store.lifecycle import control, nodes, transitions
from store.lifecycle.nodes import Gathering
from store.models import Part
from tests.job_specs import distill_spec


def create(db: Database, nnodes: int = 2, *, num_gpus: int = 0) -> str:
    others = [
        NewPart(kind="train_node", queue="gpu", num_gpus=num_gpus, spec=NodeSpec(node=node))
        for node in range(1, nnodes)
    ]
    with db.write() as tx:
        first = NewPart(kind="train", queue="gpu", num_gpus=num_gpus)
        return jobs.create(tx, distill_spec(nnodes=nnodes), [first, *others]).id


def claim_next(db: Database, job_id: str, *, kind: str | None = None) -> Claim:
    with db.write() as tx:
        for part_id in claims.ready(tx, ["gpu"]):
            claim = claims.claim(tx, part_id, worker="w", lease_s=60)
            assert claim is not None
            if claim.job_id == job_id and kind in (None, claim.kind):
                return claim
            transitions.release(tx, claim)
    raise AssertionError("no such part")


def look(db: Database, job_id: str, *, num_gpus: int = 0) -> Gathering:
    with db.read() as tx:
        return nodes.look(tx, job_id, num_gpus=num_gpus)


def publish(db: Database, claim: Claim) -> None:
    with db.write() as tx:
        nodes.publish(tx, claim, nodes.look(tx, claim.job_id).tokens, "host:1")


def test_a_round_is_of_the_claims_that_it_began_with(db: Database) -> None:
    job_id = create(db)
    first = claim_next(db, job_id)
    with db.write() as tx:
        claims.save_state(tx, first, "state", units=5)
        transitions.release(tx, first)
    first = claim_next(db, job_id)
    assert (look(db, job_id).num_claimed, look(db, job_id).is_complete, look(db, job_id).round) == (1, False, None)
    other = claim_next(db, job_id)
    assert (first.kind, other.kind, other.part(NodeSpec).node) == ("train", "train_node", 1)
    assert look(db, job_id).is_complete
    publish(db, first)
    round = look(db, job_id).round
    assert round is not None
    assert (round.tokens, round.address, round.state_key) == ((first.token, other.token), "host:1", "state")
    with db.write() as tx:
        transitions.release(tx, other)
    assert look(db, job_id).round is None
    again = claim_next(db, job_id)
    assert look(db, job_id).is_complete
    assert look(db, job_id).round is None  # the first part still is in the round before
    publish(db, first)
    assert look(db, job_id).round is not None
    with db.write() as tx:
        transitions.release(tx, first)
    with pytest.raises(LeaseLost), db.write() as tx:
        nodes.publish(tx, first, (first.token, again.token), "host:2")
    assert not look(db, job_id).is_finished
    last = claim_next(db, job_id)
    with db.write() as tx:
        transitions.finish(tx, last, PartResult())
    assert look(db, job_id).is_finished
    with db.write() as tx:
        transitions.finish(tx, again, PartResult())
    with db.read() as tx:
        assert jobs.get(tx, job_id).status == "succeeded"


def test_a_younger_job_yields_to_an_older_one_that_waits_for_machines(db: Database) -> None:
    older, younger = create(db), create(db)
    claim_next(db, younger)
    assert not look(db, younger).must_yield  # the older job has no worker
    claim_next(db, older, kind="train")
    assert (look(db, older).must_yield, look(db, younger).must_yield) == (False, True)
    claim_next(db, older)
    assert not look(db, younger).must_yield  # the older job has all its machines


def test_the_job_with_the_higher_priority_has_the_machines(db: Database) -> None:
    older, younger = create(db), create(db)
    claim_next(db, older)
    claim_next(db, younger)
    assert (look(db, older).must_yield, look(db, younger).must_yield) == (False, True)
    with db.write() as tx:
        control.set_priority(tx, younger, 5)
    assert (look(db, older).must_yield, look(db, younger).must_yield) == (True, False)


def test_a_worker_is_not_given_to_a_job_that_needs_more_gpus(db: Database) -> None:
    older, younger = create(db, num_gpus=4), create(db, num_gpus=1)
    claim_next(db, older)
    claim_next(db, younger)
    assert [look(db, younger, num_gpus=number).must_yield for number in (1, 4, 0)] == [False, True, True]


def test_a_lost_machine_counts_only_attempts_without_progress_of_the_training(db: Database) -> None:
    job_id = create(db)
    first = claim_next(db, job_id, kind="train")
    idle = []
    for steps in (0, 5, 5, 9, 9, 9):
        other = claim_next(db, job_id, kind="train_node")
        with db.write() as tx:
            if steps:
                claims.save_state(tx, first, f"state {steps}", units=steps)
            transitions.lose(tx, other.part_id, other.token, code="worker_lost", message="gone", max_attempts=3)
            row = tx.get_one(Part, other.part_id, populate_existing=True)
            idle.append((row.status, row.idle_attempts))
            row.not_before = 0.0
    assert idle == [("queued", 1), ("queued", 0), ("queued", 1), ("queued", 0), ("queued", 1), ("queued", 2)]
    other = claim_next(db, job_id, kind="train_node")
    with db.write() as tx:
        transitions.lose(tx, other.part_id, other.token, code="worker_lost", message="gone", max_attempts=3)
        assert tx.get_one(Part, other.part_id, populate_existing=True).status == "failed"
    with db.read() as tx:
        assert jobs.get(tx, job_id).stopping == "failure"
