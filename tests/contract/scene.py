"""The contract: what holds of the API and the job's life in either way of running, tried on real processes.

`test_embedded.py` and `test_distributed.py` run every test of `whole.py`, `enriching.py` and `life.py`, each on its own
cluster. Here is what these start from: the cluster, a dataset, an attribute set, and small trainings.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from limbeck.models import Job
from store.models import Part
from tests.contract.cluster import TEACHER, Cluster, running, until

SPECIES = 8
SPLIT = {"by": "seed", "seed": 1, "id_fraction": 0.5, "held_out": 0.3}
TINY = {
    "student": "test_resnet",
    "image_px": 32,
    "batch_size": 8,
    "epochs": 3,
    "threads": 1,
    "num_workers": 1,
    "save_every_s": 60.0,
}
# Long enough to be killed in the middle: some hundred steps, with a state saved every few of them.
LONG = {**TINY, "epochs": 60, "save_every_s": 0.3}


@pytest.fixture(scope="module")
def cluster(mode: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(mode, tmp_path_factory.mktemp(mode), species=SPECIES) as started:
        yield started


@pytest.fixture(autouse=True)
def all_up(cluster: Cluster) -> Iterator[None]:
    """Every test finds every process running and the LLM well, and nothing left of the test before."""
    cluster.llm.set_faults([])
    if cluster.mode == "distributed":
        cluster.start("redis")
    cluster.start("api", *cluster.workers)
    yield
    for job in cluster.client.jobs():
        if not job.ended:
            cluster.client.cancel(job.id)


@pytest.fixture(scope="module")
def names(cluster: Cluster) -> list[str]:
    return [folder.name.replace("_", " ") for folder in sorted((cluster.folder / "data" / "images").iterdir())]


@pytest.fixture(scope="module")
def dataset_id(cluster: Cluster, names: list[str]) -> str:
    vocabulary = cluster.client.create_vocabulary("creatures", names, domain="field guide creatures")
    return cluster.client.register_dataset(vocabulary.id, "images", split=SPLIT).id


@pytest.fixture(scope="module")
def attribute_set_id(cluster: Cluster, dataset_id: str) -> str:
    enriched = cluster.client.wait(cluster.client.enrich(cluster.client.dataset(dataset_id).vocabulary_id))
    assert enriched.result is not None
    found: str = enriched.result["attribute_set_id"]
    return found


@pytest.fixture(scope="module")
def undisturbed(cluster: Cluster, dataset_id: str) -> str:
    """The digest of the weights that a run of `LONG` ends with when nothing happens to it."""
    return weights(cluster, cluster.client.wait(distill(cluster, dataset_id, LONG), timeout_s=180))


def distill(cluster: Cluster, dataset_id: str, config: dict[str, Any], **fields: Any) -> Job:
    return cluster.client.distill(
        dataset_id, teacher=TEACHER, text=fields.pop("text", "names"), config=config, **fields
    )


def weights(cluster: Cluster, job: Job) -> str:
    assert job.result is not None
    checkpoint = cluster.client.checkpoint(job.result["checkpoint_id"])
    return next(file.sha256 for file in checkpoint.files if file.path == "image/model.safetensors")


def part(cluster: Cluster, job: Job, kind: str) -> Part:
    with cluster.db.read() as tx:
        return tx.scalars(select(Part).where(Part.job_id == job.id, Part.kind == kind)).one()


def ended(cluster: Cluster, job: Job, *, timeout_s: float = 60) -> Job:
    def look() -> Job | None:
        now = cluster.client.job(job.id)
        return now if now.ended else None

    return until(look, timeout_s=timeout_s, what=f"the end of {job.kind} {job.id}")


def in_mid_training(cluster: Cluster, job: Job) -> None:
    """Wait until the training has saved a state and goes on."""
    until(lambda: part(cluster, job, "train").state_key, timeout_s=90, what="a saved state")
    assert part(cluster, job, "train").status == "running"
