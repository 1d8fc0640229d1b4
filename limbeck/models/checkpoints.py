"""Checkpoints: delivered students, and the files of their bundles."""

from datetime import datetime
from typing import Any

from limbeck.models.base import ServiceResponse
from limbeck.shared.bundle.open_set import OpenSetScore
from limbeck.shared.templates import TextKind


class ManifestEntry(ServiceResponse):
    """A file in the manifest of a bundle; `size` in bytes."""

    path: str
    sha256: str
    size: int


class BundleFile(ManifestEntry):
    """A file of a checkpoint's bundle; `url` is the path of its download."""

    url: str


class Checkpoint(ServiceResponse):
    """A delivered student and its bundle. `digest` is the sha256 of the manifest."""

    id: str
    job_id: str
    dataset_id: str
    vocabulary_id: str
    attribute_set_id: str | None
    text_targets_id: str
    teacher_id: str
    student: str
    text: TextKind
    evaluation: dict[str, Any]
    digest: str
    owner: str | None = None
    created_at: datetime


class Guess(ServiceResponse):
    """A label that an image may have; `confidence`: softmax over the labels of its part, 0 to 1."""

    label: str
    confidence: float


class Sample(ServiceResponse):
    """An evaluated image in a row of the dataset's index. `guesses`: the prediction and the runner-up."""

    row: int
    is_right: bool
    guesses: tuple[Guess, ...]
    thumbnail: str


class Samples(ServiceResponse):
    """Evaluated images of a label, mistakes first."""

    label: str
    data: tuple[Sample, ...]


class LabelScore(ServiceResponse):
    """A label or a new word, and its confidence."""

    label: str
    confidence: float
    is_new: bool


class PictureScores(ServiceResponse):
    """What a student sees in a picture. `none_of_these`: None without a threshold, and with new words.

    A multi-label student gives all labels above its threshold, each with a probability of its own. `score_value`: of
    the `score` that `none_of_these` is judged by.
    """

    labels: tuple[LabelScore, ...]
    cosine: float
    none_of_these: bool | None
    score: OpenSetScore
    score_value: float


class CheckpointWithFiles(Checkpoint):
    """A checkpoint with the files of its bundle."""

    files: tuple[BundleFile, ...]


class EpochMetrics(ServiceResponse):
    """Accuracy on held-out images of the seen labels, among them: mean per-class, top-5, and that of guessing.

    Of images with several labels it is the mean average precision, `mean_ap`.
    """

    accuracy: float | None = None
    top5: float | None = None
    mean_ap: float | None = None
    chance: float
    num_images: int
    num_labels: int


class EpochCheckpoint(ServiceResponse):
    """The student of a training after an epoch. `metrics`: None without held-out images."""

    job_id: str
    epoch: int
    step: int
    metrics: EpochMetrics | None
    files: tuple[BundleFile, ...]
    created_at: datetime
