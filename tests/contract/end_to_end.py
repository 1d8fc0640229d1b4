"""Contract of the service from end to end, through the Python client and HTTP."""

import json
import shutil
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2
import open_clip
import pytest
import timm
import torch
from PIL import Image, ImageOps
from safetensors.torch import load_file
from sqlalchemy import func, select

from limbeck import Client
from limbeck.classify import BundleError, load_student
from limbeck.errors import Problem
from store.models import Dataset
from tests.contract.cluster import TEACHER, Cluster, wait_until
from tests.contract.fixtures import NUM_SPECIES, SPLIT, TINY_CONFIG, start_distill, wait_for_end


def test_a_downloaded_student_has_the_same_features_in_timm_and_open_clip(
    cluster: Cluster, dataset_id: str, attribute_set_id: str, tmp_path: Path
) -> None:
    """From labels to a published student, which plain timm and open_clip can load."""
    client = cluster.client
    job = client.jobs.wait(
        start_distill(cluster, dataset_id, TINY_CONFIG, text="sentence", attribute_set_id=attribute_set_id),
        timeout_s=180,
    )
    assert job.result is not None
    checkpoint = client.checkpoints.get(job.result["checkpoint_id"])
    assert job.result["evaluation"]["ood"]["num_labels"] == NUM_SPECIES // 2
    bundle = tmp_path / "bundle"
    client.checkpoints.download(checkpoint.id, bundle, parts=None)
    assert {file.path for file in checkpoint.files} == {
        str(path.relative_to(bundle)) for path in bundle.rglob("*") if path.is_file()
    }
    config = json.loads((bundle / "image" / "config.json").read_text())
    width = config["num_classes"]
    student = timm.create_model(config["architecture"], num_classes=width).eval()
    student.load_state_dict(load_file(bundle / "image" / "model.safetensors"))
    paired, _, _ = open_clip.create_model_and_transforms(f"local-dir:{bundle / 'pairing'}")
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        from_timm = student(images)
        from_open_clip = paired.eval().encode_image(images)
    assert torch.allclose(from_timm, from_open_clip, atol=1e-5)
    labels = json.loads((bundle / "targets" / "labels.json").read_text())
    assert str(labels).count("a photo of") >= NUM_SPECIES
    expected = [
        [(line.id, line.text, line.call) for line in one.lines]
        for one in client.attribute_sets.labels(attribute_set_id)
    ]
    bundled = [[(line["id"], line["text"], line.get("call", "")) for line in one["lines"]] for one in labels["labels"]]
    assert bundled == expected
    assert checkpoint.id in {one.id for one in client.checkpoints.list(attribute_set_id=attribute_set_id)}
    events = list(client.jobs.events(job.id))
    assert {"state", "metrics"} <= {event.type for event in events}
    assert any(f"student {config['architecture']}: " in event.message for event in events)
    manifest = json.loads((bundle / "manifest.json").read_text())
    assert manifest["made_from"]["initial_weights"] == {"source": "random"}


def test_events_can_be_watched_live_and_after_an_id(cluster: Cluster, dataset_id: str) -> None:
    job = cluster.client.jobs.create(
        "encode", vocabulary_id=cluster.client.datasets.get(dataset_id).vocabulary_id, teacher=TEACHER, text="names"
    )
    watched = list(cluster.client.jobs.watch(job))
    assert [event.data["status"] for event in watched if event.type == "state"] == ["queued", "running", "succeeded"]
    assert any("weights open_clip_model.safetensors (" in event.message for event in watched)
    assert [event.id for event in watched] == list(range(1, len(watched) + 1))
    assert [event.id for event in cluster.client.jobs.watch(job, after=watched[-2].id)] == [watched[-1].id]


@pytest.mark.nightly_in("embedded", reason="the API and the GPU process read images, and are the same in both modes")
def test_a_corrupt_image_is_reported_counted_and_skipped(
    cluster: Cluster, label_names: list[str], dataset_id: str
) -> None:
    source = cluster.folder / "data" / "images"
    broken = cluster.folder / "data" / "broken"
    shutil.copytree(source, broken)
    first_images = [sorted(folder.iterdir())[0] for folder in broken.iterdir()]
    vocabulary_id = cluster.client.datasets.get(dataset_id).vocabulary_id
    dataset = cluster.client.datasets.create(vocabulary_id, "broken", split=SPLIT)
    for image in first_images:
        image.write_bytes(image.read_bytes()[:200])
    for folder in broken.iterdir():
        replaced = sorted(folder.iterdir())[1]
        with Image.open(replaced) as picture:
            ImageOps.mirror(picture).save(replaced)
    job = cluster.client.jobs.wait(start_distill(cluster, dataset.id, TINY_CONFIG), timeout_s=120)
    events = list(cluster.client.jobs.events(job.id))
    text = "".join(str(event.data) + event.message for event in events if event.level == "warning")
    assert any(image.relative_to(broken).as_posix() in text for image in first_images)
    assert (job.result or {})["num_bad_images"] == NUM_SPECIES
    (changed,) = [event for event in events if "num_changed" in event.data]
    assert (changed.level, "were changed after the dataset was registered" in changed.message) == ("warning", True)
    assert 0 < changed.data["num_changed"] <= NUM_SPECIES
    # A registration leaves them out.
    again = cluster.client.datasets.create(vocabulary_id, "broken", split=SPLIT)
    report = cluster.client.datasets.report(again.id)
    assert (sum(files.count for files in report.unreadable), report.num_images - report.num_used) == (NUM_SPECIES,) * 2
    assert again.warnings == report.warnings != dataset.warnings


@pytest.mark.nightly_in("distributed", reason="the GPU process loads the teacher, and is the same in both modes")
def test_a_teacher_that_is_missing_at_run_time_fails_the_job(cluster: Cluster, dataset_id: str) -> None:
    shutil.copytree(cluster.folder / "data" / "teacher", cluster.folder / "data" / "gone")
    cluster.kill(cluster.gpu_worker, signal.SIGTERM)
    job = cluster.client.jobs.create(
        "distill", dataset_id=dataset_id, teacher="local-dir:gone", text="names", config=TINY_CONFIG
    )
    (cluster.folder / "data" / "gone" / "open_clip_model.safetensors").unlink()
    cluster.start(cluster.gpu_worker)
    failed = wait_for_end(cluster, job, timeout_s=60)
    assert failed.error is not None
    assert failed.error.code == "teacher_incomplete"
    assert "gone" in failed.error.message
    shutil.rmtree(cluster.folder / "data" / "gone")


def test_twenty_posts_with_one_idempotency_key_create_one_job(cluster: Cluster, dataset_id: str) -> None:
    body = {
        "kind": "encode",
        "vocabulary_id": cluster.client.datasets.get(dataset_id).vocabulary_id,
        "teacher": TEACHER,
        "text": "names",
    }
    barrier = threading.Barrier(20)

    def post(_: int) -> tuple[int, str]:
        barrier.wait()
        headers = {"Idempotency-Key": "twenty"}
        response = httpx2.post(f"{cluster.url}/v1/jobs", json=body, headers=headers, timeout=30)
        return response.status_code, response.text

    with ThreadPoolExecutor(20) as pool:
        responses = set(pool.map(post, range(20)))
    assert len(responses) == 1
    (status, _) = responses.pop()
    assert status == 202
    other = httpx2.post(
        f"{cluster.url}/v1/jobs", json={**body, "text": "phrases"}, headers={"Idempotency-Key": "twenty"}
    )
    assert other.status_code == 409


def test_an_interrupted_download_can_be_continued(cluster: Cluster) -> None:
    checkpoint = cluster.client.checkpoints.get(next(iter(cluster.client.checkpoints.list())).id)
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


def test_unknown_names_are_rejected_with_suggestions(cluster: Cluster, dataset_id: str) -> None:
    with pytest.raises(Problem) as refused:
        start_distill(cluster, dataset_id, {"student": "resnet81"})
    assert refused.value.status == 422
    assert "resnet18" in str(refused.value)
    with pytest.raises(Problem) as refused:
        cluster.client.jobs.create(
            "distill", dataset_id=dataset_id, teacher="ViT-B-23:openai", text="names", config=TINY_CONFIG
        )
    assert "ViT-B-32:openai" in str(refused.value)
    with cluster.db.read() as tx:
        assert tx.scalar(select(func.count()).select_from(Dataset)) == len(list(cluster.client.datasets.list()))


def test_a_downloaded_student_without_onnx_names_the_command_that_adds_it(cluster: Cluster, tmp_path: Path) -> None:
    checkpoint = next(iter(cluster.client.checkpoints.list()))
    cluster.client.checkpoints.download(checkpoint.id, tmp_path / "b")
    with pytest.raises(BundleError, match=r"has no onnx/image\.onnx; .* python -m distill export"):
        load_student(tmp_path / "b")


def test_the_service_is_ready(cluster: Cluster) -> None:
    with Client(cluster.url) as client:
        wait_until(client.ready, timeout_s=30, what="readiness")
    response = httpx2.get(f"{cluster.url}/readyz").json()
    assert response["status"] == "ready", response
