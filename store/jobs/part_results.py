"""Results of parts and jobs: one model per kind, stored as JSON in `parts.result` and `jobs.result`.

`files` names artefacts for later parts of the job; the result of the job leaves them out.
"""

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from pydantic import ConfigDict

from store.jobs.specs import Spec


class PartResult(Spec):
    """The result of a part; empty for most kinds. Only the fields that were set are stored."""

    part_kind: ClassVar[str] = ""

    files: dict[str, str] = {}

    def as_json(self) -> dict[str, Any]:
        """The JSON that is stored."""
        return self.model_dump(mode="json", exclude_unset=True)


class EncodeResult(PartResult):
    """Text targets and the teacher that made them."""

    part_kind: ClassVar[str] = "encode"

    text_targets_id: str
    teacher_id: str
    num_truncated: int = 0
    num_without_attributes: int = 0


class FeaturesResult(PartResult):
    """The teacher's features of a range of images, as chunks in the artefact store.

    `files`: `view/folder/digest` of a chunk -> its key. `folder` is that of the cache which its rows belong to, and
    `view` one of `distill.image_encoding.UsedView`.
    """

    part_kind: ClassVar[str] = "features"


class TrainPartResult(PartResult):
    """A trained student.

    `files` has its `student` weights, `training_log`, `training_images` and, with prompt learning, `context`. Results
    of earlier releases have no `training_images`. `left_out`: part that its bundle cannot have -> reason, if there is
    one. `chosen`: the settings that the worker chose for its device or a time budget, by short name.
    """

    part_kind: ClassVar[str] = "train"

    num_steps: int = 0
    train_seconds: float = 0.0
    num_bad_images: int = 0
    left_out: dict[str, str] = {}
    chosen: dict[str, Any] = {}


class EvaluateResult(PartResult):
    """An evaluation (`distill.evaluation.accuracy.Evaluation.as_json`), and the checkpoint if one was published.

    `left_out`: optional part that the checkpoint lacks -> reason; stored only if there is one.
    """

    part_kind: ClassVar[str] = "evaluate"

    evaluation: Mapping[str, object]
    num_bad_images: int = 0
    checkpoint_id: str | None = None
    left_out: dict[str, str] = {}


class ProveResult(PartResult):
    """A proof (`distill.benefit.run.BenefitReport.as_json`), and the filtered attribute set if one was created."""

    part_kind: ClassVar[str] = "prove"

    proof: Mapping[str, object]
    num_bad_images: int = 0
    attribute_set_id: str | None = None


class RepairCounts(Spec):
    """Counts of one repair round; `num_better` labels were improved by the round before it."""

    round: int
    num_labels: int
    num_asked: int
    num_better: int = 0
    file_key: str | None = None


class RepairResult(PartResult):
    """The counts of a repair round."""

    part_kind: ClassVar[str] = "mend"

    mended: RepairCounts


class GateReport(Spec):
    """A report of the quality gates: figures, the file with every violation, and the failing labels of each gate."""

    teacher: str
    figures: dict[str, Any]
    file_key: str
    failures: dict[str, list[int]]


class ReportResult(PartResult):
    """The report over the set of an enrich job."""

    part_kind: ClassVar[str] = "report"

    report: GateReport


class CheckResult(PartResult):
    """The gates that an attribute set fails."""

    part_kind: ClassVar[str] = "check"

    attribute_set_id: str
    failing_gates: list[str]


class CaptionsResult(PartResult):
    """The caption set of an enrich job over images."""

    part_kind: ClassVar[str] = "assemble"

    caption_set_id: str


class JobResult(Spec):
    """The published result of a job. A stopped job has only the fields of the parts that succeeded."""

    def as_json(self) -> dict[str, Any]:
        """The JSON that is stored in `jobs.result`."""
        return self.model_dump(mode="json", exclude_unset=True)


class CallUsage(Spec):
    """Calls of an LLM and their tokens."""

    calls: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0


class StrategyResult(CallUsage):
    """The questions of one strategy: how many have a response, and the others by the reason of their failure."""

    strategy: str
    answered: int = 0
    failed: dict[str, int] = {}


class RepairRoundResult(Spec):
    """One repair round: labels that violated a gate, questions asked again, and labels that it improved."""

    num_labels: int
    num_asked: int
    num_better_labels: int


class FailedExampleResult(Spec):
    """A label or image of which a question failed, and the detail of its failure, often in the server's words."""

    position: int
    subject: str
    detail: str


class FailedReasonResult(Spec):
    """A reason of failures, in words for users.

    `count` labels or images have no response because of it; of `partly_count` others only some questions failed.
    """

    reason: str
    count: int
    partly_count: int
    meaning: str
    remedy: str
    examples: list[FailedExampleResult]


class DescribeJobResult(JobResult):
    """An enrichment of labels; positions are limited to the first 1,000."""

    attribute_set_id: str | None
    num_labels: int
    num_described: int
    failed_labels: dict[str, int]
    failed_positions: list[int]
    partly_failed_labels: dict[str, int]
    partly_failed_positions: list[int]
    failed_reasons: list[FailedReasonResult]
    mended: list[RepairRoundResult]
    strategies: list[StrategyResult]
    usage: CallUsage
    calls_by_status: dict[str, int]
    failing_gates: list[str] = []


class CaptionJobResult(JobResult):
    """An enrichment of images; positions are limited to the first 1,000."""

    caption_set_id: str | None
    num_images: int
    num_captioned: int
    failed_images: dict[str, int]
    failed_positions: list[int]
    failed_reasons: list[FailedReasonResult]
    strategies: list[StrategyResult]
    usage: CallUsage
    calls_by_status: dict[str, int]


class GpuJobResult(JobResult):
    """The results of the parts of an encode, distill, evaluate, prove or check job, merged without their `files`.

    Fields that a newer version of a part adds are kept.
    """

    model_config = ConfigDict(frozen=True, extra="allow")

    text_targets_id: str | None = None
    teacher_id: str | None = None
    num_truncated: int = 0
    num_without_attributes: int = 0
    num_steps: int = 0
    train_seconds: float = 0.0
    num_bad_images: int = 0
    evaluation: dict[str, Any] | None = None
    checkpoint_id: str | None = None
    left_out: dict[str, str] = {}
    chosen: dict[str, Any] = {}
    proof: dict[str, Any] | None = None
    attribute_set_id: str | None = None
    failing_gates: list[str] = []


def merge_results(results: Iterable[Mapping[str, Any] | None]) -> GpuJobResult:
    """The stored results of parts as one, later parts last, without `files`."""
    merged: dict[str, Any] = {}
    for result in results:
        merged |= {name: value for name, value in (result or {}).items() if name != "files"}
    return GpuJobResult.model_validate(merged)
