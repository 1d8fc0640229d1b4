"""Contract of the life cycle of jobs: lost and repeated messages, dead and suspended processes, and cancelling."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import psutil
import pytest
import timm
from sqlalchemy import func, select

from limbeck.errors import Problem
from limbeck.models import Job
from limbeck.shared.bundle.files import file_sha256
from store.jobs import jobs
from store.models import Checkpoint, Event, Part
from tests.contract.cluster import ROOT, TEACHER, Cluster, wait_until
from tests.contract.fixtures import (
    LONG_CONFIG,
    TINY_CONFIG,
    get_part,
    start_distill,
    wait_for_end,
    wait_for_saved_state,
    weights_sha256,
)


def test_ten_concurrent_messages_run_a_part_once(cluster: Cluster, dataset_id: str) -> None:
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    job = start_distill(cluster, dataset_id, TINY_CONFIG)
    first = get_part(cluster, job, "encode").id
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
        assert sorted({child.wait(120) for child in children}) == [0, 4]
        cluster.start(cluster.gpu_worker)
    assert wait_for_end(cluster, job, timeout_s=120).status == "succeeded"
    with cluster.db.read() as tx:
        attempts = tx.scalars(select(Part.attempts).where(Part.job_id == job.id)).all()
        num_checkpoints = tx.scalar(select(func.count()).select_from(Checkpoint).where(Checkpoint.job_id == job.id))
        states = tx.scalars(select(Event.message).where(Event.job_id == job.id, Event.type == "state")).all()
    assert list(attempts) == [1, 1, 1]
    assert num_checkpoints == 1
    assert states == ["queued", "running", "succeeded"]


def test_a_job_posted_without_redis_runs_later(cluster: Cluster, dataset_id: str) -> None:
    if cluster.mode == "embedded":
        pytest.skip("there is no Redis in embedded mode")
    vocabulary_id = cluster.client.datasets.get(dataset_id).vocabulary_id
    cluster.kill("redis")
    started_at = time.monotonic()
    job = cluster.client.jobs.create("encode", vocabulary_id=vocabulary_id, teacher=TEACHER, text="names")
    assert time.monotonic() - started_at < 2
    time.sleep(1.5)
    assert cluster.client.jobs.get(job.id).status == "queued"
    cluster.start("redis")
    assert wait_for_end(cluster, job, timeout_s=90).status == "succeeded"


def test_queued_jobs_survive_the_loss_of_all_redis_data(cluster: Cluster, dataset_id: str) -> None:
    if cluster.mode == "embedded":
        pytest.skip("there is no Redis in embedded mode")
    vocabulary_id = cluster.client.datasets.get(dataset_id).vocabulary_id
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    cluster.kill(cluster.enrich_worker, signal.SIGTERM)
    waiting = [
        cluster.client.jobs.create("encode", vocabulary_id=vocabulary_id, teacher=TEACHER, text="names"),
        cluster.client.jobs.create("enrich", vocabulary_id=vocabulary_id),
    ]
    wait_until(lambda: get_part(cluster, waiting[0], "encode").sent_at, what="message sent")
    subprocess.run(["redis-cli", "-p", str(cluster.redis_port), "flushall"], check=True, stdout=subprocess.DEVNULL)
    cluster.start(cluster.gpu_worker, cluster.enrich_worker)
    assert [wait_for_end(cluster, job, timeout_s=90).status for job in waiting] == ["succeeded", "succeeded"]


def test_training_resumes_after_its_process_was_killed(cluster: Cluster, dataset_id: str, expected_sha256: str) -> None:
    job = start_distill(cluster, dataset_id, LONG_CONFIG)
    wait_for_saved_state(cluster, job)
    child = wait_until(lambda: cluster.child_of(cluster.gpu_worker), what="child process")
    child.kill()
    assert weights_sha256(cluster, wait_for_end(cluster, job, timeout_s=120)) == expected_sha256
    assert get_part(cluster, job, "train").attempts == 2
    messages = [event.message for event in cluster.client.jobs.events(job.id)]
    # The numbers of steps follow if the training has written its progress, which it does once a second.
    assert any("its process was ended by SIGKILL" in message and " at training" in message for message in messages)
    assert any("training resumes after step" in message for message in messages)


@pytest.mark.nightly_in("distributed", reason="the GPU process rejects the text, and is the same in both modes")
def test_a_text_that_no_label_has_fails_the_job(cluster: Cluster, dataset_id: str, attribute_set_id: str) -> None:
    """Otherwise names would be encoded as if they were descriptions."""
    vocabulary_id = cluster.client.datasets.get(dataset_id).vocabulary_id
    at: dict[str, str] = {"vocabulary_id": vocabulary_id, "attribute_set_id": attribute_set_id}
    done = wait_for_end(cluster, cluster.client.jobs.create("encode", teacher=TEACHER, text="contrast", **at))
    assert done.error is not None
    assert done.error.code == "texts_unfit"
    assert 'no label has attributes for the text "contrast": choose "sentence"' in done.error.message


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_checkpoints_of_a_training_can_be_loaded_while_it_runs_and_survive_its_process(
    cluster: Cluster, dataset_id: str, expected_sha256: str, tmp_path: Path
) -> None:
    wanted = {"every_epochs": 10, "keep": 3}
    job = start_distill(cluster, dataset_id, LONG_CONFIG, save_checkpoints=wanted)
    client = cluster.client
    first = wait_until(lambda: list(client.jobs.checkpoints(job)), timeout_s=180, what="checkpoint")[0]
    wait_for_saved_state(cluster, job)
    client.jobs.download_checkpoint(job, first.epoch, tmp_path / "first")
    assert not client.jobs.get(job.id).ended
    wait_until(lambda: cluster.child_of(cluster.gpu_worker), what="child process").kill()
    timm.create_model(f"local-dir:{tmp_path / 'first' / 'image'}", pretrained=True)
    done = wait_for_end(cluster, job, timeout_s=300)
    assert get_part(cluster, job, "train").attempts == 2
    assert weights_sha256(cluster, done) == expected_sha256  # that of a training without checkpoints
    kept = list(client.jobs.checkpoints(job))
    assert [one.epoch for one in kept] == [40, 50, 60]
    assert all(one.metrics is not None for one in kept)
    client.jobs.download_checkpoint(job, 60, tmp_path / "last")
    assert file_sha256(tmp_path / "last" / "image" / "model.safetensors") == expected_sha256
    assert "deleted" in repr(client.jobs.delete(job, force=True))
    with pytest.raises(Problem, match="no job"):
        list(client.jobs.checkpoints(job))


def resumes(cluster: Cluster, job: Job) -> bool:
    return any("training resumes after step" in event.message for event in cluster.client.jobs.events(job.id))


def has_ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_training_survives_the_termination_and_the_death_of_its_worker(
    cluster: Cluster, dataset_id: str, expected_sha256: str
) -> None:
    """A terminated worker releases its part; a killed one leaves no child that starts (of one at work: below)."""
    job = start_distill(cluster, dataset_id, LONG_CONFIG)
    wait_for_saved_state(cluster, job)
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    released = get_part(cluster, job, "train")
    assert (released.status, released.attempts) == ("queued", 0)
    cluster.start(cluster.gpu_worker)
    child = wait_until(lambda: cluster.child_of(cluster.gpu_worker), timeout_s=60, what="child process")
    cluster.kill(cluster.gpu_worker)
    wait_until(partial(has_ended, child), timeout_s=20, what="end of the child process")
    left = get_part(cluster, job, "train")
    assert (left.status, left.attempts) == ("queued", 0)
    cluster.start(cluster.gpu_worker)
    assert weights_sha256(cluster, wait_for_end(cluster, job, timeout_s=120)) == expected_sha256


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_training_whose_worker_was_killed_at_work_ends_with_the_same_weights(
    cluster: Cluster, dataset_id: str, expected_sha256: str
) -> None:
    """Nightly: the next test has the end of the child, the one above a training that resumes from a released part."""
    job = start_distill(cluster, dataset_id, LONG_CONFIG)
    wait_for_saved_state(cluster, job)
    for has_resumed in (False, True):
        if has_resumed:
            wait_until(lambda: resumes(cluster, job), timeout_s=60, what="training")
        child = wait_until(lambda: cluster.child_of(cluster.gpu_worker), what="child process")
        cluster.kill(cluster.gpu_worker)
        wait_until(partial(has_ended, child), timeout_s=20, what="end of the child process")
        cluster.start(cluster.gpu_worker)
    assert weights_sha256(cluster, wait_for_end(cluster, job, timeout_s=400)) == expected_sha256


def test_a_child_at_work_releases_its_part_when_its_worker_dies(cluster: Cluster, dataset_id: str) -> None:
    """The training is so long that it cannot end before its worker is killed; it is cancelled after the test."""
    job = start_distill(cluster, dataset_id, {**LONG_CONFIG, "epochs": 20_000})
    wait_for_saved_state(cluster, job)
    child = wait_until(lambda: cluster.child_of(cluster.gpu_worker), what="child process")
    cluster.kill(cluster.gpu_worker)
    wait_until(partial(has_ended, child), timeout_s=20, what="end of the child process")
    left = get_part(cluster, job, "train")
    assert (left.status, left.attempts) == ("queued", 0)


@pytest.mark.nightly_in("embedded", reason="the lease is a column of the part, whatever the process that takes it over")
def test_a_suspended_child_writes_nothing_after_it_lost_its_lease(
    cluster: Cluster, dataset_id: str, expected_sha256: str
) -> None:
    """A process is suspended until its lease has expired, and resumes after another process has finished the job.

    The test starts it, because a worker would end its own child.
    """
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    job = start_distill(cluster, dataset_id, LONG_CONFIG)
    command = [sys.executable, "-m", "workers.child", get_part(cluster, job, "encode").id]
    suspended = subprocess.Popen(command, env=cluster.env, cwd=ROOT)
    wait_for_saved_state(cluster, job)
    suspended.send_signal(signal.SIGSTOP)
    cluster.start(cluster.gpu_worker)
    done = wait_for_end(cluster, job, timeout_s=120)
    files = {
        file.path: file.sha256 for file in cluster.client.checkpoints.get((done.result or {})["checkpoint_id"]).files
    }
    with cluster.db.read() as tx:
        before = jobs.get(tx, job.id).num_events
    suspended.send_signal(signal.SIGCONT)
    suspended.wait(40)
    assert weights_sha256(cluster, done) == expected_sha256
    checkpoint_after = cluster.client.checkpoints.get((done.result or {})["checkpoint_id"])
    assert {file.path: file.sha256 for file in checkpoint_after.files} == files
    with cluster.db.read() as tx:
        assert jobs.get(tx, job.id).num_events == before
        assert tx.scalar(select(func.count()).select_from(Checkpoint).where(Checkpoint.job_id == job.id)) == 1


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_suspended_child_does_not_block_the_queue(cluster: Cluster, dataset_id: str, expected_sha256: str) -> None:
    job = start_distill(cluster, dataset_id, LONG_CONFIG)
    wait_for_saved_state(cluster, job)
    suspended = wait_until(lambda: cluster.child_of(cluster.gpu_worker), what="child process")
    suspended.suspend()
    assert weights_sha256(cluster, wait_for_end(cluster, job, timeout_s=400)) == expected_sha256
    assert not suspended.is_running()


def test_a_part_that_kills_every_worker_fails_with_worker_lost(cluster: Cluster, dataset_id: str) -> None:
    job = start_distill(cluster, dataset_id, LONG_CONFIG)
    for attempt in range(1, int(cluster.env["LIMBECK_MAX_ATTEMPTS"]) + 1):

        def worker_of_attempt(attempt: int = attempt) -> str | None:
            claimed = get_part(cluster, job, "encode")
            return claimed.worker if claimed.status == "running" and claimed.attempts == attempt else None

        os.kill(
            int(wait_until(worker_of_attempt, timeout_s=120, what="claimed part").rpartition(":")[2]), signal.SIGKILL
        )
    failed = wait_for_end(cluster, job)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "worker_lost"


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_training_that_is_killed_again_and_again_ends_with_the_same_weights(
    cluster: Cluster, dataset_id: str, expected_sha256: str
) -> None:
    """More often than `LIMBECK_MAX_ATTEMPTS`: each attempt saves more steps than the one before."""
    job = start_distill(cluster, dataset_id, LONG_CONFIG)
    saved = 0
    for attempt in range(1, 6):

        def has_progressed(saved: int = saved, attempt: int = attempt) -> bool:
            training = get_part(cluster, job, "train")
            runs = training.status == "running" and training.attempts == attempt
            return runs and training.saved_units > saved

        wait_until(has_progressed, timeout_s=400, what="a state with more steps")
        saved = get_part(cluster, job, "train").saved_units
        wait_until(lambda: cluster.child_of(cluster.gpu_worker), what="child process").kill()
    assert weights_sha256(cluster, wait_for_end(cluster, job, timeout_s=400)) == expected_sha256
    training = get_part(cluster, job, "train")
    assert training.attempts == 6
    files = cluster.folder / "artefacts" / "parts" / training.id
    assert len(list(files.glob("*/state/*"))) <= 1  # of the last attempt, until the sweeper cleans up


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_paused_training_leaves_its_worker_and_resumes_exactly(
    cluster: Cluster, dataset_id: str, expected_sha256: str
) -> None:
    job = start_distill(cluster, dataset_id, LONG_CONFIG)
    wait_for_saved_state(cluster, job)
    assert cluster.client.jobs.pause(job.id).status == "pausing"
    wait_until(lambda: cluster.client.jobs.get(job.id).status == "paused", what="paused job")
    wait_until(lambda: cluster.child_of(cluster.gpu_worker) is None, what="end of the child process")
    other = start_distill(cluster, dataset_id, TINY_CONFIG)  # the worker is free for other jobs
    assert wait_for_end(cluster, other, timeout_s=400).status == "succeeded"
    assert cluster.client.jobs.get(job.id).status == "paused"
    cluster.client.jobs.resume(job.id)
    assert weights_sha256(cluster, wait_for_end(cluster, job, timeout_s=400)) == expected_sha256
    assert get_part(cluster, job, "train").attempts == 1


@pytest.mark.nightly
@pytest.mark.timeout(1200)
def test_a_cancelled_training_is_retried_from_its_state(
    cluster: Cluster, dataset_id: str, expected_sha256: str
) -> None:
    job = start_distill(cluster, dataset_id, LONG_CONFIG)
    wait_for_saved_state(cluster, job)
    cluster.client.jobs.cancel(job.id)
    assert wait_for_end(cluster, job, timeout_s=30).status == "cancelled"
    assert cluster.client.jobs.retry(job.id).status == "queued"
    assert weights_sha256(cluster, wait_for_end(cluster, job, timeout_s=400)) == expected_sha256
    messages = [event.message for event in cluster.client.jobs.events(job.id)]
    assert any("training resumes after step" in message for message in messages)


def test_cancel_a_queued_job(cluster: Cluster, dataset_id: str) -> None:
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    job = start_distill(cluster, dataset_id, TINY_CONFIG)
    assert cluster.client.jobs.cancel(job.id).status == "cancelled"
    assert cluster.client.jobs.cancel(job.id).status == "cancelled"


def test_cancel_a_running_job(cluster: Cluster, dataset_id: str) -> None:
    job = start_distill(cluster, dataset_id, LONG_CONFIG)
    wait_for_saved_state(cluster, job)
    assert cluster.client.jobs.cancel(job.id).status == "cancelling"
    cluster.client.jobs.cancel(job.id)
    assert wait_for_end(cluster, job, timeout_s=15).status == "cancelled"
    wait_until(lambda: cluster.child_of(cluster.gpu_worker) is None, timeout_s=15, what="end of the child process")


def test_cancel_a_job_whose_worker_is_dead(cluster: Cluster, dataset_id: str) -> None:
    job = start_distill(cluster, dataset_id, LONG_CONFIG)
    wait_for_saved_state(cluster, job)
    child = wait_until(lambda: cluster.child_of(cluster.gpu_worker), what="child process")
    child.suspend()
    cluster.kill(cluster.gpu_worker)
    cluster.client.jobs.cancel(job.id)
    if cluster.mode == "embedded":  # the worker also runs the sweeper
        cluster.start(cluster.gpu_worker)
    assert wait_for_end(cluster, job, timeout_s=20).status == "cancelled"
    with contextlib.suppress(psutil.NoSuchProcess):  # a suspended process may die together with its session
        child.kill()
