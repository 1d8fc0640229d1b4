"""The steps of the demo as calls of the client: the steps of `limbeck run`, once per text, with printed results."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from distill.json_types import EvaluatedPart, LabelSetJSON
from examples.demo.report import PARTS, DescribedLabel, MeasuredRun, SampleImage, Text
from examples.demo.services import StepFailed
from examples.fieldguide.guide import (
    CONFIG,
    DOMAIN,
    IMAGE_FOLDER,
    RECIPE,
    TEACHER,
    UNSEEN,
    GuideError,
    species_names,
    split,
    write_images,
    write_teacher,
)
from examples.fieldguide.world import species
from limbeck import Client
from limbeck.models import Dataset, Job, TextKind
from limbeck.progress import follow

ENRICHED: TextKind = "sentence"
"""The enriched text that the students are compared on; chosen on the validation group, see docs/log.md."""
TEXT_KIND_BY_NAME: dict[Text, TextKind] = {"names": "names", "enriched": ENRICHED}
_SHOWN, _SAMPLES = 3, 12


@dataclass(frozen=True)
class DistilledStudent:
    """A published student; `teacher` is the teacher's result on the same images and texts."""

    text: Text
    checkpoint: str
    evaluation: Mapping[EvaluatedPart, LabelSetJSON]
    teacher: MeasuredRun


def prepare(data: Path) -> int:
    """Write images and teacher below the data root, as an operator would; returns the number of images."""
    written = write_images(data)
    try:
        write_teacher(data)
    except GuideError as error:
        raise StepFailed(str(error)) from None
    return written


class Demo:
    """Runs the jobs of the demo on a running service and prints their results."""

    def __init__(self, client: Client, console: Console) -> None:
        self._client = client
        self._console = console
        self._teacher = f"local-dir:{TEACHER}"

    def describe(self) -> tuple[str, str, list[DescribedLabel]]:
        """Post the labels and describe them; returns the vocabulary id, the set id and some of its entries."""
        vocabulary = self._client.vocabularies.create("field guide", species_names(), domain=DOMAIN)
        job = self._follow(
            self._client.jobs.create("enrich", vocabulary_id=vocabulary.id), f"describe {vocabulary.num_labels} labels"
        )
        result = _result(job)
        if result["failed_labels"]:
            raise StepFailed(f"labels without attributes: {result['failed_labels']}")
        set_id: str = result["attribute_set_id"]
        shown = [
            DescribedLabel(label=one.label, sentence=one.sentence, phrases=one.phrases)
            for one in islice(self._client.attribute_sets.labels(set_id), _SHOWN)
        ]
        for one in shown:
            self._console.print(f"  [bold]{escape(one.label)}[/] {escape(one.sentence)}", highlight=False)
            self._console.print(f"    [dim]{escape('; '.join(one.phrases))}[/]", highlight=False)
        return vocabulary.id, set_id, shown

    def register(self, vocabulary_id: str) -> Dataset:
        """Register the images, split by list: one group of species for training, the other one unseen."""
        dataset = self._client.datasets.create(vocabulary_id, IMAGE_FOLDER, split=split(), name="field guide")
        counts = dataset.counts
        self._console.print(
            f"  {counts['train']:,} training images of {counts['id_labels']} species, {counts['held_out']:,} held out; "
            f"{counts['ood']:,} images of {counts['ood_labels']} unseen species",
            highlight=False,
        )
        return dataset

    def distill(self, dataset_id: str, set_id: str, text: Text) -> DistilledStudent:
        """Train a student with the names of the labels or with their attributes."""
        job = self._client.jobs.create(
            "distill",
            dataset_id=dataset_id,
            teacher=self._teacher,
            text=TEXT_KIND_BY_NAME[text],
            attribute_set_id=_set_for(text, set_id),
            recipe=RECIPE,
            config=dict(CONFIG),
        )
        result = _result(self._follow(job, f"student, {text}"))
        (evaluation,) = result["evaluation"]["teacher"]
        teacher = MeasuredRun(run=f"teacher, {text}", who="teacher", text=text, evaluation=evaluation)
        return DistilledStudent(text, result["checkpoint_id"], result["evaluation"], teacher)

    def evaluate_student(self, dataset_id: str, set_id: str, student: DistilledStudent) -> MeasuredRun:
        """Evaluate a published checkpoint; the result must equal the evaluation after training."""
        text = student.text
        job = self._client.jobs.create(
            "evaluate",
            dataset_id=dataset_id,
            checkpoint_id=student.checkpoint,
            text=TEXT_KIND_BY_NAME[text],
            attribute_set_id=_set_for(text, set_id),
        )
        evaluation = _result(self._follow(job, f"student, {text}"))["evaluation"]
        for part in PARTS:
            before, now = student.evaluation[part]["accuracy"], evaluation[part]["accuracy"]
            if abs(before - now) > 1e-6:
                raise StepFailed(
                    f"the accuracy ({part}) of the {text} student is {now:.4f}, but it was {before:.4f} after training"
                )
        return MeasuredRun(run=f"student, {text}", who="student", text=text, evaluation=evaluation)

    def download(self, checkpoint: str, folder: Path) -> None:
        """Download a bundle; the client compares every file with the sha256 in the manifest."""
        paths = self._client.checkpoints.download(checkpoint, folder)
        size = sum(path.stat().st_size for path in paths)
        self._console.print(
            f"  {checkpoint}: {len(paths)} files, {size / 1e6:.1f} MB in {folder}, verified by its manifest",
            highlight=False,
        )

    def _follow(self, job: Job, title: str) -> Job:
        return follow(self._client, job, self._console, title=f"  {title}")


def sample_images(data: Path) -> list[tuple[str, Path]]:
    """(label, path) of the first image of evenly spaced unseen species, independent of the predictions."""
    unseen = species(UNSEEN)
    step = max(1, len(unseen) // _SAMPLES)
    chosen = unseen[::step][:_SAMPLES]
    return [(member.name, data / IMAGE_FOLDER / member.folder / "0000.png") for member in chosen]


def classify(folder: Path, images: Sequence[Path]) -> list[tuple[str, float]]:
    """The best label and its confidence (0..1) for each image, by a downloaded student in a new process."""
    command = [
        sys.executable,
        "-m",
        "limbeck.cli",
        "classify",
        str(folder),
        "--among",
        "unseen",
        "--top",
        "1",
        "--json",
        *map(str, images),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode:
        raise StepFailed(f"classifying with {folder} failed with code {done.returncode}: {done.stderr.strip()[-300:]}")
    best = [json.loads(line)["labels"][0] for line in done.stdout.splitlines()]
    return [(one["label"], one["confidence"]) for one in best]


def classify_samples(students: Mapping[Text, Path], data: Path) -> list[SampleImage]:
    """The sample images with the predictions of each downloaded student."""
    samples = sample_images(data)
    images = [path for _, path in samples]
    predictions = {text: classify(folder, images) for text, folder in students.items()}
    return [
        SampleImage(image=path, label=label, names=names, enriched=enriched)
        for (label, path), names, enriched in zip(samples, predictions["names"], predictions["enriched"], strict=True)
    ]


def machine() -> str:
    """The platform, the number of cores and the Python version, as context for the run time."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _set_for(text: Text, set_id: str) -> str | None:
    return None if text == "names" else set_id


def _result(job: Job) -> dict[str, Any]:
    if job.result is None:
        raise StepFailed(f"{job.kind} job {job.id} {job.status} without a result")
    return job.result
