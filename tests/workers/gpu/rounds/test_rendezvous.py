"""Machines of a training meet, also if there are fewer workers than parts of the jobs that wait."""

import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import make_url, update

from store.db import Database
from store.jobs import claims, jobs
from store.jobs.claims import Claim
from store.jobs.part_results import PartResult
from store.jobs.specs import DistillSpec, NodeSpec
from store.lifecycle import transitions
from store.lifecycle.nodes import Round
from store.models import Part
from tests.store.lifecycle.test_nodes import claim_next, create
from tests.workers.runtime.part_helpers import make_context
from workers.gpu.rounds import rendezvous
from workers.runtime.context import Context
from workers.runtime.errors import Deferred, Stopped
from workers.runtime.lease_renewal import LeaseRenewal


def meet(context: Context, claim: Claim, *, wait_s: float = 30.0) -> object:
    node = 0 if claim.kind == "train" else claim.part(NodeSpec).node
    lease = LeaseRenewal(context, claim)
    nnodes = claim.job(DistillSpec).nnodes
    return rendezvous.meet(context, claim, lease, node=node, nnodes=nnodes, wait_s=wait_s)


def work(context: Context, claim: Claim | None) -> None:
    """A worker: takes parts, oldest job first, and gives back those that cannot begin."""
    while not context.shutting_down.is_set():
        if claim is None:
            with context.db.write() as tx:
                ready = claims.ready(tx, ["gpu"], limit=1)
                claim = claims.claim(tx, ready[0], worker="w", lease_s=60) if ready else None
        if claim is not None:
            try:
                meet(context, claim)
                if claim.kind == "train":
                    time.sleep(0.2)
                with context.db.write() as tx:
                    transitions.finish(tx, claim, PartResult())
            except Deferred as error:
                with context.db.write() as tx:
                    transitions.defer(tx, claim, in_s=error.in_s)
            except Stopped:
                return
            claim = None
        time.sleep(0.05)


@pytest.mark.slow
def test_two_jobs_that_hold_one_of_two_workers_each_both_run(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(sqlite_db, tmp_path)
    job_ids = create(sqlite_db), create(sqlite_db)
    claimed = [claim_next(sqlite_db, job_id, kind="train") for job_id in job_ids]
    threads = [threading.Thread(target=work, args=(context, claim)) for claim in claimed]
    for thread in threads:
        thread.start()
    give_up_at = time.monotonic() + 40
    while time.monotonic() < give_up_at:
        with sqlite_db.read() as tx:
            ended = [jobs.get(tx, job_id) for job_id in job_ids]
        if all(job.status == "succeeded" for job in ended):
            break
        time.sleep(0.1)
    context.shutting_down.set()
    for thread in threads:
        thread.join(10)
    assert [job.status for job in ended] == ["succeeded", "succeeded"]
    first, second = (job.finished_at for job in ended)
    assert first is not None
    assert second is not None
    assert first < second
    with sqlite_db.read() as tx:
        assert {part.attempts for part in tx.query(Part)} == {1}


def test_a_machine_without_the_others_gives_its_worker_back(sqlite_db: Database, tmp_path: Path) -> None:
    context = make_context(sqlite_db, tmp_path)
    job_id = create(sqlite_db, 3)
    with pytest.raises(Deferred) as deferred:
        meet(context, claim_next(sqlite_db, job_id), wait_s=0.0)
    assert deferred.value.in_s == rendezvous.RETRY_S


def test_a_machine_that_was_lost_at_the_end_is_not_needed_again(sqlite_db: Database, tmp_path: Path) -> None:
    context = make_context(sqlite_db, tmp_path)
    job_id = create(sqlite_db)
    other = claim_next(sqlite_db, job_id, kind="train_node")
    with sqlite_db.write() as tx:
        tx.execute(update(Part).where(Part.job_id == job_id, Part.kind == "train").values(status="succeeded"))
    assert meet(context, other) is None


def test_a_machine_waits_longer_for_machine_0_when_all_have_come(sqlite_db: Database, tmp_path: Path) -> None:
    context = make_context(sqlite_db, tmp_path)
    job_id = create(sqlite_db)
    claims_ = [claim_next(sqlite_db, job_id, kind=kind) for kind in ("train", "train_node")]
    with pytest.raises(Deferred):
        meet(context, claims_[1], wait_s=0.0)  # machine 0 does not begin
    threading.Timer(0.5, meet, (context, claims_[0])).start()
    round = meet(context, claims_[1], wait_s=20.0)
    assert isinstance(round, Round)
    assert round.address.startswith("127.0.0.1:")  # the database is on this machine


def test_the_address_of_a_machine_is_the_one_from_which_it_reaches_the_database(
    sqlite_db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = make_context(sqlite_db, tmp_path)
    for url in ("postgresql://127.0.0.1:5432/x", "postgresql:///x?host=/var/run/postgresql"):
        monkeypatch.setattr(context.db, "url", make_url(url))
        assert rendezvous.own_host(context) == "127.0.0.1"
    named = replace(context, settings=context.settings.model_copy(update={"rendezvous_host": "gpu-1"}))
    assert rendezvous.own_host(named) == "gpu-1"
