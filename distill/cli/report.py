"""The report of a run, `report.json`, and its table of accuracies."""

from collections.abc import Sequence
from typing import Literal, TypedDict

from distill.json_types import ModelEvaluation


class RunReport(TypedDict):
    """`teacher`: one evaluation per text kind. `seconds`: of training. `bad_images`: path -> reason.

    `left_out`: optional part that the bundle lacks -> reason.
    """

    teacher: list[ModelEvaluation]
    student: ModelEvaluation
    seconds: float
    bad_images: dict[str, str]
    left_out: dict[str, str]


def accuracy_table(teachers: Sequence[ModelEvaluation], student: ModelEvaluation) -> str:
    """Accuracies of the teacher for each text kind, of the student, and of guessing, as lines of text.

    Of images with several labels it is the mean average precision.
    """
    if student.get("multi_label"):
        return _aligned(_precision_rows(teachers, student))
    rows = [["", "text", "ID", "OOD"]]
    rows += [_row(f"teacher {teacher['run']}", teacher, "accuracy") for teacher in teachers]
    rows += [_row(f"student {student['run']}", student, "accuracy")]
    if retrieval := student.get("retrieval"):
        rows += [_row("with retrieval", {**student, "id": None, "ood": retrieval}, "accuracy")]
    return _aligned([*rows, _row("chance", {**student, "text": ""}, "chance")])


def _precision_rows(teachers: Sequence[ModelEvaluation], student: ModelEvaluation) -> list[list[str]]:
    def row(name: str, one: ModelEvaluation, key: Literal["mean_ap", "chance"] = "mean_ap") -> list[str]:
        found = one.get("multi_label")
        parts = (found["id"], found["ood"]) if found else (None, None)
        return [name, one["text"], *(f"{part[key]:.1%}" if part else "-" for part in parts)]

    return [
        ["", "text", "mAP, ID", "mAP, OOD"],
        *(row(f"teacher {teacher['run']}", teacher) for teacher in teachers),
        row(f"student {student['run']}", student),
        row("chance", {**student, "text": ""}, "chance"),
    ]


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        f"{name:<{widths[0]}}  {text:<{widths[1]}}  {seen:>{widths[2]}}  {unseen:>{widths[3]}}"
        for name, text, seen, unseen in rows
    )


def _row(name: str, evaluation: ModelEvaluation, key: Literal["accuracy", "chance"]) -> list[str]:
    parts = (evaluation["id"], evaluation["ood"])
    return [name, evaluation["text"], *(f"{part[key]:.1%}" if part else "-" for part in parts)]
