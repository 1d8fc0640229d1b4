"""What is logged of a run: its settings and tags once, and rows of scalars. Every logger writes the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Protocol

from distill.json_types import EpochLine, JSONObject, JSONValue
from distill.training.metrics import StepMetrics


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """A run, as a logger shows it.

    `id`: the same for every attempt of the run, so that a resumed run continues its record. `settings`: setting ->
    value. `tags`: what the run was made from, such as the digests of its dataset and teacher. `folder`: for the files
    of loggers that need one; `events`: for those of TensorBoard.
    """

    id: str
    name: str
    folder: Path
    events: Path
    settings: JSONObject = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


class LoggedRow(NamedTuple):
    """Scalars of a step.

    `resumes`: the run has made no earlier step in this process, so that what an earlier attempt wrote from this step on
    is written again. `is_result`: of the finished run, not of the step.
    """

    step: int
    values: Mapping[str, float]
    resumes: bool = False
    is_result: bool = False


class Logger(Protocol):
    """An open logger. It is used by one thread, which is not that of the training; it may raise anything."""

    def write(self, rows: Sequence[LoggedRow], /) -> None:
        """Write rows, whose steps ascend."""

    def close(self) -> None:
        """Write what is buffered, and end the record."""


def step_values(metrics: StepMetrics) -> dict[str, float]:
    """The scalars of a training step: each loss term before its weight, and their weighted sum."""
    return (
        {f"loss/{name}": value for name, value in metrics.losses.items()}
        | {
            "loss/total": metrics.loss,
            "lr": metrics.lr,
            "speed/images_per_s": metrics.images_per_s,
            "speed/data_wait": metrics.data_wait,
        }
        | ({} if metrics.train_accuracy is None else {"accuracy/train": metrics.train_accuracy})
    )


def epoch_values(line: EpochLine) -> dict[str, float]:
    """The accuracies of an epoch on images that are not trained on, or its mean average precisions; those that were not
    measured are left out."""
    return numbers(line.get("measure", "accuracy"), line["accuracy"])


def evaluation_values(evaluation: Mapping[str, object]) -> dict[str, float]:
    """The final evaluation of a student, and of its teacher: every number that is not about a single label."""
    teacher = evaluation.get("teacher")
    baseline = {"teacher": teacher[-1]} if isinstance(teacher, list) and teacher else {}
    return numbers("evaluation", {**evaluation, **baseline})


def numbers(prefix: str, value: object) -> dict[str, float]:
    """The numbers in nested objects, by path: `{"a": {"b": 1}}` -> `{"prefix/a/b": 1.0}`. Lists and texts are left
    out, and so are `per_label` figures."""
    if isinstance(value, bool):
        return {}
    if isinstance(value, int | float):
        return {prefix: float(value)}
    if not isinstance(value, Mapping):
        return {}
    found: dict[str, float] = {}
    for name, below in value.items():
        if name != "per_label":
            found |= numbers(f"{prefix}/{name}", below)
    return found


def setting_text(value: JSONValue) -> str:
    """A setting as text, for loggers that have no types."""
    return value if isinstance(value, str) else repr(value)
