"""Datasets, uploads, captions of images, teachers, and text targets."""

from datetime import datetime
from typing import Literal

from pydantic import JsonValue

from limbeck.models.base import ServiceResponse
from limbeck.shared.templates import TextKind

UploadKind = Literal["folder", "archive"]
UploadStatus = Literal["receiving", "complete"]


class Teacher(ServiceResponse):
    """A teacher, identified by the digest of its weights. `ref`: its first reference; `context_length` in tokens."""

    id: str
    ref: str
    digest: str
    width: int
    context_length: int
    logit_scale: float
    preprocess: dict[str, JsonValue]
    created_at: datetime


class TokenCounts(ServiceResponse):
    """The tokens of lines as a teacher reads them; without a teacher by CLIP's vocabulary."""

    teacher: str | None
    context_length: int
    num_tokens: tuple[int, ...]


class TextTargets(ServiceResponse):
    """A teacher's text features of a vocabulary's label texts. `report`: shortened texts and fallbacks to names."""

    id: str
    job_id: str
    teacher_id: str
    vocabulary_id: str
    attribute_set_id: str | None
    text: TextKind
    num_labels: int
    width: int
    report: dict[str, JsonValue]
    digest: str
    size: int
    owner: str | None = None
    created_at: datetime


class TargetLabel(ServiceResponse):
    """A label of text targets."""

    label: str
    sense: str | None


class TargetTeacher(ServiceResponse):
    """The teacher of text targets. Only students of the teacher with this digest can use them."""

    ref: str
    digest: str


class TargetLabels(ServiceResponse):
    """The labels of text targets, in the order of their features."""

    text_targets_id: str
    text: TextKind
    teacher: TargetTeacher
    labels: tuple[TargetLabel, ...]


class CaptionSet(ServiceResponse):
    """Captions of the training images of a dataset; images can lack one."""

    id: str
    dataset_id: str
    job_id: str
    source: dict[str, JsonValue]
    num_images: int
    num_captioned: int
    digest: str
    size: int
    owner: str | None = None
    created_at: datetime


class Dataset(ServiceResponse):
    """Images in the service's data root or in an upload, matched to a vocabulary and split. `counts`: images and
    labels; `labels_per_image`: the mean of a multi-label dataset, else None; `warnings`: what to look at."""

    id: str
    vocabulary_id: str
    name: str
    path: str
    upload_id: str | None = None
    split: dict[str, JsonValue]
    counts: dict[str, int]
    labels_per_image: float | None = None
    digest: str
    warnings: tuple[str, ...]
    owner: str | None = None
    created_at: datetime


class CountedLabel(ServiceResponse):
    """Images of a label. `position`: of the label in the dataset's vocabulary."""

    position: int
    label: str
    num_images: int


class LabelCoverage(ServiceResponse):
    """The labels of a dataset's images beside those of a vocabulary; the lists hold the first 1,000."""

    vocabulary_id: str
    num_labels: int
    num_without_images: int
    labels_without_images: tuple[str, ...]
    num_without_label: int
    images_without_label: tuple[CountedLabel, ...]
    num_unlabelled: int


class LabelImage(ServiceResponse):
    """An image of a label. `row`: its position in the dataset; `thumbnail`: a path of the service."""

    row: int
    thumbnail: str


class LabelImages(ServiceResponse):
    """The first images of the label at a position of the vocabulary."""

    position: int
    images: tuple[LabelImage, ...]


class ImagesOfLabels(ServiceResponse):
    """Sample images of labels."""

    labels: tuple[LabelImages, ...]


class CreatedDataset(Dataset):
    """A dataset that was posted. `reused`: an equal one existed, and this is that one."""

    reused: bool = False


class Upload(ServiceResponse):
    """Files that a client sends to the service. `size` and `received`: bytes of the stream; `reserved`: what it counts
    against the quota; `path`: the folder in it that a dataset uses by default."""

    id: str
    name: str
    kind: UploadKind | str
    status: UploadStatus | str
    num_files: int
    size: int
    received: int
    reserved: int
    path: str
    max_chunk_bytes: int
    expires_at: datetime | None
    owner: str | None = None
    created_at: datetime
    updated_at: datetime
    completed_at: datetime | None


class CreatedUpload(Upload):
    """An upload that was posted. `reused`: the same files were sent before, and this goes on with them."""

    reused: bool = False
