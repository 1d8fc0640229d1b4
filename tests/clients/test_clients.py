"""A student loads from a running service in environments without our code, and gives the service's predictions.

`make test-clients` runs it: each environment holds one client library (`tests.clients.environments`). What an
environment runs is a file of `scripts/`, as a user would write it. N images, K labels, D embedding width.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distill.data.decoded_images import decode_images, eval_size
from distill.student.features import student_features
from distill.student.saved_student import load_bundled_student
from distill.texts.text_targets import TextTargets
from limbeck.models import CheckpointWithFiles
from store.access import api_keys
from tests.clients.environments import build
from tests.clients.relay import relaying
from tests.contract.cluster import ROOT, TEACHER, Cluster, running
from tests.contract.fixtures import SPLIT, TINY_CONFIG
from tests.limbeck.fake_hub import TOKEN, serving

pytestmark = [pytest.mark.clients, pytest.mark.timeout(900)]

SCRIPTS = Path(__file__).parent / "scripts"
TORCH = ("torch", "torchvision")
# The weights of this student are long enough for a download that breaks in the middle.
CONFIG = {**TINY_CONFIG, "student": "resnet18", "onnx": True}
TEMPERATURE = 0.07


@dataclass(frozen=True)
class Published:
    """A checkpoint of a running service, the images, and the service's own features and scores of them."""

    cluster: Cluster
    checkpoint: CheckpointWithFiles
    key: str
    images: list[Path]
    features: torch.Tensor  # (N, D), normalised
    scores: torch.Tensor  # (N, K)
    labels: list[str]

    @property
    def repository(self) -> str:
        return f"limbeck/{self.checkpoint.id}"

    @property
    def revision(self) -> str:
        return self.checkpoint.digest[:40]


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Published]:
    folder = tmp_path_factory.mktemp("service")
    with running("embedded", folder) as cluster:
        checkpoint = distilled(cluster)
        with cluster.db.write() as tx:
            _, key = api_keys.create(tx, name="clients", scopes=["read"], expires_at=None)
        bundle = folder / "bundle"
        cluster.client.checkpoints.download(checkpoint.id, bundle, parts=["image", "targets"])
        images = sorted((folder / "data" / "images").rglob("*.png"))
        features = own_features(bundle, images, folder / "cache")
        targets = TextTargets.load(bundle / "targets" / "text_targets.safetensors").features  # (K, D)
        scores = (features @ targets.T / TEMPERATURE).softmax(dim=-1)
        labels = [entry["label"] for entry in json.loads((bundle / "targets" / "labels.json").read_text())["labels"]]
        yield Published(cluster, checkpoint, key, images, features, scores, labels)


@pytest.fixture(scope="module")
def open_clip_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("open_clip", tmp_path_factory.mktemp("environments"), ["open_clip_torch"], shared=TORCH)


@pytest.fixture(scope="module")
def hub_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("huggingface_hub", tmp_path_factory.mktemp("environments"), ["huggingface_hub"])


def distilled(cluster: Cluster) -> CheckpointWithFiles:
    names = [folder.name.replace("_", " ") for folder in sorted((cluster.folder / "data" / "images").iterdir())]
    vocabulary = cluster.client.vocabularies.create("creatures", names, domain="field guide creatures")
    dataset = cluster.client.datasets.create(vocabulary.id, "images", split=SPLIT)
    job = cluster.client.jobs.create("distill", dataset_id=dataset.id, teacher=TEACHER, text="names", config=CONFIG)
    result = cluster.client.jobs.wait(job, timeout_s=600).result
    assert result is not None
    return cluster.client.checkpoints.get(result["checkpoint_id"])


def own_features(bundle: Path, images: Sequence[Path], cache: Path) -> torch.Tensor:
    """The features (N, D) that an evaluation of the service computes, normalised."""
    student = load_bundled_student(bundle / "image")
    decoded = decode_images(images, eval_size(student.size, student.test_crop), cache=cache)
    features = student_features(student, decoded.pixels, np.arange(len(images)), device=torch.device("cpu"))
    return torch.nn.functional.normalize(features, dim=-1)


def run_script(python: Path, script: str, *arguments: str, home: Path, **variables: str) -> dict[str, Any]:
    """The JSON that a script prints. It runs in an empty folder, with nothing of this interpreter's."""
    home.mkdir(parents=True, exist_ok=True)
    return json.loads(run([python, "-I", SCRIPTS / script, *arguments], home, variables))


def run(command: Sequence[str | Path], home: Path, variables: Mapping[str, str]) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "OMP_NUM_THREADS": "2", **variables}
    done = subprocess.run(command, env=env, cwd=home, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout


def of_service(published: Published) -> dict[str, str]:
    """The variables that a user sets."""
    return {"HF_ENDPOINT": published.cluster.url, "HF_TOKEN": published.key}


def assert_same_predictions(published: Published, found: Mapping[str, Any]) -> None:
    features, scores = torch.tensor(found["features"]), torch.tensor(found["scores"])
    assert found["labels"] == published.labels
    assert (features * published.features).sum(dim=-1).min() > 0.9999
    assert torch.allclose(features, published.features, atol=1e-4)
    assert scores.argmax(dim=-1).tolist() == published.scores.argmax(dim=-1).tolist()
    assert torch.allclose(scores, published.scores, atol=1e-3)


def accuracies(published: Published, scores: Sequence[Sequence[float]], names: Sequence[str]) -> dict[str, float]:
    """The accuracy of each of these labels, among them."""
    columns = [published.labels.index(name) for name in names]
    best = torch.tensor(scores)[:, columns].argmax(dim=-1).tolist()
    truth = [path.parent.name.replace("_", " ") for path in published.images]
    return {
        name: float(np.mean([names[best[at]] == name for at, found in enumerate(truth) if found == name]))
        for name in names
    }


def modules(python: Path, tmp_path: Path) -> set[str]:
    """Which of these packages an environment can import."""
    names = ("torch", "timm", "open_clip", "huggingface_hub", "onnxruntime", "PIL", "limbeck", "distill", "api")
    code = f"import importlib.util as u; print(*(n for n in {names} if u.find_spec(n)))"
    return set(run([python, "-I", "-c", code], tmp_path, {}).split())


def test_timm(published: Published, tmp_path: Path) -> None:
    python = build("timm", tmp_path, ["timm"], shared=TORCH)
    assert modules(python, tmp_path) == {"torch", "timm", "huggingface_hub", "PIL"}
    images = list(map(str, published.images))
    for repository in (published.repository, f"{published.repository}@{published.revision}"):
        found = run_script(python, "with_timm.py", repository, *images, home=tmp_path / "h", **of_service(published))
        assert_same_predictions(published, found)
    measured = published.checkpoint.evaluation["ood"]["per_label"]  # all images of the unseen labels
    assert accuracies(published, found["scores"], list(measured)) == measured


def test_open_clip(published: Published, open_clip_python: Path, tmp_path: Path) -> None:
    assert modules(open_clip_python, tmp_path) == {"torch", "timm", "open_clip", "huggingface_hub", "PIL"}
    arguments = [f"{published.repository}-pairing", published.repository, *map(str, published.images)]
    variables = of_service(published)
    found = run_script(open_clip_python, "with_open_clip.py", *arguments, home=tmp_path / "h", **variables)
    assert_same_predictions(published, found)


def test_a_published_repository_loads_in_timm_and_in_open_clip(
    published: Published, open_clip_python: Path, tmp_path: Path
) -> None:
    """`limbeck publish` puts a checkpoint of the service on a stand-in Hub."""
    with serving() as hub:
        variables = {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": str(ROOT)}
        options = ["--pairing", "--url", published.cluster.url]
        command = [sys.executable, "-m", "limbeck.cli", "publish", published.checkpoint.id, "me/birds", *options]
        assert hub.url in run(command, tmp_path, variables)
        del variables["PYTHONPATH"]
        images = list(map(str, published.images))
        home = tmp_path / "h"
        found = run_script(open_clip_python, "with_timm.py", "me/birds", *images, home=home, **variables)
        assert_same_predictions(published, found)
        arguments = ["me/birds", "me/birds", *images]
        found = run_script(open_clip_python, "with_open_clip.py", *arguments, home=home, **variables)
        assert_same_predictions(published, found)


def test_huggingface_hub(published: Published, hub_python: Path, tmp_path: Path) -> None:
    assert modules(hub_python, tmp_path) == {"huggingface_hub"}
    port = int(published.cluster.url.rpartition(":")[2])
    script, home = "with_huggingface_hub.py", tmp_path / "h"
    with relaying(port, break_after=20_000_000) as (relay, url):
        variables = of_service(published) | {"HF_ENDPOINT": url}
        found = run_script(hub_python, script, published.repository, home=home, **variables)
    expected = {file.path: file.sha256 for file in published.checkpoint.files if not file.path.startswith("pairing/")}
    root = {path.removeprefix("image/"): sha256 for path, sha256 in expected.items() if path.startswith("image/")}
    assert found["files"] == expected | root
    assert found["listed"] == sorted(found["files"])
    assert found["weights"] == expected["image/model.safetensors"]
    assert (found["revision"], found["account"]) == (published.revision, "clients")
    ranges = [asked for line, asked in relay.requests if asked and "model.safetensors" in line]
    assert len(ranges) == 1
    assert int(ranges[0].removeprefix("bytes=").removesuffix("-")) > 0
    code = f"from huggingface_hub import snapshot_download as s; print(s({published.repository!r}))"
    assert run([hub_python, "-I", "-c", code], home, {"HF_HUB_OFFLINE": "1"}).strip() == found["folder"]


def test_the_command_hf(published: Published, hub_python: Path, tmp_path: Path) -> None:
    def hf(*arguments: str) -> str:
        return run([hub_python.parent / "hf", *arguments], tmp_path, of_service(published))

    assert "clients" in hf("auth", "whoami")
    assert published.revision in hf("models", "info", published.repository)
    assert published.checkpoint.id in hf("models", "ls", "--author", "limbeck", "--format", "json")
    assert "model.safetensors" in hf("download", published.repository, "--dry-run")
    folder = tmp_path / "some"
    revision = ("--revision", published.revision)
    patterns = ("--include", "targets/*", "--include", "*.json")
    hf("download", published.repository, *patterns, *revision, "--local-dir", str(folder))
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert {"targets/text_targets.safetensors", "targets/labels.json", "config.json", "manifest.json"} <= found
    assert not [name for name in found if name.endswith("model.safetensors")]
    hf("download", f"{published.repository}-pairing", "open_clip_config.json", "--local-dir", str(folder / "pairing"))
    assert json.loads((folder / "pairing" / "open_clip_config.json").read_text())["model_cfg"]


def test_onnxruntime(published: Published, tmp_path: Path) -> None:
    python = build("onnxruntime", tmp_path, ["onnxruntime", "pillow"])
    assert modules(python, tmp_path) == {"onnxruntime", "PIL"}
    images = list(map(str, published.images))
    variables = of_service(published)
    found = run_script(python, "with_onnxruntime.py", published.repository, *images, home=tmp_path / "h", **variables)
    assert_same_predictions(published, found)


def test_a_snapshot_is_a_bundle(published: Published, hub_python: Path, tmp_path: Path) -> None:
    """What huggingface_hub downloads is verified and used by our command as what `limbeck download` gives."""
    folder = tmp_path / "student"
    download = [hub_python.parent / "hf", "download", published.repository, "--local-dir", str(folder)]
    run(download, tmp_path, of_service(published))
    for command in (
        ("-m", "distill.bundle.verify", str(folder), "--partial"),
        ("-m", "limbeck.cli", "classify", str(folder), str(published.images[0])),
    ):
        run([sys.executable, *command], tmp_path, {"PYTHONPATH": str(ROOT)})
    assert hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest() == published.checkpoint.digest
