"""A full database for the pages: 100,000 labels with attributes, 1,000 jobs, and evaluations of 500 labels."""

import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sqlalchemy import insert
from sqlalchemy.orm import Session

from benchmarks import editing
from distill.config.recipes import RECIPES
from distill.data.image_index import ImageIndex, Item
from store import resources, vocabularies
from store.artefacts import Artefacts, StoredArtefact
from store.db import Database
from store.ids import new_id
from store.jobs import claims, events, jobs
from store.jobs.jobs import NewPart
from store.jobs.specs import DistillSpec
from store.models import Checkpoint, CheckpointFile, Dataset, Job
from store.vocabularies import NewLabel

NUM_JOBS = 1_000
NUM_STUDENTS = 60
NUM_LABELS = 500
NUM_CURVE_EVENTS = 1_000
_NUM_UNSEEN = 100
_NUM_CONFUSIONS = 200
_IMAGES_PER_LABEL = 20
_TEACHER = "ViT-B-32:openai"
_CONFIG = RECIPES["limbeck-small"]().model_dump(mode="json")
_FILES = (
    *("README.md", "evaluation.json", "training.jsonl", "manifest.json", "confusions.png", "curves.png"),
    *("image/model.safetensors", "image/config.json", "onnx/image.onnx", "onnx/image-int8.onnx", "onnx/config.json"),
    *("onnx/tokenizer.json", "pairing/open_clip_config.json", "pairing/open_clip_model.safetensors"),
    *("targets/labels.json", "targets/text_targets.safetensors"),
)


@dataclass(frozen=True)
class Filled:
    """The ids of what the pages show. `running_job`: a training with many events that a worker works on."""

    vocabulary: str
    attribute_set: str
    other_set: str
    dataset: str
    students: Sequence[str]
    ended_job: str
    running_job: str
    label: str


def fill(db: Database, home: Path) -> Filled:
    """Fill the database and the artefacts below `home`."""
    attribute_set, other_set = editing.fill(db)
    artefacts, random_numbers = Artefacts(f"file://{home / 'artefacts'}"), random.Random(7)
    names = [f"species number {number}" for number in range(NUM_LABELS)]
    with db.write() as tx:
        vocabulary = vocabularies.create(tx, name="evaluated", domain="birds", labels=[NewLabel(one) for one in names])
        teacher = resources.put_teacher(
            tx,
            ref=_TEACHER,
            digest="0" * 64,
            width=512,
            context_length=77,
            logit_scale=100.0,
            preprocess={"size": 224},
            tokenizer_key="k",
        )
        tx.flush()
        large = resources.page(tx, type(vocabulary), limit=3, after=None)[0][-1]
        dataset = _add_dataset(tx, artefacts, vocabulary.id, names)
        students, first_job = [], ""
        for _ in range(NUM_STUDENTS):
            job = _add_job(tx, "distill", _spec(vocabulary.id, dataset), evaluation(random_numbers, names))
            first_job = first_job or job
            _add_curves(tx, job, 100)
            students.append(_add_student(tx, job, vocabulary.id, dataset, teacher.id, random_numbers, names))
            by_names = {
                "dataset_id": dataset,
                "vocabulary_id": vocabulary.id,
                "text": "names",
                "subject": {"checkpoint_id": students[-1]},
            }
            _add_job(tx, "evaluate", by_names, evaluation(random_numbers, names))
        for number in range(NUM_JOBS - 2 * NUM_STUDENTS - 1):
            _add_job(tx, "enrich" if number % 2 else "encode", {"vocabulary_id": vocabulary.id, "model": "m"}, None)
    running = start_training(db, vocabulary.id, dataset)
    return Filled(large.id, attribute_set, other_set, dataset, students, first_job, running, names[3])


def _spec(vocabulary_id: str, dataset_id: str) -> dict[str, Any]:
    return {
        "dataset_id": dataset_id,
        "vocabulary_id": vocabulary_id,
        "teacher": _TEACHER,
        "text": "sentence",
        "recipe": "limbeck-small",
        "config": _CONFIG,
    }


def _add_job(tx: Session, kind: str, spec: Mapping[str, Any], figures: Mapping[str, Any] | None) -> str:
    now = time.time()
    id = new_id("job")
    tx.add(
        Job(
            id=id,
            kind=kind,
            status="succeeded",
            spec=dict(spec),
            result={"evaluation": figures} if figures else {},
            tally=[],
            num_events=0,
            created_at=now,
            started_at=now,
            finished_at=now + 100,
        )
    )
    tx.flush()
    return id


def _add_curves(tx: Session, job: str, number: int) -> None:
    for step in range(number):
        events.add(tx, job, "metrics", f"step {step}", data=metrics(step))


def metrics(step: int) -> dict[str, Any]:
    """What a training reports of a step."""
    terms = {"image_contrastive": 4.0 / (step + 1), "mse": 0.5 / (step + 1), "cls": 2.0 / (step + 1)}
    return {
        "step": step,
        "epoch": step // 100,
        "loss": sum(terms.values()),
        "losses": terms,
        "lr": 0.001,
        "images_per_s": 800.0 + step % 7,
        "data_wait": 0.02,
    }


def _add_student(
    tx: Session,
    job: str,
    vocabulary_id: str,
    dataset_id: str,
    teacher_id: str,
    random_numbers: random.Random,
    names: Sequence[str],
) -> str:
    targets = resources.add_text_targets(
        tx,
        vocabulary_id=vocabulary_id,
        attribute_set_id=None,
        teacher_id=teacher_id,
        job_id=job,
        text="sentence",
        num_labels=len(names),
        width=512,
        report={},
        file=StoredArtefact(key=f"parts/{job}/targets", sha256="0" * 64, size=1),
    )
    id = new_id("ckp")
    own = evaluation(random_numbers, names)
    tx.add(
        Checkpoint(
            id=id,
            job_id=job,
            dataset_id=dataset_id,
            vocabulary_id=vocabulary_id,
            text_targets_id=targets.id,
            teacher_id=teacher_id,
            student="resnet18",
            text="sentence",
            evaluation={**own, "teacher": [evaluation(random_numbers, names)]},
            digest=f"{len(id)}{id}",
            created_at=time.time(),
        )
    )
    tx.flush()
    tx.add_all(CheckpointFile(checkpoint_id=id, path=path, sha256="0" * 64, size=10_000_000) for path in _FILES)
    return id


def evaluation(random_numbers: random.Random, names: Sequence[str]) -> dict[str, Any]:
    """An evaluation with all figures of each label."""
    seen, unseen = names[:-_NUM_UNSEEN], names[-_NUM_UNSEEN:]
    joint = {"harmonic_mean": 0.5, "harmonic_intervals": {"images": [0.4, 0.6], "labels": [0.3, 0.7]}}
    return {
        "text": "sentence",
        "id": _part(random_numbers, seen),
        "ood": _part(random_numbers, unseen),
        "joint": {**_part(random_numbers, names), **joint},
    }


def _part(random_numbers: random.Random, names: Sequence[str]) -> dict[str, Any]:
    accuracies = {name: random_numbers.random() for name in names}
    confusions = [
        {
            "label": random_numbers.choice(names),
            "taken_for": random_numbers.choice(names),
            "num_images": 10 - number // 20,
            "share": random_numbers.random(),
        }
        for number in range(_NUM_CONFUSIONS)
    ]
    mean = sum(accuracies.values()) / len(names)
    return {
        "accuracy": mean,
        "chance": 1 / len(names),
        "num_labels": len(names),
        "num_images": _IMAGES_PER_LABEL * len(names),
        "per_label": accuracies,
        "images_per_label": dict.fromkeys(names, _IMAGES_PER_LABEL),
        "top5": 0.9,
        "intervals": {"images": [mean - 0.02, mean + 0.02], "labels": [mean - 0.05, mean + 0.05]},
        "confusions": confusions,
    }


def _add_dataset(tx: Session, artefacts: Artefacts, vocabulary_id: str, names: Sequence[str]) -> str:
    id = new_id("dst")
    items = [
        Item(path=f"birds/{label}/{number:04}.jpg", label=label, part="train" if number % 4 else "held_out")
        for label in range(len(names))
        for number in range(_IMAGES_PER_LABEL)
    ]
    index = ImageIndex.of("birds", names, items)
    with TemporaryDirectory() as scratch:
        index.save(Path(scratch, "manifest.jsonl"))
        artefacts.put_file(Path(scratch, "manifest.jsonl"), f"datasets/{id}/manifest.jsonl")
    tx.execute(
        insert(Dataset),
        [
            {
                "id": id,
                "vocabulary_id": vocabulary_id,
                "name": "birds",
                "path": "birds",
                "split": {},
                "counts": index.counts,
                "digest": index.digest,
                "manifest_key": f"datasets/{id}/manifest.jsonl",
                "created_at": time.time(),
            }
        ],
    )
    return id


def start_training(db: Database, vocabulary_id: str, dataset_id: str) -> str:
    """A training that a worker works on, with the curves of its steps so far."""
    spec = DistillSpec.model_validate(_spec(vocabulary_id, dataset_id))
    with db.write() as tx:
        job = jobs.create(tx, spec, [NewPart(kind="train", queue="gpu", total=100_000, unit="steps")]).id
        for part_id in claims.ready(tx, ["gpu"], limit=10):
            claims.claim(tx, part_id, worker="bench", lease_s=10_000)
    with db.write() as tx:
        _add_curves(tx, job, NUM_CURVE_EVENTS)
    return job
