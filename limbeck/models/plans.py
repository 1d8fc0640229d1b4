"""What the service says about jobs that were not created: the check of one job, and of a whole job."""

from pydantic import JsonValue

from limbeck.models import Estimate, JobKind, ServiceResponse


class PlannedTraining(ServiceResponse):
    """What a training will do. `images_seen`: by the student. `teacher_cached`, `teacher_live`: forward passes of the
    teacher whose features are cached, if none is yet, and are used once. `measured`: images of the evaluation.
    `decoded_bytes`: of the decoded training images; `feature_bytes`: of the teacher's cached features. `views_s`,
    `steps_s`: seconds of the views and steps, if they were measured. `origins`: why a setting has its value, by its
    short name; `settings`: these values."""

    batch_size: int
    steps_per_epoch: int
    total_steps: int
    images_seen: int
    teacher_cached: int
    teacher_live: int
    measured: int
    decoded_bytes: int
    feature_bytes: int | None
    views_s: float | None
    steps_s: float | None
    origins: dict[str, str]
    settings: dict[str, JsonValue]


class JobCheck(ServiceResponse):
    """What a job would be; nothing was stored. `same_job_id`: the newest job with the same inputs that runs or has
    succeeded. `estimate` is None for a job without LLM calls, `training` for a job without a training."""

    kind: JobKind | str
    spec: dict[str, JsonValue]
    same_job_id: str | None
    estimate: Estimate | None
    training: PlannedTraining | None = None


class PlannedVocabulary(ServiceResponse):
    """The vocabulary of a plan. `same_id`: an equal one that exists."""

    num_labels: int
    same_id: str | None


class PlannedDataset(ServiceResponse):
    """The dataset of a plan. `labels`: positions of the labels with images. `same_id`: an equal one that exists.
    `labels_per_image`: the mean of a multi-label dataset, else None."""

    counts: dict[str, int]
    warnings: tuple[str, ...]
    labels: tuple[int, ...]
    same_id: str | None
    labels_per_image: float | None = None


class Plan(ServiceResponse):
    """What a whole job would do; nothing was stored."""

    vocabulary: PlannedVocabulary | None
    dataset: PlannedDataset | None
    jobs: tuple[JobCheck, ...]
