"""Contract of trainings on several machines: two GPU workers of this machine, which meet on the loopback interface."""

import signal
from collections.abc import Iterator

import psutil
import pytest

from limbeck.models import Job
from tests.contract import ranks
from tests.contract.cluster import Cluster, Mode, wait_until
from tests.contract.fixtures import *  # noqa: F403
from tests.contract.fixtures import get_part, start_distill, wait_for_end, weights_sha256
from tests.contract.ranks import CONFIG, ranks_of, wait_until_all_ended

# Loading torch on a busy machine can hold up the thread that renews a lease for longer than the 5 s of the cluster.
LEASE_S = 20
undisturbed = ranks.undisturbed


@pytest.fixture(scope="module", params=["embedded", "distributed"])
def mode(request: pytest.FixtureRequest) -> Mode:
    chosen: Mode = request.param
    return chosen


@pytest.fixture(scope="module")
def two_gpu_workers(cluster: Cluster) -> Iterator[list[str]]:
    """The names of two GPU workers; the second one lives as long as the tests of this module."""
    first, second = cluster.gpu_worker, f"second {cluster.gpu_worker}"
    lease_s, cluster.env["LIMBECK_LEASE_S"] = cluster.env["LIMBECK_LEASE_S"], str(LEASE_S)
    cluster.commands[second] = cluster.commands[first]
    if cluster.mode == "distributed":
        cluster.commands[second] = [*cluster.commands[second], "-n", "second@%h"]
    if first in cluster.processes:
        cluster.kill(first, signal.SIGTERM)
    cluster.start(first, second)
    yield [first, second]
    cluster.kill(second, signal.SIGTERM)
    del cluster.commands[second]
    cluster.env["LIMBECK_LEASE_S"] = lease_s


def running_machines(
    cluster: Cluster, job: Job, workers: list[str]
) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """The children of the workers, and their ranks, when the training has saved a state since this was called."""
    before = get_part(cluster, job, "train").state_key

    def has_saved() -> bool:
        part = get_part(cluster, job, "train")
        assert part.status != "failed", part.error
        return part.status == "running" and part.state_key not in (None, before)

    wait_until(has_saved, timeout_s=240, what="saved training state")
    children = [wait_until(lambda name=name: cluster.child_of(name), what="child") for name in workers]
    by_rank = {rank: process for child in children for rank, process in ranks_of(child).items()}
    assert sorted(by_rank) == [0, 1]
    assert [len(ranks_of(child)) for child in children] == [1, 1]
    return children, list(by_rank.values())


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_two_machines_train_the_weights_of_two_ranks_also_after_each_was_lost(
    cluster: Cluster, dataset_id: str, undisturbed: Job, two_gpu_workers: list[str]
) -> None:
    job = start_distill(cluster, dataset_id, CONFIG, nnodes=2)
    for rank in (1, 0):
        children, processes = running_machines(cluster, job, two_gpu_workers)
        next(child for child in children if rank in ranks_of(child)).kill()
        wait_until_all_ended(*processes, timeout_s=30)
    done = wait_for_end(cluster, job, timeout_s=400)
    assert weights_sha256(cluster, done) == weights_sha256(cluster, undisturbed)
    events = list(cluster.client.jobs.events(job.id))
    assert any("training resumes after step" in event.message for event in events)
    lost = [event.message for event in events if event.data.get("code") == "worker_lost"]
    assert [message.split(":")[0] for message in lost] == ["train_node", "train"]
    others = [event.message for event in events if event.level != "info" and event.message not in lost]
    assert others == []  # the machines that were left alone waited, and did not fail


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_training_on_two_machines_pauses_and_is_cancelled(
    cluster: Cluster, dataset_id: str, two_gpu_workers: list[str]
) -> None:
    job = start_distill(cluster, dataset_id, CONFIG, nnodes=2)
    _, processes = running_machines(cluster, job, two_gpu_workers)
    cluster.client.jobs.pause(job.id)
    wait_until(lambda: cluster.client.jobs.get(job.id).status == "paused", timeout_s=60, what="paused job")
    wait_until_all_ended(*processes, timeout_s=1)
    parts = [get_part(cluster, job, kind) for kind in ("train", "train_node")]
    assert [(part.status, part.attempts, part.idle_attempts) for part in parts] == [("paused", 0, 0)] * 2
    cluster.client.jobs.resume(job.id)
    _, processes = running_machines(cluster, job, two_gpu_workers)
    cluster.client.jobs.cancel(job.id)
    assert wait_for_end(cluster, job, timeout_s=15).status == "cancelled"
    wait_until_all_ended(*processes, timeout_s=15)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_two_jobs_on_two_machines_share_two_workers(
    cluster: Cluster, dataset_id: str, two_gpu_workers: list[str]
) -> None:
    both = [start_distill(cluster, dataset_id, {**CONFIG, "epochs": 2}, nnodes=2) for _ in two_gpu_workers]
    ended = [wait_for_end(cluster, job, timeout_s=400) for job in both]
    assert [job.status for job in ended] == ["succeeded", "succeeded"], [job.error for job in ended]
