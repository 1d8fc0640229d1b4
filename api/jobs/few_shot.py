"""Checks of few-shot jobs: whether each unseen label has enough images. A worker would find out after the encoding."""

import json
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from sqlalchemy.orm import Session

from api.http.problems import unprocessable
from api.jobs.evaluate_request import EvaluateIn
from api.jobs.training_config import pointer_of
from distill.config.train_config import TrainConfig
from distill.data.image_index import ImageIndex
from distill.data.splits import Part
from store import resources
from store.artefacts import Artefacts
from store.blobs import reading
from store.jobs.jobs import distill_spec
from store.models import Dataset
from store.settings import Settings

if TYPE_CHECKING:
    from distill.data.dataset.trained_on import TrainedOn


def check_training(
    config: TrainConfig,
    given: Mapping[str, object],
    dataset: Dataset,
    settings: Settings,
    planned_images: ImageIndex | None,
) -> None:
    """Raise ProblemError if an unseen label has too few images for the shots of a training.

    `given`: the config as the client wrote it. `planned_images`: those of a dataset that is not stored.
    """
    if config.data.shots:
        labels, num_images = _num_images(dataset, settings, planned_images, ["ood"])
        _check(labels, num_images, config.data.shots, pointer_of(given, ("data", "shots")))


def check_evaluation(tx: Session, request: EvaluateIn, dataset: Dataset, settings: Settings) -> None:
    """Raise ProblemError if a label that the student did not see has too few images for retrieval.

    Images that the student was trained on are left out later, by their content: the worker can still find too few.
    """
    if request.checkpoint_id is None:
        return
    checkpoint = resources.checkpoint(tx, request.checkpoint_id)
    data = distill_spec(tx, checkpoint.job_id).config.data
    # The first images of unseen labels are left out for a student of retrieval too, so that its results compare.
    shots = max(data.shots, request.shots) if request.shots or data.protocol == "retrieval" else 0
    if not shots or (trained_on := _trained_on(tx, checkpoint.id, settings)) is None:
        return
    labels, num_images = _num_images(dataset, settings, None, ["held_out", "ood"])
    seen = trained_on.seen(labels)
    unseen = {label: number for label, number in num_images.items() if label not in seen}
    _check(labels, unseen, shots, "/shots" if shots == request.shots else "/dataset_id")


def _check(labels: Sequence[str], num_images: Mapping[int, int], shots: int, pointer: str) -> None:
    from distill.data.few_shot import FewShotError, check_support  # late, because it imports numpy

    try:
        check_support({labels[label]: number for label, number in sorted(num_images.items())}, shots)
    except FewShotError as error:
        raise unprocessable("shots_unfit", str(error), pointer) from None


def _num_images(
    dataset: Dataset, settings: Settings, planned: ImageIndex | None, parts: Collection[Part]
) -> tuple[Sequence[str], Mapping[int, int]]:
    """The labels of a dataset, and the number of images of each label, by its index, in these parts."""
    if planned is not None:
        return planned.labels, Counter(planned.label_indices[at] for part in parts for at in planned.part(part))
    marks = [json.dumps(part).encode() for part in parts]
    counts: Counter[int] = Counter()
    with Artefacts(settings.artefacts).open(dataset.manifest_key) as file:
        labels = json.loads(next(file))["labels"]
        for line in file:
            if any(mark in line for mark in marks):  # the others are not parsed
                _, label, part = json.loads(line)[:3]
                counts[label] += part in parts
    return labels, +counts


def _trained_on(tx: Session, checkpoint_id: str, settings: Settings) -> "TrainedOn | None":
    """The labels and images that a student was trained on; None if its files do not say. Imports numpy."""
    from distill.data.dataset.trained_on import IMAGES_FILE, LABELS_FILE, TrainedOnError, read_trained_on

    artefacts = Artefacts(settings.artefacts)
    with TemporaryDirectory() as folder:
        for path, content in reading.contents(tx, checkpoint_id, (LABELS_FILE, IMAGES_FILE)).items():
            reading.get_file(artefacts, content, Path(folder, path))
        try:
            return read_trained_on(Path(folder))
        except TrainedOnError:
            return None
