"""Fixtures of the contract tests: the cluster, a dataset, an attribute set and small trainings.

The contract holds in both modes of the service and is tested on real processes: `test_embedded.py` and
`test_distributed.py` run every test of `end_to_end.py`, `enrichment.py` and `job_lifecycle.py`, each on one cluster.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from limbeck.models import Job
from store.models import Part
from tests.contract.cluster import TEACHER, Cluster, running, wait_until

NUM_SPECIES = 8
SPLIT = {"by": "seed", "seed": 1, "id_fraction": 0.5, "held_out": 0.3}
TINY_CONFIG = {
    "student": "test_resnet",
    "image_px": 32,
    "onnx": False,
    "batch_size": 8,
    "epochs": 3,
    "threads": 1,
    "num_workers": 1,
    "save_every_s": 60.0,
}
# Long enough to be interrupted: some hundred steps, with a training state every few steps.
LONG_CONFIG = {**TINY_CONFIG, "epochs": 60, "save_every_s": 0.3}


@pytest.fixture(scope="module")
def cluster(mode: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running(mode, tmp_path_factory.mktemp(mode), num_species=NUM_SPECIES) as cluster:
        yield cluster


@pytest.fixture(autouse=True)
def all_processes_running(cluster: Cluster) -> Iterator[None]:
    """Before each test all processes run and the LLM has no faults; after it, live jobs are cancelled."""
    cluster.llm.set_faults([])
    if cluster.mode == "distributed":
        cluster.start("redis")
    cluster.start("api", *cluster.workers)
    yield
    for job in cluster.client.jobs.list():
        if not job.ended:
            cluster.client.jobs.cancel(job.id)


@pytest.fixture(scope="module")
def label_names(cluster: Cluster) -> list[str]:
    return [folder.name.replace("_", " ") for folder in sorted((cluster.folder / "data" / "images").iterdir())]


@pytest.fixture(scope="module")
def dataset_id(cluster: Cluster, label_names: list[str]) -> str:
    vocabulary = cluster.client.vocabularies.create("creatures", label_names, domain="field guide creatures")
    return cluster.client.datasets.create(vocabulary.id, "images", split=SPLIT).id


@pytest.fixture(scope="module")
def attribute_set_id(cluster: Cluster, dataset_id: str) -> str:
    enriched = cluster.client.jobs.wait(
        cluster.client.jobs.create("enrich", vocabulary_id=cluster.client.datasets.get(dataset_id).vocabulary_id)
    )
    assert enriched.result is not None
    attribute_set_id: str = enriched.result["attribute_set_id"]
    return attribute_set_id


@pytest.fixture(scope="module")
def expected_sha256(cluster: Cluster, dataset_id: str) -> str:
    """The digest of the weights of an uninterrupted run of `LONG_CONFIG`."""
    return weights_sha256(
        cluster, cluster.client.jobs.wait(start_distill(cluster, dataset_id, LONG_CONFIG), timeout_s=180)
    )


def start_distill(cluster: Cluster, dataset_id: str, config: dict[str, Any], **fields: Any) -> Job:
    return cluster.client.jobs.create(
        "distill", dataset_id=dataset_id, teacher=TEACHER, text=fields.pop("text", "names"), config=config, **fields
    )


def weights_sha256(cluster: Cluster, job: Job) -> str:
    assert job.result is not None
    checkpoint = cluster.client.checkpoints.get(job.result["checkpoint_id"])
    return next(file.sha256 for file in checkpoint.files if file.path == "image/model.safetensors")


def get_part(cluster: Cluster, job: Job, kind: str) -> Part:
    with cluster.db.read() as tx:
        return tx.scalars(select(Part).where(Part.job_id == job.id, Part.kind == kind)).one()


def wait_for_end(cluster: Cluster, job: Job, *, timeout_s: float = 60) -> Job:
    """Wait until the job has ended, with any status."""

    def ended_job() -> Job | None:
        current = cluster.client.jobs.get(job.id)
        return current if current.ended else None

    return wait_until(ended_job, timeout_s=timeout_s, what=f"end of {job.kind} job {job.id}")


def wait_for_saved_state(cluster: Cluster, job: Job) -> None:
    """Wait until the training has saved a state and is still running."""
    wait_until(lambda: get_part(cluster, job, "train").state_key, timeout_s=180, what="saved training state")
    assert get_part(cluster, job, "train").status == "running"
