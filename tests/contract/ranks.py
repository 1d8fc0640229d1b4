"""Contract of trainings in several processes: two gloo ranks, killed with and without their child, and stopped."""

import signal
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from limbeck.models import Job
from tests.contract.cluster import Cluster, wait_until
from tests.contract.fixtures import (
    TINY_CONFIG,
    get_part,
    start_distill,
    wait_for_end,
    weights_sha256,
)

# Without batch norm, which on a CPU has the statistics of each rank's share; plain SGD, whose weights show the
# gradients.
CONFIG = {**TINY_CONFIG, "student": "test_vit", "optimizer": "sgd", "momentum": 0, "lr": 0.05, "epochs": 25}
CONFIG = {**CONFIG, "save_every_s": 0.2, "device": "cpu"}


def ranks_of(child: psutil.Process) -> dict[int, psutil.Process]:
    """Rank → process, of those that run below the child of a part."""
    ranks = {}
    for process in child.children(recursive=True):
        try:
            if "workers.gpu.rank" in process.cmdline() and "RANK" in process.environ():  # torchrun names it, too
                ranks[int(process.environ()["RANK"])] = process
        except psutil.Error:
            continue
    return ranks


def torchrun_of(child: psutil.Process) -> psutil.Process:
    """The process of torchrun."""
    return next(process for process in child.children() if "torch.distributed.run" in process.cmdline())


def running_ranks(cluster: Cluster, job: Job) -> tuple[psutil.Process, dict[int, psutil.Process]]:
    """The child and the ranks of a training that has saved a state since this was called."""
    before = get_part(cluster, job, "train").state_key

    def saved() -> bool:
        part = get_part(cluster, job, "train")
        return part.status == "running" and part.state_key not in (None, before)

    wait_until(saved, timeout_s=180, what="saved training state")
    child = wait_until(lambda: cluster.child_of(cluster.gpu_worker), what="child process")
    ranks = ranks_of(child)
    assert sorted(ranks) == [0, 1]
    return child, ranks


def has_ended(process: psutil.Process) -> bool:
    """Whether the process is gone; a zombie has ended."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def wait_until_all_ended(*processes: psutil.Process, timeout_s: float = 5) -> None:
    wait_until(lambda: all(map(has_ended, processes)), timeout_s=timeout_s, what="end of all ranks")


def weights(cluster: Cluster, job: Job, folder: Path) -> dict[str, torch.Tensor]:
    """The weights of the student of a job that has succeeded."""
    assert job.result is not None, job.error
    cluster.client.checkpoints.download(job.result["checkpoint_id"], folder / job.id, parts=["image"])
    return load_file(folder / job.id / "image" / "model.safetensors")


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, dataset_id: str) -> Job:
    """A job of two ranks that nothing disturbs."""
    job = wait_for_end(cluster, start_distill(cluster, dataset_id, CONFIG, nproc=2), timeout_s=300)
    assert job.spec["nproc"] == 2
    return job


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_two_ranks_train_the_weights_of_one_process(
    cluster: Cluster, dataset_id: str, undisturbed: Job, tmp_path: Path
) -> None:
    single = wait_for_end(cluster, start_distill(cluster, dataset_id, CONFIG), timeout_s=300)
    of_two, of_one = weights(cluster, undisturbed, tmp_path), weights(cluster, single, tmp_path)
    assert {name: tensor.shape for name, tensor in of_two.items()} == {n: t.shape for n, t in of_one.items()}
    for name, tensor in of_two.items():
        torch.testing.assert_close(tensor, of_one[name], rtol=0, atol=1e-5)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_a_lost_rank_ends_the_others_and_the_training_resumes(
    cluster: Cluster, dataset_id: str, undisturbed: Job
) -> None:
    job = start_distill(cluster, dataset_id, CONFIG, nproc=2)
    for victim in (1, 0):
        _, ranks = running_ranks(cluster, job)
        ranks[victim].kill()
        wait_until_all_ended(*ranks.values(), timeout_s=20)
        wait_until(lambda: get_part(cluster, job, "train").status == "queued", timeout_s=20, what="released part")
        assert get_part(cluster, job, "train").worker is None
    done = wait_for_end(cluster, job, timeout_s=300)
    assert weights_sha256(cluster, done) == weights_sha256(cluster, undisturbed)
    events = list(cluster.client.jobs.events(job.id))
    lost = [event.message for event in events if event.data.get("code") == "rank_lost"]
    assert ["rank 1 of 2" in lost[0], "rank 0" in lost[1], len(lost)] == [True, True, 2]
    assert any("training resumes after step" in event.message for event in events)
    assert any("accuracy" in event.data for event in events if event.type == "metrics")


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_no_rank_survives_its_child_and_the_training_resumes(
    cluster: Cluster, dataset_id: str, undisturbed: Job
) -> None:
    job = start_distill(cluster, dataset_id, CONFIG, nproc=2)
    child, ranks = running_ranks(cluster, job)
    child.kill()
    wait_until_all_ended(*ranks.values())
    child, ranks = running_ranks(cluster, job)
    torchrun_of(child).kill()
    wait_until_all_ended(*ranks.values())
    done = wait_for_end(cluster, job, timeout_s=300)
    assert weights_sha256(cluster, done) == weights_sha256(cluster, undisturbed)


@pytest.mark.nightly
@pytest.mark.timeout(900)
def test_ranks_end_with_their_worker_and_with_a_cancelled_job(cluster: Cluster, dataset_id: str) -> None:
    job = start_distill(cluster, dataset_id, CONFIG, nproc=2)
    _, ranks = running_ranks(cluster, job)
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    released = get_part(cluster, job, "train")
    assert (released.status, released.attempts) == ("queued", 0)
    wait_until_all_ended(*ranks.values(), timeout_s=1)
    cluster.start(cluster.gpu_worker)
    _, ranks = running_ranks(cluster, job)
    cluster.client.jobs.cancel(job.id)
    assert wait_for_end(cluster, job, timeout_s=15).status == "cancelled"
    wait_until_all_ended(*ranks.values(), timeout_s=15)
    errors = [event.message for event in cluster.client.jobs.events(job.id) if event.level != "info"]
    assert errors == []
