"""The request for an evaluation, and the checks of its further sets: domains, unknown images, corruptions, baseline."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from sqlalchemy.orm import Session

from api.http.problems import json_pointer, not_found_at, unprocessable
from api.http.schemas import ONE_FAULT
from api.jobs.job_options import PROMPT_FIELD, SET_FIELD, JobRequestModel, TextOfLabels
from api.readers.teacher_refs import TEACHER_FIELD
from distill.texts.text_templates import PromptOptions
from store import resources
from store.jobs import jobs
from store.jobs.specs import DistillSpec, parse_job_spec
from store.models import Dataset
from store.sets import attribute_sets

MAX_DOMAINS = 20
FURTHER = ("domain_dataset_ids", "far_dataset_id", "corruption_images", "baseline_job_id", "outlier_set_id")


class EvaluateIn(JobRequestModel):
    """Evaluate a checkpoint or a teacher on a dataset, which can have another vocabulary than the student's.

    The teacher of the student encodes the labels; a `teacher` beside `checkpoint_id` must be that one.
    """

    kind: Literal["evaluate"]
    dataset_id: str
    checkpoint_id: str | None = None
    teacher: Annotated[str | None, TEACHER_FIELD] = None
    attribute_set_id: str | None = SET_FIELD
    text: TextOfLabels = "names"
    prompt: PromptOptions = PROMPT_FIELD
    shots: int = Field(
        0,
        ge=0,
        le=1000,
        description="Images per label for a further evaluation with retrieval; 0: none.",
    )
    domain_dataset_ids: Annotated[list[Annotated[str, Field(max_length=100)]], ONE_FAULT] = Field(
        [],
        max_length=MAX_DOMAINS,
        description="Of a checkpoint: datasets of the same labels in other styles, each a domain with the dataset's "
        "name. Measures the accuracy in each, and the drop against `dataset_id`.",
    )
    far_dataset_id: str | None = Field(
        None,
        description="Of a checkpoint: a dataset of other things, whose images are far unknowns for the open-set "
        "results. Near unknowns are the images of unseen labels of `dataset_id`.",
    )
    corruption_images: int = Field(
        0,
        ge=0,
        le=50_000,
        description="Of a checkpoint: number of images that the 15 corruptions of ImageNet-C are applied to at 5 "
        "strengths; 0: none. 200 take some five minutes on a CPU.",
    )
    baseline_job_id: str | None = Field(
        None,
        description="With `corruption_images`: the distill job of a closed-set baseline (`protocol` `closed_set`) on "
        "the dataset of the checkpoint, by whose errors those of the checkpoint are divided.",
    )
    outlier_set_id: str | None = Field(
        None,
        description="Of a checkpoint: an attribute set with outlier labels (strategy `outliers`), for the open-set "
        "score `outliers`.",
    )

    @model_validator(mode="after")
    def _one_subject(self) -> "EvaluateIn":
        if self.checkpoint_id is None and self.teacher is None:
            raise ValueError("name a checkpoint_id or a teacher to evaluate")
        if self.shots and self.checkpoint_id is None:
            raise ValueError("shots are for a checkpoint: leave them out, or name one")
        if self.checkpoint_id is None and (given := [name for name in FURTHER if getattr(self, name)]):
            raise ValueError(f"{given[0]} is for a checkpoint: leave it out, or name one")
        if self.baseline_job_id is not None and not self.corruption_images:
            raise ValueError("baseline_job_id is for corruptions: give corruption_images too")
        return self


def further_sets(tx: Session, request: EvaluateIn, dataset: Dataset) -> Mapping[str, Any]:
    """The fields of the spec beside the accuracies, checked. Raises ProblemError with pointers."""
    for at, id in enumerate(request.domain_dataset_ids):
        pointer = json_pointer("domain_dataset_ids", at)
        with not_found_at(pointer):
            domain = resources.dataset(tx, id)
        if id == dataset.id or id in request.domain_dataset_ids[:at]:
            detail = f"dataset {id} ({domain.name}) is named twice: a domain is another dataset than dataset_id"
            raise unprocessable("domain_twice", detail, pointer)
    if request.far_dataset_id is not None:
        with not_found_at("/far_dataset_id"):
            resources.dataset(tx, request.far_dataset_id)
    if request.baseline_job_id is not None:
        assert request.checkpoint_id is not None  # by the model's validator
        _check_baseline(tx, request.baseline_job_id, request.checkpoint_id)
    if request.outlier_set_id is not None:
        with not_found_at("/outlier_set_id"):
            outlier_set = attribute_sets.get(tx, request.outlier_set_id)
        if outlier_set.vocabulary_id != dataset.vocabulary_id:
            detail = f"the set is of {outlier_set.vocabulary_id}, and the labels are those of {dataset.vocabulary_id}"
            raise unprocessable("vocabulary_mismatch", detail, "/outlier_set_id")
    return {
        "domain_dataset_ids": tuple(request.domain_dataset_ids),
        "far_dataset_id": request.far_dataset_id,
        "corruption_images": request.corruption_images,
        "baseline_job_id": request.baseline_job_id,
        "outlier_set_id": request.outlier_set_id,
    }


def _check_baseline(tx: Session, job_id: str, checkpoint_id: str) -> None:
    """Refuse a job that trained no closed-set baseline of the checkpoint's training images.

    Images that only the baseline was trained on would be measured, with an error that is too small.
    """
    with not_found_at("/baseline_job_id"):
        job = jobs.get(tx, job_id)
    spec = parse_job_spec(job.kind, job.spec)
    if not isinstance(spec, DistillSpec) or spec.config.data.protocol != "closed_set":
        detail = f"job {job_id} trains no closed-set baseline: name a distill job with the protocol closed_set"
        raise unprocessable("baseline_unfit", detail, "/baseline_job_id")
    if job.status != "succeeded":
        detail = f"job {job_id} is {job.status}: wait until it has succeeded, or name another"
        raise unprocessable("baseline_unfit", detail, "/baseline_job_id")
    with not_found_at("/checkpoint_id"):
        trained_on = resources.dataset(tx, resources.checkpoint(tx, checkpoint_id).dataset_id)
    if resources.dataset(tx, spec.dataset_id).digest != trained_on.digest:
        detail = (
            f"job {job_id} was trained on {spec.dataset_id}, and the checkpoint on {trained_on.id}: name a baseline of "
            "the same images and split"
        )
        raise unprocessable("baseline_unfit", detail, "/baseline_job_id")
