"""Results of parts: one model per kind of part, stored as JSON in `parts.result`.

`files` names artefacts for later parts of the job; the result of the job leaves them out.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

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


class TrainPartResult(PartResult):
    """A trained student; `files` has its `student` weights, `training_log` and, with prompt learning, `context`."""

    part_kind: ClassVar[str] = "train"

    num_steps: int = 0
    train_seconds: float = 0.0
    num_bad_images: int = 0


class EvaluateResult(PartResult):
    """An evaluation (`distill.evaluation.accuracy.Evaluation.as_json`), and the checkpoint if one was published."""

    part_kind: ClassVar[str] = "evaluate"

    evaluation: dict[str, Any]
    num_bad_images: int = 0
    checkpoint_id: str | None = None


class ProveResult(PartResult):
    """A proof (`distill.benefit.run.Proof.as_json`), and the filtered attribute set if one was created."""

    part_kind: ClassVar[str] = "prove"

    proof: dict[str, Any]
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


def without_files(results: list[Mapping[str, Any] | None]) -> dict[str, Any]:
    """The results of parts as one mapping, later parts last, without `files`."""
    merged: dict[str, Any] = {}
    for result in results:
        merged |= {name: value for name, value in (result or {}).items() if name != "files"}
    return merged
