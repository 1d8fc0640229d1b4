"""The demo's steps, each a call of the client: what `limbeck run` does, twice, with everything looked at on the way."""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from examples.demo.report import Described, Run, Sample, Text
from examples.demo.services import StepFailed
from examples.fieldguide.world import species, write_class_folders
from limbeck.client import Limbeck
from limbeck.models import Dataset, Job, TextKind
from limbeck.progress import follow

DOMAIN = "imaginary creatures of a field guide"
TEACHER = "fieldguide/teacher"
PICTURES = "fieldguide/pictures"
SEEN, UNSEEN = "train", "validation"
IMAGES_PER_SPECIES = {SEEN: 40, UNSEEN: 20}
SEED = 0
ENRICHED: TextKind = "sentence"
"""Which enriched text the students are compared on; chosen on the validation group, see docs/log.md."""
RECIPE = "limbeck"
CONFIG = {"epochs": 4, "measured_epochs": 0}
"""What is changed of it, for five minutes on two cores: fewer epochs, and no mean over the last of them, which is for
published figures."""
KINDS: dict[Text, TextKind] = {"names": "names", "enriched": ENRICHED}
_SHOWN, _SAMPLES = 3, 12
_TEACHER_FOLDER = Path(__file__).parents[1] / "fieldguide" / "teacher"


@dataclass(frozen=True)
class Distilled:
    """A student as the service published it; `teacher` was measured beside it, on the same pictures and texts."""

    text: Text
    checkpoint: str
    evaluation: Mapping[str, Any]
    teacher: Run


def prepare(data: Path) -> int:
    """Put pictures and teacher under the data root, as an operator would; the number of pictures."""
    written = sum(
        write_class_folders(data / PICTURES, [group], count, SEED) for group, count in IMAGES_PER_SPECIES.items()
    )
    missing = [
        name
        for name in ("open_clip_config.json", "open_clip_model.safetensors")
        if not (_TEACHER_FOLDER / name).is_file()
    ]
    if missing:
        raise StepFailed(f"{_TEACHER_FOLDER} holds no {' and no '.join(missing)}: train it with examples.fieldguide")
    shutil.copytree(_TEACHER_FOLDER, data / TEACHER, ignore=shutil.ignore_patterns("*.jsonl", "*.py", "__pycache__"))
    return written


class Demo:
    """The main job against a running service; prints what it does."""

    def __init__(self, client: Limbeck, console: Console) -> None:
        self._client = client
        self._console = console
        self._teacher = f"local-dir:{TEACHER}"

    def describe(self) -> tuple[str, str, list[Described]]:
        """POST the labels and have them described; the vocabulary, the attribute set, and some of its entries."""
        names = [one.name for group in (SEEN, UNSEEN) for one in species(group)]
        vocabulary = self._client.create_vocabulary("field guide", names, domain=DOMAIN)
        job = self._follow(self._client.enrich(vocabulary.id), f"describe {vocabulary.num_labels} labels")
        result = _result(job)
        if result["failed_labels"]:
            raise StepFailed(f"labels without attributes: {result['failed_labels']}")
        set_id: str = result["attribute_set_id"]
        shown = [
            Described(label=one.label, sentence=one.sentence, phrases=one.phrases)
            for one in islice(self._client.attributes(set_id), _SHOWN)
        ]
        for one in shown:
            self._console.print(f"  [bold]{escape(one.label)}[/] {escape(one.sentence)}", highlight=False)
            self._console.print(f"    [dim]{escape('; '.join(one.phrases))}[/]", highlight=False)
        return vocabulary.id, set_id, shown

    def register(self, vocabulary_id: str) -> Dataset:
        """Register the pictures, split by list: one group of species to train on, the other never seen."""
        split = {
            "by": "list",
            "id": [one.name for one in species(SEEN)],
            "ood": [one.name for one in species(UNSEEN)],
            "held_out": 0.3,
            "seed": SEED,
        }
        dataset = self._client.register_dataset(vocabulary_id, PICTURES, split=split, name="field guide")
        counts = dataset.counts
        self._console.print(
            f"  {counts['train']:,} pictures of {counts['id_labels']} species to train on, {counts['held_out']:,} held "
            f"out; {counts['ood']:,} of {counts['ood_labels']} species that no student will see",
            highlight=False,
        )
        return dataset

    def distill(self, dataset_id: str, set_id: str, text: Text) -> Distilled:
        """Train a student on the labels' names, or on what the LLM said of them."""
        asked = self._client.distill(
            dataset_id,
            teacher=self._teacher,
            text=KINDS[text],
            attribute_set_id=_needed(set_id, text),
            recipe=RECIPE,
            config=CONFIG,
        )
        result = _result(self._follow(asked, f"student, {text}"))
        (measured,) = result["evaluation"]["teacher"]
        teacher = Run(run=f"teacher, {text}", who="teacher", text=text, evaluation=measured)
        return Distilled(text, result["checkpoint_id"], result["evaluation"], teacher)

    def evaluate_student(self, dataset_id: str, set_id: str, student: Distilled) -> Run:
        """Measure a published checkpoint anew; it must give what it gave when it was trained."""
        text = student.text
        asked = self._client.evaluate(
            dataset_id, checkpoint_id=student.checkpoint, text=KINDS[text], attribute_set_id=_needed(set_id, text)
        )
        evaluation = _result(self._follow(asked, f"student, {text}"))["evaluation"]
        for part in ("id", "ood"):
            before, now = student.evaluation[part]["accuracy"], evaluation[part]["accuracy"]
            if abs(before - now) > 1e-6:
                raise StepFailed(
                    f"the {text} student measured {now:.4f} ({part}) after {before:.4f} when it was trained"
                )
        return Run(run=f"student, {text}", who="student", text=text, evaluation=evaluation)

    def download(self, checkpoint: str, folder: Path) -> None:
        """Fetch a bundle; the client holds every file against the manifest's sha256."""
        paths = self._client.download_checkpoint(checkpoint, folder)
        size = sum(path.stat().st_size for path in paths)
        self._console.print(
            f"  {checkpoint}: {len(paths)} files, {size / 1e6:.1f} MB in {folder}, digests as in its manifest",
            highlight=False,
        )

    def _follow(self, job: Job, title: str) -> Job:
        return follow(self._client, job, self._console, title=f"  {title}")


def sample_pictures(data: Path) -> list[tuple[str, Path]]:
    """(label, picture) of species spread evenly over the unseen ones: their first picture, whatever comes of it."""
    unseen = species(UNSEEN)
    step = max(1, len(unseen) // _SAMPLES)
    return [(one.name, data / PICTURES / one.folder / "0000.png") for one in unseen[::step][:_SAMPLES]]


def classify(folder: Path, pictures: Sequence[Path]) -> list[tuple[str, float]]:
    """The best label and its score for each picture, by a downloaded student in a fresh process."""
    command = [
        sys.executable,
        "-m",
        "limbeck.cli",
        "classify",
        "--checkpoint",
        str(folder),
        "--among",
        "unseen",
        "--top",
        "1",
        "--json",
        *map(str, pictures),
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    if ended.returncode:
        raise StepFailed(f"classifying with {folder} ended with {ended.returncode}: {ended.stderr.strip()[-300:]}")
    best = [json.loads(line)["labels"][0] for line in ended.stdout.splitlines()]
    return [(one["label"], one["score"]) for one in best]


def compare(students: Mapping[Text, Path], data: Path) -> list[Sample]:
    """What each downloaded student takes the sample pictures for."""
    chosen = sample_pictures(data)
    pictures = [path for _, path in chosen]
    # Both at once: each process mostly loads torch, on one core.
    with ThreadPoolExecutor() as pool:
        found = dict(zip(students, pool.map(partial(classify, pictures=pictures), students.values()), strict=True))
    return [
        Sample(image=path, label=label, names=names, enriched=enriched)
        for (label, path), names, enriched in zip(chosen, found["names"], found["enriched"], strict=True)
    ]


def machine() -> str:
    """What it ran on, as far as that tells something of the time."""
    return f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def _needed(set_id: str, text: Text) -> str | None:
    return None if text == "names" else set_id


def _result(job: Job) -> dict[str, Any]:
    if job.result is None:
        raise StepFailed(f"{job.kind} job {job.id} {job.status} without a result")
    return job.result
