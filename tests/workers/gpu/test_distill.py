"""The parts of a distill job: the bundle is tried before the training, and a trained student is not lost after it."""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from sqlalchemy import select, update
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from distill.data.dataset.scan import scan
from distill.data.splits import SPLIT
from distill.evaluation.accuracy import evaluate_features
from distill.teacher.teacher import Teacher
from limbeck.shared.bundle.files import read_manifest
from store import resources, vocabularies
from store.artefacts import Artefacts
from store.db import Database
from store.jobs import claims, events, jobs, progress
from store.jobs.jobs import NewPart
from store.jobs.specs import SaveCheckpoints
from store.lifecycle import epoch_checkpoints
from store.models import EpochFile, Event, Job, Part
from store.sets import attribute_sets
from store.sets.attribute_sets import EntryContent
from store.settings import Settings
from store.vocabularies import NewLabel
from tests.distill.conftest import save_clip, tiny_clip_config
from tests.job_specs import distill_spec
from workers.gpu.parts import WORK
from workers.runtime.context import Context
from workers.runtime.run_part import claim_part, run_claimed

LABELS = ("blue jay", "crane", "heron", "red finch")
SPLIT_BY_LIST = {"by": "list", "id": ["red finch", "crane"], "ood": ["blue jay", "heron"], "held_out": 0.5}
PARTS = ("encode", "train", "evaluate")
CONFIG = {
    "student": "test_resnet",
    "image_px": 32,
    "epochs": 1,
    "batch_size": 2,
    "num_workers": 1,
    "threads": 1,
    "onnx": False,
}


@pytest.fixture
def context(sqlite_db: Database, tmp_path: Path) -> Context:
    random = np.random.default_rng(0)
    for label in LABELS:
        folder = tmp_path / "data" / "birds" / label
        folder.mkdir(parents=True)
        for number in range(4):
            Image.fromarray(random.integers(0, 256, size=(32, 32, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    save_clip(tmp_path / "data" / "teacher", tiny_clip_config())
    settings = Settings(
        home=tmp_path,
        data_root=tmp_path / "data",
        redis_url="",  # type: ignore[arg-type]
        tensorboard_dir=tmp_path / "events",
    )
    return Context(settings, sqlite_db, Artefacts(settings.artefacts))


@pytest.fixture
def new_job(context: Context, tmp_path: Path) -> Callable[..., str]:
    """`new_job(**config)`: a distill job of four labels; returns its id."""

    def create(
        save_checkpoints: SaveCheckpoints | None = None, phrases: Sequence[str] | None = None, **config: Any
    ) -> str:
        image_index = scan(tmp_path / "data" / "birds", LABELS, SPLIT.validate_python(SPLIT_BY_LIST))
        image_index.save(tmp_path / "manifest.jsonl")
        stored = context.artefacts.put_file(tmp_path / "manifest.jsonl", "m")
        with context.db.write() as tx:
            vocabulary = vocabularies.create(tx, name="v", domain="", labels=[NewLabel(name) for name in LABELS])
            dataset = resources.add_dataset(
                tx,
                id="dst_1",
                vocabulary_id=vocabulary.id,
                name="birds",
                path="birds",
                split=SPLIT_BY_LIST,
                counts=image_index.counts,
                digest=image_index.digest,
                manifest_key=stored.key,
            )
            entries: list[EntryContent | None] = [
                EntryContent(label=name, sense=None, lines=[_phrase(text)], flags=[])
                for name, text in zip(LABELS, phrases or (), strict=False)
            ]
            attribute_set = (
                attribute_sets.create(
                    tx, vocabulary_id=vocabulary.id, pages=attribute_sets.put_pages(tx, entries), source={"from": "us"}
                )
                if phrases
                else None
            )
            spec = distill_spec(
                dataset_id=dataset.id,
                vocabulary_id=vocabulary.id,
                attribute_set_id=attribute_set.id if attribute_set else None,
                teacher="local-dir:teacher",
                config={**CONFIG, **config},
                save_checkpoints=save_checkpoints,
            )
            kinds = ("encode", "train", "evaluate")
            return jobs.create(
                tx, spec, [NewPart(kind=kind, queue="gpu", stage=at) for at, kind in enumerate(kinds)]
            ).id

    return create


def _phrase(text: str) -> dict[str, Any]:
    return {"kind": "phrase", "text": text, "origin": "llm"}


def run_next(context: Context) -> str:
    """Run the next part that is due; returns its kind."""
    with context.db.read() as tx:
        (part_id,) = claims.ready(tx, ["gpu"])
    claim = claim_part(context, part_id)
    assert claim is not None
    run_claimed(context, claim, WORK[claim.kind])
    return claim.kind


def read(context: Context, job_id: str) -> tuple[Job, list[Event]]:
    with context.db.read() as tx:
        return jobs.get(tx, job_id), list(events.after(tx, job_id, 0, limit=1000))


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_arguments: Any, **_named: Any) -> None:
        raise error

    return fail


@pytest.mark.slow
def test_a_student_that_cannot_be_bundled_fails_before_the_training(
    context: Context, new_job: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = new_job()
    monkeypatch.setattr("distill.bundle.preflight.verify_image", raising(RuntimeError("size mismatch")))
    monkeypatch.setattr("workers.gpu.train.train_student", raising(AssertionError("trained")))
    assert [run_next(context) for _ in range(2)] == ["encode", "train"]
    job, _ = read(context, job_id)
    assert job.status == "failed"
    assert job.error is not None
    assert job.error["code"] == "bundle_unfit"
    assert "set image_px to 160, its own size" in job.error["message"]


@pytest.mark.slow
def test_a_student_without_a_pairing_is_announced_and_published(
    context: Context, new_job: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = new_job()
    monkeypatch.setattr("distill.bundle.pairing.load_pairing", raising(RuntimeError("no such layer")))
    assert [run_next(context) for _ in range(3)] == ["encode", "train", "evaluate"]
    job, listed = read(context, job_id)
    assert job.status == "succeeded", job.error
    assert job.result is not None
    reason = "open_clip cannot load test_resnet (no such layer)"
    assert job.result["left_out"] == {"pairing": reason}
    warnings = [event for event in listed if event.level == "warning"]
    assert [event.message for event in warnings][1] == f"the checkpoint has no pairing: {reason}"
    (trial, _) = warnings
    assert trial.message.endswith(f"it will have no pairing ({reason})")
    assert trial.data["seconds"] > 0
    start = next(event for event in listed if event.message.startswith("training starts"))
    assert trial.id < start.id
    with context.db.read() as tx:
        files = [file.path for file in resources.checkpoint_files(tx, job.result["checkpoint_id"])]
        samples_key = resources.checkpoint(tx, job.result["checkpoint_id"]).samples_key
    assert samples_key is not None
    with context.artefacts.open(samples_key) as lines:
        sampled = [json.loads(line)[0] for line in lines]
    evaluation = job.result["evaluation"]
    measured_labels = {**evaluation["id"]["images_per_label"], **evaluation["ood"]["images_per_label"]}
    assert sampled == [label for label, count in sorted(measured_labels.items()) for _ in range(count)]
    assert "image/model.safetensors" in files
    assert not [path for path in files if path.startswith("pairing/")]
    stages = [event.data["stage"] for event in listed if "stage" in event.data]
    assert stages == ["texts", "bundle trial", "teacher features", "training", "evaluation", "bundle"]
    with context.db.read() as tx:
        (found,) = progress.of_jobs(tx, [job_id]).values()
    assert [stage.name for stage in found.stages] == stages
    assert found.stages[3].unit == "steps"
    with context.db.read() as tx:
        gauges = tx.scalars(select(Part.gauges).where(Part.job_id == job_id, Part.kind == "train")).one()
    assert gauges is not None
    assert gauges["images_per_second"] > 0
    assert 0 <= gauges["data_wait_ratio"] <= 1
    (measured,) = [event for event in listed if "accuracy" in event.data]
    logged = EventAccumulator(str(context.settings.home / "events" / job_id)).Reload()
    assert [event.step for event in logged.Scalars("loss/total")] == list(range(1, found.stages[3].total + 1))
    assert logged.Scalars("accuracy/id")[0].value == pytest.approx(measured.data["accuracy"]["id"])
    assert logged.Scalars("evaluation/id/accuracy")[0].value == pytest.approx(
        job.result["evaluation"]["id"]["accuracy"]
    )


@pytest.mark.slow
def test_a_training_finds_the_phrases_of_its_bank_in_the_cache(
    context: Context, new_job: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    phrases = ("a blue crest", "long legs", "a grey neck", "a red breast")
    job_id = new_job(phrases=phrases, losses={"phrase_kl": 1})
    encoded: list[str] = []
    encode = Teacher.encode_text
    monkeypatch.setattr(
        Teacher, "encode_text", lambda self, texts: (encoded.extend(texts), encode(self, texts))[1], raising=True
    )
    assert run_next(context) == "encode"
    assert {f"a photo of an object, which has {phrase}" for phrase in phrases} <= set(encoded)
    encoded.clear()
    assert run_next(context) == "train"
    assert not [text for text in encoded if "which has" in text]
    _, listed = read(context, job_id)
    assert "a bank of 2 attribute phrases (seen labels)" in [event.message for event in listed]


@pytest.mark.slow
def test_an_evaluation_without_its_teacher_waits_and_keeps_the_trained_student(
    context: Context, new_job: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = new_job()
    assert [run_next(context) for _ in range(2)] == ["encode", "train"]
    teacher = tmp_path / "data" / "teacher"
    teacher.rename(tmp_path / "away")
    assert run_next(context) == "evaluate"
    job, listed = read(context, job_id)
    assert job.status == "running"
    warning = next(event for event in listed if event.level == "warning")
    assert "trying again" in warning.message
    key = warning.message.partition("kept as the artefact ")[2].partition(")")[0]
    assert key.endswith("/student.safetensors")
    assert context.artefacts.open(key).read(8)
    with context.db.read() as tx:
        assert claims.ready(tx, ["gpu"]) == []

    (tmp_path / "away").rename(teacher)
    monkeypatch.setattr("store.jobs.claims.now_s", lambda: time.time() + 31)
    assert run_next(context) == "evaluate"
    job, listed = read(context, job_id)
    assert job.status == "succeeded", job.error
    assert len([event for event in listed if event.message.startswith("training starts")]) == 1


@pytest.mark.slow
def test_checkpoints_of_a_training_are_measured_on_held_out_images_and_survive_a_lost_state(
    context: Context, new_job: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A training of 4 epochs is stopped after 3 and starts over, because its state is lost."""
    seen = {LABELS.index(name) for name in ("red finch", "crane")}
    measured: list[set[int]] = []

    def noted(features: Any, labels: Any, *arguments: Any, **named: Any) -> Any:
        measured.append(set(labels.tolist()))
        if len(measured) == 3:
            context.shutting_down.set()
        return evaluate_features(features, labels, *arguments, **named)

    monkeypatch.setattr("distill.evaluation.epochs.evaluate_features", noted)
    config = {"epochs": 4, "measured_epochs": 0, "average": "ema", "average_from": 0.0, "ema_decay": 0.5}
    job_id = new_job(SaveCheckpoints(every_epochs=1, keep=2), **config)
    assert [run_next(context) for _ in range(2)] == ["encode", "train"]
    before = epoch_files(context, job_id)
    assert list(before) == [2, 3]
    context.shutting_down.clear()
    with context.db.write() as tx:
        tx.execute(update(Part).where(Part.job_id == job_id, Part.kind == "train").values(state_key=None))
    assert run_next(context) == "train"
    files = epoch_files(context, job_id)
    assert list(files) == [3, 4]
    assert files[3] == before[3]
    # Each epoch was measured once, and no image of an unseen label.
    assert measured == [seen] * 4

    folder = tmp_path / "epoch-4"
    for path, key in files[4].items():
        context.artefacts.get_file(key, folder / path)
    manifest = read_manifest(folder)
    names = {"image/config.json", "image/model.safetensors", "targets/text_targets.safetensors", "targets/labels.json"}
    assert {file["path"] for file in manifest["files"]} == names | {"evaluation.json"}
    assert {"epoch": 4, "step": 8, "job": job_id}.items() <= manifest["made_from"].items()
    evaluation = json.loads((folder / "evaluation.json").read_text())
    assert (evaluation["ood"], set(evaluation["id"]["per_label"])) == (None, {"red finch", "crane"})
    # The checkpoint of the last epoch has the weights that are delivered: those of the average.
    with context.db.read() as tx:
        result = tx.scalars(select(Part.result).where(Part.job_id == job_id, Part.kind == "train")).one()
        row = epoch_checkpoints.get(tx, job_id, 4)
    assert result is not None
    assert row.metrics is not None
    assert row.metrics["accuracy"] == evaluation["id"]["accuracy"]
    context.artefacts.get_file(result["files"]["student"], tmp_path / "student.safetensors")
    delivered = load_file(tmp_path / "student.safetensors")
    student = timm.create_model(f"local-dir:{folder / 'image'}", pretrained=True)
    assert all(torch.equal(tensor, delivered[name]) for name, tensor in student.state_dict().items())
    notes = [event.message for event in read(context, job_id)[1] if event.message.startswith("checkpoint of epoch")]
    assert [note.partition(":")[0] for note in notes] == [f"checkpoint of epoch {epoch}" for epoch in (1, 2, 3, 4)]


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_stored_does_not_end_the_training(
    context: Context, new_job: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = new_job(SaveCheckpoints(every_epochs=1))
    monkeypatch.setattr("workers.gpu.training.epoch_checkpoints.write_epoch_bundle", raising(OSError("no space left")))
    assert [run_next(context) for _ in range(2)] == ["encode", "train"]
    assert epoch_files(context, job_id) == {}
    job, listed = read(context, job_id)
    assert job.status == "running"
    (warning,) = [event.message for event in listed if "is not saved" in event.message]
    assert warning == "the checkpoint of epoch 1 is not saved (OSError); the training goes on"


def epoch_files(context: Context, job_id: str) -> dict[int, dict[str, str]]:
    """Epoch → path of a file → key of its artefact."""
    found: dict[int, dict[str, str]] = {}
    with context.db.read() as tx:
        for file in tx.scalars(select(EpochFile).where(EpochFile.job_id == job_id).order_by(EpochFile.epoch)):
            found.setdefault(file.epoch, {})[file.path] = file.file_key
    return found
