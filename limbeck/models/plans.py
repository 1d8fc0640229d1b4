"""What the service says about jobs that were not created: the check of one job, and of a whole job."""

from pydantic import JsonValue

from limbeck.models import Estimate, JobKind, ServiceResponse


class JobCheck(ServiceResponse):
    """What a job would be; nothing was stored. `same_job_id`: the newest job with the same inputs that runs or has
    succeeded. `estimate` is None for a job without LLM calls."""

    kind: JobKind | str
    spec: dict[str, JsonValue]
    same_job_id: str | None
    estimate: Estimate | None


class PlannedVocabulary(ServiceResponse):
    """The vocabulary of a plan. `same_id`: an equal one that exists."""

    num_labels: int
    same_id: str | None


class PlannedDataset(ServiceResponse):
    """The dataset of a plan. `labels`: positions of the labels with images. `same_id`: an equal one that exists."""

    counts: dict[str, int]
    warnings: tuple[str, ...]
    labels: tuple[int, ...]
    same_id: str | None


class Plan(ServiceResponse):
    """What a whole job would do; nothing was stored."""

    vocabulary: PlannedVocabulary | None
    dataset: PlannedDataset | None
    jobs: tuple[JobCheck, ...]
