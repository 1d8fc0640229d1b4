"""Specs of jobs and parts: one model per kind, written when a job is created and parsed once when a part is claimed.

A spec is stored as JSON in `jobs.spec` and `parts.spec`. `parse_job_spec` and `parse_part_spec` read it back.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from distill.config.train_config import TrainConfig
from distill.texts.text_templates import PromptOptions, TextKind

JobKind = Literal["enrich", "encode", "distill", "evaluate", "prove", "check"]


class Spec(BaseModel):
    """Immutable; an unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def as_json(self) -> dict[str, Any]:
        """The JSON that is stored."""
        return self.model_dump(mode="json")


S = TypeVar("S", bound=Spec)


class JobSpec(Spec):
    """The task of a job. Subclasses name their kind of job.

    Fields in `optional` are stored only if they differ from their default: clients read the stored JSON, and earlier
    releases, which can run these jobs after a downgrade, test whether such a field is there.
    """

    kind: ClassVar[JobKind]
    optional: ClassVar[frozenset[str]] = frozenset()

    def as_json(self) -> dict[str, Any]:
        """The JSON that is stored."""
        defaults = {name: type(self).model_fields[name].default for name in self.optional}
        unused = {name for name, default in defaults.items() if getattr(self, name) == default}
        return self.model_dump(mode="json", exclude=unused)


class TextSource(Protocol):
    """Where the texts of labels come from, and how they are rendered."""

    @property
    def vocabulary_id(self) -> str: ...
    @property
    def attribute_set_id(self) -> str | None: ...
    @property
    def text(self) -> TextKind: ...
    @property
    def prompt(self) -> PromptOptions: ...


class EnrichSpec(JobSpec):
    """Fields of both kinds of enrichment. `domain`: of the vocabulary; `strategies`: as `name@version`.

    `endpoint`: the operator's LLM endpoint; None for `default`. `language` and `system_prompt` change the strategies
    (`attributes.prompts.customize`); empty: unchanged.
    """

    kind: ClassVar[JobKind] = "enrich"
    optional: ClassVar[frozenset[str]] = frozenset(
        {"samples", "mode", "budget_usd", "budget_tokens", "endpoint", "language", "system_prompt"}
    )

    strategies: tuple[str, ...] = Field(min_length=1)
    model: str
    endpoint: str | None = None
    domain: str = ""
    samples: int | None = None
    mode: Literal["live", "batch"] = "live"
    budget_usd: str | None = None
    budget_tokens: int | None = None
    language: str = ""
    system_prompt: str = ""

    @property
    def has_budget(self) -> bool:
        """Whether the job has a cap, in money or in tokens."""
        return self.budget_usd is not None or self.budget_tokens is not None


class DescribeSpec(EnrichSpec):
    """An enrichment that describes the labels of a vocabulary. `teacher` finds the confusable pairs of labels.

    `same_vocabulary`: whether the base set is of this vocabulary; None without a base set.
    """

    optional: ClassVar[frozenset[str]] = EnrichSpec.optional | {
        "base_set_id",
        "same_vocabulary",
        "teacher",
        "neighbours",
    }

    vocabulary_id: str
    num_labels: int
    base_set_id: str | None = None
    same_vocabulary: bool | None = None
    teacher: str | None = None
    neighbours: int | None = None
    mend_rounds: int = 0


class CaptionSpec(EnrichSpec):
    """An enrichment that captions the training images of a dataset."""

    dataset_id: str
    num_images: int


class EncodeSpec(JobSpec):
    """A job that encodes the texts of a vocabulary with a teacher."""

    kind: ClassVar[JobKind] = "encode"

    vocabulary_id: str
    attribute_set_id: str | None = None
    teacher: str
    text: TextKind
    prompt: PromptOptions = PromptOptions()


class SaveCheckpoints(Spec):
    """Which students of a running training are kept as checkpoints."""

    every_epochs: int = Field(ge=1, le=1_000_000, description="Keep the student after every n-th epoch.")
    keep: int = Field(5, ge=1, le=100, description="How many are kept: the newest ones.")


class DistillSpec(JobSpec):
    """A job that distills a teacher into a student. `config` is the resolved config of the recipe.

    `nproc`: processes (ranks) that train the student together on each of `nnodes` machines.
    """

    kind: ClassVar[JobKind] = "distill"
    optional: ClassVar[frozenset[str]] = frozenset(
        {"start_checkpoint_id", "caption_set_id", "save_checkpoints", "nproc", "nnodes"}
    )

    dataset_id: str
    vocabulary_id: str
    attribute_set_id: str | None = None
    teacher: str
    text: TextKind
    prompt: PromptOptions = PromptOptions()
    recipe: str
    config: TrainConfig
    start_checkpoint_id: str | None = None
    caption_set_id: str | None = None
    save_checkpoints: SaveCheckpoints | None = None
    nproc: int = Field(1, ge=1)
    nnodes: int = Field(1, ge=1)

    @property
    def num_gpus(self) -> int:
        """The GPUs that a worker must have to run the training, if it has any; 0 for a training on the CPU."""
        return 0 if self.config.system.device == "cpu" else self.nproc


class CheckpointSubject(Spec):
    """The student to evaluate."""

    checkpoint_id: str


class TeacherSubject(Spec):
    """The teacher to evaluate."""

    teacher: str


class EvaluateSpec(JobSpec):
    """A job that evaluates a student or a teacher on a dataset.

    `teacher` encodes the texts. `shots`: images per label for Tip-Adapter. The other options are for a student
    (`distill.evaluation.further`): datasets of the same labels in other styles, one of other things, the number of
    images for the corruptions, the distill job of a closed-set baseline, and an attribute set with outlier labels.
    """

    kind: ClassVar[JobKind] = "evaluate"
    optional: ClassVar[frozenset[str]] = frozenset(
        {"shots", "domain_dataset_ids", "far_dataset_id", "corruption_images", "baseline_job_id", "outlier_set_id"}
    )

    subject: CheckpointSubject | TeacherSubject
    dataset_id: str
    vocabulary_id: str
    attribute_set_id: str | None = None
    teacher: str
    text: TextKind
    prompt: PromptOptions = PromptOptions()
    shots: int = 0
    domain_dataset_ids: tuple[str, ...] = ()
    far_dataset_id: str | None = None
    corruption_images: int = 0
    baseline_job_id: str | None = None
    outlier_set_id: str | None = None


class ProveSpec(JobSpec):
    """A job that measures the benefit of an attribute set against controls."""

    kind: ClassVar[JobKind] = "prove"

    dataset_id: str
    vocabulary_id: str
    attribute_set_id: str
    teacher: str
    concept: str = ""
    seeds: int = 3
    filter_phrases: bool = False


class CheckSpec(JobSpec):
    """A job that checks an attribute set with the quality gates; a `teacher` adds the margins between text features.

    `text` and `prompt` are stored only with a teacher, which encodes the texts.
    """

    kind: ClassVar[JobKind] = "check"
    optional: ClassVar[frozenset[str]] = frozenset({"teacher"})

    attribute_set_id: str
    vocabulary_id: str
    num_labels: int
    teacher: str | None = None
    text: TextKind = "names"
    prompt: PromptOptions = PromptOptions()

    def as_json(self) -> dict[str, Any]:
        """The JSON that is stored."""
        stored = super().as_json()
        return stored if self.teacher else {name: stored[name] for name in stored if name not in ("text", "prompt")}


class PartSpec(Spec):
    """Parameters of a part in addition to the spec of its job. Most kinds of part have none."""


class RangeSpec(PartSpec):
    """Labels, images or pages: start <= position < stop. Of a features part: rows of the image index."""

    start: int = 0
    stop: int = 0


class ContrastSpec(PartSpec):
    """Pairs of label positions for one step of the strategies."""

    step: int
    pairs: tuple[tuple[int, int], ...]


class NeighboursSpec(PartSpec):
    """The steps whose strategies compare pairs of labels."""

    steps: tuple[int, ...]


class NodeSpec(PartSpec):
    """A machine of a training on several, from 1: the `train` part is that of machine 0."""

    node: int


class RepairSpec(PartSpec):
    """A repair round, from 1."""

    round: int


class CorrectSpec(PartSpec):
    """Questions of a repair round: bytes start <= at < stop of a file of JSON lines."""

    round: int
    file_key: str
    start: int
    stop: int


_JOB_SPECS: Mapping[str, type[JobSpec]] = {
    one.kind: one for one in (EncodeSpec, DistillSpec, EvaluateSpec, ProveSpec, CheckSpec)
}
_PART_SPECS: Mapping[str, type[PartSpec]] = {
    "describe": RangeSpec,
    "features": RangeSpec,
    "caption": RangeSpec,
    "assemble": RangeSpec,
    "contrast": ContrastSpec,
    "neighbours": NeighboursSpec,
    "train_node": NodeSpec,
    "mend": RepairSpec,
    "correct": CorrectSpec,
}


def parse_job_spec(kind: str, stored: Mapping[str, Any]) -> JobSpec:
    """The spec of a job. Raises pydantic's ValidationError for invalid JSON, KeyError for an unknown kind."""
    if kind == "enrich":
        return (CaptionSpec if "dataset_id" in stored else DescribeSpec).model_validate(stored)
    return _JOB_SPECS[kind].model_validate(stored)


def parse_part_spec(kind: str, stored: Mapping[str, Any]) -> PartSpec:
    """The spec of a part. Raises pydantic's ValidationError for invalid JSON."""
    return _PART_SPECS.get(kind, PartSpec).model_validate(stored)


def expect(spec: Spec, kind: type[S]) -> S:
    """`spec`, known to be a `kind`. Raises TypeError for another one."""
    if not isinstance(spec, kind):
        raise TypeError(f"expected a {kind.__name__}, got a {type(spec).__name__}")
    return spec
