"""Valid specs of jobs for tests that need a job and not its work."""

from typing import Any

from pydantic import ConfigDict

from distill.config.recipes import resolve_train_config
from store.jobs.part_results import PartResult
from store.jobs.specs import (
    DescribeSpec,
    DistillSpec,
    EncodeSpec,
    EvaluateSpec,
    JobKind,
    JobSpec,
    ProveSpec,
    TeacherSubject,
)

TEACHER = "ViT-B-32:openai"


class NumberedResult(PartResult):
    """A result of any named numbers."""

    model_config = ConfigDict(extra="allow")


def describe_spec(**fields: Any) -> DescribeSpec:
    """An enrichment by `describe@1`."""
    defaults = {"vocabulary_id": "voc_1", "num_labels": 1, "strategies": ("describe@1",), "model": "m"}
    return DescribeSpec(**{**defaults, **fields})


def distill_spec(**fields: Any) -> DistillSpec:
    """A distillation by the recipe `limbeck-small`."""
    config = resolve_train_config("limbeck-small", fields.pop("config", {}))
    defaults = {"dataset_id": "dst_1", "vocabulary_id": "voc_1", "teacher": TEACHER, "text": "names"}
    return DistillSpec(**{**defaults, "recipe": "limbeck-small", "config": config, **fields})


def job_spec(kind: JobKind) -> JobSpec:
    """A spec of this kind of job."""
    common: dict[str, Any] = {"vocabulary_id": "voc_1", "teacher": TEACHER}
    if kind == "enrich":
        return describe_spec()
    if kind == "encode":
        return EncodeSpec(text="names", **common)
    if kind == "evaluate":
        return EvaluateSpec(subject=TeacherSubject(teacher=TEACHER), dataset_id="dst_1", text="names", **common)
    if kind == "prove":
        return ProveSpec(dataset_id="dst_1", attribute_set_id="ats_1", **common)
    return distill_spec()
