"""The contract: what holds of the API and the job's life in either way of running, tried on real processes.

`test_embedded.py` and `test_distributed.py` run every test of this file, each on its own cluster.
"""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import open_clip
import psutil
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from sqlalchemy import func, select

from examples.fieldguide.world import species
from limbeck.client import Limbeck
from limbeck.errors import JobFailed, Problem
from limbeck.models import Job
from store import jobs
from store.models import Checkpoint, Dataset, Event, Part
from tests.contract.cluster import ROOT, TEACHER, Cluster, running, until

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
DONE = ("succeeded", "failed", "cancelled")


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


def test_from_labels_to_a_student_that_loads_elsewhere(
    cluster: Cluster, dataset_id: str, attribute_set_id: str, tmp_path: Path
) -> None:
    """The whole way, and then the student in plain timm and open_clip gives the service's own features."""
    client = cluster.client
    job = client.wait(
        distill(cluster, dataset_id, TINY, text="sentence", attribute_set_id=attribute_set_id), timeout_s=180
    )
    assert job.result is not None
    checkpoint = client.checkpoint(job.result["checkpoint_id"])
    assert job.result["evaluation"]["ood"]["num_labels"] == SPECIES // 2
    bundle = tmp_path / "bundle"
    client.download_checkpoint(checkpoint.id, bundle, parts=None)
    assert {file.path for file in checkpoint.files} == {
        str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()
    }
    config = json.loads((bundle / "image" / "config.json").read_text())
    width = config["num_classes"]
    student = timm.create_model(config["architecture"], num_classes=width).eval()
    student.load_state_dict(load_file(bundle / "image" / "model.safetensors"))
    paired, _, _ = open_clip.create_model_and_transforms(f"local-dir:{bundle / 'pairing'}")
    seen = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = student(seen)
        theirs = paired.eval().encode_image(seen)
    assert torch.allclose(ours, theirs, atol=1e-5)
    labels = json.loads((bundle / "targets" / "labels.json").read_text())
    assert str(labels).count("a photo of") >= SPECIES
    types = {event.type for event in client.events(job.id)}
    assert {"state", "metrics"} <= types


def test_events_are_watched_live_and_taken_up_again(cluster: Cluster, dataset_id: str) -> None:
    job = cluster.client.encode(cluster.client.dataset(dataset_id).vocabulary_id, teacher=TEACHER, text="names")
    watched = list(cluster.client.watch(job))
    assert [event.data["status"] for event in watched if event.type == "state"] == ["queued", "running", "succeeded"]
    assert [event.id for event in watched] == list(range(1, len(watched) + 1))
    assert [event.id for event in cluster.client.watch(job, after=watched[-2].id)] == [watched[-1].id]


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


def test_enrichment_survives_kills_at_random_points(cluster: Cluster) -> None:
    """The final set equals an undisturbed one, and what is asked twice is at most what was in flight."""
    labels = [one.name for one in species("validation")][:32]
    concurrency = int(cluster.env["LIMBECK_LLM_CONCURRENCY"]) * (4 if cluster.mode == "distributed" else 1)
    vocabularies = [cluster.client.create_vocabulary(f"v{n}", labels, domain=f"creatures {n}") for n in range(2)]
    calls_before = cluster.llm.stats()["calls"]
    job = cluster.client.enrich(vocabularies[0].id)
    chance = random.Random(7)
    kills = 3
    for _ in range(kills):
        until(lambda: cluster.client.job(job.id).status == "running", what="the enrichment")
        time.sleep(chance.uniform(0.05, 0.5))
        cluster.kill(cluster.enrich_worker)
        cluster.start(cluster.enrich_worker)
    disturbed = ended(cluster, job, timeout_s=90)
    calls = cluster.llm.stats()["calls"] - calls_before
    assert len(labels) <= calls <= len(labels) + kills * concurrency
    quiet = cluster.client.wait(cluster.client.enrich(vocabularies[1].id))
    sets = [said(cluster, done) for done in (disturbed, quiet)]
    assert sets[0] == sets[1]
    assert [row[0] for row in sets[0]] == labels


def said(cluster: Cluster, job: Job) -> list[Any]:
    assert job.result is not None
    described = cluster.client.attributes(job.result["attribute_set_id"])
    return [(one.label, one.sentence, list(one.phrases)) for one in described]


def test_enriching_again_asks_nothing(cluster: Cluster, dataset_id: str, attribute_set_id: str) -> None:
    calls = cluster.llm.stats()["calls"]
    again = cluster.client.wait(cluster.client.enrich(cluster.client.dataset(dataset_id).vocabulary_id))
    assert cluster.llm.stats()["calls"] == calls
    assert (again.result or {})["usage"]["calls"] == 0


def test_labels_that_fail_are_named_and_the_rest_is_kept(cluster: Cluster) -> None:
    labels = [one.name for one in species("validation")][32:38]
    cluster.llm.set_faults(
        [{"fault": "refusal", "label": labels[1]}, {"fault": "rubbish", "label": labels[3]},
         {"fault": "status", "status": 500, "label": labels[4], "attempts": [0]}]
    )  # fmt: skip
    vocabulary = cluster.client.create_vocabulary("v", labels, domain="with faults")
    job = cluster.client.wait(cluster.client.enrich(vocabulary.id), timeout_s=60)
    assert job.result is not None
    assert job.result["num_described"] == 4
    assert job.result["failed_positions"] == [1, 3]
    assert job.result["failed_labels"]["refused"] == 1
    warnings = [event for event in cluster.client.events(job.id) if event.level == "warning"]
    assert any(labels[1] in event.message and "refused" in event.message for event in warnings)
    cluster.llm.set_faults([])
    calls = cluster.llm.stats()["calls"]
    mended = cluster.client.wait(cluster.client.enrich(vocabulary.id), timeout_s=60)
    assert (mended.result or {})["num_described"] == 6
    assert cluster.llm.stats()["calls"] - calls == 2


def test_an_llm_that_fails_every_label_fails_the_job_by_name(cluster: Cluster) -> None:
    cluster.llm.set_faults([{"fault": "refusal"}])
    vocabulary = cluster.client.create_vocabulary("v", ["Alpha", "Beta"], domain="refused")
    with pytest.raises(JobFailed):
        cluster.client.wait(cluster.client.enrich(vocabulary.id), timeout_s=60)
    (failed,) = [job for job in cluster.client.jobs() if job.spec.get("vocabulary_id") == vocabulary.id]
    assert failed.error is not None
    assert failed.error.code == "all_labels_failed"
    assert (failed.result or {})["failed_labels"] == {"refused": 2}


def test_a_wrong_model_stops_the_job_at_the_first_calls(cluster: Cluster) -> None:
    cluster.llm.set_faults([{"fault": "status", "status": 404}])
    labels = [f"Label {n}" for n in range(60)]
    vocabulary = cluster.client.create_vocabulary("v", labels, domain="no model")
    calls = cluster.llm.stats()["calls"]
    failed = ended(cluster, cluster.client.enrich(vocabulary.id), timeout_s=60)
    assert failed.status == "failed"
    assert failed.error is not None
    assert failed.error.code == "llm_unknown_model"
    assert cluster.llm.stats()["calls"] - calls <= 16


def test_a_corrupt_image_is_named_counted_and_skipped(cluster: Cluster, names: list[str], dataset_id: str) -> None:
    source = cluster.folder / "data" / "images"
    broken = cluster.folder / "data" / "broken"
    shutil.copytree(source, broken)
    victim = sorted(sorted(broken.iterdir())[0].iterdir())[0]
    for folder in broken.iterdir():
        (folder / "zz_cut.png").write_bytes(victim.read_bytes()[:200])
    vocabulary_id = cluster.client.dataset(dataset_id).vocabulary_id
    dataset = cluster.client.register_dataset(vocabulary_id, "broken", split=SPLIT)
    job = cluster.client.wait(distill(cluster, dataset.id, TINY), timeout_s=120)
    events = list(cluster.client.events(job.id))
    assert any("zz_cut.png" in str(event.data) + event.message for event in events if event.level == "warning")
    assert (job.result or {})["num_bad_images"] == SPECIES


def test_a_teacher_gone_at_run_time_fails_by_name(cluster: Cluster, dataset_id: str) -> None:
    shutil.copytree(cluster.folder / "data" / "teacher", cluster.folder / "data" / "gone")
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    job = cluster.client.distill(dataset_id, teacher="local-dir:gone", text="names", config=TINY)
    (cluster.folder / "data" / "gone" / "open_clip_model.safetensors").unlink()
    cluster.start(cluster.gpu_worker)
    failed = ended(cluster, job, timeout_s=60)
    assert failed.error is not None
    assert failed.error.code == "teacher_incomplete"
    assert "gone" in failed.error.message
    shutil.rmtree(cluster.folder / "data" / "gone")


def test_the_same_post_twenty_times_makes_one_job(cluster: Cluster, dataset_id: str) -> None:
    body = {"kind": "encode", "vocabulary_id": cluster.client.dataset(dataset_id).vocabulary_id, "teacher": TEACHER,
            "text": "names"}  # fmt: skip
    barrier = threading.Barrier(20)

    def post(_: int) -> tuple[int, str]:
        barrier.wait()
        headers = {"Idempotency-Key": "twenty"}
        response = httpx2.post(f"{cluster.url}/v1/jobs", json=body, headers=headers, timeout=30)
        return response.status_code, response.text

    with ThreadPoolExecutor(20) as pool:
        answers = set(pool.map(post, range(20)))
    assert len(answers) == 1
    (status, _) = answers.pop()
    assert status == 202
    other = httpx2.post(
        f"{cluster.url}/v1/jobs", json={**body, "text": "phrases"}, headers={"Idempotency-Key": "twenty"}
    )
    assert other.status_code == 409


def test_a_broken_download_is_taken_up_again(cluster: Cluster) -> None:
    checkpoint = cluster.client.checkpoint(next(iter(cluster.client.checkpoints())).id)
    file = max(checkpoint.files, key=lambda file: file.size)
    url = f"{cluster.url}/v1/checkpoints/{checkpoint.id}/files/{file.path}"
    whole = httpx2.get(url)
    etag = whole.headers["etag"]
    assert file.sha256 in etag
    rest = httpx2.get(url, headers={"Range": f"bytes={file.size // 3}-", "If-Range": etag})
    assert rest.status_code == 206
    assert whole.content[: file.size // 3] + rest.content == whole.content
    assert httpx2.get(url, headers={"If-None-Match": etag}).status_code == 304
    for wrong in ("../manifest.json", "..%2f..%2flimbeck.db", "image/none"):
        assert httpx2.get(f"{cluster.url}/v1/checkpoints/{checkpoint.id}/files/{wrong}").status_code == 404


def test_unknown_names_are_refused_at_once_with_near_ones(cluster: Cluster, dataset_id: str) -> None:
    with pytest.raises(Problem) as refused:
        distill(cluster, dataset_id, {"student": "resnet81"})
    assert refused.value.status == 422
    assert "resnet18" in str(refused.value)
    with pytest.raises(Problem) as refused:
        cluster.client.distill(dataset_id, teacher="ViT-B-23:openai", text="names", config=TINY)
    assert "ViT-B-32:openai" in str(refused.value)
    with cluster.db.read() as tx:
        assert tx.scalar(select(func.count()).select_from(Dataset)) == len(list(cluster.client.datasets()))


def test_pictures_are_classified_by_the_download(cluster: Cluster, tmp_path: Path) -> None:
    checkpoint = next(iter(cluster.client.checkpoints()))
    cluster.client.download_checkpoint(checkpoint.id, tmp_path / "b")
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(tmp_path / "x.png")
    command = [
        sys.executable,
        "-m",
        "limbeck.cli",
        "classify",
        "--checkpoint",
        str(tmp_path / "b"),
        str(tmp_path / "x.png"),
    ]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60, env=dict(os.environ))
    assert answer.returncode == 0, answer.stderr
    assert "x.png" in answer.stdout


def test_readiness_tells_what_is_missing(cluster: Cluster) -> None:
    with Limbeck(cluster.url) as client:
        until(client.ready, timeout_s=30, what="readiness")
    answer = httpx2.get(f"{cluster.url}/readyz").json()
    assert answer["status"] == "ready", answer
