"""The contract of a job's life: messages lost or sent again, processes that die or stand still, and cancelling."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest
from sqlalchemy import func, select

from store.jobs import jobs
from store.models import Checkpoint, Event, Part
from tests.contract.cluster import ROOT, TEACHER, Cluster, until
from tests.contract.scene import LONG, TINY, distill, ended, in_mid_training, part, weights


def test_ten_messages_at_once_run_one_part(cluster: Cluster, dataset_id: str) -> None:
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    job = distill(cluster, dataset_id, TINY)
    first = part(cluster, job, "encode").id
    if cluster.mode == "distributed":
        from celery import Celery

        app = Celery(broker=cluster.env["LIMBECK_REDIS_URL"])
        with ThreadPoolExecutor(10) as pool:
            list(pool.map(lambda _: app.send_task("limbeck.gpu", args=[first], queue="gpu"), range(10)))
        app.close()
        cluster.start(cluster.gpu_worker)
    else:
        command = [sys.executable, "-m", "workers.child", first]
        children = [subprocess.Popen(command, env=cluster.env, cwd=ROOT) for _ in range(10)]
        assert [child.wait(120) for child in children] == [0] * 10
        cluster.start(cluster.gpu_worker)
    assert ended(cluster, job, timeout_s=120).status == "succeeded"
    with cluster.db.read() as tx:
        attempts = tx.scalars(select(Part.attempts).where(Part.job_id == job.id)).all()
        made = tx.scalar(select(func.count()).select_from(Checkpoint).where(Checkpoint.job_id == job.id))
        states = tx.scalars(select(Event.message).where(Event.job_id == job.id, Event.type == "state")).all()
    assert list(attempts) == [1, 1, 1]
    assert made == 1
    assert states == ["queued", "running", "succeeded"]


def test_a_post_without_redis_is_taken_and_runs_later(cluster: Cluster, dataset_id: str) -> None:
    if cluster.mode == "embedded":
        pytest.skip("there is no Redis in embedded mode")
    vocabulary_id = cluster.client.dataset(dataset_id).vocabulary_id
    cluster.kill("redis")
    began = time.monotonic()
    job = cluster.client.encode(vocabulary_id, teacher=TEACHER, text="names")
    assert time.monotonic() - began < 2
    time.sleep(1.5)
    assert cluster.client.job(job.id).status == "queued"
    cluster.start("redis")
    assert ended(cluster, job, timeout_s=90).status == "succeeded"


def test_flushall_with_jobs_waiting_loses_none(cluster: Cluster, dataset_id: str) -> None:
    if cluster.mode == "embedded":
        pytest.skip("there is no Redis in embedded mode")
    vocabulary_id = cluster.client.dataset(dataset_id).vocabulary_id
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    cluster.kill(cluster.enrich_worker, signal.SIGTERM)
    waiting = [
        cluster.client.encode(vocabulary_id, teacher=TEACHER, text="names"),
        cluster.client.enrich(vocabulary_id),
    ]
    until(lambda: part(cluster, waiting[0], "encode").sent_at, what="a message")
    subprocess.run(["redis-cli", "-p", str(cluster.redis_port), "flushall"], check=True, stdout=subprocess.DEVNULL)
    cluster.start(cluster.gpu_worker, cluster.enrich_worker)
    assert [ended(cluster, job, timeout_s=90).status for job in waiting] == ["succeeded", "succeeded"]


def test_a_killed_child_is_taken_up_from_its_last_state(cluster: Cluster, dataset_id: str, undisturbed: str) -> None:
    job = distill(cluster, dataset_id, LONG)
    in_mid_training(cluster, job)
    child = until(lambda: cluster.child_of(cluster.gpu_worker), what="the child")
    child.kill()
    assert weights(cluster, ended(cluster, job, timeout_s=120)) == undisturbed
    again = part(cluster, job, "train")
    assert again.attempts == 2
    messages = [event.message for event in cluster.client.events(job.id)]
    assert any("worker lost" in message for message in messages)
    assert any("going on from" in message for message in messages)


def test_a_killed_worker_leaves_no_orphan_and_loses_nothing(
    cluster: Cluster, dataset_id: str, undisturbed: str
) -> None:
    job = distill(cluster, dataset_id, LONG)
    in_mid_training(cluster, job)
    child = until(lambda: cluster.child_of(cluster.gpu_worker), what="the child")
    cluster.kill(cluster.gpu_worker)
    until(
        lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, timeout_s=20, what="the child's end"
    )
    cluster.start(cluster.gpu_worker)
    assert weights(cluster, ended(cluster, job, timeout_s=120)) == undisturbed


def test_a_worker_asked_to_end_gives_its_part_back(cluster: Cluster, dataset_id: str, undisturbed: str) -> None:
    job = distill(cluster, dataset_id, LONG)
    in_mid_training(cluster, job)
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    given_back = part(cluster, job, "train")
    assert (given_back.status, given_back.attempts) == ("queued", 0)
    cluster.start(cluster.gpu_worker)
    assert weights(cluster, ended(cluster, job, timeout_s=120)) == undisturbed


def test_a_stalled_child_changes_nothing_when_it_wakes(cluster: Cluster, dataset_id: str, undisturbed: str) -> None:
    """A process that stood still past its lease: another has finished the job when it goes on."""
    job = distill(cluster, dataset_id, LONG)
    in_mid_training(cluster, job)
    zombie = until(lambda: cluster.child_of(cluster.gpu_worker), what="the child")
    zombie.suspend()
    until(lambda: part(cluster, job, "train").status == "queued", timeout_s=20, what="the lease's end")
    # The worker still waits for its child: the part is run by another process, as another worker's would.
    heir = [sys.executable, "-m", "workers.child", part(cluster, job, "train").id]
    subprocess.run(heir, env=cluster.env, cwd=ROOT, check=True, timeout=120)
    done = ended(cluster, job, timeout_s=60)
    files = {file.path: file.sha256 for file in cluster.client.checkpoint((done.result or {})["checkpoint_id"]).files}
    with cluster.db.read() as tx:
        before = jobs.get(tx, job.id).num_events
    zombie.resume()
    until(
        lambda: not zombie.is_running() or zombie.status() == psutil.STATUS_ZOMBIE,
        timeout_s=40,
        what="the zombie's end",
    )
    assert weights(cluster, done) == undisturbed
    after = cluster.client.checkpoint((done.result or {})["checkpoint_id"])
    assert {file.path: file.sha256 for file in after.files} == files
    with cluster.db.read() as tx:
        assert jobs.get(tx, job.id).num_events == before
        assert tx.scalar(select(func.count()).select_from(Checkpoint).where(Checkpoint.job_id == job.id)) == 1


def test_lost_again_and_again_fails_as_worker_lost(cluster: Cluster, dataset_id: str) -> None:
    job = distill(cluster, dataset_id, LONG)
    for attempt in range(1, int(cluster.env["LIMBECK_MAX_ATTEMPTS"]) + 1):

        def holder(attempt: int = attempt) -> str | None:
            claimed = part(cluster, job, "encode")
            return claimed.worker if claimed.status == "running" and claimed.attempts == attempt else None

        os.kill(int(until(holder, timeout_s=40, what="a claim").rpartition(":")[2]), signal.SIGKILL)
    failed = ended(cluster, job)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "worker_lost"


def test_cancel_while_queued(cluster: Cluster, dataset_id: str) -> None:
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    job = distill(cluster, dataset_id, TINY)
    assert cluster.client.cancel(job.id).status == "cancelled"
    assert cluster.client.cancel(job.id).status == "cancelled"


def test_cancel_while_running(cluster: Cluster, dataset_id: str) -> None:
    job = distill(cluster, dataset_id, LONG)
    in_mid_training(cluster, job)
    assert cluster.client.cancel(job.id).status == "cancelling"
    cluster.client.cancel(job.id)
    assert ended(cluster, job, timeout_s=15).status == "cancelled"
    until(lambda: cluster.child_of(cluster.gpu_worker) is None, timeout_s=15, what="the child's end")


def test_cancel_with_the_worker_dead(cluster: Cluster, dataset_id: str) -> None:
    job = distill(cluster, dataset_id, LONG)
    in_mid_training(cluster, job)
    child = until(lambda: cluster.child_of(cluster.gpu_worker), what="the child")
    child.suspend()
    cluster.kill(cluster.gpu_worker)
    cluster.client.cancel(job.id)
    if cluster.mode == "embedded":  # its sweeper died with it
        cluster.start(cluster.gpu_worker)
    assert ended(cluster, job, timeout_s=20).status == "cancelled"
    with contextlib.suppress(psutil.NoSuchProcess):  # whoever stands still when its session dies may go, too
        child.kill()
